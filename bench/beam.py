"""Beam search with its whole tree and every cross map, beside transformers' generate, which keeps neither."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bench.capture import SHAPE, uneven
from bench.clock import Spread, interleave, one_thread, percentile, ratio
from bench.marian import copy_attention, copy_encoder, marian
from bench.report import Cell, Goal, Report
from bench.sentences import SENTENCES
from engine.decoding.beam import Searched, beam_search
from engine.decoding.options import BeamOptions
from engine.decoding.search import Vocabulary
from engine.decoding.tree import SearchRequest, search
from engine.models.transformer import DecoderLayer, Transformer
from engine.runner import Runner, load
from engine.types import BeamTree

BEAMS, STEPS, SOURCE = 5, 30, 30
MOST = 0.92  # of the time of generate
LONGEST = 0.5  # seconds, a sentence of twenty words
SAME = 1e-4  # nats, the sum of thirty log-probabilities
OURS, SEARCH, PEER = "Saccade, tree and cross maps", "Saccade, one sentence", "transformers generate, neither"
_METHOD = (
    "k = {beams}. Above: 6 + 6 layers, 8 heads, width 512, feed-forward 2048, 8,000 pieces, {source} source tokens, "
    "float32, the same random weights on both sides, `</s>` forbidden, so that both take exactly {steps} steps. "
    "Saccade records every expansion, its log-probability, the likely next tokens and where each live prefix looks; "
    "transformers (sdpa) keeps neither scores nor maps. Both must find the same best output. CPU milliseconds, ratio "
    "within each of {rounds} interleaved rounds: median (quartiles). Below: `{model}`, {count} sentences of 20 words, "
    "from the text to the finished tree, its greedy output included; wall clock."
)


@dataclass(frozen=True, slots=True)
class Pair:
    """The same weights on both sides, and a source.

    Attributes:
        ours: our model.
        theirs: transformers' Marian.
        source: ids.
        beams: k.
        steps: taken by both.
    """

    ours: Transformer
    theirs: Any
    source: tuple[int, ...]
    beams: int = BEAMS
    steps: int = STEPS


def beam(rounds: int = 9, model: str = "en-fr") -> Report:
    """Run it: about a minute."""
    one_thread()
    torch.manual_seed(0)
    ours = sharp(Transformer(SHAPE).eval().requires_grad_(False))
    theirs = marian(SHAPE, "sdpa")
    copy_model(ours, theirs)
    pair = Pair(ours, theirs, tuple(torch.randint(4, SHAPE.vocabulary, (SOURCE,)).tolist()))
    apart = difference(pair)
    runs: dict[str, Callable[[], object]] = {OURS: lambda: own(pair), PEER: lambda: generate(pair)}
    times = interleave(runs, rounds)
    runner = load(model, "cpu")
    walls, trees = sentences(runner, 3)
    return report(times, apart, walls, trees, rounds, runner.card.identity)


def sharp(model: Transformer) -> Transformer:
    """Attention and outputs of trained size: of Xavier's, all next tokens are about as likely, and no gap decides."""
    uneven(model)
    with torch.no_grad():
        model.embedding.tokens.weight.mul_(3)
    return model


@torch.no_grad()
def copy_model(ours: Transformer, theirs: Any) -> None:
    """Put all our weights into Marian's; the bias of the logits too, where there is one."""
    copy_encoder(ours, theirs)
    for our, their in zip(ours.decoder, theirs.model.decoder.layers, strict=True):
        assert isinstance(our, DecoderLayer)
        copy_attention(our.attention, their.self_attn)
        copy_attention(our.cross, their.encoder_attn)
        their.self_attn_layer_norm.load_state_dict(our.attention_norm.state_dict())
        their.encoder_attn_layer_norm.load_state_dict(our.cross_norm.state_dict())
        their.fc1.load_state_dict(our.feedforward.up.state_dict())
        their.fc2.load_state_dict(our.feedforward.down.state_dict())
        their.final_layer_norm.load_state_dict(our.feedforward_norm.state_dict())
    if ours.output_bias is not None:
        theirs.final_logits_bias.copy_(ours.output_bias[None])


