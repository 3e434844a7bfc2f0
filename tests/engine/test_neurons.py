"""Neurons: a row by hand, what adds up to every logit, the weights of the maps themselves, and the files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.catalogue import MODELS
from engine.completion import Completer
from engine.errors import InputError, Unsupported
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.models.query_key import QueryKey
from engine.models.taps import Taps
from engine.neuron_tables import COLUMNS, neurons_csv, neurons_json
from engine.neurons import Neurons, head_vectors, head_vectors_of, likely_row, neurons, neurons_at, outline_of
from engine.reading import Axes, Reading, reading_of, trace_of
from engine.runner import Runner
from engine.types import KINDS, Kind, Tokens, TraceRequest
from tests.engine import cloze_cases
from tests.engine.generators import tiny_gpt

ROUNDED = 1e-5  # float32: sums of some tens of products


def tokens(labels: str) -> Tokens:
    spans = tuple((i, i + 1) for i in range(len(labels)))
    return Tokens(labels, tuple(labels), (), tuple(range(len(labels))), spans, (False,) * len(labels))


def reading(seen: QueryKey | None, kind: Kind = "decoder", layers: int = 1, predicted: bool = False) -> Reading:
    """A text whose forward shows these queries and keys."""
    assert seen is None or seen.query.shape[0] == 1
    heads = 1 if seen is None else seen.heads
    rows, columns = (2, 2) if seen is None else (seen.query.shape[2], seen.key.shape[2])

    def run(taps: Taps) -> None:
        for tap in taps.values():
            if seen is not None and tap.look is not None:
                tap.look(seen)

    query, key = tokens("abcdefgh"[:rows]), tokens("ABCDEFGH"[:columns])
    axes = Axes(query, key, tokens("bcdefghi"[:rows]) if predicted else None)
    request = TraceRequest("one@12345678", "text", None, 0)
    names = {kind: tuple(f"head {n + 1}" for n in range(heads))}
    return Reading(request, {kind: axes}, {kind: layers}, {kind: heads}, {kind: heads}, run, names)


def vectors(*rows: list[float]) -> torch.Tensor:
    """One head's vectors, (1, 1, T, D)."""
    return torch.tensor(rows)[None, None]


def adds_up(found: Neurons) -> None:
    """What must hold of every row."""
    allowed = found.allowed
    np.testing.assert_allclose(found.products, found.query * found.keys * np.float32(found.scaling), rtol=1e-6, atol=0)
    np.testing.assert_allclose(found.running, np.cumsum(found.products, axis=1), atol=ROUNDED)
    parts = found.running[:, -1] + found.bias + found.capped
    np.testing.assert_allclose(parts[allowed], found.logits[allowed], atol=ROUNDED, rtol=ROUNDED)
    assert np.isneginf(found.logits[~allowed]).all() and not found.weights[~allowed].any()
    logits = found.logits if found.sink is None else np.append(found.logits, np.float32(found.sink))
    shares = np.exp(logits - logits.max())
    np.testing.assert_allclose(found.weights, (shares / shares.sum())[: len(found.weights)], atol=ROUNDED)
    assert found.weights.sum() + found.sink_weight == pytest.approx(1, abs=ROUNDED)


# ---- by hand ----


