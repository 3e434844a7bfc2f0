"""Beyond raw weights: norms of transformed values by hand, the rows of each measure, and how far two agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from engine.analysis import word_groups
from engine.coreference import Places, places
from engine.gradients import input_gradients
from engine.interventions import Head, KnockOut
from engine.measures import (
    GRADIENT,
    GRADIENT_ATTENTION,
    RAW,
    ROLLOUT,
    VALUES,
    Measures,
    agreement,
    measures,
    objective_at,
    sublayer,
    transformed_norms,
    value_weighted_maps,
)
from engine.models.attention import MultiHeadAttention
from engine.runner import Runner
from engine.types import KINDS, Tokens, Trace

TEXT = "The animal didn't cross the street because it was too tired."
FRENCH = "L'animal n'a pas traversé la rue car il était fatigué."
MEASURES = (RAW, VALUES, GRADIENT_ATTENTION, ROLLOUT, GRADIENT)


def span(text: str, word: str) -> tuple[int, int]:
    return text.index(word), text.index(word) + len(word)


@pytest.fixture(scope="module")
def trace(tiny_runner: Runner) -> Trace:
    return tiny_runner.trace(TEXT, FRENCH)


@pytest.fixture(scope="module")
def where(trace: Trace) -> Places:
    english, french = trace.source.text, trace.translation
    nouns = (span(english, "animal"), span(english, "street"))
    found = places(
        trace, span(english, "it "), nouns, span(french, "il "), (span(french, "animal"), span(french, "rue"))
    )
    assert not any(map(found.missing, KINDS))
    return found


# --- Norms ------------------------------------------------------------------------------------------------------------


def norms_by_hand(attention: MultiHeadAttention, values: np.ndarray) -> np.ndarray:
    """‖v W_O‖, number by number: head h of size c owns the columns h·c ... (h+1)·c − 1 of the output matrix."""
    matrix = attention.out_proj.weight.detach().double().numpy()  # (d, d): from what heads give to what is added
    heads, keys, size = values.shape
    norms = np.zeros((heads, keys))
    for head in range(heads):
        for key in range(keys):
            vector = [
                sum(matrix[row, head * size + i] * values[head, key, i] for i in range(size))
                for row in range(len(matrix))
            ]
            norms[head, key] = np.sqrt(sum(number**2 for number in vector))
    return norms


def test_transformed_norms_by_hand():
    torch.manual_seed(0)
    attention, values = MultiHeadAttention(6, 2).double(), torch.randn(2, 4, 3, dtype=torch.float64)
    found = transformed_norms(attention, values).detach().numpy()
    assert found.shape == (2, 4)
    np.testing.assert_allclose(found, norms_by_hand(attention, values.numpy()), rtol=1e-12)  # float64, sums of 18
    with torch.no_grad():
        attention.out_proj.weight.copy_(torch.eye(6))
        attention.out_proj.bias.fill_(100)  # which every row gets alike: no part of what a value adds
    found = transformed_norms(attention, values)
    torch.testing.assert_close(found.detach(), values.norm(dim=-1), rtol=1e-12, atol=0)  # as above


def weighted_by_hand(runner: Runner, trace: Trace, kind: str, layer: int) -> np.ndarray:
    """‖α v W_O‖ divided by the row's sum, with the values from the layer's own input."""
    model = runner.model
    source, read = runner.tensor(trace.source.ids), runner.tensor(trace.read.ids)
    with torch.no_grad():
        memory = model.run_encoder(model.embedding(source), None)
        x = model.embedding.place(model.embedding(source if kind == "encoder" else read))
        for block in (model.encoder if kind == "encoder" else model.decoder)[:layer]:
            x = block(x, None) if kind == "encoder" else block(x, memory, None)
        block = (model.encoder if kind == "encoder" else model.decoder)[layer]
        values = block.cross.project_memory(memory)[1] if kind == "cross" else block.project(x)[2]
    norms = norms_by_hand(block.cross if kind == "cross" else block.attention, values[0].double().numpy())
    sizes = trace.maps[kind].weights[layer].astype(np.float64) * norms[:, None, :]
    return sizes / sizes.sum(-1, keepdims=True)


@pytest.mark.parametrize(("kind", "layer"), [("encoder", 1), ("decoder", 1), ("cross", 2)])
def test_value_weighted_maps_of_a_model(tiny_runner, trace, kind, layer):
    found = value_weighted_maps(tiny_runner, trace)[kind]
    assert found.weights.shape == trace.maps[kind].weights.shape and found.key_tokens == trace.maps[kind].key_tokens
    # float32 norms of vectors of 32 numbers, through up to 4 layers: some roundings of 2^-24 of numbers up to 1
    np.testing.assert_allclose(found.weights[layer], weighted_by_hand(tiny_runner, trace, kind, layer), atol=5e-6)
    np.testing.assert_allclose(found.weights.sum(-1), 1, atol=1e-6)  # some ten terms, each rounded to 2^-25
    assert np.abs(found.weights - trace.maps[kind].weights).max() > 0.01
    assert (found.weights[..., found.masked()] == 0).all()


def test_values_are_those_of_the_run_with_its_interventions(tiny_runner):
    """With the encoder's first layer silent, the second has other values to weigh."""
    heads = tuple(Head("encoder", 0, head) for head in range(4))
    off = tiny_runner.trace(TEXT, FRENCH, (KnockOut(heads),))
    found = value_weighted_maps(tiny_runner, off)["encoder"].weights[1]
    model = tiny_runner.model
    with torch.no_grad():
        x = model.embedding.place(model.embedding(tiny_runner.tensor(off.source.ids)))
        bias = model.encoder[0].attention.out_proj.bias
        values = model.encoder[1].project(model.encoder[0].finish(x, bias.expand_as(x)))[2]
    sizes = off.maps["encoder"].weights[1] * norms_by_hand(model.encoder[1].attention, values[0].numpy())[:, None, :]
    np.testing.assert_allclose(found, sizes / sizes.sum(-1, keepdims=True), atol=5e-6)  # as above


