"""Saccade's engine: trained encoder/decoder models, their attention maps and gradients, with no screen.

import engine
m = engine.load("en-fr")
m.translate(["The animal didn't cross the street because it was too tired."])
trace = m.trace("The animal didn't cross the street because it was too tired.")
trace.maps["encoder"].weights.shape  # (layer, head, query, key)
engine.load_completer("autocomplete-gru").read("what a network remem").connectivity.values.shape  # (time, time)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.cloze import Cloze, load_cloze
    from engine.completion import Completer, load_completer
    from engine.generation import load_generator
    from engine.generator import Generator
    from engine.huggingface.loading import open_model
    from engine.runner import Runner, load
    from engine.types import AttentionMap, Trace

__all__ = [
    "AttentionMap",
    "Cloze",
    "Completer",
    "Generator",
    "Runner",
    "Trace",
    "load",
    "load_cloze",
    "load_completer",
    "load_generator",
    "open_model",
]
_HOMES = {
    "load": "engine.runner",
    "Runner": "engine.runner",
    "load_cloze": "engine.cloze",
    "Cloze": "engine.cloze",
    "load_completer": "engine.completion",
    "Completer": "engine.completion",
    "load_generator": "engine.generation",
    "Generator": "engine.generator",
    "open_model": "engine.huggingface.loading",
    "AttentionMap": "engine.types",
    "Trace": "engine.types",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `viz`, which needs `engine.types` only, never pays for torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
