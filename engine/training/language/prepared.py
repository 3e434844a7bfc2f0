"""Everything that a run reads, tokenized once: `python -m engine.training.language.prepared DATA FOLDER`."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from engine.errors import ConfigError, SaccadeError
from engine.prose import sentences_of
from engine.text import END, START, Subwords
from engine.training.autocomplete.text import find_text
from engine.training.language.text import HELD_OUT, TRAIN, read_prose
from engine.weights import TOKENIZER, read_json, sha256_of, write_json

VOCABULARY = 6144
LEAST = 500  # times that a character is in the books for the character model to know it
MOST = 255  # characters that a uint8 tells apart, beside the unknown one
CONTROLS = ("[CLS]", "[SEP]", "[MASK]")  # ids 4 to 6: they stand for themselves, and no text can say them
COMMAND = "python -m engine.training.language.prepared DATA FOLDER"
LINE = "\n"  # the piece between two paragraphs
SUBWORDS, CHARACTERS, ALPHABET, ABOUT = "subwords.npz", "characters.npz", "alphabet.json", "prepared.json"
_SAMPLE = 120_000  # paragraphs that the subwords are counted on


@dataclass(frozen=True, eq=False)
class Stream:
    """Books, one after another, as token ids.

    Attributes:
        ids: uint16 (N,): <s>, paragraphs with a line break after each, </s>, and so on.
        sentences: int64 (S,): where each sentence begins.
        books: int64 (B + 1,): where each book's <s> stands, and N.
    """

    ids: np.ndarray
    sentences: np.ndarray
    books: np.ndarray


def train_subwords(books: Sequence[str], size: int) -> bytes:
    """A byte-pair vocabulary of so many pieces, as a sentencepiece model. Source: Sennrich et al. 2016.

    Ids 0 to 3 are padding, unknown, <s> and </s>, 4 to 6 `CONTROLS`, 7 the line break.

    Raises:
        ConfigError: the text is too short for so many pieces.
    """
    import sentencepiece

    paragraphs = [line for book in books for line in book.split(LINE) if len(line) < 4000]
    step = max(1, len(paragraphs) // _SAMPLE)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(paragraphs[::step]), model_writer=model, model_type="bpe", vocab_size=size,
            normalization_rule_name="identity", character_coverage=0.99995, pad_id=0, unk_id=1, bos_id=START,
            eos_id=END, control_symbols=list(CONTROLS), user_defined_symbols=[LINE], num_threads=2, minloglevel=2,
            train_extremely_large_corpus=False,
        )  # fmt: skip
    except RuntimeError as error:  # it says how many there can be
        raise ConfigError(
            f"No vocabulary of {size} subwords comes of this text ({error}). Give a longer text, or another size."
        ) from error
    return model.getvalue()


def encode_subwords(books: Iterable[str], subwords: Subwords) -> Stream:
    """Books as one stream of pieces, sentence by sentence: a piece never spans a space, so the pieces are the same."""
    line = subwords.id_of(LINE)
    parts: list[np.ndarray] = []
    sentences: list[int] = []
    starts: list[int] = []
    length = 0
    for book in books:
        starts.append(length)
        paragraphs = [sentences_of(paragraph) for paragraph in book.split(LINE)]
        encoded = iter(subwords.encode_batch([sentence for sentences_ in paragraphs for sentence in sentences_]))
        ids = [START]
        for paragraph in paragraphs:
            for _ in paragraph:
                sentences.append(length + len(ids))
                ids += next(encoded)
            ids.append(line)
        ids[-1] = END
        parts.append(np.array(ids, dtype=np.uint16))
        length += len(ids)
    return Stream(np.concatenate(parts), np.array(sentences), np.array([*starts, length]))


def count_alphabet(books: Iterable[str], least: int = LEAST) -> tuple[str, ...]:
    """The characters that the books have so many times at least, and the line break that every text is read after, most
    frequent first; at most `MOST`.
    """
    counts: Counter[str] = Counter()
    for book in books:
        counts.update(book)
    counts[LINE] = max(counts[LINE], least)
    ranked = sorted((c for c, n in counts.items() if n >= least), key=lambda c: (-counts[c], c))
    return tuple(ranked if LINE in ranked[:MOST] else [*ranked[: MOST - 1], LINE])[:MOST]


def encode_characters(books: Iterable[str], alphabet: Sequence[str]) -> np.ndarray:
    """Books as character ids, uint8 (N,): 0 for unknown ones, then the alphabet from 1; a line break after each."""
    table = np.zeros(0x110000, dtype=np.uint8)
    table[[ord(c) for c in alphabet]] = np.arange(1, len(alphabet) + 1)
    text = LINE.join(books) + LINE
    return table[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)]


def prepare(data: Path, folder: Path, size: int = VOCABULARY, tokenizer: Path | None = None) -> None:
    """Read data/english/gutenberg.{train,valid}.txt(.xz) and write what runs read into a folder.

    Args:
        data: folder with the texts.
        folder: gets tokenizer.model, subwords.npz, alphabet.json, characters.npz, prepared.json.
        size: pieces of the subword vocabulary; 0 where only characters are wanted, and no file of subwords.
        tokenizer: a sentencepiece model to use instead of a new one.

    Raises:
        ConfigError: a text is missing or empty.
    """
    paths = {"train": find_text(data, TRAIN), "valid": find_text(data, HELD_OUT)}
    books = {part: read_prose(path) for part, path in paths.items()}
    folder.mkdir(parents=True, exist_ok=True)
    streams: dict[str, Stream] = {}
    pieces = 0
    if size:
        model = tokenizer.read_bytes() if tokenizer else train_subwords(books["train"], size)
        (folder / TOKENIZER).write_bytes(model)
        subwords = Subwords(model)
        pieces = len(subwords)
        streams = {part: encode_subwords(texts, subwords) for part, texts in books.items()}
        tokens: dict[str, Any] = {
            f"{part}.{name}": getattr(stream, name)
            for part, stream in streams.items()
            for name in ("ids", "sentences", "books")
        }
        np.savez(folder / SUBWORDS, **tokens)
    alphabet = count_alphabet(books["train"])
    characters: dict[str, Any] = {part: encode_characters(texts, alphabet) for part, texts in books.items()}
    np.savez(folder / CHARACTERS, **characters)
    write_json(folder / ALPHABET, {"characters": "".join(alphabet)})
    write_json(
        folder / ABOUT,
        {
            "characters": {part: sum(len(book) + 1 for book in texts) for part, texts in books.items()},
            "tokens": {part: len(stream.ids) for part, stream in streams.items()},
            "books": {part: len(texts) for part, texts in books.items()},
            "vocabulary": {"subwords": pieces, "characters": len(alphabet) + 1},
            "sha256": {part: sha256_of(path) for part, path in paths.items()},
        },
    )


def load_stream(folder: Path, part: str) -> Stream:
    """The tokens of "train" or "valid".

    Raises:
        ConfigError: the folder was not prepared.
    """
    return Stream(*_arrays(folder / SUBWORDS, [f"{part}.{name}" for name in ("ids", "sentences", "books")]))


def load_characters(folder: Path, part: str) -> np.ndarray:
    """The character ids of "train" or "valid", uint8.

    Raises:
        ConfigError: the folder was not prepared.
    """
    return _arrays(folder / CHARACTERS, [part])[0]


def alphabet_of(folder: Path) -> tuple[str, ...]:
    """The characters of the character model, the one with id 1 first."""
    return tuple(read_json(folder / ALPHABET)["characters"])


def check_prepared(path: Path) -> None:
    """Refuse a folder in which a file of `prepare` is missing.

    Raises:
        ConfigError: naming the file and the command that writes it.
    """
    if not path.is_file():
        raise ConfigError(f"There is no {path}. Write it with `{COMMAND}`.")


def _arrays(path: Path, names: Sequence[str]) -> list[np.ndarray]:
    check_prepared(path)
    try:
        with np.load(path) as arrays:
            return [arrays[name] for name in names]
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is not a prepared text ({error}). Write it again with `{COMMAND}`.") from error


def main(
    data: Annotated[Path, typer.Argument(help="Folder with english/gutenberg.train.txt and .valid.txt, plain or .xz.")],
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    vocabulary: Annotated[int, typer.Option(help="Subwords.", min=300, max=65535)] = VOCABULARY,
    tokenizer: Annotated[Path | None, typer.Option(help="A tokenizer.model to keep.")] = None,
) -> None:
    """Write what runs read into a folder, to be given with --prepared, here or on another machine."""
    try:
        prepare(data, folder, vocabulary, tokenizer)
    except (SaccadeError, OSError) as error:
        typer.echo(f"saccade: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{folder}: {read_json(folder / ABOUT)['tokens']} tokens")


if __name__ == "__main__":
    typer.run(main)
