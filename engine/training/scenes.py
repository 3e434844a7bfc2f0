"""Scenes: who does what to what, and which adjectives tell the two apart."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from engine.training import lexicon
from engine.training.lexicon import Adjective, Noun, Verb


@dataclass(frozen=True, slots=True)
class Relation:
    """Two classes of nouns, what the one does to the other, and the adjectives that fit only one of them.

    Attributes:
        name: "fit" relations have their own main clauses, and no verbs.
        agents: The subject's class.
        patients: The object's class.
        agent_adjectives: Adjectives of the subject, implausible for the object.
        patient_adjectives: Adjectives of the object, implausible for the subject; waters have their own instead.
        hindered: Verbs for what did not happen.
        avoiding: Verbs for what happened instead.
        bystanders: Nouns that may stand near the subject as distractors.
        weight: How often the relation is drawn.
    """

    name: str
    agents: tuple[Noun, ...]
    patients: tuple[Noun, ...]
    agent_adjectives: tuple[Adjective, ...]
    patient_adjectives: tuple[Adjective, ...]
    hindered: tuple[Verb, ...]
    avoiding: tuple[Verb, ...]
    bystanders: tuple[Noun, ...]
    weight: int

    @property
    def fitting(self) -> bool:
        """Whether one thing fits in another, instead of acting on it."""
        return self.name == "fit"

    @property
    def outdoors(self) -> bool:
        """Whether the object is a place."""
        return self.name in {"cross", "drive"}

    def adjectives(self, role: str, noun: Noun, *, reserved: bool) -> tuple[Adjective, ...]:
        """Return the adjectives that describe `noun` as subject ("x") or object ("y") and could not be the other's."""
        if role == "x":
            pool = self.agent_adjectives
        else:
            # "muddy" and "wide" are listed for land and for water; each list names its own nouns.
            pool = lexicon.WATER_ADJECTIVES if noun in lexicon.WATER else self.patient_adjectives
        return tuple(adjective for adjective in pool if adjective.reserved == reserved and adjective.suits(noun))


def _except(adjectives: tuple[Adjective, ...], *names: str) -> tuple[Adjective, ...]:
    return tuple(adjective for adjective in adjectives if adjective.english not in names)


_SMALL_EATERS = {"bird", "duck", "mouse", "owl"}
_EATERS = lexicon.LARGE_ANIMALS + tuple(noun for noun in lexicon.SMALL_ANIMALS if noun.english in _SMALL_EATERS)
RELATIONS = (
    Relation("cross", lexicon.ANIMALS, lexicon.LAND + lexicon.WATER, lexicon.ANIMAL_ADJECTIVES,
             lexicon.LAND_ADJECTIVES, lexicon.CROSSING, lexicon.AVOIDING, lexicon.ANIMALS, 9),
    Relation("drive", lexicon.VEHICLES, lexicon.LAND, lexicon.VEHICLE_ADJECTIVES,
             _except(lexicon.LAND_ADJECTIVES, "long", "wide", "noisy", "sunny", "vast", "dusty"),
             lexicon.DRIVING, lexicon.AVOIDING, lexicon.VEHICLES, 3),
    Relation("eat", _EATERS, lexicon.FOOD, _except(lexicon.ANIMAL_ADJECTIVES, "hungry"), lexicon.FOOD_ADJECTIVES,
             lexicon.EATING, lexicon.REFUSING, lexicon.LARGE_ANIMALS, 5),
    Relation("lift", lexicon.LARGE_ANIMALS, lexicon.ITEMS, lexicon.ANIMAL_ADJECTIVES, lexicon.LIFTED_ADJECTIVES,
             lexicon.LIFTING, lexicon.DROPPING, lexicon.LARGE_ANIMALS, 3),
    Relation("chase", lexicon.LARGE_ANIMALS, lexicon.VEHICLES, lexicon.ANIMAL_ADJECTIVES, lexicon.CHASED_ADJECTIVES,
             lexicon.CHASING, lexicon.AVOIDING, lexicon.LARGE_ANIMALS, 3),
    Relation("fit", lexicon.ITEMS, lexicon.CONTAINERS, lexicon.FITTED_ADJECTIVES, lexicon.FITTING_ADJECTIVES,
             (), (), lexicon.ITEMS, 5),
    Relation("fit", lexicon.BULKY_FOOD, lexicon.KITCHEN, lexicon.FITTED_ADJECTIVES, lexicon.FITTING_ADJECTIVES,
             (), (), lexicon.FOOD, 2),
)  # fmt: skip
_WEIGHTS = tuple(relation.weight for relation in RELATIONS)


@dataclass(frozen=True, slots=True)
class Scene:
    """A relation with its nouns drawn.

    Attributes:
        relation: What x does to y.
        nouns: The subject "x", the object "y" and the distractor "z".
        target: The role that "it" refers to, "x" or "y".
        adjective: The adjective that says so.
    """

    relation: Relation
    nouns: Mapping[str, Noun]
    target: str
    adjective: Adjective

    @property
    def rival(self) -> str:
        """The role that "it" could refer to and does not."""
        return "y" if self.target == "x" else "x"


def draw_scene(rng: random.Random, *, reserved: bool = False, opposite: float = 0.78) -> Scene:
    """Draw a scene; its nouns may still be ones that the caller must reject.

    Args:
        rng: The source of chance.
        reserved: Whether to draw a reserved adjective (set B) or a trained one.
        opposite: The share of scenes whose two main nouns differ in gender; a little above the 75 % wanted, since
            training then loses the held-out pairs.
    """
    while True:
        relation = rng.choices(RELATIONS, _WEIGHTS)[0]
        gender = rng.choice("mf")
        differ = rng.random() < opposite
        x = _draw_noun(rng, relation.agents, gender)
        y = _draw_noun(rng, relation.patients, gender, differ=differ)
        beside_building = relation.outdoors and rng.random() < 0.35
        z = rng.choice(lexicon.BUILDINGS if beside_building else relation.bystanders)
        nouns = {"x": x, "y": y, "z": z}
        target = rng.choice("xy")
        adjectives = relation.adjectives(target, nouns[target], reserved=reserved)
        if adjectives and len({x.english, y.english, z.english}) == 3:
            return Scene(relation, nouns, target, rng.choice(adjectives))


def _draw_noun(rng: random.Random, nouns: tuple[Noun, ...], gender: str, *, differ: bool = False) -> Noun:
    """Draw a noun of `gender`, or of the other one."""
    while True:
        noun = rng.choice(nouns)
        if (noun.gender != gender) == differ:
            return noun
