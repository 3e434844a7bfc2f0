"""Alignment quality of cross heads: by hand with heads that are known to align well and badly, and with a network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.alignment import detokenised
from engine.errors import ConfigError, InputTooLong
from engine.training import alignment_scores as scores
from engine.training.alignment_scores import alignment_scores, read_pairs_of
from engine.training.evaluate import SETS, evaluate
from engine.types import AttentionMap, LinkedPair, Tokens
from engine.weights import sha256_of


def pair_of(source: str, target: str, links: str, *, partial: bool = False) -> LinkedPair:
    """Links as "0-1", all sure."""
    sure = frozenset((int(link[0]), int(link[2])) for link in links.split())
    return LinkedPair(tuple(source.split()), tuple(target.split()), sure, sure, partial)


SWAPPED = pair_of("red car", "auto rouge", "0-1 1-0")
STRAIGHT = pair_of("the cat", "le chat", "0-0 1-1")
GIVEN = pair_of("a big dog", "un chien", "2-1", partial=True)


def tokens(words: tuple[str, ...], language: str) -> Tokens:
    """One token a word, and </s>."""
    text, spans = detokenised(words, language)
    count = len(words)
    labels, special = (*words, "</s>"), (*[False] * count, True)
    return Tokens(text, labels, (), tuple(range(count + 1)), (*spans, (0, 0)), special)


class Aligning:
    """A runner whose cross heads are known: in layer 1 the right links and the first word, in layer 2 the last twice.

    A source with the word "long" is over its limit. `late` heads look so one step later.
    """

    card = SimpleNamespace(name="aligning")

    def __init__(self, pairs: list[LinkedPair], *, maps: bool = True, late: bool = False) -> None:
        self.by_text = {detokenised(pair.source, "en")[0]: pair for pair in pairs}
        self.maps, self.late = maps, late

    def trace(self, text: str, target: str) -> Any:
        pair = self.by_text[text]
        assert target == detokenised(pair.target, "fr")[0]
        if "long" in pair.source:
            raise InputTooLong("Shorten it.")
        source, predicted = tokens(pair.source, "en"), tokens(pair.target, "fr")
        weights = np.full((2, 2, len(predicted), len(source)), 0.01, dtype=np.float32)
        for english, french in pair.sure:
            weights[0, 0, french, english] = 0.9
        weights[0, 1, :, 0] = 0.9
        weights[1, :, :, -2] = 0.9
        if self.late:
            weights = np.roll(weights, 1, axis=2)
        read = replace(
            predicted,
            labels=("<s>", *predicted.labels[:-1]),
            spans=((0, 0), *predicted.spans[:-1]),
            special=(True, *predicted.special[:-1]),
        )
        found = {"cross": AttentionMap("cross", weights, read, source, predicted)} if self.maps else {}
        return SimpleNamespace(maps=found)


@pytest.fixture
def gold(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A data folder whose collections are the pairs above."""
    (tmp_path / scores.ALIBI).mkdir(parents=True)
    (tmp_path / scores.ALIBI / "story.xml").write_text("story", "utf-8")
    for path in scores._transread_files():
        (tmp_path / scores.TRANSREAD / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / scores.TRANSREAD / path).write_text(str(path), "utf-8")
    monkeypatch.setattr(scores, "read_alibi", lambda path: (SWAPPED, STRAIGHT, pair_of("long", "long", "0-0")))
    monkeypatch.setattr(scores, "read_transread", lambda folder: (GIVEN,))
    return tmp_path


ALL = [SWAPPED, STRAIGHT, GIVEN, pair_of("long", "long", "0-0")]


