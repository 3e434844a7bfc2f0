"""Interventions as taps: checked against a model and the texts of a run, and ready for a forward or for its steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputError
from engine.interventions import Force, Head, Intervention, KnockOut, Patch
from engine.models.taps import Place, Tap, Taps
from engine.models.translator import Translator, TranslatorConfig

Edit = Callable[[Tensor, int], Tensor]
"""From weights or outputs (B, H, Q, ...), and the position of their first row, to the same, changed."""

Outputs = Mapping[Place, Tensor]
"""What heads give in another run, (H, Q, d/H), or on average, (H, d/H), by sublayer."""


@dataclass(frozen=True, slots=True)
class Edits:
    """The changes of a run by sublayer, in the order in which they are made."""

    weights: Mapping[Place, tuple[Edit, ...]]
    outputs: Mapping[Place, tuple[Edit, ...]]

    def at(self, first: int) -> Taps:
        """Taps of a forward whose first decoder row stands at this position: 0 for a whole pass, t for step t."""
        places = {*self.weights, *self.outputs}
        return {
            place: Tap(
                change_weights=_chain(self.weights.get(place, ()), first),
                change_outputs=_chain(self.outputs.get(place, ()), first),
            )
            for place in places
        }


def _chain(edits: Sequence[Edit], first: int) -> Callable[[Tensor], Tensor] | None:
    if not edits:
        return None

    def change(values: Tensor) -> Tensor:
        for edit in edits:
            values = edit(values, first)
        return values

    return change


@dataclass(frozen=True, slots=True)
class Intervened:
    """A model with a decoder (`engine.decoding.step.StepModel`) whose every forward has the edits."""

    model: Translator
    edits: Edits

    def encode(self, source: Tensor) -> Any:
        return self.model.encode(source, self.edits.at)

    def step(self, state: Any, tokens: Tensor) -> tuple[Tensor, Any]:
        return self.model.step(state, tokens)


def compile_edits(
    interventions: Iterable[Intervention],
    config: TranslatorConfig,
    *,
    means: Callable[[], Outputs],
    donor: Callable[[Patch], Outputs],
) -> Edits:
    """The edits of a list of interventions.

    Args:
        interventions: made one after the other.
        config: of the model.
        means: gives what each head says on average; called if a knock-out asks for it.
        donor: gives the outputs of the run that a patch takes from.

    Raises:
        InputError: a head or a position that is not there, or mass that is moved onto where it comes from.
    """
    weights: defaultdict[Place, list[Edit]] = defaultdict(list)
    outputs: defaultdict[Place, list[Edit]] = defaultdict(list)
    for one in interventions:
        places = _by_place(one.heads, config)
        given = donor(one) if isinstance(one, Patch) and places else {}
        for place, heads in places.items():
            if isinstance(one, KnockOut):
                outputs[place].append(_knock_out(heads, means()[place] if one.by == "mean" else None))
            elif isinstance(one, Patch):
                outputs[place].append(_patch(heads, given[place], one))
            else:
                weights[place].append(_force(heads, one, causal=place[0] == "decoder"))
    return Edits({k: tuple(v) for k, v in weights.items()}, {k: tuple(v) for k, v in outputs.items()})


def check_head(head: Head, config: TranslatorConfig) -> None:
    """Raises InputError where the model has no such head."""
    layers, heads = config.attention_layers(head.kind), config.attention_heads(head.kind)
    if not (0 <= head.layer < layers and 0 <= head.head < heads):
        raise InputError(
            f"There is no {head.name}: the model has {layers} {head.kind} layers of {heads} heads. Choose one of those."
        )


def _by_place(heads: Iterable[Head], config: TranslatorConfig) -> dict[Place, list[int]]:
    places: defaultdict[Place, list[int]] = defaultdict(list)
    for head in heads:
        check_head(head, config)
        places[head.kind, head.layer].append(head.head)
    return dict(places)


def _knock_out(heads: list[int], means: Tensor | None) -> Edit:
    def edit(mixed: Tensor, first: int) -> Tensor:
        changed = mixed.clone()
        changed[:, heads] = 0.0 if means is None else means[heads, None].to(mixed)
        return changed

    return edit


def _patch(heads: list[int], donor: Tensor, patch: Patch) -> Edit:
    length = donor.shape[1]
    if beyond := [there for there, _ in patch.positions if not 0 <= there < length]:
        raise InputError(
            f"Position {beyond[0] + 1} is not in the other sentence, which has {length} tokens. Choose a lower one."
        )

    def edit(mixed: Tensor, first: int) -> Tensor:
        rows = mixed.shape[2]
        pairs = [(there, here - first) for there, here in patch.positions if 0 <= here - first < rows]
        if not pairs:
            return mixed
        there, here = (torch.tensor(side, device=mixed.device) for side in zip(*pairs, strict=True))
        changed = mixed.clone()
        for head in heads:
            changed[:, head, here] = donor[head, there].to(mixed)
        return changed

    return edit


def _force(heads: list[int], force: Force, *, causal: bool) -> Edit:
    keys, onto = (tuple(dict.fromkeys(side)) for side in (force.keys, force.onto))  # each counts once
    if {*keys} & {*onto}:
        raise InputError("Attention cannot be moved onto the tokens it is taken from. Choose two different nouns.")
    if below := [position for position in (*force.rows, *keys, *onto) if position < 0]:
        raise InputError(f"There is no position {below[0] + 1}: positions count from 1. Choose one of the tokens.")

    def edit(weights: Tensor, first: int) -> Tensor:
        queries, length = weights.shape[2:]
        changed = weights.clone()
        for row in (row - first for row in force.rows if 0 <= row - first < queries):
            end = first + row + 1 if causal else length  # no row looks at what comes after it, in a full pass either
            taken, given = ([key for key in side if key < end] for side in (keys, onto))
            if taken and given:
                for head in heads:
                    changed[:, head, row] = _moved(weights[:, head, row], taken, given)
        return changed

    return edit


def _moved(row: Tensor, keys: list[int], onto: list[int]) -> Tensor:
    """Rows (B, K) with the mass of `keys` on `onto`; the sum stays."""
    taken, had = row[:, keys].sum(-1, keepdim=True), row[:, onto]
    total = had.sum(-1, keepdim=True)
    share = torch.where(total > 0, had / total.clamp_min(torch.finfo(row.dtype).tiny), 1 / len(onto))
    changed = row.clone()
    changed[:, keys] = 0.0
    changed[:, onto] = had + taken * share
    return changed
