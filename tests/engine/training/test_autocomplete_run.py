"""A run of autocomplete from text to weights and scores in a folder, and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from typer import Typer
from typer.testing import CliRunner

from engine import model_card
from engine.catalogue import ModelCard
from engine.errors import ConfigError, WeightsMissing
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.training.autocomplete import __main__ as command
from engine.training.autocomplete import loop
from engine.training.autocomplete.config import AutocompleteTraining
from engine.training.autocomplete.export import export, rounding
from engine.training.autocomplete.run import run_training
from engine.training.autocomplete.scores import held_out_scores
from engine.training.autocomplete.text import encode
from engine.training.config import to_json
from engine.weights import load_weights, read_json, save_weights, sha256_of

SENTENCE = "the cat and the dog ran to the sea but the hen sat on a hat in the sun"
CONFIG = AutocompleteTraining(
    "toy", AutocompleteConfig("gru", words=12, embedding=8, width=16, layers=1),
    batch=4, length=30, epochs=2, peak_rate=1e-2, averaged=0.2,
)  # fmt: skip


@pytest.fixture(autouse=True)
def own_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: None)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "english"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    for name, words in (("train", 800), ("valid", 200)):
        (folder / f"gutenberg.{name}.txt").write_text(f"{' '.join(rng.choice(SENTENCE.split(), words))}.", "utf-8")
    return folder.parent


def test_a_run_leaves_what_a_model_needs(data, tmp_path):
    out = tmp_path / "run"
    scores = run_training(CONFIG, out, 60, data=data, command="how")
    names = {path.name for path in out.iterdir()}
    assert names == {
        "weights.safetensors", "config.json", "words.txt", "run.json", "log.jsonl", "scores.json",
        "checkpoint.safetensors", "prepared.npz",
    }  # fmt: skip
    assert read_json(out / "scores.json") == scores
    record = read_json(out / "run.json")
    assert record["config"] == to_json(CONFIG) and record["words"] == 800 and record["command"] == "how"
    vocabulary = (out / "words.txt").read_text("utf-8").split()
    assert len(vocabulary) == 12 and vocabulary[0] == "the"
    # the files alone give the model and its scores back
    model = Autocomplete(AutocompleteConfig(**read_json(out / "config.json")))
    load_weights(model, out / "weights.safetensors")
    assert held_out_scores(model, vocabulary, data, CONFIG.length) == scores
    assert scores["words"] == 180 and set(scores["counts"][5:]) == {0}


def test_a_prepared_text_is_enough(data, tmp_path):
    first = run_training(CONFIG, tmp_path / "one", 60, data=data)
    second = run_training(CONFIG, tmp_path / "two", 60, prepared=tmp_path / "one" / "prepared.npz")
    assert first == second and not (tmp_path / "two" / "prepared.npz").exists()
    assert (tmp_path / "one" / "weights.safetensors").read_bytes() == (
        tmp_path / "two" / "weights.safetensors"
    ).read_bytes()


def test_a_run_goes_on_without_its_data(data, tmp_path):
    scores = run_training(CONFIG, tmp_path / "run", 60, data=data)
    assert run_training(CONFIG, tmp_path / "run", 60) == scores


def test_a_run_without_text_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--data DIR, or --prepared FILE"):
        run_training(CONFIG, tmp_path / "run", 60)


def test_another_run_in_the_folder_is_refused(data, tmp_path):
    run_training(CONFIG, tmp_path / "run", 60, data=data)
    for other in (replace(CONFIG, seed=2), replace(CONFIG, epochs=3)):
        with pytest.raises(ConfigError, match="other settings"):
            run_training(other, tmp_path / "run", 60)
    with pytest.raises(ConfigError, match="other settings"):
        run_training(CONFIG, tmp_path / "run", 60, initial=tmp_path / "run")


def test_a_text_with_another_vocabulary_is_refused(data, tmp_path):
    run_training(CONFIG, tmp_path / "run", 60, data=data)
    other = replace(CONFIG, model=replace(CONFIG.model, words=11))
    with pytest.raises(ConfigError, match="12 words, and toy wants 11"):
        run_training(other, tmp_path / "other", 60, prepared=tmp_path / "run" / "prepared.npz")


def test_a_run_starts_from_another(data, tmp_path):
    run_training(CONFIG, tmp_path / "one", 60, data=data)
    file = tmp_path / "one" / "prepared.npz"
    still = replace(CONFIG, peak_rate=1e-12, weight_decay=0.0)
    run_training(still, tmp_path / "two", 60, prepared=file, initial=tmp_path / "one")
    one, two = (safetensors.torch.load_file(tmp_path / name / "weights.safetensors") for name in ("one", "two"))
    assert all(np.allclose(one[name], two[name], atol=1e-9) for name in one)  # steps of 1e-12
    assert len(read_json(tmp_path / "two" / "run.json")["initial"]) == 64
    # a shipped model is float16
    save_weights(one, tmp_path / "one" / "weights.safetensors")
    run_training(still, tmp_path / "three", 60, prepared=file, initial=tmp_path / "one")


def test_what_a_run_cannot_start_from(data, tmp_path):
    run_training(CONFIG, tmp_path / "one", 60, data=data)
    file = tmp_path / "one" / "prepared.npz"
    with pytest.raises(ConfigError, match="vocabulary"):
        run_training(CONFIG, tmp_path / "two", 60, prepared=file, initial=tmp_path / "nothing")
    (tmp_path / "one" / "weights.safetensors").unlink()
    with pytest.raises(WeightsMissing):
        run_training(CONFIG, tmp_path / "three", 60, prepared=file, initial=tmp_path / "one")


# --- Shipping ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    monkeypatch.setattr(model_card, "ASSETS", tmp_path / "assets")
    nothing: dict[str, str] = {}
    return ModelCard("toy", "transformer", "Toy", "A toy.", nothing, frozenset(), 30, (), "none", ())


def test_a_run_becomes_the_files_that_ship(data, tmp_path, card):
    run_training(CONFIG, tmp_path / "run", 60, data=data, command="how")
    result = export(tmp_path / "run", card, data)
    shipped = {path.name: path for path in card.folder.iterdir()}
    assert shipped.keys() == {"weights.safetensors", "config.json", "words.txt", "curve.jsonl", "training.json"}
    assert result["sha256"] == {name: sha256_of(shipped[name]) for name in result["sha256"]}
    assert result["sha256"].keys() == {"weights.safetensors", "config.json", "words.txt"}
    weights = safetensors.torch.load_file(shipped["weights.safetensors"])
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.float16"}
    record = read_json(shipped["training.json"])
    assert record["rounding"] == result["rounding"] and record["command"] == "how"
    assert record["parameters"] == sum(tensor.numel() for tensor in weights.values())
    assert record["settings"]["epochs"] == 2 and record["steps"] * 4 * 30 == record["tokens"]
    assert shipped["words.txt"].read_text("utf-8").split()[0] == "the"


def test_rounding_is_measured(tmp_path):
    """A model that always says the same: half of the words are right before, the other half after."""
    before, after = (Autocomplete(CONFIG.model) for _ in range(2))
    for model, bias in ((before, 2.0), (after, -2.0)):
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        model.output.bias.data[0] = bias
        safetensors.torch.save_file(model.state_dict(), tmp_path / f"{bias}.safetensors")
    text = encode(["a b " * 500 + "zz"], "abcdefghijkl")
    paths = tmp_path / "2.0.safetensors", tmp_path / "-2.0.safetensors"
    found = rounding(CONFIG.model, paths, text, 5)
    assert found["sequences"] == 500 and found["characters"] == 2000  # of two words of a letter each, and a space
    assert found["outputs_changed"] == 1.0
    others = [11 + np.exp(bias) for bias in (2.0, -2.0)]  # 12 words, of which 11 have a logit of 0
    expected = [np.log(total) - bias / 2 for total, bias in zip(others, (2.0, -2.0), strict=True)]
    assert found["cross_entropy_before"] == pytest.approx(expected[0], abs=1e-5)
    assert found["cross_entropy_after"] == pytest.approx(expected[1], abs=1e-5)
    same = rounding(CONFIG.model, (paths[0], paths[0]), text, 5)
    assert same["outputs_changed"] == 0 and same["cross_entropy_before"] == same["cross_entropy_after"]


def test_an_unfinished_run_is_not_shipped(data, tmp_path, card):
    run_training(CONFIG, tmp_path / "run", 60, data=data)
    (tmp_path / "run" / "weights.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"no finished run: weights\.safetensors"):
        export(tmp_path / "run", card, data)
    assert not card.folder.exists()


# --- The command ------------------------------------------------------------------------------------------------------


def invoke(*arguments: Any) -> tuple[int, str]:
    app = Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_trains(data, tmp_path):
    config = tmp_path / "toy.json"
    config.write_text(json.dumps(to_json(CONFIG)), "utf-8")
    out = tmp_path / "run"
    code, output = invoke(config, "--data", data, "--minutes", 60, "--out", out, "--device", "cpu")
    assert code == 0, output
    top = read_json(out / "scores.json")["accuracy"]["by_known"][0]
    assert f"cross-entropy {read_json(out / 'scores.json')['cross_entropy']:.3f}" in output
    assert f"{top[0]:.3f} {top[1]:.3f} {top[2]:.3f} {top[3]:.3f} none" in output and "table" in output
    assert read_json(out / "run.json")["command"].endswith("toy.json --data DIR --minutes 60")


def test_the_command_says_what_is_wrong(tmp_path):
    code, output = invoke("autocomplete-gru", "--minutes", 1, "--out", tmp_path / "run", "--device", "cpu")
    assert code == 1 and "saccade: There is no text to learn from" in output
    code, output = invoke("no-such", "--minutes", 1, "--device", "cpu")
    assert code == 1 and "autocomplete-nlstm" in output