def test_a_row_by_hand() -> None:
    seen = QueryKey(vectors([1, 0], [2, -1]), vectors([1, 3], [0.5, 4], [-1, 0]), 0.5, causal=True)
    found = neurons(reading(seen), "decoder", 0, 0, 1)
    np.testing.assert_array_equal(found.products, [[1, -1.5], [0.5, -2], [-1, 0]])
    np.testing.assert_array_equal(found.running, [[1, -0.5], [0.5, -1.5], [-1, -1]])
    np.testing.assert_array_equal(found.logits, np.array([-0.5, -1.5, -1], np.float32))
    assert found.allowed.all() and not found.bias.any() and not found.capped.any()  # the last of K rows sees all
    share = np.exp([-0.5, -1.5, -1.0])
    np.testing.assert_allclose(found.weights, share / share.sum(), rtol=1e-6)
    first = neurons(reading(seen), "decoder", 0, 0, 0)  # a cache in front: it sees two of three
    assert first.allowed.tolist() == [True, True, False] and first.logits[2] == -np.inf and first.weights[2] == 0
    np.testing.assert_array_equal(first.products[2], [-0.5, 0])  # there is a product where looking is forbidden, too
    assert (found.width, found.row, found.key_head, found.shared_by) == (2, 1, 0, (0,))
    assert found.query_tokens.labels == ("a", "b") and found.key_tokens.labels == ("A", "B", "C")


def test_a_cap_is_a_part_of_its_own() -> None:
    seen = QueryKey(vectors([4.0]), vectors([1.0], [0.0], [-2.0]), 1.0, cap=2.0)
    found = neurons(reading(seen), "decoder", 0, 0, 0)
    pressed = 2 * np.tanh(np.array([4, 0, -8]) / 2)
    np.testing.assert_allclose(found.logits, pressed, rtol=1e-6)
    np.testing.assert_allclose(found.capped, pressed - [4, 0, -8], atol=1e-6)
    assert found.cap == 2.0
    adds_up(found)


@pytest.mark.parametrize("lowest", [-10_000.0, torch.finfo(torch.float16).min, torch.finfo(torch.float32).min, -np.inf])
def test_a_mask_may_add_and_may_forbid(lowest: float) -> None:
    mask = torch.tensor([[0.0, -0.25, lowest]])  # as ALiBi adds and forbids at once
    seen = QueryKey(vectors([1.0, 1.0]), vectors([1.0, 0.0], [2.0, 0.5], [9.0, 9.0]), 1.0, mask)
    found = neurons(reading(seen), "decoder", 0, 0, 0)
    np.testing.assert_array_equal(found.bias, np.array([0, -0.25, 0], np.float32))
    np.testing.assert_array_equal(found.logits, np.array([1, 2.25, -np.inf], np.float32))
    assert found.allowed.tolist() == [True, True, False]
    adds_up(found)


def test_a_sink_takes_its_share() -> None:
    seen = QueryKey(vectors([1.0]), vectors([0.0], [0.0]), 1.0, sinks=torch.tensor([np.log(2.0)]))
    found = neurons(reading(seen), "decoder", 0, 0, 0)
    assert found.sink == pytest.approx(np.log(2)) and found.sink_weight == pytest.approx(0.5)
    np.testing.assert_allclose(found.weights, [0.25, 0.25])


