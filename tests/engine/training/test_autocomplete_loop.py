"""Training of autocomplete on a toy language: it learns, goes on where it stood, and is the same each time."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.errors import ConfigError
from engine.models.autocomplete import SHAPES, Autocomplete, AutocompleteConfig, BodyKind
from engine.training import checkpoint, updates
from engine.training import loop as shared_loop
from engine.training.autocomplete import gradient, loop
from engine.training.autocomplete.batches import Feed
from engine.training.autocomplete.config import CONFIGS, AutocompleteTraining, read_config
from engine.training.autocomplete.gradient import gradient_of, loss_of
from engine.training.autocomplete.loop import Progress, train
from engine.training.autocomplete.scores import autocomplete_scores
from engine.training.autocomplete.text import Text, encode
from engine.training.config import to_json

# The word before tells which of three words with the same four letters is meant; the table takes the most frequent.
NOUNS = {"red": "control", "old": "contract", "wet": "contrast", "my": "internal", "no": "interest", "a": "interval"}
RARE = "whatever"  # outside the vocabulary
VOCABULARY = tuple(sorted({*NOUNS, *NOUNS.values()}))
LEARNS: dict[str, Any] = {"length": 120, "batch": 8}  # long sequences: few start with a noun, without what tells it
EPOCHS: dict[BodyKind, int] = {"rnn": 6, "gru": 6, "lstm": 6, "nlstm": 6, "transformer": 20}


def language(words: int, seed: int) -> Text:
    rng = np.random.default_rng(seed)
    told = [f"{before} {NOUNS[before]}" for before in rng.choice(list(NOUNS), words // 2)]
    return encode([" ".join(RARE if rng.random() < 0.05 else pair for pair in told)], VOCABULARY)


TRAIN, VALIDATION = language(3000, 1), language(300, 2)


def settings(cell: BodyKind = "gru", **changes: Any) -> AutocompleteTraining:
    layers = 2 if cell == "transformer" else 1  # one layer cannot tell the words before from each other
    shape = AutocompleteConfig(
        cell, words=len(VOCABULARY), embedding=24, width=24, layers=layers, heads=2, feedforward=48
    )
    defaults: dict[str, Any] = {
        "batch": 12, "length": 40, "epochs": 0.5, "peak_rate": 1e-2, "warmup": 0.1, "averaged": 0.2
    }  # fmt: skip
    return AutocompleteTraining("toy", shape, **defaults | changes)


@pytest.fixture(autouse=True)
def own_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop leaves the allocator of this process alone."""
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: None)


def run(folder: Path, config: AutocompleteTraining, minutes: float = 60, **more: Any) -> dict[str, torch.Tensor]:
    return train(config, TRAIN, VALIDATION, folder, minutes, **more)


def read_log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class PowerCut(Exception):
    """The machine stops."""


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """End the run as a power cut would, once `steps` more updates are made."""
    left = steps
    original = loop.update

    def update(*arguments: Any) -> torch.Tensor:
        nonlocal left
        if not left:
            raise PowerCut
        left -= 1
        return original(*arguments)

    monkeypatch.setattr(loop, "update", update)


# --- Learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", EPOCHS)
def test_a_small_model_learns_what_the_table_cannot(tmp_path, cell):
    config = settings(cell, **LEARNS, epochs=EPOCHS[cell])
    weights = run(tmp_path, config)
    model = Autocomplete(config.model)
    before = autocomplete_scores(model, VOCABULARY, VALIDATION, 120)
    model.load_state_dict(weights)
    after = autocomplete_scores(model, VOCABULARY, VALIDATION, 120)
    assert before["cross_entropy"] > 2.2  # 12 words: ln 12 = 2.48
    assert after["cross_entropy"] < 0.6  # half of all words are told by those before them, the others cost ln 6 at most
    assert after["accuracy"]["by_known"][0][4] > 0.9 > 0.6 > after["table"]["by_known"][0][4]
    assert after["accuracy"]["by_known"][0][0] > after["table"]["by_known"][0][0] + 0.2
    log = read_log(tmp_path)
    assert log[-1]["averaged_validation_loss"] == pytest.approx(after["cross_entropy"], abs=1e-4)  # its last digit
    assert log[-1]["step"] == EPOCHS[cell] * Feed(TRAIN, 8, 120, 1).steps
    assert log[-1]["tokens"] == log[-1]["step"] * 8 * 120


# --- Going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 3, 18])
@pytest.mark.parametrize("cell", ["lstm", "nlstm", "transformer"])
def test_going_on_equals_never_stopping(tmp_path, monkeypatch, cell, stop):
    """Weights, moments, order of the text and average come back exactly; the last stop lies in the average's part."""
    config = settings(cell)
    straight = run(tmp_path / "straight", config)
    steps = read_log(tmp_path / "straight")[-1]["step"]
    assert steps == 20
    with monkeypatch.context() as patch:
        cut_after(patch, stop)
        with pytest.raises(PowerCut):
            run(tmp_path / "cut", config)
    torch.manual_seed(99)
    assert equal(run(tmp_path / "cut", config), straight)
    last = [{**read_log(tmp_path / name)[-1], "minutes": 0} for name in ("straight", "cut")]
    assert last[0] == last[1] and last[0]["step"] == steps
    assert not list(tmp_path.rglob("*.new"))


