"""The prefix table and the scores of autocomplete, by hand and against torch."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.training.autocomplete.batches import cut
from engine.training.autocomplete.scores import accuracies, autocomplete_scores, held_out_scores, read
from engine.training.autocomplete.table import PrefixTable
from engine.training.autocomplete.text import encode

VOCABULARY = ("the", "to", "a", "that", "i", "at", "them")


# --- The table --------------------------------------------------------------------------------------------------------


def test_the_table_names_the_most_frequent_words_of_a_beginning():
    table = PrefixTable(VOCABULARY)
    assert table.words("") == ("the", "to", "a")
    assert table.words("t") == ("the", "to", "that")
    assert table.words("th") == ("the", "that", "them")
    assert table.words("the", 5) == ("the", "them")
    assert table.words("a", 1) == ("a",)
    assert table.words("x") == ()


def test_the_place_of_each_word_by_hand():
    table = PrefixTable(VOCABULARY)
    #                          known: 0  1  2  3  4
    assert table.ranks.tolist() == [
        [0, 0, 0, 0, 0],  # the
        [1, 1, 0, 0, 0],  # to
        [2, 0, 0, 0, 0],  # a
        [3, 2, 1, 0, 0],  # that
        [4, 0, 0, 0, 0],  # i
        [5, 1, 0, 0, 0],  # at
        [6, 3, 2, 1, 0],  # them
    ]
    assert table.rank(np.array([3, 6, 1]), np.array([1, 3, 99])).tolist() == [2, 1, 0]


def test_places_are_those_of_the_words_named():
    table = PrefixTable(VOCABULARY)
    for index, word in enumerate(VOCABULARY):
        for known in range(len(word) + 1):
            assert table.words(word[:known], 9).index(word) == table.ranks[index, known]


# --- Accuracies -------------------------------------------------------------------------------------------------------


def test_accuracies_by_hand():
    found = accuracies(np.array([0, 1, 2, 3, 0]), np.array([0, 0, 1, 1, 12]))
    assert found["overall"] == [0.4, 0.6, 0.8]
    first, second, third = found["by_known"]
    assert first == [0.5, 0.0] + [None] * 7  # the twelfth letter counts overall only
    assert second == [1.0, 0.0] + [None] * 7
    assert third == [1.0, 0.5] + [None] * 7


class Fixed(nn.Module):
    """Says the same at every space, and the same at every letter."""

    def __init__(self, at_space: list[float], at_letter: list[float]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.tensor([at_space, at_letter]))

    def forward(self, ids: Tensor) -> Tensor:
        return self.rows[(ids != 1).long()]


def test_scores_by_hand():
    # probabilities of "a", "bc", "bd": 1/2, 1/4, 1/4 at spaces; 1/8, 1/8, 3/4 at letters
    model = Fixed([math.log(4), math.log(2), math.log(2)], [0.0, 0.0, math.log(6)])
    text = encode(["a zz bd a"], ("a", "bc", "bd"))
    scores = autocomplete_scores(model, ("a", "bc", "bd"), text, 200)
    assert (scores["characters"], scores["words"], scores["outside"]) == (7, 4, 0.25)
    assert scores["counts"] == [3, 3, 1] + [0] * 6
    # at spaces: a, bd, a; at letters: a, b, d of bd, a
    surprise = [math.log(2), math.log(4), math.log(2), math.log(8), math.log(4 / 3), math.log(4 / 3), math.log(8)]
    assert scores["cross_entropy"] == pytest.approx(np.mean(surprise), abs=1e-4)  # four digits are kept
    first, second, third = scores["accuracy"]["by_known"]
    # "bd" ties with "bc" at the space, and ties count against; so does "a" with "bc" at the letter
    assert first[:3] == [round(2 / 3, 4), round(1 / 3, 4), 1.0]
    assert second[:3] == [round(2 / 3, 4), round(1 / 3, 4), 1.0]
    assert third[:3] == [1.0, 1.0, 1.0] and third[3:] == [None] * 6
    assert scores["accuracy"]["overall"] == [round(4 / 7, 4), round(4 / 7, 4), 1.0]
    # the table: "bd" is third of all, second of b, first of bd
    assert scores["table"]["by_known"][0][:3] == [round(2 / 3, 4), round(2 / 3, 4), 1.0]
    assert scores["table"]["by_known"][1][:3] == [round(2 / 3, 4), 1.0, 1.0]


def test_scores_equal_torch():
    torch.manual_seed(2)
    vocabulary = ("a", "bb", "abc", "ca", "b")
    model = Autocomplete(AutocompleteConfig("gru", words=5, width=16, layers=1))
    text = encode(["a bb zz abc ca b a ab abc bb a cc b"], vocabulary)
    reading = read(model, text, 12)
    counted = reading.counted
    assert model.training
    batch = cut(text, text.tile(12), 12)
    logits = model(torch.from_numpy(batch.ids)).detach()
    expected = F.cross_entropy(logits.flatten(0, 1), torch.from_numpy(batch.targets).flatten(), ignore_index=-1)
    assert counted.sum() == (text.targets >= 0).sum() == (batch.targets >= 0).sum()
    assert counted.tolist() == (text.targets >= 0).tolist()
    assert reading.surprise[counted].mean() == pytest.approx(float(expected), rel=1e-6)  # float32 means of 40 numbers
    best = logits.argmax(-1).numpy()[batch.targets >= 0]
    assert (reading.best[counted] == best).all()
    assert (reading.rank[counted] == 0).tolist() == (best == batch.targets[batch.targets >= 0]).tolist()


def test_letters_that_no_sequence_holds_are_not_scored():
    text = encode(["a bbbbbbbb"], ("a", "bbbbbbbb"))
    model = Fixed([0.0, 1.0], [0.0, 1.0])
    reading = read(model, text, 5)
    assert reading.counted.tolist() == [True] * 7 + [False] * 4
    assert reading.rank.tolist() == [1, 1] + [0] * 9 and reading.best.tolist() == [1] * 7 + [0] * 4
    assert autocomplete_scores(model, ("a", "bbbbbbbb"), text, 5)["characters"] == 7


def test_every_sequence_is_reported():
    text = encode(["a b " * 200 + "a"], ("a", "b"))
    done: list[int] = []
    read(Fixed([0.0, 1.0], [0.0, 1.0]), text, 8, done.append)
    assert sum(done) == len(text.tile(8)) > 64 and len(done) > 1


def test_held_out_scores_read_the_shipped_split(tmp_path):
    (tmp_path / "english").mkdir()
    (tmp_path / "english" / "gutenberg.valid.txt").write_text("bd a a a a a a a a a a a.", "utf-8")
    model = Fixed([1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    scores = held_out_scores(model, ("a", "bc", "bd"), tmp_path)
    assert scores["words"] == 11 and len(scores["file_sha256"]) == 64  # of 12, the first is what runs follow
    assert scores["accuracy"]["overall"][0] == 1.0
    with pytest.raises(ConfigError, match="give another --data"):
        held_out_scores(model, ("a",), tmp_path / "none")
