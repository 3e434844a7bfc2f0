"""`saccade fetch-data`: public sentence pairs from their own sites, split and normalised the way training reads
them.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.errors import InputError
from engine.text import normalise
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
        for line in files.read("fra.txt").decode("utf-8").splitlines():
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
                sides[ending] = content.read().decode("utf-8").splitlines()
        yield from zip(sides["en"], sides["fr"], strict=True)


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
        InputError: the site cannot be reached or refuses.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "saccade fetch-data"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            total, parts, done = int(answer.headers.get("Content-Length") or 0), [], 0
            while chunk := answer.read(CHUNK):
                parts.append(chunk)
                done += len(chunk)
                report(done, total)
            return b"".join(parts)
    except (urllib.error.URLError, TimeoutError) as error:
        reason = getattr(error, "reason", error)
        raise InputError(
            f"{url} could not be read ({reason}). Check the connection and run the command again."
        ) from error


def french_spacing(text: str) -> str:
    """Normalised French with one space before ? ! : ; as the training text has it."""
    spaced = normalise(text)
    for mark in "?!:;":
        spaced = spaced.replace(f" {mark}", mark).replace(mark, f" {mark}")
    return spaced.replace("? !", "?!")


def split(pairs: Iterable[Pair], words: tuple[int, int], held_out: int = HELD_OUT) -> dict[str, list[Pair]]:
    """Clean pairs into "train", "valid" and "test"; no English sentence is in two of them.

    The part is chosen by a hash of the English sentence without case and punctuation, so that it never changes.
    """
    by_key: dict[str, list[Pair]] = {}
    for english, french in pairs:
        english, french = normalise(english), french_spacing(french)
        if words[0] <= len(english.split()) <= words[1] and french:
            key = "".join(c for c in english.lower() if c.isalnum() or c == " ")
            by_key.setdefault(key, []).append((english, french))
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

    Args:
        folder: the data folder, as for `--data`.
        sources: what to fetch; all of `SOURCES` by default.
        report: called with a source's name, bytes so far and in all.

    Returns:
        The files written.
    """
    target = folder / "en-fr"
    target.mkdir(parents=True, exist_ok=True)
    training: list[str] = []
    written: list[Path] = []
    for name, source in (sources or SOURCES).items():
        archive = download(source.url, lambda done, total, name=name: report(name, done, total))  # type: ignore[misc]
        parts = split(source.read(archive), source.words)
        training.extend(f"{english}\t{french}\t{name}\n" for english, french in parts["train"])
        for part in ("valid", "test"):
            path = target / f"{source.prefix}{part}.tsv"
            path.write_text("".join(f"{english}\t{french}\n" for english, french in parts[part]), "utf-8")
            written.append(path)
    path = target / "train.tsv"
    path.write_text("".join(training), "utf-8")
    return [path, *written]
