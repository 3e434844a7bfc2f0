"""One complete causal map over a prompt and its continuation, and the gradients of every token in it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor

from engine.connectivity import connectivity
from engine.connectivity_blocks import Mode, Report
from engine.decoding.continuing import dropped
from engine.errors import EmptyInput, Unsupported
from engine.huggingface.decoder import HostedDecoder
from engine.map_checks import check_finite, check_maps
from engine.models.gpt import GPT
from engine.reduce import select
from engine.runner import ALTERNATIVES, guard_memory
from engine.saliency import GradientMap, Saliency
from engine.types import AttentionMap, GenerationRequest, Tokens, Trace

if TYPE_CHECKING:
    from engine.generator import Generator

ROWS = 256  # positions whose distributions are looked at together


@torch.inference_mode()
def trace_of(generator: Generator, prompt: str, taken: Sequence[int]) -> Trace:
    """Every attention weight of one pass over a prompt and what was taken after it.

    Row i reads `read[i]` and predicts `predicted[i]`, the next token, whether it is the prompt's or the output's. The
    output's rows are those from len(source) − 1 on: they are the steps that made it. Of a text longer than the context
    the map is of the last window, in which its last token was predicted; where none of the prompt is left in it the
    source is empty and all rows are the output's.

    Args:
        generator: a model with attention.
        prompt: as it was typed.
        taken: ids after it; may be empty where the prompt is not.

    Returns:
        A trace whose source is what is read of the prompt, and whose one map is "decoder".

    Raises:
        Unsupported: the model has no attention.
        EmptyInput: there is no token to predict.
        InputError: a prompt or tokens that a text cannot have.
        InputTooLong: see `engine.map_checks.check_maps`.
        DeviceError: out of memory.
    """
    started = time.perf_counter()
    model = transformer(generator)
    tokens = generator.tokens_of(prompt, taken)
    if len(tokens) < 2:
        raise EmptyInput("There is nothing to look at yet. Type a prompt, or take a token.")
    first, last = dropped(len(tokens) - 1, generator.context), len(tokens) - 1
    read, predicted = select(tokens, range(first, last)), select(tokens, range(first + 1, last + 1))
    check_maps(model.config, {"decoder": (len(read), len(read))})
    with guard_memory(generator.device):
        passed = model.forward_with_maps(generator.tensor(read.ids))
        chosen, best, values = _looked_up(passed.logits[0], generator.tensor(predicted.ids)[0])
        weights = passed.decoder[:, 0].float().cpu().numpy()
    check_finite(weights)
    form = generator.prompt(prompt)
    said = tokens.text[len(form.text) :]
    rows = zip(best.tolist(), values.tolist(), strict=True)
    label = generator.tokenizer.label_of
    return Trace(
        GenerationRequest(
            generator.card.identity, generator.typed(form.text), said or None, len(taken), taken=tuple(taken)
        ),
        source=select(tokens, range(first, len(tokens) - len(taken))),
        read=read,
        predicted=predicted,
        translation=said,
        maps={
            "decoder": AttentionMap(
                "decoder", weights, read, read, predicted, head_names=head_names(model), source_name=""
            )
        },
        token_logprobs=np.minimum(chosen.numpy(), 0.0),
        alternatives=tuple(tuple(zip(map(label, ids), values, strict=True)) for ids, values in rows),
        device=generator.device,
        milliseconds=(time.perf_counter() - started) * 1000,
        notes=_notes(generator, tokens, form.cut + (form.cut > 0), first),
    )


def _looked_up(logits: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of what was predicted its log-probability (T,), and the most probable ids and theirs (T, n), on the CPU.

    Args:
        logits: (T, V), gone through some rows at a time: V may be 150,000.
        predicted: int64 (T,).
    """
    parts = []
    for rows, words in zip(logits.split(ROWS), predicted.to(logits.device).split(ROWS), strict=True):
        logprobs = rows.float().log_softmax(-1)
        best = logprobs.topk(min(ALTERNATIVES, logprobs.shape[1]), dim=-1)
        parts.append((logprobs.gather(1, words[:, None])[:, 0].cpu(), best.indices.cpu(), best.values.cpu()))
    chosen, indices, values = (torch.cat(part) for part in zip(*parts, strict=True))
    return chosen, indices, values


def head_names(model: GPT | HostedDecoder) -> tuple[str, ...]:
    """What a screen calls the heads where some share their keys; none for the usual names."""
    names = getattr(model.config, "head_names", None)
    return names("decoder") if names is not None else ()


def _notes(generator: Generator, tokens: Tokens, cut: int, first: int) -> tuple[str, ...]:
    notes = (*generator.unknown_notes(tokens), *filter(None, [generator.habit]))
    if cut + first == 0:
        return notes
    note = (
        f"Prompt and output have {cut + len(tokens) - 1} tokens and the model sees {generator.context} at once: the "
        f"first {cut + first - 1} had fallen out when the last one was predicted, and the map is without them."
    )
    return (note, *notes)


def transformer(generator: Generator) -> GPT | HostedDecoder:
    """The model, where only one with attention will do.

    Raises:
        Unsupported: it is none.
    """
    if not hasattr(generator.model, "forward_with_maps"):
        raise Unsupported(f"{generator.card.name} has no attention to look at: choose a Transformer, such as gpt.")
    return cast(GPT | HostedDecoder, generator.model)


def saliency_of(generator: Generator, trace: Trace, mode: Mode = "one-hot", report: Report | None = None) -> Saliency:
    """How much each token that was read moves the logit of every token of prompt and output.

    Source: Madsen 2019, as in `engine.saliency`; here there is one side, what the model has read.

    Args:
        generator: the trace's model.
        trace: from `trace_of`.
        mode: "one-hot", "embedding" or "squared", see `Connectivity`.
        report: called with the share that is done, in (0, 1]; what it raises ends the work.

    Raises:
        Unsupported: the model has no attention.
        ConfigError: no such mode.
        DeviceError: out of memory.
    """
    model = transformer(generator)
    with guard_memory(generator.device):
        found = connectivity(model, trace.read.ids, trace.predicted.ids, mode, report=report)
    norms = found.relative * found.peaks[:, None]
    gradients = GradientMap("decoder", mode, norms, found.peaks.copy(), trace.read, trace.predicted, trace.read, "")
    return Saliency(trace.request, mode, {"decoder": gradients})
