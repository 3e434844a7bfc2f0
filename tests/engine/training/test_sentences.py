"""The grammar's French around a noun, and the rendering of templates with their offsets."""

from __future__ import annotations

import pytest

from engine.training import lexicon
from engine.training.french import elide, french_noun_phrase
from engine.training.lexicon import Noun
from engine.training.sentences import Draft, PronounExample, render

DOG, COW, BEAR = Noun("dog", "chien", "m"), Noun("cow", "vache", "f"), Noun("bear", "ours", "m")
BEE, HEDGEHOG = Noun("bee", "abeille", "f"), Noun("hedgehog", "hérisson", "m")
HOTEL, EGG = Noun("hotel", "hôtel", "m"), Noun("egg", "œuf", "m")
ROAD, LAKE = Noun("road", "route", "f"), Noun("lake", "lac", "m")


def write(english: str, french: str, **roles: Noun) -> PronounExample:
    return render(Draft(english, french, roles, "tired", "test"))


@pytest.mark.parametrize(
    ("noun", "determiner", "expected"),
    [
        (DOG, "the", "le chien"), (COW, "the", "la vache"), (BEAR, "the", "l'ours"), (BEE, "the", "l'abeille"),
        (HEDGEHOG, "the", "le hérisson"), (BEAR, "this", "cet ours"), (DOG, "this", "ce chien"),
        (BEE, "this", "cette abeille"), (BEE, "my", "mon abeille"), (COW, "my", "ma vache"),
        (COW, "our", "notre vache"), (HOTEL, "the", "l'hôtel"), (EGG, "the", "l'œuf"),
    ],
)  # fmt: skip
def test_noun_phrase_elides_before_a_vowel_but_not_before_an_aspirated_h(
    noun: Noun, determiner: str, expected: str
) -> None:
    assert french_noun_phrase(noun, determiner) == expected


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("le chien ne a pas bougé parce que il dormait.", "le chien n'a pas bougé parce qu'il dormait."),
        ("puisque elle dormait, la vache ne bougeait pas.", "puisqu'elle dormait, la vache ne bougeait pas."),
        ("il est près de le lac.", "il est près du lac."),
        ("il est près de l'ours et de la vache.", "il est près de l'ours et de la vache."),
        ("cela convient à le chien, pas à la vache.", "cela convient au chien, pas à la vache."),
        ("même si il dort et même si elle dort.", "même s'il dort et même si elle dort."),
        ("il est si étroit. elle se est arrêtée.", "il est si étroit. elle s'est arrêtée."),
        ("il a refusé de avaler cela.", "il a refusé d'avaler cela."),
    ],
)
def test_french_is_elided_and_contracted(raw: str, expected: str) -> None:
    assert elide(raw) == expected


def test_pronoun_follows_its_own_noun_whichever_comes_first() -> None:
    english = "{x} didn't cross {y} because {it:%s} was there."
    french = "{x} ne a pas traversé {y} parce que {il:%s} était là."
    subject = write(english % "x", french % "x", x=DOG, y=ROAD)
    place = write(english % "y", french % "y", x=DOG, y=ROAD)
    assert subject.french == "Le chien n'a pas traversé la route parce qu'il était là."
    assert subject.french_with_noun == "Le chien n'a pas traversé la route parce que le chien était là."
    assert (subject.answer, subject.french_pronoun) == (0, "il")
    assert place.french == "Le chien n'a pas traversé la route parce qu'elle était là."
    assert place.french_with_noun == "Le chien n'a pas traversé la route parce que la route était là."
    assert (place.answer, place.french_pronoun) == (1, "elle")


def test_participle_agrees_with_the_passive_subject() -> None:
    templates = ("{y} wasn't crossed by {x}. {it:x} slept.", "{y} ne a pas été traversé{e:y} par {x}. {il:x} dormait.")
    assert write(*templates, x=COW, y=LAKE).french == "Le lac n'a pas été traversé par la vache. Elle dormait."
    example = write(*templates, x=BEAR, y=ROAD)
    assert example.french == "La route n'a pas été traversée par l'ours. Il dormait."
    assert example.french_with_noun == "La route n'a pas été traversée par l'ours. L'ours dormait."
    assert example.english == "The road wasn't crossed by the bear. It slept."


def test_offsets_survive_capitals_and_a_pronoun_before_its_noun() -> None:
    french = "parce que {il:y} était large, {x} a quitté {y}."
    example = write("because {it:y} was wide, {x} left {y}.", french, x=BEE, y=LAKE)
    assert example.french == "Parce qu'il était large, l'abeille a quitté le lac."
    assert example.english == "Because it was wide, the bee left the lake."
    assert example.english[example.pronoun.start : example.pronoun.end] == "it"
    assert example.nouns == ("bee", "lake") and example.answer == 1


def test_determiners_follow_their_role_and_pronouns_spell_out_with_the_article() -> None:
    draft = Draft("{x} left {y}. {it:x} ran.", "{x} a quitté {y}. {il:x} a couru.", {"x": BEE, "y": ROAD}, "", "test")
    example = render(draft, {"x": "my", "y": "this"})
    assert example.english == "My bee left this road. It ran."
    assert example.french == "Mon abeille a quitté cette route. Elle a couru."
    assert example.french_with_noun == "Mon abeille a quitté cette route. L'abeille a couru."
    assert [example.english[m.start : m.end] for m in example.candidates] == ["bee", "road"]


@pytest.mark.parametrize(
    ("english", "masculine", "feminine"),
    [
        ("tired", "fatigué", "fatiguée"), ("lazy", "paresseux", "paresseuse"), ("shy", "timide", "timide"),
        ("worried", "inquiet", "inquiète"), ("long", "long", "longue"), ("dry", "sec", "sèche"),
        ("thick", "épais", "épaisse"), ("cramped", "exigu", "exiguë"), ("bitter", "amer", "amère"),
    ],
)  # fmt: skip
def test_adjectives_have_both_forms(english: str, masculine: str, feminine: str) -> None:
    pools = (lexicon.ANIMAL_ADJECTIVES, lexicon.LAND_ADJECTIVES, lexicon.FOOD_ADJECTIVES, lexicon.FITTED_ADJECTIVES,
             lexicon.FITTING_ADJECTIVES)  # fmt: skip
    adjective = next(adjective for pool in pools for adjective in pool if adjective.english == english)
    assert (adjective.french("m"), adjective.french("f")) == (masculine, feminine)
