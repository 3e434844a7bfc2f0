"""The `saccade` command on networks that complete words: train, go on, export, evaluate, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch

import engine
from engine import catalogue, cli_training
from engine.cards import CURVE, TRAINING, completion_scores, markdown, memory_figures, scores_of
from engine.errors import ConfigError, Unsupported
from engine.training import updates
from engine.training.autocomplete import loop
from engine.training.autocomplete.config import CONFIGS, AutocompleteTraining
from engine.training.config import to_json
from engine.weights import CONFIG, WEIGHTS, read_json, sha256_of, write_json


@pytest.fixture(autouse=True)
def own_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: None)
    monkeypatch.setattr(updates, "LOG_SECONDS", 0.0)


@pytest.fixture
def config(toy_settings: AutocompleteTraining, tmp_path: Path) -> Path:
    """The toy network's settings as a file."""
    write_json(tmp_path / "toy.json", to_json(toy_settings))
    return tmp_path / "toy.json"


# --- From a text to a card --------------------------------------------------------------------------------------------


def test_a_network_is_trained_exported_measured_and_used(saccade, toy_card, books, config, tmp_path, monkeypatch):
    """From texts to a card, by the commands that the card names."""
    folder = tmp_path / "run"
    done = saccade("train", config, "--data", books, "--minutes", 60, "--out", folder, "--device", "cpu")
    assert done.status == 0, done.err
    scores = read_json(folder / "scores.json")
    assert f"cross-entropy {scores['cross_entropy']:.3f} nats per character" in done.out
    assert f"{scores['accuracy']['overall'][0]:.1%} of the characters" in done.out
    assert f"To ship it: saccade export {folder} toy --data {books}" in done.out
    assert "step " in done.out and "  characters " in done.out

    monkeypatch.setattr(cli_training, "MOST_CHANGED", 1.0)  # the limit has a test of its own
    done = saccade("export", folder, "toy", "--data", books)
    assert done.status == 0, done.err
    *lines, rounding = done.out.splitlines()
    checksums = json.loads("{" + "".join(lines).rstrip(",") + "}")
    assert checksums == {name: sha256_of(toy_card.folder / name) for name in (WEIGHTS, "words.txt", CONFIG)}
    record = read_json(toy_card.folder / TRAINING)
    assert record["rounding"] == json.loads(rounding) and "before" not in record
    assert record["command"] == f"saccade train {config} --data DIR --minutes 60"

    shipped = replace(toy_card, sha256=checksums)
    monkeypatch.setitem(catalogue.MODELS, "toy", shipped)
    done = saccade("evaluate", "toy", "--data", books, "--save", "--device", "cpu")
    assert done.status == 0, done.err
    assert list(scores_of(shipped)) == ["completion", "memorization"]
    assert dict(line.split(": ", 1) for line in done.out.splitlines()).keys() == scores_of(shipped).keys()
    assert completion_scores(shipped).counts and memory_figures(shipped)["passages"] > 0
    assert saccade("models", "toy").out == markdown(shipped)


def test_training_goes_on_from_a_shipped_network(saccade, toy_card, books, tmp_path, toy_settings, monkeypatch):
    """At a rate of nothing the weights come out as they went in; the card then has both runs, one behind the other."""
    settings = replace(toy_settings, peak_rate=1e-12, weight_decay=0.0, epochs=1)
    write_json(tmp_path / "toy.json", to_json(settings))
    folder = tmp_path / "run"
    done = saccade("train", tmp_path / "toy.json", "--data", books, "--minutes", 60, "--init", "toy", "--out", folder,
                   "--device", "cpu")  # fmt: skip
    assert done.status == 0, done.err
    before, after = (safetensors.torch.load_file(where / WEIGHTS) for where in (toy_card.folder, folder))
    assert all(float((after[name] - tensor.float()).abs().max()) < 1e-7 for name, tensor in before.items())
    assert read_json(folder / "run.json")["command"].endswith("--minutes 60 --init toy")

    first, curve = read_json(toy_card.folder / TRAINING), (toy_card.folder / CURVE).read_text("utf-8").splitlines()
    assert saccade("export", folder, "toy", "--data", books).status == 0
    record = read_json(toy_card.folder / TRAINING)
    assert record["before"] == [first]
    lines = [json.loads(line) for line in (toy_card.folder / CURVE).read_text("utf-8").splitlines()]
    assert [json.dumps(line) for line in lines[: len(curve)]] == curve
    assert lines[-1]["step"] == first["steps"] + record["steps"], "its steps count on from there"


