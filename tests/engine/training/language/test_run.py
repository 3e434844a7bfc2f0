"""A run of a language model from text to weights in a folder, and its command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from typer import Typer
from typer.testing import CliRunner

from engine.errors import ConfigError, WeightsMissing
from engine.models.bert import Bert
from engine.models.gpt import GPT, GPTConfig
from engine.training.config import to_json
from engine.training.language import __main__ as command
from engine.training.language.config import LanguageTraining, language_config, language_model
from engine.training.language.run import run_training
from engine.weights import load_weights, read_json, save_weights, sha256_of
from tests.engine.training.language.toys import settings

STILL: dict[str, Any] = {"updates": 2, "peak_rate": 1e-12, "weight_decay": 0.0}  # steps that change nothing to speak of


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(folder / "weights.safetensors")


@pytest.fixture(scope="module")
def gpt(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a GPT."""
    folder = tmp_path_factory.mktemp("gpt") / "run"
    run_training(settings("gpt", prepared, updates=3), folder, 60, prepared=prepared, command="how")
    return folder


@pytest.mark.parametrize("kind", ["gpt", "bert", "char-lm"])
def test_a_run_leaves_what_a_model_needs(prepared, tmp_path, kind):
    config, out = settings(kind, prepared, updates=2), tmp_path / "run"
    assert run_training(config, out, 60, prepared=prepared, command="how") == out / "weights.safetensors"
    vocabulary = "alphabet.json" if kind == "char-lm" else "tokenizer.model"
    names = {"weights.safetensors", "config.json", vocabulary, "run.json", "log.jsonl", "checkpoint.safetensors"}
    assert {path.name for path in out.iterdir()} == names
    assert sha256_of(out / vocabulary) == sha256_of(prepared / vocabulary)
    record = read_json(out / "run.json")
    assert record["config"] == json.loads(json.dumps(to_json(config))) and record["command"] == "how"
    assert record["initial"] is None and record["text"] == read_json(prepared / "prepared.json")
    # the files alone give the model back
    shape = language_config(read_json(out / "config.json"), "config.json")
    assert shape == config.model
    load_weights(language_model(shape), out / "weights.safetensors")
    # and once finished, a run gives the same weights without training
    before = (out / "weights.safetensors").read_bytes()
    run_training(config, out, 60, prepared=prepared)
    assert (out / "weights.safetensors").read_bytes() == before


def test_a_run_prepares_its_text_once(data, prepared, tmp_path):
    config, out = settings("gpt", prepared, updates=2), tmp_path / "run"
    run_training(config, out, 60, data=data)
    assert sha256_of(out / "prepared" / "tokenizer.model") == sha256_of(prepared / "tokenizer.model")
    run_training(config, out, 60)  # goes on without its data
    run_training(config, tmp_path / "other", 60, prepared=prepared)
    assert (out / "weights.safetensors").read_bytes() == (tmp_path / "other" / "weights.safetensors").read_bytes()


# --- Starting from another --------------------------------------------------------------------------------------------


def test_a_bert_starts_from_a_gpt(prepared, gpt, tmp_path):
    config = settings("bert", prepared, **STILL)
    run_training(config, tmp_path / "run", 60, prepared=prepared, initial=gpt)
    start, found = weights_of(gpt), weights_of(tmp_path / "run")
    shared = start.keys() & found.keys()
    assert shared == start.keys() and len(found) > len(shared)  # a BERT has all that a GPT has, and more
    for name in shared:
        torch.testing.assert_close(found[name], start[name], rtol=0, atol=1e-9)
    assert read_json(tmp_path / "run" / "run.json")["initial"] == sha256_of(gpt / "weights.safetensors")


def test_a_run_on_data_takes_the_vocabulary_of_its_start_which_may_be_float16(data, prepared, gpt, tmp_path):
    shipped = tmp_path / "shipped"
    shipped.mkdir()
    (shipped / "tokenizer.model").write_bytes((gpt / "tokenizer.model").read_bytes())
    save_weights(weights_of(gpt), shipped / "weights.safetensors")
    run_training(settings("gpt", prepared, **STILL), tmp_path / "run", 60, data=data, initial=shipped)
    assert sha256_of(tmp_path / "run" / "tokenizer.model") == sha256_of(gpt / "tokenizer.model")
    for name, tensor in weights_of(tmp_path / "run").items():
        assert tensor.dtype == torch.float32
        torch.testing.assert_close(tensor, weights_of(gpt)[name].half().float(), rtol=0, atol=1e-9)


