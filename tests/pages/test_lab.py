"""A view of the Coreference page and its address: every state comes back, and what cannot be used is named."""

from __future__ import annotations

from dataclasses import fields, replace
from urllib.parse import parse_qsl, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.interventions import Head
from engine.types import KINDS
from pages._address import LONGEST_ADDRESS, fits
from pages._lab import CODEC, LabView
from pages._permalink import CODEC as TRANSLATE
from pages._permalink import View
from tests.pages.addresses import assert_what_is_refused_is_named

marked = st.dictionaries(st.integers(0, 200), st.integers(0, 2), max_size=9).map(
    lambda roles: tuple(tuple(sorted(word for word, role in roles.items() if role == wanted)) for wanted in range(3))
)  # a word has one role
heads = st.builds(Head, st.sampled_from(KINDS), st.integers(0, 31), st.integers(0, 31))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
views = st.builds(
    LabView,
    model=texts,
    first=texts,
    second=texts,
    marks=st.none() | marked,
    marks2=st.none() | marked,
    french=st.none() | marked,
    french2=st.none() | marked,
    prefix=st.none() | texts,
    left=st.none() | texts,
    right=st.none() | texts,
    section=st.sampled_from(["heads", "measures", "interventions", "many"]),
    head=st.none() | heads,
    shown=st.sampled_from(["change", "first", "second"]),
    weights=st.sampled_from(["raw", "value"]),
    sentence=st.sampled_from(["first", "second"]),
    by=st.sampled_from(["zero", "mean", "other"]),
    off=st.lists(heads, max_size=5, unique=True).map(tuple),
    onto=st.sampled_from(["A", "B"]),
    scope=st.sampled_from(["head", "layer", "kind"]),
    contrast=st.booleans(),
    presenter=st.booleans(),
)
FULL = LabView(
    first="One & 1 = <b>é</b>",
    second="?%20+#",
    marks=((7,), (1, 2), ()),
    section="interventions",
    head=Head("cross", 3, 7),
    by="other",
    off=(Head("encoder", 0, 1), Head("decoder", 2, 0)),
    contrast=True,
)


@given(views)
def test_every_view_comes_back_from_its_address(view: LabView) -> None:
    address = dict(parse_qsl(urlencode(CODEC.encode(view)), keep_blank_values=True))
    assert CODEC.decode(address) == (view, [])


@given(views)
def test_every_view_comes_back_from_its_request_file(view: LabView) -> None:
    assert CODEC.from_file(CODEC.to_file(view).encode()) == (view, [])


@given(st.dictionaries(st.sampled_from(list(CODEC.forms)) | texts, texts, max_size=6))
def test_no_address_breaks_the_page_and_what_is_refused_is_named(address: dict[str, str]) -> None:
    view, _ = CODEC.decode(address)
    alone = [CODEC.decode({name: text}) for name, text in address.items()]
    assert_what_is_refused_is_named(CODEC, address)
    assert all(one == LabView() for one, found in alone if found)  # what is named is not half used
    assert CODEC.decode(CODEC.encode(view)) == (view, [])


def test_an_address_says_only_what_differs_from_a_fresh_page() -> None:
    assert CODEC.encode(LabView()) == {}
    assert CODEC.encode(LabView(section="measures", contrast=True)) == {"section": "measures", "contrast": "1"}


def test_heads_and_marks_are_written_from_1() -> None:
    view = LabView(
        marks=((7,), (1,), (4, 5)), head=Head("encoder", 1, 5), off=(Head("cross", 0, 7), Head("decoder", 3, 0))
    )
    assert CODEC.encode(view) == {
        "marks": "8-2-5.6",
        "head": "encoder.2.6",
        "off": "cross.1.8_decoder.4.1",
    }


def test_a_role_without_words_is_something_else_than_what_the_page_finds() -> None:
    nothing = LabView(marks=((), (), ()))
    assert CODEC.encode(nothing) == {"marks": "none-none-none"}
    assert CODEC.decode({"marks": "none-none-none"}) == (nothing, [])
    assert CODEC.decode({})[0].marks is None


def test_an_empty_beginning_is_something_else_than_the_one_found() -> None:
    assert CODEC.encode(LabView(prefix="")) == {"prefix": ""}
    address = dict(parse_qsl(urlencode(CODEC.encode(LabView(prefix=""))), keep_blank_values=True))
    assert CODEC.decode(address)[0].prefix == ""


