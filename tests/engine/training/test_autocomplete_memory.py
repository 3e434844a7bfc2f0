"""Memorization on held-out books: a network whose numbers are known by hand, and tiny ones of every kind."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.connectivity import connectivity
from engine.errors import ConfigError
from engine.memorization import (
    agreement_by_position,
    influence_by_distance,
    memorization_score,
    rank_agreement,
)
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.training.autocomplete import memory
from engine.training.autocomplete.memory import agreement_scores, connected_passages, memorization_scores, passages
from engine.training.autocomplete.text import encode, find_text, read_books, split_held_out
from engine.types import MASKED, ConnectedText, Connectivity
from engine.weights import sha256_of

WORDS = ("the", "cat", "dog", "ran", "sea")


@dataclass(frozen=True)
class Fake:
    """A completer as far as it is needed."""

    model: Autocomplete
    words: tuple[str, ...] = WORDS


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "RESAMPLES", 300)


def build(cell: str) -> Fake:
    torch.manual_seed(1)
    width = {"embedding": 8, "width": 8, "heads": 2, "feedforward": 12} if cell == "transformer" else {"width": 6}
    return Fake(Autocomplete(AutocompleteConfig(cell, words=len(WORDS), **width)).eval())


def write(folder: Path, text: str) -> Path:
    (folder / "english").mkdir(parents=True)
    (folder / "english" / "gutenberg.valid.txt").write_text(text, "utf-8")
    return folder


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """About 1,600 characters, a sixth of the words unknown."""
    drawn = np.random.default_rng(4).choice([*WORDS, "zebra"], 400)
    return write(tmp_path / "data", " ".join(drawn))


# --- Passages ---------------------------------------------------------------------------------------------------------


def test_passages_are_whole_words_and_evenly_spread():
    text = encode([("the cat ran " * 201).strip()], WORDS)  # of 603 words, 10 fit into 40 characters
    every = text.tile(40)
    bounds = passages(text, 6, 40)
    chosen = [every.tolist().index(bound) for bound in bounds.tolist()]
    assert len(every) == 61 and chosen == [5, 15, 25, 35, 45, 55]  # (i + ½) · 61 / 6
    assert all(text.characters[start] == 1 for start, _ in bounds) and (np.diff(bounds) <= 40).all()
    assert all(end == len(text) or text.characters[end] == 1 for _, end in bounds)
    assert passages(text, 500, 40).tolist() == every.tolist()


def test_passages_without_a_known_word_are_left_out():
    text = encode(["zz " * 50 + "the cat " * 5], WORDS)
    bounds = passages(text, 100, 20)
    assert len(bounds) and all((text.targets[start:end] >= 0).any() for start, end in bounds)
    assert len(bounds) < len(text.tile(20))
    assert passages(encode(["zz zz"], WORDS), 3, 20).shape == (0, 2)


def test_a_passage_is_its_text_with_its_words():
    text = encode(["the zebra ran"], WORDS)
    completer = build("gru")
    (one,) = connected_passages(completer, text, np.array([[0, 14]]))
    assert one.text == " the zebra ran"
    assert one.desired == one.targets == ("the",) * 4 + ("",) * 6 + ("ran",) * 4
    expected = connectivity(completer.model, text.characters.tolist(), [0] * 4 + [MASKED] * 6 + [3] * 4, "one-hot")
    assert (one.connectivity.values == expected.values).all() and one.connectivity.words == expected.words


# --- A network known by hand ------------------------------------------------------------------------------------------


def averaging(ids: list[int], words: list[int], mode: str) -> Connectivity:
    """Numbers of a network to which every character up to its own is worth the same."""
    exact = np.tril(np.ones((len(ids), len(ids)))) * (np.array(words) != MASKED)[:, None]
    return Connectivity.of(exact, mode, words)


def test_scores_by_hand(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "connectivity", lambda model, ids, words, mode: averaging(ids, words, mode))
    # of 10 words the first is what runs follow; 9 remain: " cat zz cat zz ... cat", 5 · 4 + 4 · 3 characters
    folder = write(tmp_path / "data", "the " + "cat zz " * 4 + "cat")
    scores = memorization_scores(build("lstm"), folder)
    assert (scores["passages"], scores["characters"], scores["rows"]) == (1, 32, 20)
    rows = [start + known for start in (0, 7, 14, 21, 28) for known in range(4)]  # row t sees t + 1 characters
    for mode in ("one-hot", "squared"):  # ones are their own squares
        found = scores[mode]
        assert found["mean_lag"] == pytest.approx(np.mean([row / 2 for row in rows]), abs=1e-6)
        assert found["mean_lag_interval"] == [found["mean_lag"]] * 2  # one passage is all that is drawn
        outside = [np.mean([start / (start + known + 1) for start in (0, 7, 14, 21, 28)]) for known in range(4)]
        assert found["memorization"]["by_known"] == pytest.approx([*outside, *[None] * 5], abs=1e-6)
        assert found["memorization"]["counts"] == [5] * 4 + [0] * 5
        assert found["memorization"]["intervals"][4] == [None, None]
        far = [np.mean([1 / (row + 1) for row in rows if row >= distance]) for distance in range(32)]
        assert found["distance"][:32] == pytest.approx(far, abs=1e-6)
        assert found["distance"][32:] == [None] * 168
    assert "agreement" not in scores


def test_intervals_by_hand(monkeypatch):
    monkeypatch.setattr(memory, "RESAMPLES", 20_000)
    # two passages of one row each, 0 and 1: half of the resamples hold one of each, a quarter each twice the same
    means, intervals = memory._with_interval([[0.0, 0.5], [1.0, 0.5]], [[1, 1], [1, 1]])
    assert means == [0.5, 0.5] and intervals == [[0.0, 1.0], [0.5, 0.5]]
    # of 400 passages the mean of zeros and ones is normal: ±1.96 · √(¼/400), found to 0.001 by 20,000 resamples
    means, intervals = memory._with_interval([[float(place % 2)] for place in range(400)], [[1]] * 400)
    assert means == [0.5] and intervals[0] == pytest.approx([0.5 - 0.049, 0.5 + 0.049], abs=0.003)
    # rows weigh, not passages: 1 row of 1 beside 3 rows of 0
    assert memory._with_interval([[1.0], [0.0]], [[1], [3]])[0] == [0.25]
    # resamples without a row say nothing
    assert memory._with_interval([[0.0], [2.0]], [[0], [4]]) == ([0.5], [[0.5, 0.5]])


def test_agreement_by_hand():
    found = [np.array([[np.nan, 0.5, 1.0], [np.nan, np.nan, -1.0]]), np.array([[np.nan, 0.0], [np.nan, np.nan]])]
    scores = agreement_scores(found)
    assert scores["all_layers"]["mean"] == 0.5 and scores["all_layers"]["positions"] == 3
    assert scores["last_layer"] == {"mean": -1.0, "interval": [-1.0, -1.0], "positions": 1}


# --- Tiny networks ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "nlstm", "transformer"])
def test_scores_are_those_of_the_passages(cell, data, monkeypatch):
    monkeypatch.setattr(memory, "PASSAGES", 3)
    completer, done = build(cell), []
    scores = memorization_scores(completer, data, done.append)
    path = find_text(data, "gutenberg.valid.txt")
    text = split_held_out(encode(read_books(path), WORDS))[1]
    read = list(connected_passages(completer, text, passages(text, 3, 200)))
    assert done == [1, 1, 1] and scores["passages"] == len(read) == 3
    assert scores["characters"] == sum(map(len, read)) > 550
    assert scores["rows"] == sum(target != "" for one in read for target in one.targets) < scores["characters"]
    assert scores["file_sha256"] == sha256_of(path)
    for mode in ("one-hot", "squared"):
        own = [one if mode == "one-hot" else recomputed(completer, one, mode) for one in read]
        rows = [influence_by_distance(one).rows for one in own]
        lag = np.average([influence_by_distance(one).mean_lag for one in own], weights=rows)
        assert scores[mode]["mean_lag"] == pytest.approx(lag, rel=1e-5)
        low, high = scores[mode]["mean_lag_interval"]
        assert (
            min(influence_by_distance(one).mean_lag for one in own) - 1e-5
            <= low
            < lag
            < high
            <= max(influence_by_distance(one).mean_lag for one in own) + 1e-5
        )
        by_known = [[memorization_score(one)[known] for one in own] for known in range(9)]
        for known, found in enumerate(scores[mode]["memorization"]["by_known"]):
            count = sum(one.rows for one in by_known[known])
            assert scores[mode]["memorization"]["counts"][known] == count
            if count:
                assert found == pytest.approx(sum(one.total for one in by_known[known]) / count, abs=2e-6)
        assert len(scores[mode]["distance"]) == 200 and scores[mode]["distance"][0] > 0
    assert scores["one-hot"]["mean_lag"] != scores["squared"]["mean_lag"]
    assert ("agreement" in scores) == (cell == "transformer")
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores
    assert memorization_scores(completer, data) == scores  # the same passages, and the same resamples


def recomputed(completer: Fake, text: ConnectedText, mode: str) -> ConnectedText:
    """The same passage in another mode, from the network."""
    ids = encode([text.text.strip()], WORDS).characters.tolist()
    found = connectivity(completer.model, ids, text.connectivity.words, mode)
    return ConnectedText("", text.text, text.desired, text.suggestions, text.targets, found)


def test_agreement_is_that_of_the_attention_maps(data, monkeypatch):
    monkeypatch.setattr(memory, "PASSAGES", 2)
    completer = build("transformer")
    scores = memorization_scores(completer, data)["agreement"]
    text = split_held_out(encode(read_books(find_text(data, "gutenberg.valid.txt")), WORDS))[1]
    found: dict[str, list[float]] = {"all_layers": [], "last_layer": []}
    for start, end in passages(text, 2, 200):
        ids, words = text.characters[start:end].tolist(), text.targets[start:end].tolist()
        with torch.no_grad():
            heads = completer.model.forward_with_maps(torch.tensor([ids])).decoder[:, 0].numpy()
        rows = connectivity(completer.model, ids, words, "one-hot").relative
        for name, attention in (("all_layers", heads.mean((0, 1))), ("last_layer", heads[-1].mean(0))):
            times = [time for time in range(10, len(ids)) if words[time] != MASKED]
            found[name] += [rank_agreement(rows[t, : t + 1], attention[t, : t + 1]) for t in times]
    for name, values in found.items():
        assert scores[name]["positions"] == len(values) > 100
        # one place of two equal ranks may differ with the rounding of the mean over heads
        assert scores[name]["mean"] == pytest.approx(np.mean(values), abs=1e-4)
        low, high = scores[name]["interval"]
        assert low <= scores[name]["mean"] <= high


def test_attention_that_is_the_gradient_agrees_with_it(data, monkeypatch):
    monkeypatch.setattr(memory, "PASSAGES", 2)

    def same(model: Autocomplete, text: ConnectedText) -> np.ndarray:
        return np.stack([agreement_by_position(text, sign * text.connectivity.relative) for sign in (1, 2)])

    monkeypatch.setattr(memory, "_agreement", same)
    scores = memorization_scores(build("transformer"), data)["agreement"]
    assert [scores[name]["mean"] for name in ("all_layers", "last_layer")] == [1.0, 1.0]


# --- What cannot be measured ------------------------------------------------------------------------------------------


def test_texts_that_cannot_be_measured(tmp_path):
    completer = build("rnn")
    with pytest.raises(ConfigError, match="give another --data"):
        memorization_scores(completer, tmp_path)
    with pytest.raises(ConfigError, match="no word of this network's"):
        memorization_scores(completer, write(tmp_path / "other", "zebra " * 40))
