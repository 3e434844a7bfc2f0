"""The neurons of a head: for one query every key's weight, and for one key what each dimension adds to the logit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import streamlit as st

from engine.types import Kind, Tokens
from viz.components.choices import REACHES, percentage
from viz.components.inline import register
from viz.components.maps import theme_header, token_header
from viz.components.packing import pack
from viz.components.standalone import standalone_html
from viz.labels import isolate, shorten
from viz.theme import LIGHT, Theme

MOST_KEYS = 512
"""Keys that are listed; of more, those with the most weight."""

_mount = register("neurons")


class Rows(Protocol):
    """What the rows of a head are called by."""

    @property
    def kind(self) -> Kind:
        """Which attention."""

    @property
    def query_tokens(self) -> Tokens:
        """The positions that look."""

    @property
    def predicted_tokens(self) -> Tokens | None:
        """What each row predicts; None where none does."""


class Row(Rows, Protocol):
    """One row of one head; the engine's `Neurons` is such a row as it is. D: width of the head, K: keys."""

    @property
    def layer(self) -> int:
        """From 0."""

    @property
    def head(self) -> int:
        """From 0."""

    @property
    def key_head(self) -> int:
        """The key head it looks through, from 0."""

    @property
    def shared_by(self) -> tuple[int, ...]:
        """The heads that look through the same key head."""

    @property
    def row(self) -> int:
        """The position that looks, from 0."""

    @property
    def scaling(self) -> float:
        """What q⊙k is multiplied by."""

    @property
    def cap(self) -> float | None:
        """Logits are pressed into (−cap, cap); None for none."""

    @property
    def sink(self) -> float | None:
        """The logit of a learned sink; None for none."""

    @property
    def sink_weight(self) -> float:
        """Its weight, in [0, 1]."""

    @property
    def query(self) -> np.ndarray:
        """The vector of the position that looks, float32 (D,)."""

    @property
    def keys(self) -> np.ndarray:
        """The vectors of those looked at, float32 (K, D)."""

    @property
    def bias(self) -> np.ndarray:
        """What relative positions add, float32 (K,)."""

    @property
    def capped(self) -> np.ndarray:
        """What the cap changes, float32 (K,)."""

    @property
    def logits(self) -> np.ndarray:
        """What the softmax is taken of, float32 (K,); −∞ where looking is forbidden."""

    @property
    def weights(self) -> np.ndarray:
        """Attention weights, float32 (K,) in [0, 1]."""

    @property
    def allowed(self) -> np.ndarray:
        """Where looking is allowed, bool (K,)."""

    @property
    def key_tokens(self) -> Tokens:
        """The positions looked at."""


def listed_keys(found: Row, key: int = -1, most: int = MOST_KEYS) -> tuple[int, ...]:
    """The keys that are shown, in the order of the text: all, or those with the most weight, the chosen one among them.

    Args:
        found: the row.
        key: the chosen one, from 0; −1 for the one with the most weight.
        most: how many, at least 1.
    """
    count = len(found.weights)
    if count <= most:
        return tuple(range(count))
    order = np.argsort(-found.weights, kind="stable").tolist()
    kept = order[:most] if key < 0 or key in order[:most] else [*order[: most - 1], key]
    return tuple(sorted(kept))


def neurons_data(
    found: Row,
    *,
    key: int = -1,
    most: int = MOST_KEYS,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    file_name: str = "neurons",
) -> bytes:
    """What the component receives; 512 keys of 128 dimensions are 0.3 MB.

    Args:
        found: the row, at least one key.
        key: the key that is looked into at first, from 0; −1 for the one with the most weight.
        most: keys that are listed; of more, those with the most weight.
        theme: colours and type sizes.
        scale: of type and figure; above 1 for a projector.
        start_id: the browser takes `key` over only when this or the row changes, else it keeps what the reader did.
        file_name: of saved pictures, without suffix.

    Raises:
        ValueError: when there is no such key.
    """
    count = len(found.weights)
    if not -1 <= key < count:
        raise ValueError(f"key: no key {key}: there are {count}, counted from 0")
    chosen = int(np.argmax(found.weights)) if key < 0 else key
    places = list(listed_keys(found, chosen, most))
    tokens = token_header(found.key_tokens)
    shown = found.weights[places]
    reach = next((one for one in REACHES if shown.max() <= one), 1.0)
    title = isolate(row_title(found, found.row))
    header: dict[str, Any] = {
        **theme_header(theme, scale),
        "diverging": theme.diverging,
        "mask": theme.mask,
        "name": _name(found),
        "query": {"label": shorten(row_tokens(found).labels[found.row]), "title": title, "predicts": _predicts(found)},
        "keys": [{**tokens[place], "position": place} for place in places],
        "weights": [percentage(min(float(weight), 1.0)) for weight in shown],
        "reach": reach,
        "reach_text": percentage(reach, whole=True),
        "note": _note(found, places),
        "scaling": float(found.scaling),
        "has": {"bias": bool(found.bias.any()), "cap": found.cap is not None},
        "key": places.index(chosen),
        "file_name": file_name,
        "start_id": _identity(found, start_id),
    }
    arrays: dict[str, np.ndarray] = {
        "query": found.query.astype(np.float32),
        "keys": found.keys[places].astype(np.float32),
        "bias": found.bias[places].astype(np.float32),
        "capped": found.capped[places].astype(np.float32),
        "logits": found.logits[places].astype(np.float32),
        "shares": np.clip(shown / reach, 0, 1).astype(np.float32),
        "allowed": found.allowed[places].astype(np.uint8),
    }
    return pack(header, arrays)