def test_a_head_named_twice_is_off_once() -> None:
    assert CODEC.decode({"off": "cross.1.1_cross.1.1_encoder.1.1"})[0].off == (
        Head("cross", 0, 0),
        Head("encoder", 0, 0),
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *((name, "sideways") for name in ("section", "shown", "weights", "sentence", "by", "onto", "scope")),
        *((name, "") for name in ("section", "shown", "weights", "sentence", "by", "onto", "scope", "off", "head")),
        *((name, "yes") for name in ("contrast", "presenter")),
        *(
            (name, text)
            for name in ("marks", "marks2", "french", "french2")
            for text in (
                "",
                "8",
                "8-2",
                "8-2-6-1",
                "8-2-x",
                "0-2-6",
                "8-2-",
                "8-2-6.",
                "٣-2-6",
                "8-2-" + "9" * 5_000,
                "8-8-6",
                "8-2-6.8",
            )
        ),
        *(
            (name, text)
            for name in ("head", "off")
            for text in (
                "cross",
                "cross.1",
                "cross.1.0",
                "cross.0.1",
                "cross.-1.1",
                "cross.1.2.3",
                "Cross.1.2",
                "sideways.1.2",
                "1.2",
                "cross.a.b",
                "cross.1.100001",
                "<b>.1.2",
            )
        ),
        ("off", "cross.1.1_"),
        ("off", "cross.1.1,cross.1.2"),
        ("off", "cross.1.1_cross.1"),
    ],
)
def test_an_invalid_value_is_named_and_the_rest_still_counts(name: str, text: str) -> None:
    view, problems = CODEC.decode({name: text, "first": "Hello."})
    assert view == LabView(first="Hello.")
    assert len(problems) == 1
    assert f"“{name}={text[:40]}”" in problems[0]
    assert "give " in problems[0]  # what to write instead


@pytest.mark.parametrize("name", ["colour", "text", "heads", "pins", "First"])
def test_an_unknown_parameter_is_named(name: str) -> None:
    view, problems = CODEC.decode({name: "1", "second": "Hello."})
    assert view == LabView(second="Hello.")
    assert len(problems) == 1 and f"“{name}”" in problems[0]


def test_long_sentences_do_not_fit_but_what_is_chosen_does() -> None:
    address = CODEC.encode(replace(FULL, first="é" * LONGEST_ADDRESS))
    assert not fits(address)
    rest = CODEC.without_text(address)
    assert rest == {
        "section": "interventions",
        "head": "cross.4.8",
        "by": "other",
        "off": "encoder.1.2_decoder.3.1",
        "contrast": "1",
    }
    assert fits(rest)


@pytest.mark.parametrize(
    "content", [b"", b"[" * 100_000, b"{}", b"[]", b'{"saccade": 2}', b"\xff\xfe", b"null", b'"text"']
)
def test_another_file_is_refused_with_a_reason(content: bytes) -> None:
    with pytest.raises(ValueError, match="no request file of Saccade"):
        CODEC.from_file(content)


def test_a_file_of_another_page_is_refused_with_that_page_s_name() -> None:
    with pytest.raises(ValueError, match=r"of the page Translate\. Open it there"):
        CODEC.from_file(TRANSLATE.to_file(View(text="Hello.")).encode())
    with pytest.raises(ValueError, match=r"of the page Coreference\. Open it there"):
        TRANSLATE.from_file(CODEC.to_file(FULL).encode())
    with pytest.raises(ValueError, match=r"of the page Translate"):  # the first files did not say
        CODEC.from_file(b'{"saccade": 1, "text": "Hello."}')


def test_numbers_and_lists_in_a_request_file_are_read_or_named() -> None:
    view, problems = CODEC.from_file(
        b'{"saccade": 1, "page": "coreference", "first": "Hi.", "contrast": 1, "marks": [8, 2, 6], "head": null}'
    )
    assert view == LabView(first="Hi.", contrast=True)
    assert len(problems) == 2
    assert "marks" in problems[0] and "head" in problems[1]


def test_half_a_surrogate_pair_is_replaced() -> None:
    view, problems = CODEC.from_file(b'{"saccade": 1, "page": "coreference", "first": "a\\ud800b"}')
    assert (view.first, problems) == ("a?b", [])


def test_every_field_of_a_view_has_a_reader() -> None:
    assert list(CODEC.forms) == [field.name for field in fields(LabView)]
