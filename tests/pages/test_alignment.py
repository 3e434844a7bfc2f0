"""The Alignment page in Streamlit's own test runner: panels, gold links, sections, addresses, saving, bad input."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st
from hypothesis import given
from hypothesis import strategies as some
from streamlit.testing.v1 import AppTest

from engine.analysis import merge_logprobs, merge_words
from engine.bottleneck import Bottleneck, Estimate, GainBin, LengthBin, ModelGain, ModelScores, read_bottleneck
from engine.catalogue import MODELS
from engine.gold_links import shipped_pairs
from engine.record import load_trace
from engine.reduce import hide_special
from engine.runner import Runner, load
from engine.types import Trace, TraceRequest
from pages import _address, _align, _align_gold, _align_lengths
from pages._align import EXAMPLES, PRESENTER, TEXT_ASKED, VIEW, AlignView, Section, name_of
from viz.components.alignments import Pin
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CODEC = VIEW.codec
RECURRENT = tuple(name for name, card in MODELS.items() if card.family == "seq2seq")
WITH_STATES = [name for name in RECURRENT if "states" in MODELS[name].supports]
BLIND = next(name for name in RECURRENT if "cross" not in MODELS[name].supports)
DOT, TRANSFORMER = "en-fr-rnn-dot", "en-fr"
ALL = (*RECURRENT, TRANSFORMER)
TITLES = [name_of(MODELS[name]) for name in ALL]
TEXT = "I am very tired."
THREE = f"{BLIND}_{DOT}_{TRANSFORMER}"  # without, with one head, with many
SECTIONS = get_args(Section)


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


def opened(**address: str) -> AppTest:
    """The page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=240).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/alignment.py").run()


def titles_of(names: str) -> list[str]:
    """Models as a screen names them."""
    return [name_of(MODELS[name]) for name in names.split("_")]


def identities(names: str) -> str:
    """Models as the page writes them into an address."""
    return "_".join(MODELS[name].identity for name in names.split("_"))


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def asked(page: AppTest, text: str) -> AppTest:
    page.text_input(key="align box").set_value(text)
    return page.button(key="FormSubmitter:align form-Translate").click().run()


def forced(page: AppTest, text: str) -> AppTest:
    page.text_input(key="align target").set_value(text)
    return page.button(key="FormSubmitter:align target form-Force").click().run()


def click(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label.replace("\\", "") == label).click().run()


def uploaded(page: AppTest, content: bytes, key: str = "align pairs file") -> AppTest:
    box = next(one for one in page.get("file_uploader") if one.key == key)
    box.upload("file.json" if "request" in key else "pairs.tsv", content, "text/plain")
    return page.run()


def changed(page: AppTest, **values: Any) -> AppTest:
    """What a component's callback does: the view changes, and the page runs."""
    page.session_state["alignment"] = replace(view(page), **values)
    page.session_state["acted"] = True
    return page.run()


def said(elements: Any) -> str:
    """Messages as a reader sees them: without the backslashes that keep Markdown from reading them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def view(page: AppTest) -> AlignView:
    found: AlignView = page.session_state["alignment"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def received(page: AppTest, component: str = "saccade_alignments") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of what a component is given; an empty header where it is not there."""
    for element in page.get("bidi_component"):
        if element.proto.component_name == component:
            return unpack(element.proto.bytes)
    return {}, {}


def names(page: AppTest) -> list[str]:
    """The headings of the panels."""
    return [panel["name"] for panel in received(page)[0].get("panels", [])]


def rows(page: AppTest) -> list[list[str]]:
    """The output words of each panel."""
    return [[token["label"] for token in panel["rows"]] for panel in received(page)[0]["panels"]]


def weights(page: AppTest) -> dict[str, np.ndarray]:
    """The map of each panel that has one, (row, source), by its heading."""
    header, arrays = received(page)
    flat, columns, found, at = arrays["weights"] / header["levels"], len(header["source"]), {}, 0
    for panel in header["panels"]:
        if panel["map"]:
            size = len(panel["rows"]) * columns
            found[panel["name"]] = flat[at : at + size].reshape(-1, columns)
            at += size
    assert at == len(flat)
    return found


def table_of_outputs(page: AppTest) -> dict[str, str]:
    """What each model is said to say."""
    (table,) = [one for one in page.table if "says" in one.value.columns]
    lines = [(row["model"].strip("*"), row["says"].replace("\\", "")) for _, row in table.value.iterrows()]
    return dict(lines)


