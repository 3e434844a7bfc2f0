"""Loading a model: devices, types and lack of memory; that runs leave nothing behind; and what imports cost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

import engine
from engine.errors import DeviceError, SaccadeError, Unsupported
from engine.runner import Runner, pick_device
from engine.types import KINDS

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, FRENCH = "The cat sleeps on the red chair.", "Il est dans la rue rouge."
TEXTS = (ENGLISH, "The animal didn't cross the street.", "the cat", "Where is the dog?", "A bird!")


# --- Loading ----------------------------------------------------------------------------------------------------------


def test_load_gives_a_runner_of_the_model_asked_for(tiny_card):
    runner = engine.load("tiny", "cpu")
    assert isinstance(runner, Runner)
    assert (runner.card, runner.device) == (tiny_card, "cpu")
    assert not runner.model.training
    assert not any(parameter.requires_grad for parameter in runner.model.parameters())
    assert {parameter.dtype for parameter in runner.model.parameters()} == {torch.float32}


def test_an_unknown_device_is_answered_with_those_there_are(tiny_card):
    with pytest.raises(DeviceError, match=r"There is no device 'tpu'\. Choose auto, cpu, cuda or mps\."):
        engine.load("tiny", "tpu")


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_this_machine_lacks_is_an_error_that_says_what_to_choose(tiny_card, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=rf"This machine has no {device} device .*--device cpu or auto"):
        engine.load("tiny", device)
    assert pick_device("auto") == "cpu"


def test_auto_takes_the_fastest_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto") == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto") == "cuda"
    assert pick_device("cpu") == "cpu"


def test_an_unknown_dtype_is_answered_with_those_there_are(tiny_card):
    with pytest.raises(Unsupported, match=r"There is no dtype 'int8'\. Choose one of: float32, bfloat16, float16\."):
        engine.load("tiny", "cpu", "int8")


@pytest.mark.parametrize(
    ("device", "error", "advice"),
    [
        # "meta" stands for any device but the CPU: its tensors exist everywhere.
        ("meta", torch.OutOfMemoryError("Tried to allocate 20.00 GiB."), r"Use a shorter text, or .*--device cpu\."),
        ("meta", RuntimeError("MPS backend out of memory"), r"Use a shorter text, or .*--device cpu\."),
        ("cpu", RuntimeError("DefaultCPUAllocator: can't allocate memory: tried 80 bytes"), r"Use a shorter text\."),
        ("cpu", MemoryError(), r"Use a shorter text\."),
    ],
)
def test_out_of_memory_is_an_error_that_says_what_to_do(tiny_runner, device, error, advice):
    for action in (Runner.translate, Runner.trace):
        with pytest.raises(DeviceError, match=rf"^The {device} device ran out of memory\. {advice}$"):
            action(failing(tiny_runner, device, error), [ENGLISH] if action is Runner.translate else ENGLISH)


def test_other_failures_of_a_device_are_not_called_a_lack_of_memory(tiny_runner):
    with pytest.raises(RuntimeError, match="an index is out of bounds"):
        failing(tiny_runner, "cpu", RuntimeError("an index is out of bounds")).trace(ENGLISH)


def failing(runner: Runner, device: str, error: Exception) -> Runner:
    """A runner whose encoder raises."""

    class Failing:
        config = runner.model.config

        def encode(self, source: torch.Tensor) -> None:
            raise error

    return Runner(runner.card, Failing(), runner.tokenizer, device)


# --- No state ---------------------------------------------------------------------------------------------------------


def contents(runner: Runner) -> dict[str, object]:
    """Every attribute of the runner and of each of its modules, a copy where it is a tensor."""
    found: dict[str, object] = {f"runner.{name}": value for name, value in vars(runner).items()}
    for path, module in runner.model.named_modules():
        for name, value in vars(module).items():
            entries = value if isinstance(value, dict) else {"": value}
            found |= {f"{path}.{name}.{key}": entry for key, entry in entries.items()}
    return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in found.items()}


def test_a_trace_leaves_nothing_behind(tiny_card):
    runner = engine.load("tiny", "cpu")
    before = contents(runner)
    assert len(before) > 100
    runner.trace(ENGLISH, FRENCH)
    runner.trace(TEXTS[1])
    runner.translate(TEXTS)
    with pytest.raises(SaccadeError):
        runner.trace("")
    after = contents(runner)
    assert after.keys() == before.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value is after[name]
        assert same, name


def test_threads_share_one_runner(tiny_runner):
    expected = [tiny_runner.trace(text) for text in TEXTS]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(tiny_runner.trace, TEXTS * 5))
    for one, two in zip(expected * 5, found, strict=True):
        assert one.predicted == two.predicted
        for kind in KINDS:
            assert np.array_equal(one.maps[kind].weights, two.maps[kind].weights)


# --- Imports ----------------------------------------------------------------------------------------------------------

IMPORTS = """
import sys
import viz, engine, engine.types, engine.errors, engine.catalogue, engine.analysis, engine.record, engine.cli
assert "torch" not in sys.modules, "importing the engine's light half loaded torch"
engine.Trace, engine.AttentionMap
assert "torch" not in sys.modules, "types need no torch"
try:
    engine.nothing
except AttributeError as error:
    assert "nothing" in str(error)
else:
    raise AssertionError("engine.nothing exists")
assert engine.load.__module__ == "engine.runner"
assert "torch" in sys.modules
print("ok")
"""


def test_torch_is_imported_when_a_model_is_asked_for_and_not_before():
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


def test_every_public_name_is_there():
    assert {name: getattr(engine, name).__name__ for name in engine.__all__} == {name: name for name in engine.__all__}
