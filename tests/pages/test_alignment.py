"""The Alignment page in Streamlit's own test runner: panels, pins, odd input, the presenter, what is saved."""

from __future__ import annotations

import base64
import csv
import html
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import streamlit as st

from engine.analysis import merge_words
from engine.catalogue import MODELS
from engine.gold_links import shipped_pairs
from engine.record import load_trace
from engine.reduce import hide_special
from engine.runner import Runner, load
from engine.types import Trace, TraceRequest
from pages import _align
from pages._align import PRESENTER, TEXT_ASKED, name_of
from tests.pages.alignment_page import (
    ALL,
    BLIND,
    DOT,
    TEXT,
    THREE,
    TITLES,
    TRANSFORMER,
    address_of,
    asked,
    forced,
    identities,
    names,
    opened,
    received,
    rows,
    said,
    sound,
    table_of_outputs,
    view,
    weights,
)
from viz.components.alignments import Pin
from viz.components.packing import unpack


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[TraceRequest]:
    """Every request that really reached a model."""
    seen: list[TraceRequest] = []
    original = Runner.run

    def counted(self: Runner, request: TraceRequest) -> Trace:
        seen.append(request)
        return original(self, request)

    monkeypatch.setattr(Runner, "run", counted)
    return seen


def test_the_first_view_has_a_panel_for_each_model_and_an_example() -> None:
    page = sound(opened())
    header, _ = received(page)
    assert names(page) == TITLES and len(TITLES) == 5
    assert [panel["map"] for panel in header["panels"]] == ["cross" in MODELS[name].supports for name in ALL]
    assert page.text_input(key="align box").value == TEXT_ASKED
    spoken = [token["label"] for token in header["source"]]
    assert spoken[:2] == TEXT_ASKED.split()[:2] and not any(token["special"] for token in header["source"])
    assert "No attention" in header["panels"][0]["note"]
    assert "layer" in header["panels"][-1]["note"]  # which of the Transformer's heads it is
    assert address_of(page) == {"models": identities("_".join(ALL)), "text": TEXT_ASKED}


def test_each_panel_shows_the_model_s_own_words_and_weights() -> None:
    page = sound(opened(text=TEXT, models=THREE))
    header, _ = received(page)
    traces = {name: load(name, "cpu").trace(TEXT) for name in THREE.split("_")}
    assert table_of_outputs(page) == {name_of(MODELS[name]): trace.translation for name, trace in traces.items()}
    shown = hide_special(merge_words(traces[DOT].maps["cross"]), renormalise=False).attention
    half = 0.5 / header["levels"]
    np.testing.assert_allclose(
        weights(page)[name_of(MODELS[DOT])],
        shown.weights[0, 0],
        atol=half + 1e-3,  # computed on one thread and on several
    )
    assert rows(page)[1] == list(shown.row_labels)
    many = hide_special(merge_words(traces[TRANSFORMER].maps["cross"]), renormalise=False).attention
    layer, head = (
        int(word.strip(",")) - 1 for word in header["panels"][2]["note"].split() if word.strip(",").isdigit()
    )
    np.testing.assert_allclose(weights(page)["Transformer"], many.weights[layer, head], atol=half + 1e-3)


def test_another_head_of_the_transformer_is_chosen_and_the_others_keep_theirs() -> None:
    page = opened(text=TEXT, models=THREE)
    before = weights(page)
    for box, value in (("alignment layer", 0), ("alignment head", 6)):
        page.selectbox(key=box).set_value(value).run()
    after = weights(sound(page))
    assert received(page)[0]["panels"][2]["note"] == "cross attention, layer 1, head 7"
    assert not np.allclose(before["Transformer"], after["Transformer"], atol=0.01)
    np.testing.assert_array_equal(before[name_of(MODELS[DOT])], after[name_of(MODELS[DOT])])
    assert (address_of(page)["layer"], address_of(page)["head"]) == ("1", "7")


