"""The `saccade` commands that make a model: train, go on from one that ships, export."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch

from engine import catalogue, cli_training
from engine.cards import CURVE, TRAINING
from engine.models.transformer import TransformerConfig
from engine.training import data as training_data
from engine.training import loop, run
from engine.training.config import TrainingConfig
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, read_json, sha256_of, write_json

ENGLISH = "The cat sleeps on the red chair."
SHORTEST = 0.05  # minutes: the shortest run that the command takes


@pytest.fixture
def corpus(tmp_path: Path, pairs, model_bytes: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The thirty pairs as training and validation data, and the real run's large numbers made small."""
    folder = tmp_path / "data" / "en-fr"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("".join(f"{e}\t{f}\ttatoeba\n" for e, f in pairs), "utf-8")
    (folder / "valid.tsv").write_text("".join(f"{e}\t{f}\n" for e, f in pairs[:10]), "utf-8")
    # The real tokenizer also learns from 12,000 grammar sentences, which takes seconds.
    monkeypatch.setattr(run, "train_tokenizer", lambda rows, vocabulary: model_bytes)
    monkeypatch.setattr(training_data, "POOL", 60)
    monkeypatch.setattr(loop, "LOG_SECONDS", 0.5)
    return folder.parent


def write_config(path: Path, vocabulary: int, **changes: object) -> Path:
    shape = TransformerConfig(vocabulary, width=32, heads=4, encoder_layers=2, decoder_layers=3, feedforward=64)
    config = TrainingConfig("tiny", shape, {"tatoeba": 1.0}, batch_tokens=512, longest=40, peak_rate=5e-3)
    write_json(path, asdict(replace(config, **changes)))
    return path


def test_a_model_is_trained_exported_and_used(saccade, tiny_card, corpus, tmp_path, subwords, monkeypatch):
    """From texts to a translation, by the commands that a card names."""
    config = write_config(tmp_path / "tiny.json", len(subwords))
    folder = tmp_path / "run"
    arguments = ("train", config, "--data", corpus, "--minutes", SHORTEST, "--out", folder, "--device", "cpu")
    done = saccade(*arguments)
    assert done.status == 0, done.err
    assert str(folder / WEIGHTS) in done.out
    assert f"To ship it: saccade export {folder} tiny --data {corpus}" in done.out
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    assert log[-1]["step"] > 3 and log[-1]["minutes"] >= SHORTEST
    # A model that knows nothing scores ln(vocabulary).
    assert log[-1]["averaged_validation_loss"] < np.log(len(subwords))
    saccade(*arguments).assert_refused(f"The run in {folder} has used", "--minutes")
    write_config(config, len(subwords), seed=2)
    saccade(*arguments).assert_refused(f"{folder} holds a run with other settings.", "--out")

    # A model of a few steps may well change a tenth of ten outputs: the limits have a test of their own.
    monkeypatch.setattr(cli_training, "MOST_CHANGED", 1.0)
    monkeypatch.setattr(cli_training, "MOST_BLEU_LOST", 100.0)
    done = saccade("export", folder, "tiny", "--data", corpus)
    assert done.status == 0, done.err
    *lines, rounding = done.out.splitlines()
    checksums = json.loads("{" + "".join(lines).rstrip(",") + "}")
    assert checksums == {name: sha256_of(tiny_card.folder / name) for name in (WEIGHTS, TOKENIZER, CONFIG)}
    assert checksums[WEIGHTS] != tiny_card.sha256[WEIGHTS], "these are other weights than the fixture's"
    trained = safetensors.torch.load_file(folder / WEIGHTS)
    shipped = safetensors.torch.load_file(tiny_card.folder / WEIGHTS)
    assert {name: tensor.half().tolist() for name, tensor in trained.items()} == {
        name: tensor.tolist() for name, tensor in shipped.items()
    }
    record = read_json(tiny_card.folder / TRAINING)
    assert record["command"] == f"saccade train {config} --data DIR --minutes 0.05"
    assert (record["steps"], record["pairs"]) == (log[-1]["step"], {"tatoeba": 30})
    assert record["parameters"] == sum(tensor.numel() for tensor in trained.values())
    assert record["rounding"] == json.loads(rounding) and record["rounding"]["sentences"] == 10
    assert (tiny_card.folder / CURVE).read_bytes() == (folder / "log.jsonl").read_bytes()

    saccade("translate", "tiny", ENGLISH).assert_refused("is not the one that belongs to model tiny")
    monkeypatch.setitem(catalogue.MODELS, "tiny", replace(tiny_card, sha256=checksums))
    assert saccade("translate", "tiny", ENGLISH).status == 0
    assert saccade("evaluate", "tiny", "--set", "lecture", "--save").status == 0
    assert record["command"] in saccade("models", "tiny").out


