"""How long one sentence takes in the engine, beside transformers' Marian of the same shape."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from bench.clock import Spread, one_thread, percentile
from bench.marian import marian
from bench.report import Cell, Report
from bench.sentences import SENTENCES
from engine.decoding.search import greedy
from engine.runner import LONGEST_OUTPUT, Runner, load
from engine.text import with_start

_METHOD = (
    "`{model}`, {count} sentences of 20 words ({source:.0f} source and {target:.0f} output tokens on average), one "
    "thread, {rounds} interleaved rounds. Saccade: `Runner.trace`, and its two parts alone. transformers: a Marian of "
    "the same shape with random weights, made to generate as many tokens, without a tokenizer: sdpa where no maps are "
    "asked for, eager for the pass that returns them. Wall clock for p50 and p95; the ratio is of CPU time, within "
    "each round of each sentence: median (quartiles)."
)
TRACE, DECODE, MAPS = "Saccade trace", "Saccade, decode alone", "Saccade, maps alone"
GENERATE, FORWARD = "transformers generate", "transformers forward with all maps"
BOTH = "transformers, both"
Times = dict[str, list[tuple[float, float]]]  # (wall, CPU) milliseconds of each case


def latency(model: str = "en-fr", rounds: int = 3) -> Report:
    """Run it: under a minute."""
    one_thread()
    runner = load(model, "cpu")
    config = runner.model.config
    torch.manual_seed(0)
    sdpa = marian(config, "sdpa")
    eager = marian(config, "eager")
    times: Times = {name: [] for name in (TRACE, DECODE, MAPS, GENERATE, FORWARD)}
    lengths = []
    for number in range(-1, rounds):
        for place, sentence in enumerate(SENTENCES):
            cases, length = _cases(runner, sdpa, eager, sentence)
            names = list(cases)
            turn = (number + place) % len(names)
            for name in names[turn:] + names[:turn]:
                spent = _timed(cases[name])
                if number >= 0:
                    times[name].append(spent)
            lengths.append(length)
    return _report(times, lengths, rounds, runner.card.identity)


def _cases(
    runner: Runner, sdpa: Any, eager: Any, sentence: str
) -> tuple[dict[str, Callable[[], object]], tuple[int, int]]:
    """What to time for one sentence, and its numbers of source and output tokens."""
    trace = runner.trace(sentence)
    source, read = torch.tensor([trace.source.ids]), torch.tensor([with_start(trace.predicted).ids])
    count, model = len(trace.predicted), runner.model
    everywhere = torch.ones_like(source)

    @torch.inference_mode()
    def maps() -> object:
        return model.forward_with_maps(source, read)

    def generate() -> object:
        made = sdpa.generate(
            source, attention_mask=everywhere, num_beams=1, do_sample=False, min_new_tokens=count, max_new_tokens=count
        )
        assert made.shape[1] == count + 1, "the peer must make as many tokens"  # its start token comes back too
        return made

    @torch.inference_mode()
    def forward() -> object:
        return eager(source, attention_mask=everywhere, decoder_input_ids=read, output_attentions=True)

    cases = {
        TRACE: lambda: runner.trace(sentence),
        DECODE: lambda: greedy(model, source, runner.vocabulary, LONGEST_OUTPUT),
        MAPS: maps,
        GENERATE: generate,
        FORWARD: forward,
    }
    return cases, (len(trace.source), count)


def _timed(run: Callable[[], object]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000


def _report(times: Times, lengths: Sequence[tuple[int, int]], rounds: int, identity: str) -> Report:
    both = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(times[GENERATE], times[FORWARD], strict=True)]
    times = {**times, BOTH: both}
    peer = {TRACE: BOTH, DECODE: GENERATE, MAPS: FORWARD}
    rows: list[dict[str, Cell]] = []
    for name, found in times.items():
        walls = [wall for wall, _ in found]
        against = times[peer[name]] if name in peer else []
        ratios = [ours[1] / theirs[1] for ours, theirs in zip(found, against, strict=True)] if against else []
        rows.append(
            {
                "what": name,
                "p50 ms": round(percentile(walls, 0.5), 1),
                "p95 ms": round(percentile(walls, 0.95), 1),
                "÷ transformers' counterpart": Spread.of(ratios).show(2) if ratios else "",
            }
        )
    source, target = (sum(numbers) / len(lengths) for numbers in zip(*lengths, strict=True))
    method = _METHOD.format(model=identity, count=len(SENTENCES), source=source, target=target, rounds=rounds)
    return Report("Latency of the engine", method, rows, [], {"milliseconds": times})
