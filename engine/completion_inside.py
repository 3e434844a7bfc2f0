"""What goes on in a network that completes words: recurrent states and gates, or attention, over a text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from engine.characters import Folded
from engine.completion import Completer, fold_checked
from engine.errors import InputError
from engine.runner import guard_memory
from engine.windows import Window, windows


@dataclass(frozen=True, slots=True)
class CellRecord:
    """States and gates of every layer of a recurrent network, after each character.

    Attributes:
        text: the characters (T,).
        states: per layer, by name ("hidden", "memory", ...): float32 (T, H).
        gates: per layer, by name ("update", "forget", ...): float32 (T, H); see `engine.models.recurrent.Recording`.
    """

    text: str
    states: tuple[Mapping[str, np.ndarray], ...]
    gates: tuple[Mapping[str, np.ndarray], ...]


@torch.inference_mode()
def cell_record(completer: Completer, text: str) -> CellRecord:
    """States and gates while a text is read.

    Raises:
        InputError: a text that cannot be used.
        Unsupported: the network is a Transformer.
    """
    folded = fold_checked(text)
    with guard_memory(completer.device):
        ids = torch.tensor([folded.ids], device=completer.device)
        recording = completer.model.run_with_states(ids).recording
    plain = [
        tuple({name: values[0].float().cpu().numpy() for name, values in layer.items()} for layer in part)
        for part in (recording.states, recording.gates)
    ]
    return CellRecord(folded.text, *plain)


def busiest_units(values: np.ndarray, count: int) -> tuple[int, ...]:
    """The units that change most over a text, by their variance, most first.

    Args:
        values: (T, H).
        count: how many.
    """
    order = np.argsort(-values.var(axis=0), kind="stable")
    return tuple(int(unit) for unit in order[:count])


@torch.inference_mode()
def attention(completer: Completer, text: str, layer: int | None = None, head: int | None = None) -> np.ndarray:
    """Where each character of a text looks: float32 (T, T), row = the character that looks.

    A text longer than the network reads at once is read in the windows of `Completer.read`.

    Args:
        completer: a Transformer.
        text: any; it is folded.
        layer: counted from 0; None for the mean over all.
        head: counted from 0; None for the mean over all.

    Raises:
        InputError: a text that cannot be used, or a layer or head that is not there.
        Unsupported: the network is recurrent.
    """
    folded = fold_checked(text)
    config = completer.model.config
    for name, number, most in (("layer", layer, config.layers), ("head", head, config.heads)):
        if number is not None and not 0 <= number < most:
            raise InputError(f"There is no {name} {number + 1}: this network has {most}.")
    found = np.zeros((len(folded), len(folded)), dtype=np.float32)
    chosen_layers = slice(None) if layer is None else slice(layer, layer + 1)
    chosen_heads = slice(None) if head is None else slice(head, head + 1)
    with guard_memory(completer.device):
        for window in windows(folded.text, completer.reach):
            maps = _maps(completer, folded, window)  # (layer, H, T, T)
            mean = maps[chosen_layers, chosen_heads].mean(dim=(0, 1)).cpu().numpy()
            found[window.first : window.end, window.start : window.end] = mean[window.first - window.start :]
    return found


def mean_of(numbers: np.ndarray) -> float | None:
    """The mean of those that are numbers; None where none is."""
    there = numbers[~np.isnan(numbers)]
    return float(there.mean()) if len(there) else None


def _maps(completer: Completer, folded: Folded, window: Window) -> torch.Tensor:
    ids = torch.tensor([folded.ids[window.start : window.end]], device=completer.device)
    return completer.model.forward_with_maps(ids).decoder[:, 0].float()
