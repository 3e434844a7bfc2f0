"""Clauses of a scene: what happened, and the state that explains it, as pairs of templates.

Beside the slots of `sentences`, a main clause has marks for the forms of its verb: ``<v>`` base, ``<ved>`` past,
``<ven>`` participle, ``<ving>`` gerund, ``<inf>`` French infinitive, ``<pp>`` French participle. In every table, an
entry that stands twice is drawn twice as often.
"""

from __future__ import annotations

import random

from engine.training.lexicon import Adjective, Verb
from engine.training.scenes import Scene

Templates = tuple[str, str]  # the English and the French of one clause

_NEGATED = (
    ("{x} didn't <v> {y}", "{x} ne a pas <pp> {y}"),
    ("{x} didn't <v> {y}", "{x} ne a pas <pp> {y}"),
    ("{x} did not <v> {y}", "{x} ne a pas <pp> {y}"),
    ("{x} couldn't <v> {y}", "{x} ne a pas pu <inf> {y}"),
    ("{x} could not <v> {y}", "{x} ne pouvait pas <inf> {y}"),
    ("{x} never <ved> {y}", "{x} ne a jamais <pp> {y}"),
    ("{x} was not able to <v> {y}", "{x} ne était pas capable de <inf> {y}"),
)
_RELUCTANT = (
    ("{x} didn't want to <v> {y}", "{x} ne voulait pas <inf> {y}"),
    ("{x} refused to <v> {y}", "{x} a refusé de <inf> {y}"),
    ("{x} hesitated to <v> {y}", "{x} a hésité à <inf> {y}"),
)
_PRESENT = (
    ("{x} can't <v> {y}", "{x} ne peut pas <inf> {y}"),
    ("{x} cannot <v> {y}", "{x} ne peut pas <inf> {y}"),
    ("{x} is not going to <v> {y}", "{x} ne va pas <inf> {y}"),
)
_PASSIVE = (
    ("{y} wasn't <ven> by {x}", "{y} ne a pas été <pp>{e:y} par {x}"),
    ("{y} was not <ven> by {x}", "{y} ne a pas été <pp>{e:y} par {x}"),
    ("{y} was never <ven> by {x}", "{y} ne a jamais été <pp>{e:y} par {x}"),
    ("{y} couldn't be <ven> by {x}", "{y} ne a pas pu être <pp>{e:y} par {x}"),
)
_GERUND = (
    ("<ving> {y} was hard for {x}", "<inf> {y} était difficile pour {x}"),
    ("<ving> {y} was impossible for {x}", "<inf> {y} était impossible pour {x}"),
    ("<ving> {y} wasn't easy for {x}", "<inf> {y} ne était pas facile pour {x}"),
    ("<ving> {y} was out of the question for {x}", "<inf> {y} était hors de question pour {x}"),
)
_DONE = ("{x} <ved> {y}", "{x} a <pp> {y}")
_DONE_PASSIVE = ("{y} was <ven> by {x}", "{y} a été <pp>{e:y} par {x}")
_AVOIDED = (_DONE, ("{x} had to <v> {y}", "{x} a dû <inf> {y}"))
_AVOIDED_PASSIVE = (_DONE_PASSIVE,)
_FITS = (
    ("{x} didn't fit in {y}", "{x} ne tenait pas dans {y}"),
    ("{x} did not fit into {y}", "{x} ne entrait pas dans {y}"),
    ("{x} wouldn't go into {y}", "{x} ne rentrait pas dans {y}"),
    ("I couldn't put {x} in {y}", "je ne ai pas pu mettre {x} dans {y}"),
    ("we couldn't get {x} into {y}", "nous ne avons pas réussi à faire entrer {x} dans {y}"),
    ("the children didn't put {x} in {y}", "les enfants ne ont pas mis {x} dans {y}"),
)
_FITS_PRESENT = (
    ("{x} doesn't fit in {y}", "{x} ne tient pas dans {y}"),
    ("I can't put {x} in {y}", "je ne peux pas mettre {x} dans {y}"),
)
_HOLDS = (
    ("{y} couldn't hold {x}", "{y} ne pouvait pas contenir {x}"),
    ("{y} didn't have room for {x}", "{y} ne avait pas de place pour {x}"),
    ("{y} could not hold {x}", "{y} ne a pas pu contenir {x}"),
    ("{y} had no space for {x}", "{y} ne avait pas la place pour {x}"),
    ("{y} didn't have enough room for {x}", "{y} ne avait pas assez de place pour {x}"),
)
_HOLDS_PRESENT = (
    ("{y} can't hold {x}", "{y} ne peut pas contenir {x}"),
    ("{y} doesn't have room for {x}", "{y} ne a pas de place pour {x}"),
)
_MEETINGS = (
    ("{x} stopped in front of {y}", "{x} se est arrêté{e:x} devant {y}"),
    ("{x} stopped near {y}", "{x} se est arrêté{e:x} près de {y}"),
    ("{x} turned away from {y}", "{x} se est détourné{e:x} de {y}"),
    ("{x} didn't come near {y}", "{x} ne se est pas approché{e:x} de {y}"),
    ("{x} stayed away from {y}", "{x} est resté{e:x} loin de {y}"),
)
_MEETINGS_PLACE_FIRST = (
    ("in front of {y}, {x} stopped", "devant {y}, {x} se est arrêté{e:x}"),
    ("near {y}, {x} stopped", "près de {y}, {x} se est arrêté{e:x}"),
    ("in front of {y}, {x} turned around", "devant {y}, {x} a fait demi-tour"),
    ("near {y}, {x} turned around", "près de {y}, {x} a fait demi-tour"),
    ("{y} was a problem for {x}", "{y} posait un problème à {x}"),
)
_BESIDE = (
    ("{x} near {z}", "{x} près de {z}"),
    ("{x} behind {z}", "{x} derrière {z}"),
    ("{x} next to {z}", "{x} à côté de {z}"),
    ("{x} in front of {z}", "{x} devant {z}"),
)
_RELATIVES = (
    ("{x} that followed {z}", "{x} qui suivait {z}"),
    ("{x} that was watching {z}", "{x} qui regardait {z}"),
    ("{x} that had seen {z}", "{x} qui avait vu {z}"),
    ("{x} that was next to {z}", "{x} qui était à côté de {z}"),
    ("{x} that was waiting near {z}", "{x} qui attendait près de {z}"),
    ("{x} that {z} followed", "{x} que {z} suivait"),
    ("{x} that {z} had seen", "{x} que {z} avait vu{e:x}"),
)
_INERT_RELATIVES = (
    ("{x} that was next to {z}", "{x} qui était à côté de {z}"),
    ("{x} that was behind {z}", "{x} qui était derrière {z}"),
    ("{x} that was near {z}", "{x} qui était près de {z}"),
)
_DEGREES = (
    ("too ", "trop "), ("too ", "trop "), ("too ", "trop "), ("too ", "trop "), ("so ", "si "), ("very ", "très "),
    ("much too ", "beaucoup trop "), ("a little too ", "un peu trop "), ("really ", "vraiment "), ("", ""),
)  # fmt: skip
_EXCESS = tuple(degree for degree in _DEGREES if "too" in degree[0])
_CONCEDED = (("", ""), ("very ", "très "), ("really ", "vraiment "), ("quite ", "assez "))