def test_an_export_that_changes_too_much_says_so_and_fails(saccade, toy_run, toy_card, books, monkeypatch):
    monkeypatch.setattr(cli_training, "MOST_CHANGED", -0.01)  # less than none at all
    done = saccade("export", toy_run, "toy", "--data", books)
    assert done.status == 1
    assert "Rounding changed more than -1% of outputs." in done.err and "BLEU" not in done.err


def test_a_run_of_a_translator_is_no_run_of_a_network(saccade, toy_card, books, tmp_path):
    saccade("export", tmp_path, "toy", "--data", books).assert_refused("no finished run", "weights.safetensors")


# --- What is refused --------------------------------------------------------------------------------------------------


def test_what_translates_takes_no_network_that_completes_words(saccade, toy_card, tmp_path):
    with pytest.raises(Unsupported, match=r"toy does not translate: use engine\.load_completer"):
        engine.load("toy", "cpu")
    saccade("translate", "toy", "Hello.").assert_refused("engine.load_completer('toy')")
    saccade("trace", "toy", "Hello.", "--out", tmp_path / "x.npz").assert_refused("engine.load_completer('toy')")


def test_a_set_for_translators_is_refused_before_anything_is_loaded(saccade, toy_card):
    (toy_card.folder / WEIGHTS).unlink()
    saccade("evaluate", "toy", "--set", "lecture").assert_refused(
        "'lecture' is for another kind of model", "completion"
    )


def test_without_texts_nothing_can_be_measured_and_the_command_says_so(saccade, toy_card):
    done = saccade("evaluate", "toy", "--json")
    assert done.status == 0 and json.loads(done.out)["scores"] == {}
    for name in ("completion", "memorization"):
        assert f"{name} is left out: it reads texts from disk, give their folder with --data DIR." in done.err


def test_going_on_from_what_does_not_fit_is_one_sentence(saccade, toy_card, books, config, tmp_path, toy_settings):
    arguments = ("--data", books, "--minutes", 1, "--out", tmp_path / "run", "--init")
    saccade("train", config, *arguments, "en-de").assert_refused("There is no model 'en-de'")
    saccade("train", "en-fr", *arguments, "toy").assert_refused("en-fr cannot go on from model toy", "another kind")
    write_json(config, to_json(replace(toy_settings, model=replace(toy_settings.model, width=24))))
    saccade("train", config, *arguments, "toy").assert_refused("toy.json", "width is 24", "16 in the model")
    (toy_card.folder / WEIGHTS).unlink()
    saccade("train", config, *arguments, "toy").assert_refused("assets/toy/weights.safetensors", "is missing")


def test_training_without_texts_is_one_sentence(saccade, config, tmp_path):
    done = saccade("train", config, "--data", tmp_path, "--minutes", 1, "--out", tmp_path / "run", "--device", "cpu")
    done.assert_refused("english/gutenberg.train.txt is missing")


# --- Which kind a configuration is for --------------------------------------------------------------------------------


def test_every_shipped_configuration_is_of_the_kind_that_it_trains():
    names = [path.stem for path in CONFIGS.glob("*.json")]
    assert {"autocomplete-gru", "autocomplete-gru-cpu", "autocomplete-transformer-cpu"} <= set(names)
    assert {cli_training.family_of(name) for name in names} == {"autocomplete"}
    assert {cli_training.family_of(str(CONFIGS / f"{name}.json")) for name in names} == {"autocomplete"}
    assert cli_training.family_of("en-fr") == "transformer"


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"model": 3}', '{"model": {"width": 3}}'])
def test_a_file_that_does_not_say_so_is_no_configuration_of_word_completion(tmp_path, content):
    (tmp_path / "mine.json").write_text(content, "utf-8")
    assert cli_training.family_of(str(tmp_path / "mine.json")) == "transformer"


def test_an_unknown_name_is_answered_with_the_shipped_ones_of_both_kinds():
    with pytest.raises(ConfigError, match=r"'en-de'.*autocomplete-gru, autocomplete-gru-cpu, .*en-fr,"):
        cli_training.family_of("en-de")
