"""Cards of networks that complete words: every measured number is on them, and what pages ask for is typed."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from engine.card_completion import ARTICLE, CompletionScores, accuracy_table, completion_of
from engine.cards import (
    TRAINING,
    completion_scores,
    curve_unit,
    markdown,
    memory_figures,
    save_scores,
    score_rows,
)
from engine.catalogue import ModelCard
from engine.training.autocomplete.memory import agreement_scores
from engine.weights import WEIGHTS, write_json

TRAINED: dict[str, Any] = {
    "command": "saccade train autocomplete-gru-cpu --data DIR --minutes 90",
    "minutes": 89.6,
    "hardware": "2 cores of Some Processor",
    "torch": "2.13.0",
    "steps": 12345,
    "tokens": 19_800_000,
    "characters": 61_500_000,
    "words": 11_600_000,
    "parameters": 2_984_192,
    "settings": {"epochs": 0.32},
    "rounding": {
        "sequences": 500,
        "characters": 93_000,
        "outputs_changed": 0.00123,
        "cross_entropy_before": 1.98764,
        "cross_entropy_after": 1.98781,
    },
}
COMPLETION: dict[str, Any] = {
    "characters": 2_345_678,
    "words": 500_000,
    "outside": 0.0912,
    "cross_entropy": 1.9874,
    "counts": [9, 8, 7, 6, 5, 4, 3, 2, 0],
    "accuracy": {
        "overall": [0.4567, 0.5432, 0.6012],
        "by_known": [
            [0.1612, 0.3712, 0.5512, 0.6512, 0.7012, 0.7112, 0.7212, 0.7312, None],
            [0.2, 0.4, 0.6, 0.7, 0.75, 0.76, 0.77, 0.78, None],
            [0.2612, 0.4812, 0.6612, 0.7612, 0.8112, 0.8212, 0.8312, 0.8412, None],
        ],
    },
    "table": {
        "overall": [0.3333, 0.4, 0.4444],
        "by_known": [[0.0612, 0.2, 0.4, 0.5, 0.6, 0.61, 0.62, 0.63, None], [0.1] * 8 + [None], [0.2] * 8 + [None]],
    },
    "file_sha256": "0" * 64,
}
MEMORY: dict[str, Any] = {
    "passages": 60,
    "characters": 11_800,
    "rows": 10_700,
    "one-hot": {
        "mean_lag": 12.345,
        "mean_lag_interval": [11.25, 13.75],
        "distance": [0.5, 0.25, None],
        "memorization": {
            "by_known": [0.6012, 0.4112, 0.3, 0.25, 0.2, 0.1, None, None, None],
            "intervals": [[0.5, 0.7]] * 9,
            "counts": [1800] * 9,
        },
    },
    "squared": {
        "mean_lag": 4.5,
        "mean_lag_interval": [4.0, 5.0],
        "distance": [0.5, 0.25, None],
        "memorization": {
            "by_known": [0.5, 0.4, 0.3, 0.2, None, None, None, None, None],
            "intervals": [[0.5, 0.7]] * 9,
            "counts": [1800] * 9,
        },
    },
    "agreement": agreement_scores([np.array([[0.5] * 1500, [-0.25] * 1499 + [np.nan]])] * 2),
    "file_sha256": "0" * 64,
}


@pytest.fixture
def measured(toy_card: ModelCard) -> ModelCard:
    """The toy network with the record of a run and scores of both sets."""
    write_json(toy_card.folder / TRAINING, TRAINED)
    save_scores(toy_card, {"completion": COMPLETION, "memorization": MEMORY})
    return toy_card


def with_other_weights(card: ModelCard) -> ModelCard:
    return replace(card, sha256={**card.sha256, WEIGHTS: "f" * 64})


# --- Markdown ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fact",
    [
        "# Word completion: Toy (`toy`)",
        "Twelve words by heart. 3.0 million parameters",
        "    saccade train autocomplete-gru-cpu --data DIR --minutes 90",
        "90 minutes on 2 cores of Some Processor (torch 2.13.0): 12,345 steps, 19.8 million characters read, padding "
        "included, of a text of 61.5 million (11.6 million words).",
        "`saccade evaluate toy --data DIR --save`",
        "| completion | cross-entropy 1.987 nats per character, over 2,345,678 characters of words in the vocabulary "
        "(9.1% of the 500,000 words are outside it) |",
        "| completion | the word is the first suggestion at 45.7% of the characters and among the first three at "
        "60.1%; the prefix table's at 33.3% and 44.4% |",
        "| memorization | by the norm, what a suggestion rests on lies 12.3 characters back on average (95% interval "
        "11.2 to 13.8), over 10,700 characters of 60 passages |",
        "| memorization | by the norm, the share of that which lies before the word being typed and its space, at 0 to "
        "4 letters known: 60.1%, 41.1%, 30.0%, 25.0%, 20.0% |",
        "| memorization | by the squared norm, which the article draws, what a suggestion rests on lies 4.5 "
        "characters back",
        "at 0 to 4 letters known: 50.0%, 40.0%, 30.0%, 20.0%, – |",
        "| memorization | rank correlation of attention with the gradient, mean of all layers and heads: 0.50 (95% "
        "interval 0.50 to 0.50), over 3,000 positions |",
        "| memorization | rank correlation of attention with the gradient, mean of the last layer's heads: −0.25 (95% "
        "interval −0.25 to −0.25), over 2,998 positions |",
        "| letters known | characters | first suggestion | among three | prefix table | article's GRU | "
        "article's LSTM | article's nested LSTM |",
        "| 0 | 9 | 16.1% | 26.1% | 6.1% | 16.5% | 16.7% | 13.7% |",
        "| 4 | 5 | 70.1% | 81.1% | 60.0% | 67.8% | 67.0% | 62.2% |",
        "| 5 | 4 | 71.1% | 82.1% | 61.0% |  |  |  |",
        "| 8 | 0 | – | – | – |  |  |  |",
        "text8",
        "16,386 words",
        "Rounding to float16 changed the first suggestion at 0.12% of 93,000 validation characters; cross-entropy "
        "1.9876 nats before, 1.9878 after.",
        "- Every other word.",
    ],
)
def test_a_card_has_every_fact(measured, fact):
    assert fact in markdown(measured)


def test_nothing_of_translation_is_said(measured):
    text = markdown(measured)
    assert not any(word in text for word in ("BLEU", "Sentence pairs", "source and target", "nan", "None"))
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        "# Word completion: Toy (`toy`)",
        "## Training",
        "## Scores",
        "## What it cannot do",
    ]


def test_both_tables_are_whole_and_apart(measured):
    """Markdown takes two tables without an empty line between them for one."""
    lines = markdown(measured).splitlines()
    tables: list[list[str]] = []
    for before, line in pairwise(lines):
        if line.startswith("|"):
            if not before.startswith("|"):
                tables.append([])
            tables[-1].append(line)
    assert [len(table) for table in tables] == [2 + 2 + 6, 2 + 9]
    assert [{line.count("|") for line in table} for table in tables] == [{3}, {9}]


def test_a_card_without_scores_says_so(measured):
    text = markdown(with_other_weights(measured))
    assert "Not measured yet for these weights." in text and "article" not in text


def test_a_recurrent_network_has_no_agreement_line(measured):
    save_scores(measured, {"memorization": {key: value for key, value in MEMORY.items() if key != "agreement"}})
    assert "rank correlation" not in markdown(measured)
    assert len([name for name, _ in score_rows(measured) if name == "memorization"]) == 4


@pytest.mark.parametrize(("there", "lines"), [((0.5, np.nan), 1), ((np.nan, np.nan), 0)])
def test_attention_that_could_not_be_compared_has_no_line(measured, there, lines):
    found = agreement_scores([np.array([[value] * 20 for value in there])])
    save_scores(measured, {"memorization": {**MEMORY, "agreement": found}})
    text = markdown(measured)
    assert text.count("rank correlation") == text.count("mean of all layers and heads: 0.50") == lines


def test_the_curve_of_each_kind_has_its_unit(toy_card):
    assert curve_unit(toy_card) == "character"
    assert curve_unit(replace(toy_card, family="transformer")) == "target token"


# --- What pages ask for -----------------------------------------------------------------------------------------------


def test_completion_scores_are_those_measured(measured):
    found = completion_scores(measured)
    assert found == CompletionScores(
        cross_entropy=1.9874,
        overall=(0.4567, 0.5432, 0.6012),
        table_overall=(0.3333, 0.4, 0.4444),
        top1=(0.1612, 0.3712, 0.5512, 0.6512, 0.7012, 0.7112, 0.7212, 0.7312, None),
        top3=(0.2612, 0.4812, 0.6612, 0.7612, 0.8112, 0.8212, 0.8312, 0.8412, None),
        table=(0.0612, 0.2, 0.4, 0.5, 0.6, 0.61, 0.62, 0.63, None),
        counts=(9, 8, 7, 6, 5, 4, 3, 2, 0),
        outside=0.0912,
    )
    assert memory_figures(measured) == MEMORY


def test_there_are_none_of_other_weights(measured, toy_card):
    other = with_other_weights(measured)
    assert completion_scores(other) is None and memory_figures(other) is None


def test_the_articles_figures_stand_where_it_gives_them():
    heading, rows = accuracy_table(completion_of(COMPLETION))
    assert len(rows) == 9 and {len(row) for row in rows} == {len(heading)} == {5 + len(ARTICLE)}
    for known, row in enumerate(rows):
        there = [f"{shares[known]:.1%}" if known < 5 else "" for shares in ARTICLE.values()]
        assert list(row[5:]) == there