def main_clause(rng: random.Random, scene: Scene, *, object_first: bool, present: bool = False) -> Templates:
    """Return a clause that the adjective explains: "the dog didn't cross the river", or with the river named first."""
    if scene.relation.fitting:
        if present:
            return rng.choice(_HOLDS_PRESENT if object_first else _FITS_PRESENT)
        return rng.choice(_HOLDS if object_first else _FITS)
    avoiding = not present and rng.random() < 0.2
    frames: tuple[Templates, ...]
    if avoiding:
        frames = _AVOIDED_PASSIVE if object_first else _AVOIDED
    elif object_first:
        frames = _GERUND if rng.random() < 0.35 else _PASSIVE
    elif present:
        frames = _PRESENT
    else:
        frames = _NEGATED if scene.relation.name == "drive" else _NEGATED + _RELUCTANT
    return _with_verb(rng, rng.choice(frames), scene, scene.relation.avoiding if avoiding else scene.relation.hindered)


def done_clause(rng: random.Random, scene: Scene) -> Templates:
    """Return what happened in spite of the adjective: "the dog crossed the river"."""
    return _with_verb(rng, rng.choice((_DONE, _DONE_PASSIVE)), scene, scene.relation.hindered)


def meeting_clause(rng: random.Random) -> Templates:
    """Return what happened at a place: "the dog stopped in front of the river"."""
    return rng.choice(_MEETINGS if rng.random() < 0.5 else _MEETINGS_PLACE_FIRST)


