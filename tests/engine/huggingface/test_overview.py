"""The overview of a long text in transformers models of several families: equal to pooling all of their maps."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from engine.huggingface.loading import open_model
from engine.loading import Model
from engine.long_text.detail import sublayer
from engine.long_text.overview import CELLS, CHARACTERS, estimate, long_reading, overview
from engine.reading import MOST, reading_of, trace_of
from tests.engine.huggingface import tiny
from tests.engine.huggingface.families import FAMILIES, network
from viz.pool import max_pool

TOLERANCE = 1e-5
"""Of a weight: queries and keys from the fused path instead of the eager one, in float32."""
POSITIONS = 320
TEXT = " ".join([tiny.ENGLISH.replace("\n", " ")] * 2)


@cache
def made(name: str) -> Model:
    """A tiny model with room for a longer text."""
    family, folder = FAMILIES[name], Path(mkdtemp(prefix="long-"))
    longer = {key: POSITIONS + 2 if "position" in key else size for key, size in family.settings.items()}
    family.tokenizer(folder)
    ids = tiny.vocabulary_size(folder)
    network(replace(family, settings=longer), ids=ids, **dict(family.specials)).save_pretrained(folder)
    return open_model(folder, "cpu")


@pytest.mark.parametrize("name", ["bert", "modernbert", "gpt2", "llama", "mistral", "gemma2", "gpt-oss", "t5"])
def test_every_family(name: str) -> None:
    model = made(name)
    reading, trace = reading_of(model, TEXT), trace_of(model, TEXT)
    found = overview(reading, block=50_000)
    assert set(found.pooled) == set(trace.maps)
    assert estimate(reading).heads == sum(one.layers * one.heads for one in trace.maps.values())
    for kind, one in trace.maps.items():
        assert np.abs(found.pooled[kind] - max_pool(one.weights, CELLS)).max() < TOLERANCE
        assert found.head_names[kind] == one.head_names
        last = sublayer(reading, kind, one.layers - 1, one.heads - 1)
        window = last.window((0, 5), (0, min(one.weights.shape[3], 9)), [one.heads - 1])
        rows, columns = len(window.attention.query_tokens), len(window.attention.key_tokens)
        exact = one.weights[-1, -1, :rows, :columns]
        assert np.abs(window.attention.weights[0, 0] - exact).max() < TOLERANCE


def test_what_a_sliding_window_hides_stays_hidden() -> None:
    found = overview(reading_of(made("mistral"), TEXT))
    rows = found.rows["decoder"]
    far = (rows[:-1, None] - rows[None, 1:]) >= 4  # blocks that are wholly more than the window of 4 apart
    assert far.any() and (found.pooled["decoder"][:, :, far] == 0).all()
    assert (found.distance["decoder"] < 4).all()


def test_heads_that_share_keys_say_so() -> None:
    found = overview(reading_of(made("llama"), TEXT))
    assert found.attention("decoder").head_names[2] == "head 3 (key head 2)"
    assert sublayer(reading_of(made("llama"), TEXT), "decoder", 0, 3).names[3] == "head 4 (key head 2)"


def test_too_long_a_text_is_cut_and_said_to_be() -> None:
    reading = reading_of(made("bert"), TEXT * 5, cut=True)
    length = len(reading.axes["encoder"].query)
    assert POSITIONS - 30 < length <= POSITIONS + 2
    assert len(reading.notes) == 1 and "cut at its end" in reading.notes[0]
    assert estimate(reading).notes == overview(reading).notes == reading.notes


def test_where_a_model_has_no_limit_four_thousand_tokens_are_read() -> None:
    reading = reading_of(made("t5"), TEXT * 20, "the animal", cut=True)
    assert MOST - 100 < len(reading.axes["encoder"].query) <= MOST
    assert f"{MOST:,}" in reading.notes[0]
    planned = estimate(reading)
    assert planned.all_maps > 500e6 > 40e6 > planned.at_once  # 3 layers of 4 heads at 4,096 tokens are 0.8 GB


@pytest.mark.parametrize("name", ["llama", "bert", "t5"])
def test_of_very_long_a_text_the_beginning_is_read(name: str) -> None:
    text = TEXT * 200
    reading = long_reading(made(name), text, "the animal" if name == "t5" else "")
    first, second = reading.notes
    kept = int(first.removesuffix(".").rpartition(" ")[2].replace(",", ""))
    assert f"{len(text):,} characters" in first and CHARACTERS - 100 <= kept <= CHARACTERS
    assert "cut at its end" in second
    whole = long_reading(made(name), TEXT[:100], "the animal" if name == "t5" else "")
    assert whole.notes == () and whole.request.text.startswith(TEXT[:20])
