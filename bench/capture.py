"""What it costs to keep every attention map, beside our own fused forward and transformers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bench.clock import Spread, interleave, one_thread, ratio
from bench.marian import copy_encoder, like_marian, marian
from bench.report import Cell, Goal, Report
from engine.models.taps import Place, Tap
from engine.models.transformer import Transformer, TransformerConfig
from engine.types import Kind

SHAPE = like_marian(
    TransformerConfig(
        vocabulary=8000, width=512, heads=8, encoder_layers=6, decoder_layers=6, feedforward=2048, max_length=512
    )
)
LENGTHS = (16, 64, 128, 512)
GOALS = {128: 1.05, 512: 1.10}  # times our own fused forward
SAME = 1e-6  # of maps to transformers' eager ones
FUSED, MAPS, ANEW = "Saccade fused", "Saccade, all maps", "Saccade, all maps, memory allocated anew"
SDPA, EAGER = "transformers sdpa", "transformers eager, all maps"
DECODER_FUSED, DECODER_MAPS = "Saccade decoder, fused", "Saccade decoder, all maps"
# Which row is divided by which: the encoder's by the encoder's, the decoder's by the decoder's.
FLOOR = {name: FUSED for name in (FUSED, MAPS, ANEW, SDPA, EAGER)} | {
    name: DECODER_FUSED for name in (DECODER_FUSED, DECODER_MAPS)
}
_METHOD = (
    "Encoder of 6 layers, 8 heads, width 512, feed-forward 2048, batch 1, float32, the same random weights on both "
    "sides; below it the decoder of that shape (causal and cross-attention over as many source tokens, nothing to "
    "compare with). Maps go to buffers made beforehand, except where the row says otherwise. CPU milliseconds of one "
    "forward; ratios are taken within each of {rounds} interleaved rounds: median (quartiles)."
)
Cases = dict[str, Callable[[], torch.Tensor]]


def capture(rounds: int = 15, lengths: Sequence[int] = LENGTHS) -> Report:
    """Run it: about a minute and a half."""
    one_thread()
    torch.manual_seed(0)
    ours = uneven(Transformer(SHAPE).eval().requires_grad_(False))
    sdpa, eager = marian(SHAPE, "sdpa"), marian(SHAPE, "eager")
    copy_encoder(ours, sdpa)
    copy_encoder(ours, eager)
    times: dict[int, dict[str, list[float]]] = {}
    apart: dict[int, float] = {}
    with torch.inference_mode():
        for length in lengths:
            ids = torch.randint(4, SHAPE.vocabulary, (1, length))
            cases = _own(ours, ids) | _transformers(sdpa, eager, ids)
            apart[length] = _difference(ours, eager, ids)
            _same_outputs(cases)
            times[length] = interleave(cases, rounds, repeats=max(1, 64 // length))
    return _report(times, apart, rounds)


def uneven(model: Transformer) -> Transformer:
    """Query and key matrices of trained size: of Xavier's, all weights are near 1/T and any two maps look alike."""
    for name, parameter in model.named_parameters():
        if name.endswith("in_proj.weight"):
            parameter[: 2 * model.config.width] *= 3
    return model


def _own(model: Transformer, ids: torch.Tensor) -> Cases:
    length = ids.shape[1]
    first, second = (torch.empty(SHAPE.encoder_layers, 1, SHAPE.heads, length, length) for _ in range(2))
    vectors = model.embedding(ids)
    memory = model.run_encoder(vectors, None)
    both = buffers("decoder", first) | buffers("cross", second)
    return {
        FUSED: lambda: model.run_encoder(model.embedding(ids), None),
        MAPS: lambda: model.run_encoder(model.embedding(ids), None, buffers("encoder", first)),
        ANEW: lambda: model.run_encoder(model.embedding(ids), None, buffers("encoder", torch.empty(first.shape))),
        DECODER_FUSED: lambda: model.run_decoder(vectors, memory, None),
        DECODER_MAPS: lambda: model.run_decoder(vectors, memory, None, both),
    }


def buffers(kind: Kind, weights: torch.Tensor) -> dict[Place, Tap]:
    """Taps that fill weights (layer, B, H, Q, K)."""
    return {(kind, layer): Tap(weights=buffer) for layer, buffer in enumerate(weights)}


def _transformers(sdpa: torch.nn.Module, eager: torch.nn.Module, ids: torch.Tensor) -> Cases:
    quick, shown = sdpa.get_submodule("model.encoder"), eager.get_submodule("model.encoder")
    return {
        SDPA: lambda: quick(input_ids=ids).last_hidden_state,
        EAGER: lambda: shown(input_ids=ids, output_attentions=True).last_hidden_state,
    }


def _difference(ours: Transformer, eager: torch.nn.Module, ids: torch.Tensor) -> float:
    """Largest |ours − transformers'| of all the encoder's maps."""
    length = ids.shape[1]
    maps = torch.full((SHAPE.encoder_layers, 1, SHAPE.heads, length, length), torch.nan)
    ours.run_encoder(ours.embedding(ids), None, buffers("encoder", maps))
    theirs = torch.stack(eager.get_submodule("model.encoder")(input_ids=ids, output_attentions=True).attentions)
    sharp = float(theirs.amax(-1).mean())
    assert sharp > 2 / length, f"maps as flat as these ({sharp:.3f}) prove nothing"
    return float((maps - theirs).abs().max())


def _same_outputs(cases: Cases) -> None:
    """Fail if what is timed is not the same computation."""
    for case, run in cases.items():
        # outputs are layer norms, around 1; fused and explicit paths round differently through 6 layers
        torch.testing.assert_close(run(), cases[FLOOR[case]](), rtol=0, atol=1e-4)


def _report(times: dict[int, dict[str, list[float]]], apart: dict[int, float], rounds: int) -> Report:
    rows: list[dict[str, Cell]] = []
    for length, found in times.items():
        for case, spent in found.items():
            encoder = FLOOR[case] == FUSED
            rows.append(
                {
                    "tokens": length,
                    "forward": case,
                    "ms": Spread.of(spent).show(1),
                    "÷ Saccade fused": ratio(found, case, FLOOR[case]).show(3) if case != FLOOR[case] else "1",
                    "÷ transformers sdpa": ratio(found, case, SDPA).show(3) if encoder and case != SDPA else "",
                    "maps, largest difference from eager": f"{apart[length]:.1e}" if case == MAPS else "",
                }
            )
    goals = [
        Goal(f"all maps ÷ own fused forward, {length} tokens", ratio(times[length], MAPS, FUSED).median, most)
        for length, most in GOALS.items()
        if length in times
    ]
    goals.append(Goal("largest difference from transformers' eager maps", max(apart.values()), SAME))
    method = _METHOD.format(rounds=rounds)
    return Report("Capture", method, rows, goals, {"cpu_ms": times, "max_difference": apart})
