"""Four answers to the question what one suggestion rests on, side by side, so that the gradient can be doubted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from engine.completion import RANKS, Completer, Target, fold_checked
from engine.connectivity import connectivity, top_words
from engine.connectivity_attributions import Baseline, gradient_times_input, integrated_gradients, occlusion
from engine.errors import InputError
from engine.runner import guard_memory
from engine.types import MASKED
from engine.windows import windows

STEPS = 64


@dataclass(frozen=True, slots=True)
class Attributions:
    """What one position's logit rests on, by four measures.

    Attributes:
        text: the characters up to the position, itself included (T,).
        word: whose logit it is.
        rows: float64 (T,) by name, 0 before what a network reads at once: "gradient" (L2 norm with respect to the
            one-hot input, unsigned), and signed and in units of the logit "gradient × input", "integrated gradients"
            and "occlusion".
        change: the logit at the text − that at the baseline.
        error: the sum of the integrated gradients − `change`; 0 for endlessly many steps (completeness).
        steps: of the integrated gradients.
        baseline: "zero" or "mean": what stands for an absent character.
    """

    text: str
    word: str
    rows: Mapping[str, np.ndarray]
    change: float
    error: float
    steps: int
    baseline: Baseline

    @property
    def sum(self) -> float:
        """Of the integrated gradients."""
        return self.change + self.error


def attributions(
    completer: Completer,
    text: str,
    position: int,
    target: Target = "desired",
    baseline: Baseline = "zero",
    steps: int = STEPS,
    report: Callable[[float], None] = lambda share: None,
    *,
    word: str = "",
) -> Attributions:
    """Gradient, gradient × input, integrated gradients and occlusion of one position of a text.

    Args:
        completer: the network.
        text: any; it is folded.
        position: in the folded text, from 0.
        target: as in `Completer.read`.
        baseline: zero vectors, or the mean of all characters' vectors.
        steps: of the integrated gradients.
        report: called with the share that is done.
        word: for the target "word".

    Raises:
        InputError: a text, a position or a word that cannot be used, or a word outside the vocabulary.
    """
    folded = fold_checked(text)
    if not 0 <= position < len(folded):
        raise InputError(f"There is no character {position}: the text has {len(folded)}. Choose one of them.")
    window = next(part for part in windows(folded.text, completer.reach) if position < part.end)
    ids = folded.ids[window.start : position + 1]
    model = completer.model
    with guard_memory(completer.device):
        if target == "desired":
            number = completer.desired(folded)[position]
        elif target == "word":
            number = completer.word_id(word)
        else:
            number = top_words(model, ids, RANKS.index(target))[-1]
        if number == MASKED:
            raise InputError(
                "The word here is outside the vocabulary, so there is no logit to take apart. Choose another position, "
                "or take the first suggestion as the target."
            )
        words = [MASKED] * (len(ids) - 1) + [number]
        whole = integrated_gradients(model, ids, words, baseline, steps, report=report)
        found = {
            "gradient": connectivity(model, ids, words, "one-hot"),
            "gradient × input": gradient_times_input(model, ids, words, baseline),
            "integrated gradients": whole.connectivity,
            "occlusion": occlusion(model, ids, words, baseline),
        }
    unseen = np.zeros(window.start)
    rows = {name: np.concatenate([unseen, values.values[-1].astype(float)]) for name, values in found.items()}
    shown = folded.text[: position + 1]
    return Attributions(
        shown, completer.words[number], rows, float(whole.change[-1]), float(whole.error[-1]), steps, baseline
    )