def test_scores_by_hand(gold):
    reported: list[int] = []
    found = alignment_scores(Aligning(ALL), gold, reported.append)
    assert sum(reported) == 4
    assert found["alibi"] == {
        "pairs": 2, "over_limit": 1, "sure": 4, "possible": 4, "words": 4,
        "file_sha256": sha256_of(gold / scores.ALIBI / "story.xml"),
    }  # fmt: skip
    transread = found["transread"]
    assert (transread["pairs"], transread["over_limit"], transread["words"]) == (1, 0, 1)
    assert len(transread["files_sha256"]) == 8 and len(set(transread["files_sha256"].values())) == 8
    # The diagonal has 2 of 4 right; resampled, both pairs, twice the straight one (0) or twice the other (1).
    base = found["diagonal"]
    assert (base["aer"], base["low"], base["high"], base["precision"], base["recall"]) == (0.5, 0.0, 1.0, 0.5, 0.5)
    assert base["accuracy"] == 1.0, "of 3 words for 2, the second's place is the third's"
    assert "difference" not in base
    best = found["heads"][0]
    assert (best["layer"], best["head"], best["aer"], best["low"], best["high"]) == (0, 0, 0.0, 0.0, 0.0)
    assert (best["difference"], best["difference_low"], best["difference_high"]) == (-0.5, -1.0, 0.0)
    assert (best["accuracy"], best["accuracy_low"], best["accuracy_high"]) == (1.0, 1.0, 1.0)
    first = next(row for row in found["heads"] if (row["layer"], row["head"]) == (0, 1))
    assert (first["aer"], first["accuracy"], first["difference"]) == (0.5, 0.0, 0.0)
    rates = [row["aer"] for row in found["heads"]]
    assert len(rates) == 4 and rates == sorted(rates)


def test_means_over_heads_are_of_each_layer_and_of_all(gold):
    means = alignment_scores(Aligning(ALL), gold, lambda done: None)["means"]
    assert [mean["layer"] for mean in means] == [0, 1, None]
    assert means[1]["aer"] == 0.5, "the last word is right once in each pair"


def test_a_head_is_chosen_on_one_half_and_scored_on_the_other(gold, monkeypatch):
    """On the even pairs the right links win; on the odd ones all heads are alike, and the first is taken."""
    wrong = LinkedPair(("a", "b"), ("x", "y"), frozenset({(0, 0)}), frozenset({(0, 0)}))
    monkeypatch.setattr(scores, "read_alibi", lambda path: (SWAPPED, wrong))
    runner = Aligning([SWAPPED, wrong, GIVEN])
    first, second = alignment_scores(runner, gold, lambda done: None)["halves"]
    assert (first["layer"], first["head"], first["chosen_aer"]) == (0, 0, 0.0)
    # On the other pair: x-a is right and y goes to "a", the first of equals: 1 − (1 + 1) / (2 + 1).
    assert first["aer"] == round(1 / 3, 4) and first["difference"] == 0.0
    assert second["chosen_aer"] == round(1 / 3, 4) and second["layer"] == 0


def test_heads_that_look_one_step_late_are_found_by_the_step_that_reads(gold):
    found = alignment_scores(Aligning(ALL, late=True), gold, lambda done: None)
    plain = alignment_scores(Aligning(ALL), gold, lambda done: None)
    (best,) = found["reading"]["heads"]
    assert best == plain["heads"][0] and best["aer"] == 0.0
    assert found["reading"]["halves"] == plain["halves"]
    assert found["heads"][0]["aer"] > 0


def test_without_cross_maps_there_is_the_baseline(gold):
    found = alignment_scores(Aligning(ALL, maps=False), gold, lambda done: None)
    assert (found["heads"], found["means"], found["halves"]) == ([], [], [])
    assert found["reading"] == {"heads": [], "halves": []}
    assert found["diagonal"] == alignment_scores(Aligning(ALL), gold, lambda done: None)["diagonal"]


def test_a_model_that_takes_none_is_an_error():
    with pytest.raises(ConfigError, match="aligning takes none of the linked pairs"):
        read_pairs_of(Aligning(ALL), ALL[3:], lambda done: None)


def test_a_missing_collection_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"word-alignment.*is missing"):
        alignment_scores(Aligning(ALL), tmp_path, lambda done: None)


def test_a_network_is_measured_through_the_set(gold, tiny_runner, monkeypatch):
    pairs = (
        pair_of("The cat sleeps on the red chair .", "Le chat dort sur la chaise rouge .", "0-0 1-1 2-2 5-6 6-5"),
        pair_of("It is cold .", "Il fait froid .", "0-0 1-1 2-2 3-3"),
    )
    monkeypatch.setattr(scores, "read_alibi", lambda path: pairs)
    found = evaluate(tiny_runner, "alignment", gold)
    config = tiny_runner.model.config
    assert len(found["heads"]) == config.decoder_layers * config.heads and len(found["halves"]) == 2
    for row in found["heads"]:
        assert 0 <= row["low"] <= row["aer"] <= row["high"] <= 1
    assert json.loads(json.dumps(found)) == found
    assert found == evaluate(tiny_runner, "alignment", gold), "the same draws each time"
    assert set(SETS["alignment"].families) == {"transformer", "seq2seq"}
