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
    from engine.completion import Completer, load_completer
    from engine.runner import Runner, load
    from engine.types import AttentionMap, Trace

__all__ = ["AttentionMap", "Completer", "Runner", "Trace", "load", "load_completer"]
_HOMES = {
    "load": "engine.runner",
    "Runner": "engine.runner",
    "load_completer": "engine.completion",
    "Completer": "engine.completion",
    "AttentionMap": "engine.types",
    "Trace": "engine.types",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that `viz`, which needs `engine.types` only, never pays for torch."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'engine' has no attribute {name!r}")
