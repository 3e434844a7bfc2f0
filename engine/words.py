"""Words as tokens, without loss: the pieces of a text, put together again, are the text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np

from engine.errors import WeightsDamaged, WeightsMissing
from engine.text import BOUNDARY
from engine.types import Tokens

UNKNOWN, UNKNOWN_LABEL = 0, "<unk>"
PARAGRAPH = "\n"  # the token between paragraphs
WORDS = "words.json"
_SHOWN = {PARAGRAPH: "↵", " ": BOUNDARY}
_REPLACEMENT = " \ufffd"
# A space belongs to what follows it. Letters with apostrophes or hyphens between them ("didn't", "to-day") are a word.
_TOKEN = re.compile(r"\n| ?(?:[^\W\d_]+(?:['-][^\W\d_]+)*|\d+|[^\n ])| ")
_BEGINNING = re.compile(r"^(?=[^\n])", re.MULTILINE)
_BEGINNING_SPACE = re.compile(r"^ ", re.MULTILINE)


def split_words(text: str) -> list[str]:
    """The tokens of a text: a line break, or an optional space and a word, a run of digits or one other character.

    Every paragraph is read as if a space stood before it, so that its first word is the same token as elsewhere.
    `join_words` gives the text back, whatever it is.
    """
    return _TOKEN.findall(_BEGINNING.sub(" ", text))


def join_words(tokens: Iterable[str]) -> str:
    """The text of tokens, without the space before each paragraph."""
    return _BEGINNING_SPACE.sub("", "".join(tokens))


@dataclass(frozen=True)
class Words:
    """A tokenizer with a vocabulary of words.

    Attributes:
        vocabulary: what each id says: "<unk>" first, then tokens with their leading space, most frequent first.
    """

    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        assert self.vocabulary[0] == UNKNOWN_LABEL and PARAGRAPH in self.vocabulary
        assert len(set(self.vocabulary)) == len(self.vocabulary), "a word has one id"

    @classmethod
    def of_counts(cls, counts: Mapping[str, int], size: int, least: int = 1) -> Words:
        """The most frequent tokens, equals in alphabetical order; the break between paragraphs is always one.

        Args:
            counts: how often each token was seen.
            size: the most ids, that of unknown words included; 2 at least.
            least: times that a token must have been seen.
        """
        seen = {token for token, count in counts.items() if count >= least} - {PARAGRAPH}
        kept = sorted(seen, key=lambda token: (-counts[token], token))[: size - 2]
        kept.append(PARAGRAPH)
        return cls((UNKNOWN_LABEL, *sorted(kept, key=lambda token: (-counts.get(token, 0), token))))

    @classmethod
    def load(cls, path: Path) -> Words:
        """Read a vocabulary.

        Raises:
            WeightsMissing: no such file.
            WeightsDamaged: it is no JSON list of different tokens, "<unk>" first, with the break of paragraphs.
        """
        if not path.is_file():
            raise WeightsMissing(
                f"The vocabulary {path.name} is missing. Restore it from the repository (git checkout)."
            )
        try:
            words = json.loads(path.read_text("utf-8"))
        except ValueError as error:
            raise WeightsDamaged(_damaged(path, f"it is not valid JSON ({error})")) from error
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise WeightsDamaged(_damaged(path, "it is no list of words"))
        if words[:1] != [UNKNOWN_LABEL] or PARAGRAPH not in words or len(set(words)) != len(words):
            raise WeightsDamaged(_damaged(path, f'it should begin with "{UNKNOWN_LABEL}" and hold each word once'))
        return cls(tuple(words))

    def save(self, path: Path) -> None:
        """Write the vocabulary as a JSON list."""
        path.write_text(json.dumps(self.vocabulary, ensure_ascii=False, separators=(",", ":")) + "\n", "utf-8")

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: index for index, token in enumerate(self.vocabulary) if index != UNKNOWN}

    def __len__(self) -> int:
        return len(self.vocabulary)

    def id_of(self, token: str) -> int:
        """The id of a token, its leading space included; `UNKNOWN` if there is none."""
        return self._ids.get(token, UNKNOWN)

    def label_of(self, token: int) -> str:
        """What a screen shows for one id: its text without the leading space."""
        return _label(self.vocabulary[token])

    def text_of(self, token: int) -> str:
        """What one id adds to a text, its leading space included; the replacement character for unknown words."""
        return _REPLACEMENT if token == UNKNOWN else self.vocabulary[token]

    def encode_ids(self, text: str) -> np.ndarray:
        """Ids of normalised prose: int32 (N,)."""
        return self.ids_of(split_words(text))

    def ids_of(self, tokens: Sequence[str]) -> np.ndarray:
        """Ids of tokens: int32 (N,)."""
        return np.fromiter(map(self._ids.get, tokens, repeat(UNKNOWN)), np.int32, count=len(tokens))

    def encode(self, text: str) -> Tokens:
        """Tokenize normalised prose.

        Args:
            text: as `engine.prose.normalise_prose` gives it; may be empty.

        Returns:
            Tokens, each a word of its own; spans leave the leading spaces out, and unknown words keep their text.
        """
        tokens = split_words(text)
        ids = tuple(self._ids.get(token, UNKNOWN) for token in tokens)
        spans = tuple(_spans(tokens))
        labels = tuple(_label(token) for token in tokens)
        return Tokens(text, labels, ids, tuple(range(len(ids))), spans, (False,) * len(ids))

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids; unknown words give the replacement character."""
        return join_words(self.text_of(token) for token in ids)


def _label(token: str) -> str:
    return _SHOWN.get(token) or token.removeprefix(" ")


def _spans(tokens: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Character spans in the joined text, without leading spaces; that before a paragraph stands for no character."""
    end, begins = 0, True
    for token in tokens:
        start = end
        end += len(token) - (begins and token != PARAGRAPH)
        yield (end - len(token.removeprefix(" ")) if len(token) > 1 else start, end)
        begins = token == PARAGRAPH


def _damaged(path: Path, reason: str) -> str:
    return f"The vocabulary in {path.name} cannot be read: {reason}. Restore the file from the repository."