def neurons(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> None:
    """Mount the figure.

    Args:
        data: from `neurons_data`.
        key: its name on the page.
        on_change: called when the reader has chosen another key and settled; `picked_in` says which.
    """
    _mount(key=key, data=data, on_picked_change=on_change)


def picked_in(name: str, found: Row, *, start_id: str = "") -> int | None:
    """The key, from 0, that this run is due to, before the figure is mounted; None in every other run.

    Args:
        name: of the figure on the page.
        found: the row that was shown; a key of another row is nobody's any more.
        start_id: as `neurons_data` got it.
    """
    sent = getattr(st.session_state.get(name), "picked", None)
    if not isinstance(sent, Mapping) or sent.get("start_id") != _identity(found, start_id):
        return None
    place = sent.get("picked")
    if isinstance(place, bool) or not isinstance(place, int | float) or place not in range(len(found.weights)):
        return None
    return int(place)


def neurons_html(data: bytes, *, title: str, note: str, theme: Theme = LIGHT) -> str:
    """The figure as one HTML file that needs neither Saccade nor a network.

    Args:
        data: from `neurons_data`.
        title: of the page, any text.
        note: what was done, in a sentence, any text.
        theme: the one that `data` was made with.
    """
    return standalone_html("neurons", data, title=title, note=note, theme=theme)


def row_tokens(found: Rows) -> Tokens:
    """What names the rows on screen: the tokens predicted for cross attention, else those read."""
    if found.kind == "cross" and found.predicted_tokens is not None:
        return found.predicted_tokens
    return found.query_tokens


def row_title(found: Rows, row: int) -> str:
    """The token that looks, and where its step predicts one, that: "reads X → predicts Y"."""
    read = found.query_tokens.labels[row]
    return read if found.predicted_tokens is None else f"reads {read} → predicts {found.predicted_tokens.labels[row]}"


def shared_key_head(found: Row) -> str:
    """Which key head several heads share, as a sentence; "" where each head has one of its own."""
    if len(found.shared_by) < 2:
        return ""
    first, last = found.shared_by[0] + 1, found.shared_by[-1] + 1
    return f"Heads {first} to {last} share key head {found.key_head + 1}: their keys are the same, their queries not."


def _name(found: Row) -> str:
    return f"{found.kind.capitalize()} attention, layer {found.layer + 1}, head {found.head + 1}"


def _predicts(found: Row) -> bool:
    return found.predicted_tokens is not None


def _note(found: Row, places: list[int]) -> str:
    """What the reader must know of the row, beyond its numbers."""
    count, notes = len(found.weights), []
    if len(places) < count:
        share = percentage(min(float(found.weights[places].sum()), 1.0))
        notes.append(f"{len(places):,} of {count:,} keys: those with the most weight, together {share}.")
    if hidden := int((~found.allowed).sum()):
        notes.append(f"Masked keys: {hidden:,} of {count:,}, this position may not look at them.")
    if found.sink is not None:
        taken = percentage(min(found.sink_weight, 1.0))
        notes.append(f"A learned sink with logit {found.sink:.2f} takes {taken} of the weight and gives nothing.")
    if found.cap is not None:
        notes.append(f"Logits are pressed into ±{found.cap:g} by {found.cap:g}·tanh(x/{found.cap:g}).")
    return " ".join([*notes, shared_key_head(found)]).strip()


def _identity(found: Row, start_id: str) -> str:
    """A name of the start that no other row has: a key of one row means nothing in another."""
    parts = [start_id, found.kind, found.layer, found.head, found.row, found.query_tokens.labels]
    parts.append(found.key_tokens.labels)
    return hashlib.sha1(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()


__all__ = [
    "MOST_KEYS",
    "Row",
    "Rows",
    "listed_keys",
    "neurons",
    "neurons_data",
    "neurons_html",
    "picked_in",
    "row_title",
    "row_tokens",
    "shared_key_head",
]
