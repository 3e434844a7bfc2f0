"""Sentence pairs with hand-made word links: two published collections, uploaded files and the pairs that ship."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from engine.alignment import Link, detokenised
from engine.catalogue import ASSETS
from engine.errors import ConfigError, InputError, SaccadeError
from engine.text import normalise
from engine.types import LinkedPair

PAIRS = ASSETS / "alignment" / "pairs.tsv"
MOST_PAIRS, MOST_WORDS, MOST_BYTES = 200, 100, 1_000_000  # of an uploaded file
TASKS = ("task_1_fr-en", "task_2_fr-en")
ANNOTATORS = (1, 2, 3)
RIGHT = frozenset({"sure", "contextual", "partial", "possible"})
_NAMESPACE = "{http://transread.limsi.fr}"
_PLACE = re.compile(r"[^_]+_(\d+)-(\d+)_(\d+)-(\d+)")  # depth, French first-last, English first-last
_VOTE = re.compile(r"(\d+):(\d+):([a-z]+)")
_LINK = re.compile(r"([0-9]{1,4})([-p])([0-9]{1,4})")
_FORM = "source words, a tab, target words, a tab, links"


def read_alibi(path: Path) -> tuple[LinkedPair, ...]:
    """English-French pairs of a file of the Alibi collection (LIMSI), with full word alignment.

    The file links phrases within phrases: a link's id "2.7_5-6_4-4" has its group and depth, its first and last French
    word and its first and last English one; `parentID` is the link it lies in. Words are counted from 0 and parted by
    spaces in the outermost link's text. Only leaves, links that hold no other, are read as word links:

    - sure: a leaf of one French and one English word;
    - possible: also every word pair of any other leaf ("l'école" – "school").

    Words that only an outer link holds (a comma beside a phrase) are linked to nothing. `certainty` is 1 in all links
    of the published file and so tells nothing; a leaf that had less would be possible, not sure. Groups without an
    outermost link (a sentence that the other side leaves out) are skipped.

    Raises:
        ConfigError: the file is missing or is none of this kind.
    """
    try:
        root = ET.fromstring(_bytes_of(path))
        groups = [group.findall(f"{_NAMESPACE}link") for group in root.iter(f"{_NAMESPACE}linkGroup")]
        pairs = tuple(_alibi_pair(links, path.stem) for links in groups if links)
    except (ET.ParseError, KeyError, ValueError, AttributeError, AssertionError, StopIteration) as error:
        raise _unreadable(path) from error
    if not pairs:
        raise _unreadable(path)
    return pairs


def _alibi_pair(links: Sequence[ET.Element], story: str) -> LinkedPair:
    outer = next(link for link in links if link.get("parentID") == "ROOT")
    french, english = (tuple((span.text or "").split()) for span in outer.iter(f"{_NAMESPACE}docSpan"))
    parents = {link.get("parentID") for link in links}
    sure: set[Link] = set()
    possible: set[Link] = set()
    for link in links:
        if link.attrib["id"] in parents:
            continue
        place = _PLACE.fullmatch(link.attrib["id"])
        assert place is not None
        first, last, first_english, last_english = map(int, place.groups())
        words = {(e, f) for e in range(first_english, last_english + 1) for f in range(first, last + 1)}
        possible |= words
        if len(words) == 1 and float(link.attrib["certainty"]) >= 1:
            sure |= words
    name = f"{story}, {outer.attrib['id'].split('.')[0]}"
    return LinkedPair(english, french, frozenset(sure), frozenset(possible), name=name)


def read_transread(folder: Path) -> tuple[LinkedPair, ...]:
    """English-French pairs of the TransRead collection (Xu and Yvon 2016): links that three people have judged.

    Somebody chose the links, in part doubtful ones; of all others nothing is known (`partial`). A judgement is
    `French word:English word:label`, words from 0. The labels "sure", "contextual" (right here, not in general),
    "partial" (a part of a longer right link) and "possible" mean that the link is right, "wrong" and "unaligned" that
    it is not. Both tasks judge links of the same sentences and are put together.

    - possible: more than half of a link's judgements say that it is right;
    - sure: more than half say "sure".

    Judgements that name no word or several on a side ("205 :3,0:unaligned") are skipped, and so are pairs without a
    right link.

    Args:
        folder: with task_1_fr-en and task_2_fr-en, each the text and its three annotators' files.

    Raises:
        ConfigError: a file is missing or is none of this kind.
    """
    votes: dict[tuple[tuple[str, ...], tuple[str, ...]], dict[Link, Counter[str]]] = {}
    for task in TASKS:
        path = folder / task / f"{task}.txt"
        try:
            sentences = dict(_sentences(_bytes_of(path).decode("utf-8")))
        except ValueError as error:
            raise _unreadable(path) from error
        for annotator in ANNOTATORS:
            path = folder / task / f"{task}_annotation_{annotator}.txt"
            try:
                for number, link, label in _judgements(_bytes_of(path).decode("utf-8")):
                    votes.setdefault(sentences[number], defaultdict(Counter))[link][label] += 1
            except (ValueError, KeyError) as error:
                raise _unreadable(path) from error
    try:
        pairs = [_judged(*words, links, f"TransRead, {i}") for i, (words, links) in enumerate(votes.items(), 1)]
    except AssertionError as error:
        raise _unreadable(folder) from error
    return tuple(pair for pair in pairs if pair.possible)


def _sentences(text: str) -> Iterator[tuple[str, tuple[tuple[str, ...], tuple[str, ...]]]]:
    """Number, English and French words: three lines each, the number, French, English."""
    lines = text.rstrip("\n").split("\n")
    for number, french, english in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        yield number.strip(), (tuple(english.split()), tuple(french.split()))


def _judgements(text: str) -> Iterator[tuple[str, Link, str]]:
    """Sentence number, link (English, French) and label."""
    for line in text.split("\n"):
        number, *judged = line.split() or [""]
        for vote in map(_VOTE.fullmatch, judged):
            if vote:
                yield number, (int(vote[2]), int(vote[1])), vote[3]


def _judged(
    english: tuple[str, ...], french: tuple[str, ...], votes: Mapping[Link, Counter[str]], name: str
) -> LinkedPair:
    possible = {link for link, labels in votes.items() if 2 * sum(labels[r] for r in RIGHT) > labels.total()}
    sure = {link for link in possible if 2 * votes[link]["sure"] > votes[link].total()}
    return LinkedPair(english, french, frozenset(sure), frozenset(possible), True, name)


def read_pairs_file(text: str) -> tuple[LinkedPair, ...]:
    """Pairs from a file that a user made: lines of source words, a tab, target words, a tab, links.

    Words are parted by spaces, punctuation and "l'" are words of their own. Links are parted by spaces: "0-2" is a sure
    one between the first source word and the third target word, "0p2" a possible one; sure links are possible too.
    Empty lines and lines that start with # are skipped. Words are read in normalised form (`engine.text.normalise`).

    Args:
        text: at most 1 MB, with at most 200 pairs of at most 100 words a side.

    Raises:
        InputError: the file cannot be read so; the message names the line and what to do.
    """
    if len(text) > MOST_BYTES or len(text.encode("utf-8", "replace")) > MOST_BYTES:
        raise InputError(f"The file is larger than {MOST_BYTES / 1e6:g} MB. Keep at most {MOST_PAIRS} pairs in it.")
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    numbered = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if not numbered:
        raise InputError(f"There is no pair in this file. Write one a line: {_FORM}.")
    if len(numbered) > MOST_PAIRS:
        raise InputError(
            f"Line {numbered[MOST_PAIRS][0]} is pair {MOST_PAIRS + 1}, and {MOST_PAIRS} is the most. "
            "Split the file into several."
        )
    return tuple(_pair(line, number) for number, line in numbered)


def pair_line(pair: LinkedPair) -> str:
    """A pair as `read_pairs_file` reads it: words and links, with tabs between."""
    links = sorted(pair.possible, key=lambda link: (link[1], link[0]))
    written = " ".join(f"{source}{'-' if (source, target) in pair.sure else 'p'}{target}" for source, target in links)
    return "\t".join((" ".join(pair.source), " ".join(pair.target), written))


def _pair(line: str, number: int) -> LinkedPair:
    cells = line.split("\t")
    if len(cells) != 3:
        raise InputError(f"Line {number} has {len(cells)} columns instead of 3. Write {_FORM}.")
    source, target = (_words(cell, side, number) for cell, side in zip(cells, ("source", "target"), strict=False))
    links: dict[str, set[Link]] = {"-": set(), "p": set()}
    for entry in cells[2].split():
        kind, link = _link(entry, source, target, number)
        if link in links["-"] | links["p"]:
            raise InputError(f"Line {number}: {entry!r} links two words that are linked already. Leave one out.")
        links[kind].add(link)
    if not any(links.values()):
        raise InputError(f"Line {number} has no links. Write them in its third column, for example 0-0 1p2.")
    try:
        name = detokenised(source, "en")[0]
        detokenised(target, "fr")
    except InputError as error:
        raise InputError(f"Line {number}: {error}") from None
    return LinkedPair(source, target, frozenset(links["-"]), frozenset(links["-"] | links["p"]), name=name)


def _words(cell: str, side: str, number: int) -> tuple[str, ...]:
    words = tuple(map(normalise, cell.split()))
    if not words:
        raise InputError(f"Line {number} has no {side} words. Write {_FORM}.")
    if len(words) > MOST_WORDS:
        raise InputError(
            f"Line {number} has {len(words)} {side} words and {MOST_WORDS} is the most. Split or shorten the sentence."
        )
    return words


def _link(entry: str, source: Sequence[str], target: Sequence[str], number: int) -> tuple[str, Link]:
    found = _LINK.fullmatch(entry)
    if not found:
        shown = entry if len(entry) <= 20 else f"{entry[:20]}…"
        raise InputError(
            f"Line {number}: {shown!r} is no link. Write a source word's number, - (sure) or p (possible) and a target "
            "word's number, from 0: for example 0-0 1p2."
        )
    link = int(found[1]), int(found[3])
    for place, words, side in zip(link, (source, target), ("source", "target"), strict=True):
        if place >= len(words):
            raise InputError(
                f"Line {number}: {entry!r} names {side} word {place}, and the last one is {len(words) - 1}. "
                "Count the words from 0, source first."
            )
    return found[2], link


@cache
def shipped_pairs() -> tuple[LinkedPair, ...]:
    """The pairs that ship, in the file's order: this project's own sentences and links (Apache-2.0).

    Raises:
        ConfigError: the file is missing or damaged.
    """
    try:
        return read_pairs_file(PAIRS.read_text(encoding="utf-8"))
    except (OSError, ValueError, SaccadeError) as error:
        raise ConfigError(f"{PAIRS.name} cannot be read. Restore it from the repository (git checkout).") from error


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} is missing. Put the collection there, or leave the set “alignment” out.") from error


def _unreadable(path: Path) -> ConfigError:
    return ConfigError(f"{path} is not a file of word links of the kind that was expected. Get it anew.")
