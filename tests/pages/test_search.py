"""A view of the Beam search page: its address and file, what of them is refused, and the searches it asks for."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import MODELS
from engine.decoding.options import STOPPINGS, BeamOptions, SampleOptions
from engine.decoding.tree import SearchRequest
from engine.errors import InputError
from pages._address import LONGEST_ADDRESS, fits
from pages._lab import CODEC as LAB
from pages._lab import LabView
from pages._search import LONGEST, MOST_CANDIDATES, STOPS, VIEW, SearchView, options_of, requests_of
from tests.pages.addresses import assert_what_is_refused_is_named

CODEC = VIEW.codec
CARD = MODELS["en-fr"]
counts = st.integers(0, 99_999)
decimals = st.integers(-10_000, 10_000).map(lambda thousandths: thousandths / 1000)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
prefixes = st.lists(st.lists(counts, min_size=1, max_size=5).map(tuple), max_size=4).map(tuple)
penalties = st.sampled_from(["length", "gnmt"])
views = st.builds(
    SearchView,
    model=texts,
    text=texts,
    method=st.sampled_from(["beam", "samples"]),
    beams=counts,
    penalty=penalties,
    alpha=decimals,
    stop=st.sampled_from(["full", "likely", "never"]),
    length=counts,
    repeat=counts,
    shrinking=st.booleans(),
    candidates=counts,
    samples=counts,
    temperature=decimals,
    top_k=counts,
    top_p=decimals,
    seed=counts,
    forced=prefixes,
    tree=counts,
    node=st.integers(-1, 99_999),
    step=st.integers(-1, 99_999),
    phase=st.sampled_from(["expand", "keep"]),
    pruned=st.booleans(),
    again=st.none() | penalties,
    other=st.none() | decimals,
    presenter=st.booleans(),
)
numbers = st.floats(allow_nan=True, allow_infinity=True).map(repr) | st.integers().map(str)


@given(views)
def test_every_view_comes_back_from_its_address(view: SearchView) -> None:
    address = dict(parse_qsl(urlencode(CODEC.encode(view)), keep_blank_values=True))
    assert CODEC.decode(address) == (view, [])


@given(views)
def test_every_view_comes_back_from_its_request_file(view: SearchView) -> None:
    assert CODEC.from_file(CODEC.to_file(view).encode()) == (view, [])


@given(st.dictionaries(st.sampled_from(list(CODEC.forms)) | texts, texts | numbers, max_size=8))
def test_no_address_breaks_the_page_and_what_is_refused_is_named(address: dict[str, str]) -> None:
    view, _ = CODEC.decode(address)
    alone = [CODEC.decode({name: text}) for name, text in address.items()]
    assert_what_is_refused_is_named(CODEC, address)
    assert all(one == SearchView() for one, found in alone if found)  # what is named is not half used
    assert CODEC.decode(CODEC.encode(view)) == (view, [])


def test_every_field_of_a_view_has_a_reader() -> None:
    assert list(CODEC.forms) == [field.name for field in fields(SearchView)]


def test_an_address_says_only_what_differs_from_a_fresh_page() -> None:
    assert CODEC.encode(SearchView()) == {}
    assert CODEC.encode(SearchView(beams=5, alpha=0.6, shrinking=True)) == {
        "beams": "5",
        "alpha": "0.6",
        "shrinking": "1",
    }


def test_trees_and_nodes_are_written_from_1_and_steps_as_they_are_counted() -> None:
    view = SearchView(forced=((6, 1100), (48,)), tree=2, node=0, step=0, phase="expand", pruned=False)
    assert CODEC.encode(view) == {
        "forced": "6.1100_48",
        "tree": "3",
        "node": "1",
        "step": "0",
        "phase": "expand",
        "pruned": "0",
    }
    assert CODEC.decode({"node": "none", "step": "all"}) == (SearchView(), [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("method", "greedy"),
        ("beams", "-1"),
        ("beams", "two"),
        ("beams", "1.5"),
        ("beams", "٣"),
        ("beams", "9" * 5_000),
        ("beams", ""),
        ("penalty", "none"),
        ("alpha", "nan"),
        ("alpha", "inf"),
        ("alpha", "1e9"),
        ("alpha", "one"),
        ("stop", "when k are finished"),
        ("length", "1e2"),
        ("shrinking", "yes"),
        ("temperature", "-99"),
        ("forced", ""),
        ("forced", "_"),
        ("forced", "1..2"),
        ("forced", "1.2_"),
        ("forced", "le"),
        ("forced", "-5"),
        ("tree", "0"),
        ("node", "0"),
        ("node", "first"),
        ("step", "-1"),
        ("phase", "pruned"),
        ("pruned", "2"),
        ("again", ""),
        ("other", "11"),
    ],
)
def test_an_invalid_value_is_named_and_the_rest_still_counts(name: str, text: str) -> None:
    view, problems = CODEC.decode({name: text, "text": "Hello."})
    assert view == SearchView(text="Hello.")
    assert len(problems) == 1
    assert f"“{name}={text[:40]}”" in problems[0]


def test_an_unknown_parameter_is_named() -> None:
    view, problems = CODEC.decode({"width": "5"})
    assert view == SearchView() and len(problems) == 1 and "width" in problems[0]


def test_a_long_text_does_not_fit_and_takes_with_it_what_means_nothing_without_it() -> None:
    view = SearchView(text="é" * LONGEST_ADDRESS, beams=5, forced=((6,),), tree=1, node=3, step=2, presenter=True)
    address = CODEC.encode(view)
    assert not fits(address)
    rest = CODEC.without_text(address)
    assert rest == {"beams": "5", "presenter": "1"} and fits(rest)


def test_a_number_in_a_request_file_is_read_or_named() -> None:
    view, problems = CODEC.from_file(b'{"saccade": 1, "page": "beam", "beams": 3, "alpha": 0.5, "forced": [[1]]}')
    assert view == SearchView(beams=3, alpha=0.5)
    assert len(problems) == 1 and "forced" in problems[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no request file of Saccade"),
        (b"\xff\xfe", "no request file of Saccade"),
        (b"[" * 100_000, "no request file of Saccade"),
        (b'{"page": "beam"}', "no request file of Saccade"),
        (b'{"saccade": 2, "page": "beam"}', "no request file of Saccade"),
        (b'{"saccade": 1, "text": "Hi."}', "is of the page Translate"),  # the first files did not say
        (LAB.to_file(LabView(first="Hi.")).encode(), "Open it there"),
        (json.dumps({"saccade": 1, "page": ["<b>"] * 99}).encode(), "Open it there"),
    ],
)
def test_another_file_is_refused_with_a_reason(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CODEC.from_file(content)


def test_a_beam_view_asks_for_a_beam_search() -> None:
    view = SearchView(
        beams=3, candidates=20, length=32, penalty="gnmt", alpha=0.6, stop="never", repeat=2, shrinking=True
    )
    assert options_of(view) == BeamOptions(
        beams=3,
        candidates=20,
        max_length=32,
        penalty="gnmt",
        alpha=0.6,
        stopping="never early",
        no_repeat=2,
        shrinking=True,
    )
    assert options_of(SearchView()) == BeamOptions()


def test_each_way_to_stop_has_its_name() -> None:
    assert tuple(STOPS.values()) == STOPPINGS
    assert STOPS["full"] == "when k are finished"


def test_a_samples_view_asks_for_samples() -> None:
    view = SearchView(method="samples", samples=5, temperature=0.8, top_k=20, top_p=0.9, seed=7, length=48, beams=99)
    assert options_of(view) == SampleOptions(
        samples=5, temperature=0.8, top_k=20, top_p=0.9, seed=7, max_length=48
    )  # the beam of a method that is not chosen is not looked at


def test_each_forced_beginning_is_a_search_of_its_own() -> None:
    view = SearchView(text="  He\u00a0slept… ", beams=2, forced=((6, 7), (8,)))
    options = BeamOptions(beams=2)
    text = "He slept..."
    assert requests_of(CARD, view) == [
        SearchRequest(CARD.identity, text, options),
        SearchRequest(CARD.identity, text, options, (6, 7)),
        SearchRequest(CARD.identity, text, options, (8,)),
    ]


def test_what_is_only_looked_at_differently_asks_for_the_same_search() -> None:
    view = SearchView(text="Hi.", forced=((6,),))
    looked = replace(
        view, tree=1, node=7, step=3, phase="expand", pruned=False, again="gnmt", other=2.0, presenter=True, samples=3
    )
    assert requests_of(CARD, looked) == requests_of(CARD, view)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"beams": 0}, "k from 1 to 16"),
        ({"beams": 99}, "A beam of 99"),
        ({"length": 0}, "room for one token"),
        ({"length": LONGEST + 1}, "Choose 128 at most"),
        ({"candidates": MOST_CANDIDATES + 1}, "Choose 50 at most"),
        ({"method": "samples", "samples": 0}, "0 samples"),
        ({"method": "samples", "samples": 33}, "33 samples"),
        ({"method": "samples", "temperature": 0.0}, "above 0"),
        ({"method": "samples", "temperature": -1.0}, "above 0"),
        ({"method": "samples", "top_p": 0.0}, "top-p above 0"),
        ({"method": "samples", "top_p": 1.5}, "top-p above 0"),
        ({"method": "samples", "length": 0}, "room for one token"),
    ],
)
def test_what_no_search_can_do_is_refused_with_what_to_choose(values: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        requests_of(CARD, replace(SearchView(text="Hi."), **values))
