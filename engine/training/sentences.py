"""Sentences from pairs of templates, with the place of every noun and pronoun.

A template names nouns by their role: ``{x}`` is the noun of role x with its determiner, ``{it:x}`` / ``{il:x}`` a
pronoun for it, and ``{e:x}`` the "e" of French agreement. Rendering the English template records where they land.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from engine.training.french import elide, french_noun_phrase, french_pronoun
from engine.training.lexicon import Noun

_SLOT = re.compile(r"\{(?:(\w+):)?(\w)\}")  # the mark ("it", "il", "e"; none for a noun) and the role
_OPENING = re.compile(r"(?:^|(?<=\. ))\w")


@dataclass(frozen=True, slots=True)
class Mention:
    """Where a pronoun or a candidate noun stands in the English: character offsets, without the article."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PronounExample:
    """One sentence pair with its pronouns resolved.

    Attributes:
        english: The English sentence or sentences.
        french: The translation.
        pronoun: The scored "it": the first one in reading order.
        candidates: All nouns that "it" might refer to, in reading order.
        answer: Index of the scored pronoun's noun in `candidates`.
        french_pronoun: "il" or "elle", for the scored pronoun.
        french_with_noun: The French with every pronoun spelled out as its noun.
        adjective: The English adjective that decides, or "" if the clause shape decides.
        nouns: The English nouns of `candidates`.
        shape: The clause shape's name.
        pronouns: Every pronoun with the index of its noun, in reading order.
    """

    english: str
    french: str
    pronoun: Mention
    candidates: tuple[Mention, ...]
    answer: int
    french_pronoun: str
    french_with_noun: str
    adjective: str
    nouns: tuple[str, ...]
    shape: str
    pronouns: tuple[tuple[Mention, int], ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A sentence before rendering: templates, and the nouns that their slots stand for."""

    english: str
    french: str
    roles: Mapping[str, Noun]
    adjective: str
    shape: str

    @property
    def names(self) -> set[str]:
        """The English nouns."""
        return {noun.english for noun in self.roles.values()}


def render(draft: Draft, determiners: Mapping[str, str] | None = None) -> PronounExample:
    """Turn a draft into an example.

    Args:
        draft: The templates and their nouns.
        determiners: English determiner of each role; "the" for all by default.
    """
    determiners = determiners or dict.fromkeys(draft.roles, "the")
    english, nouns, pronouns = _render_english(draft, determiners)
    order = sorted(nouns, key=lambda role: nouns[role].start)
    resolved = tuple((mention, order.index(role)) for mention, role in pronouns)
    scored, answer = resolved[0]
    return PronounExample(
        english=english,
        french=_render_french(draft, determiners, spell_out=False),
        pronoun=scored,
        candidates=tuple(nouns[role] for role in order),
        answer=answer,
        french_pronoun=french_pronoun(draft.roles[order[answer]]),
        french_with_noun=_render_french(draft, determiners, spell_out=True),
        adjective=draft.adjective,
        nouns=tuple(draft.roles[role].english for role in order),
        shape=draft.shape,
        pronouns=resolved,
    )


def _render_english(
    draft: Draft, determiners: Mapping[str, str]
) -> tuple[str, dict[str, Mention], list[tuple[Mention, str]]]:
    """Fill the English template.

    Returns:
        The text, the place of each role's noun, and each pronoun's place with its role in reading order.
    """
    text = ""
    nouns: dict[str, Mention] = {}
    pronouns: list[tuple[Mention, str]] = []
    position = 0
    for slot in _SLOT.finditer(draft.english):
        text += draft.english[position : slot.start()]
        position = slot.end()
        mark, role = slot.groups()
        if mark == "it":
            pronouns.append((Mention(len(text), len(text) + len("it")), role))
            text += "it"
        else:
            word = draft.roles[role].english
            text += determiners[role] + " "
            nouns[role] = Mention(len(text), len(text) + len(word))
            text += word
    # Capitalising changes no length, so the offsets stay true.
    return _capitalise(text + draft.english[position:]), nouns, pronouns


def _render_french(draft: Draft, determiners: Mapping[str, str], *, spell_out: bool) -> str:
    """Fill the French template, with pronouns or with the nouns they stand for."""

    def fill(slot: re.Match[str]) -> str:
        mark, role = slot.groups()
        noun = draft.roles[role]
        if mark == "e":
            return "e" if noun.gender == "f" else ""
        if mark == "il":
            return french_noun_phrase(noun) if spell_out else french_pronoun(noun)
        return french_noun_phrase(noun, determiners[role])

    return _capitalise(elide(_SLOT.sub(fill, draft.french)))


def _capitalise(text: str) -> str:
    return _OPENING.sub(lambda first: first[0].upper(), text)
