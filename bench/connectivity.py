"""Connectivity of every output with every input: what is exact and quick, beside one backward for each output."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bench.clock import Spread, interleave, one_thread, ratio
from bench.report import Cell, Goal, Report
from engine.connectivity import Method, gradients
from engine.connectivity_blocks import MASKED, collect, norm
from engine.models.autocomplete import Autocomplete, AutocompleteConfig

NAIVE, GENERIC, FAST, CAPTUM = "one backward for each", "generic", "fast", "captum's Saliency for each"
FORWARD = "forward"
SAMPLE = 8  # outputs whose own backward is timed
SAME = 1e-5  # of a row's largest
WORDS = 8000
TRANSFORMER = AutocompleteConfig(
    "transformer", WORDS, embedding=512, width=512, layers=6, heads=8, feedforward=2048, max_length=512
)
GRU = AutocompleteConfig("gru", WORDS, embedding=600, width=600, layers=2)
LSTM = AutocompleteConfig("lstm", WORDS, embedding=1000, width=1000, layers=2)
_METHOD = (
    "‖∂ logit of a word / ∂ vector of a character‖ for every output and every input before it, batch 1, float32, "
    "{words:,} words, random weights. {naive}: one forward, then a backward through everything for each output; of "
    "these {sample}, spread evenly, are timed and multiplied, and compared with. {generic}: automatic differentiation, "
    "8 outputs in one backward, up to the last of them. {fast}: written out for the Transformer, one walk back in time "
    "for the others. CPU seconds, norms included; ratios are taken within each of {rounds} interleaved rounds: median "
    "(quartiles).{lacking}"
)
Times = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Case:
    """One network at one length.

    Attributes:
        what: its name in the table.
        config: its shape.
        length: characters.
        most: by method, the largest share of the naive time that meets the goal.
        methods: which of ours to time.
        rounds: of which there may be fewer where each takes long.
    """

    what: str
    config: AutocompleteConfig
    length: int
    most: Mapping[str, float]
    methods: Mapping[str, Method] = field(default_factory=lambda: {FAST: "auto"})
    rounds: int = 5

    @property
    def name(self) -> str:
        return f"{self.what}, {self.length} characters"


BOTH: Mapping[str, Method] = {FAST: "auto", GENERIC: "generic"}
SIX = "Transformer 6 × 512"
CASES = (
    Case(SIX, TRANSFORMER, 64, {FAST: 1 / 3.3, GENERIC: 1 / 2}, BOTH),
    Case(SIX, TRANSFORMER, 128, {FAST: 1 / 3.3, GENERIC: 1 / 2}, BOTH),
    Case(SIX, TRANSFORMER, 256, {FAST: 1 / 3.3, GENERIC: 1 / 2}, BOTH, rounds=3),
    Case("GRU 2 × 600", GRU, 128, {FAST: 1 / 12}),
    Case("GRU 2 × 600", GRU, 512, {FAST: 1 / 20}, rounds=3),
    Case("LSTM 2 × 1000", LSTM, 256, {FAST: 1 / 9}, rounds=3),
)
CAPTUM_MOST = 1 / 6  # of captum's time, of the Transformer's fast way


@dataclass(frozen=True, slots=True)
class Found:
    """What was measured: CPU milliseconds by method, for all outputs, and the largest difference by method."""

    case: Case
    times: Times
    apart: dict[str, float]


def connectivity(rounds: int | None = None, cases: Sequence[Case] = CASES) -> Report:
    """Run it: about five minutes."""
    one_thread()
    lacking = missing()
    if lacking:
        print(f"bench:{lacking}", file=sys.stderr)
    return report([measure(case, rounds or case.rounds) for case in cases], rounds, lacking)


def missing() -> str:
    """What to say where captum cannot be imported."""
    try:
        import captum.attr  # noqa: F401
    except ImportError as error:
        return f" {CAPTUM.capitalize()} is left out ({error})."
    return ""


def trained_size(config: AutocompleteConfig) -> Autocomplete:
    """Random weights so large that attention is not flat, and gates not all half open."""
    torch.manual_seed(0)
    model = Autocomplete(config).eval().requires_grad_(False)
    for name, parameter in model.body.named_parameters():
        if config.cell != "transformer":
            parameter.mul_(1.7)
        elif name.endswith("in_proj.weight"):
            parameter[: 2 * config.width] *= 3
    return model


def measure(case: Case, rounds: int) -> Found:
    """Compare the outputs that are timed, then time."""
    model = trained_size(case.config)
    vectors = model.embedding(torch.randint(case.config.characters, (case.length,)))
    words = torch.randint(case.config.words, (case.length,)).tolist()
    count = min(SAMPLE, case.length)
    chosen = [(2 * place + 1) * case.length // (2 * count) for place in range(count)]
    some = [word if time in chosen else MASKED for time, word in enumerate(words)]

    def run(method: Method, asked: Sequence[int] = words) -> Tensor:
        return collect(gradients(model, vectors, asked, None, method), asked, norm)

    expected = run("naive", some)[chosen]
    assert (expected.amax(1) > 1e-6).all(), "gradients of nothing prove nothing"
    apart = {
        name: float(((run(method)[chosen] - expected).abs().amax(1) / expected.amax(1)).max())
        for name, method in case.methods.items()
    }
    runs: dict[str, Callable[[], object]] = {
        FORWARD: lambda: model.forward_from_embeddings(vectors[None].detach().requires_grad_()),
        NAIVE: lambda: run("naive", some),
    }
    runs |= {name: lambda method=method: run(method) for name, method in case.methods.items()}  # type: ignore[misc]
    if not missing():
        runs[CAPTUM] = lambda: saliency(model, vectors, chosen, words)
        theirs = saliency(model, vectors, chosen, words)
        apart[CAPTUM] = float(((theirs - expected).abs().amax(1) / expected.amax(1)).max())
    return Found(case, of_all(interleave(runs, rounds, warmup=0), case.length / count), apart)


def of_all(times: Times, scale: float) -> Times:
    """Times of some outputs' own backward passes as those of all: of the naive way without its one forward."""
    forward = times[FORWARD]
    found = {name: spent for name, spent in times.items() if name != FORWARD}
    found[NAIVE] = [one + (ms - one) * scale for ms, one in zip(times[NAIVE], forward, strict=True)]
    if CAPTUM in found:  # a forward for each, too
        found[CAPTUM] = [ms * scale for ms in times[CAPTUM]]
    return found