def _with_verb(rng: random.Random, frame: Templates, scene: Scene, verbs: tuple[Verb, ...]) -> Templates:
    """Put one of the verbs that take the scene's object into a frame."""
    english, french = frame
    verb = rng.choice([verb for verb in verbs if verb.takes(scene.nouns["y"])])
    for mark, form in (("<v>", verb.base), ("<ved>", verb.past), ("<ven>", verb.participle), ("<ving>", verb.gerund)):
        english = english.replace(mark, form)
    return english, french.replace("<inf>", verb.infinitive).replace("<pp>", verb.french_participle)


def reason(rng: random.Random, scene: Scene, *, present: bool = False) -> Templates:
    """Return the state that explains the main clause: "it was too tired"."""
    return _state(rng, scene, scene.target, scene.adjective, _reason_degrees(scene), present=present)


def rival_reason(rng: random.Random, scene: Scene) -> Templates | None:
    """Return a state of the other main noun that explains the clause too, or None if no adjective suits it."""
    noun = scene.nouns[scene.rival]
    adjectives = scene.relation.adjectives(scene.rival, noun, reserved=scene.adjective.reserved)
    if not adjectives:
        return None
    return _state(rng, scene, scene.rival, rng.choice(adjectives), _reason_degrees(scene))


def obstacle(rng: random.Random, scene: Scene) -> Templates:
    """Return the state that did not hinder: "it was quite tired"."""
    return _state(rng, scene, scene.target, scene.adjective, _CONCEDED)


def _reason_degrees(scene: Scene) -> tuple[Templates, ...]:
    # "Because it was big, the bag couldn't hold the doll" is odd of either; "too big" can only be the doll.
    return _EXCESS if scene.relation.fitting else _DEGREES


def _state(rng: random.Random, scene: Scene, role: str, adjective: Adjective, degrees: tuple[Templates, ...], *,
           present: bool = False) -> Templates:  # fmt: skip
    """Return "it was too tired" for the noun in `role`."""
    english, french = rng.choice(degrees) if adjective.gradable else ("", "")
    copulas = (("is", "est"),) if present else (("was", "était"),) * 5 + (("seemed", "semblait"),)
    be, être = rng.choice(copulas)
    agreed = adjective.french(scene.nouns[role].gender)
    return f"{{it:{role}}} {be} {english}{adjective.english}", f"{{il:{role}}} {être} {french}{agreed}"


def beside(rng: random.Random) -> Templates:
    """Return a subject with the distractor beside it: "the dog near the cow"."""
    return rng.choice(_BESIDE)


def relative(rng: random.Random, *, animals: bool) -> Templates:
    """Return a subject with a relative clause about the distractor: "the dog that followed the cow".

    Args:
        rng: The source of chance.
        animals: Whether subject and distractor are both alive, so that one may follow or see the other.
    """
    return rng.choice(_RELATIVES if animals else _INERT_RELATIVES)


def with_subject(clause: Templates, subject: Templates) -> Templates:
    """Put a longer subject into a clause."""
    return clause[0].replace("{x}", subject[0]), clause[1].replace("{x}", subject[1])


def join(*parts: Templates) -> Templates:
    """Put clauses and what links them side by side, language by language."""
    return "".join(english for english, _ in parts), "".join(french for _, french in parts)