# --- The panels -------------------------------------------------------------------------------------------------------


def test_the_first_view_has_a_panel_for_each_model_and_the_paper_s_sentence() -> None:
    page = sound(opened())
    header, _ = received(page)
    assert names(page) == TITLES and len(TITLES) == 5
    assert [panel["map"] for panel in header["panels"]] == ["cross" in MODELS[name].supports for name in ALL]
    assert page.text_input(key="align box").value == TEXT_ASKED
    spoken = [token["label"] for token in header["source"]]
    assert spoken[:4] == ["The", "agreement", "on", "the"] and not any(token["special"] for token in header["source"])
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
    page = forced(opened(text=TEXT, models=THREE, outputs="common"), "日本語")
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


# --- Gold links -------------------------------------------------------------------------------------------------------


def test_a_sentence_with_gold_links_is_shown_in_its_words_on_every_panel() -> None:
    pair = shipped_pairs()[0]
    page = opened(text=TEXT, models=THREE, row="2")
    page = sound(page.button(key="align pair 0").click().run())
    header, _ = received(page)
    assert [token["label"] for token in header["source"]] == list(pair.source)
    assert rows(page) == [list(pair.target)] * 3 and header["same_rows"]
    assert header["gold"]["sure"] == sorted(map(list, pair.sure))
    assert header["gold"]["possible"] == sorted(map(list, pair.possible - pair.sure))
    assert header["start"]["row"] is None
    linked = len({target for _, target in pair.possible})
    details = [panel["detail"] for panel in header["panels"]]
    for found, detail in zip(weights(page).values(), details[1:], strict=True):
        best = found.argmax(axis=1)
        right = sum((int(best[t]), t) in pair.possible for t in range(len(pair.target)))
        assert abs(int(detail.split()[0]) - right) <= 1  # 16 bits may order two words otherwise
        assert f"of {linked} linked words" in detail
    assert details[0] == "" and "Gold links are outlined" in said(page.caption)
    assert address_of(page) == {"models": identities(THREE), "pair": "1"}
    assert not [one for one in page.segmented_control if one.key in ("alignment outputs", "alignment tokens")]


@pytest.mark.parametrize("leave", ["typing", "an example"])
def test_another_text_leaves_the_gold_links(leave: str) -> None:
    page = sound(opened(pair="2", models=THREE))
    assert received(page)[0]["gold"] is not None
    page = asked(page, TEXT) if leave == "typing" else click(page, next(iter(EXAMPLES)))
    assert received(sound(page))[0]["gold"] is None
    assert "pair" not in address_of(page) and address_of(page)["text"] in (TEXT, TEXT_ASKED)


def test_asking_for_the_same_sentence_again_keeps_the_gold_links() -> None:
    page = sound(opened(pair="1", models=THREE))
    page = asked(page, page.text_input(key="align box").value or "")
    assert received(sound(page))[0]["gold"] is not None and address_of(page)["pair"] == "1"


@pytest.mark.parametrize("number", range(len(shipped_pairs())))
def test_every_shipped_pair_opens(number: int) -> None:
    page = sound(opened(pair=str(number + 1), models=f"{BLIND}_{DOT}"))
    assert rows(page) == [list(shipped_pairs()[number].target)] * 2


def test_pairs_of_one_s_own_are_uploaded_opened_and_left() -> None:
    page = uploaded(opened(text=TEXT, models=THREE), b"The cat sleeps .\tLe chat <b>dort</b> .\t0-0 1-1 2p2 3-3\n")
    page = sound(click(sound(page), "The cat sleeps."))
    header, _ = received(page)
    assert rows(page) == [["Le", "chat", "<b>dort</b>", "."]] * 3
    assert header["gold"] == {"sure": [[0, 0], [1, 1], [3, 3]], "possible": [[2, 2]]}
    assert "Gold links are outlined" in said(page.caption) and address_of(page)["text"] == "The cat sleeps."
    page = sound(asked(page, TEXT))
    assert received(page)[0]["gold"] is None
    page = sound(asked(page, "The cat sleeps."))  # typed, it is a sentence like any other
    assert received(page)[0]["gold"] is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a b\tc d\n", "2 columns instead of 3"),
        (b"a b\tc d\t0-9\n", "names target word 9"),
        (b"a b\tc d\t<b>\n", "'<b>' is no link"),
        (b"", "There is no pair in this file"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
    ],
)
def test_a_file_without_pairs_is_answered_with_what_to_do(content: bytes, message: str) -> None:
    page = uploaded(opened(text=TEXT, models=THREE), content)
    assert not page.exception and message in said(page.error) and len(names(page)) == 3
    sound(page.run())  # said once


