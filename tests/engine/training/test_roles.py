"""Heads with a role: averages over texts, the best of each kind, and "its" by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.card_translation import ROLE_WORDS
from engine.errors import InputError
from engine.heads import PATTERNS, head_scores
from engine.training.folds import LECTURE_ITS
from engine.training.roles import ROLES, best_roles, head_roles, its_scores, mean_scores, word_mass
from engine.types import AttentionMap, Tokens


def no_report(done: int) -> None:
    """For calls whose progress is not under test."""


def pieces_of(text: str, *cuts: str) -> Tokens:
    """One token a word, the words in `cuts` in two pieces; ",", "." and </s> are tokens of their own."""
    labels: list[str] = []
    spans, words, place = [], [], 0
    for word, label in enumerate(text.replace(",", " ,").replace(".", " .").split()):
        for piece in (label[:1], label[1:]) if label in cuts else (label,):
            place = text.index(piece, place)
            labels.append(piece)
            spans.append((place, place + len(piece)))
            words.append(word)
            place += len(piece)
    size = len(labels)
    special = (*[False] * size, True)
    return Tokens(text, (*labels, "</s>"), (), (*words, words[-1] + 1), (*spans, (0, 0)), special)


def test_every_role_is_a_pattern_of_its_kind():
    assert all(pattern in PATTERNS[kind] for kind, pattern in ROLES.values())
    assert list(ROLES) == list(ROLE_WORDS)


# --- Over many texts --------------------------------------------------------------------------------------------------


def test_scores_are_the_mean_over_the_texts(tiny_runner):
    texts = ["The cat sleeps.", "It is late.", "Do you speak French?"]
    scores, count = mean_scores(tiny_runner, texts, no_report)
    assert count == 3 and set(scores) == {"encoder", "decoder", "cross"}
    for kind, named in scores.items():
        each = [head_scores(tiny_runner.trace(text).maps[kind]) for text in texts]
        assert list(named) == list(each[0])
        for name, found in named.items():
            # Sums in another order: the last bits of float64.
            assert np.allclose(found, np.mean([one[name] for one in each], axis=0), rtol=1e-12, atol=0)


def test_texts_that_the_model_does_not_take_are_left_out(tiny_runner):
    reported: list[int] = []
    taken = ["The cat sleeps.", "It is late."]
    mixed = [taken[0], "the " * 100, "你好", "", taken[1]]
    assert head_roles(tiny_runner, mixed, reported.append) == head_roles(tiny_runner, taken, no_report)
    assert reported == [1] * 5
    with pytest.raises(InputError, match="takes none of these texts"):
        head_roles(tiny_runner, ["", "你好"], no_report)


def test_a_models_roles_have_the_form_that_cards_read(tiny_runner):
    found = head_roles(tiny_runner, ["The cat sleeps on the red chair."], no_report)
    assert found["sentences"] == 1 and list(found["roles"]) == list(ROLES)
    layers = {"encoder": 2, "decoder": 3, "cross": 3}
    for role, best in found["roles"].items():
        assert best["kind"] == ROLES[role][0]
        assert best["layer"] in range(layers[best["kind"]]) and best["head"] in range(4)
        assert 0 <= best["score"] <= 1 and best["score"] == round(best["score"], 4)


def test_the_best_head_of_each_role_is_found_in_its_own_scores():
    rng = np.random.default_rng(0)
    scores: Any = {kind: {name: rng.random((3, 4)) / 2 for name in named} for kind, named in PATTERNS.items()}
    places = {role: (i % 3, (i + 1) % 4) for i, role in enumerate(ROLES)}
    for role, (kind, pattern) in ROLES.items():
        scores[kind][pattern][places[role]] = 0.87654321
    assert best_roles(scores) == {
        role: {"kind": kind, "layer": places[role][0], "head": places[role][1], "score": 0.8765}
        for role, (kind, _) in ROLES.items()
    }


# --- "its" ------------------------------------------------------------------------------------------------------------


def pointing(masses: list[list[list[float]]], *cuts: str) -> Any:
    """A runner whose encoder heads give what is asked from the pieces of "its" to those of "Law".

    Args:
        masses: for each layer and head, the mass on each piece of "Law"; the rest goes to </s>.
        cuts: the words in two pieces.
    """
    source = pieces_of(LECTURE_ITS, *cuts)
    laws = [i for i, word in enumerate(source.words) if word == 1]
    itses = [i for i, word in enumerate(source.words) if word == 8]
    assert "".join(source.labels[i] for i in laws) == "Law" and "".join(source.labels[i] for i in itses) == "its"
    weights = np.zeros((len(masses), len(masses[0]), len(source), len(source)), dtype=np.float32)
    weights[..., laws[0]] = 1  # what every other word looks at must not be read
    weights[:, :, itses] = 0
    for layer, heads in enumerate(masses):
        for head, shares in enumerate(heads):
            for row in itses:
                weights[layer, head, row, laws] = shares
                weights[layer, head, row, -1] = 1 - sum(shares)
    trace = SimpleNamespace(maps={"encoder": AttentionMap("encoder", weights, source, source)})
    return SimpleNamespace(trace={LECTURE_ITS: trace}.__getitem__)


def test_its_heads_are_the_two_best_of_the_layer_with_the_strongest_one():
    """Layer 0 has more mass in all, layer 1 the strongest head."""
    runner = pointing([[[0.5], [0.5], [0.5]], [[0.125], [0.0], [0.75]]])
    assert its_scores(runner) == {"english": LECTURE_ITS, "layer": 1, "heads": [2, 0], "masses": [0.75, 0.125]}


def test_the_mass_on_law_is_the_sum_over_its_pieces():
    runner = pointing([[[0.5, 0.0], [0.25, 0.375], [0.125, 0.125]]], "Law")
    assert its_scores(runner) == {"english": LECTURE_ITS, "layer": 0, "heads": [1, 0], "masses": [0.625, 0.5]}


def test_the_mass_from_its_is_the_mean_over_its_pieces():
    runner = pointing([[[0.5, 0.0], [0.25, 0.375]]], "Law", "its")
    attention = runner.trace(LECTURE_ITS).maps["encoder"]
    weights = attention.weights.copy()
    second = attention.query_tokens.labels.index("ts")
    weights[:, :, second] = 0
    weights[:, :, second, -1] = 1
    halved = AttentionMap("encoder", weights, attention.query_tokens, attention.key_tokens)
    assert word_mass(halved, "its", "Law").tolist() == [[0.25, 0.3125]]


def test_equal_heads_stay_in_order():
    assert its_scores(pointing([[[0.25], [0.25], [0.25]]]))["heads"] == [0, 1]


def test_its_runs_on_a_model(tiny_runner):
    found = its_scores(tiny_runner)
    mass = word_mass(tiny_runner.trace(LECTURE_ITS).maps["encoder"], "its", "Law")
    assert mass.shape == (2, 4)
    assert found["layer"] in (0, 1) and len(set(found["heads"])) == 2
    assert found["masses"][0] == round(float(mass.max()), 4)
    assert found["masses"] == sorted(found["masses"], reverse=True)