def test_pieces_and_special_tokens_are_shown_where_asked_for() -> None:
    page = sound(opened(text="It was unbelievable.", models=THREE, tokens="pieces", special="1", numbers="1"))
    header, _ = received(page)
    trace = load(DOT, "cpu").trace("It was unbelievable.")
    assert [token["label"] for token in header["source"]] == list(trace.source.labels)
    assert [token["special"] for token in header["source"]][-1] is True and header["numbers"] is True
    assert rows(page)[1] == list(trace.predicted.labels)
    assert rows(page)[0] == list(load(BLIND, "cpu").trace("It was unbelievable.").predicted.labels)
    for found in weights(page).values():  # nothing is hidden: each row sums to 1
        np.testing.assert_allclose(found.sum(axis=1), 1, atol=0.5 * found.shape[1] / header["levels"] + 1e-5)


def test_one_output_for_all_is_the_transformer_s_and_rows_can_be_compared() -> None:
    page = opened(text=TEXT, models=THREE)
    page.segmented_control(key="alignment outputs").set_value("common").run()
    header, _ = received(sound(page))
    own = load(TRANSFORMER, "cpu").trace(TEXT).translation
    assert page.text_input(key="align target").value == own
    assert header["same_rows"] is True and len({tuple(words) for words in rows(page)}) == 1
    line = next(caption.value for caption in page.caption if "Log-probability" in caption.value)
    assert all(name_of(MODELS[name]) in line for name in THREE.split("_")) and line.count("−") == 3
    assert not [table for table in page.table if "says" in table.value.columns]


def test_without_a_transformer_the_last_model_s_output_stands_for_all() -> None:
    page = sound(opened(text=TEXT, models=f"{BLIND}_{DOT}", outputs="common"))
    assert page.text_input(key="align target").value == load(DOT, "cpu").trace(TEXT).translation


def test_a_typed_output_is_forced_on_all_and_given_up_again() -> None:
    page = opened(text=TEXT, models=THREE, outputs="common")
    page = sound(forced(page, "Nous étions fatigués."))
    assert rows(page) == [["Nous", "étions", "fatigués", "."]] * 3
    assert address_of(page)["target"] == "Nous étions fatigués."
    page = sound(forced(page, "  "))
    assert "target" not in address_of(page) and rows(page)[0] != ["Nous", "étions", "fatigués", "."]
    page = sound(forced(page, "Oui."))
    page = sound(asked(page, "She reads a book."))
    assert "target" not in address_of(page) and rows(page)[0] != ["Oui", "."]


def test_an_output_that_cannot_be_forced_says_so_and_can_be_corrected() -> None:
    page = forced(forced(opened(text=TEXT, models=THREE, outputs="common"), "Non."), "日本語")
    assert not page.exception and "common translation could not be used" in said(page.error)
    assert len(names(page)) == 3 and received(page)[0]["same_rows"]
    assert page.text_input(key="align target").value == "日本語"
    assert "target" not in address_of(page)
    assert rows(sound(forced(page, "Oui."))) == [["Oui", "."]] * 3


def test_models_come_and_go_and_the_last_one_stays() -> None:
    page = opened(text=TEXT, models=THREE)
    pills = "alignment models"
    page.pills(key=pills).set_value([MODELS[DOT].identity]).run()
    assert names(sound(page)) == [name_of(MODELS[DOT])]
    page.pills(key=pills).set_value([]).run()
    assert names(sound(page)) == [name_of(MODELS[DOT])]
    assert page.pills(key=pills).value == [MODELS[DOT].identity]
    page.pills(key=pills).set_value([MODELS[name].identity for name in (TRANSFORMER, BLIND, DOT)]).run()
    assert names(sound(page)) == [name_of(MODELS[name]) for name in THREE.split("_")]  # always in the same order
    assert address_of(page)["models"] == identities(THREE)


