"""Our own texts for the Generate page: prompts, a surprising text, two words, and prompts with examples in them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from engine.catalogue import ASSETS


@dataclass(frozen=True, slots=True)
class Example:
    """A prompt under its title."""

    title: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Shots:
    """One task asked for without, with one and with several examples.

    Attributes:
        title: on its button.
        zero, one, few: the prompts.
        answer: what comes next, if the task was understood.
    """

    title: str
    zero: str
    one: str
    few: str
    answer: str


_READ: dict[str, Any] = json.loads((ASSETS / "generate" / "prompts.json").read_text("utf-8"))
PROMPTS = tuple(Example(**one) for one in _READ["prompts"])
SURPRISE: str = _READ["surprise"]
PAIR: str = _READ["pair"]
TASKS = tuple(Shots(**one) for one in (_READ["shots"], *_READ["more_shots"]))