def test_two_runs_are_the_same_and_another_seed_is_not(tmp_path):
    one, other = run(tmp_path / "one", settings()), run(tmp_path / "other", settings())
    assert equal(one, other)
    assert not equal(one, run(tmp_path / "third", settings(seed=2)))


def test_a_finished_run_gives_its_weights_again(tmp_path):
    first, log = run(tmp_path, settings()), read_log(tmp_path)
    assert equal(run(tmp_path, settings()), first)
    assert [line | {"minutes": 0} for line in read_log(tmp_path)] == [line | {"minutes": 0} for line in log]


def test_a_finished_run_goes_on_for_more_epochs(tmp_path):
    first = run(tmp_path, settings())
    second = run(tmp_path, settings(epochs=1.0))
    assert not equal(first, second)
    assert read_log(tmp_path)[-1]["step"] == Feed(TRAIN, 12, 40, 1).steps
    assert equal(second, run(tmp_path, settings(epochs=1.0)))


def test_a_run_whose_minutes_are_over_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        cut_after(patch, 3)
        with pytest.raises(PowerCut):
            run(tmp_path, settings(), minutes=60)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="Give more --minutes"):
        run(tmp_path, settings(), minutes=1e-9)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_new_run_starts_from_given_weights_and_a_new_log(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 7}\n', "utf-8")
    config = settings(peak_rate=1e-12, weight_decay=0.0)
    torch.manual_seed(5)
    initial = Autocomplete(config.model).state_dict()
    found = run(tmp_path, config, initial=initial)
    # 20 steps of Adam at a rate of 1e-12
    assert all(torch.allclose(found[name], initial[name], atol=1e-9) for name in initial)
    assert [line["step"] for line in read_log(tmp_path)] == [20]


# --- The clock --------------------------------------------------------------------------------------------------------