def test_heads_that_share_keys_say_so() -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(1, 6, 4, 8, generator=generator), torch.randn(1, 2, 4, 8, generator=generator)
    bias, mask = torch.randn(1, 6, 4, 4, generator=generator), torch.ones(1, 1, 4, 4, dtype=torch.bool).tril()
    sinks = torch.randn(6, generator=generator)
    seen = QueryKey(query, key, 8**-0.5, mask, bias=bias, cap=1.5, sinks=sinks)
    whole = seen.weights()
    for head in range(6):
        for row in range(4):
            found = neurons(reading(seen), "decoder", 0, head, row)
            adds_up(found)
            np.testing.assert_allclose(found.weights, whole[0, head, row], atol=1e-6)
            np.testing.assert_array_equal(found.keys, key[0, head // 3])
            np.testing.assert_array_equal(found.bias[found.allowed], bias[0, head, row, : row + 1])
            assert (found.key_head, found.shared_by) == (head // 3, ((0, 1, 2), (3, 4, 5))[head // 3])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_adds_up_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    query, key = (torch.randn(1, 1, 5, 64, generator=generator).to(dtype) for _ in range(2))
    mask = torch.zeros(1, 1, 5, 5, dtype=dtype).masked_fill(~torch.ones(5, 5).tril().bool(), torch.finfo(dtype).min)
    seen = QueryKey(query, key, 0.125, mask)
    for row in range(5):
        found = neurons(reading(seen), "decoder", 0, 0, row)
        adds_up(found)
        assert found.allowed.sum() == row + 1
        # of the model's own weights, whose logits are rounded to 8 bits in bfloat16
        np.testing.assert_allclose(found.weights, seen.weights()[0, 0, row], atol=0.02)


def test_the_numbers_are_copies_that_nobody_changes() -> None:
    seen = QueryKey(vectors([1.0, 2.0]), vectors([3.0, 4.0]), 1.0)
    found = head_vectors(reading(seen), "decoder", 0, 0)
    row = neurons_at(found, 0)
    seen.query.zero_(), seen.key.zero_()
    assert neurons_at(found, 0).logits.tolist() == row.logits.tolist() == [11]
    with pytest.raises(ValueError, match="read-only"):
        row.keys[0] = 0


@pytest.mark.parametrize(
    ("place", "message"),
    [
        (("encoder", 0, 0, 0), "This model has no encoder attention. Choose one of: decoder."),
        (("decoder", 2, 0, 0), "There is no layer 3: choose one from 1 to 2."),
        (("decoder", -1, 0, 0), "There is no layer 0"),
        (("decoder", 0, 1, 0), "There is no head 2: choose one from 1 to 1."),
        (("decoder", 0, 0, 2), "There is no position 3: choose one from 1 to 2."),
    ],
)
def test_what_is_not_there_is_named(place: tuple[Kind, int, int, int], message: str) -> None:
    seen = QueryKey(vectors([1.0], [1.0]), vectors([1.0], [1.0]), 1.0)
    with pytest.raises(InputError, match=message):
        neurons(reading(seen, layers=2), *place)


def test_what_cannot_be_seen_is_said() -> None:
    with pytest.raises(Unsupported, match=r"layer 1 does not show its queries and keys. Look at its maps instead."):
        neurons(reading(None), "decoder", 0, 0, 0)
    seen = QueryKey(vectors([1.0]), vectors([np.inf]), 1.0)
    with pytest.raises(Unsupported, match=r"are not finite numbers. Open the model in float32 or bfloat16."):
        neurons(reading(seen), "decoder", 0, 0, 0)


# ---- native models ----


@cache
def completer() -> Completer:
    torch.manual_seed(2)
    words = ("the", "cat", "sat")
    config = AutocompleteConfig("transformer", len(words), embedding=16, width=16, layers=2, heads=2, feedforward=32)
    model = Autocomplete(config).eval().requires_grad_(False)
    return Completer(MODELS["autocomplete-transformer"], model, words, "cpu")


@pytest.fixture(scope="module")
def translator(tiny_runner: Runner) -> Runner:
    card = replace(tiny_runner.card, supports=frozenset({"translate", "encoder", "decoder", "cross", "read"}))
    return Runner(card, tiny_runner.model, tiny_runner.tokenizer, "cpu")


def is_the_trace(model: Any, text: str, second: str = "") -> set[Kind]:
    """Every row of every head is that of the trace's maps; the kinds of maps there are."""
    found, maps = reading_of(model, text, second), trace_of(model, text, second).maps
    for kind in found.axes:
        weights = maps[kind].weights
        assert weights.shape[:2] == (found.layers[kind], found.heads[kind])
        for layer, head in np.ndindex(weights.shape[:2]):
            seen = head_vectors(found, kind, layer, head)
            for row in range(len(found.axes[kind].query)):
                one = neurons_at(seen, row)
                adds_up(one)
                np.testing.assert_allclose(one.weights, weights[layer, head, row], atol=ROUNDED)
                assert one.key_tokens.labels == maps[kind].key_tokens.labels and one.allowed[row] | (kind == "cross")
                if kind == "decoder":
                    assert one.allowed.tolist() == [key <= row for key in range(len(one.weights))]
    return set(found.axes)


def test_rows_are_those_of_the_maps_of_native_models(translator: Runner) -> None:
    writer = tiny_gpt()
    writer = replace(writer, card=replace(writer.card, supports=frozenset({"generate", "decoder", "read"})))
    assert is_the_trace(translator, "the cat sleeps .") == set(KINDS)
    assert is_the_trace(translator, "the cat sleeps .", "le chien dort .") == set(KINDS)
    assert is_the_trace(cloze_cases.cloze(), "The old man sat.", "It was late.") == {"encoder"}
    assert is_the_trace(writer, "The cat sat.") == {"decoder"}
    assert is_the_trace(completer(), "the cat") == {"decoder"}


def test_an_outline_can_be_kept(translator: Runner) -> None:
    kept = outline_of(translator, "the cat sleeps .")
    found = reading_of(translator, "the cat sleeps .")
    assert (kept.axes, kept.layers, kept.heads) == (found.axes, found.layers, found.heads)
    with pytest.raises(AssertionError, match="an outline runs nothing"):
        kept.run({})
    seen = head_vectors_of(translator, "the cat sleeps .", "", "cross", 1, 0)
    again = head_vectors(found, "cross", 1, 0)
    assert torch.equal(seen.compared.query, again.compared.query) and seen.request == found.request


# ---- what is looked at first, and files ----


@pytest.mark.parametrize(
    ("labels", "special", "row"),
    [("ab.", "000", 1), ("ab.", "010", 0), (".,", "00", 1), ("é。", "00", 0), ("ab", "11", 1)],
)
def test_the_last_word_is_looked_at_first(labels: str, special: str, row: int) -> None:
    given = replace(tokens(labels), special=tuple(one == "1" for one in special))
    assert likely_row(given) == row


@pytest.fixture
def row() -> Neurons:
    generator = torch.Generator().manual_seed(3)
    query, key = torch.randn(1, 1, 3, 4, generator=generator), torch.randn(1, 1, 3, 4, generator=generator)
    seen = QueryKey(query, key, 0.5, causal=True)
    return neurons(reading(seen, predicted=True), "decoder", 0, 0, 1)


def test_a_csv_gives_the_very_numbers_back(row: Neurons) -> None:
    labels = ('"', "=1\n", "<b>")
    named = replace(row, key_tokens=replace(row.key_tokens, labels=labels))
    lines = list(csv.DictReader(io.StringIO(neurons_csv(named), newline="")))
    assert tuple(lines[0]) == COLUMNS and len(lines) == 3 * 4
    assert [line["key"] for line in lines[::4]] == list(labels)
    assert [line["allowed"] for line in lines[::4]] == ["1", "1", "0"]
    for name, expected in (("k", row.keys), ("product", row.products), ("running_sum", row.running)):
        found = np.array([line[name] for line in lines], dtype=np.float32).reshape(3, 4)
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.array([line["q"] for line in lines[:4]], np.float32), row.query)
    some = list(csv.DictReader(io.StringIO(neurons_csv(row, (2,)), newline="")))
    assert {line["key_index"] for line in some} == {"2"} and len(some) == 4


def test_a_json_file_holds_the_row(row: Neurons) -> None:
    found: Mapping[str, Any] = json.loads(neurons_json(row))
    assert (found["model"], found["text"], found["kind"], found["row"]) == ("one@12345678", "text", "decoder", 1)
    assert (found["query_token"], found["predicted_token"], found["key_tokens"]) == ("b", "c", ["A", "B", "C"])
    np.testing.assert_array_equal(np.array(found["keys"], np.float32), row.keys)
    np.testing.assert_array_equal(np.array(found["weights"], np.float32), row.weights)
    assert found["logits"][2] is None and found["allowed"] == [True, True, False]
    assert (found["scaling"], found["sink"], found["shared_by"]) == (0.5, None, [0])
