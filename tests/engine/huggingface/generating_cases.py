"""Tiny decoder-only transformers models of several families as Generators, beside transformers' own."""

from __future__ import annotations

from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

import torch
import transformers

from engine.generator import Generator
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.generating import generator_of_hosted
from engine.huggingface.hosted import hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.model_card import ModelCard
from tests.engine.huggingface.tiny import byte_bpe, metaspace_bpe

CONTEXT = 64
FAMILIES = ("gpt2", "llama", "qwen3", "mistral", "neox", "gemma")
SIZES: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "max_position_embeddings": CONTEXT,
}  # fmt: skip
SHARED = SIZES | {"num_key_value_heads": 2, "head_dim": 8}  # two query heads to a key head


class Made(NamedTuple):
    """A model as transformers has it, its tokenizer, and the generator around them."""

    model: Any
    tokenizer: Any
    generator: Generator


@cache
def tokenizer_of(kind: str) -> Any:
    write = metaspace_bpe if kind == "metaspace" else byte_bpe
    return transformers.AutoTokenizer.from_pretrained(write(Path(mkdtemp())))


def card(name: str = "somebody/tiny@main", longest: int = 0) -> ModelCard:
    return ModelCard(
        name=name, family="huggingface", title=name, summary="", sha256={"weights.safetensors": "a" * 64},
        supports=frozenset({"generate", "decoder", "read"}), longest=longest, data=(), licence="", limits=(),
        path=Path("/nowhere"),
    )  # fmt: skip


def config_of(family: str, size: int, begin: int | None, end: int) -> Any:
    common = {"vocab_size": size, "bos_token_id": begin, "eos_token_id": end, "pad_token_id": None}
    match family:
        case "gpt2":
            return transformers.GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=CONTEXT, **common)
        case "neox":
            return transformers.GPTNeoXConfig(**SIZES, **common)
        case "mistral":
            return transformers.MistralConfig(**SHARED, sliding_window=5, **common)
    kinds = {"llama": transformers.LlamaConfig, "qwen3": transformers.Qwen3Config, "gemma": transformers.GemmaConfig}
    return kinds[family](**SHARED, **common)


@cache
def made(family: str, extra: int = 0) -> Made:
    """Random weights, large enough that distributions are far from even; `extra` rows that no token has."""
    tokenizer = tokenizer_of("metaspace" if family in ("llama", "mistral", "gemma") else "bytes")
    config = config_of(family, len(tokenizer) + extra, tokenizer.bos_token_id, tokenizer.eos_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.data.mul_(6)
    reference = transformers.AutoModelForCausalLM.from_config(deepcopy(config)).eval()
    reference.set_attn_implementation("eager")
    reference.load_state_dict(model.state_dict())
    ready = HostedDecoder(hosted(model, "decoder", CONTEXT))
    words = HostedTokenizer(
        tokenizer, start=tokenizer.bos_token_id, end=tokenizer.eos_token_id, pad=-1, size=config.vocab_size
    )
    return Made(reference, tokenizer, generator_of_hosted(card(), ready, words, "cpu"))
