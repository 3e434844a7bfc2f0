"""Public texts into training files: reading archives, splitting, and what happens when a site fails."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.training import fetch
from engine.training.data import read_pairs, read_training_pairs
from engine.training.fetch import read_europarl, read_tatoeba, sentence_key, split

# --- Archives ---------------------------------------------------------------------------------------------------------

LINE_SEPARATOR = "\u2028"  # not the end of a line in these files, though `str.splitlines` takes it for one


def zipped(text: str) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("fra.txt", text)
    return archive.getvalue()


def test_reading_tatoeba():
    text = f"Hi.\tSalut.\tCC-BY\nno columns\nIt{LINE_SEPARATOR}rains.\tIl pleut.\n"
    assert list(read_tatoeba(zipped(text))) == [("Hi.", "Salut."), (f"It{LINE_SEPARATOR}rains.", "Il pleut.")]


def test_reading_europarl_keeps_the_sides_together():
    """One side has a character at which `str.splitlines` would cut, and an empty line in the middle."""
    pairs = [("One.", "Un."), (f"Two{LINE_SEPARATOR}three.", "Deux trois."), ("", ""), ("Four.\x85", "Quatre.")]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        for name, side in (("README", None), ("x.fr-en.en", 0), ("x.fr-en.fr", 1)):
            content = "".join(f"{pair[side]}\n" for pair in pairs).encode() if side is not None else b"read me"
            member = tarfile.TarInfo(name)
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    assert list(read_europarl(archive.getvalue())) == pairs


# --- Splitting --------------------------------------------------------------------------------------------------------

english = st.lists(st.sampled_from(["a", "A", "cat", "Cat!", "dog", "?", "10", "it's"]), min_size=0, max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.lists(english.map(" ".join), max_size=60), st.integers(1, 10))
def test_no_sentence_is_in_two_parts_and_none_is_lost(sentences, held_out):
    pairs = [(sentence, f"phrase {i}") for i, sentence in enumerate(sentences)]
    parts = split(pairs, (1, 4), held_out)
    keys = {name: {sentence_key(pair[0]) for pair in part} for name, part in parts.items()}
    assert list(parts) == ["test", "valid", "train"]
    assert not keys["train"] & keys["valid"] and not keys["train"] & keys["test"] and not keys["valid"] & keys["test"]
    taken = [sentence for sentence in sentences if 1 <= len(sentence.split()) <= 4]
    assert set().union(*keys.values()) == {sentence_key(sentence) for sentence in taken}
    expected = min(held_out, len(set().union(*keys.values())) // 10)
    assert len(parts["valid"]) == len(parts["test"]) == expected


def test_a_sentence_with_several_translations_keeps_them_in_one_part():
    pairs = [(f"Sentence {i}.", f"Phrase {i}.") for i in range(50)]
    again = [(f"sentence {i}!", f"Autre phrase {i}.") for i in range(50)]
    parts = split([*pairs, *again], (1, 10), 5)
    assert len(parts["test"]) == len(parts["valid"]) == 5, "one translation of each, for a single reference"
    assert len(parts["train"]) == 2 * 40


def test_the_split_does_not_depend_on_the_order_of_the_corpus():
    pairs = [(f"Sentence {i}.", f"Phrase {i}.") for i in range(50)]
    one, two = split(pairs, (1, 10), 5), split(pairs[::-1], (1, 10), 5)
    assert {name: set(part) for name, part in one.items()} == {name: set(part) for name, part in two.items()}


@pytest.mark.parametrize(
    ("english", "taken"), [("a b", False), ("a b c", True), ("a b c d", True), ("a b c d e", False)]
)
def test_the_split_keeps_the_lengths_asked_for(english, taken):
    assert sum(map(len, split([(english, "un")], (3, 4)).values())) == taken
    assert sum(map(len, split([(english, "\u200b")], (3, 4)).values())) == 0, "no French, no pair"


# --- The whole command's work -----------------------------------------------------------------------------------------


def test_fetch_writes_what_training_reads(site, tmp_path):
    reported = []
    written = fetch.fetch(tmp_path, report=lambda *values: reported.append(values))
    names = ["train.tsv", "valid.tsv", "test.tsv", "europarl-valid.tsv", "europarl-test.tsv"]
    assert written == [tmp_path / "en-fr" / name for name in names]
    training = read_training_pairs(tmp_path)
    assert {name: len(rows) for name, rows in training.items()} == {"tatoeba": 32, "europarl": 48}
    held_out = [read_pairs(path) for path in written[1:]]
    assert list(map(len, held_out)) == [4, 4, 6, 6], "a tenth of 40 and of 60"
    everything = {pair for rows in (*training.values(), *held_out) for pair in rows}
    assert len(everything) == 100
    assert ("The cat number 3 sleeps.", "Le chat numéro 3 dort.") in everything
    for name in ("tatoeba", "europarl"):
        done = [values for values in reported if values[0] == name]
        assert done[-1][1] == done[-1][2] == len(site.pages[fetch.SOURCES[name].url.removeprefix(site.address)])


def test_fetching_again_gives_the_same_files(site, tmp_path):
    first = {path.name: path.read_bytes() for path in fetch.fetch(tmp_path)}
    assert {path.name: path.read_bytes() for path in fetch.fetch(tmp_path)} == first


def test_what_one_source_holds_out_no_source_trains_on(site, tmp_path):
    """Everyday sentences occur in parliament too, with other capitals and marks."""
    tatoeba = {"tatoeba": fetch.SOURCES["tatoeba"]}
    held_out = [pair for path in fetch.fetch(tmp_path, tatoeba)[1:] for pair in read_pairs(path)]
    again = [*((english.upper().replace(".", " !"), french) for english, french in held_out), ("It is new.", "Ah.")]
    assert len(held_out) == 8 and len(again) < 10, "too few to hold out any itself"
    other = replace(fetch.SOURCES["tatoeba"], read=lambda archive: iter(again), prefix="other-")
    fetch.fetch(tmp_path, tatoeba | {"other": other})
    training = read_training_pairs(tmp_path)
    assert training["other"] == [("It is new.", "Ah.")]
    assert len(training["tatoeba"]) == 32


# --- Sites that fail --------------------------------------------------------------------------------------------------


def test_a_page_that_is_gone_is_named(site, tmp_path):
    del site.pages["/fr-en.tgz"]
    with pytest.raises(InputError, match=r"/fr-en\.tgz could not be read \(Not Found\)\. Check the connection"):
        fetch.fetch(tmp_path)
    assert not (tmp_path / "en-fr").exists(), "half of the data would look like all of it"


def test_a_download_that_breaks_off_is_no_archive(site, tmp_path):
    site.cut.add("/fra.zip")
    size = len(site.pages["/fra.zip"])
    with pytest.raises(
        InputError, match=rf"/fra\.zip could not be read \(it ended after {size // 2} of {size} bytes\)"
    ):
        fetch.fetch(tmp_path)


def test_a_site_that_cannot_be_reached_is_named(tmp_path, site):
    site.shutdown()
    site.server_close()
    with pytest.raises(InputError, match=r"/fra\.zip could not be read \(.*refused.*\)\. Check the connection"):
        fetch.fetch(tmp_path)


@pytest.mark.parametrize("path", ["/fra.zip", "/fr-en.tgz"])
@pytest.mark.parametrize("content", [b"<html>Sign in to the network</html>", zipped("")[:-4], b"\x1f\x8b\x08\x00"])
def test_a_page_that_is_no_archive_is_named(site, tmp_path, path, content):
    site.pages[path] = content
    with pytest.raises(InputError, match=rf"{re.escape(path)} sent is not the archive .* expected .*Open the address"):
        fetch.fetch(tmp_path)


def test_an_archive_without_its_files_is_named(site, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("deu.txt", "Hi.\tHallo.\n")
    site.pages["/fra.zip"] = archive.getvalue()
    with pytest.raises(InputError, match=r"not the archive .*fra\.txt"):
        fetch.fetch(tmp_path)
