"""What every head is worth to one decision: the sweep of all heads, beside one forward for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.capture import uneven
from bench.clock import Spread, interleave, one_thread, ratio
from bench.report import Cell, Goal, Report
from engine.coreference import Decision, fork_of
from engine.edits import Outputs, compile_edits
from engine.interventions import Head, KnockOut, Patch
from engine.knockout import Fork, Sweep, log_odds, sweep
from engine.models.taps import Taps
from engine.models.transformer import Transformer, TransformerConfig
from engine.runner import load
from engine.types import KINDS

SENTENCE = "The animal didn't cross the street because it was too tired."
DECISION = Decision("L'animal n'a pas traversé la rue parce qu'", ("il", "elle"))
SHAPE = TransformerConfig(vocabulary=8000, width=512, heads=8, encoder_layers=6, decoder_layers=6, feedforward=2048)
LENGTHS = (16, 64)  # source tokens of the model of that shape; the decoder has read half as many
SAMPLE = 12  # heads whose forwards are timed; all are compared
MOST = 0.25  # of the time of one forward for each head
SAME = 1e-5  # nats
SWEEP, FORWARDS, LAST = "sweep of all heads", "one forward for each head", "the same, logits of the last position alone"
_METHOD = (
    "CPU milliseconds for the log-odds with each head off in turn, batch 1, float32; ratios are taken within each of "
    "{rounds} interleaved rounds: median (quartiles). {model} decides between il and elle in the lectures' sentence. "
    "The larger model (width 512, feed-forward 2048, 8,000 pieces) has random weights and has read half as many output "
    "tokens as the source has. Of all heads {sample}, spread evenly, are run forward and their time is multiplied, "
    "while the differences are of all heads."
)
Times = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """One model and one decision."""

    what: str
    model: Transformer
    source: tuple[int, ...]
    fork: Fork


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured: CPU milliseconds by what ran, and the largest difference in nats."""

    case: Case
    times: Times
    apart: float


def knockout(rounds: int = 5) -> Report:
    """Run it: about a minute."""
    one_thread()
    runner = load("en-fr", "cpu")
    source = runner.encode(SENTENCE).ids
    model = runner.model
    cases = [Case(runner.card.name, model, source, fork_of(runner.tokenizer, DECISION))]
    torch.manual_seed(0)
    large = uneven(Transformer(SHAPE).eval().requires_grad_(False))
    cases += [_random_case(large, length) for length in LENGTHS]
    return report([measure(case, rounds) for case in cases], rounds, runner.card.identity)


def _random_case(model: Transformer, length: int) -> Case:
    config = model.config
    source = torch.randint(4, config.vocabulary, (length,)).tolist()
    read = torch.randint(4, config.vocabulary, (length // 2 - 1,)).tolist()
    return Case("6 + 6 layers, random", model, (*source,), Fork((config.start, *read), 7, 8))


def measure(case: Case, rounds: int) -> Found:
    """Compare over all heads, then time."""
    config = case.model.config
    heads = heads_of(config)
    with torch.inference_mode():
        apart = difference(sweep(case.model, case.source, case.fork), case, heads)
        count = min(SAMPLE, len(heads))
        chosen = [off(config, heads[i * len(heads) // count]) for i in range(count)]
        runs: dict[str, Callable[[], object]] = {
            SWEEP: lambda: sweep(case.model, case.source, case.fork),
            FORWARDS: lambda: [forward(case, taps) for taps in chosen],
            LAST: lambda: [forward_last(case, taps) for taps in chosen],
        }
        times = interleave(runs, rounds, warmup=1)
    scale = {SWEEP: 1.0, FORWARDS: len(heads) / count, LAST: len(heads) / count}
    return Found(case, {name: [ms * scale[name] for ms in spent] for name, spent in times.items()}, apart)


def heads_of(config: TransformerConfig) -> list[Head]:
    """Every head of a model."""
    layers = {"encoder": config.encoder_layers, "decoder": config.decoder_layers, "cross": config.decoder_layers}
    return [Head(kind, layer, head) for kind in KINDS for layer in range(layers[kind]) for head in range(config.heads)]


def off(config: TransformerConfig, head: Head) -> Taps:
    """The taps of a forward with one head off."""

    def never(patch: Patch | None = None) -> Outputs:
        raise AssertionError("nothing stands in place of the head")

    return compile_edits([KnockOut((head,))], config, means=never, donor=never).at(0)


def forward(case: Case, taps: Taps) -> float:
    """The log-odds from a forward as it is: logits of every position."""
    logits = case.model(torch.tensor([case.source]), torch.tensor([case.fork.prefix]), taps)[0, -1]
    return float(logits[case.fork.first] - logits[case.fork.second])


def forward_last(case: Case, taps: Taps) -> float:
    """The same from the logits of the last position alone."""
    model = case.model
    memory = model.run_encoder(model.embedding(torch.tensor([case.source])), None, taps)
    hidden = model.run_decoder(model.embedding(torch.tensor([case.fork.prefix])), memory, None, taps)
    logits = model.logits(hidden[0, -1])
    return float(logits[case.fork.first] - logits[case.fork.second])


def difference(found: Sweep, case: Case, heads: Sequence[Head]) -> float:
    """Largest |sweep − forwards|, of every head and of the model as it is."""
    one_by_one = np.array([forward(case, off(case.model.config, head)) for head in heads])
    swept = np.array([found.off[head.kind][head.layer, head.head] for head in heads])
    assert one_by_one.std() > 100 * SAME, "log-odds that no head changes prove nothing"
    assert abs(forward_last(case, {}) - forward(case, {})) <= SAME
    return float(max(np.abs(swept - one_by_one).max(), abs(found.base - log_odds(case.model, case.source, case.fork))))


def report(found: Sequence[Found], rounds: int, identity: str) -> Report:
    """Rows of every case, and the goals."""
    rows: list[dict[str, Cell]] = []
    goals, figures = [], {}
    for one in found:
        where = f"{one.case.what}, {len(one.case.source)} tokens"
        for name, spent in one.times.items():
            rows.append(
                {
                    "model": one.case.what,
                    "heads": len(heads_of(one.case.model.config)),
                    "source + output tokens": f"{len(one.case.source)} + {len(one.case.fork.prefix)}",
                    "what": name,
                    "ms": Spread.of(spent).show(0),
                    "÷ sweep": ratio(one.times, name, SWEEP).show(1) if name != SWEEP else "1",
                    "largest difference, nats": f"{one.apart:.1e}" if name == SWEEP else "",
                }
            )
        goals.append(
            Goal(f"sweep ÷ one forward for each head, {where}", ratio(one.times, SWEEP, FORWARDS).median, MOST)
        )
        figures[where] = {"cpu_ms": one.times, "max_difference": one.apart}
    goals.append(Goal("largest difference from the forwards, nats", max(one.apart for one in found), SAME))
    method = _METHOD.format(rounds=rounds, model=identity, sample=SAMPLE)
    return Report("Every head off in turn", method, rows, goals, figures)