class Ticks:
    """A clock that moves a second at every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=Ticks().monotonic)
    for module in (updates, checkpoint):
        monkeypatch.setattr(module, "time", clock)


def test_minutes_end_a_run_that_epochs_do_not(tmp_path, ticking):
    reports: list[Progress] = []
    run(tmp_path, settings(epochs=0), minutes=2, report=reports.append)
    log = read_log(tmp_path)
    assert log[-1]["minutes"] == pytest.approx(2, abs=0.2)  # a few looks
    assert 20 < log[-1]["step"] < 120
    shares = [progress.share for progress in reports]
    assert len(shares) >= 5 and shares == sorted(shares) and shares[-1] <= 1
    assert [line["loss"] for line in log if "loss" in line] == [float(f"{p.loss:.5g}") for p in reports]


def test_checkpoints_are_written_on_the_way(tmp_path, ticking, monkeypatch):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 30.0)
    run(tmp_path, settings(epochs=0), minutes=2)
    on_the_way = [line for line in read_log(tmp_path) if "validation_loss" in line][:-1]
    assert len(on_the_way) >= 2 and all(line["validation_loss"] < 2.6 for line in on_the_way)


@pytest.mark.parametrize(
    ("minutes", "step", "steps", "share"),
    [(1.0, 0, 0, 0.1), (1.0, 50, 0, 0.1), (1.0, 50, 100, 0.505), (9.0, 50, 100, 0.9), (0.0, 99, 100, 0.995),
     (0.0, 100, 100, 1.005), (0.0, 0, 100, 0.005)],
)  # fmt: skip
def test_a_schedule_is_over_by_clock_or_by_steps(minutes, step, steps, share):
    state: Any = SimpleNamespace(minutes=minutes, step=step)
    assert shared_loop.Schedule(state, 10.0, steps).share == pytest.approx(share)


# --- One step ---------------------------------------------------------------------------------------------------------


def test_loss_and_gradient_equal_torch():
    torch.manual_seed(4)
    model = Autocomplete(settings().model)
    ids, targets = Feed(TRAIN, 6, 40, 1).batch(0)
    assert (targets == -1).any()
    loss = gradient_of(model, bfloat16=False, graph=True)(ids, targets)  # a graph is for a GPU: ignored here
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad()
    keep = targets >= 0
    expected = F.cross_entropy(model(ids)[keep], targets[keep])
    expected.backward()
    assert float(loss) == pytest.approx(float(expected.detach()), rel=1e-5)  # float32 means of about 200 numbers
    assert len(found) == len(list(model.parameters()))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-4, atol=1e-6)


def test_a_batch_in_parts_is_the_whole_batch(monkeypatch):
    torch.manual_seed(4)
    model = Autocomplete(settings().model)
    ids, targets = Feed(TRAIN, 7, 40, 1).batch(0)
    found = []
    for rows in (2, 7):
        monkeypatch.setattr(gradient, "CPU_ROWS", rows)
        loss = gradient.gradient_of(model, bfloat16=False, graph=False)(ids, targets)
        found.append([loss, *(parameter.grad for parameter in model.parameters())])
    for parts, whole in zip(*found, strict=True):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-7)  # float32 sums in another order


def test_a_network_starts_by_expecting_words_at_their_frequency():
    model = Autocomplete(settings().model)
    loop.expect_frequencies(model, TRAIN)
    asked = np.bincount(TRAIN.targets[TRAIN.targets >= 0], minlength=len(VOCABULARY)) + 1
    found = model.output.bias.detach().exp().numpy()
    np.testing.assert_allclose(found, asked / asked.sum(), rtol=1e-5)


def test_bfloat16_is_near_float32():
    torch.manual_seed(4)
    model = Autocomplete(settings().model)
    ids, targets = Feed(TRAIN, 6, 40, 1).batch(0)
    exact, rounded = (float(loss_of(model, ids, targets, bfloat16=on)) for on in (False, True))
    assert rounded == pytest.approx(exact, rel=5e-3) and rounded != exact  # eight bits of each factor


def test_a_step_clips_its_gradient(tmp_path, monkeypatch):
    norms: list[float] = []
    clip: Callable[..., torch.Tensor] = torch.nn.utils.clip_grad_norm_

    def spy(parameters: Any, most: float) -> torch.Tensor:
        kept = list(parameters)
        total = clip(kept, most)
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in kept if p.grad is not None)))
        return total

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    config = settings("rnn")
    torch.manual_seed(1)
    initial = {name: tensor * 20 for name, tensor in Autocomplete(config.model).state_dict().items()}
    run(tmp_path, config, initial=initial)
    assert norms[0] == pytest.approx(shared_loop.CLIP, rel=1e-4)  # torch divides by norm + 1e-6
    assert len(norms) == 20 and max(norms) <= shared_loop.CLIP * 1.0001


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("cell", EPOCHS)
def test_a_recorded_step_equals_a_plain_one(cell):
    torch.manual_seed(4)
    model = Autocomplete(settings(cell).model).cuda().train()
    feed = Feed(TRAIN, 6, 40, 1, "cuda")
    recorded = gradient_of(model, bfloat16=False, graph=True)
    for step in range(4):
        ids, targets = feed.batch(step)
        loss = recorded(ids, targets)
        found = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
        plain = loss_of(model, ids, targets) / (targets >= 0).sum()
        expected = torch.autograd.grad(plain, list(model.parameters()))
        # float32 sums in another order; the kernels may differ
        assert float(loss) == pytest.approx(float(plain.detach()), rel=1e-5)
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device")
@pytest.mark.parametrize("cell", EPOCHS)
def test_models_learn_on_a_gpu(tmp_path, cell):
    config = settings(cell, **LEARNS, epochs=EPOCHS[cell], bfloat16=cell == "transformer", graph=cell == "nlstm")
    weights = run(tmp_path, config, device="cuda")
    model = Autocomplete(config.model)
    model.load_state_dict(weights)
    assert autocomplete_scores(model, VOCABULARY, VALIDATION, 120)["accuracy"]["by_known"][0][4] > 0.9


# --- Configurations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "-cpu"])
def test_the_five_read_the_same_text_in_the_same_order(ending):
    files = {file.stem for file in CONFIGS.glob("*.json")}
    assert files == {*SHAPES, *(f"{name}-cpu" for name in SHAPES)}
    found = {name: read_config(f"{name}{ending}") for name in SHAPES}
    for name, config in found.items():
        assert config.name == name
        assert config.model == replace(SHAPES[name], words=config.model.words)
        assert config.length <= config.model.max_length
    own = {"name", "model", "peak_rate", "bfloat16", "graph"}
    common = [{key: value for key, value in to_json(c).items() if key not in own} for c in found.values()]
    assert all(other == common[0] for other in common)
    assert len({config.model.words for config in found.values()}) == 1


def test_a_configuration_comes_back(tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(to_json(settings(bfloat16=True, seed=7))), "utf-8")
    assert read_config(str(path)) == settings(bfloat16=True, seed=7)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rate": 0.1}, "unknown key 'rate'.*peak_rate"),
        ({"model": {"cell": "gru", "words": 9, "depth": 3}}, "model: unknown key 'depth'.*layers"),
        ({"model": {"cell": "tree", "words": 9}}, "cell 'tree'"),
        ({"model": 3}, "'model' object"),
        ({"warmup": 1.0}, "warmup"),
        ({"averaged": -0.1}, "averaged"),
        ({"batch": 0}, "batch"),
        ({"length": 1}, "length"),
        ({"epochs": -1}, "epochs"),
        ({"peak_rate": 0}, "peak_rate"),
        ({"weight_decay": -1}, "weight_decay"),
    ],
)
def test_impossible_configurations_are_named(tmp_path, changes, named):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(to_json(settings()) | changes), "utf-8")
    with pytest.raises(ConfigError, match=named):
        read_config(str(path))


@pytest.mark.parametrize("name", ["no-such", "no/such.json"])
def test_a_missing_configuration_lists_the_shipped_ones(name):
    with pytest.raises(ConfigError, match=f"'{name}'.*autocomplete-gru"):
        read_config(name)


def test_a_file_that_is_no_configuration(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text("{", "utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json is not valid JSON"):
        read_config(str(path))
