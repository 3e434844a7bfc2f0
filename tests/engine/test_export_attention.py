"""The snippet of docs/uploaded-attention.md, run as it stands there, on tiny models of each family."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.uploads.files import can_play, read_upload
from tests.engine.huggingface import tiny

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = "The old man sat by the river. 🙂"


def snippet() -> str:
    """The longest Python block of the document."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "uploaded-attention.md").read_text("utf-8"), re.DOTALL)
    return max(blocks, key=len)


def exported(path: Path, *arguments: Any):
    """The trace of the file that the snippet writes."""
    names: dict[str, Any] = {}
    exec(compile(snippet(), "docs/uploaded-attention.md", "exec"), names)
    names["export_attention"](path, *arguments)
    return read_upload({path.name: path.read_bytes()})


def test_the_document_and_the_page_show_the_same():
    assert snippet() == (DOCS / "export_attention.py").read_text("utf-8")


def test_an_encoder(tmp_path):
    from transformers import AutoTokenizer, BertConfig, BertModel

    tokenizer = AutoTokenizer.from_pretrained(tiny.wordpiece(tmp_path))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=32
    )
    model = BertModel(config)
    trace = exported(tmp_path / "a.npz", model, tokenizer, TEXT)
    inputs = tokenizer(TEXT, return_tensors="pt")
    expected = torch.stack(model(**inputs, output_attentions=True).attentions)[:, 0].detach().numpy()
    np.testing.assert_array_equal(trace.maps["encoder"].weights, expected)
    assert trace.request.text == TEXT and trace.source.special[0] and trace.source.special[-1]
    assert trace.notes == () and "river" in {trace.source.text[a:b] for a, b in _words(trace.source)}


def _words(tokens):
    found: dict[int, tuple[int, int]] = {}
    for word, (a, b) in zip(tokens.words, tokens.spans, strict=True):
        found[word] = (min(found.get(word, (a, b))[0], a), b)
    return found.values()


@pytest.mark.parametrize("headless", [False, True])
def test_a_decoder_with_shared_keys(tmp_path, headless):
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM, LlamaModel

    tokenizer = AutoTokenizer.from_pretrained(tiny.byte_bpe(tmp_path))
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=48,
    )  # fmt: skip
    model = (LlamaModel if headless else LlamaForCausalLM)(config)
    trace = exported(tmp_path / "a.npz", model, tokenizer, TEXT)
    inputs = tokenizer(TEXT, return_tensors="pt")
    out = model(**inputs, output_attentions=True)
    expected = torch.stack(out.attentions)[:, 0].detach().numpy()
    np.testing.assert_array_equal(trace.maps["decoder"].weights, expected)
    assert can_play(trace) and trace.read.text == TEXT and trace.predicted.labels[:-1] == trace.read.labels[1:]
    if headless:
        assert np.isnan(trace.token_logprobs).all() and trace.predicted.labels[-1] == "?"
        return
    logprobs = out.logits[0, :-1].log_softmax(-1).gather(-1, inputs["input_ids"][0, 1:, None])[:, 0]
    np.testing.assert_allclose(trace.token_logprobs[:-1], logprobs.detach().numpy(), rtol=1e-5)
    assert trace.notes == ()


@pytest.mark.parametrize("target", [None, "Le vieil homme"])
def test_an_encoder_decoder_of_unequal_depths(tmp_path, target):
    from transformers import AutoTokenizer, BartConfig, BartForConditionalGeneration

    tokenizer = AutoTokenizer.from_pretrained(tiny.byte_bpe(tmp_path, roberta=True))
    torch.manual_seed(0)
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = BartConfig(
        vocab_size=len(tokenizer), d_model=24, encoder_layers=3, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=128,
        decoder_start_token_id=tokenizer.eos_token_id, forced_eos_token_id=tokenizer.eos_token_id, **special,
    )  # fmt: skip
    model = BartForConditionalGeneration(config)
    trace = exported(tmp_path / "a.npz", model, tokenizer, TEXT, target)
    shapes = {kind: one.weights.shape[:2] for kind, one in trace.maps.items()}
    assert shapes == {"encoder": (3, 4), "decoder": (2, 2), "cross": (2, 2)}
    assert trace.read.labels[1:] == trace.predicted.labels[:-1] and can_play(trace)
    assert trace.predicted.labels[-1] == "</s>" and np.isfinite(trace.token_logprobs).all()
    if target is not None:
        assert trace.translation == target
        inputs = tokenizer(TEXT, return_tensors="pt")
        labels = tokenizer(target, return_tensors="pt")["input_ids"]
        read = torch.cat([torch.tensor([[tokenizer.eos_token_id]]), labels[:, :-1]], 1)
        out = model(**inputs, decoder_input_ids=read, output_attentions=True)
        expected = torch.stack(out.cross_attentions)[:, 0].detach().numpy()
        np.testing.assert_array_equal(trace.maps["cross"].weights, expected)
