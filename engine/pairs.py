"""Minimal pairs: two English sentences that differ in little and whose pronoun stands for different nouns.

In most pairs the two nouns differ in gender in French, so that "il" or "elle" shows which one was meant. The sentences
are this project's own (Apache-2.0), but for the first pair, which is well known.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from engine.catalogue import ASSETS
from engine.errors import ConfigError

PAIRS = ASSETS / "coreference" / "pairs.json"
Shows = Literal["pronoun", "agreement", "nothing"]
_FRENCH = {"il", "elle", "ils", "elles", "qui", "que"}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences that a word decides.

    Attributes:
        id: its name in the file, such as "tired-wide".
        group: the pairs it is listed with.
        first: the first English sentence.
        second: the second one.
        pronouns: the pronoun of each sentence in lower case; it stands there once.
        candidates: the two nouns that the pronouns may stand for, in the first sentence's order; each stands in both
            sentences once.
        answers: the candidate meant in each sentence.
        french: the right French pronoun for each sentence, with the nouns' usual translations.
        shows: where correct French tells the sentences apart: in the "pronoun" itself, in the "agreement" with it
            ("qui est", "qui sont"), or nowhere ("nothing").
        note: what to look at; "" where the French pronoun says all.
    """

    id: str
    group: str
    first: str
    second: str
    pronouns: tuple[str, str]
    candidates: tuple[str, str]
    answers: tuple[str, str]
    french: tuple[str, str]
    shows: Shows
    note: str

    @property
    def sentences(self) -> tuple[str, str]:
        return self.first, self.second


@cache
def load_pairs(path: Path = PAIRS) -> tuple[Pair, ...]:
    """All pairs, in the file's order.

    Args:
        path: a JSON list of objects with the attributes of `Pair`.

    Raises:
        ConfigError: the file cannot be read as pairs; the message names the pair and what is wrong with it.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} cannot be read. Restore it from the repository (git checkout).") from error
    if not isinstance(entries, list):
        raise ConfigError(f"{path.name} is not a list of pairs. Restore it from the repository (git checkout).")
    pairs = tuple(_pair(entry, f"{path.name}, entry {index + 1}") for index, entry in enumerate(entries))
    names = [pair.id for pair in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{path.name} has two pairs {name!r}. Give one of them another id.")
    return pairs


def _pair(entry: Any, place: str) -> Pair:
    """One checked pair; `place` is what a message calls it."""
    names = {field.name for field in fields(Pair)}
    if not isinstance(entry, dict) or set(entry) != names:
        raise ConfigError(f"{place}: the keys of a pair are {', '.join(sorted(names))}. Name each of them once.")
    values: dict[str, Any] = {key: tuple(it) if isinstance(it, list) else it for key, it in entry.items()}
    for key, value in values.items():
        if key in ("pronouns", "candidates", "answers", "french"):
            if not (isinstance(value, tuple) and len(value) == 2 and all(isinstance(item, str) for item in value)):
                raise ConfigError(f"{place}: {key} takes a list of two strings.")
        elif not isinstance(value, str):
            raise ConfigError(f"{place}: {key} takes a string.")
    pair = Pair(**values)
    problem = _problem(pair)
    if problem:
        raise ConfigError(f"{place} ({pair.id}): {problem}")
    return pair


def _problem(pair: Pair) -> str:
    """What is impossible about a pair and what to do about it; "" if nothing is."""
    for sentence, pronoun in zip(pair.sentences, pair.pronouns, strict=True):
        for word in (pronoun, *pair.candidates):
            if len(re.findall(rf"\b{re.escape(word)}\b", sentence, re.IGNORECASE)) != 1:
                return f"{word!r} is not exactly once in {sentence!r}. Write it there once as a whole word."
    if len(set(pair.candidates)) != 2:
        return "the candidates are the same. Name two nouns."
    if not set(pair.answers) <= set(pair.candidates):
        return f"the answers {pair.answers} are not among the candidates. Take them from {pair.candidates}."
    if not set(pair.french) <= _FRENCH:
        return f"{pair.french} are not French pronouns. Choose from {', '.join(sorted(_FRENCH))}."
    if pair.shows not in get_args(Shows):
        return f"there is no shows {pair.shows!r}. Choose from {', '.join(get_args(Shows))}."
    if (pair.shows == "pronoun") == (pair.french[0] == pair.french[1]):
        return f"the French pronouns {pair.french} do not go with shows {pair.shows!r}. Change one of them."
    return ""
