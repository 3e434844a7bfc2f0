"""`saccade fetch-data`: public sentence pairs from their own sites, split and normalised the way training reads
them.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import tarfile
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.text import french_spacing, normalise
from engine.training.data import Pair

HELD_OUT = 2000  # pairs of each source for validation, and again for test
CHUNK = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Source:
    """A corpus on the web.

    Attributes:
        url: of the archive.
        licence: in words.
        read: from the archive's bytes to pairs.
        words: shortest and longest English side kept, in words.
        prefix: of the held-out files' names.
    """

    url: str
    licence: str
    read: Callable[[bytes], Iterator[Pair]]
    words: tuple[int, int]
    prefix: str


def read_tatoeba(archive: bytes) -> Iterator[Pair]:
    """Pairs of a zip with a tab-separated `fra.txt`: English, French, attribution."""
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for line in _lines(files.read("fra.txt")):
            columns = line.split("\t")
            if len(columns) >= 2:
                yield columns[0], columns[1]


def read_europarl(archive: bytes) -> Iterator[Pair]:
    """Pairs of a tar.gz with two parallel text files, ending in .en and .fr."""
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as files:
        sides = {}
        for member in files.getmembers():
            ending = member.name.rsplit(".", 1)[-1]
            content = files.extractfile(member) if ending in ("en", "fr") else None
            if content is not None:
                sides[ending] = _lines(content.read())
        yield from zip(sides["en"], sides["fr"], strict=True)


def _lines(content: bytes) -> list[str]:
    """Lines of a text; only a newline ends one (`str.splitlines` also cuts at U+2028, which shifts parallel files)."""
    return content.decode("utf-8").removesuffix("\n").split("\n")


SOURCES: dict[str, Source] = {
    "tatoeba": Source(
        "https://www.manythings.org/anki/fra-eng.zip", "CC-BY 2.0 FR (tatoeba.org)", read_tatoeba, (1, 60), ""
    ),
    "europarl": Source(
        "https://www.statmt.org/europarl/v7/fr-en.tgz",
        "no known restriction (Koehn 2005)",
        read_europarl,
        (5, 30),
        "europarl-",
    ),
}


def download(url: str, report: Callable[[int, int], None]) -> bytes:
    """The bytes behind a URL; `report` gets bytes so far and in all (0 if unknown).

    Raises:
        InputError: the site cannot be reached, refuses or stops half-way.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "saccade fetch-data"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            total, parts, done = int(answer.headers.get("Content-Length") or 0), [], 0
            while chunk := answer.read(CHUNK):
                parts.append(chunk)
                done += len(chunk)
                report(done, total)
            if done < total:
                raise OSError(f"it ended after {done} of {total} bytes")
            return b"".join(parts)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} could not be read ({reason}). Check the connection and run the command again."
        ) from error


def read_archive(source: Source, archive: bytes) -> list[Pair]:
    """The pairs of a downloaded archive.

    Raises:
        InputError: it is not the archive that `source.read` expects.
    """
    try:
        return list(source.read(archive))
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, OSError, EOFError, LookupError, ValueError) as error:
        raise InputError(
            f"What {source.url} sent is not the archive of sentence pairs that was expected ({error}). Open the "
            "address in a browser to see what the site says, or run the command again later."
        ) from error


def sentence_key(english: str) -> str:
    """What makes two English sentences the same for the split: letters, digits and spaces between, without case."""
    return " ".join("".join(c for c in english.lower() if c.isalnum() or c == " ").split())


def split(pairs: Iterable[Pair], words: tuple[int, int], held_out: int = HELD_OUT) -> dict[str, list[Pair]]:
    """Clean pairs into "train", "valid" and "test"; no English sentence is in two of them.

    The part is chosen by a hash of the English sentence without case and punctuation, so that it never changes.
    """
    by_key: dict[str, list[Pair]] = {}
    for english, french in pairs:
        english, french = normalise(english), french_spacing(normalise(french))
        if words[0] <= len(english.split()) <= words[1] and french:
            by_key.setdefault(sentence_key(english), []).append((english, french))
    order = sorted(by_key, key=lambda key: hashlib.sha256(key.encode()).digest())
    held_out = min(held_out, len(order) // 10)
    parts = {"test": order[:held_out], "valid": order[held_out : 2 * held_out]}
    split_pairs = {name: [by_key[key][0] for key in keys] for name, keys in parts.items()}
    return split_pairs | {"train": [pair for key in order[2 * held_out :] for pair in by_key[key]]}


def fetch(
    folder: Path,
    sources: dict[str, Source] | None = None,
    report: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> list[Path]:
    """Download, clean and split every source into `folder`/en-fr, replacing what an earlier call wrote.

    A sentence that one source holds out is in no source's training pairs.

    Args:
        folder: the data folder, as for `--data`.
        sources: what to fetch; all of `SOURCES` by default.
        report: called with a source's name, bytes so far and in all.

    Returns:
        The files written.
    """
    parts: dict[str, dict[str, list[Pair]]] = {}
    for name, source in (sources or SOURCES).items():
        archive = download(source.url, lambda done, total, name=name: report(name, done, total))  # type: ignore[misc]
        parts[name] = split(read_archive(source, archive), source.words)
    held_out = {sentence_key(pair[0]) for some in parts.values() for half in ("valid", "test") for pair in some[half]}
    target = folder / "en-fr"
    target.mkdir(parents=True, exist_ok=True)
    rows = [(*pair, name) for name, some in parts.items() for pair in some["train"]]
    _write(target / "train.tsv", [row for row in rows if sentence_key(row[0]) not in held_out])
    written = [target / "train.tsv"]
    for name, source in (sources or SOURCES).items():
        for half in ("valid", "test"):
            written.append(target / f"{source.prefix}{half}.tsv")
            _write(written[-1], parts[name][half])
    return written


def _write(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")
