"""`saccade fetch-data`: English books of Project Gutenberg, in the layout that word completion is trained on.

One request at a time with a pause after each, as the site asks of programs; what was downloaded is kept, so that a call
that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.training.autocomplete.text import HELD_OUT, TRAIN
from engine.training.fetch import download

SITE = "https://www.gutenberg.org"
LICENCE = "public domain in the USA; the terms of use are at https://www.gutenberg.org/policy/license.html"
PAUSE = 2.0  # seconds after each request
KEPT = "books"  # the folder beside the texts with the downloaded books, as they came

_START = re.compile(r"\*{3}\s*START OF TH(?:E|IS) PROJECT GUTENBERG EBOOK.*?\*{3}", re.DOTALL | re.IGNORECASE)
_END = re.compile(r"\*{3}\s*END OF TH(?:E|IS) PROJECT GUTENBERG EBOOK", re.IGNORECASE)
_CREDITS = re.compile(r"\A(?:produced by|e-?text prepared by|this etext was|\[?transcriber)", re.IGNORECASE)
_CLOSING = re.compile(r"\n\s*end of (?:the )?project gutenberg(?:'s|’s)?[^\n]*(?:\n[^\n]+)*\s*\Z", re.IGNORECASE)
_PICTURE = re.compile(r"\[Illustration[^\]]*\]", re.IGNORECASE)
_BLANK = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True)
class Book:
    """A book of Project Gutenberg.

    Attributes:
        number: of the e-book.
        title: for people.
        author: for people.
        year: of the first edition.
        held_out: nothing learns from it; scores are measured on it.
    """

    number: int
    title: str
    author: str
    year: int
    held_out: bool = False

    @property
    def url(self) -> str:
        """Of its plain text."""
        return f"{SITE}/cache/epub/{self.number}/pg{self.number}.txt"


BOOKS: tuple[Book, ...] = (
    Book(11, "Alice's Adventures in Wonderland", "Lewis Carroll", 1865),
    Book(12, "Through the Looking-Glass", "Lewis Carroll", 1871),
    Book(35, "The Time Machine", "H.G. Wells", 1895),
    Book(36, "The War of the Worlds", "H.G. Wells", 1898),
    Book(43, "The Strange Case of Dr. Jekyll and Mr. Hyde", "Robert Louis Stevenson", 1886),
    Book(45, "Anne of Green Gables", "Lucy Maud Montgomery", 1908),
    Book(46, "A Christmas Carol", "Charles Dickens", 1843),
    Book(55, "The Wonderful Wizard of Oz", "L. Frank Baum", 1900),
    Book(74, "The Adventures of Tom Sawyer", "Mark Twain", 1876),
    Book(76, "Adventures of Huckleberry Finn", "Mark Twain", 1884),
    Book(82, "Ivanhoe", "Walter Scott", 1820),
    Book(84, "Frankenstein", "Mary Shelley", 1818),
    Book(98, "A Tale of Two Cities", "Charles Dickens", 1859),
    Book(107, "Far from the Madding Crowd", "Thomas Hardy", 1874),
    Book(110, "Tess of the d'Urbervilles", "Thomas Hardy", 1891),
    Book(113, "The Secret Garden", "Frances Hodgson Burnett", 1911),
    Book(120, "Treasure Island", "Robert Louis Stevenson", 1883),
    Book(145, "Middlemarch", "George Eliot", 1871),
    Book(153, "Jude the Obscure", "Thomas Hardy", 1895),
    Book(155, "The Moonstone", "Wilkie Collins", 1868),
    Book(158, "Emma", "Jane Austen", 1815),
    Book(161, "Sense and Sensibility", "Jane Austen", 1811),
    Book(174, "The Picture of Dorian Gray", "Oscar Wilde", 1890),
    Book(215, "The Call of the Wild", "Jack London", 1903),
    Book(289, "The Wind in the Willows", "Kenneth Grahame", 1908),
    Book(345, "Dracula", "Bram Stoker", 1897),
    Book(514, "Little Women", "Louisa May Alcott", 1868),
    Book(541, "The Age of Innocence", "Edith Wharton", 1920),
    Book(550, "Silas Marner", "George Eliot", 1861),
    Book(583, "The Woman in White", "Wilkie Collins", 1860),
    Book(599, "Vanity Fair", "William Makepeace Thackeray", 1848),
    Book(730, "Oliver Twist", "Charles Dickens", 1838),
    Book(766, "David Copperfield", "Charles Dickens", 1850),
    Book(768, "Wuthering Heights", "Emily Brontë", 1847),
    Book(829, "Gulliver's Travels", "Jonathan Swift", 1726),
    Book(910, "White Fang", "Jack London", 1906),
    Book(1023, "Bleak House", "Charles Dickens", 1853),
    Book(1260, "Jane Eyre", "Charlotte Brontë", 1847),
    Book(1342, "Pride and Prejudice", "Jane Austen", 1813),
    Book(1400, "Great Expectations", "Charles Dickens", 1861),
    Book(1661, "The Adventures of Sherlock Holmes", "Arthur Conan Doyle", 1892),
    Book(2166, "King Solomon's Mines", "H. Rider Haggard", 1885),
    Book(2701, "Moby Dick", "Herman Melville", 1851),
    Book(105, "Persuasion", "Jane Austen", 1817, held_out=True),
    Book(558, "The Thirty-Nine Steps", "John Buchan", 1915, held_out=True),
    Book(611, "Prester John", "John Buchan", 1910, held_out=True),
    Book(2145, "Ben-Hur", "Lew Wallace", 1880, held_out=True),
)


def fetch_books(
    folder: Path, books: Sequence[Book] | None = None, report: Callable[[int], None] = lambda done: None
) -> list[Path]:
    """Download what is not there yet and write the books as two texts, replacing what an earlier call wrote.

    Args:
        folder: the data folder, as for `--data`; english/ in it gets the texts, english/books/ the books as they came.
        books: what to fetch; all of `BOOKS` by default.
        report: called with the number of books that are there since the last call.

    Returns:
        The two texts: to learn from, and held out.

    Raises:
        InputError: the site cannot be reached, or sends something else than a book; what came before is kept.
    """
    target = folder / "english"
    (target / KEPT).mkdir(parents=True, exist_ok=True)
    texts = {TRAIN: "", HELD_OUT: ""}
    for book in BOOKS if books is None else books:
        body = read_book(_downloaded(book, target / KEPT), book.url)
        header = f"Title: {book.title}\n\nAuthor: {book.author}\n\nYear: {book.year}\n\n-------\n\n"
        texts[HELD_OUT if book.held_out else TRAIN] += f"{header}{body}\n\n"
        report(1)
    for name, text in texts.items():
        _replace(target / name, text.encode())
    return [target / name for name in texts]


def _downloaded(book: Book, folder: Path) -> bytes:
    """The book as it came, from the folder if it is there already."""
    path = folder / f"pg{book.number}.txt"
    if path.is_file():
        return path.read_bytes()
    content = download(book.url, lambda done, total: None)
    read_book(content, book.url)  # only a book is kept
    _replace(path, content)
    time.sleep(PAUSE)
    return content


def _replace(path: Path, content: bytes) -> None:
    """Write a file at once: whoever is interrupted leaves no half of it."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)


def read_book(content: bytes, url: str) -> str:
    """The author's text of a downloaded book, without the site's own before and after it.

    Args:
        content: UTF-8 text as the site sends it.
        url: where it came from.

    Raises:
        InputError: the marks are missing between which the site puts a book.
    """
    text = content.decode("utf-8-sig", errors="replace").replace("\r\n", "\n")
    start = _START.search(text)
    end = _END.search(text, start.end()) if start else None
    if start is None or end is None:
        raise InputError(
            f"What {url} sent is not the book that was expected. Open the address in a browser to see what the site "
            "says, or run the command again later."
        )
    return _without_credits(_PICTURE.sub("", text[start.end() : end.start()]))


def _without_credits(text: str) -> str:
    """Without who prepared the file, which stands before many a book, and the line that closes it."""
    text = _CLOSING.sub("", text).strip()
    while _CREDITS.match(text):
        _, _, text = text.partition("\n\n")
        text = text.strip()
    return _BLANK.sub("\n\n", text)
