"""The pronoun grammar's stream and sets: their language and offsets, what they hold out and how they balance."""

from __future__ import annotations

import random
import unicodedata
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations, islice

import pytest

from engine.training import lexicon, synthetic
from engine.training.folds import pair_fold
from engine.training.scenes import draw_scene
from engine.training.synthetic import LECTURE, PronounExample

SHAPES = {
    "active", "passive", "fits", "holds", "fronted", "earlier_sentence", "near_distractor", "relative_clause",
    "two_pronouns", "concession", "local_clauses", "local_relative",
}  # fmt: skip
NOUNS = {noun.english: noun for noun in lexicon.NOUNS}
SIZE = 25_000


@cache
def stream() -> tuple[PronounExample, ...]:
    return tuple(islice(synthetic.training_examples(7), SIZE))


@cache
def held_out() -> dict[str, tuple[PronounExample, ...]]:
    return {"valid": synthetic.set_a("valid"), "test": synthetic.set_a("test"), "b": synthetic.set_b()}


def everything() -> tuple[PronounExample, ...]:
    return stream() + tuple(example for examples in held_out().values() for example in examples)


# --- Language -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "english", "french"),
    [
        ("active", "didn't cross the", "n'a pas traversé"),
        ("local_clauses", "so it was cleaned", "elle a été nettoyée"),
        ("local_clauses", "so it hid", "elle s'est cachée"),
        ("local_clauses", "because it was old", "parce qu'elle était vieille"),
        ("local_relative", "so it left", "elle est partie"),
        ("concession", "even though it was", "même s'il était"),
        ("concession", "although it was", "même si elle était"),
        ("fits", "didn't fit in the", "ne tenait pas dans"),
        ("holds", "couldn't hold the", "ne pouvait pas contenir"),
        ("passive", "wasn't crossed by the", "n'a pas été traversée par"),
        ("fronted", "Because it was too", "Parce qu'elle était trop"),
        ("earlier_sentence", ". It was too", ". Elle était trop"),
        ("near_distractor", "next to the", "à côté du"),
        ("relative_clause", "that followed the", "qui suivait l'"),
        ("two_pronouns", "and because it was", "et parce qu'il était"),
    ],
)
def test_each_shape_says_the_same_in_both_languages(shape: str, english: str, french: str) -> None:
    assert any(e.shape == shape and english in e.english and french in e.french for e in stream())


def test_no_french_is_left_unpolished() -> None:
    french = [text for example in everything() for text in (example.french, example.french_with_noun)]
    texts = french + [example.english for example in everything()]
    assert not [text for text in texts if not text[0].isupper() or not text.endswith(".") or "  " in text]
    assert not set("{}<>’") & set().union(*texts)
    assert unicodedata.is_normalized("NFC", "\n".join(texts))
    padded = [f" {text.lower()}" for text in french]
    for wrong in (" de le ", " à le ", " que il", " que elle", " ne a ", " se est", " le a", " la a", " si il"):
        assert not [text for text in padded if wrong in text], wrong


# --- Offsets --------------------------------------------------------------------------------------------------------


def test_offsets_point_at_the_words() -> None:
    for example in everything():
        named = tuple(example.english[mention.start : mention.end] for mention in example.candidates)
        assert named == example.nouns
        assert len(set(named)) == len(named) >= 2
        assert example.pronouns[0] == (example.pronoun, example.answer)
        assert [m.start for m in example.candidates] == sorted(m.start for m in example.candidates)
        assert all(example.english[m.start : m.end] in {"it", "It"} for m, _ in example.pronouns)


def test_pronouns_and_spelled_out_nouns_agree() -> None:
    for example in stream():
        expected = ["il" if NOUNS[example.nouns[i]].gender == "m" else "elle" for _, i in example.pronouns]
        assert example.french_pronoun == expected[0]
        tokens = example.french.lower().replace("'", " ").replace(".", " ").split()
        assert [token for token in tokens if token in {"il", "elle"}] == expected
        spelled = example.french_with_noun.lower().replace("'", " ").replace(".", " ").split()
        assert not {"il", "elle"} & set(spelled)
        for index, times in Counter(i for _, i in example.pronouns).items():
            french = NOUNS[example.nouns[index]].french
            assert len(example.french_with_noun.split(french)) - 1 >= 1 + times


# --- Determinism and what is held out -------------------------------------------------------------------------------


def test_a_seed_fixes_the_stream_and_the_sets_never_change() -> None:
    first = list(islice(synthetic.training_examples(3), 200))
    assert first == list(islice(synthetic.training_examples(3), 200))
    assert first != list(islice(synthetic.training_examples(4), 200))
    assert synthetic.set_a("valid", 100) == synthetic.set_a("valid", 100)
    assert synthetic.set_b(50) == synthetic.set_b(50)


def test_every_shape_occurs() -> None:
    counts = Counter(example.shape for example in stream())
    assert set(counts) == SHAPES
    assert min(counts.values()) > SIZE // 100


def opposite_pairs(example: PronounExample) -> set[frozenset[str]]:
    pairs = combinations(example.nouns, 2)
    return {frozenset((one, other)) for one, other in pairs if NOUNS[one].gender != NOUNS[other].gender}


