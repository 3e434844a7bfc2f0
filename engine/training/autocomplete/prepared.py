"""Everything a run reads, in one compact file: `python -m engine.training.autocomplete.prepared DATA FILE`."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from engine.errors import ConfigError, SaccadeError
from engine.training.autocomplete.text import (
    HELD_OUT,
    TRAIN,
    Text,
    count_vocabulary,
    encode,
    find_text,
    read_books,
    split_held_out,
)
from engine.weights import sha256_of

VOCABULARY = 4096
_PARTS = ("train", "held_out")


@dataclass(frozen=True, slots=True)
class Prepared:
    """The text of a run.

    Attributes:
        vocabulary: the words that are told apart, most frequent first.
        train: what the model learns from.
        held_out: books that it does not see.
        held_out_sha256: checksum of the file that they came from.
    """

    vocabulary: tuple[str, ...]
    train: Text
    held_out: Text
    held_out_sha256: str

    @property
    def validation(self) -> Text:
        """The part of the held-out text whose loss the log follows."""
        return split_held_out(self.held_out)[0]

    @property
    def test(self) -> Text:
        """The part that scores are measured on."""
        return split_held_out(self.held_out)[1]


def prepare(data: Path, size: int = VOCABULARY) -> Prepared:
    """Read, fold and encode data/english/gutenberg.{train,valid}.txt(.xz).

    Args:
        data: folder with english/gutenberg.train.txt and .valid.txt, plain or .xz.
        size: words of the vocabulary, counted on the training text.

    Raises:
        ConfigError: a file is missing or has too few words.
    """
    train, held_out = find_text(data, TRAIN), find_text(data, HELD_OUT)
    books = read_books(train)
    vocabulary = count_vocabulary(books, size)
    return Prepared(
        vocabulary, encode(books, vocabulary), encode(read_books(held_out), vocabulary), sha256_of(held_out)
    )


def save_prepared(prepared: Prepared, path: Path) -> None:
    """Write one compressed file: characters as uint8, one uint16 for each word (65535 outside the vocabulary)."""
    arrays: dict[str, Any] = {
        "vocabulary": np.frombuffer("\n".join(prepared.vocabulary).encode("ascii"), dtype=np.uint8),
        "sha256": np.frombuffer(prepared.held_out_sha256.encode("ascii"), dtype=np.uint8),
    }
    for part in _PARTS:
        text: Text = getattr(prepared, part)
        arrays |= {f"{part}.characters": text.characters, f"{part}.words": text.words.view(np.uint16)}
    temporary = path.with_suffix(".new.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(path)


def load_prepared(path: Path) -> Prepared:
    """What `save_prepared` wrote.

    Raises:
        ConfigError: there is no such file, or it is another kind of file.
    """
    if not path.is_file():
        raise ConfigError(f"There is no file {path}. Give --data DIR to read the texts, or the file of another run.")
    try:
        with np.load(path) as arrays:
            vocabulary, sha256 = (arrays[name].tobytes().decode("ascii") for name in ("vocabulary", "sha256"))
            train, held_out = (
                Text(arrays[f"{part}.characters"], arrays[f"{part}.words"].view(np.int16)) for part in _PARTS
            )
    except (KeyError, ValueError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a prepared text ({error}). Write it again from --data DIR.") from error
    return Prepared(tuple(vocabulary.split("\n")), train, held_out, sha256)


def main(
    data: Annotated[Path, typer.Argument(help="Folder with english/gutenberg.train.txt and .valid.txt, plain or .xz.")],
    file: Annotated[Path, typer.Argument(help="The .npz file to write.")],
    words: Annotated[int, typer.Option(help="Words of the vocabulary.", min=3, max=32767)] = VOCABULARY,
) -> None:
    """Write what a run reads into one file, to be given with --prepared, here or on another machine."""
    try:
        prepared = prepare(data, words)
        file.parent.mkdir(parents=True, exist_ok=True)
        save_prepared(prepared, file)
    except (SaccadeError, OSError) as error:
        typer.echo(f"saccade: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{file}: {file.stat().st_size / 1e6:.1f} MB, {len(prepared.train):,} characters to learn from, "
        f"{len(prepared.held_out):,} held out, {len(prepared.vocabulary):,} words"
    )


if __name__ == "__main__":
    typer.run(main)
