"""A translation being made, in the browser: the encoder layer by layer, then the output token by token with its lines.

Source: Vaswani et al. 2017, section 3; the animation of an encoder and a decoder at work that Uszkoreit 2017,
"Transformer: A Novel Neural Network Architecture for Language Understanding", made known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.types import KINDS, AttentionMap, Kind, Tokens
from viz.components.inline import register
from viz.components.maps import head_header, quantised, theme_header, token_header
from viz.components.packing import pack
from viz.labels import isolate, visible
from viz.theme import LIGHT, Theme

ALTERNATIVES = 3  # named beside the token that was chosen

_mount = register("playback")

Alternatives = tuple[tuple[tuple[str, float], ...], ...]
"""For each decoding step the most probable tokens as (label, natural log-probability), best first."""


@dataclass(frozen=True, slots=True)
class PlaybackView:
    """The step that is shown.

    Attributes:
        step: counted from 0: first the encoder's layers, then the decoding steps.
        layer: of the decoder, counted from 0; -1 is the last one, None the mean of all.
        least: the weight from which a line is drawn, in [0, 1].
    """

    step: int = 0
    layer: int | None = -1
    least: float = 0.1

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> PlaybackView:
        """The view that the browser sent: numbers, and null for the mean of all layers."""
        layer = values["layer"]
        return cls(int(values["step"]), None if layer is None else int(layer), float(values["least"]))


def playback_data(
    maps: Mapping[Kind, AttentionMap],
    logprobs: np.ndarray,
    alternatives: Alternatives,
    view: PlaybackView,
    *,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    file_name: str = "playback",
) -> bytes:
    """What the component receives.

    Args:
        maps: of one sentence, by kind, between pieces as the model read and wrote them: neither merged into words nor
            without their special tokens. Cross or decoder attention has to be there; a kind that is not has no lines,
            and without encoder attention playing begins with the first decoding step.
        logprobs: float32 (T,), natural log-probability of each token of the output, ≤ 0; NaN where unknown.
        alternatives: of each decoding step; empty where unknown.
        view: what is shown first; a step or layer too high stands for the last.
        theme: colours and type sizes.
        scale: of type and rows; above 1 for a projector.
        start_id: the browser takes `view` over only when this changes, else it keeps what the reader did.
        file_name: of saved pictures, without suffix.
    """
    given = {kind: maps[kind] for kind in KINDS if kind in maps}
    read, predicted = _output(given, len(logprobs))
    assert len(alternatives) in (0, len(logprobs)), len(alternatives)
    described: dict[str, dict[str, Any]] = {}
    arrays: dict[str, np.ndarray] = {}
    for kind, attention in given.items():
        arrays[kind], levels = quantised(attention.weights)
        described[kind] = {
            **head_header(attention, theme),
            "levels": levels,
            "queries": len(attention.query_tokens),
            "keys": len(attention.key_tokens),
        }
    source = next((given[kind].key_tokens for kind in ("encoder", "cross") if kind in given), None)
    alone = (given.get("decoder") or given["cross"]).source_name == ""  # one text, prompt and all that follows it
    header = {
        **theme_header(theme, scale),
        "title": "A text, step by step" if alone else "Translation, step by step",
        "written": "text" if alone else "output",
        "file_name": file_name,
        "maps": described,
        "source": token_header(source) if source else [],
        "output": _output_header(read, predicted),
        "probabilities": [None if np.isnan(value) else round(float(np.exp(value)), 6) for value in logprobs],
        "alternatives": [_others(*step) for step in zip(alternatives, predicted.labels, logprobs, strict=True)]
        if alternatives
        else [],
        "start": asdict(view),
        "start_id": start_id,
    }
    return pack(header, arrays)


def playback(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> PlaybackView | None:
    """Mount the figure.

    Args:
        data: from `playback_data`.
        key: its name on the page.
        on_change: called when the reader has changed the view and settled; not while it plays.

    Returns:
        What the reader made of the view; None until it is changed for the first time.
    """
    result = _mount(key=key, data=data, on_view_change=on_change)
    return PlaybackView.of(result.view) if result.view else None


def _output(given: Mapping[Kind, AttentionMap], steps: int) -> tuple[Tokens, Tokens]:
    """The tokens read and predicted by the decoding steps; what the maps must have in common is asserted."""
    encoder, decoder, cross = (given.get(kind) for kind in KINDS)
    first = cross or decoder
    assert first is not None and first.predicted_tokens is not None, "no decoder: nothing is written step by step"
    for attention in filter(None, (cross, decoder)):
        assert len(attention.query_tokens) == steps > 0, "playback takes the pieces' own maps, nothing merged or hidden"
        assert attention.layers == first.layers and attention.query_tokens.labels == first.query_tokens.labels
    if encoder and cross:
        assert encoder.key_tokens.labels == cross.key_tokens.labels
    return first.query_tokens, first.predicted_tokens


def _output_header(read: Tokens, predicted: Tokens) -> list[dict[str, Any]]:
    """The output's column: what the first step reads, then what each step predicts."""
    titles = [
        f"step {step}: reads {isolate(before)} → predicts {isolate(label)}"
        for step, (before, label) in enumerate(zip(read.labels, predicted.labels, strict=True), 1)
    ]
    return token_header(read)[:1] + token_header(predicted, titles)


def _others(step: tuple[tuple[str, float], ...], label: str, logprob: float) -> list[tuple[str, float]]:
    """The best tokens beside the chosen one, with their probabilities; two pieces may well have the same label."""
    chosen = next((i for i, (name, lp) in enumerate(step) if name == label and abs(lp - logprob) < 1e-3), None)
    others = [(visible(name), round(float(np.exp(lp)), 6)) for i, (name, lp) in enumerate(step) if i != chosen]
    return others[:ALTERNATIVES]
