"""The training loop on a task of copying: it learns, ends by its clock, resumes where it stood and averages."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
import torch.nn.functional as F

from engine.errors import ConfigError
from engine.models.transformer import Transformer, TransformerConfig
from engine.training import loop
from engine.training.config import TrainingConfig
from engine.training.data import Batch, Example, collate
from engine.training.learners import TransformerLearner
from engine.training.loop import Average, Clock, Precision, Schedule, evaluate_loss, rate_at, train, update

SYMBOLS = range(4, 12)  # a model that does not read its source can do no better than ln 8 = 2.08 nats on these
CONFIG = TrainingConfig(
    "copy",
    TransformerConfig(
        vocabulary=12, width=32, heads=4, encoder_layers=1, decoder_layers=1, feedforward=64, max_length=8
    ),
    mixture={"copy": 1.0}, batch_tokens=100, longest=8, peak_rate=1e-2, warmup=0.1, averaged=0.2, smoothing=0.0,
)  # fmt: skip
MINUTES = 6.0


class Ticks:
    """A clock that moves one second at every look: a run has the same steps on every machine, however busy."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture(scope="module", autouse=True)
def ticking() -> Iterator[None]:
    """The loop reads `Ticks`, and leaves the allocator of this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=Ticks().monotonic))
        patch.setattr(loop, "keep_freed_memory", lambda: None)
        yield


def copies(seed: int, size: int = 24) -> Iterator[Batch]:
    """Batches of 2 to 5 symbols to be copied; the first one counts as a pronoun whose noun is the last."""
    rng = np.random.default_rng(seed)
    while True:
        rows = [rng.choice(SYMBOLS, size=rng.integers(2, 6)).tolist() for _ in range(size)]
        yield collate([Example(row, row, ((0, row[-1]),)) for row in rows])


def validation() -> list[Batch]:
    stream = copies(1000)
    return [next(stream) for _ in range(3)]


def fresh(config: TrainingConfig = CONFIG) -> tuple[Precision, torch.optim.Optimizer]:
    """A new learner as `train` makes it."""
    torch.manual_seed(config.seed)
    precision = Precision.of(TransformerLearner(Transformer(config.model)), torch.bfloat16)
    optimizer = torch.optim.AdamW(precision.master.parameters(), lr=0.0, betas=(0.9, 0.98), eps=1e-9, fused=True)
    return precision, optimizer


def read_log(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text("utf-8").splitlines()]


# --- A whole run ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """What one run left behind."""

    folder: Path
    weights: dict[str, torch.Tensor]
    reports: list[loop.Progress]
    seeds: list[int]

    @property
    def log(self) -> list[dict[str, Any]]:
        return read_log(self.folder)


def start(folder: Path, config: TrainingConfig = CONFIG, stop_after: int | None = None, **arguments: Any) -> Run:
    """Train; after `stop_after` batches the data ends in an error, as a power cut would end it."""
    reports: list[loop.Progress] = []
    seeds: list[int] = []

    def stream(seed: int) -> Iterator[Batch]:
        seeds.append(seed)
        for index, batch in enumerate(copies(seed)):
            if index == stop_after:
                raise InterruptedError
            yield batch

    arguments = {"minutes": MINUTES, "report": reports.append} | arguments
    return Run(folder, train(config, stream, validation(), folder, **arguments), reports, seeds)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return start(tmp_path_factory.mktemp("run"))


def test_the_loss_falls(run):
    losses = [line["loss"] for line in run.log if "loss" in line]
    assert losses[0] > 1.9
    # Far below what is possible without reading the source, averaged over </s> too (2.08 x 3.5 / 4.5 = 1.6 a token).
    assert losses[-1] < 0.6
    last = run.log[-1]
    assert last["averaged_validation_loss"] < 0.6  # on sentences of their own


def test_the_log(run):
    lines = run.log
    assert len(lines) > 15 and [set(line) for line in lines[-2:]] == [
        {"step", "tokens", "minutes", "validation_loss"},
        {"step", "tokens", "minutes", "averaged_validation_loss"},
    ]
    for before, after in pairwise(lines):
        assert before["step"] <= after["step"] and before["tokens"] <= after["tokens"]
        assert before["minutes"] <= after["minutes"]
    trained = [line for line in lines if "loss" in line]
    for line in trained:
        assert set(line) == {"step", "tokens", "minutes", "loss", "antecedent_loss", "rate"}
        # `minutes` is read up to 3 ticks after the step's share, and rounded to 0.01
        slack = (3 / 60 + 0.005) / MINUTES / CONFIG.warmup
        expected = rate_at(line["minutes"] / MINUTES, CONFIG.peak_rate, CONFIG.warmup)
        assert line["rate"] == pytest.approx(expected, abs=CONFIG.peak_rate * slack)
    assert [(p.step, p.tokens) for p in run.reports] == [(line["step"], line["tokens"]) for line in trained]
    assert all(0 < progress.share < 1 for progress in run.reports)
    # 360 ticks, two a step and a few for logging
    assert 150 < lines[-1]["step"] < 180 and lines[-1]["minutes"] == pytest.approx(MINUTES, abs=0.2)
    assert run.seeds == [CONFIG.seed]


def test_the_result_is_the_average_that_was_measured(run):
    shapes = {name: value.shape for name, value in Transformer(CONFIG.model).state_dict().items()}
    assert {name: value.shape for name, value in run.weights.items()} == shapes
    assert all(value.dtype == torch.float32 for value in run.weights.values())
    precision, _ = fresh()
    precision.master.model.load_state_dict(run.weights)
    precision.publish()
    # the log keeps 5 digits
    measured = evaluate_loss(precision, validation(), CONFIG)
    assert measured == pytest.approx(run.log[-1]["averaged_validation_loss"], rel=1e-4)
    # and it is none of the snapshots: the last weights differ
    assert run.log[-2]["validation_loss"] != run.log[-1]["averaged_validation_loss"]


def test_a_run_can_start_from_weights(tmp_path):
    """With no time left nothing is learned: the average of eight equal snapshots is what it started from."""
    torch.manual_seed(77)
    initial = Transformer(CONFIG.model).state_dict()
    found = start(tmp_path, minutes=1e-9, initial=initial)
    assert found.log[-1]["step"] == 0
    # float64 sums of eight equal float32 numbers are exact
    assert all(torch.equal(found.weights[name], value) for name, value in initial.items())


def test_a_run_can_start_from_token_vectors(tmp_path):
    vectors = torch.randn(12, 32, generator=torch.Generator().manual_seed(78))
    found = start(tmp_path, minutes=1e-9, vectors=vectors)
    torch.manual_seed(CONFIG.seed)
    expected = Transformer(CONFIG.model).state_dict() | {"embedding.tokens.weight": vectors}
    assert found.weights.keys() == expected.keys()
    assert all(torch.equal(found.weights[name], value) for name, value in expected.items())


# --- Ending by updates ------------------------------------------------------------------------------------------------


def test_a_run_ends_with_its_last_update(tmp_path):
    config = replace(CONFIG, updates=30)
    found = start(tmp_path, config)
    assert found.log[-1]["step"] == 30 and found.log[-1]["minutes"] < MINUTES / 2
    trained = [line for line in found.log if "loss" in line]
    assert len(trained) > 2
    for line in trained:  # the schedule goes by the steps, from the middle of each; the log keeps 5 digits
        expected = rate_at((line["step"] - 0.5) / 30, CONFIG.peak_rate, CONFIG.warmup)
        assert line["rate"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ConfigError, match="has made its 30 updates already"):
        start(tmp_path, config, minutes=10 * MINUTES)


def test_minutes_end_a_run_before_its_updates(tmp_path):
    found = start(tmp_path, replace(CONFIG, updates=1000), minutes=0.5)
    assert 5 < found.log[-1]["step"] < 20 and found.log[-1]["minutes"] == pytest.approx(0.5, abs=0.2)
    # and what is left of them can be made with more
    assert start(tmp_path, replace(CONFIG, updates=25), minutes=MINUTES).log[-1]["step"] == 25


def test_an_interrupted_run_makes_the_updates_that_are_left(tmp_path):
    config = replace(CONFIG, updates=20)
    with pytest.raises(InterruptedError):
        start(tmp_path, config, stop_after=12)
    found = start(tmp_path, config)
    assert found.seeds == [CONFIG.seed + 12] and found.log[-1]["step"] == 20
    assert min(line["step"] for line in found.log) <= 12
    assert found.reports[0].rate == pytest.approx(
        rate_at((found.reports[0].step - 0.5) / 20, CONFIG.peak_rate, CONFIG.warmup), rel=1e-9
    )


# --- Resuming ---------------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on(monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 60.0)
    with pytest.raises(InterruptedError):
        start(tmp_path, minutes=3.0, stop_after=70)
    with safetensors.safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        saved = file.metadata()
    step, tokens, minutes = int(saved["step"]), int(saved["tokens"]), float(saved["minutes"])
    assert step == 70 and 2.0 < minutes < 3.0  # an interruption saves
    before = read_log(tmp_path)
    lost = {"step": step + 1, "tokens": tokens, "minutes": minutes}  # of a step that a killed process did not save
    with (tmp_path / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(lost) + "\n")

    found = start(tmp_path, minutes=3.0)
    assert found.seeds == [CONFIG.seed + step]  # other data than the first part's
    assert found.log[: len(before)] == before
    after = found.log[len(before) :]
    assert step < after[0]["step"] < step + 10 and tokens < after[0]["tokens"]
    assert minutes < after[0]["minutes"] < minutes + 0.5
    # The schedule ends when the minutes of both calls are used up, with as many steps as an unbroken run has.
    assert after[-1]["minutes"] == pytest.approx(3.0, abs=0.2)
    assert 75 < after[-1]["step"] < 90
    assert after[0]["rate"] == pytest.approx(
        rate_at(after[0]["minutes"] / 3.0, CONFIG.peak_rate, CONFIG.warmup),
        abs=CONFIG.peak_rate / 20,  # the line is written a few looks at the clock after the step: under 5 % of the run
    )
    # What was learned before the cut was kept: a new model starts at 2.5 or more.
    assert before[0]["loss"] > 2.2 and after[0]["loss"] < 1.8


def test_a_finished_run_is_refused_and_left_as_it_was(tmp_path):
    start(tmp_path, minutes=0.2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="already"):
        start(tmp_path, minutes=0.1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_new_run_begins_a_new_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 7}\n', "utf-8")
    assert [line["step"] for line in start(tmp_path, minutes=1e-9).log] == [0, 0]


@pytest.mark.parametrize("antecedent_weight", [0.0, 1.5])
def test_resuming_equals_not_stopping(tmp_path, antecedent_weight):
    """Weights, both moments and the step count come back exactly: later steps are the same, bit for bit."""
    config = replace(CONFIG, antecedent_weight=antecedent_weight)
    stream = copies(5)
    data = [next(stream) for _ in range(6)]

    straight, optimizer = fresh(config)
    expected = [update(straight, optimizer, batch, config, 3e-3) for batch in data]

    first, optimizer = fresh(config)
    clock = Clock(tmp_path, first, optimizer)
    for batch in data[:3]:
        update(first, optimizer, batch, config, 3e-3)
    clock.step, clock.tokens = 3, 123
    clock.save()
    stopped = clock.minutes

    second, optimizer = fresh(replace(config, seed=9))
    clock = Clock(tmp_path, second, optimizer)
    assert (clock.step, clock.tokens) == (3, 123)
    assert clock.minutes == pytest.approx(stopped, abs=0.1)  # a few ticks
    found = [update(second, optimizer, batch, config, 3e-3) for batch in data[3:]]
    assert np.array_equal(found, expected[3:])
    for ours, theirs in zip(second.master.parameters(), straight.master.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert not list(tmp_path.glob("*.new"))


# --- Parts ------------------------------------------------------------------------------------------------------------


def test_rate_rises_and_falls():
    def rate(progress: float) -> float:
        return rate_at(progress, peak=8.0, warmup=0.2)

    # exact but for a few roundings of 2^-53
    expected = {0.0: 0.0, 0.05: 2.0, 0.1: 4.0, 0.2: 8.0, 0.4: 6.0, 0.6: 4.0, 0.8: 2.0, 1.0: 0.0, 1.5: 0.0}
    assert [rate(at) for at in expected] == pytest.approx(list(expected.values()), abs=1e-14)


@dataclass
class Elapsed:
    """Where a run stands, by hand."""

    step: int
    minutes: float


@pytest.mark.parametrize(
    ("step", "minutes", "steps", "share"),
    [
        (7, 3.0, 0, 0.3),  # by the clock alone
        (7, 3.0, 10, 0.75),  # (7 + 1/2) / 10
        (0, 0.0, 10, 0.05),
        (2, 9.0, 10, 0.9),  # the clock is ahead
        (9, 3.0, 10, 0.95),  # the last update is still to be made
        (10, 3.0, 10, 1.05),
        (3, 12.0, 10, 1.2),
    ],
)
def test_share_of_a_schedule(step, minutes, steps, share):
    assert Schedule(Elapsed(step, minutes), 10.0, steps).share == pytest.approx(share, rel=1e-15)


def test_average_of_snapshots():
    model = torch.nn.Linear(1, 2)
    average = Average({})
    with torch.no_grad():
        for value in (1.0, 2.0, 6.0):
            model.weight.fill_(value)
            model.bias.copy_(torch.tensor([value, -value]))
            average.add(model)
        model.weight.fill_(100.0)  # a snapshot is a copy
    assert average.count == 3
    mean = average.mean()
    assert mean["weight"].tolist() == [[3.0], [3.0]] and mean["bias"].tolist() == [3.0, -3.0]
    assert mean["weight"].dtype == torch.float32


def reference_losses(learner: TransformerLearner, batch: Batch, smoothing: float) -> tuple[float, float]:
    """Both losses with torch's own cross-entropy."""
    source, read, predicted = map(torch.from_numpy, (batch.source, batch.read, batch.predicted))
    model = learner.model
    logits = model(source, read).flatten(0, 1)
    translation = F.cross_entropy(logits, predicted.flatten(), ignore_index=0, label_smoothing=smoothing)
    memory = model.run_encoder(model.embedding(source), model.source_mask(source))
    rows, places = torch.from_numpy(batch.pronouns).T
    nouns = learner.antecedent(memory[rows, places]) @ model.embedding.tokens.weight.T
    return float(translation), float(F.cross_entropy(nouns, torch.from_numpy(batch.antecedents)))


