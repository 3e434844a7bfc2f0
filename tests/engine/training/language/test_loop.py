"""Training of language models on a toy language: they learn, go on where they stood, and are the same each time."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import ConfigError
from engine.training import checkpoint, updates
from engine.training.language import loop
from engine.training.language.config import LanguageTraining, language_model
from engine.training.language.loop import Progress, optimizers_of, train
from engine.training.language.tasks import VALIDATION_SEED, task_of
from engine.training.loop import CLIP
from tests.engine.training.language.toys import PIECES, settings

KINDS = ("gpt", "bert", "char-lm")


@pytest.fixture(autouse=True)
def short_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two held-out batches instead of eight."""
    monkeypatch.setattr(loop, "VALIDATION_STEPS", 2)


def run(folder: Path, config: LanguageTraining, prepared: Path, minutes: float = 60, **more: Any) -> dict[str, Tensor]:
    """As a run does: the seed gives the initial weights."""
    torch.manual_seed(config.seed)
    return train(config, task_of(config, prepared), folder, minutes, **more)


def read_log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class PowerCut(Exception):
    """The machine stops."""


def cut_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    """End the run as a power cut would, once `steps` more updates are made."""
    left, original = steps, loop.update

    def update(*arguments: Any) -> Any:
        nonlocal left
        if not left:
            raise PowerCut
        left -= 1
        return original(*arguments)

    monkeypatch.setattr(loop, "update", update)


# --- Learning ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_model_learns(tmp_path, prepared, kind):
    """Held-out losses of the averaged weights, against those of weights that know nothing."""
    config = settings(kind, prepared, updates=120 if kind == "char-lm" else 40)
    weights = run(tmp_path, config, prepared)
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    last = read_log(tmp_path)[-1]
    nothing = math.log(config.model.characters if kind == "char-lm" else PIECES)
    assert last["averaged_validation_loss"] < nothing - 1.0
    assert last["validation_loss"] < nothing - 1.0
    assert (last["averaged_validation_loss_second"] > 0) == (kind == "bert")
    assert last["step"] == config.updates and last["tokens"] == config.updates * 8 * 24
    # what is logged is what the weights that come out give, but for their rounding to eight bits
    task = task_of(config, prepared)
    task.model.load_state_dict(weights)
    with torch.no_grad():
        steps = range(VALIDATION_SEED, VALIDATION_SEED + 2)
        found = [float(task.losses(step, torch.float32, held_out=True)[0]) for step in steps]
    assert sum(found) / len(found) == pytest.approx(last["averaged_validation_loss"], rel=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_muon_takes_the_matrices_between_layers(prepared, kind):
    config = settings(kind, prepared, optimizer="muon")
    model = language_model(config.model)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    adam, *muon = optimizers_of(config, model, "cpu")
    by_optimizer = [
        {names[id(p)] for group in optimizer.param_groups for p in group["params"]} for optimizer in (adam, *muon)
    ]
    assert set.union(*by_optimizer) == set(names.values()) and sum(map(len, by_optimizer)) == len(names)
    if kind == "char-lm":
        assert not muon  # it has no layers of its own
    else:
        matrices = ("attention.in_proj", "attention.out_proj", "feedforward.up", "feedforward.down")
        assert by_optimizer[1] == {f"layers.{layer}.{name}.weight" for layer in (0, 1) for name in matrices}
    assert len(optimizers_of(settings(kind, prepared, optimizer="adamw"), model, "cpu")) == 1


def test_a_step_clips_its_gradient(tmp_path, prepared, monkeypatch):
    norms: list[float] = []
    clip = torch.nn.utils.clip_grad_norm_

    def spy(parameters: Any, most: float) -> Tensor:
        kept = list(parameters)
        total = clip(kept, most)
        norms.append(math.sqrt(sum(float(p.grad.square().sum()) for p in kept if p.grad is not None)))
        return total

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", spy)
    config = settings("gpt", prepared, updates=3)
    large = {name: tensor * 20 for name, tensor in language_model(config.model).state_dict().items()}
    run(tmp_path, config, prepared, initial=large)
    assert len(norms) == 3 and max(norms) <= CLIP * 1.0001
    assert norms[0] == pytest.approx(CLIP, rel=1e-4)  # torch divides by norm + 1e-6


# --- Going on ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "stop"), [("gpt", 0), ("gpt", 3), ("gpt", 9), ("bert", 9), ("char-lm", 9)])
def test_going_on_equals_never_stopping(tmp_path, monkeypatch, prepared, kind, stop):
    """Weights, AdamW's moments, Muon's momentum, the text's order and the average come back exactly; the last stop lies
    in the average's part.
    """
    config = settings(kind, prepared)
    straight = run(tmp_path / "straight", config, prepared)
    with monkeypatch.context() as patch:
        cut_after(patch, stop)
        with pytest.raises(PowerCut):
            run(tmp_path / "cut", config, prepared)
    torch.manual_seed(99)
    assert equal(train(config, task_of(config, prepared), tmp_path / "cut", 60), straight)
    last = [{**read_log(tmp_path / name)[-1], "minutes": 0} for name in ("straight", "cut")]
    assert last[0] == last[1] and last[0]["step"] == 10
    assert not list(tmp_path.rglob("*.new"))


def test_another_seed_is_another_run(tmp_path, prepared):
    one, other = (run(tmp_path / str(seed), settings("gpt", prepared, seed=seed), prepared) for seed in (1, 2))
    assert not equal(one, other)


def test_a_finished_run_gives_its_weights_and_its_log_again(tmp_path, prepared):
    config = settings("bert", prepared)
    first, log = run(tmp_path, config, prepared), read_log(tmp_path)
    assert equal(run(tmp_path, config, prepared), first)
    assert [line | {"minutes": 0} for line in read_log(tmp_path)] == [line | {"minutes": 0} for line in log]


def test_a_finished_run_goes_on_for_more_updates(tmp_path, prepared):
    first = run(tmp_path, settings("gpt", prepared), prepared)
    second = run(tmp_path, settings("gpt", prepared, updates=14), prepared)
    assert not equal(first, second) and read_log(tmp_path)[-1]["step"] == 14


def test_a_run_whose_minutes_are_over_is_refused(tmp_path, monkeypatch, prepared):
    config = settings("gpt", prepared)
    with monkeypatch.context() as patch:
        cut_after(patch, 3)
        with pytest.raises(PowerCut):
            run(tmp_path, config, prepared)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="Give more --minutes"):
        run(tmp_path, config, prepared, minutes=1e-9)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# --- Starting from others ---------------------------------------------------------------------------------------------


