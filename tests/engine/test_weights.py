"""Model files: what is refused and with which words, and what rounding to float16 keeps."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

import engine
from engine.errors import ConfigError, WeightsDamaged, WeightsMissing
from engine.models.transformer import Transformer, TransformerConfig
from engine.weights import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    from_json,
    load_weights,
    read_json,
    save_weights,
    sha256_of,
    verify,
    write_json,
)

FILES = (WEIGHTS, TOKENIZER, CONFIG)
# The published digest of "abc": FIPS 180-2, appendix B.1.
ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))


# --- Checksums --------------------------------------------------------------------------------------------------------


def test_sha256_of_a_known_text(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == ABC


def test_an_untouched_model_passes_and_loads(tiny_card):
    verify(tiny_card)
    assert engine.load("tiny", "cpu").card is tiny_card


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named_with_what_to_do(tiny_card, name):
    (tiny_card.folder / name).unlink()
    with pytest.raises(WeightsMissing) as error:
        engine.load("tiny", "cpu")
    assert f"assets/tiny/{name}" in str(error.value)
    assert f"git checkout assets/tiny/{name}" in str(error.value)


def flip_a_bit(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [flip_a_bit, lambda content: content[:-1], lambda content: b""])
def test_a_damaged_file_is_named_with_both_checksums(tiny_card, name, damage):
    path = tiny_card.folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(WeightsDamaged) as error:
        engine.load("tiny", "cpu")
    for part in (f"assets/tiny/{name}", tiny_card.sha256[name], sha256_of(path), "Restore it: git checkout"):
        assert part in str(error.value)


@pytest.mark.parametrize("name", FILES)
def test_a_swapped_file_is_named_with_both_checksums(tiny_card, name):
    """A file that is valid in itself, but another model's."""
    other = tiny_card.folder / FILES[FILES.index(name) - 1]
    (tiny_card.folder / name).write_bytes(other.read_bytes())
    with pytest.raises(WeightsDamaged) as error:
        verify(tiny_card)
    for part in (f"assets/tiny/{name}", tiny_card.sha256[name], tiny_card.sha256[other.name], "swapped"):
        assert part in str(error.value)


# --- JSON -------------------------------------------------------------------------------------------------------------


def test_json_comes_back_equal_and_legible(tmp_path):
    values = {"a": [1, 2.5, None, True], "é": {"nested": "œ 你好"}}
    write_json(tmp_path / "x.json", values)
    assert read_json(tmp_path / "x.json") == values
    assert "œ 你好" in (tmp_path / "x.json").read_text("utf-8")


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"{'a': 1}", b"\xff\xfe\x00", b"[1, 2]", b"3", b"null"])
def test_broken_json_is_named(tmp_path, content):
    folder = tmp_path / "assets" / "tiny"
    folder.mkdir(parents=True)
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(WeightsDamaged, match=r"assets/tiny/config\.json .*JSON.*Restore"):
        read_json(folder / CONFIG)


def test_missing_json_is_named(tmp_path):
    with pytest.raises(WeightsMissing, match=r"config\.json is missing\. Restore it: git checkout"):
        read_json(tmp_path / "config.json")


def test_a_config_that_is_broken_behind_a_right_checksum_is_named(tiny_card, monkeypatch):
    path = tiny_card.folder / CONFIG
    path.write_text("{", "utf-8")
    card = replace(tiny_card, sha256={**tiny_card.sha256, CONFIG: sha256_of(path)})
    monkeypatch.setitem(engine.catalogue.MODELS, "tiny", card)
    with pytest.raises(WeightsDamaged, match=r"assets/tiny/config\.json is not valid JSON"):
        engine.load("tiny", "cpu")


def test_an_unknown_key_is_named_beside_the_known_ones():
    with pytest.raises(ConfigError, match=r"x\.json: unknown key 'widht'\. Known keys: .*\bwidth\b"):
        from_json(TransformerConfig, {"vocabulary": 9, "widht": 8}, "x.json")


