"""Files of linked pairs: what their marks mean, and what is wrong with a file, line by line."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from engine import gold_links
from engine.alignment import diagonal, link_counts
from engine.errors import ConfigError, InputError
from engine.gold_links import pair_line, read_alibi, read_pairs_file, read_transread, shipped_pairs
from engine.types import LinkedPair

ALIBI = """<trAnnot xmlns="http://transread.limsi.fr"><linkList level="chunk">
<linkGroup id="1" type="alignment">{links}</linkGroup>
<linkGroup id="2" type="alignment"></linkGroup></linkList>
<linkList level="token"><linkGroup id="3" type="annotation"><annotation /></linkGroup></linkList></trAnnot>"""
LINK = """<link certainty="{certainty}" id="{id}" parentID="{parent}"><docSpan>{french}</docSpan>
<docSpan>{english}</docSpan></link>"""


def alibi_file(folder: Path, links: list[tuple[str, str, str, str, str]]) -> Path:
    """Links as id, parent, certainty, French, English."""
    keys = ("id", "parent", "certainty", "french", "english")
    text = "".join(LINK.format(**dict(zip(keys, link, strict=True))) for link in links)
    path = folder / "story.xml"
    path.write_text(ALIBI.format(links=text), encoding="utf-8")
    return path


LINKS = [
    ("1.0_0-4_0-2", "ROOT", "1", "L' école rouge , est", "The red school"),
    ("1.1_0-1_2-2", "1.0_0-4_0-2", "1", "L' école", "school"),
    ("1.1_2-3_0-1", "1.0_0-4_0-2", "1", "rouge ,", "The red"),
    ("1.2_2-2_1-1", "1.1_2-3_0-1", "1", "rouge", "red"),
    ("1.1_4-4_0-0", "1.0_0-4_0-2", "0.5", "est", "The"),
]


def test_alibis_leaves_become_links(tmp_path):
    (pair,) = read_alibi(alibi_file(tmp_path, LINKS))
    assert pair.source == ("The", "red", "school") and pair.target == ("L'", "école", "rouge", ",", "est")
    assert pair.sure == {(1, 2)}, "one word to one, certain"
    assert pair.possible == {(1, 2), (2, 0), (2, 1), (0, 4)}, "the comma is in no leaf"
    assert not pair.partial and pair.name == "story, 1"


@pytest.mark.parametrize("change", ["<nothing", "<a/>", "no spans", "a word too far", "no place"])
def test_another_xml_file_is_refused(tmp_path, change):
    links = list(LINKS)
    if change == "a word too far":
        links.append(("1.1_5-5_0-0", "1.0_0-4_0-2", "1", "?", "The"))
    if change == "no place":
        links.append(("one", "1.0_0-4_0-2", "1", "?", "The"))
    path = alibi_file(tmp_path, links)
    if change == "no spans":
        path.write_text(path.read_text("utf-8").replace("docSpan", "span"), "utf-8")
    if change.startswith("<"):
        path.write_text(change, "utf-8")
    with pytest.raises(ConfigError, match=r"story.xml is not a file of word links.*Get it anew"):
        read_alibi(path)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a.xml is missing"):
        read_alibi(tmp_path / "a.xml")
    with pytest.raises(ConfigError, match=r"task_1_fr-en.txt is missing"):
        read_transread(tmp_path)


TEXT = "1\nle chat dort\nthe cat sleeps\n2\noui\nyes\n"


def transread_folder(folder: Path, first: tuple[str, str, str], second: tuple[str, str, str] = ("", "", "")) -> Path:
    for task, files in zip(("task_1_fr-en", "task_2_fr-en"), (first, second), strict=True):
        (folder / task).mkdir()
        (folder / task / f"{task}.txt").write_text(TEXT, "utf-8")
        for annotator, judged in enumerate(files, 1):
            (folder / task / f"{task}_annotation_{annotator}.txt").write_text(judged, "utf-8")
    return folder


def test_transreads_judgements_are_counted(tmp_path):
    first = (
        "\n1 0:0:sure 1:1:sure 2:2:wrong 2:1:sure\n2 0:0:wrong",
        "1 0:0:sure 1:1:contextual 2:2:partial 2:1:wrong\n2 0:0:unaligned\n",
        "1 0:0:wrong 1:1:partial 2:2:contextual 2:1:unaligned 0::unaligned :1,2:unaligned\n2 0:0:sure",
    )
    second = ("1 0:1:possible", "1 0:1:wrong", "")
    (pair,) = read_transread(transread_folder(tmp_path, first, second))  # "oui" has no right link
    assert pair.source == ("the", "cat", "sleeps") and pair.target == ("le", "chat", "dort") and pair.partial
    assert pair.sure == {(0, 0)}, "two of three say sure"
    assert pair.possible == {(0, 0), (1, 1), (2, 2)}, "an even vote (le - cat) is no majority"


def test_french_comes_first_in_transreads_links(tmp_path):
    vote = "1 2:0:sure"
    (pair,) = read_transread(transread_folder(tmp_path, (vote, vote, vote)))
    assert pair.sure == {(0, 2)}, "French word 2 is target word 2"


@pytest.mark.parametrize("judged", ["7 0:0:sure", "1 0:9:sure"])
def test_judgements_of_no_word_are_refused(tmp_path, judged):
    with pytest.raises(ConfigError, match="is not a file of word links"):
        read_transread(transread_folder(tmp_path, (judged, judged, judged)))


GOOD = "the red car\tla voiture rouge\t0-0 1-2 2-1"


def test_a_file_of_ones_own():
    text = f"\ufeff# a comment\r\n{GOOD}\r\n\r\nI didn 't\tJe n' ai\t0-0 2p1\n"
    first, second = read_pairs_file(text)
    assert first == LinkedPair(
        ("the", "red", "car"), ("la", "voiture", "rouge"),
        frozenset({(0, 0), (1, 2), (2, 1)}), frozenset({(0, 0), (1, 2), (2, 1)}), name="the red car",
    )  # fmt: skip
    assert (second.sure, second.possible) == ({(0, 0)}, {(0, 0), (2, 1)})
    assert second.name == "I didn't" and not second.partial


def test_words_are_read_in_normalised_form():
    (pair,) = read_pairs_file("e\u0301t\u00e9\u00a0’s\tl’ «\t0-0")
    assert pair.source == ("été", "'s") and pair.target == ("l'", '"')


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no pair in this file. Write one a line"),
        ("# only a comment\n\n", "There is no pair in this file"),
        (f"{GOOD}\na b\tc d", "Line 2 has 2 columns instead of 3. Write source words, a tab"),
        ("a b c d 0-0", "Line 1 has 1 columns"),
        (f"{GOOD}\tmore", "Line 1 has 4 columns"),
        (f"#\n \ta\t0-0\n{GOOD}", "Line 2 has no source words"),
        ("a\t \t0-0", "Line 1 has no target words"),
        ("a\tb\t", "Line 1 has no links. Write them in its third column"),
        ("a\tb\t0:0", "Line 1: '0:0' is no link. Write a source word's number"),
        ("a\tb\t-1-0", "Line 1: '-1-0' is no link"),
        ("a\tb\t٠-٠", "is no link"),
        ("a\tb\t" + "9" * 5000, "Line 1: '99999999999999999999…' is no link"),
        ("a b\tc\t2-0", "Line 1: '2-0' names source word 2, and the last one is 1. Count the words from 0"),
        ("a b\tc\t1p1", "Line 1: '1p1' names target word 1, and the last one is 0"),
        ("a b\tc\t1p0 1-0", "Line 1: '1-0' links two words that are linked already. Leave one out"),
        ("a \u200b\tc\t0-0", "Line 1: Word 2 has no character that shows"),
        (" ".join("a" * 101) + "\tb\t0-0", "Line 1 has 101 source words and 100 is the most"),
        ("b\t" + " ".join("a" * 101) + "\t0-0", "Line 1 has 101 target words and 100 is the most"),
        ("\n".join(["#", *[GOOD] * 201]), "Line 202 is pair 201, and 200 is the most. Split the file"),
        ("#" + "a" * 1_000_000, "larger than 1 MB"),
        ("#" + "é" * 500_001, "larger than 1 MB"),
    ],
)
def test_every_mistake_is_named_with_its_line(text, message):
    with pytest.raises(InputError) as caught:
        read_pairs_file(text)
    assert message in str(caught.value)


def test_the_largest_file_is_taken():
    line = f"{' '.join('a' * 100)}\t{' '.join('b' * 100)}\t99-99"
    pairs = read_pairs_file("\n".join([line] * 200))
    assert len(pairs) == 200 and pairs[-1].sure == {(99, 99)}


def links_of(pair: LinkedPair) -> Counter[str]:
    return Counter(f"{pair.source[s]}-{pair.target[t]}" for s, t in pair.sure)


def test_the_pairs_that_ship():
    pairs = shipped_pairs()
    assert 12 <= len(pairs) <= 16 and len({pair.source for pair in pairs}) == len(pairs)
    assert sum(len(pair.source) >= 15 for pair in pairs) >= 4, "some long ones"
    for pair in pairs:
        assert {target for _, target in pair.possible} >= {j for j, w in enumerate(pair.target) if w.isalpha()} - {
            j for j, w in enumerate(pair.target) if w == "et"
        }, pair.name
        assert len({s for s, _ in pair.sure}) == len(pair.sure), f"a word with two sure partners: {pair.name}"
        assert not any(word[:-1].count("'") for word in pair.target), "French words are split at clitics"
    area = next(pair for pair in pairs if "Norway" in pair.source)
    assert links_of(area) >= Counter({"European-européenne": 1, "Economic-économique": 1, "Area-zone": 1})
    animal = next(pair for pair in pairs if "animal" in pair.source)
    assert links_of(animal) >= Counter({"The-L'": 1, "not-pas": 1}) and (3, 2) in animal.possible - animal.sure


def test_word_order_differs_in_the_pairs_that_ship():
    """Enough reordering that the diagonal fails on it."""
    counts = [
        link_counts(diagonal(len(pair.source), len(pair.target)), pair.sure, pair.possible) for pair in shipped_pairs()
    ]
    aligned, sure, in_sure, in_possible = map(sum, zip(*counts, strict=True))
    assert 1 - (in_sure + in_possible) / (aligned + sure) > 0.3


def test_a_damaged_file_of_shipped_pairs_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "pairs.tsv"
    monkeypatch.setattr(gold_links, "PAIRS", path)
    for content in (None, b"a\tb\t9-9", b"\xff\xfe"):
        if content is not None:
            path.write_bytes(content)
        shipped_pairs.cache_clear()
        with pytest.raises(ConfigError, match=r"pairs.tsv cannot be read. Restore it"):
            shipped_pairs()
    shipped_pairs.cache_clear()


def test_a_pair_is_written_as_it_is_read():
    for pair in shipped_pairs():
        (again,) = read_pairs_file(pair_line(pair))
        assert (again.source, again.target, again.sure, again.possible) == (
            pair.source, pair.target, pair.sure, pair.possible,
        )  # fmt: skip
