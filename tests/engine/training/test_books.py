"""Books from a site into the texts that word completion reads: what is cut off, and what an interruption leaves."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.characters import fold_text
from engine.errors import InputError
from engine.training import books
from engine.training.autocomplete.text import HELD_OUT, TRAIN, find_text, read_books
from engine.training.books import BOOKS, fetch_books, read_book

BETWEEN = (
    "*** START OF {the} PROJECT GUTENBERG EBOOK {name} ***\n\n{body}\n\n*** END OF {the} PROJECT GUTENBERG EBOOK {name}"
)


def sent(body: str, the: str = "THE", name: str = "A BOOK") -> bytes:
    return f"Header\n\n{BETWEEN.format(the=the, name=name, body=body)} ***\n\nLicence".encode()


# --- One book ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "body"),
    [
        (sent("CHAPTER I\n\nIt began."), "CHAPTER I\n\nIt began."),
        (sent("It began.", the="THIS"), "It began."),
        (sent("It began.", name="A BOOK\nWITH A LONG NAME"), "It began."),
        (b"\xef\xbb\xbf" + sent("It began.").replace(b"\n", b"\r\n"), "It began."),
        (sent("Produced by Jane\nand John\n\nIt began."), "It began."),
        (sent("E-text prepared by Jane\n\nProduced by John\n\nIt began."), "It began."),
        (sent("It began.\n\nEnd of the Project Gutenberg EBook of A Book,\nby Jane"), "It began."),
        (sent("It began.\n\nEnd of Project Gutenberg's A Book, by Jane"), "It began."),
        (sent("[Illustration]\n\nIt [Illustration: a\ncat] began."), "It  began."),
        (sent("One.\n\n\n\n \n\nTwo."), "One.\n\nTwo."),
        # what an author says of production stays
        (sent("It began.\n\nProduced by hand, it lasted."), "It began.\n\nProduced by hand, it lasted."),
    ],
)
def test_what_the_site_adds_is_cut_off(content, body):
    assert read_book(content, "address") == body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>Sign in to the network</html>",
        sent("It began.")[:-60],
        b"*** END OF THE PROJECT GUTENBERG EBOOK X ***",
    ],
)
def test_what_is_no_book_is_refused(content):
    with pytest.raises(InputError, match="address sent is not the book that was expected"):
        read_book(content, "address")


# --- All of them ------------------------------------------------------------------------------------------------------


def test_the_texts_are_what_training_reads(site, tmp_path):
    reported: list[int] = []
    written = fetch_books(tmp_path, report=reported.append)
    assert written == [tmp_path / "english" / TRAIN, tmp_path / "english" / HELD_OUT] and reported == [1, 1, 1]
    words = "chapter i once upon a time there was number it ended"
    assert read_books(find_text(tmp_path, TRAIN)) == [words, words], "two books, and no header in them"
    assert read_books(find_text(tmp_path, HELD_OUT)) == [words]
    assert "Title: The First\n\nAuthor: A. Writer\n\nYear: 1900\n\n-------\n\nCHAPTER I" in written[0].read_text(
        "utf-8"
    )


def test_books_that_are_there_are_not_asked_for_again(site, tmp_path):
    first = [path.read_bytes() for path in fetch_books(tmp_path)]
    assert site.asked == [f"/cache/epub/{n}/pg{n}.txt" for n in (1, 2, 3)]
    assert [path.read_bytes() for path in fetch_books(tmp_path)] == first and len(site.asked) == 3


@pytest.mark.parametrize("way", ["gone", "cut", "another page"])
def test_a_call_that_failed_goes_on_where_it_stopped(site, tmp_path, way):
    path, content = "/cache/epub/2/pg2.txt", site.pages["/cache/epub/2/pg2.txt"]
    if way == "cut":
        site.cut.add(path)
    else:
        site.pages[path] = b"<html>Sign in</html>"
        if way == "gone":
            del site.pages[path]
    with pytest.raises(InputError, match=r"/cache/epub/2/pg2\.txt"):
        fetch_books(tmp_path)
    assert not (tmp_path / "english" / TRAIN).exists(), "half of the books would look like all of them"
    assert [kept.name for kept in (tmp_path / "english" / "books").iterdir()] == ["pg1.txt"]
    site.cut.clear()
    site.pages[path] = content
    site.asked.clear()
    fetch_books(tmp_path)
    assert site.asked == [path, "/cache/epub/3/pg3.txt"]


def test_there_is_a_pause_after_each_request_and_after_no_other(site, tmp_path, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(books, "PAUSE", 1.5)
    monkeypatch.setattr(books.time, "sleep", pauses.append)
    fetch_books(tmp_path)
    fetch_books(tmp_path)
    assert pauses == [1.5] * 3


# --- The list ---------------------------------------------------------------------------------------------------------


def test_the_list_has_every_book_once_and_holds_some_out():
    assert max(Counter(book.number for book in BOOKS).values()) == 1
    assert max(Counter(book.title for book in BOOKS).values()) == 1
    assert sum(book.held_out for book in BOOKS) == 4 and len(BOOKS) > 40
    for book in BOOKS:
        assert book.url == f"https://www.gutenberg.org/cache/epub/{book.number}/pg{book.number}.txt"
        assert book.year < 1929, "public domain"
        assert "\n" not in book.title + book.author and fold_text(book.title).strip()