def test_a_pair_that_a_model_cannot_take_says_so_and_can_be_left() -> None:
    long = " ".join(["word"] * 100)
    page = uploaded(opened(text=TEXT, models=THREE), f"{long}\t日 本\t0-0\n".encode())
    page = sound(page).button(key="align own 0").click().run()
    assert not page.exception and page.error and not names(page)
    assert len(names(sound(asked(page, TEXT)))) == 3


# --- What is open below -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", ALL)
@pytest.mark.parametrize("section", ["steps", "states", "thread"])
def test_every_section_of_one_model_is_drawn_for_each(section: str, network: str) -> None:
    page = sound(opened(text=TEXT, section=section, network=network))
    heading = name_of(MODELS[network])
    menu = page.segmented_control(key="alignment network")
    able = WITH_STATES if section != "thread" else list(ALL)
    assert menu.value == (network if network in able else able[0]) and len(menu.options) == len(able)
    header, arrays = received(page, "saccade_steps")
    if section == "steps":
        shown = network if network in able else able[0]
        trace = load(shown, "cpu").trace(TEXT)
        assert [token["label"] for token in header["predicted"]] == list(trace.predicted.labels)
        assert header["attention"] == shown.rpartition("-")[2] and header["file_name"] == f"steps-{shown}"
        assert arrays["weights"].size == (0 if shown == BLIND else len(trace.predicted) * len(trace.source))
    elif section == "states":
        assert not header and len(page.get("vega_lite_chart")) == 1
    else:
        chart = json.loads(page.get("vega_lite_chart")[0].proto.spec)
        assert "layer" in chart or "mark" in chart
        assert len(page.get("plotly_chart")) == 1 and heading


def test_the_thread_is_that_of_the_transformer_s_output() -> None:
    page = sound(opened(text=TEXT, section="thread", models=THREE))
    trace = load(TRANSFORMER, "cpu").trace(TEXT)
    words, logprobs = merge_logprobs(trace.token_logprobs, trace.predicted)
    (chart,) = page.get("vega_lite_chart")
    points = pa.ipc.open_stream(chart.proto.datasets[0].data.data).read_all().to_pylist()
    assert {value for point in points for value in point.values()} >= {*words.labels, *titles_of(THREE)}
    shown = [value for point in points for value in point.values() if isinstance(value, float)]
    for probability in np.exp(logprobs):  # of what it said itself
        assert np.isclose(shown, probability, atol=1e-3).any()


@pytest.mark.parametrize(
    ("section", "message"), [("steps", "has no recurrent steps"), ("states", "Only recurrent models have states")]
)
def test_a_section_without_a_model_for_it_says_which(section: str, message: str) -> None:
    page = sound(opened(text=TEXT, section=section, models=TRANSFORMER))
    assert message in said(page.info) and names(page) == ["Transformer"]


def test_the_thread_of_one_model_needs_no_menu() -> None:
    page = sound(opened(text=TEXT, section="thread", models=TRANSFORMER))
    assert len(page.get("plotly_chart")) == 1
    assert "alignment network" not in [one.key for one in page.segmented_control]


def test_steps_begin_where_the_address_says_and_end_with_the_sentence() -> None:
    page = sound(opened(text=TEXT, section="steps", network=DOT, step="3"))
    assert received(page, "saccade_steps")[0]["step"] == 2
    page = sound(opened(text=TEXT, section="steps", network=DOT, step="9000"))
    header, _ = received(page, "saccade_steps")
    assert header["step"] == len(header["predicted"]) - 1


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_the_states_of_every_layer_and_direction(direction: str) -> None:
    for layer, shown in (("1", 1), ("2", 2), ("99", 2)):
        page = sound(opened(text=TEXT, models=DOT, section="states", direction=direction, depth=layer))
        assert f"encoder layer {shown}" in page.get("plotly_chart")[0].proto.spec
    for summary in ("change", "end"):
        page = sound(opened(text=TEXT, models=DOT, section="states", summary=summary))
        assert page.segmented_control(key="alignment summary").value == summary
        assert len(page.get("vega_lite_chart")) == 1


