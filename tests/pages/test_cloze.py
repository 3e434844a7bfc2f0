"""The Cloze page in Streamlit's own test runner: blanks and candidates, addresses, request files, bad input."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace

import pytest
import streamlit as st

from engine.cloze_answers import Blank, Candidate
from engine.cloze_text import MASK
from pages import _shared
from pages._cloze_examples import examples, unrelated
from pages._cloze_fill import names_of, said_of_own
from pages._cloze_save import candidates_csv, candidates_json
from pages._cloze_text import PUT_IN, pressed_to, words_of
from pages._cloze_view import CANDIDATES, ClozeView
from tests.pages.cloze_page import (
    CARD,
    CODEC,
    LONGEST,
    SECOND,
    TEXT,
    address_of,
    choose,
    click,
    html,
    opened,
    received,
    said,
    small,
    sound,
    view,
    words,
)
from viz.components.choices import percentage
from viz.components.shaded import SPECIAL

MAN, RIVER = 3, 7  # words of TEXT; [CLS] is 0


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """Pages load the small model; what other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        yield
    st.cache_resource.clear()


def test_the_first_view_is_an_example_with_its_words_masked():
    page = sound(opened())
    example = examples("sentences")[0]
    header = words(page)
    assert "".join(header["texts"]).strip() == example.first
    assert view(page).first == example.first and header["pressed"] == list(example.masked)
    assert [header["labels"][i] for i in header["pressed"]] == ["door", "room"]
    assert header["labels"][0] == "[CLS]" and header["labels"][-1] == "[SEP]" and header["mode"] == "toggle"
    (rows,) = received(page, "choices")
    assert len(rows["rows"]) == CANDIDATES
    assert "Measured: " in said(page.caption) and CARD.identity in said(page.caption)


def test_a_text_is_asked_for_and_the_address_opens_it_again():
    page = opened(first=TEXT, masked="4")
    page.text_input(key="cloze first").set_value(f"The {MASK} sat by the river.")
    page.text_input(key="cloze second").set_value(SECOND)
    page = sound(page.button(key="FormSubmitter:cloze form-Show").click().run())
    assert view(page).masked == () and words(page)["pressed"] == []
    address = address_of(page)
    assert address["second"] == SECOND and address["model"] == CARD.identity and "masked" not in address
    again = sound(opened(**address))
    assert received(again, "choices")[0]["rows"] == received(page, "choices")[0]["rows"]
    groups = words(again)["groups"]
    assert groups[0] == SPECIAL and {0, 1} <= set(groups) and groups[words(again)["labels"].index(MASK)] == SPECIAL


def test_candidates_are_those_of_the_model_with_the_texts_own_beside_them():
    page = sound(opened(first=TEXT, masked=f"{MAN + 1}.{RIVER + 1}", blank="2"))
    cloze = small()
    blanks = cloze.fill(cloze.read(TEXT, masked=(MAN, RIVER)), CANDIDATES)
    assert len(blanks) == 2, "both words are one piece to the small model"
    (header,) = received(page, "choices")
    best = blanks[1].candidates
    assert [row["shown"] for row in header["rows"]] == [one.label for one in best]
    assert [row["before"] for row in header["rows"]] == [percentage(one.probability) for one in best]
    assert header["total"] == said_of_own(blanks[1]) and f"rank {blanks[1].own.rank}" in header["total"]
    table = html(page)
    for blank in blanks:
        assert f">{blank.own.rank}<" in table and percentage(blank.own.probability).replace("<", "&lt;") in table


@pytest.mark.parametrize("order", ["at once", "one by one"])
def test_all_blanks_are_filled_and_put_in(order):
    page = choose(sound(opened(first=TEXT, masked=f"{MAN + 1}.{RIVER + 1}")), "filling", order)
    cloze = small()
    filled = cloze.fill_in(cloze.read(TEXT, masked=(MAN, RIVER)), order)
    table = html(sound(page))
    for step in filled.steps:
        assert percentage(step.choice.probability) in table
    page = sound(click(page, "Put these in"))
    assert view(page).taken == tuple((step.position, step.choice.token) for step in filled.steps)
    assert "Every blank is filled" in said(page.info) and not received(page, "choices")
    shown = words(page)
    assert shown["groups"][MAN] == shown["groups"][RIVER] == PUT_IN and shown["pressed"] == []
    again = sound(opened(**address_of(page)))
    assert words(again)["texts"] == shown["texts"]
    assert words(sound(click(page, "Empty the blanks")))["pressed"] == [MAN, RIVER]
    assert words(sound(click(page, "Show all words")))["pressed"] == []


