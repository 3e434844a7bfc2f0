"""From a folder to what pages take: every family, the files as they are, and what is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import safetensors.torch
import torch

import engine
from engine.catalogue import MODELS
from engine.cloze import Cloze
from engine.errors import (
    ConfigError,
    ModelError,
    SaccadeError,
    UnknownModel,
    Unsupported,
    WeightsDamaged,
    WeightsMissing,
)
from engine.generator import Generator
from engine.huggingface.loading import LONGEST, open_model
from engine.huggingface.source import Located
from engine.reader import Reader
from engine.reading import MOST, reading_of, trace_of
from engine.runner import Runner
from tests.engine.huggingface.families import DECODERS, ENCODERS, FAMILIES, POSITIONS, SEQ2SEQ, saved

TEXT = "The animal didn't cross the street because it was too tired."
SAME = 1e-5
every_family = pytest.mark.parametrize("name", FAMILIES)


def opened(name: str, folder) -> Runner | Generator | Cloze | Reader:
    return open_model(Located(name, saved(name, folder / name), "huggingface"), "cpu")


@torch.inference_mode()
def output_attentions(name: str, folder, model, text: str):
    """What transformers itself gives for the ids that the model was given."""
    import transformers

    network = getattr(transformers, FAMILIES[name].auto).from_pretrained(folder / name, attn_implementation="eager")
    trace = trace_of(model, text)
    if name in SEQ2SEQ:
        found = network(
            input_ids=torch.tensor([trace.source.ids]), decoder_input_ids=torch.tensor([trace.read.ids]),
            output_attentions=True,
        )  # fmt: skip
        maps = {
            "encoder": found.encoder_attentions, "decoder": found.decoder_attentions, "cross": found.cross_attentions
        }  # fmt: skip
    else:
        kind = "encoder" if name in ENCODERS else "decoder"
        tokens = trace.source if kind == "encoder" else trace.read
        maps = {kind: network(input_ids=torch.tensor([tokens.ids]), output_attentions=True).attentions}
    return trace, {kind: torch.stack([layer[0] for layer in layers]) for kind, layers in maps.items()}


@every_family
def test_every_family_opens_and_its_maps_are_transformers(name, tmp_path):
    model = opened(name, tmp_path)
    kinds = {**dict.fromkeys(ENCODERS, Cloze), **dict.fromkeys(DECODERS, Generator), **dict.fromkeys(SEQ2SEQ, Runner)}
    assert type(model) is kinds[name]
    trace, expected = output_attentions(name, tmp_path, model, TEXT)
    assert set(trace.maps) == set(expected) <= model.card.supports
    for kind, weights in expected.items():
        found = torch.from_numpy(trace.maps[kind].weights.copy())
        torch.testing.assert_close(found, weights.float(), atol=SAME, rtol=SAME)
        assert len(set(trace.maps[kind].head_names)) == found.shape[1]


@every_family
def test_a_reading_of_every_family(name, tmp_path):
    """Weights recomputed in a fused forward are those of the trace."""
    from engine.models.taps import looking

    model = opened(name, tmp_path)
    reading, trace = reading_of(model, TEXT), trace_of(model, TEXT)
    assert reading.request.model == model.card.identity
    for kind, axes in reading.axes.items():
        seen: dict[str, torch.Tensor] = {}
        reading.run(looking({(kind, 1): lambda found, seen=seen: seen.update(weights=found.weights())}))
        weights = torch.from_numpy(trace.maps[kind].weights[1].copy())
        rows = slice(0, weights.shape[1])
        torch.testing.assert_close(seen["weights"][0][:, rows], weights, atol=SAME, rtol=SAME)
        assert axes.key.labels == trace.maps[kind].key_tokens.labels
        assert reading.key_heads[kind] <= reading.heads[kind]


def test_limits_come_from_positions_and_tokenizers(tmp_path):
    assert opened("roberta", tmp_path).card.longest == POSITIONS  # of its positions two stand for no token
    assert opened("gpt2", tmp_path).card.longest == POSITIONS
    assert opened("t5", tmp_path).card.longest == LONGEST == MOST  # relative positions have no end


def test_too_long_a_text_is_cut_and_said(tmp_path):
    for name in ("bert", "gpt2", "bart"):
        model = opened(name, tmp_path)
        with pytest.raises(SaccadeError, match="Shorten"):
            reading_of(model, f"{TEXT} " * 30)
        reading = reading_of(model, f"{TEXT} " * 30, cut=True)
        longest = max(len(axes.key) for axes in reading.axes.values())
        assert POSITIONS - 12 < longest <= POSITIONS
        assert f"takes {POSITIONS} at most: it was cut at its end" in reading.notes[0]


def test_an_encoder_without_a_head(tmp_path):
    """Its architecture says BertModel: random weights would be worse than no head."""
    from transformers import AutoModel

    folder = saved("bert", tmp_path / "bert")
    model = AutoModel.from_pretrained(folder, add_pooling_layer=False)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)
    found = open_model(Located("bert", folder, "huggingface"), "cpu")
    assert isinstance(found, Reader) and found.card.supports == {"encoder", "read"}
    assert any("pooler" in note for note in found.card.notes)
    trace = found.trace("The animal", "It was tired")
    assert trace.source.labels[0] == "[CLS]" and trace.source.labels.count("[SEP]") == 2
    assert trace.maps["encoder"].weights.sum(-1) == pytest.approx(1, abs=1e-5)


def test_half_precision_stays_as_it_is_stored(tmp_path):
    from transformers import AutoModelForCausalLM

    folder = saved("llama", tmp_path / "llama")
    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    model = open_model(Located("llama", folder, "huggingface"), "cpu")
    assert {parameter.dtype for parameter in model.model.parameters()} == {torch.bfloat16}
    assert trace_of(model, TEXT).maps["decoder"].weights.dtype == "float32"
    wide = open_model(Located("llama", folder, "huggingface"), "cpu", "float32")
    assert {parameter.dtype for parameter in wide.model.parameters()} == {torch.float32}
    with pytest.raises(Unsupported, match="no dtype 'int3'"):
        open_model(Located("llama", folder, "huggingface"), "cpu", "int3")


def test_identity_is_that_of_the_weights(tmp_path):
    first, again = opened("gpt2", tmp_path / "a"), opened("gpt2", tmp_path / "b")
    assert first.card.identity == again.card.identity and first.card.identity.startswith("gpt2@")
    folder = tmp_path / "b" / "gpt2"
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["transformer.ln_f.bias"] += 1
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    assert open_model(Located("gpt2", folder, "huggingface"), "cpu").card.identity != first.card.identity


def test_progress_is_told_and_may_end_the_load(tmp_path):
    located = Located("gpt2", saved("gpt2", tmp_path / "gpt2"), "huggingface")
    told: list[tuple[float, str]] = []
    open_model(located, "cpu", report=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[-1] == 1 and len({what for _, what in told}) >= 4

    def stop(share: float, what: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_model(located, "cpu", report=stop)
    assert isinstance(open_model(located, "cpu"), Generator)


# --- What is refused --------------------------------------------------------------------------------------------------


def test_missing_tensors_are_no_random_numbers(tmp_path):
    folder = saved("gpt2", tmp_path / "gpt2")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    del tensors["transformer.h.1.mlp.c_fc.weight"]
    safetensors.torch.save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"gpt2.*(lack|fewer|random)"):
        open_model(Located("gpt2", folder, "huggingface"), "cpu")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_embd": 40}, (WeightsDamaged, ConfigError)),
        ({"n_head": 5}, (ModelError, ConfigError)),
        ({"vocab_size": 7}, (ModelError, ConfigError)),
        ({"model_type": "no-such-model"}, Unsupported),
        ({"auto_map": {"AutoModel": "evil.Model"}, "model_type": "evil"}, Unsupported),
        ({"n_layer": 10**9}, (ModelError, ConfigError)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_that_does_not_fit(tmp_path, change, error):
    folder = saved("gpt2", tmp_path / "gpt2")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(error) as found:
        open_model(Located("gpt2", folder, "huggingface"), "cpu")
    assert str(found.value).endswith((".", ")")) and len(str(found.value)) < 700


def test_a_broken_tokenizer_is_a_sentence(tmp_path):
    folder = saved("gpt2", tmp_path / "gpt2")
    (folder / "tokenizer.json").write_text('{"version": "1.0", "model": {"type": "BPE", "vocab": 3}}')
    with pytest.raises(ModelError, match="tokenizer of gpt2 cannot be read"):
        open_model(Located("gpt2", folder, "huggingface"), "cpu")


def test_code_of_the_folder_never_runs(tmp_path):
    """A config that points at a file of its own is refused or read without it, whatever the file says."""
    folder, trace = saved("gpt2", tmp_path / "gpt2"), tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(trace)!r}, 'w').write('ran')\nclass Evil: pass\n")
    config = json.loads((folder / "config.json").read_text())
    for key in ("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"):
        config["auto_map"] = {key: "modeling_evil.Evil"}
        (folder / "config.json").write_text(json.dumps(config))
        try:
            open_model(Located("gpt2", folder, "huggingface"), "cpu")
        except ModelError as error:
            assert "code" in str(error)
        assert not trace.exists()


# --- A program's own use, and Saccade's own checkpoints ---------------------------------------------------------------


def test_a_program_opens_any_folder(tmp_path):
    folder = saved("gpt2", tmp_path / "my-gpt")
    assert engine.open_model(folder, "cpu").card.name == "my-gpt"
    with pytest.raises(UnknownModel):
        engine.open_model(tmp_path / "nothing", "cpu")


@pytest.mark.parametrize("name", ["en-fr", "gpt", "autocomplete-gru", "bert"])
def test_a_checkpoint_of_ours(name, tmp_path):
    """A copy of a shipped folder is opened under another name, with the same weights and abilities."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for file in MODELS[name].sha256:
        shutil.copy(MODELS[name].folder / file, folder)
    card = engine.open_model(folder, "cpu").card
    assert (card.name, card.family, card.supports) == ("mine", MODELS[name].family, MODELS[name].supports)
    assert card.identity.split("@")[1] == MODELS[name].identity.split("@")[1]


def test_a_checkpoint_without_its_vocabulary(tmp_path):
    for file in ("weights.safetensors", "config.json"):
        shutil.copy(MODELS["gpt"].folder / file, tmp_path)
    with pytest.raises((WeightsMissing, ModelError), match=r"tokenizer|vocabulary"):
        open_model(Located("mine", tmp_path, "saccade"), "cpu")