def measured_lengths() -> Bottleneck:
    """A figure of every model, made up."""

    def part(bleu: float) -> LengthBin:
        return LengthBin(5, 8, 100, Estimate(bleu, bleu - 2, bleu + 2), Estimate(0.5, 0.4, 0.6), 1.0)

    models = tuple(ModelScores(MODELS[n].identity, "", "0", 0, (part(20.0 + i),), None) for i, n in enumerate(ALL))
    bleu, accuracy = Estimate(-3.5, -5.0, 1.25), Estimate(0.125, 0.1, 0.15)
    gain = GainBin(5, 8, 100, bleu, accuracy)
    gains = tuple(
        ModelGain(MODELS[n].identity, MODELS[BLIND].identity, (gain,), replace(gain, longest=30))
        for n in RECURRENT
        if n != BLIND
    )
    return Bottleneck("test.tsv", "0", 571, 1000, 0, "nrefs:1", models, gains)


@pytest.mark.parametrize("score", ["bleu", "accuracy", "gain"])
def test_quality_by_length_is_drawn_from_what_was_measured(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", measured_lengths)
    page = sound(opened(text=TEXT, models=THREE, section="lengths", score=score))
    assert len(page.get("vega_lite_chart")) == 1
    told = said(page.markdown)
    assert f"{name_of(MODELS[DOT])}: −3.5 (95 % interval −5.0 to +1.2)" in told
    assert "571 lines" in said(page.caption)


def test_the_gain_of_what_has_none_asks_for_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", measured_lengths)
    page = sound(opened(text=TEXT, models=BLIND, section="lengths", score="gain"))
    assert "Nothing of this is measured" in said(page.info) and not page.get("vega_lite_chart")


def test_lengths_measured_with_other_weights_are_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    old = measured_lengths()
    stale = tuple(replace(one, identity=f"{one.name}@00000000") if one.name == DOT else one for one in old.models)
    monkeypatch.setattr(_align_lengths, "read_bottleneck", lambda: replace(old, models=stale))
    page = opened(text=TEXT, models=DOT, section="lengths")
    assert not page.exception and f"{DOT} was measured as {DOT}@00000000" in said(page.warning)
    assert "Nothing of this is measured" in said(page.info)


def test_lengths_that_nobody_has_measured_are_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", lambda: read_bottleneck(tmp_path / "no.json"))
    page = sound(opened(text=TEXT, models=THREE, section="lengths"))
    assert "no.json is missing. Run: saccade" in said(page.info)


def aligned(aer: float, **more: Any) -> dict[str, Any]:
    return {"aer": aer, "low": aer - 0.02, "high": aer + 0.03, "precision": 0.6, "recall": 0.7, "accuracy": 0.8, **more}


def measured_alignments(card: Any) -> dict[str, Any]:
    """What `scores_of` would give, made up: two heads of the Transformer, one of each other."""
    heads = [aligned(0.41, layer=0, head=0)]
    if card.name == TRANSFORMER:
        heads = [aligned(0.25, layer=2, head=4), aligned(0.75, layer=1, head=1)]
    story = {"pairs": 90, "over_limit": 0, "sure": 1, "possible": 1, "words": 1}
    later = [aligned(0.22, layer=1, head=3)]
    found = {"alibi": story, "diagonal": aligned(0.65), "heads": heads, "reading": {"heads": later}}
    return {"alignment": found if card.name != BLIND else found | {"heads": [], "reading": {"heads": []}}}


def test_the_table_of_alignment_quality_has_the_best_heads_or_every_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "scores_of", measured_alignments)
    page = sound(opened(text=TEXT, models=THREE, section="quality"))

    def lines() -> list[tuple[str, str, str]]:
        (table,) = [one.value for one in page.table if "error rate" in one.value.columns]
        return [(row["model"], row["head"], row["error rate"]) for _, row in table.iterrows()]

    best = [
        ("Transformer", "layer 3, head 5", "25.0% (23.0% to 28.0%)"),
        (name_of(MODELS[DOT]), "layer 1, head 1", "41.0% (39.0% to 44.0%)"),
        ("diagonal", "", "65.0% (63.0% to 68.0%)"),
    ]
    later = ("Transformer", "layer 2, head 4, one step later", "22.0% (20.0% to 25.0%)")
    assert lines() == [*best, later] and "90 pairs" in said(page.caption)
    page.toggle(key="alignment every").set_value(True).run()
    assert lines() == [*best, ("Transformer", "layer 2, head 2", "75.0% (73.0% to 78.0%)"), later]
    assert address_of(sound(page))["every"] == "1"


