"""Alignment quality on cards and in a table."""

from __future__ import annotations

from typing import Any

import pytest

from engine.card_alignment import alignment_lines, alignment_table, best_alignment_head, reading_table
from engine.card_translation import score_lines
from engine.cards import alignment_scores, save_scores
from engine.catalogue import ModelCard


def row(aer: float, **more: Any) -> dict[str, Any]:
    around = {"aer": aer, "low": aer - 0.0213, "high": aer + 0.0312, "precision": 0.6123, "recall": 0.7234}
    return around | {"accuracy": 0.8123, "accuracy_low": 0.7911, "accuracy_high": 0.8311} | more


def difference(points: float) -> dict[str, float]:
    return {"difference": points, "difference_low": points - 0.05, "difference_high": points + 0.05}


SCORES: dict[str, Any] = {
    "alibi": {"pairs": 90, "over_limit": 2, "sure": 1058, "possible": 2345, "words": 1900, "file_sha256": "a"},
    "transread": {"pairs": 440, "over_limit": 3, "words": 1777, "files_sha256": {}},
    "diagonal": row(0.6543, accuracy=0.2222, accuracy_low=0.2, accuracy_high=0.24),
    "heads": [row(0.3111, layer=3, head=5, **difference(-0.3432)), row(0.7, layer=0, head=1, **difference(0.0457))],
    "means": [
        row(0.55, layer=0, **difference(-0.1)),
        row(0.35, layer=1, **difference(-0.3)),
        row(0.4444, layer=None, **difference(-0.2)),
    ],
    "halves": [
        row(0.3222, layer=3, head=5, chosen_aer=0.3, **difference(-0.33)),
        row(0.3333, layer=2, head=0, chosen_aer=0.31, **difference(0.01)),
    ],
    "reading": {
        "heads": [row(0.2777, layer=1, head=1, **difference(-0.37))],
        "halves": [row(0.2888, layer=1, head=1, chosen_aer=0.27, **difference(-0.36))],
    },
}
ALONE = SCORES | {"heads": [], "means": [], "halves": [], "reading": {"heads": [], "halves": []}}


def test_every_number_is_on_the_card():
    best, halves, reading, means, given = alignment_lines(SCORES)
    for words in ("90 pairs", "1,058 sure links", "cross layer 4 head 6", "31.1% (95% interval 29.0% to 34.2%)",
                  "precision 61.2%", "recall 72.3%", "best of 2 on these very pairs, so this is optimistic",
                  "34.3 points below (95% interval of the difference −39.3 to −29.3) the diagonal's"):  # fmt: skip
        assert words in best
    for words in ("cross layer 4 head 6: 32.2%", "cross layer 3 head 1: 33.3%", "33.0 points below",
                  "1.0 points above", "chosen on every other pair"):  # fmt: skip
        assert words in halves
    for words in ("when the word has just been read: best cross layer 2 head 2: 27.8%", "37.0 points below",
                  "on the rest, both ways: cross layer 2 head 2: 28.9%"):  # fmt: skip
        assert words in reading
    assert "mean of all cross heads: 44.4%" in means and "layer 2, the best layer's: 35.0%" in means
    for words in ("1,777 French words", "440 pairs", "right in 81.2% (95% interval 79.1% to 83.1%)",
                  "the diagonal in 22.2%"):  # fmt: skip
        assert words in given


def test_one_head_is_not_chosen_from_many():
    one = SCORES | {"heads": SCORES["heads"][:1], "means": [], "halves": [], "reading": {"heads": [], "halves": []}}
    best, _ = alignment_lines(one)
    assert "optimistic" not in best and "cross layer 4 head 6" in best


def test_a_model_without_attention_has_the_diagonal():
    error, given = alignment_lines(ALONE)
    assert "no attention to align words by" in error and "65.4%" in error
    assert given == "of 1,777 French words with judged links (TransRead, 440 pairs) the diagonal in 22.2% (95% " \
        "interval 20.0% to 24.0%)"  # fmt: skip


def test_other_sets_say_nothing_of_alignment():
    assert list(alignment_lines({"bleu": 30.0})) == []


def test_translation_cards_have_the_lines():
    assert list(score_lines("alignment", SCORES)) == list(alignment_lines(SCORES))


def test_the_table_has_all_heads_best_first_and_one_diagonal():
    other = SCORES | {"heads": [row(0.2, layer=0, head=0)]}
    table = alignment_table({"Transformer": SCORES, "additive": other, "none": ALONE})
    assert [(r.model, r.layer, r.head, r.aer) for r in table] == [
        ("additive", 0, 0, 0.2), ("Transformer", 3, 5, 0.3111), ("diagonal", None, None, 0.6543),
        ("Transformer", 0, 1, 0.7),
    ]  # fmt: skip
    assert (table[0].precision, table[0].recall, table[0].accuracy) == (0.6123, 0.7234, 0.8123)
    assert (table[0].low, table[0].high) == pytest.approx((0.1787, 0.2312))


def test_the_diagonal_of_other_pairs_stands_there_too():
    fewer = ALONE | {"diagonal": row(0.6)}
    assert [r.aer for r in alignment_table({"a": ALONE, "b": fewer})] == [0.6, 0.6543]
    assert alignment_table({}) == ()


def test_the_table_by_the_word_read_has_one_row_for_each_model_of_several_heads():
    one = SCORES | {"heads": SCORES["heads"][:1]}
    (found,) = reading_table({"Transformer": SCORES, "additive": one, "none": ALONE})
    assert (found.model, found.layer, found.head, found.aer) == ("Transformer", 1, 1, 0.2777)


def test_the_best_head():
    assert best_alignment_head(SCORES) == (3, 5) and best_alignment_head(ALONE) is None


def test_saved_scores_are_found(tiny_card: ModelCard):
    assert alignment_scores(tiny_card) is None
    save_scores(tiny_card, {"alignment": SCORES})
    assert alignment_scores(tiny_card) == SCORES
