"""A tokenizer of Hugging Face behind the tokens that every page shows: labels are the text that was typed."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from engine.errors import EmptyInput, InputTooLong, UnknownCharacters, Unsupported
from engine.huggingface.pieces import fitted, printable
from engine.huggingface.vocabulary import NONE, PROBES, HostedVocabulary
from engine.pieces import Span, labels_of, replaced, spelled, words_of
from engine.text import BOUNDARY
from engine.types import Tokens

LONGEST = 100_000  # characters: more are refused before they are tokenized
Frame = tuple[tuple[int, int], ...]  # ids around texts, each with its segment; −1 and −2 where the texts stand
_FIRST, _SECOND = -1, -2
_BARE: Frame = ((_FIRST, 0),)


@dataclass(frozen=True, slots=True)
class _Piece:
    """One token of a typed text: its id, where it stands, and whether the caller named it (a mask)."""

    token: int
    span: Span
    named: bool = False


class HostedTokenizer(HostedVocabulary):
    """A transformers tokenizer of any kind with offsets into what was typed. Threads can share it.

    Typed text is always text: "</s>" in it is cut into ordinary pieces.
    """

    # ---- texts to tokens ----

    def normalise(self, text: str) -> str:
        """What is read of a text: all of it but control characters."""
        return printable(text)

    def normalise_output(self, text: str) -> str:
        """`normalise` of a text that is forced upon a decoder."""
        return printable(text)

    def encode(self, text: str, *, end: bool = True, specials: Sequence[str] = ()) -> Tokens:
        """Tokens of a text, with the special tokens that the model expects around it.

        Args:
            text: any string.
            end: with special tokens; without, the text's own only.
            specials: special tokens that are meant as such where they are typed ("[MASK]"). They are part of the text.

        Raises:
            EmptyInput: there is no text.
            InputTooLong: more than `LONGEST` characters.
            UnknownCharacters: the vocabulary has none of it.
        """
        return self._framed(self._frame if end else _BARE, self._typed(text), specials=specials)[0]

    def encode_pair(self, first: str, second: str, *, specials: Sequence[str] = ()) -> tuple[Tokens, tuple[int, ...]]:
        """Tokens of two texts as the model takes a pair, and the segment of each; with no second text, of one.

        Spans point into both with a space between. Raises as `encode`.
        """
        texts = [self._typed(first), *([self._typed(second)] if printable(second).strip() else [])]
        return self._framed(self._pair_frame if len(texts) == 2 else self._frame, *texts, specials=specials)

    def encode_output(self, text: str, *, end: bool = True) -> Tokens:
        """Tokens of a text that a decoder is to give, `front` before it and `end` behind it. Raises as `encode`."""
        last = ((self.end, 0),) if end and self.end != NONE else ()
        frame = (*((token, 0) for token in self.front), (_FIRST, 0), *last)
        return self._framed(frame, self._typed(text), output=True)[0]

    def plain(self, text: str) -> Tokens:
        """Tokens of a text alone, which may be empty or unknown."""
        return self._framed(_BARE, printable(text), checked=False)[0]

    def encode_ids(self, text: str) -> list[int]:
        """Ids of a text alone, without special tokens and checks."""
        return [piece.token for piece in self._body(printable(text), output=False)]

    def _typed(self, text: str) -> str:
        if len(text) > LONGEST:
            raise InputTooLong(f"This text has {len(text):,} characters and {LONGEST:,} is the most. Shorten it.")
        text = printable(text)
        if not text.strip():
            raise EmptyInput("There is no text yet. Type a sentence, for example: The animal didn't cross the street.")
        return text

    def _framed(
        self,
        frame: Sequence[tuple[int, int]],
        *texts: str,
        output: bool = False,
        specials: Sequence[str] = (),
        checked: bool = True,
    ) -> tuple[Tokens, tuple[int, ...]]:
        """Tokens of texts in a frame, and their segments."""
        pieces: list[_Piece] = []
        special: list[bool] = []
        segments: list[int] = []
        for token, segment in frame:
            if token >= 0:
                body = [_Piece(token, (0, 0))]
            else:
                which = _FIRST - token
                shift = len(texts[0]) + 1 if which else 0
                body = [_moved(piece, shift) for piece in self._named(texts[which], specials, output=output)]
            pieces += body
            special += [token >= 0] * len(body)
            segments += [segment] * len(body)
        text = " ".join(texts)
        if checked:
            self._check_known(text, [piece for piece, extra in zip(pieces, special, strict=True) if not extra])
        self._check_vectors([piece.token for piece in pieces], output=output)
        alone = [piece.named or extra for piece, extra in zip(pieces, special, strict=True)]
        return self._tokens(text, pieces, special, alone), tuple(segments)

    def _tokens(self, text: str, pieces: Sequence[_Piece], special: Sequence[bool], alone: Sequence[bool]) -> Tokens:
        ids, spans = tuple(piece.token for piece in pieces), tuple(piece.span for piece in pieces)
        labels = labels_of(text, spans, lambda index: self.label_of(ids[index]))
        return Tokens(text, labels, ids, words_of(text, spans, alone), spans, tuple(special))

    def _check_known(self, text: str, pieces: Sequence[_Piece]) -> None:
        read = [piece.token for piece in pieces if text[slice(*piece.span)].strip()]
        if all(token == self.unknown for token in read):
            raise UnknownCharacters(
                "The model's vocabulary has none of these characters, so it would read nothing but unknown pieces. "
                "Type a text in a language that the model was trained on."
            )

    def _check_vectors(self, ids: Sequence[int], *, output: bool) -> None:
        beyond = [token for token in ids if token >= (len(self) if output else self._inputs)]
        if beyond:
            raise Unsupported(
                f"The tokenizer makes “{self.piece_of(beyond[0])}” of this text; the weights have no vector for it. "
                "Use the tokenizer that was saved with the weights."
            )

    def _named(self, text: str, names: Sequence[str], *, output: bool) -> list[_Piece]:
        """Pieces of a text in which some special tokens are meant as such."""
        meant = [name for name in names if self.id_of(name) in self._typed_specials - {self.unknown}]
        if not meant:
            return self._body(text, output=output)
        added = {str(token): token for token in self._added.values()}
        parts = re.split(f"({'|'.join(map(re.escape, meant))})", text)  # every second one is a name
        pieces: list[_Piece] = []
        begin = 0
        for index, part in enumerate(parts):
            if index % 2:
                pieces.append(_Piece(self.id_of(part), (begin, begin + len(part)), named=True))
            else:  # some special tokens take the spaces beside them
                read = part.lstrip() if index and getattr(added.get(parts[index - 1]), "rstrip", False) else part
                place = begin + len(part) - len(read)
                follows = added.get(parts[index + 1]) if index + 1 < len(parts) else None
                read = read.rstrip() if getattr(follows, "lstrip", False) else read
                pieces += [_moved(piece, place) for piece in self._body(read, output=output)]
            begin += len(part)
        return pieces

    def _body(self, text: str, *, output: bool) -> list[_Piece]:
        """Pieces of a text, none of them special."""
        if not text:
            return []
        found = self._found(text, output=output)
        whole = [piece for token, span in found for piece in self._broken(text, token, span, output=output)]
        spans = fitted(text, [piece.span for piece in whole])
        return [_Piece(piece.token, span) for piece, span in zip(whole, spans, strict=True)]

    def _broken(self, text: str, token: int, span: Span, *, output: bool) -> list[_Piece]:
        """A piece, or one for each character of it where it is a special token that was typed."""
        a, b = span
        if token not in (self.specials if output else self._typed_specials) or token == self.unknown:
            nothing = not text[a:b].isspace() and self.piece_of(token) == BOUNDARY  # put in front of the text
            return [_Piece(token, (a, a) if nothing else span)]
        pieces: list[_Piece] = []
        for place in range(a, b):
            if not text[place].isspace():
                spelt = [f"<0x{byte:02X}>" for byte in text[place].encode()]
                ids = self._ids([text[place]], output=output), self._ids(spelt, output=output)
                known = [each for each in ids if not {self.unknown, NONE} & {*each}]
                ids_here = known[0] if known else [self.unknown] if self.unknown != NONE else []
                pieces += [_Piece(each, (place, place + 1)) for each in ids_here]
        return pieces

    @cached_property
    def _frame(self) -> Frame:
        return self._around(pair=False)

    @cached_property
    def _pair_frame(self) -> Frame:
        return self._around(pair=True)

    def _around(self, *, pair: bool) -> Frame:
        """The special tokens around a text or two, with the segment of each; −1 and −2 stand for the texts."""
        bare = (*_BARE, (_SECOND, 1)) if pair else _BARE
        if self._backend is None:
            return self._slow_frame(pair=pair) or bare
        for probe in PROBES:
            found = self._encoded(probe, probe if pair else None)
            sides = found.sequence_ids
            if {*sides} >= ({0, 1} if pair else {0}):
                line = [
                    (token if side is None else _FIRST - side, segment)
                    for token, side, segment in zip(found.ids, sides, found.type_ids, strict=True)
                ]
                return tuple(x for i, x in enumerate(line) if x[0] >= 0 or x not in line[:i])
        return bare

    def _slow_frame(self, *, pair: bool) -> Frame:
        texts = ([self._anchor], [self._anchor])[: 1 + pair]
        ids = list(self._tokenizer.build_inputs_with_special_tokens(*texts))
        try:
            segments = list(self._tokenizer.create_token_type_ids_from_sequences(*texts))
        except (AttributeError, NotImplementedError):
            segments = []
        segments = segments if len(segments) == len(ids) else [0] * len(ids)
        places = [i for i, token in enumerate(ids) if token == self._anchor]
        names = dict(zip(places, (_FIRST, _SECOND), strict=False))
        if len(places) != len(texts):
            return ()
        return tuple((names.get(i, token), segments[i]) for i, token in enumerate(ids))

    # ---- tokens to texts ----

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; special tokens give nothing."""
        return self._spelled(tuple(ids), follows=False)[0]

    def decode_tokens(self, ids: Sequence[int]) -> Tokens:
        """Tokens of generated ids, spans pointing into the decoded text; special ones among them stay as such."""
        return self.extended(Tokens("", (), (), (), (), ()), ids)

    def extended(self, tokens: Tokens, ids: Sequence[int]) -> Tokens:
        """A text's tokens and those of its continuation."""
        more, spans = self._spelled(tuple(ids), follows=bool(tokens.text))
        text, shift = tokens.text + more, len(tokens.text)
        special = [token in self.specials and token != self.unknown for token in ids]
        new = [
            _Piece(token, (0, 0) if extra else (a + shift, b + shift))
            for token, extra, (a, b) in zip(ids, special, fitted(more, spans), strict=True)
        ]
        old = [_Piece(token, span) for token, span in zip(tokens.ids, tokens.spans, strict=True)]
        flags = [*tokens.special, *special]
        found = self._tokens(text, [*old, *new], flags, flags)
        labels = (*tokens.labels, *found.labels[len(tokens) :])
        return Tokens(text, labels, found.ids, found.words, found.spans, found.special)

    def added(self, before: Sequence[int], token: int) -> str:
        """What an id adds to the text of those before it: a whole character once its last part is there."""
        return self._stable((*before, token))[len(self._stable(before)) :]

    def _stable(self, ids: Sequence[int]) -> str:
        """Text of ids without a character at the end that is still to be completed."""
        found = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode(b"".join(self._parts(ids)))
        return replaced(found)

    def _spelled(self, ids: Sequence[int], *, follows: bool) -> tuple[str, list[Span]]:
        return spelled(self._parts(ids, follows=follows))

    def _parts(self, ids: Sequence[int], *, follows: bool = False) -> list[bytes]:
        """What each id adds; the first word of a text comes without its space where the tokenizer puts one there."""
        parts = [self.bytes_of(token) for token in ids]
        first = next((i for i, part in enumerate(parts) if part), None)
        if first is not None and self._strips and not follows:
            parts[first] = parts[first].removeprefix(b" ")
        return parts


def _moved(piece: _Piece, by: int) -> _Piece:
    return replace(piece, span=(piece.span[0] + by, piece.span[1] + by))