@pytest.mark.parametrize("models", [THREE, BLIND])
def test_alignments_that_nobody_has_measured_are_said_to_be_missing(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = measured_alignments if models == BLIND else (lambda card: {})
    monkeypatch.setattr(_align_lengths, "scores_of", known)
    page = sound(opened(text=TEXT, models=models, section="quality"))
    assert "No alignments are measured" in said(page.info)


def test_the_head_that_aligns_best_is_shown_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align, "scores_of", measured_alignments)
    page = sound(opened(text=TEXT, models=TRANSFORMER))
    assert received(page)[0]["panels"][0]["note"] == "cross attention, layer 3, head 5"
    monkeypatch.setattr(_align, "scores_of", lambda card: {})
    page = sound(opened(text=TEXT, models=TRANSFORMER))
    last = load(TRANSFORMER, "cpu").trace(TEXT).maps["cross"].layers
    assert received(page)[0]["panels"][0]["note"] == f"cross attention, layer {last}, head 1"


# --- Addresses and request files --------------------------------------------------------------------------------------

texts = some.text(some.characters(exclude_categories=["Cs"]), max_size=40)
filled = texts.filter(bool)
positions = some.integers(-1, 99_999)
counts = some.integers(0, 99_999)
views = some.builds(
    AlignView,
    models=some.lists(some.sampled_from([card.identity for card in MODELS.values()]), max_size=3).map(tuple),
    text=texts,
    outputs=some.sampled_from(["own", "common"]),
    target=texts,
    pair=positions,
    view=some.sampled_from(["heatmap", "lines"]),
    tokens=some.sampled_from(["words", "pieces"]),
    special=some.booleans(),
    layer=positions,
    head=positions,
    source=positions,
    row=positions,
    panel=texts,
    numbers=some.booleans(),
    section=some.sampled_from(SECTIONS),
    network=texts,
    step=counts,
    depth=counts,
    direction=some.sampled_from(["overview", "forwards", "backwards"]),
    summary=some.sampled_from(["change", "end"]),
    score=some.sampled_from(["bleu", "accuracy", "gain"]),
    every=some.booleans(),
    presenter=some.booleans(),
)


@given(views)
def test_every_view_comes_back_from_its_address_and_its_file(asked_for: AlignView) -> None:
    address = dict(parse_qsl(urlencode(CODEC.encode(asked_for)), keep_blank_values=True))
    assert CODEC.decode(address) == (asked_for, [])
    assert CODEC.from_file(CODEC.to_file(asked_for).encode()) == (asked_for, [])


@given(some.dictionaries(some.sampled_from(list(CODEC.forms)) | texts, texts, max_size=8))
def test_no_address_breaks_the_page_and_what_is_refused_is_named(address: dict[str, str]) -> None:
    found, problems = CODEC.decode(address)
    alone = [CODEC.decode({name: text}) for name, text in address.items()]
    assert problems == [problem for _, one in alone for problem in one]
    whole, _ = _align.complete(found, True)
    assert whole.models and (whole.text or whole.pair >= 0) and _align.chosen_cards(whole)
    assert whole.pair < len(shipped_pairs())


def test_every_field_of_a_view_has_a_reader() -> None:
    assert set(CODEC.forms) == {field.name for field in fields(AlignView)}
    assert CODEC.encode(AlignView()) == {}


