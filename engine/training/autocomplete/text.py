"""English books as a stream of characters and, at each of them, the word that is being typed.

Source: Madsen 2019, "Visualizing memorization in RNNs" (Distill): every character, the space before a word included,
predicts the whole word.
"""

from __future__ import annotations

import lzma
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from engine.characters import ALPHABET, fold_text
from engine.errors import ConfigError

SPACE = ALPHABET.index(" ") + 1  # its id: 0 is padding
OUTSIDE = -1  # the target where the word is outside the vocabulary: no loss, no score
VALIDATION_SHARE = 0.1  # of the held-out text, whose loss a run's log follows; scores are measured on the rest
TRAIN, HELD_OUT = "gutenberg.train.txt", "gutenberg.valid.txt"
# What stands before each book: its title, author and year. A title may follow the cut end of the book before.
_HEADER = re.compile(r"Title: [^\n]*\n+Author: [^\n]*\n+Year: [^\n]*\n+-+\n")
_IDS = np.zeros(256, dtype=np.uint8)
_IDS[[ord(character) for character in ALPHABET]] = np.arange(1, len(ALPHABET) + 1)


def find_text(data: Path, name: str) -> Path:
    """The file data/english/`name`, plain or .xz.

    Raises:
        ConfigError: there is neither.
    """
    plain = data / "english" / name
    for path in (plain, plain.with_name(f"{name}.xz")):
        if path.is_file():
            return path
    raise ConfigError(
        f"{plain} is missing: a text of public-domain books, plain or .xz. Put it there, or give another --data."
    )


def read_books(path: Path) -> list[str]:
    """The books of a text file, plain or .xz, without headers, each folded to words of a-z with one space between.

    Raises:
        ConfigError: no words are in it.
    """
    content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    folded = (fold_text(book).strip() for book in _HEADER.split(content.decode("utf-8")))
    books = [book for book in folded if book]
    if not books:
        raise ConfigError(f"{path} holds no words of the letters a to z. Give a folder with English text to --data.")
    return books


def count_vocabulary(books: Iterable[str], size: int) -> tuple[str, ...]:
    """The most frequent words, most frequent first, equals in alphabetical order.

    Args:
        books: folded texts.
        size: of the vocabulary.

    Raises:
        ConfigError: the texts have fewer words.
    """
    counts: Counter[str] = Counter()
    for book in books:
        counts.update(book.split(" "))
    if len(counts) < size:
        raise ConfigError(f"The text has {len(counts)} different words, fewer than the {size} of the vocabulary.")
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:size])


@dataclass(frozen=True, eq=False)
class Text:
    """Words, each after one space, and what each of them is in the vocabulary.

    Attributes:
        characters: uint8 (N,), ids of `engine.characters`: 1 for the space, 2 to 27 for a to z; starts with a space.
        words: int16 (W,), index in the vocabulary or -1, one for each space in `characters`.
    """

    characters: np.ndarray
    words: np.ndarray

    def __len__(self) -> int:
        return len(self.characters)

    @cached_property
    def starts(self) -> np.ndarray:
        """Where each word's space stands: int64 (W,)."""
        return np.flatnonzero(self.characters == SPACE)

    @cached_property
    def _lengths(self) -> np.ndarray:
        """Characters of each word, its space included: int64 (W,)."""
        return np.diff(self.starts, append=len(self))

    @cached_property
    def targets(self) -> np.ndarray:
        """At each character the word that it belongs to, at a space the word after it: int16 (N,)."""
        return np.repeat(self.words, self._lengths)

    @cached_property
    def known(self) -> np.ndarray:
        """Letters of the word that have been typed at each character, 0 at the space: int64 (N,)."""
        return np.arange(len(self)) - np.repeat(self.starts, self._lengths)

    def slice(self, first: int, last: int) -> Text:
        """The words from `first` up to `last`."""
        bounds = np.append(self.starts, len(self))
        return Text(self.characters[bounds[first] : bounds[last]], self.words[first:last])

    def tile(self, length: int, first: int = 0) -> np.ndarray:
        """Cut the text into sequences of whole words, as many as fit into `length` characters.

        A word that does not fit into a sequence of its own loses its last letters.

        Args:
            length: the most characters of a sequence.
            first: words of the first sequence, at most as many as fit; 0 for as many as fit.

        Returns:
            int64 (S, 2): where each sequence starts (at a space) and ends.
        """
        after = _words_after(self, length)
        cuts = [0, min(first, int(after[0]))] if first else [0]
        while cuts[-1] < len(self.words):
            cuts.append(int(after[cuts[-1]]))
        edges = np.append(self.starts, len(self))[cuts]
        return np.stack([edges[:-1], np.minimum(edges[1:], edges[:-1] + length)], axis=1)


@lru_cache(maxsize=4)
def _words_after(text: Text, length: int) -> np.ndarray:
    """The first word that does not fit into a sequence with this one, at least the next: int64 (W,)."""
    bounds = np.append(text.starts, len(text))
    after = np.searchsorted(bounds, bounds[:-1] + length, side="right") - 1
    return np.maximum(after, np.arange(1, len(bounds)))


def encode(books: Iterable[str], vocabulary: Sequence[str]) -> Text:
    """Folded books, one after another, as one text."""
    ids = {word: index for index, word in enumerate(vocabulary)}
    characters, words = [], []
    for book in books:
        split = book.split(" ")
        characters.append(encode_characters(f" {book}"))
        words.append(np.fromiter((ids.get(word, OUTSIDE) for word in split), np.int16, count=len(split)))
    return Text(np.concatenate(characters), np.concatenate(words))


def encode_characters(folded: str) -> np.ndarray:
    """The ids of a-z and space: uint8 (N,)."""
    return _IDS[np.frombuffer(folded.encode("ascii"), dtype=np.uint8)]


def split_held_out(text: Text) -> tuple[Text, Text]:
    """The part whose loss is followed in training, and the part that scores are measured on."""
    border = int(len(text.words) * VALIDATION_SHARE)
    return text.slice(0, border), text.slice(border, len(text.words))