def finished_run(card: catalogue.ModelCard, folder: Path) -> Path:
    """A run folder that holds the fixture's weights, as if they had just been trained."""
    folder.mkdir()
    tensors = safetensors.torch.load_file(card.folder / WEIGHTS)
    safetensors.torch.save_file({name: tensor.float() for name, tensor in tensors.items()}, folder / WEIGHTS)
    (folder / TOKENIZER).write_bytes((card.folder / TOKENIZER).read_bytes())
    (folder / "log.jsonl").write_text('{"step": 1, "tokens": 2, "minutes": 3}\n', "utf-8")
    settings = {"model": read_json(card.folder / CONFIG), "name": "tiny", "mixture": {"tatoeba": 1.0}}
    about = {"command": "c", "hardware": "h", "torch": "t", "initial": None, "pairs": {}}
    write_json(folder / run.RECORD, {"config": settings, **about})
    return folder


def test_weights_that_are_rounded_already_export_as_they_are(saccade, tiny_card, corpus, tmp_path):
    done = saccade("export", finished_run(tiny_card, tmp_path / "run"), "tiny", "--data", corpus)
    assert done.status == 0, done.err
    assert f'"{WEIGHTS}": "{tiny_card.sha256[WEIGHTS]}",' in done.out
    assert json.loads(done.out.splitlines()[-1])["outputs_changed"] == 0


def test_an_export_that_changes_too_much_says_so_and_fails(saccade, tiny_card, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(cli_training, "MOST_CHANGED", -0.01)  # less than none at all
    done = saccade("export", finished_run(tiny_card, tmp_path / "run"), "tiny", "--data", corpus)
    assert done.status == 1
    assert "Rounding changed more than" in done.err


@pytest.mark.parametrize("name", [WEIGHTS, TOKENIZER, "log.jsonl", run.RECORD])
def test_an_unfinished_run_is_not_exported(saccade, tiny_card, corpus, tmp_path, name):
    folder = finished_run(tiny_card, tmp_path / "run")
    (folder / name).unlink()
    before = {path.name: path.read_bytes() for path in tiny_card.folder.iterdir()}
    saccade("export", folder, "tiny", "--data", corpus).assert_refused(name, "saccade train")
    assert {path.name: path.read_bytes() for path in tiny_card.folder.iterdir()} == before


def test_training_goes_on_from_a_shipped_model(saccade, tiny_card, corpus, tmp_path, subwords, monkeypatch):
    """At a rate of nothing the weights come out as they went in, and the tokenizer is the model's own."""
    monkeypatch.setattr(run, "train_tokenizer", lambda rows, vocabulary: pytest.fail("trained another tokenizer"))
    config = write_config(tmp_path / "tiny.json", len(subwords), peak_rate=1e-12)
    folder = tmp_path / "run"
    done = saccade("train", config, "--data", corpus, "--minutes", SHORTEST, "--out", folder, "--init", "tiny",
                   "--device", "cpu")  # fmt: skip
    assert done.status == 0, done.err
    before = safetensors.torch.load_file(tiny_card.folder / WEIGHTS)
    after = safetensors.torch.load_file(folder / WEIGHTS)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        # AdamW moves a weight by about the rate in each step, 1e-12 times at most some thousands of steps.
        assert float((after[name] - tensor.float()).abs().max()) < 1e-7
    assert (folder / TOKENIZER).read_bytes() == (tiny_card.folder / TOKENIZER).read_bytes()


def test_going_on_from_a_model_that_is_not_whole_is_one_sentence(saccade, tiny_card, corpus, tmp_path, subwords):
    config = write_config(tmp_path / "tiny.json", len(subwords))
    arguments = ("train", config, "--data", corpus, "--minutes", 1, "--out", tmp_path / "run", "--init")
    saccade(*arguments, "en-de").assert_refused("There is no model 'en-de'")
    (tiny_card.folder / WEIGHTS).unlink()
    saccade(*arguments, "tiny").assert_refused("assets/tiny/weights.safetensors", "is missing")


def test_going_on_with_another_shape_is_one_sentence(saccade, tiny_card, corpus, tmp_path, subwords):
    wider = TransformerConfig(len(subwords), width=64, heads=4, encoder_layers=2, decoder_layers=3, feedforward=64)
    config = write_config(tmp_path / "wide.json", len(subwords), model=wider)
    done = saccade("train", config, "--data", corpus, "--minutes", 1, "--out", tmp_path / "run", "--init", "tiny")
    done.assert_refused("wide.json", "tiny", "width")


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "is not valid JSON"), ("{}", "needs a JSON object with a 'model'"), ('{"model": {"a": 1}}', "key 'a'")],
)
def test_a_broken_configuration_is_one_sentence(saccade, tmp_path, content, words):
    (tmp_path / "mine.json").write_text(content, "utf-8")
    saccade("train", tmp_path / "mine.json", "--data", tmp_path, "--minutes", 1).assert_refused("mine.json", words)


def test_an_unknown_configuration_is_answered_with_the_shipped_ones(saccade, tmp_path):
    saccade("train", "en-de", "--data", tmp_path, "--minutes", 1).assert_refused(
        "'en-de'", "en-fr", "autocomplete-gru-cpu"
    )
