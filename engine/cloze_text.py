"""What BERT reads: one text or two as pieces between [CLS] and [SEP], some masked, and the text spelled back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters
from engine.text import BOUNDARY, UNKNOWN, Subwords, normalise, quoted, word_indices
from engine.types import MASKED, Tokens

CLS, SEP, MASK = "[CLS]", "[SEP]", "[MASK]"
LINE = "\n"  # the piece between paragraphs: no text that BERT reads has one
LONGEST = 100_000  # characters: more are refused before they are tokenized
TYPED_MASK = re.compile(re.escape(MASK), re.IGNORECASE)


class ClozeSubwords(Subwords):
    """The subwords of BERT, which begin in the middle of a word as well: what follows a mask without a space."""

    def pieces(self, text: str, *, glued: bool = False) -> list[tuple[int, str]]:
        """Ids and pieces of normalised text; "[MASK]" and other special tokens in it are read as text.

        Args:
            text: without line breaks.
            glued: no space stands before it, so that its first piece continues a word.
        """
        # A line break is always a piece of its own; what follows it has no space before it.
        written = LINE + text if glued else text
        found = zip(self.encode_ids(written), self._processor.EncodeAsPieces(written), strict=True)
        pieces = [(token, str(piece)) for token, piece in found]
        return pieces[1 + [piece for _, piece in pieces].index(LINE) :] if glued else pieces

    def piece_of(self, token: int) -> str:
        """The piece of an id, with the mark of a space before it."""
        return str(self._processor.IdToPiece(token))

    @cached_property
    def specials(self) -> tuple[int, ...]:
        """Ids that no text has: padding, unknown, the ends, [CLS], [SEP], [MASK] and the break between paragraphs."""
        return tuple(
            token
            for token in range(len(self))
            if self._processor.IsControl(token) or token == UNKNOWN or self.piece_of(token) == LINE
        )


@dataclass(frozen=True, slots=True)
class ClozeInput:
    r"""One text or two, as BERT reads them: [CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    Attributes:
        first: the first text as it is read, with "[MASK]" for each blank.
        second: the second one; empty where there is none.
        tokens: one per position (T,); spans point into first + "\\n" + second. A blank is labelled "[MASK]" and is not
            special: it is part of the text. `tokens.words` has an index for each word, punctuation mark and special
            token, in reading order; masking changes none of them.
        segments: 0 up to the first [SEP], 1 behind it (T,).
        blanks: positions that are masked and still to be filled, in reading order.
        own: the id that the text has at each position (T,); −1 where it is not known: at a typed "[MASK]", and where
            one mask stands for several pieces.
        leads: whether a space stands before each position's text (T,), where it does not begin its line.
        words: what the text has for each word's index, masked or not.
        taken: what was put in: position and id.
        notes: what a reader should know of this reading.
    """

    first: str
    second: str
    tokens: Tokens
    segments: tuple[int, ...]
    blanks: tuple[int, ...]
    own: tuple[int, ...]
    leads: tuple[bool, ...]
    words: tuple[str, ...]
    taken: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def positions_of(self, word: int) -> tuple[int, ...]:
        """Where a word's pieces, or the masks in their place, stand.

        Raises:
            InputError: there is no such word, or it is [CLS] or [SEP].
        """
        found = tuple(i for i, index in enumerate(self.tokens.words) if index == word and not self.tokens.special[i])
        if not found:
            raise InputError(f"There is no word {word} in this text. Choose one of its words to mask.")
        return found


@dataclass(frozen=True, slots=True)
class _Position:
    """One token on its way into a `ClozeInput`."""

    token: int
    surface: str  # without the space before it
    lead: bool
    word: int
    segment: int
    own: int
    special: bool = False
    blank: bool = False


def read_cloze(
    subwords: ClozeSubwords,
    first: str,
    second: str = "",
    masked: Iterable[int] = (),
    taken: Iterable[tuple[int, int]] = (),
    *,
    single: bool = False,
    longest: int,
) -> ClozeInput:
    """One text or two as BERT reads them.

    Args:
        subwords: the tokenizer.
        first: any text; line breaks become spaces, and each "[MASK]" in it is a blank. Other special tokens are text.
        second: another one; may be empty.
        masked: indices of words (`Tokens.words`) that are masked.
        taken: positions of blanks, each with the id that is put there instead.
        single: one mask for each masked word, not one for each of its pieces.
        longest: the most tokens, [CLS] and [SEP] included.

    Raises:
        EmptyInput: the first text is empty.
        InputTooLong: too many tokens; the message states how many there are and how many may be.
        UnknownCharacters: no piece of either text is known.
        InputError: no such word, no blank at a position that is to be filled, or no such piece.
    """
    texts = _texts(first, second)
    line = _line(subwords, texts)
    words = _words(line)
    line = _masked(line, frozenset(masked), subwords.id_of(MASK), single=single)
    if len(line) > longest:
        raise InputTooLong(
            f"{'These two texts have' if len(texts) == 2 else 'This text has'} {len(line):,} tokens, [CLS] and [SEP] "
            f"included, and {longest} is the most that the model sees at once. Shorten "
            f"{'one of them' if len(texts) == 2 else 'it'}."
        )
    chosen = tuple(taken)
    line = _taken(line, chosen, subwords)
    return _input(line, words, chosen, _notes(line))


def put(subwords: ClozeSubwords, given: ClozeInput, taken: Iterable[tuple[int, int]]) -> ClozeInput:
    """The same with ids put in at some of its blanks.

    Raises:
        InputError: no blank at a position, or no such piece.
    """
    more = tuple(taken)
    line = [
        _Position(
            token,
            given.tokens.labels[i] if given.tokens.special[i] else given.tokens.text[slice(*given.tokens.spans[i])],
            given.leads[i], given.tokens.words[i], given.segments[i], given.own[i], given.tokens.special[i],
            i in given.blanks,
        )
        for i, token in enumerate(given.tokens.ids)
    ]  # fmt: skip
    return _input(_taken(line, more, subwords), given.words, (*given.taken, *more), given.notes)


def _texts(first: str, second: str) -> list[str]:
    """Normalised, the second one only if there is any."""
    length = len(first) + len(second)
    if length > LONGEST:
        raise InputTooLong(f"This text has {length:,} characters and {LONGEST:,} is the most. Shorten it.")
    texts = [normalise(first), normalise(second)]
    if not texts[0]:
        what = "The first text is empty" if texts[1] else "There is no text yet"
        raise EmptyInput(f"{what}. Type a sentence, for example: The old man sat by the [MASK].")
    return texts if texts[1] else texts[:1]


def _line(subwords: ClozeSubwords, texts: Sequence[str]) -> list[_Position]:
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]; typed masks are blanks."""
    line = [_special(subwords, CLS, word=0, segment=0)]
    for segment, text in enumerate(texts):
        line += _body(subwords, text, word=line[-1].word + 1, segment=segment)
        line.append(_special(subwords, SEP, word=line[-1].word + 1, segment=segment))
    read = [position for position in line if not position.special and position.surface]
    if all(position.token == UNKNOWN for position in read):
        raise UnknownCharacters(
            "The model knows none of these characters: it was trained on English text. Type a sentence in the Latin "
            "alphabet."
        )
    return line


def _special(subwords: ClozeSubwords, label: str, word: int, segment: int) -> _Position:
    token = subwords.id_of(label)
    return _Position(token, label, False, word, segment, token, special=True)


def _body(subwords: ClozeSubwords, text: str, word: int, segment: int) -> list[_Position]:
    """The pieces of one text and its typed masks, each mask a word of its own; words count from `word`."""
    body: list[_Position] = []
    glued, mask = False, subwords.id_of(MASK)
    for index, part in enumerate(TYPED_MASK.split(text)):
        if index:  # a mask stands before this part
            following = body[-1].word + 1 if body else word
            body.append(_Position(mask, MASK, not glued, following, segment, MASKED, blank=True))
        start = body[-1].word + 1 if body else word
        found = subwords.pieces(part.strip(), glued=bool(index) and not part.startswith(" ")) if part.strip() else []
        indices = word_indices([piece for _, piece in found])
        body += [
            _Position(token, piece.removeprefix(BOUNDARY), piece.startswith(BOUNDARY), start + inside, segment, token)
            for (token, piece), inside in zip(found, indices, strict=True)
        ]
        glued = not part.endswith(" ") and bool(part or index)
    return body


def _words(line: Sequence[_Position]) -> tuple[str, ...]:
    """What each word is, by its index."""
    words = [""] * (line[-1].word + 1)
    for position in line:
        words[position.word] += position.surface
    return tuple(word or BOUNDARY for word in words)


def _masked(line: list[_Position], words: frozenset[int], mask: int, *, single: bool) -> list[_Position]:
    """The same with [MASK] for each piece of some words, or once for each of the words."""
    ordinary = {position.word for position in line if not position.special}
    if absent := sorted(words - ordinary):
        raise InputError(f"There is no word {absent[0]} in this text to mask. Choose one of its words.")
    result: list[_Position] = []
    for position in line:
        if position.word not in words or position.blank:
            result.append(position)
        elif single and result[-1].word == position.word:
            result[-1] = replace(result[-1], own=MASKED)
        else:
            result.append(replace(position, token=mask, surface=MASK, blank=True))
    return result


def _taken(line: list[_Position], taken: Sequence[tuple[int, int]], subwords: ClozeSubwords) -> list[_Position]:
    """The same with pieces put in at some of the blanks."""
    result = list(line)
    for place, token in taken:
        if not 0 <= place < len(line) or not result[place].blank:
            raise InputError(f"Position {place} is not masked, so nothing can be put there. Mask its word first.")
        if not 0 <= token < len(subwords) or token in subwords.specials:
            raise InputError(f"There is no piece {token} to put in. Choose one of the candidates.")
        piece = subwords.piece_of(token)
        surface, lead = piece.removeprefix(BOUNDARY), piece.startswith(BOUNDARY)
        result[place] = replace(result[place], token=token, surface=surface, lead=lead, blank=False)
    return result


def _notes(line: Sequence[_Position]) -> tuple[str, ...]:
    unknown = dict.fromkeys(position.surface for position in line if position.token == UNKNOWN)
    if not unknown:
        return ()
    shown = ", ".join(map(quoted, list(unknown)[:5])) + (" …" if len(unknown) > 5 else "")
    return (f"The model does not know {shown}: it reads an unknown piece there.",)


def _input(
    line: Sequence[_Position], words: tuple[str, ...], taken: tuple[tuple[int, int], ...], notes: tuple[str, ...]
) -> ClozeInput:
    texts, spans = ["", ""], [(0, 0)] * len(line)
    for index, position in enumerate(line):
        if position.special:
            continue
        before = "" if not texts[position.segment] or not position.lead else " "
        texts[position.segment] += before + position.surface
        end = len(texts[position.segment])
        spans[index] = (end - len(position.surface), end)
    shift = len(texts[0]) + len(LINE)
    placed = [
        (a + shift, b + shift) if position.segment and not position.special else (a, b)
        for position, (a, b) in zip(line, spans, strict=True)
    ]
    tokens = Tokens(
        LINE.join(texts) if line[-1].segment else texts[0],
        tuple(position.surface or BOUNDARY for position in line),
        tuple(position.token for position in line),
        tuple(position.word for position in line),
        tuple(placed),
        tuple(position.special for position in line),
    )
    return ClozeInput(
        texts[0],
        texts[1],
        tokens,
        tuple(position.segment for position in line),
        tuple(index for index, position in enumerate(line) if position.blank),
        tuple(position.own for position in line),
        tuple(position.lead for position in line),
        words,
        taken,
        notes,
    )
