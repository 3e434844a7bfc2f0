"""Books from a file: without headers, in normal form."""

from __future__ import annotations

import lzma

import pytest

from engine.errors import ConfigError
from engine.training.language.text import read_prose

FILE = """Title: The Kettle

Author: Nobody At All

Year: 1900

-------

The kettle didn’t
sing.

“Twice!” said the cat.
The lamp went ouTitle: A Lamp

Author: N. N.

Year: 1901

-------
It was dark.
"""
BOOKS = ['The kettle didn\'t sing.\n"Twice!" said the cat. The lamp went ou', "It was dark."]


@pytest.mark.parametrize("ending", ["txt", "txt.xz"])
def test_books_come_without_headers_in_normal_form(tmp_path, ending):
    path = tmp_path / f"books.{ending}"
    path.write_bytes(lzma.compress(FILE.encode()) if ending.endswith("xz") else FILE.encode())
    assert read_prose(path) == BOOKS


def test_a_text_without_headers_is_one_book(tmp_path):
    path = tmp_path / "books.txt"
    path.write_text("Title: of nothing.\n\nIt begins.", "utf-8")
    assert read_prose(path) == ["Title: of nothing.\nIt begins."]


@pytest.mark.parametrize("content", ["", " \n\n ", FILE[: FILE.index("The kettle")]])
def test_a_file_without_text_is_refused(tmp_path, content):
    path = tmp_path / "books.txt"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigError, match=r"books\.txt holds no text\. Give a folder"):
        read_prose(path)