@torch.no_grad()
def test_losses_equal_torch():
    torch.manual_seed(8)
    learner = TransformerLearner(Transformer(CONFIG.model))
    config = replace(CONFIG, smoothing=0.1, antecedent_weight=2.0)
    batch = next(copies(2))
    assert (batch.predicted == 0).any()
    losses = [float(value) for value in learner.losses(batch, config, torch.float32)]
    # float32 means of 100 numbers around 3
    assert losses == pytest.approx(reference_losses(learner, batch, 0.1), rel=2e-6)
    for without in (replace(config, antecedent_weight=0.0), config):
        bare = replace(batch, pronouns=batch.pronouns[:0], antecedents=batch.antecedents[:0])
        other = learner.losses(bare if without is config else batch, without, torch.float32)
        assert float(other[0]) == losses[0] and float(other[1]) == 0.0


def test_validation_loss_counts_tokens():
    """Cut into uneven batches, the mean over tokens stays."""
    precision, _ = fresh()
    rows = [[4, 5, 6, 7, 8], [9, 10], [11, 4], [5, 6, 7], [8, 8]]
    examples = [Example(row, row) for row in rows]
    whole = evaluate_loss(precision, [collate(examples)], CONFIG)
    cut = evaluate_loss(precision, [collate(examples[:1]), collate(examples[1:])], CONFIG)
    # bfloat16 hidden states: padding changes the order of sums, by 2^-8 of logits around 1, averaged over 19 tokens
    assert cut == pytest.approx(whole, abs=0.005)
    parts = [evaluate_loss(precision, [collate(part)], CONFIG) for part in (examples[:1], examples[1:])]
    assert cut == pytest.approx((6 * parts[0] + 13 * parts[1]) / 19, rel=1e-12)
    assert abs(parts[0] - parts[1]) > 0.02  # or any weights would do
    assert math.isnan(evaluate_loss(precision, [], CONFIG))