def test_looking_at_it_differently_runs_no_model(runs: list[TraceRequest]) -> None:
    page = opened(text="We looked at the sea.", models=THREE)
    assert len(runs) == 3
    page.segmented_control(key="alignment view").set_value("lines").run()
    assert received(page)[0]["view"] == "lines"
    page.segmented_control(key="alignment tokens").set_value("pieces").run()
    page.toggle(key="alignment special").set_value(True).run()
    page.toggle(key="alignment numbers").set_value(True).run()
    page.segmented_control(key="alignment section").set_value("states").run()
    page.pills(key="alignment models").set_value([MODELS[DOT].identity]).run()
    opened(text="We looked at the sea.", models=DOT)  # and so it does in another session
    assert len(runs) == 3 and sound(page)


# --- Pins -------------------------------------------------------------------------------------------------------------


def test_a_pin_stays_with_its_model_and_goes_with_its_words() -> None:
    page = sound(opened(text=TEXT, models=THREE, row="2", panel=DOT))
    assert received(page)[0]["start"] == {"source": None, "row": 1, "panel": 1}
    page.pills(key="alignment models").set_value([MODELS[name].identity for name in (DOT, TRANSFORMER)]).run()
    header, _ = received(sound(page))
    assert header["start"] == {"source": None, "row": 1, "panel": 0}
    page.pills(key="alignment models").set_value([MODELS[TRANSFORMER].identity]).run()
    assert received(sound(page))[0]["start"]["row"] is None
    page = sound(opened(text=TEXT, models=THREE, row="2", source="1", panel=DOT))
    began = received(page)[0]["start_id"]
    page.segmented_control(key="alignment tokens").set_value("pieces").run()
    header, _ = received(sound(page))
    assert header["start"] == {"source": None, "row": None, "panel": 0} and header["start_id"] != began
    assert not {"row", "source", "panel"} & set(address_of(page))


def test_what_the_browser_pins_is_in_the_view_and_back_again() -> None:
    cards = [MODELS[name] for name in THREE.split("_")]
    page = sound(opened(text=TEXT, models=THREE))
    panels = [_align.panel(view(page), card, load(card.name, "cpu").trace(TEXT)) for card in cards]
    for pin in (Pin(), Pin(source=2), Pin(row=1, panel=2), Pin(source=0, row=0, panel=1)):
        assert _align.pin(replace(view(page), **_align.pinned_by(pin, cards)), cards, panels) == pin
    beyond = _align.pinned_by(Pin(source=500, row=500, panel=1), cards)
    assert _align.pin(replace(view(page), **beyond), cards, panels) == Pin(panel=1)


# --- Bad and odd input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no text yet"),
        ("  \u200b ", "There is no text yet"),
        ("日本語の文章", "knows none of these characters"),
        ("🦊🐔", "knows none of these characters"),
        ("word " * 300, "takes 128 at most"),
        ("x" * 10_000, "takes 128 at most"),
    ],
)
def test_bad_input_gets_a_sentence_and_stays_in_the_box(text: str, message: str) -> None:
    page = asked(opened(text=TEXT, models=THREE), text)
    assert not page.exception and message in said(page.error)
    assert not names(page)  # no figure of the sentence before under this one's message
    assert page.text_input(key="align box").value == text
    assert len(names(sound(asked(page, TEXT)))) == 3


