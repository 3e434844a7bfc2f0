"""How fast language models generate on one thread, beside transformers' GPT-2 with the same weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from bench.clock import Spread, interleave, one_thread, ratio
from bench.report import Cell, Goal, Report
from engine.decoding.options import SampleOptions
from engine.generation import load_generator
from engine.models.gpt import GPT
from engine.models.transformer import EncoderLayer

TOKENS = 200
MOST = 1000 / 60  # milliseconds a token
PROMPT = "It was a dark and stormy night, and the rain fell upon the old house by the sea."
MODELS = ("trigram", "char-lm", "gpt")
PEER = "transformers GPT-2, same weights"
_METHOD = (
    f"CPU milliseconds a token while {TOKENS} tokens are drawn (temperature 1, top-k 50) after a prompt of a sentence, "
    "batch 1, float32, one thread, everything that a page gets included; median (quartiles) of {rounds} interleaved "
    "rounds. The peer is `generate` of transformers with its cache, with gpt's own weights copied into its GPT-2."
)


def generation(rounds: int = 5) -> Report:
    """Run it: about a minute."""
    one_thread()
    options = SampleOptions(samples=1, top_k=50, max_length=TOKENS)
    loaded = {name: load_generator(name, "cpu") for name in MODELS}
    model = loaded["gpt"].model
    assert isinstance(model, GPT)
    theirs = gpt2(model)
    ids = torch.tensor([loaded["gpt"].prompt(PROMPT).tokens.ids])

    def ours(name: str) -> Callable[[], object]:
        return lambda: len(list(loaded[name].stream(PROMPT, (), options)))

    def peer() -> object:
        torch.manual_seed(0)
        return theirs.generate(
            ids, do_sample=True, top_k=50, max_new_tokens=TOKENS, min_new_tokens=TOKENS, pad_token_id=0
        )

    drawn = {name: len(list(loaded[name].stream(PROMPT, (), options))) for name in MODELS}
    with torch.inference_mode():
        times = interleave({**{name: ours(name) for name in MODELS}, PEER: peer}, rounds, warmup=1)
    each = {name: [ms / drawn.get(name, TOKENS) for ms in spent] for name, spent in times.items()}
    rows: list[dict[str, Cell]] = [
        {
            "model": name,
            "ms a token": Spread.of(spent).show(2),
            "tokens a second": round(1000 / Spread.of(spent).median),
        }
        for name, spent in each.items()
    ]
    goals = [Goal(f"{name}: ms a token", Spread.of(each[name]).median, MOST) for name in MODELS]
    goals.append(Goal("gpt against transformers' GPT-2, time a token", ratio(each, "gpt", PEER).median, 1.0))
    return Report("Generation, token by token", _METHOD.format(rounds=rounds), rows, goals, {"ms a token": each})


def gpt2(model: GPT) -> Any:
    """Transformers' GPT-2 of our shape, with our weights in it."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = model.config
    shape = GPT2Config(
        vocab_size=config.vocabulary, n_positions=config.context, n_embd=config.width, n_layer=config.layers,
        n_head=config.heads, n_inner=config.feedforward, activation_function="gelu_new", bos_token_id=2, eos_token_id=3,
    )  # fmt: skip
    theirs = GPT2LMHeadModel(shape).eval().requires_grad_(False)
    body = theirs.transformer
    with torch.no_grad():
        body.wte.weight.copy_(model.embedding.weight)
        body.wpe.weight.copy_(model.positions)
        body.ln_f.load_state_dict(model.norm.state_dict())
        for our, their in zip(model.layers, body.h, strict=True):
            assert isinstance(our, EncoderLayer)
            their.ln_1.load_state_dict(our.attention_norm.state_dict())
            their.ln_2.load_state_dict(our.feedforward_norm.state_dict())
            pairs = (
                (our.attention.in_proj, their.attn.c_attn), (our.attention.out_proj, their.attn.c_proj),
                (our.feedforward.up, their.mlp.c_fc), (our.feedforward.down, their.mlp.c_proj),
            )  # fmt: skip
            for linear, convolution in pairs:  # theirs keeps matrices transposed
                convolution.weight.copy_(linear.weight.T)
                convolution.bias.copy_(linear.bias)
    return theirs
