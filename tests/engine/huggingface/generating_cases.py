"""Tiny decoder-only transformers models of several families as Generators, beside transformers' own."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from transformers import AutoTokenizer

from engine.generator import Generator
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.generating import generator_of_hosted
from engine.huggingface.hosted import hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.model_card import ModelCard
from tests.engine.huggingface.families import DECODERS, POSITIONS, network

CONTEXT = POSITIONS
FAMILIES = ("gpt2", "llama", "qwen3", "mistral", "gpt-neox", "gemma")


class Made(NamedTuple):
    """A model as transformers has it, its tokenizer, and the generator around them."""

    model: Any
    tokenizer: Any
    generator: Generator


def card(name: str = "somebody/tiny@main", longest: int = 0) -> ModelCard:
    return ModelCard(
        name=name, family="huggingface", title=name, summary="", sha256={"weights.safetensors": "a" * 64},
        supports=frozenset({"generate", "decoder", "read"}), longest=longest, data=(), licence="", limits=(),
        path=Path("/nowhere"),
    )  # fmt: skip


@cache
def made(family: str, extra: int = 0) -> Made:
    """A model of a family, with `extra` rows that no token has; the generator is around another with its weights."""
    kind = DECODERS[family]
    tokenizer = AutoTokenizer.from_pretrained(kind.tokenizer(Path(mkdtemp())))
    reference, model = (network(kind, ids=len(tokenizer) + extra, **kind.specials) for _ in range(2))
    ready = HostedDecoder(hosted(model, "decoder", CONTEXT))
    words = HostedTokenizer(
        tokenizer,
        start=tokenizer.bos_token_id,
        end=tokenizer.eos_token_id,
        pad=-1,
        size=reference.config.vocab_size,
    )
    return Made(reference, tokenizer, generator_of_hosted(card(), ready, words, "cpu"))
