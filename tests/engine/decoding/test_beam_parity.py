"""Beam search finds what transformers' generate finds: the same outputs, scores and places, from the same weights."""

from __future__ import annotations

import math
import re
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import beam as bench
from bench.marian import like_marian, marian
from engine.decoding.beam import Searched, beam_search
from engine.decoding.options import BeamOptions, Stopping
from engine.decoding.search import Vocabulary
from engine.models.transformer import Transformer, TransformerConfig

CONFIG = like_marian(
    TransformerConfig(
        vocabulary=29, width=16, heads=4, encoder_layers=2, decoder_layers=2, feedforward=24, max_length=24,
        output_bias=True,
    )
)  # fmt: skip
BANNED = (CONFIG.pad, CONFIG.unknown, CONFIG.start)
VOCABULARY = Vocabulary(CONFIG.pad, CONFIG.start, CONFIG.end, BANNED)
EARLY: dict[Stopping, bool | str] = {
    "when k are finished": True,
    "when no better one is likely": False,
    "never early": "never",
}
ENDS = (0.5, 2.0, 3.5)  # added to the logit of </s>: outputs that run into the limit, some of both, and short ones
# Up to ten log-probabilities, each a few roundings of 2^-24 of logits around 10.
SAME = 1e-4
DECIDES = 1e-5  # candidates closer than this may change places


@cache
def models(ends: float) -> tuple[Transformer, Any]:
    """Both sides with the same random weights, of trained size: what is likely next depends on all that was said."""
    ours = Transformer(CONFIG).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    for name, parameter in ours.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if name == "output_bias":
            parameter.copy_(noise * 0.5)
            parameter[CONFIG.end] = ends
        elif parameter.ndim > 1:
            parameter.copy_(noise * 2 / math.sqrt(parameter.shape[1]))
        else:
            parameter.copy_(noise * 0.2 + (1 if "norm" in name and name.endswith("weight") else 0))
    theirs = marian(CONFIG, "sdpa")
    bench.copy_model(ours, theirs)
    return ours, theirs


def generate(
    theirs: Any, source: list[int], options: BeamOptions, counted: bool
) -> tuple[list[list[int]], list[float]]:
    """Transformers' k outputs, without <s> and padding, and their scores."""
    ids = torch.tensor([source])
    # its limit counts <s> too; with `counted` it is told the number of new tokens
    limit = {"max_new_tokens": options.max_length} if counted else {"max_length": options.max_length + 1}
    made = theirs.generate(
        ids, attention_mask=torch.ones_like(ids), num_beams=options.beams, num_return_sequences=options.beams,
        do_sample=False, early_stopping=EARLY[options.stopping], length_penalty=options.alpha,
        no_repeat_ngram_size=options.no_repeat, suppress_tokens=list(BANNED), return_dict_in_generate=True,
        output_scores=True, **limit,
    )  # fmt: skip
    rows = [row[1:] for row in made.sequences.tolist()]
    # what has ended is filled up, with </s> where padding is 0
    return [
        row[: row.index(CONFIG.end) + 1] if CONFIG.end in row else row for row in rows
    ], made.sequences_scores.tolist()


def gap(record: Searched) -> float:
    """The least difference that decided anything: between neighbours in a step, and between final scores."""
    least = math.inf
    for step in range(1, len(record.cross) + 1):
        scores = [node.score for node in record.nodes if node.step == step]
        least = min([least, *(one - other for one, other in pairwise(scores))])
    finals = sorted(one.final for one in record.found)
    return min([least, *(other - one for one, other in pairwise(finals))])


cases = st.fixed_dictionaries(
    {
        "beams": st.integers(2, 6),
        "alpha": st.sampled_from((-1.0, 0.0, 0.6, 1.0, 2.0)),
        "stopping": st.sampled_from(tuple(EARLY)),
        "max_length": st.integers(1, 9),
        "no_repeat": st.sampled_from((0, 0, 1, 2, 3)),
    }
)
sources = st.lists(st.integers(4, CONFIG.vocabulary - 1), max_size=7)


def test_finds_what_transformers_finds():
    lengths: set[int] = set()  # of the best outputs
    stops: set[str] = set()  # how searches ended

    @settings(max_examples=200, deadline=None, derandomize=True)
    @given(cases, sources, st.sampled_from(ENDS), st.booleans())
    def compare(case, words, ends, counted):
        ours, theirs = models(ends)
        options, source = BeamOptions(**case), [*words, CONFIG.end]
        record = beam_search(ours, [source], VOCABULARY, options, "cpu")[0]
        best = [one for one in record.found if one.place >= 0]
        found = [list(record.tokens(one.node)) for one in best]
        rows, scores = generate(theirs, source, options, counted)
        assert len(best) == options.beams
        assert [one.final for one in best] == pytest.approx(scores, abs=SAME)
        if found != rows:
            assert gap(record) <= DECIDES, (found, rows)
        lengths.add(best[0].length)
        stops.add(re.sub(r"[-\d.]+", "#", record.stopped))

    compare()
    assert len(lengths) >= 7, "best outputs of many lengths"
    assert len(stops) == 3, "each way to stop"


def test_one_beam_is_transformers_greedy_search():
    for ends in ENDS:
        ours, theirs = models(ends)
        for first in range(4, 24):
            source = [first, first + 3, CONFIG.end]
            record = beam_search(ours, [source], VOCABULARY, BeamOptions(beams=1, max_length=8), "cpu")[0]
            ids = torch.tensor([source])
            made = theirs.generate(
                ids, attention_mask=torch.ones_like(ids), num_beams=1, do_sample=False, max_new_tokens=8,
                suppress_tokens=list(BANNED),
            )  # fmt: skip
            assert [CONFIG.start, *record.tokens(record.found[0].node)] == made[0].tolist()
