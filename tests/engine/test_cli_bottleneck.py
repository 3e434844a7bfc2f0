"""`saccade bottleneck`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from engine import catalogue, model_card
from engine.bottleneck import FILE, read_bottleneck, table
from engine.training import bleu
from engine.weights import sha256_of


@pytest.fixture
def texts(tmp_path: Path, pairs) -> Path:
    """A data folder whose test file is the thirty pairs."""
    folder = tmp_path / "data" / "en-fr"
    folder.mkdir(parents=True)
    (folder / "europarl-test.tsv").write_text("".join(f"{e}\t{f}\n" for e, f in pairs), "utf-8")
    return folder.parent


def test_every_translator_is_measured_and_kept(saccade, tiny_card, texts, monkeypatch):
    pytest.importorskip("sacrebleu")
    monkeypatch.setitem(catalogue.MODELS, "words", replace(tiny_card, name="words", supports=frozenset({"complete"})))
    done = saccade("bottleneck", "--data", texts, "--save", "--device", "cpu")
    assert done.status == 0, done.err
    found = read_bottleneck()
    assert done.out == f"{table(found)}\n{model_card.ASSETS / FILE}\n" and not done.err.strip()
    (model,) = found.models
    assert model.identity == tiny_card.identity and found.gains == ()
    assert found.lines == sum(part.lines for part in model.bins) > 20
    assert found.file_sha256 == sha256_of(texts / "en-fr" / "europarl-test.tsv")
    # It knows half of these by heart: more than a network that knows nothing could.
    assert all(part.accuracy.value > 0.2 for part in model.bins)


def test_without_save_nothing_is_written(saccade, tiny_card, texts):
    pytest.importorskip("sacrebleu")
    done = saccade("bottleneck", "--data", texts, "--models", "tiny, tiny", "--lines", "3")
    assert done.status == 0, done.err
    assert done.out.startswith("3 lines of en-fr/europarl-test.tsv")
    assert not (model_card.ASSETS / FILE).exists()


def test_what_cannot_be_measured_is_refused(saccade, tiny_card, texts, monkeypatch, tmp_path):
    saccade("bottleneck", "--data", texts, "--lines", "3", "--save").assert_refused("Leave out --lines")
    saccade("bottleneck", "--data", texts, "--models", "tiny", "--save").assert_refused("of all models")
    saccade("bottleneck", "--data", texts, "--models", "tiny,none").assert_refused("no model 'none'", "tiny")
    words = replace(tiny_card, name="words", supports=frozenset({"complete"}))
    monkeypatch.setitem(catalogue.MODELS, "words", words)
    saccade("bottleneck", "--data", texts, "--models", "words").assert_refused("words does not translate", "tiny")
    monkeypatch.setattr(bleu, "has_sacrebleu", lambda: True)
    saccade("bottleneck", "--data", tmp_path).assert_refused("europarl-test.tsv is missing", "fetch-data")
    saccade("bottleneck", "--data", texts, "--lines", "0").assert_refused("--lines")
    monkeypatch.setattr(bleu, "has_sacrebleu", lambda: False)
    saccade("bottleneck", "--data", texts).assert_refused("pip install sacrebleu")