def test_precision_keeps_float32_weights_and_runs_a_rounded_copy():
    precision, optimizer = fresh(replace(CONFIG, antecedent_weight=1.0))
    before = [parameter.clone() for parameter in precision.master.parameters()]
    found = update(precision, optimizer, next(copies(3)), replace(CONFIG, antecedent_weight=1.0), 1e-2)
    assert found.shape == (3,) and found[2] == 1.0 and (found > 0).all()
    named = dict(precision.working.named_parameters())
    for (name, own), old in zip(precision.master.named_parameters(), before, strict=True):
        assert own.dtype == torch.float32 and own.grad.dtype == torch.float32
        assert not torch.equal(own, old), name
        assert named[name].dtype == (torch.float32 if "embedding" in name else torch.bfloat16)
        assert torch.equal(named[name], own.to(named[name].dtype))
        assert named[name].grad is None


def test_a_step_clips_its_gradient(monkeypatch):
    precision, optimizer = fresh()
    norms: list[float] = []
    clip: Callable[..., torch.Tensor] = torch.nn.utils.clip_grad_norm_

    def spy(parameters: Any, most: float) -> torch.Tensor:
        kept = list(parameters)
        total = clip(kept, most)
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in kept if p.grad is not None)))
        return total

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    with torch.no_grad():
        precision.master.model.embedding.tokens.weight.mul_(30)
    precision.publish()
    update(precision, optimizer, next(copies(3)), CONFIG, 1e-3)
    assert norms == pytest.approx([loop.CLIP], rel=1e-4)  # torch divides by norm + 1e-6
