"""Text to tokens and back: normalisation, sentencepiece subwords, and which word each piece belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from engine.errors import EmptyInput, UnknownCharacters, WeightsDamaged, WeightsMissing
from engine.types import Tokens

BOUNDARY = "▁"  # sentencepiece's mark of a preceding space
PAD, UNKNOWN, START, END = 0, 1, 2, 3
WHO = "<who>"  # the tag that asks for pronouns to be translated as their nouns
SPECIAL_LABELS = {PAD: "<pad>", START: "<s>", END: "</s>"}

_QUOTES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "…": "..."})
_SPACES = re.compile(r"\s+")
# French clitics: the vowel falls before an apostrophe and the next word follows at once ("qu'il" is two words).
_CLITIC = re.compile(r"^(?:[cdjlmnst]|qu|jusqu|lorsqu|puisqu|quoiqu)$", re.IGNORECASE)
# A run of ? and !, a semicolon, or a colon that is in no time and no address.
_MARKS = re.compile(r" ?([?!]+|;|:(?![\d/]))")
_TAIL = 16  # characters of a word that decide what joins it: more than a clitic, so that long words take linear time


def normalise(text: str) -> str:
    """The form the training text has: NFC, ASCII quotes, single spaces, no control or invisible characters.

    Direction marks, zero-width characters and controls are removed, since they would be invisible tokens. A typed
    `BOUNDARY` is the space that it stands for. Combining marks and everything else that shows stay.
    """
    kept = (" " if character.isspace() or character == BOUNDARY else character for character in text)
    text = "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))
    # Composed after the removal: a zero-width character may stand between a letter and its accent.
    return _SPACES.sub(" ", unicodedata.normalize("NFC", text).translate(_QUOTES)).strip()


def quoted(label: str, most: int = 40) -> str:
    """A piece of a text within a sentence for a screen: in quotation marks, and only its beginning if it is long."""
    return f"“{label if len(label) <= most else label[: most - 1] + '…'}”"


def french_spacing(text: str) -> str:
    """Normalised French with one space before ? ! : ; as the training text has it ("Quoi ?!", "à 14:30")."""
    joined = re.sub(r"(?<=[?!]) (?=[?!])", "", text)
    return _MARKS.sub(r" \1", joined).strip()


def word_indices(pieces: Sequence[str]) -> list[int]:
    """The word each piece belongs to, counted from 0.

    A word starts at a boundary mark, at punctuation, and after a French clitic: "▁qu' il" is two words, "▁didn ' t"
    one.
    """
    indices: list[int] = []
    word, empty, text = -1, True, ""  # `text`: the current word so far without marks, which are of their letter's kind
    for piece in pieces:
        bare = piece.removeprefix(BOUNDARY)
        joins = word >= 0 and not piece.startswith(BOUNDARY) and (empty or _joins(text, bare))
        if not joins:
            word, empty, text = word + 1, True, ""
        empty = empty and not bare
        text = (text + "".join(c for c in bare if not _combines(c)))[-_TAIL:]
        indices.append(word)
    return indices


def _joins(text: str, bare: str) -> bool:
    """Whether a piece without a boundary mark continues a word whose last letters are `text`."""
    if _combines(bare[:1] or " "):
        return True
    if bare.startswith(("'", "-")):
        return text[-1:].isalnum()
    if text.endswith(("'", "-")):  # an apostrophe or a hyphen, unless nothing stands before it
        return bare[:1].isalnum() and text[-2:-1].isalnum() and not (text[-1] == "'" and _CLITIC.match(text[:-1]))
    return text[-1:].isalnum() == bare[:1].isalnum()


def _combines(character: str) -> bool:
    """Whether a character is a mark upon the one before it: an accent, a vowel sign, an emoji's variant."""
    return unicodedata.category(character).startswith("M")