def test_one_blank_for_a_word_of_several_pieces():
    page = sound(opened(first="The zebra slept.", masked="3"))
    pieces = len(small().read("The zebra slept.", masked=(2,)).blanks)
    assert pieces > 1 and len(page.get_by_key("cloze blank").options) == pieces
    page = sound(page.toggle(key="cloze whole").set_value(True).run())
    assert "cloze blank" not in {one.key for one in (*page.segmented_control, *page.pills)}
    assert "several pieces" in received(page, "choices")[0]["total"]


@pytest.mark.parametrize(("masks", "wraps"), [(3, False), (4, True), (12, True)])
def test_many_blanks_have_lines_enough_for_their_names(masks, wraps):
    page = sound(opened(first=" ".join(["the", "[MASK]"] * masks)))
    made = {one.key: one for one in page.pills} if wraps else {one.key: one for one in page.segmented_control}
    assert len(made["cloze blank"].options) == masks and len(received(page, "choices")) == 1
    assert "cloze blank" not in {one.key for one in (page.segmented_control if wraps else page.pills)}
    page = sound(made["cloze blank"].set_value(2).run())
    assert received(page, "choices")[0]["name"].startswith("Candidates for blank 3")


def test_pressing_masks_and_shows_words_and_empties_those_put_in():
    cloze, fresh = small(), ClozeView(first=TEXT, masked=(MAN,))
    given = cloze.read(TEXT, masked=(MAN,))
    token = cloze.fill(given, 1)[0].candidates[0].token
    assert pressed_to(fresh, given, (MAN,), (MAN, RIVER))["masked"] == (MAN, RIVER)
    assert pressed_to(fresh, given, (MAN,), ())["masked"] == ()
    full = replace(fresh, taken=((given.blanks[0], token),))
    put = cloze.put(given, full.taken)
    assert words_of(put)[MAN].group == PUT_IN and not words_of(put)[MAN].masked
    emptied = pressed_to(full, put, (), (MAN,))
    assert emptied["masked"] == (MAN,) and emptied["taken"] == ()
    other = pressed_to(full, put, (), (RIVER,))
    assert other["masked"] == (MAN, RIVER) and other["taken"] == full.taken
    assert pressed_to(replace(full, whole=True), put, (), (RIVER,))["taken"] == ()


def test_a_typed_mask_that_was_filled_can_be_emptied():
    text = f"The {MASK} sat by the river."
    cloze = small()
    given = cloze.read(text)
    full = ClozeView(first=text, taken=((given.blanks[0], cloze.fill(given, 1)[0].candidates[0].token),))
    assert pressed_to(full, cloze.put(given, full.taken), (), (2,)) == {"masked": (), "taken": (), "blank": 0}


def test_words_spell_the_texts():
    given = small().read(f'"Where is the {MASK}?" she asked.', SECOND, masked=(1,))
    drawn = words_of(given)
    shown = "".join(word.text + MASK if word.label == MASK else word.text for word in drawn)
    assert shown.strip() == f'"Where is the {MASK}?" she asked. {SECOND}'


def test_masks_of_an_address_that_do_not_fit_are_given_up():
    page = opened(first=TEXT, masked="90", taken="2.500")
    assert not page.exception and not page.error
    assert "left out" in said(page.warning) and view(page).masked == () and view(page).taken == ()


@pytest.mark.parametrize(
    ("address", "needed"),
    [
        ({"second": SECOND}, "The first text is empty"),
        ({"first": "the dog " * 100}, str(LONGEST)),
        ({"first": "漢字"}, "Latin"),
    ],
)
def test_bad_texts_are_said_and_the_boxes_stay(address, needed):
    page = opened(**address)
    assert not page.exception and needed in said(page.error)
    page.text_input(key="cloze first").set_value(TEXT)
    page.text_input(key="cloze second").set_value("")
    sound(page.button(key="FormSubmitter:cloze form-Show").click().run())


