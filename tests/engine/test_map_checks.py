"""Texts whose maps would fill the memory are refused before they are made."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine import map_checks
from engine.errors import InputTooLong
from engine.huggingface.loading import open_model
from engine.map_checks import check_maps
from engine.models.transformer import TransformerConfig
from engine.reading import trace_of
from tests.engine.huggingface.families import saved

CONFIG = TransformerConfig(vocabulary=10, width=8, heads=2, encoder_layers=3, decoder_layers=1, feedforward=8)
# 4 bytes × 2 heads × (3 · 10 · 10 encoder + 1 · 5 · 5 decoder + 1 · 5 · 10 cross)
LENGTHS = {"encoder": (10, 10), "decoder": (5, 5), "cross": (5, 10)}
BYTES = 4 * 2 * (300 + 25 + 50)


def test_the_most_fits_and_one_byte_less_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(map_checks, "MOST", BYTES)
    check_maps(CONFIG, LENGTHS)
    monkeypatch.setattr(map_checks, "MOST", BYTES - 1)
    with pytest.raises(InputTooLong, match=r"these 10 tokens would take 3.0 kB; 3.0 kB is the most.*about 9 tokens"):
        check_maps(CONFIG, LENGTHS)
    monkeypatch.setattr(map_checks, "MOST", BYTES // 4)
    with pytest.raises(InputTooLong, match="about 5 tokens"):  # half as many: a quarter of the bytes
        check_maps(CONFIG, LENGTHS)


@pytest.mark.parametrize("family", ["marian", "bert", "gpt2"])
def test_every_kind_of_model_asks_first(family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = open_model(saved(family, tmp_path / family), "cpu")
    assert trace_of(model, "The old man sat by the river.").maps
    monkeypatch.setattr(map_checks, "MOST", 100)
    with pytest.raises(InputTooLong, match="would take"):
        trace_of(model, "The old man sat by the river.")