class TranslationTokenizer(Protocol):
    """What a translator's texts pass through, both ways.

    Attributes:
        pad, start, end, unknown: ids: of padding, of what the decoder reads first, of what it says last, of what the
            vocabulary lacks; −1 where there is none.
        banned: ids that are never said.
    """

    @property
    def pad(self) -> int: ...

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...

    @property
    def unknown(self) -> int: ...

    @property
    def banned(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def id_of(self, piece: str) -> int: ...

    def label_of(self, token: int) -> str: ...

    def text_of(self, token: int) -> str: ...

    def normalise(self, text: str) -> str:
        """A source as it is read."""

    def normalise_output(self, text: str) -> str:
        """An output as the model would write it."""

    def encode(self, text: str, *, end: bool = True) -> Tokens: ...

    def encode_output(self, text: str, *, end: bool = True) -> Tokens: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def decode_tokens(self, ids: Sequence[int]) -> Tokens: ...


class Subwords:
    """A sentencepiece model with offsets. Source: Sennrich et al. 2016 (BPE); Kudo and Richardson 2018
    (sentencepiece).
    """

    pad, start, end, unknown = PAD, START, END, UNKNOWN

    def __init__(self, model: bytes, name: str = "tokenizer") -> None:
        """Args:
        model: the bytes of a sentencepiece `.model` file.
        name: what an error calls it.

        Raises:
            WeightsDamaged: the bytes are no sentencepiece model.
        """
        import sentencepiece

        self._processor: Any = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except Exception as error:
            message = (
                f"{name} is not a readable sentencepiece model. Restore the file from the repository (git checkout)."
            )
            raise WeightsDamaged(message) from error

    @property
    def banned(self) -> tuple[int, ...]:
        """Ids that no output has: padding, <s>, the tag, the unknown piece."""
        return PAD, UNKNOWN, START, self.id_of(WHO)

    @classmethod
    def load(cls, path: Path) -> Subwords:
        if not path.is_file():
            raise WeightsMissing(
                f"The tokenizer {path.name} is missing. Restore it from the repository (git checkout)."
            )
        return cls(path.read_bytes(), path.name)

    def __len__(self) -> int:
        return int(self._processor.GetPieceSize())

    def id_of(self, piece: str) -> int:
        """The id of a piece, control symbols included; `UNKNOWN` if there is none."""
        return int(self._processor.PieceToId(piece))

    def label_of(self, token: int) -> str:
        """What a screen shows for one id: its text without the boundary mark, or a special label."""
        if token in SPECIAL_LABELS:
            return SPECIAL_LABELS[token]
        piece: str = self._processor.IdToPiece(token)
        return piece.removeprefix(BOUNDARY) or BOUNDARY

    def text_of(self, token: int) -> str:
        """What one id adds to a text, with a space where a word begins; nothing for special ids."""
        if token in SPECIAL_LABELS:
            return ""
        piece: str = self._processor.IdToPiece(token)
        return piece.replace(BOUNDARY, " ")

    def encode_ids(self, text: str) -> list[int]:
        """Ids of already normalised text, without </s>. For training: no checks."""
        ids: list[int] = self._processor.EncodeAsIds(text)
        return ids

    def encode_batch(self, texts: Sequence[str], threads: int = 2) -> list[list[int]]:
        """`encode_ids` of many texts."""
        ids: list[list[int]] = self._processor.Encode(list(texts), num_threads=threads)
        return ids

    def normalise(self, text: str) -> str:
        """A source as it is read: see `normalise`."""
        return normalise(text)

    def normalise_output(self, text: str) -> str:
        """An output as the model would write it: with French spacing."""
        return french_spacing(normalise(text))

    def encode_output(self, text: str, *, end: bool = True) -> Tokens:
        """`encode` of an output: one vocabulary serves both sides."""
        return self.encode(text, end=end)

    def encode(self, text: str, *, end: bool = True) -> Tokens:
        """Normalise and tokenize what a user typed.

        Args:
            text: any string.
            end: append </s>.

        Returns:
            Tokens whose spans point into the normalised text.

        Raises:
            EmptyInput: nothing is left after normalisation.
            UnknownCharacters: no piece of the text is known.
        """
        text = normalise(text)
        if not text:
            raise EmptyInput("There is no text yet. Type a sentence, for example: The animal didn't cross the street.")
        pieces: list[str] = self._processor.EncodeAsPieces(text)
        ids = self.encode_ids(text)  # not by piece: an unknown "</s>" would become the special id
        if all(i == UNKNOWN for i, piece in zip(ids, pieces, strict=True) if piece != BOUNDARY):
            raise UnknownCharacters(
                "The model knows none of these characters: it was trained on English and French text. "
                "Type a sentence in the Latin alphabet."
            )
        return _tokens(text, ids, pieces, _spans(pieces), end=end)

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; special tokens give nothing, unknown ones the replacement character."""
        return self.decode_tokens(ids).text

    def decode_tokens(self, ids: Sequence[int]) -> Tokens:
        """Tokens of generated ids, spans pointing into the decoded text; a trailing </s> stays as a special token."""
        ended = bool(ids) and ids[-1] == END
        body = [i for i in ids if not self._processor.IsControl(i)]
        pieces = ["\ufffd" if i == UNKNOWN else self._processor.IdToPiece(i) for i in body]
        text = "".join(pieces).replace(BOUNDARY, " ")
        return _tokens(text.removeprefix(" "), body, pieces, _spans(pieces), end=ended)


def _spans(pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Character spans of pieces in the text they spell, without the spaces that boundary marks stand for.

    The first mark stands for no character: sentencepiece puts it in front of every text.
    """
    spans, end = [], -1 if pieces and pieces[0].startswith(BOUNDARY) else 0
    for piece in pieces:
        begin = end + piece.startswith(BOUNDARY)
        end += len(piece)
        spans.append((begin, end))
    return spans


def _tokens(text: str, ids: list[int], pieces: list[str], spans: list[tuple[int, int]], *, end: bool) -> Tokens:
    labels = [text[a:b] or BOUNDARY for a, b in spans]
    words = word_indices(pieces)
    if end:
        ids, labels, spans = [*ids, END], [*labels, SPECIAL_LABELS[END]], [*spans, (0, 0)]
        words = [*words, words[-1] + 1 if words else 0]
    special = tuple(i in SPECIAL_LABELS for i in ids)
    return Tokens(text, tuple(labels), tuple(ids), tuple(words), tuple(spans), special)


def with_start(tokens: Tokens, start: int = START, label: str = SPECIAL_LABELS[START]) -> Tokens:
    """What the decoder reads to predict `tokens`: the same, shifted right, with <s> in front and the last one
    dropped.
    """
    return Tokens(
        tokens.text,
        (label, *tokens.labels[:-1]),
        (start, *tokens.ids[:-1]),
        (0, *(word + 1 for word in tokens.words[:-1])),
        ((0, 0), *tokens.spans[:-1]),
        (True, *tokens.special[:-1]),
    )
