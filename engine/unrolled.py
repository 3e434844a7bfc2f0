"""A recurrent translator from the inside: the states of its encoder, and its decoder step by step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.errors import Unsupported
from engine.models.seq2seq import Seq2Seq
from engine.runner import Runner, guard_memory
from engine.types import DecoderSteps, EncoderStates, Tokens, Trace


def _recurrent(runner: Runner) -> Seq2Seq:
    """The model.

    Raises:
        Unsupported: it is not recurrent.
    """
    if not isinstance(runner.model, Seq2Seq):
        raise Unsupported(f"{runner.card.name} has no recurrent states. Choose a recurrent translator.")
    return runner.model


def _array(values: Tensor) -> np.ndarray:
    return values.float().cpu().numpy()


@torch.inference_mode()
def encoder_states(runner: Runner, source: Tokens) -> EncoderStates:
    """What both directions of every encoder layer hold at each source position.

    Args:
        runner: a recurrent translator.
        source: as `Runner.encode` gives it.

    Raises:
        Unsupported: the model is not recurrent.
        DeviceError: out of memory.
    """
    model = _recurrent(runner)
    half = model.config.encoder_width
    with guard_memory(runner.device):
        layers = [layer[0] for layer in model.encoder_layers(model.embedding(runner.tensor(source.ids)), None)]
        states = torch.stack(layers)  # (layer, S, 2·H)
    return EncoderStates(source, _array(states[..., :half]), _array(states[..., half:]))


@torch.inference_mode()
def decoder_steps(runner: Runner, trace: Trace) -> DecoderSteps:
    """Scores, their softmax, the weighted sum and the output of every step of a trace, in one teacher-forced pass.

    Args:
        runner: a recurrent translator.
        trace: of it, without interventions: those of its request are not made here.

    Raises:
        Unsupported: the model is not recurrent.
        DeviceError: out of memory.
    """
    model = _recurrent(runner)
    assert not trace.request.interventions
    with guard_memory(runner.device):
        source = model.read_source(model.embedding(runner.tensor(trace.source.ids)), None)
        states, contexts = model.unroll(model.embedding(runner.tensor(trace.read.ids)), source)
        states = torch.cat([model.start(source)[:, None], states], dim=1)[0]  # (T + 1, H)
        queries = states[:-1]
        if model.score is None:
            scores = weights = queries.new_zeros(0, len(trace.source))
        else:
            scores, weights = model.attend(queries, source.expand(len(queries)))
    return DecoderSteps(
        attention=model.config.attention,
        source=trace.source,
        read=trace.read,
        predicted=trace.predicted,
        scores=_array(scores),
        weights=_array(weights),
        annotations=_array(source.annotations[0]),
        contexts=_array(contexts[0]),
        states=_array(states),
        alternatives=trace.alternatives,
    )