def test_a_bert_takes_what_it_shares_with_a_gpt(tmp_path, prepared):
    gpt = language_model(settings("gpt", prepared).model).state_dict()
    config = settings("bert", prepared, peak_rate=1e-12, weight_decay=0.0)
    found = run(tmp_path, config, prepared, initial=gpt)
    torch.manual_seed(config.seed)
    alone = language_model(config.model).state_dict()
    shared = found.keys() & gpt.keys()
    assert {"embedding.weight", "positions", "norm.weight", "layers.1.attention.in_proj.weight"} <= shared
    assert {"segments", "transform.weight", "pooler.weight", "output_bias"} == {
        name for name in found.keys() - gpt.keys() if name.partition(".")[0] in ("segments", "output_bias")
        or name in ("transform.weight", "pooler.weight")
    }  # fmt: skip
    for name, tensor in found.items():  # 10 steps at a rate of 1e-12
        torch.testing.assert_close(tensor, (gpt if name in shared else alone)[name], rtol=0, atol=1e-9)


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


def test_minutes_end_a_run_that_updates_do_not(tmp_path, prepared, ticking, monkeypatch):
    """Reports and checkpoints are made on the way."""
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 15.0)
    reports: list[Progress] = []
    config = settings("bert", prepared, updates=0, batch=2)
    run(tmp_path, config, prepared, minutes=1, report=reports.append)
    log = read_log(tmp_path)
    assert log[-1]["minutes"] == pytest.approx(1, abs=0.2)  # a few looks
    assert 8 < log[-1]["step"] < 60
    shares = [progress.share for progress in reports]
    assert len(shares) >= 2 and shares == sorted(shares) and shares[-1] <= 1
    assert [line["loss"] for line in log if "loss" in line] == [float(f"{p.loss:.5g}") for p in reports]
    assert all(math.isfinite(p.loss) and p.second > 0 for p in reports)
    on_the_way = [line for line in log if "validation_loss" in line][:-1]
    assert len(on_the_way) >= 2 and all(line["validation_loss_second"] > 0 for line in on_the_way)