def test_what_a_run_cannot_start_from(prepared, gpt, tmp_path):
    config = settings("gpt", prepared)

    def refused(wanted: LanguageTraining, initial: Path, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            run_training(wanted, tmp_path / "run", 60, prepared=prepared, initial=initial)

    refused(config, tmp_path / "nothing", ConfigError, r"another tokenizer\.model than the text")
    refused(settings("char-lm", prepared), gpt, ConfigError, r"another alphabet\.json than the text")
    assert isinstance(config.model, GPTConfig)
    wider = replace(config, model=replace(config.model, width=28))
    refused(wider, gpt, ConfigError, r"of \(64, 24\), and gpt one of \(64, 28\)\. Start from a run of the same width")
    other = tmp_path / "other"
    other.mkdir()
    (other / "tokenizer.model").write_bytes((gpt / "tokenizer.model").read_bytes())
    refused(
        config, other, WeightsMissing, r"no weights\.safetensors and no checkpoint\.safetensors\. Start from another"
    )
    (other / "tokenizer.model").write_bytes(b"another")
    refused(config, other, ConfigError, r"another tokenizer\.model than the text")


# --- What is refused --------------------------------------------------------------------------------------------------


def test_a_run_without_text_is_refused(prepared, tmp_path):
    config = settings("gpt", prepared)
    with pytest.raises(ConfigError, match="--data DIR, or --prepared FOLDER"):
        run_training(config, tmp_path / "run", 60)
    with pytest.raises(ConfigError, match=r"There is no .*prepared\.json\. Write it with `python -m"):
        run_training(config, tmp_path / "run", 60, prepared=tmp_path)
    with pytest.raises(ConfigError, match=r"gutenberg\.train\.txt is missing"):
        run_training(config, tmp_path / "run", 60, data=tmp_path)


def test_a_text_with_another_vocabulary_is_refused(prepared, tmp_path):
    config = settings("gpt", prepared)
    other = replace(config, model=replace(config.model, vocabulary=65))
    with pytest.raises(ConfigError, match=r"has a vocabulary of 64, and gpt wants 65\. Prepare it again"):
        run_training(other, tmp_path / "run", 60, prepared=prepared)


def test_a_character_model_knows_the_characters_of_its_text_and_needs_no_subwords(data, prepared, tmp_path):
    config = settings("char-lm", prepared, updates=2)
    other = replace(config, model=replace(config.model, characters=99))
    run_training(other, tmp_path / "run", 60, data=data)
    assert language_config(read_json(tmp_path / "run" / "config.json"), "config.json") == config.model
    assert not (tmp_path / "run" / "prepared" / "tokenizer.model").exists()
    with pytest.raises(ConfigError, match=r"has a vocabulary of 0, and gpt wants 64"):
        run_training(settings("gpt", prepared), tmp_path / "gpt", 60, prepared=tmp_path / "run" / "prepared")


def test_another_run_in_the_folder_is_refused(prepared, gpt):
    same = settings("gpt", prepared, updates=3)
    weights = (gpt / "weights.safetensors").read_bytes()
    for other in (replace(same, seed=2), replace(same, updates=4), settings("bert", prepared, updates=3)):
        with pytest.raises(ConfigError, match="other settings"):
            run_training(other, gpt, 60, prepared=prepared)
    with pytest.raises(ConfigError, match="other settings"):
        run_training(same, gpt, 60, prepared=prepared, initial=gpt)
    assert (gpt / "weights.safetensors").read_bytes() == weights


# --- The command ------------------------------------------------------------------------------------------------------


def invoke(*arguments: Any) -> tuple[int, str]:
    app = Typer()
    app.command()(command.main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_trains(prepared, gpt, tmp_path):
    config = tmp_path / "toy.json"
    config.write_text(json.dumps(to_json(settings("bert", prepared, updates=2))), "utf-8")
    where = ("--prepared", prepared, "--init", gpt, "--out", tmp_path / "run", "--device", "cpu")
    code, output = invoke(config, "--minutes", 60, *where)
    assert code == 0 and output.endswith("run: done\n"), output
    load_weights(Bert(settings("bert", prepared).model), tmp_path / "run" / "weights.safetensors")
    assert read_json(tmp_path / "run" / "run.json")["command"].endswith("toy.json --data DIR --minutes 60 --init run")
    load_weights(GPT(settings("gpt", prepared).model), gpt / "weights.safetensors")  # its start is as it was


def test_the_command_says_what_is_wrong(tmp_path):
    code, output = invoke("gpt-cpu", "--minutes", 1, "--out", tmp_path / "run", "--device", "cpu")
    assert code == 1 and "saccade: There is no text to learn from" in output
    code, output = invoke("no-such", "--minutes", 1, "--device", "cpu")
    assert code == 1 and "char-lm-cpu" in output


def test_progress_is_one_line(capsys):
    progress = {"share": 0.5, "step": 7, "tokens": 12345, "loss": 4.5678, "second": 0.6931, "rate": 0.0012}
    command.show(command.Progress(**progress))
    command.show(command.Progress(**progress | {"second": 0.0}))
    first, other = capsys.readouterr().out.splitlines()
    assert first == "50.0%  step 7  tokens 12,345  loss 4.568  second 0.693  rate 0.0012"
    assert other == "50.0%  step 7  tokens 12,345  loss 4.568  rate 0.0012"
