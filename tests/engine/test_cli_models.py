"""What the command says of models of somebody's own: which the web app may open, and conversions."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from engine import cli
from engine.huggingface.source import Policy
from tests.engine.huggingface.files import write_model

Started = Callable[..., dict[str, str]]


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variables of the operator's own, and an empty cache."""
    for name in list(os.environ):
        if name.startswith("SACCADE_"):
            monkeypatch.delenv(name)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def started(saccade, monkeypatch: pytest.MonkeyPatch) -> Started:
    """Starts the app with options, without an app; gives its environment."""

    def start(*options: object) -> dict[str, str]:
        seen: dict[str, str] = {}

        def run(command: list[str], **settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
            seen.update(settings["env"])
            return subprocess.CompletedProcess(command, 0)

        monkeypatch.setattr(cli.subprocess, "run", run)
        done = saccade("run", *options)
        assert done.status == 0, done.err
        return seen

    return start


# --- saccade run ------------------------------------------------------------------------------------------------------


def test_on_this_machine_alone_ids_of_the_cache_may_be_opened_and_nothing_else(started):
    policy = Policy.from_environment(started())
    assert (policy.folders, policy.ids, policy.downloads) == ((), None, False)


@pytest.mark.parametrize("address", ["0.0.0.0", "192.168.1.5", "::"])
def test_on_an_address_that_others_reach_nothing_may_that_is_not_named(started, tmp_path, address):
    assert Policy.from_environment(started("--address", address)).empty
    policy = Policy.from_environment(started("--address", address, "--models", tmp_path, "--allow", "gpt2"))
    assert (policy.folders, policy.ids) == ((tmp_path,), ("gpt2",))


def test_options_become_the_policy(started, tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    monkeypatch.chdir(tmp_path)
    options = ("--models", "a", "--models", tmp_path / "b", "--allow", "gpt2", "--allow", "owner/name@v1")
    policy = Policy.from_environment(started(*options, "--downloads", "--model-memory", "8GB"))
    assert policy == Policy((tmp_path / "a", tmp_path / "b"), ("gpt2", "owner/name@v1"), True, 8_000_000_000)


def test_options_stand_over_the_environment_and_its_rest_is_kept(started, tmp_path, monkeypatch):
    monkeypatch.setenv("SACCADE_MODEL_IDS", "gpt2")
    monkeypatch.setenv("SACCADE_DOWNLOADS", "1")
    monkeypatch.setenv("SACCADE_MODEL_MEMORY", "1GB")
    assert Policy.from_environment(started()) == Policy((), ("gpt2",), True, 1_000_000_000)
    policy = Policy.from_environment(started("--allow", "bert", "--no-downloads", "--model-memory", "2GB"))
    assert policy == Policy((), ("bert",), False, 2_000_000_000)


def test_a_model_to_open_is_named_in_full_and_allowed(started, tmp_path, monkeypatch):
    write_model(tmp_path / "models" / "tiny")
    monkeypatch.chdir(tmp_path / "models")
    environment = started("--model", "tiny")
    assert environment["SACCADE_MODEL"] == str(tmp_path / "models" / "tiny")
    assert Policy.from_environment(environment).folders == (tmp_path / "models" / "tiny",)
    monkeypatch.chdir(tmp_path)
    assert started("--models", "models", "--model", "tiny")["SACCADE_MODEL"] == "tiny"
    assert started("--model", "owner/name", "--downloads")["SACCADE_MODEL"] == "owner/name"


def test_what_cannot_be_opened_is_refused_before_the_app_starts(saccade, tmp_path):
    saccade("run", "--models", tmp_path / "nowhere").assert_refused("There is no folder", "--models")
    saccade("run", "--allow", "../x").assert_refused("'../x' is no Hugging Face id")
    saccade("run", "--model-memory", "plenty").assert_refused("--model-memory is 'plenty'", "8GB")
    saccade("run", "--model", tmp_path / "nowhere").assert_refused("There is no folder")
    saccade("run", "--model", tmp_path).assert_refused("holds no config.json")
    for nothing in ("", " "):
        saccade("run", "--model", nothing).assert_refused("--model is empty", "Give it a folder")
    saccade("run", "--model", "owner/name").assert_refused("downloads are off", "saccade run --downloads")
    folder = write_model(tmp_path / "old")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    saccade("run", "--model", folder).assert_refused("can run code when they are read", f"saccade convert {folder}")


# --- saccade convert --------------------------------------------------------------------------------------------------


def test_convert_writes_a_folder_beside_and_says_how_to_open_it(saccade, tmp_path):
    folder = write_model(tmp_path / "old")
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.ones(3)}, folder / "pytorch_model.bin")
    done = saccade("convert", folder)
    made = tmp_path / "old-safetensors"
    assert (done.status, done.out) == (0, f"{made}\nTo open it: saccade run --model {made}\n")
    assert sorted(path.name for path in made.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    saccade("convert", folder).assert_refused("exists already", "--out")


def test_convert_refuses_in_one_sentence(saccade, tmp_path):
    saccade("convert", write_model(tmp_path / "new")).assert_refused("new has no pytorch_model.bin")
    saccade("convert", "no/such/thing").assert_refused("There is no folder 'no/such/thing'", "Check the folder's name")
    saccade("convert", "").assert_refused("no model to convert", "Give a folder")
    saccade("convert", "owner/name", "--no-downloads").assert_refused("no pickled weights on this machine")
