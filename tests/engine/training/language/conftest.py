"""Books of a toy language, prepared."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.prose import normalise_prose
from engine.text import Subwords
from engine.training.language import loop
from engine.training.language.prepared import prepare, train_subwords
from tests.engine.training.language.toys import PIECES, headed, toy_book


@pytest.fixture(scope="session")
def books() -> list[str]:
    """Two books in normal form."""
    return [normalise_prose(toy_book(sentences, seed)) for sentences, seed in ((1200, 1), (300, 2))]


@pytest.fixture(scope="session")
def subwords(books: list[str]) -> Subwords:
    """Pieces counted on them."""
    return Subwords(train_subwords(books, PIECES))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two books to learn from and one held out."""
    folder = tmp_path_factory.mktemp("data") / "english"
    folder.mkdir()
    train = headed("One", toy_book(1200, 1)) + headed("Two", toy_book(300, 2))
    (folder / "gutenberg.train.txt").write_text(train, "utf-8")
    (folder / "gutenberg.valid.txt").write_text(headed("Three", toy_book(200, 3)), "utf-8")
    return folder.parent


@pytest.fixture(scope="session")
def prepared(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What runs read of them."""
    folder = tmp_path_factory.mktemp("prepared")
    prepare(data, folder, PIECES)
    return folder


@pytest.fixture(autouse=True)
def own_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop leaves the allocator of this process alone."""
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: None)
