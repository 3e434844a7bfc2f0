"""Models small enough to make while testing, ready to continue texts: of random weights, of known odds, of counts."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from engine.generation import generator_of
from engine.generator import Generator
from engine.model_card import ModelCard
from engine.models.char_lm import CharLM, CharLMConfig
from engine.models.gpt import GPT, GPTConfig
from engine.prose_tokens import Alphabet, ProseSubwords
from engine.text import Subwords
from engine.training.language.prepared import train_subwords
from engine.training.trigram import count_text

CONTEXT = 16
STORY = (
    "The cat sat on the mat. The cat saw the dog, and the dog saw the cat. A dog ran to the sea. The sun was on the "
    "sea and the cat was on the mat.\nThe dog sat on the cat! The cat ran. It was a long day, and the day was long. "
    "The hen sat on a hat in the sun.\nA hen ran to the dog. The dog was on the mat, and the hen was in the sun. Was "
    "it a long day? It was. The cat saw the sea, the sun and the day. The end of the day was the end of the cat."
)
ALPHABET = "\n" + "".join(sorted(set(STORY) - {"\n"}))


def card(name: str, *, context: int = 0) -> ModelCard:
    return ModelCard(
        name=name, family=name, title=name, summary="", sha256={"weights.safetensors": "1" * 64},  # type: ignore[arg-type]
        supports=frozenset({"generate"}), longest=context, data=(), licence="Apache-2.0", limits=(),
    )  # fmt: skip


@lru_cache
def subwords() -> ProseSubwords:
    return ProseSubwords(Subwords(train_subwords([STORY], 80)))


@lru_cache
def tiny_gpt(context: int = CONTEXT, seed: int = 0) -> Generator:
    """Random weights, large enough that its distributions are far from even."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = GPTConfig(len(subwords()), width=32, heads=4, layers=3, feedforward=48, context=context)
        model = GPT(config).eval().requires_grad_(False)
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(8)
    return generator_of(card("gpt", context=context), model, subwords())


@lru_cache
def tiny_char_lm() -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CharLM(CharLMConfig(len(ALPHABET) + 1, embedding=8, width=16, layers=2)).eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.mul_(3)
    return generator_of(card("char-lm"), model, Alphabet(ALPHABET))


@lru_cache
def tiny_trigram() -> Generator:
    words, model = count_text(STORY)
    return generator_of(card("trigram"), model, words)


def known_odds(odds: dict[str, float], unknown: float) -> Generator:
    """A network over characters that gives each of them the same probability whatever stands before.

    Args:
        odds: of each character, the line break among them.
        unknown: of any other.
    """
    assert math.isclose(sum(odds.values()) + unknown, 1)
    model = CharLM(CharLMConfig(len(odds) + 1, embedding=2, width=2, layers=1)).eval().requires_grad_(False)
    model.output.weight.zero_()
    model.output.bias.copy_(torch.tensor([unknown, *odds.values()]).log())
    return generator_of(card("char-lm"), model, Alphabet("".join(odds)))


GENERATORS = {"gpt": tiny_gpt, "char-lm": tiny_char_lm, "trigram": tiny_trigram}