def test_a_long_text_of_an_address_with_a_target_blames_the_text() -> None:
    page = opened(text="word " * 300, models=THREE, outputs="common", target="Oui.")
    assert not page.exception and len(page.error) == 1 and "takes 128 at most" in said(page.error)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> <b>bold</b> & so on",
        "The 🦊 is red.",
        "He said \u202eabc\u202c to me.",
        "שלום means peace.",
        "$x^2$ **bold** [link](http://example.com) :smile: `code`",
        "I",
        "?!",
    ],
)
@pytest.mark.parametrize("outputs", ["own", "common"])
def test_odd_input_is_text_everywhere(text: str, outputs: str) -> None:
    target = {"target": "<i>Oui</i> **non**"} if outputs == "common" else {}
    page = sound(opened(text=text, models=THREE, outputs=outputs, section="thread", **target))
    assert len(names(page)) == 3
    body = "".join(element.proto.body for element in page.get("html") if "<style>" not in element.proto.body)
    assert "<script" not in body and "<b>" not in body and "<i>" not in body
    if target:
        assert target["target"].replace(" ", "") in html.unescape(body).replace(" ", "")
    for message in [*page.markdown, *page.caption, *page.info]:
        assert "<script" not in message.value and "](http" not in message.value
    sound(page.segmented_control(key="alignment section").set_value("steps").run())


def test_a_note_says_whose_output_was_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_resource.clear()
    original = Runner._notes

    def notes(self: Runner, *given: Any) -> tuple[str, ...]:
        cut = ("The output was cut.",) if self.card.name == DOT else ()
        return (*original(self, *given), "Of all.", *cut)

    monkeypatch.setattr(Runner, "_notes", notes)
    page = sound(opened(text=TEXT, models=THREE))
    st.cache_resource.clear()
    told = [element.value.replace("\\", "") for element in page.info]
    assert told.count("Of all.") == 1 and f"{name_of(MODELS[DOT])}: The output was cut." in told


# --- Presenter and saving ---------------------------------------------------------------------------------------------


def test_the_presenter_has_larger_type_and_fewer_controls() -> None:
    plain, page = sound(opened(text=TEXT, models=THREE)), sound(opened(text=TEXT, models=THREE, presenter="1"))
    assert received(page)[0]["scale"] == PRESENTER > received(plain)[0]["scale"]
    assert received(page, "saccade_steps")[0]["scale"] == PRESENTER
    assert len(plain.get("popover")) == 5 and not page.get("popover") and not page.get("download_button")
    assert not page.pills and names(page) == names(plain)


def test_what_is_downloaded_is_what_is_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files: dict[str, Any] = {}

    def download(label: str, data: Any, *given: Any, **options: Any) -> None:
        files[label] = data

    monkeypatch.setattr(st, "download_button", download)
    page = sound(opened(pair="1", models=THREE, view="lines", numbers="1", row="2"))
    files = {label: data() if callable(data) else data for label, data in files.items()}  # later, as on a click
    titles = [name_of(MODELS[name]) for name in THREE.split("_")]
    wanted = {"Request file", "Panels as a page", *(f"{title}, NPZ" for title in titles)}
    assert set(files) == wanted | {f"{title}, CSV" for title in titles[1:]}
    pair, shown = shipped_pairs()[0], weights(page)
    for title in titles[1:]:
        lines = list(csv.DictReader(io.StringIO(files[f"{title}, CSV"], newline="")))
        saved = np.array([line["weight"] for line in lines], dtype=np.float32).reshape(shown[title].shape)
        np.testing.assert_allclose(saved, shown[title], atol=0.5 / received(page)[0]["levels"] + 1e-7)
        assert lines[0]["query"] == pair.target[0] and lines[-1]["key"] == pair.source[-1]
    for name in THREE.split("_"):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(files[f"{name_of(MODELS[name])}, NPZ"])
        trace = load_trace(path)
        assert trace.request.model == MODELS[name].identity and set(trace.maps) <= MODELS[name].supports
    assert json.loads(files["Request file"])["pair"] == "1"
    packed = files["Panels as a page"].partition('id="data">')[2].partition("<")[0]
    header, _ = unpack(base64.b64decode(packed))
    assert (header["view"], header["numbers"], header["start"]["row"]) == ("lines", True, 1)
    assert header["gold"] == received(page)[0]["gold"] is not None
    (link,) = [code.value for code in page.code if "pair=1" in code.value]
    assert dict(parse_qsl(link.partition("?")[2])) == address_of(page)
