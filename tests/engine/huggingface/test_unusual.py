"""Models that are not quite like the others: opened with right numbers, or refused in a sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from engine.decoding.options import BeamOptions
from engine.decoding.tree import SearchRequest, search
from engine.errors import ConfigError, InputTooLong, ModelError, SaccadeError, Unsupported
from engine.huggingface.checks import check_folder
from engine.huggingface.estimate import estimate
from engine.huggingface.loading import open_model
from engine.reader import Reader
from engine.reading import reading_of, trace_of
from engine.runner import Runner
from tests.engine.huggingface import tiny
from tests.engine.huggingface.families import saved

TEXT = "The animal didn't cross the street because it was too tired."
SAME = 1e-5
ONE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
TWO = {
    "d_model": 32,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
}
T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 48,
    "num_layers": 3,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "pad_token_id": 0,
    "eos_token_id": 1,
}


def written(config: str, network: str, tokenizer: Callable[[Path], Any], folder: Path, **settings: Any) -> Path:
    """A folder with a model of some class and random weights."""
    tokenizer(folder)
    made = getattr(transformers, config)(**{"vocab_size": tiny.vocabulary_size(folder), **settings})
    torch.manual_seed(7)
    model = getattr(transformers, network)(made)
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    model.save_pretrained(folder)
    return folder


def changed(folder: Path, **settings: Any) -> Path:
    """The folder with other settings, in both of its files; None takes one out."""
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        if path.is_file():
            now = json.loads(path.read_text()) | settings
            path.write_text(json.dumps({key: value for key, value in now.items() if value is not None}))
    return folder


# ---- masks ----


@torch.inference_mode()
def test_a_model_that_the_library_runs_on_eager_attention_alone_is_not_taken_for_causal(tmp_path: Path) -> None:
    folder = written("SplinterConfig", "SplinterForQuestionAnswering", tiny.wordpiece, tmp_path, pad_token_id=0, **ONE)
    model = open_model(folder, "cpu")
    assert isinstance(model, Reader)
    trace = model.trace(TEXT)
    eager = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
    expected = eager(torch.tensor([trace.source.ids]), output_attentions=True).attentions
    np.testing.assert_allclose(trace.maps["encoder"].weights, torch.cat(expected).numpy(), atol=SAME)
    assert (trace.maps["encoder"].weights[..., 0, 1:] > 0).all()


def test_what_looks_elsewhere_than_the_library_tells_is_refused(tmp_path: Path) -> None:
    folder = written(
        "LongT5Config", "LongT5ForConditionalGeneration", tiny.unigram, tmp_path, decoder_start_token_id=0, **T5
    )
    with pytest.raises(Unsupported, match="does not go through transformers' interface"):
        open_model(folder, "cpu")


def test_a_decoder_with_a_state_beside_its_attention_is_refused(tmp_path: Path) -> None:
    layers = {"layer_types": ["conv", "full_attention", "conv"], "num_key_value_heads": 2, "pad_token_id": None}
    folder = written("Lfm2Config", "Lfm2ForCausalLM", tiny.byte_bpe, tmp_path, bos_token_id=0, eos_token_id=0,
                     **{**ONE, **layers})  # fmt: skip
    with pytest.raises(Unsupported, match=r"cannot be read token by token.*upload the file"):
        open_model(folder, "cpu")


# ---- what a decoder reads first ----


def bart(folder: Path, **others: Any) -> Runner:
    """A BART, with other settings."""
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    path = written("BartConfig", "BartForConditionalGeneration", lambda at: tiny.byte_bpe(at, roberta=True), folder,
                   **TWO, **ids)  # fmt: skip
    model = open_model(changed(path, **others), "cpu")
    assert isinstance(model, Runner)
    return model


def test_a_forced_output_is_read_as_in_training(tmp_path: Path) -> None:
    model = bart(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    labels = tokenizer(text_target="The cat sat.", return_tensors="pt")["input_ids"]
    network: Any = model.model.hosted.model  # type: ignore[union-attr]
    expected = network.prepare_decoder_input_ids_from_labels(labels=labels)
    trace = model.trace(TEXT, "The cat sat.")
    assert trace.read.ids == tuple(expected[0].tolist()) and trace.read.ids[:2] == (2, 0)
    assert trace.predicted.ids == tuple(labels[0].tolist()) and trace.translation == "The cat sat."


@torch.inference_mode()
def test_an_output_begins_as_the_settings_force_it(tmp_path: Path) -> None:
    model = bart(tmp_path, forced_bos_token_id=0)
    source = model.encode(TEXT)
    network = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    banned = [[token] for token in model.vocabulary.banned]
    options = {"max_new_tokens": 12, "do_sample": False, "bad_words_ids": banned, "forced_eos_token_id": None}
    given = network.generate(torch.tensor([source.ids]), num_beams=1, **options)[0].tolist()
    assert given[:2] == [2, 0]
    found = model.trace(TEXT).predicted.ids
    assert list(found[:12]) == given[1:13][: len(found)]
    beam = network.generate(torch.tensor([source.ids]), num_beams=3, **options)[0].tolist()
    tree = search(model, SearchRequest(model.card.identity, TEXT, BeamOptions(beams=3, max_length=12)))
    best = tuple(tree.nodes[node].token for node in tree.path(tree.hypotheses[0].node))
    assert best == tuple(beam[1 : 1 + len(best)])


def test_without_its_own_first_id_the_start_of_texts_stands_in_or_it_is_asked_for(tmp_path: Path) -> None:
    t5 = changed(saved("t5", tmp_path / "bos"), decoder_start_token_id=None, bos_token_id=2)
    model: Any = open_model(t5, "cpu")
    assert model.tokenizer.start == 2
    t5 = changed(saved("t5", tmp_path / "t5"), decoder_start_token_id=None, bos_token_id=None)
    with pytest.raises(ConfigError, match="names no decoder_start_token_id"):
        open_model(t5, "cpu")


# ---- padding ----


def test_padding_with_the_end_of_a_text_leaves_the_texts_own(tmp_path: Path) -> None:
    folder = changed(saved("marian", tmp_path / "m"), pad_token_id=0, decoder_start_token_id=0)
    model = open_model(folder, "cpu")
    assert isinstance(model, Runner) and model.tokenizer.pad == model.tokenizer.end == 0
    long = "The animal didn't cross the street."
    assert model.translate(["It was late.", long]) == [model.translate([text])[0] for text in ("It was late.", long)]


def test_a_translator_without_padding_takes_several_texts(tmp_path: Path) -> None:
    folder = changed(saved("t5", tmp_path / "m"), pad_token_id=None)
    tokenizer = folder / "tokenizer_config.json"
    tokenizer.write_text(json.dumps({**json.loads(tokenizer.read_text()), "pad_token": None}))
    model = open_model(folder, "cpu")
    assert isinstance(model, Runner)
    texts = ["It was late.", "The animal didn't cross the street."]
    assert model.translate(texts) == [model.translate([text])[0] for text in texts]


def test_a_vocabulary_for_each_side(tmp_path: Path) -> None:
    tiny.marian_files(tmp_path, separate=True)
    source, target = (len(json.loads((tmp_path / name).read_text())) for name in ("vocab.json", "target_vocab.json"))
    config = transformers.MarianConfig(
        vocab_size=source, decoder_vocab_size=target, share_encoder_decoder_embeddings=False,
        pad_token_id=target - 1, decoder_start_token_id=target - 1, eos_token_id=0, **TWO,
    )  # fmt: skip
    torch.manual_seed(7)
    transformers.MarianMTModel(config).save_pretrained(tmp_path)
    model = open_model(tmp_path, "cpu")
    assert isinstance(model, Runner) and source != target
    assert len(model.tokenizer) == target and max(model.tokenizer.banned) < target
    assert {*model.trace(TEXT).maps} == {"encoder", "decoder", "cross"}
    assert model.trace(TEXT, "Il était tard.").predicted.ids[-1] == 0


# ---- what a checkpoint was saved with ----


def test_a_discriminator_is_an_encoder(tmp_path: Path) -> None:
    folder = written("ElectraConfig", "ElectraForPreTraining", tiny.wordpiece, tmp_path, embedding_size=16, **ONE)
    assert "cloze" not in estimate(check_folder(folder), "cpu").supports
    assert isinstance(open_model(folder, "cpu"), Reader)


def test_the_encoder_of_a_translator(tmp_path: Path) -> None:
    folder = written("T5Config", "T5EncoderModel", tiny.unigram, tmp_path, **T5)
    assert estimate(check_folder(folder), "cpu").kind == "encoder"
    model = open_model(folder, "cpu")
    assert isinstance(model, Reader) and model.trace(TEXT).maps["encoder"].layers == 3


def test_a_masked_language_model_whose_tokenizer_has_no_mask_reads(tmp_path: Path) -> None:
    folder = saved("bert", tmp_path / "m")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mask_token": None}))
    model = open_model(folder, "cpu")
    assert isinstance(model, Reader) and model.trace(TEXT).maps["encoder"].layers == 3


def test_of_several_ends_the_tokenizers_own_is_taken(tmp_path: Path) -> None:
    folder = saved("llama", tmp_path / "m")
    end = transformers.AutoTokenizer.from_pretrained(folder).eos_token_id
    model: Any = open_model(changed(folder, eos_token_id=[17, end]), "cpu")
    assert model.end == end


# ---- settings and files that lie ----


@pytest.mark.parametrize(
    "settings",
    [
        {"architectures": 3},
        {"architectures": [3]},
        {"eos_token_id": "x"},
        {"chunk_size_feed_forward": "x"},
        {"chunk_size_feed_forward": 2**31},
    ],
)
def test_settings_that_no_network_can_use_are_a_sentence(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SaccadeError) as refused:
        open_model(changed(saved("bert", tmp_path / "m"), **settings), "cpu")
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 500


@pytest.mark.parametrize("length", ["x", []])
def test_a_tokenizer_with_an_impossible_limit_is_a_sentence(tmp_path: Path, length: Any) -> None:
    folder = saved("bert", tmp_path / "m")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": length}))
    with pytest.raises(SaccadeError):
        open_model(folder, "cpu")


def test_no_end_at_all_is_no_end(tmp_path: Path) -> None:
    model: Any = open_model(changed(saved("gpt2", tmp_path / "m"), eos_token_id=[]), "cpu")
    assert trace_of(model, TEXT).maps


def test_a_tokenizer_that_panics_is_a_sentence(tmp_path: Path) -> None:
    folder = saved("bert", tmp_path / "m")
    path = folder / "tokenizer.json"
    backtracks = {"type": "Replace", "pattern": {"Regex": "(a+)+$"}, "content": ""}
    path.write_text(json.dumps({**json.loads(path.read_text()), "normalizer": backtracks}))
    model = open_model(folder, "cpu")
    with pytest.raises(ModelError, match="tokenizer fails at this text"):
        trace_of(model, "a" * 40 + "!")


def test_tokens_that_the_weights_have_no_vector_for_are_named(tmp_path: Path) -> None:
    folder = saved("bert", tmp_path / "m")
    path = folder / "tokenizer.json"
    now = json.loads(path.read_text())
    now["model"]["vocab"]["street"] = 5000
    path.write_text(json.dumps(now))
    model = open_model(folder, "cpu")
    assert trace_of(model, "The animal was tired.").maps
    with pytest.raises(Unsupported, match=r"“street” of this text.*no vector"):
        trace_of(model, TEXT)


def test_a_first_token_that_the_weights_have_no_vector_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no vector for"):
        open_model(changed(saved("t5", tmp_path / "m"), decoder_start_token_id=99_999), "cpu")


@pytest.mark.parametrize("family", ["bert", "gpt2", "t5"])
def test_weights_that_are_no_numbers_are_said(tmp_path: Path, family: str) -> None:
    folder = saved(family, tmp_path / "m")
    path = folder / "model.safetensors"
    tensors = {name: torch.full_like(value, torch.nan) for name, value in safetensors.torch.load_file(path).items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt"})
    model = open_model(folder, "cpu")
    with pytest.raises(Unsupported, match="not finite numbers"):
        trace_of(model, TEXT)


def test_a_second_text_that_is_too_long_alone_ends(tmp_path: Path) -> None:
    model = open_model(saved("bert", tmp_path / "m"), "cpu")
    with pytest.raises(InputTooLong):
        reading_of(model, "Short one.", "a " * 200, cut=True)
