"""A tiny model with seeded random weights of each family that is tested, in memory or saved with its tokenizer."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from tests.engine.huggingface import tiny

LAYERS, HEADS, WIDTH, INNER, POSITIONS, WINDOW = 3, 4, 32, 48, 64, 4
DEFAULT = 120  # ids of a model without a tokenizer
_SIZES = {
    "hidden_size": WIDTH,
    "intermediate_size": INNER,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "max_position_embeddings": POSITIONS,
}
_GROUPED = {**_SIZES, "num_key_value_heads": 2}
_SLIDING = {**_GROUPED, "head_dim": 8, "sliding_window": WINDOW}
_ALTERNATING = {**_SLIDING, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
_TWO_SIDED = {  # unequal depths and numbers of heads
    "d_model": WIDTH,
    "encoder_layers": 3,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": INNER,
    "decoder_ffn_dim": INNER,
    "max_position_embeddings": POSITIONS,
}


@dataclass(frozen=True)
class Family:
    """How a tiny model of a family is made.

    Attributes:
        config: name of the class of its configuration.
        auto: name of the class that makes a model of it.
        settings: of the configuration.
        tokenizer: writes tokenizer files of the family's kind into a folder.
        specials: ids of the configuration with that tokenizer.
    """

    config: str
    auto: str
    settings: Mapping[str, Any]
    tokenizer: Callable[[Path], Path]
    specials: Mapping[str, int | None]


def _roberta_files(folder: Path) -> Path:
    return tiny.byte_bpe(folder, roberta=True)


_GPT = {"bos_token_id": 0, "eos_token_id": 0, "pad_token_id": None}
_LLAMA = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
_BERT = {"pad_token_id": 0}
_ROBERTA = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
_T5 = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
_MASKED, _CAUSAL, _SEQ2SEQ = "AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"

ENCODERS = {
    "bert": Family("BertConfig", _MASKED, _SIZES, tiny.wordpiece, _BERT),
    "roberta": Family(
        "RobertaConfig", _MASKED, {**_SIZES, "max_position_embeddings": POSITIONS + 2}, _roberta_files, _ROBERTA
    ),
    "albert": Family("AlbertConfig", _MASKED, {**_SIZES, "embedding_size": 16}, tiny.wordpiece, _BERT),
    "distilbert": Family(
        "DistilBertConfig",
        _MASKED,
        {"dim": WIDTH, "hidden_dim": INNER, "n_layers": LAYERS, "n_heads": HEADS, "max_position_embeddings": POSITIONS},
        tiny.wordpiece,
        _BERT,
    ),
    "electra": Family("ElectraConfig", _MASKED, {**_SIZES, "embedding_size": 16}, tiny.wordpiece, _BERT),
    "modernbert": Family(
        "ModernBertConfig",
        _MASKED,
        {**_SIZES, "global_attn_every_n_layers": 3, "local_attention": 4, "cls_token_id": 2, "sep_token_id": 3},
        tiny.wordpiece,
        {**_BERT, "bos_token_id": 2, "eos_token_id": 3},
    ),
}
DECODERS = {
    "gpt2": Family(
        "GPT2Config",
        _CAUSAL,
        {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": POSITIONS},
        tiny.byte_bpe,
        _GPT,
    ),
    "gpt-neox": Family("GPTNeoXConfig", _CAUSAL, _SIZES, tiny.byte_bpe, _GPT),
    "llama": Family("LlamaConfig", _CAUSAL, _GROUPED, tiny.metaspace_bpe, _LLAMA),
    "qwen2": Family("Qwen2Config", _CAUSAL, _GROUPED, tiny.byte_bpe, _GPT),
    "qwen3": Family("Qwen3Config", _CAUSAL, {**_GROUPED, "head_dim": 16}, tiny.byte_bpe, _GPT),
    "gemma": Family("GemmaConfig", _CAUSAL, {**_GROUPED, "head_dim": 8}, tiny.metaspace_bpe, _LLAMA),
    "gemma2": Family("Gemma2Config", _CAUSAL, _SLIDING, tiny.metaspace_bpe, _LLAMA),
    "gemma3": Family("Gemma3TextConfig", _CAUSAL, _ALTERNATING, tiny.metaspace_bpe, _LLAMA),
    "mistral": Family("MistralConfig", _CAUSAL, _SLIDING, tiny.metaspace_bpe, _LLAMA),
    "gpt-oss": Family(
        "GptOssConfig",
        _CAUSAL,
        {**_ALTERNATING, "num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0}},
        tiny.byte_bpe,
        _GPT,
    ),
}  # fmt: skip
SEQ2SEQ = {
    "t5": Family(
        "T5Config",
        _SEQ2SEQ,
        {"d_model": WIDTH, "d_kv": 8, "d_ff": INNER, "num_layers": 3, "num_decoder_layers": 2, "num_heads": HEADS},
        tiny.unigram,
        _T5,
    ),
    "bart": Family(
        "BartConfig",
        _SEQ2SEQ,
        {**_TWO_SIDED, "scale_embedding": True},
        _roberta_files,
        {**_ROBERTA, "decoder_start_token_id": 2, "forced_eos_token_id": None},
    ),
    "marian": Family("MarianConfig", _SEQ2SEQ, {**_TWO_SIDED, "scale_embedding": True}, tiny.marian_files, {}),
}
FAMILIES = {**ENCODERS, **DECODERS, **SEQ2SEQ}


def network(family: Family, *, ids: int = DEFAULT, **specials: int | None) -> Any:
    """A model in memory: seeded, in evaluation mode, on transformers' own eager path.

    Args:
        family: of the model.
        ids: number of token ids.
        specials: of the configuration; by default those that fit any vocabulary.
    """
    import transformers

    given = specials or {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    if family.auto == _SEQ2SEQ:
        given = {"decoder_start_token_id": 0, **given}
    config = getattr(transformers, family.config)(vocab_size=ids, **{**family.settings, **given})
    torch.manual_seed(7)
    model = getattr(transformers, family.auto).from_config(config, attn_implementation="eager")
    for name, parameter in model.named_parameters():  # weights as a trained model's: not so small that all is even
        if parameter.ndim > 1 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.25)
    return model.eval()


def reaching(family: Family, positions: int) -> Family:
    """The same family with room for texts of so many tokens."""
    more = positions - POSITIONS
    return replace(
        family, settings={key: one + more if "position" in key else one for key, one in family.settings.items()}
    )


def saved(name: str, folder: Path) -> Path:
    """A folder with a model of a family and its tokenizer, as save_pretrained writes it."""
    shutil.copytree(_saved(name), folder, dirs_exist_ok=True)
    return folder


@cache
def _saved(name: str) -> Path:
    import tempfile

    family, folder = FAMILIES[name], Path(tempfile.mkdtemp(prefix="tiny-"))
    family.tokenizer(folder)
    ids, specials = tiny.vocabulary_size(folder), dict(family.specials)
    if name == "marian":
        specials = {"pad_token_id": ids - 1, "decoder_start_token_id": ids - 1, "eos_token_id": 0}
    network(family, ids=ids, **specials).save_pretrained(folder)
    return folder