def test_set_a_pairs_are_new_and_its_words_are_not() -> None:
    seen_pairs = {frozenset(pair) for example in stream() for pair in combinations(example.nouns, 2)}
    seen_nouns = {noun for example in stream() for noun in example.nouns}
    seen_adjectives = {example.adjective for example in stream()}
    new = {half: set[frozenset[str]]() for half in ("valid", "test")}
    for half, pairs in new.items():
        for example in held_out()[half]:
            unseen = opposite_pairs(example) - seen_pairs
            assert any(example.nouns[example.answer] in pair for pair in unseen), example.english
            assert set(example.nouns) <= seen_nouns and example.adjective in seen_adjectives
            pairs |= {pair for pair in unseen if held_fold(pair) == half}
    assert new["valid"] and not new["valid"] & new["test"]


def held_fold(pair: frozenset[str]) -> str:
    first, second = (NOUNS[name] for name in pair)
    return pair_fold(first, second)


def test_training_never_shows_a_held_out_pair() -> None:
    assert {held_fold(pair) for example in stream() for pair in opposite_pairs(example)} == {"train"}


def test_about_an_eighth_of_the_opposite_pairs_is_held_out() -> None:
    folds = Counter(
        pair_fold(a, b) for a in lexicon.ANIMALS for b in lexicon.LAND + lexicon.FOOD if a.gender != b.gender
    )
    # About 1,000 pairs at 6 % each: a standard deviation of 0.8 points, so three fit in 2.5.
    for half in ("valid", "test"):
        assert folds[half] / folds.total() == pytest.approx(0.06, abs=0.025)


def test_sets_are_distinct_and_disjoint() -> None:
    sets = {name: {example.english for example in examples} for name, examples in held_out().items()}
    assert {name: len(sentences) for name, sentences in sets.items()} == {"valid": 1200, "test": 1200, "b": 500}
    assert not sets["valid"] & sets["test"]
    training = {example.english for example in stream()}
    assert not training & (sets["valid"] | sets["test"] | sets["b"])


def test_set_b_adjectives_are_never_trained() -> None:
    reserved = {example.adjective for example in held_out()["b"]}
    assert not reserved & {example.adjective for example in stream()}
    text = " ".join(example.english for example in stream()).replace(".", " ").replace(",", " ").split()
    assert not reserved & set(text)
    pools = (lexicon.ANIMAL_ADJECTIVES, lexicon.LAND_ADJECTIVES, lexicon.WATER_ADJECTIVES, lexicon.VEHICLE_ADJECTIVES,
             lexicon.FOOD_ADJECTIVES, lexicon.FITTED_ADJECTIVES, lexicon.FITTING_ADJECTIVES)  # fmt: skip
    for pool in pools:
        assert len({adjective.english for adjective in pool if adjective.reserved} & reserved) >= 3


def test_the_lecture_sentences_stay_unseen() -> None:
    lecture = {english for english, _ in LECTURE}
    for example in everything():
        assert not {"animal", "street"} <= set(example.nouns)
        assert example.english not in lecture
        said = set(example.english.replace(".", " ").replace(",", " ").split())
        assert not {"animal", "tired"} <= said and not {"street", "wide"} <= said, example.english
    for examples in held_out().values():
        assert not any({"animal", "street"} & set(example.nouns) for example in examples)
    assert {"animal", "street"} <= {noun for example in stream() for noun in example.nouns}
    assert {"tired", "wide"} <= {example.adjective for example in stream()}


# --- Balance --------------------------------------------------------------------------------------------------------


def test_gender_and_position_are_balanced() -> None:
    share = sum(example.french_pronoun == "il" for example in stream()) / len(stream())
    # 25,000 draws have a standard deviation of 0.3 points; the rest is the lexicon's own lean (more masculine animals).
    assert share == pytest.approx(0.5, abs=0.02)
    first: defaultdict[str, list[bool]] = defaultdict(list)
    for example in stream():
        if example.adjective:
            first[example.adjective].append(example.answer == 0)
    for adjective, answers in first.items():
        # The rarest adjective has about 50 draws: a standard deviation of 7 points, and two of them allowed.
        assert sum(answers) / len(answers) == pytest.approx(0.5, abs=0.15), adjective


def test_main_nouns_mostly_differ_in_gender() -> None:
    plain = {"active", "passive", "fronted", "fits", "holds"}
    pairs = [example.nouns for example in stream() if example.shape in plain]
    share = sum(NOUNS[first].gender != NOUNS[second].gender for first, second in pairs) / len(pairs)
    assert share == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("name", ["valid", "test", "b"])
def test_sets_cannot_be_guessed_without_resolving(name: str) -> None:
    examples = held_out()[name]
    assert sum(example.answer == 0 for example in examples) == len(examples) // 2
    scores = synthetic.baselines(examples)
    assert set(scores) == {"majority", "always_subject", "adjective_only"}
    assert scores["majority"] == pytest.approx(0.5, abs=0.02)
    assert 0.4 <= scores["always_subject"] <= 0.6
    assert scores["adjective_only"] <= 0.65


def test_scenes_never_pair_a_noun_with_an_unlisted_adjective() -> None:
    rng = random.Random(5)
    for _ in range(2000):
        scene = draw_scene(rng)
        assert scene.adjective.suits(scene.nouns[scene.target])
        assert not scene.adjective.reserved
