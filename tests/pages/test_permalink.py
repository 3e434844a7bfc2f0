"""A view and its address: every state comes back, and what cannot be used is named."""

from dataclasses import fields
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pages._address import LONGEST_ADDRESS, fits
from pages._permalink import CODEC, View

encode, decode, to_file, from_file = CODEC.encode, CODEC.decode, CODEC.to_file, CODEC.from_file
without_text = CODEC.without_text

positions = st.lists(st.integers(0, 511), max_size=6, unique=True).map(lambda found: tuple(sorted(found)))
places = st.tuples(st.integers(0, 31), st.integers(0, 31))
shares = st.integers(0, 100).map(lambda hundredths: hundredths / 100)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
views = st.builds(
    View,
    model=texts,
    text=texts,
    target=st.none() | texts,
    measure=st.sampled_from(["attention", "gradient"]),
    norm=st.sampled_from(["one-hot", "embedding", "squared"]),
    map=st.sampled_from(["encoder", "decoder", "cross"]),
    view=st.sampled_from(["lines", "playback", "grid", "heatmap"]),
    tokens=st.sampled_from(["words", "pieces"]),
    special=st.sampled_from(["shown", "hidden", "renormalised"]),
    over_heads=st.sampled_from(["each", "mean", "max"]),
    over_layers=st.sampled_from(["each", "mean", "max"]),
    layer=st.none() | st.integers(0, 31),
    heads=st.none() | positions,
    pins=positions,
    at=positions,
    least=st.none() | shares,
    mass=st.none() | shares,
    compare=st.sampled_from(["one", "pair", "difference"]),
    other=st.none() | places,
    step=st.integers(0, 200),
    presenter=st.booleans(),
)


@given(views)
def test_every_view_comes_back_from_its_address(view):
    address = dict(parse_qsl(urlencode(encode(view)), keep_blank_values=True))
    assert decode(address) == (view, [])


@given(views)
def test_every_view_comes_back_from_its_request_file(view):
    assert from_file(to_file(view).encode()) == (view, [])


def test_an_address_says_only_what_differs_from_a_fresh_page():
    assert encode(View()) == {}
    assert encode(View(layer=1, heads=(0, 3), pins=(7,))) == {"layer": "2", "heads": "1.4", "pins": "8"}


def test_no_head_is_something_else_than_the_page_s_own_choice():
    assert encode(View(heads=())) == {"heads": "none"}
    assert decode({"heads": "none"})[0].heads == ()
    assert decode({})[0].heads is None


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("map", "sideways"),
        ("measure", "gradients"),
        ("norm", "L1"),
        ("layer", "0"),
        ("layer", "-1"),
        ("layer", "two"),
        ("layer", "٣"),
        ("layer", "9" * 5_000),
        ("layer", "0000001" + "9" * 5_000),
        ("layer", "00000012345678"),
        ("heads", "1.x"),
        ("heads", ""),
        ("pins", "1.."),
        ("least", "2"),
        ("least", "nan"),
        ("mass", "-0.1"),
        ("other", "3"),
        ("other", "1.2.3"),
        ("presenter", "yes"),
        ("step", "1.5"),
    ],
)
def test_an_invalid_value_is_named_and_the_rest_still_counts(name, text):
    view, problems = decode({name: text, "text": "Hello."})
    assert view == View(text="Hello.")
    assert len(problems) == 1
    assert f"“{name}={text[:40]}”" in problems[0]


def test_an_unknown_parameter_is_named():
    view, problems = decode({"colour": "red"})
    assert view == View()
    assert "colour" in problems[0]


def test_a_long_text_does_not_fit_but_the_rest_of_the_view_does():
    address = encode(View(text="é" * LONGEST_ADDRESS, layer=1, pins=(3,)))
    assert not fits(address)
    assert without_text(address) == {"layer": "2"}
    assert fits(without_text(address))


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"{}", b"[]", b'{"saccade": 2}', b"\xff\xfe", b"null", b'"text"']
)
def test_another_file_is_refused_with_a_reason(content):
    with pytest.raises(ValueError, match="no request file of Saccade"):
        from_file(content)


def test_every_field_of_a_view_has_a_reader():
    assert list(CODEC.forms) == [field.name for field in fields(View)]


def test_an_address_with_heads_reads_as_on_the_screen():
    assert decode({"other": "2.4"})[0].other == (1, 3)


def test_a_number_in_a_request_file_is_read_or_named():
    view, problems = from_file(b'{"saccade": 1, "layer": 3, "heads": [1]}')
    assert view == View(layer=2)
    assert len(problems) == 1 and "heads" in problems[0]


def test_half_a_surrogate_pair_is_replaced():
    view, problems = from_file(b'{"saccade": 1, "text": "a\\ud800b"}')
    assert (view.text, problems) == ("a?b", [])
