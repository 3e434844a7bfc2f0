"""Books as the language models read them."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

from engine.errors import ConfigError
from engine.prose import normalise_prose

TRAIN, HELD_OUT = "gutenberg.train.txt", "gutenberg.valid.txt"
# What stands before each book: its title, author and year. A title may follow the cut end of the book before.
_HEADER = re.compile(r"Title: [^\n]*\n+Author: [^\n]*\n+Year: [^\n]*\n+-+\n")


def read_prose(path: Path) -> list[str]:
    """The books of a text file, plain or .xz, without headers, each in the form of `engine.prose.normalise_prose`.

    Raises:
        ConfigError: there is no text in it.
    """
    content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    books = [normalise_prose(book) for book in _HEADER.split(content.decode("utf-8"))]
    books = [book for book in books if book]
    if not books:
        raise ConfigError(f"{path} holds no text. Give a folder with English text to --data.")
    return books
