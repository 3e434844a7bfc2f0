"""The decision between il and elle over many sentences, and how much it depends on each head.

The model is asked to go on from the reference translation's beginning, so that every sentence gives one decision and
switching heads off changes no word before it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.cases import Case
from engine.coreference import Decision, fork_of, pronoun_span
from engine.decoding.search import pad_rows
from engine.errors import InputError
from engine.evidence import CHUNK, Report, own_words
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.interventions import Head, KnockOut, Means
from engine.knockout import Fork, Instead, averages, nothing
from engine.knockout_generic import sweep_any
from engine.models.taps import NO_TAPS, Taps
from engine.reference import reference_means
from engine.runner import Runner
from engine.types import KINDS, Kind

BATCH = 64
BATCH_OF_OTHERS = 8  # of models that are not ours: each position has logits of the whole vocabulary
_OTHER = {"il": "elle", "elle": "il"}


@dataclass(frozen=True, slots=True)
class Question:
    """One sentence up to its French pronoun.

    Attributes:
        case: index of the case that it comes from.
        source: ids of the sentence, </s> last.
        fork: the beginning of the translation; first the right pronoun, second the wrong one.
    """

    case: int
    source: tuple[int, ...]
    fork: Fork


@dataclass(frozen=True, slots=True)
class Questions:
    """The decisions that a model is asked for, and what it says with all heads on.

    Attributes:
        asked: one for each case that can be asked.
        left_out: how many cases cannot: their right pronoun is unknown, there is no translation with il or elle to
            begin with, or the model does not take the sentence.
        log_odds: float32 (question,): log p(right pronoun) − log p(wrong one), in nats, with all heads on.
    """

    asked: tuple[Question, ...]
    left_out: int
    log_odds: np.ndarray


def ask(runner: Runner, cases: Sequence[Case], report: Report = lambda done: None) -> Questions:
    """The decision of each case: what the model says after the reference translation's words before il or elle.

    Where there is no reference, the model's own translation up to its first pronoun takes its place.

    Args:
        runner: the model.
        cases: the sentences.
        report: called with the number of cases finished since the last call; at the end, while the model is asked, 0.
    """
    asked: list[Question] = []
    for start in range(0, len(cases), CHUNK):
        chunk = cases[start : start + CHUNK]
        without = [case for case in chunk if not case.french and case.french_pronoun]
        own = iter(own_words(runner, without))
        for index, case in enumerate(chunk, start):
            french = case.french or (next(own) if case.french_pronoun else "")
            question = _question(runner, case, index, french)
            asked += [question] if question else []
        report(len(chunk))
    known = forced_log_odds(runner, asked, (), report=lambda done: report(0))
    return Questions(tuple(asked), len(cases) - len(asked), known)


def _question(runner: Runner, case: Case, index: int, french: str) -> Question | None:
    """The decision of one case; None if it cannot be asked."""
    span = pronoun_span(french)
    if case.french_pronoun is None or span is None:
        return None
    words = (case.french_pronoun, _OTHER[case.french_pronoun])
    if french[span[0]].isupper():  # at the beginning of a sentence
        words = (words[0].capitalize(), words[1].capitalize())
    try:
        source = runner.encode(case.text).ids
        return Question(index, source, fork_of(runner.tokenizer, Decision(french[: span[0]].strip(), words)))
    except InputError:
        return None


@torch.inference_mode()
def forced_log_odds(
    runner: Runner,
    asked: Sequence[Question],
    heads: Sequence[Head],
    by: Means = "zero",
    report: Report = lambda done: None,
) -> np.ndarray:
    """The log-odds of the right pronoun against the wrong one, with some heads switched off, many sentences at once.

    Args:
        runner: the model.
        asked: the decisions.
        heads: which heads are off.
        by: what stands in their outputs' place.
        report: called with the number of decisions since the last call.

    Returns:
        float32 (question,), in nats.

    Raises:
        InputError: the model has no such head.
    """
    taps = runner.edits((KnockOut(tuple(heads), by),)).at(0) if heads else NO_TAPS
    values = np.zeros(len(asked), dtype=np.float32)
    # neighbours are of similar length, so that there is little padding
    order = sorted(range(len(asked)), key=lambda i: (len(asked[i].source), len(asked[i].fork.prefix)))
    size = BATCH
    if isinstance(runner.model, HostedSeq2Seq):
        size = BATCH_OF_OTHERS if runner.model.pad >= 0 else 1
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        values[chosen] = _batch(runner, [asked[i] for i in chosen], taps)
        report(len(chosen))
    return values


def _batch(runner: Runner, asked: Sequence[Question], taps: Taps) -> np.ndarray:
    """The log-odds of a few decisions in one forward."""
    pad, device = max(runner.tokenizer.pad, 0), runner.device
    source = pad_rows([one.source for one in asked], pad, device)
    read = pad_rows([one.fork.prefix for one in asked], pad, device)  # padded at the end, which causality hides
    last = torch.tensor([len(one.fork.prefix) - 1 for one in asked], device=device)
    rows = torch.arange(len(asked), device=device)
    pieces = torch.tensor([(one.fork.first, one.fork.second) for one in asked], device=device)  # (B, 2)
    if isinstance(runner.model, HostedSeq2Seq):
        whole = runner.model(source, read, taps)  # (B, T, vocabulary)
        return _differences(whole[rows, last].gather(1, pieces))
    model = runner.transformer
    mask = model.source_mask(source)
    memory = model.run_encoder(model.embedding(source), mask, taps)
    hidden = model.run_decoder(model.embedding(read), memory, mask, taps)  # (B, T, d)
    hidden = hidden[rows, last]  # (B, d)
    logits = torch.einsum("bd,bpd->bp", hidden, model.embedding.tokens.weight[pieces])
    if model.output_bias is not None:
        logits = logits + model.output_bias[pieces]
    return _differences(logits)


def _differences(logits: Tensor) -> np.ndarray:
    """Of logits (B, 2) the first minus the second, float32 (B,)."""
    found: np.ndarray = (logits[:, 0].float() - logits[:, 1].float()).cpu().numpy()
    return found


# ---- one head at a time ----


@dataclass(frozen=True, slots=True)
class Effects:
    """What each head alone is worth to the decision.

    Attributes:
        change: by kind, float32 (layer, head): what switching the head off adds to the log-odds of the right pronoun,
            in nats, the mean over the questions; below 0 it hurts.
        error: the same shape: the mean's standard error.
        total: how many questions.
        left_out: how many cases could not be asked.
        by: what stood in the heads' place.
    """

    change: Mapping[Kind, np.ndarray]
    error: Mapping[Kind, np.ndarray]
    total: int
    left_out: int
    by: Means


def head_effects(
    runner: Runner, questions: Questions, report: Report = lambda done: None, by: Means = "zero"
) -> Effects:
    """The mean change of the right pronoun's log-odds with each head off in turn (`engine.knockout.sweep`).

    Args:
        runner: the model.
        questions: the decisions.
        report: called after each.
        by: what stands in a head's place.

    Raises:
        InputError: there is nothing to ask.
    """
    require_questions(questions)
    instead: Instead = averages(reference_means(runner.model, runner.tokenizer)) if by == "mean" else nothing
    changes: dict[Kind, list[np.ndarray]] = {kind: [] for kind in KINDS}
    for one in questions.asked:
        for kind, change in sweep_any(runner, one.source, one.fork, instead).change.items():
            changes[kind].append(change)
        report(1)
    total = len(questions.asked)
    return Effects(
        {kind: np.mean(values, axis=0) for kind, values in changes.items()},
        {kind: (np.std(values, axis=0) / np.sqrt(total)).astype(np.float32) for kind, values in changes.items()},
        total,
        questions.left_out,
        by,
    )


def largest_effects(effects: Effects, count: int) -> tuple[Head, ...]:
    """The heads without which the right pronoun loses most log-odds, the worst loss first; of equals the earlier.

    Meant to be chosen on other sentences than those on which they are then judged.
    """
    changes = [
        (float(values[at]), Head(kind, *at))
        for kind in KINDS
        for values in [effects.change[kind]]
        for at in np.ndindex(*values.shape)
    ]
    return tuple(head for _, head in sorted(changes, key=lambda one: one[0])[:count])


def require_questions(questions: Questions) -> None:
    """Raises InputError where there is nothing to ask."""
    if not questions.asked:
        raise InputError(
            "None of these sentences has a decision between il and elle. Add the right French pronoun, il or elle, "
            "to sentences whose translation says one."
        )
