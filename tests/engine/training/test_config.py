"""Training configurations: what they refuse, and that they come back as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import ConfigError
from engine.models.transformer import TransformerConfig
from engine.training.config import CONFIGS, TrainingConfig, read_config, to_json

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
        # source and target, tag and </s> included, have positions
        assert config.longest < config.model.max_length


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 0.1}, "unknown key 'learning_rate'.*peak_rate"),
        ({"model": {"vocabulary": 9, "depth": 3}}, "model: unknown key 'depth'.*encoder_layers"),
        ({"name": None}, "'name'"),
        ({"model": {"width": 16}}, "model: .*'vocabulary'"),
        ({"model": {"vocabulary": 9, "width": 15}}, "width 15"),
        ({"model": [1]}, "'model' object"),
        ({"model": None}, "'model' object"),
        ({"mixture": {}}, "mixture"),
        ({"mixture": {"tatoeba": 0.0}}, "mixture"),
        ({"mixture": {"tatoeba": 1.0, "europarl": -0.1}}, "mixture"),
        ({"warmup": 0.0}, "warmup"),
        ({"averaged": 1.0}, "averaged"),
        ({"smoothing": -0.1}, "smoothing"),
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