def saliency(model: Autocomplete, vectors: Tensor, chosen: Sequence[int], words: Sequence[int]) -> Tensor:
    """Norms of captum's gradients, float64 (chosen, T)."""
    from captum.attr import Saliency

    method = Saliency(model.forward_from_embeddings)
    leaf = vectors[None].detach().requires_grad_()
    rows = [method.attribute(leaf, target=(time, words[time]), abs=False)[0].norm(dim=-1) for time in chosen]
    return torch.stack(rows).double()


def report(found: Sequence[Found], rounds: int | None, lacking: str) -> Report:
    """Rows of every case, and the goals."""
    rows: list[dict[str, Cell]] = []
    goals, figures = [], {}
    for one in found:
        for name, spent in one.times.items():
            rows.append(
                {
                    "model": one.case.what,
                    "characters": one.case.length,
                    "method": name,
                    "s": Spread.of([ms / 1000 for ms in spent]).show(2),
                    "times as fast": "1" if name == NAIVE else ratio(one.times, NAIVE, name).show(2),
                    "largest difference": f"{one.apart[name]:.1e}" if name in one.apart else "",
                }
            )
        goals += [
            Goal(f"{name} ÷ {NAIVE}, {one.case.name}", ratio(one.times, name, NAIVE).median, most)
            for name, most in one.case.most.items()
        ]
        if CAPTUM in one.times and one.case.config.cell == "transformer":
            goals.append(
                Goal(f"{FAST} ÷ {CAPTUM}, {one.case.name}", ratio(one.times, FAST, CAPTUM).median, CAPTUM_MOST)
            )
        figures[one.case.name] = {"cpu_ms": one.times, "max_difference": one.apart}
    goals.append(Goal("largest difference, of a row's largest", max(max(one.apart.values()) for one in found), SAME))
    counts = sorted({one.case.rounds for one in found} if rounds is None else {rounds}, reverse=True)
    method = _METHOD.format(
        words=WORDS, naive=NAIVE.capitalize(), generic=GENERIC.capitalize(), fast=FAST.capitalize(), sample=SAMPLE,
        rounds=" or ".join(map(str, counts)), lacking=lacking,
    )  # fmt: skip
    return Report("Connectivity", method, rows, goals, figures)
