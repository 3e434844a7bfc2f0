"""What is said of a model before it is loaded, against the model itself once it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine import catalogue
from engine.errors import ConfigError, DeviceError, Unsupported, WeightsDamaged
from engine.huggingface import memory
from engine.huggingface.checks import check_folder
from engine.huggingface.estimate import Estimate, estimate
from engine.huggingface.hosted import hosted
from engine.huggingface.loading import open_model
from tests.engine.huggingface.families import DECODERS, ENCODERS, FAMILIES, POSITIONS, WIDTH, saved

ROOM = 1_000_000_000


@pytest.fixture(autouse=True)
def room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a gigabyte left."""
    monkeypatch.setattr(memory, "available", lambda device: ROOM)


def changed(folder: Path, **settings: object) -> Path:
    """The folder with settings of its config changed."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return folder


@pytest.mark.parametrize("name", FAMILIES)
def test_layers_and_heads_are_those_of_the_loaded_model(tmp_path, name):
    """Without loading: from the config alone; with: by running it and seeing which sublayers attend."""
    import transformers

    checked = check_folder(saved(name, tmp_path / name))
    found = estimate(checked, "cpu")
    model = getattr(transformers, FAMILIES[name].auto).from_pretrained(checked.folder).eval()
    kind = "encoder" if name in ENCODERS else "decoder" if name in DECODERS else "encoder-decoder"
    shape = hosted(model, kind, POSITIONS).shape
    assert found.kind == kind == shape.architecture
    assert dict(found.layers) == dict(shape.layers)
    assert dict(found.heads) == dict(shape.heads)
    assert dict(found.key_heads) == dict(shape.key_heads)
    opened = open_model(checked.folder, "cpu")
    assert found.supports == opened.card.supports
    assert found.context == opened.model.config.context
    assert found.needed == checked.bytes
    stored = sum(parameter.numel() for parameter in model.parameters())
    stored += sum(buffer.numel() for key, buffer in model.named_buffers() if key == "final_logits_bias")
    computed = 2 * POSITIONS * WIDTH if name == "marian" else 0  # its tables of positions are not in the file
    assert found.parameters == stored - computed


def test_a_grouped_model_says_which_heads_share(tmp_path):
    found = estimate(check_folder(saved("llama", tmp_path / "m")), "cpu")
    assert found.architecture == "decoder-only (llama), 4 heads share 2 key/value heads"
    assert (found.context, found.window) == (POSITIONS, 0)
    assert estimate(check_folder(saved("mistral", tmp_path / "n")), "cpu").window == 4


def test_maps_are_counted_by_hand():
    found = Estimate(
        name="x",
        family="bart",
        kind="encoder-decoder",
        parameters=1,
        dtypes=("F16",),
        quantised=None,
        device="cpu",
        needed=3_400_000_000,
        there=24_000_000_000,
        layers={"encoder": 3, "decoder": 2, "cross": 2},
        heads={"encoder": 4, "decoder": 2, "cross": 2},
        key_heads={"encoder": 4, "decoder": 1, "cross": 2},
        context=1024,
    )
    assert found.map_bytes(100) == (3 * 4 + 2 * 2 + 2 * 2) * 100 * 100 * 4
    assert found.map_bytes(1) == 80
    assert found.problem == "" and replace(found, there=3_399_999_999).problem
    assert found.architecture == "encoder-decoder (bart), 2 heads share 1 key/value head"
    assert "does not fit: it needs 3.4 GB of memory, and cpu has 2.0 GB left" in replace(found, there=2 * 10**9).problem


def test_half_precision_and_quantised_weights_are_counted_as_they_are_stored(tmp_path):
    import torch
    import transformers

    folder = saved("gpt2", tmp_path / "m")
    whole = estimate(check_folder(folder), "cpu")
    transformers.AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    half = estimate(check_folder(folder), "cpu")
    assert (half.dtypes, half.needed, half.parameters) == (("BF16",), whole.needed // 2, whole.parameters)
    changed(folder, quantization_config={"quant_method": "awq", "bits": 4})
    assert estimate(check_folder(folder), "cpu").quantised == "awq"


def test_the_context_is_what_positions_and_tokenizer_allow(tmp_path):
    folder = saved("bert", tmp_path / "m")
    assert estimate(check_folder(folder), "cpu").context == POSITIONS
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 20}))
    assert estimate(check_folder(folder), "cpu").context == 20
    assert estimate(check_folder(saved("t5", tmp_path / "t")), "cpu").context == 0


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"vocab_size": 10_000_000}, WeightsDamaged, "they do not belong together"),
        ({"hidden_size": 100_000, "num_attention_heads": 4}, WeightsDamaged, "they do not belong together"),
        ({"num_hidden_layers": 1000, "intermediate_size": 4096}, WeightsDamaged, "they do not belong together"),
        ({"num_attention_heads": 5}, ConfigError, "cannot be used"),
        ({"num_attention_heads": 0}, ConfigError, "cannot be used"),
        ({"hidden_size": -4}, ConfigError, "cannot be used"),
        ({"hidden_size": "wide"}, ConfigError, "cannot be used"),
        ({"num_hidden_layers": "three"}, ConfigError, "cannot be used"),
        ({"vocab_size": None}, ConfigError, "cannot be used"),
        ({"max_position_embeddings": 10**11}, ConfigError, "impossible table of positions"),
        ({"hidden_act": "mystery"}, ConfigError, "cannot be used"),
        ({"model_type": "vit"}, Unsupported, "does not read text"),
        ({"model_type": "mamba"}, Unsupported, "no attention to look at"),
    ],
)
def test_a_config_that_is_not_of_the_weights_is_refused_without_taking_memory(tmp_path, settings, error, reason):
    folder = changed(saved("bert", tmp_path / "m"), **settings)
    with pytest.raises(error, match=reason) as refused:
        estimate(check_folder(folder), "cpu")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 400


@pytest.mark.timeout(60)
def test_a_table_of_positions_that_would_be_computed_is_refused(tmp_path):
    """Marian computes its positions while it is made: a billion of them would fill the memory."""
    folder = changed(saved("marian", tmp_path / "m"), max_position_embeddings=10**9, rope_parameters={"x": 1})
    with pytest.raises(ConfigError, match="impossible table of positions"):
        estimate(check_folder(folder), "cpu")


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(DeviceError, match="'tpu'"):
        estimate(check_folder(saved("bert", tmp_path / "m")), "tpu")


@pytest.mark.parametrize(
    ("name", "kind", "layers"),
    [
        ("en-fr", "encoder-decoder", {"encoder": 6, "decoder": 4, "cross": 4}),
        ("en-fr-rnn-dot", "encoder-decoder", {"cross": 1}),
        ("en-fr-rnn-none", None, {}),
        ("gpt", "decoder", {"decoder": 6}),
        ("bert", "encoder", {"encoder": 6}),
        ("autocomplete-transformer", "decoder", {"decoder": 4}),
        ("char-lm", None, {}),
    ],
)
def test_saccade_checkpoints_are_estimated_too(name, kind, layers):
    checked = check_folder(catalogue.card(name).folder)
    found = estimate(checked, "cpu")
    assert (found.family, found.kind, dict(found.layers)) == ("saccade", kind, layers)
    assert found.needed == 4 * checked.parameters > checked.bytes
    assert found.supports == catalogue.card(name).supports


def test_what_saccade_does_not_train_is_refused_before_it_is_opened():
    with pytest.raises(ConfigError, match="of no model that Saccade trains"):
        estimate(check_folder(catalogue.card("trigram").folder), "cpu")


def test_an_estimate_leaves_other_threads_alone(tmp_path, monkeypatch):
    """The architecture is built on a device without memory, which is set for one thread: not for those that serve."""
    import threading

    import torch
    import transformers

    made = []
    build = transformers.AutoModelForMaskedLM.from_config

    def slowly(*arguments: object, **options: object) -> object:
        thread = threading.Thread(target=lambda: made.append(torch.ones(1).device.type))
        thread.start()
        thread.join()
        made.append(torch.ones(1).device.type)
        return build(*arguments, **options)

    monkeypatch.setattr(transformers.AutoModelForMaskedLM, "from_config", slowly)
    estimate(check_folder(saved("bert", tmp_path / "m")), "cpu")
    assert made == ["cpu", "meta"]
