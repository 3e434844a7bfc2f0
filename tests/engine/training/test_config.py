"""Training configurations: what they refuse, and that they come back as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.catalogue import card
from engine.errors import ConfigError
from engine.models.seq2seq import ATTENTIONS, Seq2SeqConfig
from engine.models.transformer import TransformerConfig
from engine.training.config import CONFIGS, TrainingConfig, read_config, to_json
from engine.weights import CONFIG as SHAPE
from engine.weights import read_json

SMALL = TrainingConfig(
    name="small", model=TransformerConfig(vocabulary=50, width=16, heads=2, norm="post", final_norm=True),
    mixture={"tatoeba": 0.75, "pronouns": 0.25}, batch_tokens=200, longest=20, antecedent_weight=1.5, seed=4,
)  # fmt: skip


def write(path: Path, **changes: Any) -> str:
    """A configuration file with keys changed, or left out where `changes` says None; returns its name."""
    values = to_json(SMALL) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}), "utf-8")
    return str(path)


def test_round_trip(tmp_path):
    assert read_config(write(tmp_path / "small.json")) == SMALL
    # written by json, `mixture` is a plain dict again and the model a configuration of its own type
    assert isinstance(read_config(str(tmp_path / "small.json")).model, TransformerConfig)


def test_a_model_that_names_its_attention_is_a_recurrent_one(tmp_path):
    shape = Seq2SeqConfig(50, "general", embedding=12, width=20)
    config = replace(SMALL, model=shape, antecedent_weight=0.0, updates=70, vectors="en-fr")
    path = tmp_path / "recurrent.json"
    path.write_text(json.dumps(to_json(config)), "utf-8")
    assert read_config(str(path)) == config and type(read_config(str(path)).model) is Seq2SeqConfig
    assert read_config(write(path, model={"vocabulary": 9, "attention": "none"})).model == Seq2SeqConfig(9, "none")


def test_defaults_fill_what_is_left_out(tmp_path):
    config = read_config(write(tmp_path / "c.json", smoothing=None, seed=None, model={"vocabulary": 9}))
    assert config.smoothing == 0.1 and config.seed == 1
    assert config.model == TransformerConfig(vocabulary=9)


def test_shipped_configurations_load():
    names = sorted(file.stem for file in CONFIGS.glob("*.json"))
    assert "en-fr" in names
    for name in names:
        config = read_config(name)
        assert config.name == name.removesuffix("-continued")  # of the model that comes out
        assert read_config(str(CONFIGS / f"{name}.json")) == config
        if isinstance(config.model, TransformerConfig):
            # source and target, tag and </s> included, have positions
            assert config.longest < config.model.max_length


def test_the_recurrent_translators_differ_in_nothing_but_their_attention():
    configs = {kind: read_config(f"en-fr-rnn-{kind}") for kind in ATTENTIONS}
    assert all(config.model.attention == kind for kind, config in configs.items())
    one = configs["none"]
    for kind, config in configs.items():
        assert replace(config, name=one.name, model=replace(config.model, attention="none")) == one, kind
    # they end after the same number of updates, however fast each is, and start from vectors that fit
    assert one.updates > 0 and one.vectors == "en-fr"
    given = read_json(card(one.vectors).folder / SHAPE)
    assert (one.model.vocabulary, one.model.embedding) == (given["vocabulary"], given["width"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.1}, "unknown key 'learning_rate'.*peak_rate"),
        ({"model": {"vocabulary": 9, "depth": 3}}, "model: unknown key 'depth'.*encoder_layers"),
        ({"name": None}, "'name'"),
        ({"model": {"width": 16}}, "model: .*'vocabulary'"),
        ({"model": {"vocabulary": 9, "width": 15}}, "width 15"),
        ({"model": {"vocabulary": 9, "attention": "concat"}}, "'concat'.*additive"),
        ({"model": {"vocabulary": 9, "attention": "dot", "heads": 3}}, "model: unknown key 'heads'.*encoder_width"),
        ({"model": {"attention": "dot"}}, "model: .*'vocabulary'"),
        ({"model": {"vocabulary": 9, "attention": "dot", "width": "8"}}, "model: "),
        ({"model": [1]}, "'model' object"),
        ({"model": None}, "'model' object"),
        ({"mixture": {}}, "mixture"),
        ({"mixture": {"tatoeba": 0.0}}, "mixture"),
        ({"mixture": {"tatoeba": 1.0, "europarl": -0.1}}, "mixture"),
        ({"warmup": 0.0}, "warmup"),
        ({"averaged": 1.0}, "averaged"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"updates": -1}, "updates: .*or 0"),
        ({"batch_tokens": 39}, "39 cannot hold one pair of 20"),
    ],
)
def test_impossible_configurations_are_named(tmp_path, changes, named):
    with pytest.raises(ConfigError, match=named):
        read_config(write(tmp_path / "c.json", **changes))


def test_the_smallest_batch_that_holds_a_pair_is_taken(tmp_path):
    assert read_config(write(tmp_path / "c.json", batch_tokens=40)).batch_tokens == 40


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"en-fr"'])
def test_files_that_are_no_configuration(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=r"broken\.json"):
        read_config(str(path))


@pytest.mark.parametrize("name", ["no-such", "no/such.json"])
def test_a_missing_configuration_lists_the_shipped_ones(name):
    with pytest.raises(ConfigError, match=f"'{name}'.*en-fr"):
        read_config(name)