def test_an_address_opens_its_view_and_is_written_back_equal() -> None:
    address = {
        "models": identities(THREE), "text": TEXT, "outputs": "common", "target": "Je suis fatigué.", "view": "lines",
        "tokens": "pieces", "special": "1", "layer": "2", "head": "3", "source": "2", "row": "1", "panel": DOT,
        "numbers": "1", "section": "states", "network": DOT, "step": "3", "depth": "2", "direction": "forwards",
        "summary": "end", "score": "accuracy", "every": "1",
    }  # fmt: skip
    page = sound(opened(**address))
    assert address_of(page) == address
    header, _ = received(page)
    assert header["start"] == {"source": 1, "row": 0, "panel": 1} and header["view"] == "lines"
    assert header["panels"][2]["note"] == "cross attention, layer 2, head 3"
    gold = {"models": identities(DOT), "pair": "3", "presenter": "1"}
    assert address_of(sound(opened(**gold))) == gold


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"pair": "9999"}, "“pair=9999” in the address is not there: the highest is"),
        ({"pair": "0"}, "pair=0"),
        ({"models": "en-de_en-fr"}, "no model “en-de” that translates"),
        ({"models": "autocomplete-gru"}, "no model “autocomplete-gru” that translates"),
        ({"models": f"{DOT}@00000000"}, f"made with {DOT}@00000000"),
        ({"network": "<b>nobody</b>"}, "network=<b>nobody</b>"),
        ({"panel": "nobody"}, "panel=nobody"),
        ({"section": "everything"}, "section=everything"),
        ({"view": "grid"}, "view=grid"),
        ({"tokens": "letters"}, "tokens=letters"),
        ({"outputs": "theirs"}, "outputs=theirs"),
        ({"layer": "two"}, "layer=two"),
        ({"step": "-1"}, "step=-1"),
        ({"row": "٣"}, "row=٣"),
        ({"special": "yes"}, "special=yes"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_an_address_asks_in_vain_is_said_and_the_rest_is_shown(address: dict[str, str], message: str) -> None:
    page = opened(**{"text": TEXT, "models": THREE, **address})
    assert not page.exception and not page.error and message in said(page.warning)
    assert names(page) and page.text_input(key="align box").value == TEXT
    sound(page.run())  # said once, and gone from the address
    assert not set(address) - {"models"} & set(address_of(page))


def test_an_address_without_a_text_shows_an_example_and_says_so() -> None:
    page = opened(models=THREE)
    assert "holds no text" in said(page.warning) and page.text_input(key="align box").value == TEXT_ASKED


def test_positions_that_are_not_there_change_nothing_that_is() -> None:
    beyond = {name: "500" for name in ("source", "row", "layer", "head", "step", "depth")}
    page = sound(opened(text=TEXT, models=THREE, section="states", direction="backwards", **beyond))
    assert received(page)[0]["start"] == {"source": None, "row": None, "panel": 0}
    assert len(names(page)) == 3


def test_a_text_too_long_for_an_address_keeps_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(text=TEXT, models=DOT, row="1", view="lines")
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 60)
    page.toggle(key="alignment numbers").set_value(True).run()
    assert address_of(page) == {"models": identities(DOT), "view": "lines", "numbers": "1"}
    assert "too long for the address" in said(page.info)


def test_a_request_file_brings_the_view_back() -> None:
    wanted = AlignView(models=(MODELS[DOT].identity,), text="We sleep.", view="lines", section="states", row=1)
    page = uploaded(opened(text=TEXT, models=THREE), CODEC.to_file(wanted).encode(), "align request file")
    assert names(sound(page)) == [name_of(MODELS[DOT])] and page.text_input(key="align box").value == "We sleep."
    assert view(page) == wanted
    page = uploaded(page, b'{"saccade": 1, "page": "beam", "text": "Hi."}', "align request file")
    assert not page.exception and "is of the page Beam" in said(page.error) and view(page) == wanted


def test_coming_back_to_the_page_keeps_the_sentence() -> None:
    page = asked(opened(models=THREE, text="He slept."), TEXT)
    page.switch_page("pages/models.py").run()
    page.query_params.clear()
    page.switch_page("pages/alignment.py").run()
    assert sound(page).text_input(key="align box").value == TEXT and len(names(page)) == 3


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
        files[label] = data() if callable(data) else data

    monkeypatch.setattr(st, "download_button", download)
    page = sound(opened(pair="1", models=THREE, view="lines"))
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
    assert files["Panels as a page"].lstrip().lower().startswith("<!doctype html>")
    (link,) = [code.value for code in page.code if "pair=1" in code.value]
    assert dict(parse_qsl(link.partition("?")[2])) == address_of(page)


def test_the_menu_of_pairs_explains_the_file_with_an_example_that_works() -> None:
    page = uploaded(opened(text=TEXT, models=DOT), _align_gold.EXAMPLE.encode())
    page = sound(page).button(key="align own 0").click().run()
    assert received(sound(page))[0]["gold"] == {"sure": [[0, 0], [1, 2], [2, 1]], "possible": []}
