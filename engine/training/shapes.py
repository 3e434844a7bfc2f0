"""The shapes of a sentence about one scene, and how often each is drawn."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from engine.training import lexicon
from engine.training.clauses import (
    Templates,
    beside,
    done_clause,
    join,
    main_clause,
    meeting_clause,
    obstacle,
    reason,
    relative,
    rival_reason,
    with_subject,
)
from engine.training.scenes import Scene
from engine.training.sentences import Draft

_SPACE = (" ", " ")
_COMMA = (", ", ", ")
_STOP = (". ", ". ")
# An entry that stands twice is drawn twice as often.
_BECAUSE = (("because", "parce que"), ("because", "parce que"), ("because", "parce que"), ("since", "puisque"))
_OPENING_BECAUSE = (("because", "parce que"), ("because", "parce que"), ("since", "puisque"))
_AND_BECAUSE = ((" and because ", " et parce que "), (", and also because ", ", et aussi parce que "))
# "bien que" would take the subjunctive; "même si" keeps the imperfect.
_ALTHOUGH = ((" even though ", " même si "), (" although ", " même si "))


def active(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog didn't cross the river because it was too tired."."""
    return _explained(rng, scene, "fits" if scene.relation.fitting else "active", object_first=False)


def inverted(rng: random.Random, scene: Scene) -> Draft:
    """Return "The river wasn't crossed by the dog because it was too wide."."""
    return _explained(rng, scene, "holds" if scene.relation.fitting else "passive", object_first=True)


def _explained(rng: random.Random, scene: Scene, shape: str, *, object_first: bool) -> Draft:
    present = rng.random() < 0.15 and (scene.relation.fitting or not object_first)
    main = main_clause(rng, scene, object_first=object_first, present=present)
    link = rng.choice(_BECAUSE)
    return _draft(scene, shape, main, _SPACE, link, _SPACE, reason(rng, scene, present=present))


def fronted(rng: random.Random, scene: Scene) -> Draft:
    """Return "Because it was too tired, the dog didn't cross the river."."""
    main = main_clause(rng, scene, object_first=rng.random() < 0.5)
    link = rng.choice(_OPENING_BECAUSE)
    return _draft(scene, "fronted", link, _SPACE, reason(rng, scene), _COMMA, main)


def earlier_sentence(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog stopped in front of the river. It was too wide."."""
    if scene.relation.outdoors and rng.random() < 0.6:
        main = meeting_clause(rng)
    else:
        main = main_clause(rng, scene, object_first=rng.random() < 0.5)
    return _draft(scene, "earlier_sentence", main, _STOP, reason(rng, scene))


def near_distractor(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog near the cow didn't cross the river because it was too tired."."""
    if scene.relation.fitting:
        # "I couldn't put the book behind the lamp in the box" would read as a place to put it.
        return relative_clause(rng, scene)
    main = main_clause(rng, scene, object_first=rng.random() < 0.5)
    return _with_distractor(rng, scene, "near_distractor", with_subject(main, beside(rng)))


def relative_clause(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog that followed the cow didn't cross the river because it was too tired."."""
    main = main_clause(rng, scene, object_first=rng.random() < 0.5)
    animals = scene.nouns["x"] in lexicon.ANIMALS and scene.nouns["z"] in lexicon.ANIMALS
    return _with_distractor(rng, scene, "relative_clause", with_subject(main, relative(rng, animals=animals)))


def _with_distractor(rng: random.Random, scene: Scene, shape: str, main: Templates) -> Draft:
    """Explain a clause whose subject has a distractor beside it; the head of the noun phrase stays the antecedent."""
    link = rng.choice(_BECAUSE)
    state = reason(rng, scene)
    if rng.random() < 0.15:
        return _draft(scene, shape, link, _SPACE, state, _COMMA, main, roles="xyz")
    return _draft(scene, shape, main, _SPACE, link, _SPACE, state, roles="xyz")


def two_pronouns(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog didn't cross the river because it was too tired and because it was too wide."."""
    main = main_clause(rng, scene, object_first=rng.random() < 0.5)
    second = rival_reason(rng, scene)
    if second is None:
        return active(rng, scene)
    link = rng.choice(_AND_BECAUSE)
    return _draft(scene, "two_pronouns", main, (" because ", " parce que "), reason(rng, scene), link, second)


def concession(rng: random.Random, scene: Scene) -> Draft:
    """Return "The dog crossed the river even though it was very wide."."""
    # A "fit" relation has no verb for what was done, and "ate the bread although it was thirsty" concedes nothing.
    if scene.relation.fitting or (scene.relation.name, scene.adjective.english) == ("eat", "thirsty"):
        return fronted(rng, scene)
    main = done_clause(rng, scene)
    state = obstacle(rng, scene)
    return _draft(scene, "concession", main, rng.choice(_ALTHOUGH), state)


def _draft(scene: Scene, shape: str, *parts: Templates, roles: str = "xy") -> Draft:
    """Join the parts of a sentence that names the nouns of `roles`."""
    english, french = join(*parts, (".", "."))
    return Draft(english, french, {role: scene.nouns[role] for role in roles}, scene.adjective.english, shape)


Shape = Callable[[random.Random, Scene], Draft]
# How often each shape is drawn. Set A and set B use the shapes that one adjective decides.
_SCORED: Mapping[Shape, int] = {
    active: 16,
    inverted: 16,
    fronted: 9,
    earlier_sentence: 13,
    near_distractor: 12,
    relative_clause: 14,
}
_TRAINED: Mapping[Shape, int] = {**_SCORED, two_pronouns: 13, concession: 7}


def draw_scored(rng: random.Random, scene: Scene) -> Draft:
    """Draw a sentence with one pronoun, which one adjective decides."""
    return _draw(rng, _SCORED)(rng, scene)


def draw_trained(rng: random.Random, scene: Scene) -> Draft:
    """Draw a sentence of any shape."""
    return _draw(rng, _TRAINED)(rng, scene)


def _draw(rng: random.Random, weights: Mapping[Shape, int]) -> Shape:
    return rng.choices(tuple(weights), tuple(weights.values()))[0]