def test_a_sublayer_is_found_by_its_place(tiny_runner):
    model = tiny_runner.model
    assert sublayer(model, ("encoder", 1)) is model.encoder[1].attention
    assert sublayer(model, ("decoder", 2)) is model.decoder[2].attention
    assert sublayer(model, ("cross", 0)) is model.decoder[0].cross


# --- Rows -------------------------------------------------------------------------------------------------------------


def summed(values: np.ndarray, tokens: Tokens) -> np.ndarray:
    return np.array([values[list(group)].sum() for group in word_groups(tokens)])


def test_the_objective_is_the_pronoun_at_the_step_that_says_it(trace, where):
    step = where.steps[0]
    objective = objective_at(trace, where, against=9)
    assert objective.prefix == trace.read.ids[: step + 1] and len(objective.prefix) == step + 1
    assert (objective.piece, objective.against) == (trace.predicted.ids[step], 9)
    assert trace.predicted.text[: trace.predicted.spans[step][1]].endswith((" il", " i"))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_are_of_the_words_looked_at(tiny_runner, trace, where, kind):
    head, objective = Head(kind, 1, 2), objective_at(trace, where)
    found = measures(tiny_runner, trace, where, head, objective)
    keys = trace.maps[kind].key_tokens
    assert tuple(found.rows) == MEASURES and {row.shape for row in found.rows.values()} == {(len(word_groups(keys)),)}
    assert len(found.words) < len(keys), "words are merged"
    assert ("animal" in found.words.labels) and found.shown().sum() == len(found.words) - 1  # <s> or </s>
    rows = list(where.row(kind))
    raw = trace.maps[kind].weights[1, 2][rows].mean(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found.rows[RAW], summed(raw, keys), rtol=0, atol=1e-12)  # float64 from here on
    for share in (RAW, VALUES, ROLLOUT):
        assert found.rows[share].sum() == pytest.approx(1, abs=2e-6)  # float32 rows of some ten numbers
        assert found.rows[share].min() >= 0
    assert found.rows[GRADIENT_ATTENTION].min() < 0 < found.rows[GRADIENT_ATTENTION].max()
    read = input_gradients(tiny_runner.model, trace.source.ids, objective)
    vectors = (read.target if kind == "decoder" else read.source).double().numpy()
    lengths = np.zeros(len(keys))
    lengths[: len(vectors)] = (vectors**2).sum(axis=1)
    # squares of float32 numbers, summed in another order
    np.testing.assert_allclose(found.rows[GRADIENT], np.sqrt(summed(lengths, keys)), rtol=1e-9)


