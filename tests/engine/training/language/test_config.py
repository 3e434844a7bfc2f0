"""Configurations of language models' runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.models.bert import Bert, BertConfig
from engine.models.char_lm import CharLM, CharLMConfig
from engine.models.gpt import GPT, GPTConfig
from engine.training.config import to_json
from engine.training.language.config import (
    CONFIGS,
    LanguageConfig,
    LanguageTraining,
    language_config,
    language_model,
    read_config,
)

SHAPES: dict[type, LanguageConfig] = {
    GPT: GPTConfig(40, width=16, heads=2, layers=1, feedforward=16, context=32),
    Bert: BertConfig(40, width=16, heads=2, layers=1, feedforward=16, context=32),
    CharLM: CharLMConfig(40, embedding=4, width=8, layers=1),
}
CONFIG = LanguageTraining("toy", SHAPES[Bert], length=24, seed=7, optimizer="adamw")


def test_shipped_configurations_are_of_the_three_models():
    found = {file.stem: read_config(file.stem) for file in CONFIGS.glob("*.json")}
    assert {"gpt-cpu", "bert-cpu", "char-lm-cpu"} <= found.keys()
    for name, config in found.items():
        kind = {"gpt": GPT, "bert": Bert, "char-lm": CharLM}[config.name]
        assert name.startswith(config.name)
        assert type(language_model(config.model)) is kind
    gpt, bert = found["gpt-cpu"].model, found["bert-cpu"].model
    assert isinstance(gpt, GPTConfig) and isinstance(bert, BertConfig)
    shared = ("vocabulary", "width", "heads", "layers", "feedforward", "activation", "context")
    assert bert.norm == "pre"  # as the GPT: its weights are what a BERT can start from
    assert all(getattr(gpt, name) == getattr(bert, name) for name in shared)


@pytest.mark.parametrize("kind", SHAPES)
def test_a_shape_comes_back_from_json_and_makes_its_model(kind):
    shape = SHAPES[kind]
    assert language_config(json.loads(json.dumps(to_json(shape))), "config.json") == shape
    assert type(language_model(shape)) is kind


def test_a_configuration_comes_back(tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(to_json(CONFIG)), "utf-8")
    assert read_config(str(path)) == CONFIG


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rate": 0.1}, "unknown key 'rate'.*peak_rate"),
        ({"model": 3}, "'model' object"),
        ({"model": {"vocabulary": 9, "depth": 3}}, "model: unknown key 'depth'.*layers"),
        ({"model": {"characters": 0}}, "characters 0"),
        ({"model": {"vocabulary": 40, "norm": "none"}}, "norm 'none'"),
        ({"warmup": 0.0}, "warmup"),
        ({"averaged": 1.0}, "averaged"),
        ({"batch": 0}, "batch"),
        ({"length": 1}, "length"),
        ({"updates": -1}, "updates"),
        ({"optimizer": "sgd"}, "optimizer 'sgd': choose muon or adamw"),
        ({"peak_rate": 0}, "peak_rate"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"length": 33}, "length 33: the model sees 32 tokens at most"),
        ({"length": 18}, "length 18: a pair of texts takes 19 tokens at least"),
    ],
)
def test_impossible_configurations_are_named(tmp_path, changes: dict[str, Any], named: str):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(to_json(CONFIG) | changes), "utf-8")
    with pytest.raises(ConfigError, match=named):
        read_config(str(path))


def test_short_windows_are_for_others_than_bert_and_long_ones_for_a_network_without_context():
    assert LanguageTraining("toy", SHAPES[GPT], length=2).length == 2
    assert LanguageTraining("toy", SHAPES[CharLM], length=5000).length == 5000


def test_a_missing_configuration_lists_the_shipped_ones():
    with pytest.raises(ConfigError, match=r"'no-such'.*bert-cpu.*gpt-cpu"):
        read_config("no-such")
