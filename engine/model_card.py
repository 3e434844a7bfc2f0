"""What is known of a model before it is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ASSETS = Path(__file__).parent.parent / "assets"

Family = Literal["transformer", "seq2seq", "autocomplete", "gpt", "char-lm", "trigram", "bert", "huggingface"]
Capability = Literal[
    "translate",
    "encoder",
    "decoder",
    "cross",
    "interventions",
    "search",
    "complete",
    "states",
    "generate",
    "counts",
    "cloze",
    "read",
]

LOADERS: Mapping[Family, str] = {
    "transformer": "load",
    "seq2seq": "load",
    "autocomplete": "load_completer",
    "gpt": "load_generator",
    "char-lm": "load_generator",
    "trigram": "load_generator",
    "bert": "load_cloze",
}
"""The functions of `engine` that load the models of each family."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model before it is loaded.

    Attributes:
        name: what the family's loader takes.
        family: what gives it: "transformer" and "seq2seq" `engine.load`, "autocomplete" `engine.load_completer`, "gpt",
            "char-lm" and "trigram" `engine.load_generator`, "bert" `engine.load_cloze`, "huggingface"
            `engine.open_model`: a model of somebody's own, which ships with nothing.
        title: for a menu.
        summary: one sentence for a screen.
        sha256: checksum of every file of the model, by file name; "weights.safetensors" among them.
        supports: what pages may ask of it: "translate", the kinds of attention maps it has, and
            "interventions": its heads can be changed and its output differentiated, and "search": its output is
            searched for token by token; "complete": it suggests words as characters are typed, and "states": its
            recurrent states can be looked at; "generate": it continues a text, and "counts": by counts that can be
            looked up; "cloze": it restores masked words; "read": it reads a text with attention that taps can watch.
        longest: the most source tokens it takes, </s> included; of the family "autocomplete" the most characters that
            it reads at once; of "gpt" and "bert" the most tokens that it sees at once; 0 where there is no limit.
        data: what it was trained on, with licences.
        licence: of the weights.
        limits: what it cannot do.
        notes: departures from the paper, and why.
        path: the folder of a model of somebody's own; None for those that ship.
    """

    name: str
    family: Family
    title: str
    summary: str
    sha256: Mapping[str, str]
    supports: frozenset[Capability]
    longest: int
    data: tuple[str, ...]
    licence: str
    limits: tuple[str, ...]
    notes: tuple[str, ...] = ()
    path: Path | None = None

    @property
    def short(self) -> str:
        """What it is called beside others of its family: its title after the colon; all of it where there is none."""
        return self.title.partition(": ")[2] or self.title

    @property
    def loader(self) -> str:
        """What loads it, as Python writes it: `engine.load_completer("autocomplete-gru")`."""
        if self.path is not None:
            return f"engine.open_model({str(self.path)!r})"
        return f"engine.{LOADERS[self.family]}({self.name!r})"

    @property
    def folder(self) -> Path:
        return self.path or ASSETS / self.name

    @property
    def identity(self) -> str:
        """`name@sha256[:8]` of the weights: what requests, permalinks and presets carry."""
        return f"{self.name}@{self.sha256['weights.safetensors'][:8]}"