def test_what_the_output_says_later_has_no_part_in_the_decision(tiny_runner, trace, where):
    found = measures(tiny_runner, trace, where, Head("decoder", 1, 2), objective_at(trace, where))
    first = word_groups(trace.read).index(next(g for g in word_groups(trace.read) if where.steps[0] in g))
    for row in found.rows.values():
        assert (row[first + 1 :] == 0).all()
        assert np.abs(row[: first + 1]).min() > 0


def test_rollout_of_a_cross_head_goes_through_the_encoder(tiny_runner, trace, where):
    """The layer's mean over heads, times the encoder's layers with half of each the residual connection."""
    found = measures(tiny_runner, trace, where, Head("cross", 1, 2), objective_at(trace, where)).rows[ROLLOUT]
    size = len(trace.source)
    reached = np.eye(size)
    for layer in trace.maps["encoder"].weights.astype(np.float64).mean(axis=1):
        reached = (layer + np.eye(size)) / 2 @ reached
    rolled = trace.maps["cross"].weights[1].astype(np.float64).mean(axis=0) @ reached
    # the rollout is kept in float32
    np.testing.assert_allclose(found, summed(rolled[list(where.steps)].mean(axis=0), trace.source), rtol=0, atol=1e-6)


# --- Agreement --------------------------------------------------------------------------------------------------------


def made(special: tuple[bool, ...], **rows: list[float]) -> Measures:
    count = len(special)
    words = Tokens("", ("x",) * count, (), tuple(range(count)), ((0, 0),) * count, special)
    return Measures(words, {name: np.array(row, dtype=float) for name, row in rows.items()})


def test_agreement_is_spearmans_with_ties_by_hand_and_by_scipy():
    found = made(
        (False,) * 5 + (True,),
        up=[1, 2, 3, 4, 5, -9],
        signed=[0.1, -0.3, 0.2, -0.5, 0.4, 100],  # by size: 0.1 0.3 0.2 0.5 0.4
        ties=[0.5, 0.5, 0.1, 0.5, 0.9, 0.5],
        flat=[2, 2, -2, 2, 2, 7],
    )
    names, table = agreement(found)
    assert names == ("up", "signed", "ties", "flat") and table.shape == (4, 4)
    assert np.isnan(table[3]).all() and np.isnan(table[:, 3]).all(), "all alike: no order to agree on"
    rest = table[:3, :3]
    np.testing.assert_allclose(np.diag(rest), 1, atol=1e-12)  # float64
    np.testing.assert_allclose(rest, rest.T, atol=1e-12)
    # ranks 1 2 3 4 5 and 1 3 2 5 4: 1 − 6 · 4 / (5 · 24)
    assert rest[0, 1] == pytest.approx(0.8, abs=1e-12)
    sizes = [np.abs(row)[:5] for row in found.rows.values()]
    assert rest[1, 2] == pytest.approx(spearmanr(sizes[1], sizes[2]).statistic, abs=1e-12)
    # ranks 1 2 3 4 5 and 3 3 1 3 5, less 3: products add up to 2 · 2, squares to 10 and to 8
    assert rest[0, 2] == pytest.approx(4 / np.sqrt(80), abs=1e-12)


def test_too_few_words_have_no_order():
    _, table = agreement(made((False, False, True), one=[1, 2, 3], other=[1, 2, 3]))
    assert np.isnan(table).all()


def test_a_models_measures_agree_with_themselves(tiny_runner, trace, where):
    names, table = agreement(measures(tiny_runner, trace, where, Head("encoder", 1, 0), objective_at(trace, where)))
    assert names == MEASURES
    np.testing.assert_allclose(np.diag(table), 1, atol=1e-12)  # float64
    np.testing.assert_allclose(table, table.T, atol=1e-12)
    assert np.abs(table).max() <= 1 + 1e-12
