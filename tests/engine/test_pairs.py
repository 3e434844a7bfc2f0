"""The minimal pairs: what ships is complete and different enough, and what is impossible says so."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from engine.errors import ConfigError
from engine.mentions import differing
from engine.pairs import PAIRS, load_pairs
from engine.training import lexicon

LECTURE = {
    "id": "tired-wide",
    "group": "tired / wide",
    "first": "The animal didn't cross the street because it was too tired.",
    "second": "The animal didn't cross the street because it was too wide.",
    "pronouns": ["it", "it"],
    "candidates": ["animal", "street"],
    "answers": ["animal", "street"],
    "french": ["il", "elle"],
    "shows": "pronoun",
    "note": "",
}


def written(tmp_path, *entries):
    """A file of its own for each call, since pairs are cached by path."""
    path = tmp_path / f"pairs-{len(list(tmp_path.iterdir()))}.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path


def test_the_first_pair_is_the_lectures():
    first = load_pairs()[0]
    assert {key: json.loads(json.dumps(getattr(first, key))) for key in LECTURE} == LECTURE


def test_every_group_has_its_pairs():
    counts = Counter(pair.group for pair in load_pairs())
    assert counts == {
        "tired / wide": 15,
        "fits / doesn't fit": 11,
        "heavy / weak": 7,
        "sick / salty": 5,
        "other clause order": 9,
        "who / whom": 7,
    }


def test_no_sentence_stands_twice():
    sentences = [sentence for pair in load_pairs() for sentence in pair.sentences]
    assert len(set(sentences)) == len(sentences)


def test_one_word_decides_where_the_pronoun_is_the_same():
    for pair in load_pairs():
        words = [re.findall(r"[\w']+|[^\w\s]", sentence) for sentence in pair.sentences]
        first, second = differing(*words)
        if pair.pronouns[0] == pair.pronouns[1]:
            assert len(first) == len(second) == 1, pair.id
            assert set(pair.answers) == set(pair.candidates), pair.id


def test_french_pronouns_have_the_gender_of_the_nouns_that_the_grammar_knows():
    genders = {noun.english: noun.gender for noun in lexicon.NOUNS}
    checked = [
        (pair.id, french, genders[answer])
        for pair in load_pairs()
        for answer, french in zip(pair.answers, pair.french, strict=True)
        if answer in genders and french in ("il", "elle")
    ]
    assert len(checked) >= 60
    assert [case for case in checked if case[1] != {"m": "il", "f": "elle"}[case[2]]] == []


def test_most_pairs_are_unlike_the_lectures():
    """Neither its two nouns together nor its two adjectives together."""
    unlike = [
        pair
        for pair in load_pairs()
        if set(pair.candidates) != {"animal", "street"}
        and not all(re.search(rf"\b{word}\b", " ".join(pair.sentences)) for word in ("tired", "wide"))
    ]
    assert len(unlike) / len(load_pairs()) > 0.85


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "the keys of a pair are"),
        ({"french": "il"}, "french takes a list of two strings"),
        ({"french": ["il", 3]}, "french takes a list of two strings"),
        ({"french": ["il", "elle", "on"]}, "french takes a list of two strings"),
        ({"id": 3}, "id takes a string"),
        ({"candidates": ["anim", "street"]}, "'anim' is not exactly once"),
        ({"candidates": ["the", "street"]}, "'the' is not exactly once"),
        ({"candidates": ["cow", "street"]}, "'cow' is not exactly once"),
        ({"pronouns": ["it", "they"]}, "'they' is not exactly once"),
        ({"candidates": ["animal", "animal"], "answers": ["animal", "animal"]}, "Name two nouns"),
        ({"answers": ["animal", "tired"]}, "are not among the candidates"),
        ({"french": ["il", "elles et ils"]}, "are not French pronouns"),
        ({"shows": "gender"}, "there is no shows 'gender'"),
        ({"french": ["il", "il"]}, "do not go with shows 'pronoun'"),
        ({"shows": "agreement"}, "do not go with shows 'agreement'"),
    ],
)
def test_an_impossible_pair_is_named(tmp_path, changes, message):
    assert len(load_pairs(written(tmp_path, LECTURE))) == 1
    with pytest.raises(ConfigError, match="entry 1.*" + re.escape(message)):
        load_pairs(written(tmp_path, LECTURE | changes))


def test_a_missing_key_is_named(tmp_path):
    with pytest.raises(ConfigError, match="entry 2: the keys of a pair are"):
        load_pairs(written(tmp_path, LECTURE, {key: LECTURE[key] for key in ("id", "first", "second")}))


def test_two_pairs_of_one_id_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="two pairs 'tired-wide'"):
        load_pairs(written(tmp_path, LECTURE, LECTURE))


@pytest.mark.parametrize("content", [b"", b"{", b'{"id": "a"}', b"\xff\xfe", b'"pairs"'])
def test_a_damaged_file_says_what_to_do(tmp_path, content):
    path = tmp_path / "pairs.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="git checkout"):
        load_pairs(path)


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.json cannot be read"):
        load_pairs(tmp_path / "absent.json")


def test_the_file_is_written_as_text():
    assert "“" in PAIRS.read_text(encoding="utf-8")  # not as \u escapes