def test_parameters_that_mean_nothing_are_named():
    page = opened(first=TEXT, taken="3", noise="loud", masked="zero", model="bert@12345678")
    assert not page.exception
    for word in ("taken=3", "noise=loud", "masked=zero", "made with bert@12345678"):
        assert word in said(page.warning)


def test_every_field_travels_in_an_address_and_a_file():
    made = ClozeView(
        CARD.identity, TEXT, SECOND, (MAN, RIVER), ((3, 20), (7, 99)), "heads", True, 1, "one by one", f"A {MASK}.",
        f"B {MASK}.", "a, b", "infill", 0.4, 7, "AB", replace(ClozeView().look, view="grid"), True,
    )  # fmt: skip
    address = CODEC.encode(made)
    assert set(address) == set(CODEC.forms) and CODEC.decode(address) == (made, [])
    assert CODEC.from_file(CODEC.to_file(made).encode()) == (made, [])
    assert CODEC.encode(ClozeView()) == {}


def test_a_request_file_opens_and_another_is_refused():
    page = sound(opened())
    box = next(one for one in page.get("file_uploader") if one.key == "cloze request file")
    box.upload("a.json", CODEC.to_file(ClozeView(first=TEXT, masked=(MAN,))).encode(), "application/json")
    page = sound(page.run())
    assert view(page).first == TEXT and words(page)["pressed"] == [MAN]
    box = next(one for one in page.get("file_uploader") if one.key == "cloze request file")
    box.upload("b.json", b"{}", "application/json")
    assert "no request file" in said(page.run().error)


def test_candidates_as_files():
    cloze = small()
    given = cloze.read(f"The man sat by the {MASK}.", masked=(2,))
    blanks = cloze.fill(given, 3)
    rows = list(csv.DictReader(io.StringIO(candidates_csv(blanks), newline="")))
    assert len(rows) == 3 * len(blanks)
    assert [row["candidate"] for row in rows[:3]] == [one.label for one in blanks[0].candidates]
    assert rows[-1]["own"] == "" and int(rows[-1]["position"]) == given.blanks[-1]
    record = json.loads(candidates_json(CARD, given, blanks))
    assert record["segments"] == list(given.segments) and len(record["blanks"]) == len(blanks)
    assert record["blanks"][0]["candidates"][0]["probability"] == blanks[0].candidates[0].probability


def test_the_examples_can_be_opened():
    cloze = small()
    for example in examples("sentences"):
        given = cloze.read(example.first, masked=example.masked)
        masked = [given.words[i] for i in example.masked]
        assert all(word.isalpha() for word in masked) and (masked or MASK in example.first)
    assert {example.follows for example in examples("pairs")} == {True, False}
    assert all(example.second for example in examples("pairs"))
    for example in examples("pronouns"):
        assert example.first.count(MASK) == example.second.count(MASK) == 1 and len(example.words) == 2
    assert len(set(unrelated())) == len(unrelated()) >= 5
    page = sound(opened())
    for kind in ("sentences", "pairs"):
        for number, example in enumerate(examples(kind)):
            page = sound(page.button(key=f"cloze example {kind} {number}").click().run())
            assert (view(page).first, view(page).second) == (example.first, example.second)


def test_the_presenter_hides_what_is_not_needed():
    page = sound(opened(first=TEXT, masked="4", presenter="1"))
    assert words(page)["scale"] > 1 and received(page, "choices")[0]["scale"] > 1
    assert not [one for one in page.button if one.label == "Show all words"] and not page.get("file_uploader")


def test_blanks_of_a_word_of_several_pieces_say_which_of_them_they_are():
    own = Candidate(5, "x", " x", 0.5, 1)
    blanks = [Blank(place, word, name, own, (own,)) for place, word, name in ((2, 2, "a"), (4, 4, "bc"), (5, 4, "bc"))]
    assert names_of(blanks) == ["1 · a", "2 · bc (1 of 2)", "3 · bc (2 of 2)"]
    assert names_of([Blank(1, 1, None, None, (own,)), Blank(2, 2, None, None, (own,))]) == ["1 · [MASK]", "2 · [MASK]"]