@pytest.mark.parametrize(("values", "words"), [({}, "vocabulary"), ({"vocabulary": 9, "width": "8"}, "x.json")])
def test_a_missing_key_or_a_wrong_type_is_an_error(values, words):
    with pytest.raises(ConfigError, match=words):
        from_json(TransformerConfig, values, "x.json")


# --- Weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\xff" * 64])
def test_what_is_no_safetensors_is_refused(tmp_path, content):
    (tmp_path / WEIGHTS).write_bytes(content)
    with pytest.raises(WeightsDamaged, match=rf"{WEIGHTS} cannot be read \(.+\)\. Restore the file"):
        load_weights(network(), tmp_path / WEIGHTS)


def test_truncated_weights_are_refused(tmp_path):
    save_weights(network().state_dict(), tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).write_bytes((tmp_path / WEIGHTS).read_bytes()[:-8])
    with pytest.raises(WeightsDamaged, match=WEIGHTS):
        load_weights(network(), tmp_path / WEIGHTS)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(WeightsMissing, match=rf"{WEIGHTS} is missing\. Restore it: git checkout"):
        load_weights(network(), tmp_path / WEIGHTS)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        (lambda tensors: tensors.pop("1.bias"), "1.bias"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "extra"),
        (lambda tensors: tensors.update({"0.weight": torch.zeros(4, 5)}), "0.weight"),
    ],
    ids=["missing", "unexpected", "shape"],
)
def test_weights_that_do_not_fit_are_refused_and_the_tensor_is_named(tmp_path, change, culprit):
    tensors = dict(network().state_dict())
    change(tensors)
    save_weights(tensors, tmp_path / WEIGHTS)
    with pytest.raises(WeightsDamaged) as error:
        load_weights(network(), tmp_path / WEIGHTS)
    assert WEIGHTS in str(error.value) and culprit in str(error.value)
    assert "\n" not in str(error.value)


def test_a_message_on_weights_that_do_not_fit_stays_short(tmp_path):
    """A model of another shape has a hundred tensors that do not fit; a screen wants one sentence."""
    shape = {"vocabulary": 20, "width": 8, "heads": 2, "feedforward": 8}
    save_weights(Transformer(TransformerConfig(**shape, decoder_layers=2)).state_dict(), tmp_path / WEIGHTS)
    with pytest.raises(WeightsDamaged) as error:
        load_weights(Transformer(TransformerConfig(**shape)), tmp_path / WEIGHTS)
    assert "decoder.2" in str(error.value)
    assert len(str(error.value)) < 400


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(
        "float32",
        arrays.array_shapes(max_dims=3, max_side=5),
        elements=st.floats(-65504, 65504, width=32),  # float16's range
    )
)
def test_float16_round_trip(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("round") / WEIGHTS
    tensor = torch.from_numpy(values)
    save_weights({"a": tensor, "turned": tensor.mT if tensor.ndim > 1 else tensor}, path)
    stored = safetensors.torch.load_file(path)
    assert {name: t.dtype for name, t in stored.items()} == {"a": torch.float16, "turned": torch.float16}
    assert torch.equal(stored["a"], tensor.half())
    assert torch.equal(stored["turned"], (tensor.mT if tensor.ndim > 1 else tensor).half())
    # Half a unit in the last of float16's 11 bits, or half its smallest step (2^-24) near zero.
    assert bool(((stored["a"].float() - tensor).abs() <= torch.clamp(tensor.abs() * 2**-11, min=2**-25)).all())


def test_a_module_gets_back_what_it_saved_rounded_once(tmp_path):
    torch.manual_seed(0)
    saved, loaded = network(), network()
    save_weights(saved.state_dict(), tmp_path / WEIGHTS)
    load_weights(loaded, tmp_path / WEIGHTS)
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, saved.state_dict()[name].half().float())
    save_weights(loaded.state_dict(), tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / WEIGHTS).read_bytes()


def test_the_identity_is_the_weights_own_checksum(tiny_card):
    assert re.fullmatch(r"tiny@[0-9a-f]{8}", tiny_card.identity)
    assert sha256_of(tiny_card.folder / WEIGHTS).startswith(tiny_card.identity.removeprefix("tiny@"))