def own(pair: Pair) -> Searched:
    """Our search, with its whole record."""
    config = pair.ours.config
    vocabulary = Vocabulary(config.pad, config.start, config.end, banned=forbidden(pair))
    options = BeamOptions(beams=pair.beams, max_length=pair.steps)
    return beam_search(pair.ours, [pair.source], vocabulary, options, "cpu")[0]


def generate(pair: Pair, **more: Any) -> Any:
    """Transformers' search; `more` goes to generate."""
    source = torch.tensor([pair.source])
    return pair.theirs.generate(
        source,
        attention_mask=torch.ones_like(source),
        num_beams=pair.beams,
        do_sample=False,
        max_new_tokens=pair.steps,
        early_stopping=False,
        length_penalty=1.0,
        suppress_tokens=list(forbidden(pair)),
        **more,
    )


def forbidden(pair: Pair) -> tuple[int, ...]:
    """What neither side may say: the special tokens, </s> among them."""
    config = pair.ours.config
    return (config.pad, config.unknown, config.start, config.end)


def difference(pair: Pair) -> float:
    """|ours − transformers'| score of the best output, which must be the same tokens on both sides."""
    found, made = own(pair), generate(pair, return_dict_in_generate=True, output_scores=True)
    best = found.found[0]
    assert len(found.cross) == pair.steps == best.length, "both must take as many steps"
    assert [pair.ours.config.start, *found.tokens(best.node)] == made.sequences[0].tolist(), "not the same output"
    return abs(best.final - float(made.sequences_scores[0]))


def sentences(runner: Runner, rounds: int) -> tuple[list[float], list[BeamTree]]:
    """Wall-clock seconds of each sentence in each round, and the trees of one round."""
    walls, trees = [], []
    for number in range(-1, rounds):
        trees = []
        for sentence in SENTENCES:
            request = SearchRequest(runner.card.identity, sentence, BeamOptions(beams=BEAMS))
            started = time.perf_counter()
            trees.append(search(runner, request))
            if number >= 0:
                walls.append(time.perf_counter() - started)
    return walls, trees


def report(
    times: dict[str, list[float]],
    apart: float,
    walls: Sequence[float],
    trees: Sequence[BeamTree],
    rounds: int,
    identity: str,
) -> Report:
    """Rows and goals."""
    rows: list[dict[str, Cell]] = [
        {
            "what": name,
            "ms": Spread.of(spent).show(0),
            "÷ transformers": ratio(times, name, PEER).show(3) if name != PEER else "1",
            "steps a second": round(STEPS * 1000 / Spread.of(spent).median, 1),
        }
        for name, spent in times.items()
    ]
    steps = sum(len(tree.cross) for tree in trees) / len(trees)
    middle = percentile(walls, 0.5)
    rows.append(
        {
            "what": f"{SEARCH}: {steps:.0f} steps, p50 (p95)",
            "ms": f"{middle * 1000:.0f} ({percentile(walls, 0.95) * 1000:.0f})",
            "÷ transformers": "",
            "steps a second": round(steps / middle, 1),
        }
    )
    goals = [
        Goal("tree and cross maps ÷ generate", ratio(times, OURS, PEER).median, MOST),
        Goal("one sentence of 20 words, p50, seconds", middle, LONGEST),
        Goal("difference of the best output's score, nats", apart, SAME),
    ]
    method = _METHOD.format(
        beams=BEAMS, source=SOURCE, steps=STEPS, rounds=rounds, model=identity, count=len(SENTENCES)
    )
    return Report("Beam search", method, rows, goals, {"cpu_ms": times, "wall_s": walls, "difference": apart})
