"""The Translate page in Streamlit's own test runner: what it shows, what it says to bad input, and when it computes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.catalogue
import engine.model_card
from engine.catalogue import MODELS
from engine.runner import Runner, load
from engine.types import Trace, TraceRequest
from pages import _address
from pages._permalink import CODEC
from pages._presets import PRESETS
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
TIRED = "The animal didn't cross the street because it was too tired."


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
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
    """The Translate page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/translate.py").run()


def asked(page: AppTest, text: str) -> AppTest:
    page.text_input(key="text").set_value(text)
    return page.button(key="FormSubmitter:question-Translate").click().run()


def translation(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


def message_of(page: AppTest) -> str:
    """The error as a reader sees it: without the backslashes that keep Markdown from reading it."""
    return page.error[0].value.replace("\\", "")


def address_of(page: AppTest) -> dict[str, str]:
    """What stands behind the "?"."""
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def figures(page: AppTest) -> list[str]:
    """What is drawn: components by name, charts by kind."""
    kinds = ("bidi_component", "vega_lite_chart", "plotly_chart")
    drawn = [element.proto for element in page.main if element.type in kinds]
    return [getattr(proto, "component_name", type(proto).__name__) for proto in drawn]


def received(page: AppTest, component: str = "saccade_lines") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of what a component is given."""
    protos = [element.proto for element in page.get("bidi_component")]
    return unpack(next(proto.bytes for proto in protos if proto.component_name == component))


def choose(page: AppTest, key: str, value: str) -> AppTest:
    return page.segmented_control(key=key).set_value(value).run()


def test_the_first_view_shows_a_translated_sentence_and_its_lines(runs: list[TraceRequest]) -> None:
    page = opened()
    assert not page.exception and not page.error and not page.warning
    assert page.text_input(key="text").value == TIRED
    assert {request.text for request in runs} == {TIRED}
    assert 'lang="fr"' in translation(page)
    assert any("11 words in" in caption.value and "ms on" in caption.value for caption in page.caption)
    assert figures(page) == ["saccade_lines"]


def test_the_lines_receive_the_trace_itself() -> None:
    page = choose(choose(opened(), "map", "cross"), "tokens", "pieces")
    trace = load("en-fr", "cpu").trace(TIRED)
    header, arrays = received(page)
    weights = trace.maps["cross"].weights
    np.testing.assert_allclose(
        arrays["weights"].reshape(weights.shape) / header["levels"], weights, atol=0.5 / header["levels"] + 1e-7
    )
    assert [token["label"] for token in header["tokens"]["query"]] == list(trace.predicted.labels)
    assert [token["label"] for token in header["tokens"]["key"]] == list(trace.source.labels)


def test_changing_the_view_never_runs_the_model_again(runs: list[TraceRequest]) -> None:
    page = opened()
    choose(page, "map", "decoder")
    for view, figure in (
        ("heatmap", "PlotlyChart"),
        ("grid", "saccade_grid"),
        ("playback", "saccade_playback"),
        ("lines", "saccade_lines"),
    ):
        choose(page, "view", view)
        assert not page.exception and not page.error
        assert figure in figures(page)
    for key, value in (("tokens", "pieces"), ("special", "renormalised"), ("over_heads", "max"), ("map", "cross")):
        choose(page, key, value)
        assert not page.exception and not page.error
    assert len(runs) == 1


def test_what_is_put_together_is_named_and_its_removed_mass_stated() -> None:
    page = opened()
    for key, value in (("special", "hidden"), ("over_heads", "mean"), ("over_layers", "max")):
        choose(page, key, value)
    header, arrays = received(page)
    assert header["heads"] == ["mean of 8 heads"]
    assert header["layers"] == ["max of 6 layers"]
    assert not any(token["special"] for side in header["tokens"].values() for token in side)
    said = next(caption.value for caption in page.caption if "Special tokens are hidden" in caption.value)
    removed = arrays["removed"]
    assert f"they took {removed.mean():.0%} of each head's attention" in said
    assert "mean of 8 heads, then the max of 6 layers" in said


def test_heatmaps_are_compared_and_the_heads_are_in_the_address() -> None:
    page = opened(map="cross", view="heatmap", layer="2", heads="3")
    choose(page, "compare", "difference")
    page.selectbox(key="second cross each each head").set_value(4).run()
    assert not page.exception and not page.error
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert "layer 2, head 3 − layer 2, head 5" in figure["layout"]["title"]["text"]
    assert address_of(page)["other"] == "2.5"
    assert address_of(page)["heads"] == "3"


@pytest.mark.parametrize("view", ["lines", "playback", "grid", "heatmap"])
def test_an_address_opens_its_view_and_is_written_back_equal(view: str) -> None:
    address = {
        "model": MODELS["en-fr"].identity,
        "text": "The cat sleeps.",
        "target": "Le chat dort.",
        "map": "decoder",
        "tokens": "pieces",
        "view": view,
    }
    if view == "playback":
        address |= {"step": "8"}
    else:
        address |= {"layer": "2", "heads": "1.3", "pins": "2.3", "at": "1", "mass": "0.7"}
    if view == "lines":
        del address["view"]  # a fresh page shows them anyway
    page = opened(**address)
    assert not page.exception and not page.error and not page.warning
    assert address_of(page) == address


def test_pins_stay_on_their_words_when_words_become_pieces() -> None:
    page = opened(text=TIRED, pins="3")  # "didn't"
    choose(page, "tokens", "pieces")
    header, _ = received(page)
    pinned = [header["tokens"]["query"][i]["label"] for i in header["start"]["query"]]
    assert "".join(pinned) == "didn't"
    choose(page, "tokens", "words")
    assert received(page)[0]["start"]["query"] == [2]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ({"map": "sideways"}, "map=sideways"),
        ({"layer": "99"}, "layer=99"),
        ({"heads": "9.1"}, "heads=9"),
        ({"pins": "77"}, "pins=77"),
        ({"colour": "red"}, "colour"),
        ({"model": "en-fr@00000000"}, "made with en-fr@00000000"),
    ],
)
def test_what_an_address_asks_in_vain_is_said_and_the_rest_is_shown(address: dict[str, str], said: str) -> None:
    page = opened(text=TIRED, **address)
    assert not page.exception and not page.error
    assert said in page.warning[0].value.replace("\\", "")
    assert "saccade_lines" in figures(page)


def test_a_text_of_an_address_is_as_harmless_as_a_typed_one() -> None:
    page = opened(text="<script>alert(1)</script> I am here.", target="<b>Je</b> suis là.")
    assert not page.exception and not page.error
    assert "<script" not in translation(page) and "<b>" not in translation(page)


def test_a_forced_translation_is_set_beside_the_model_s_own(runs: list[TraceRequest]) -> None:
    page = opened()
    page.text_input(key="own target").set_value("L'animal n'a pas traversé la rue parce qu'elle était trop fatiguée.")
    page.button(key="FormSubmitter:target form-Force this translation").click().run()
    assert not page.exception and not page.error
    assert runs[-1].target is not None and "elle" in runs[-1].target
    assert translation(page).count("probability of each word") == 2  # yours and the model's own
    assert any("is **yours**" in element.value for element in page.markdown)
    assert "target" in page.query_params
    next(button for button in page.button if button.label == "Back to the model's own").click().run()
    assert "target" not in page.query_params
    assert translation(page).count("robability of each") == 1


def test_another_sentence_drops_pins_and_a_forced_translation() -> None:
    page = opened(text=TIRED, target="Oui.", pins="8")
    asked(page, "I am tired.")
    assert not page.error
    assert "target" not in page.query_params and "pins" not in page.query_params


def test_a_text_too_long_for_an_address_keeps_the_rest_and_offers_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(layer="2")
    assert "text" in address_of(page)
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 50)
    page = asked(page, "I am tired.")
    assert not page.exception and not page.error
    rest = {"model": MODELS["en-fr"].identity, "layer": "2", "least": "0.05", "heads": "1.2.3.4.5.6.7.8"}
    assert address_of(page) == rest
    assert any("too long for a link" in info.value for info in page.info)


def test_the_presenter_has_larger_type_and_fewer_controls() -> None:
    plain, page = opened(), opened(presenter="1")
    assert received(page)[0]["scale"] > received(plain)[0]["scale"]
    assert received(page)[0]["controls"] == "heads"
    assert len(list(page.button)) < len(list(plain.button))
    assert page.toggle(key="presenter").value


@pytest.mark.parametrize(
    "address", [{"text": ""}, {"text": "日本語"}, {"text": "word " * 200}, {"text": "Hi.", "target": "oui " * 300}]
)
def test_an_address_that_cannot_be_shown_can_be_left(address: dict[str, str]) -> None:
    page = opened(**address)
    assert not page.exception and page.error
    asked(page, "I am tired.")
    assert not page.exception and not page.error
    assert page.text_input(key="text").value == "I am tired."
    assert address_of(page)["text"] == "I am tired."


def test_a_forced_translation_that_is_refused_leaves_the_page_and_the_words() -> None:
    page = opened()
    page.text_input(key="own target").set_value("日本語")
    page.button(key="FormSubmitter:target form-Force this translation").click().run()
    assert "could not be forced" in message_of(page)
    assert figures(page) == ["saccade_lines"]
    assert page.text_input(key="own target").value == "日本語"


def test_a_run_that_carries_the_address_of_the_view_before_changes_nothing() -> None:
    page = opened(text="I love you.")
    page.text_input(key="text").set_value("I am tired.")
    page.query_params["text"] = "An address that the browser has not replaced yet."
    page.button(key="FormSubmitter:question-Translate").click().run()
    assert address_of(page)["text"] == "I am tired."


def test_coming_back_to_the_page_keeps_the_sentence() -> None:
    page = asked(opened(), "I am tired.")
    page.switch_page("pages/models.py").run()
    page.query_params.clear()
    page.switch_page("pages/translate.py").run()
    assert page.text_input(key="text").value == "I am tired."
    assert address_of(page)["text"] == "I am tired."


def test_pins_stay_on_their_words_by_way_of_another_map() -> None:
    page = opened(text=TIRED, pins="8")  # "it"
    for key, value in (("map", "cross"), ("tokens", "pieces"), ("map", "encoder"), ("over_heads", "mean")):
        choose(page, key, value)
    header, _ = received(page)
    assert [header["tokens"]["query"][i]["label"] for i in header["start"]["query"]] == ["it"]


def test_another_sentence_and_then_another_reduction_of_a_map_seen_before() -> None:
    page = choose(opened(text=TIRED, pins="8"), "map", "cross")
    asked(page, "I am tired.")
    for key, value in (("over_heads", "mean"), ("map", "encoder")):
        choose(page, key, value)
        assert not page.exception and not page.error
    assert received(page)[0]["start"]["query"] == []


def test_a_hint_is_shown_with_its_own_head_only() -> None:
    page = opened(**CODEC.encode(PRESETS["previous"].view(MODELS["en-fr"])))
    hint = PRESETS["previous"].explanation(MODELS["en-fr"])
    assert any(hint in element.value for element in page.markdown)
    head = next(box for box in page.selectbox if box.label == "Head")
    head.set_value((head.value + 1) % 8).run()
    assert not any(hint in element.value for element in page.markdown)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_opens_and_shows_its_role(name: str) -> None:
    page = opened()
    page.button(key=f"preset {name}").click().run()
    assert not page.exception and not page.error and not page.warning
    assert page.text_input(key="text").value == PRESETS[name].text
    expected = CODEC.encode(PRESETS[name].view(MODELS["en-fr"]))
    assert expected.items() <= address_of(page).items()


def test_the_pronouns_of_the_presets_are_the_pinned_words() -> None:
    for name, word in (("tired", "it"), ("wide", "it"), ("its", "its")):
        page = opened(**CODEC.encode(PRESETS[name].view(MODELS["en-fr"])))
        header, _ = received(page)
        assert [header["tokens"]["query"][i]["label"] for i in header["start"]["query"]] == [word]


def test_a_second_session_is_answered_from_memory(runs: list[TraceRequest]) -> None:
    opened()
    opened()
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "There is no text yet"),
        ("   \u200b\u2060 ", "There is no text yet"),
        ("日本語の文章", "knows none of these characters"),
        ("שלום עולם", "knows none of these characters"),
        ("🦊🐔", "knows none of these characters"),
        ("a " * 5000, "takes 128 at most"),
        ("x" * 10_000, "takes 128 at most"),
    ],
)
def test_bad_input_gets_a_sentence_that_says_what_to_do(text: str, said: str) -> None:
    page = asked(opened(), text)
    assert not page.exception
    assert said in message_of(page)
    assert figures(page) == []  # no figure of the sentence before under this one's message
    page = asked(page, "I am tired.")
    assert not page.error and figures(page)


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script> <b>bold</b> & so on",
        "The 🦊 is red.",
        "The cafe\u0301 is open.",
        "He said \u202eabc\u202c to me.",
        "$x^2$ **bold** [link](http://example.com) :smile: `code`",
        "שלום means peace.",
        "I",
        "?!",
    ],
)
def test_odd_input_is_translated_without_a_stack_trace(text: str) -> None:
    page = asked(opened(), text)
    assert not page.exception and not page.error
    body = translation(page)
    assert "<script" not in body and "<b>" not in body  # whatever the output is, it is text
    choose(choose(page, "tokens", "pieces"), "view", "heatmap")
    assert not page.exception and not page.error


@pytest.mark.parametrize("harm", ["missing", "damaged", "swapped"])
def test_harmed_weights_are_named_with_both_checksums(
    harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "assets" / "en-fr", tmp_path / "en-fr")
    weights = tmp_path / "en-fr" / "weights.safetensors"
    if harm == "missing":
        weights.unlink()
    elif harm == "damaged":
        content = bytearray(weights.read_bytes())
        content[len(content) // 2] ^= 1
        weights.write_bytes(content)
    else:
        weights.write_bytes((tmp_path / "en-fr" / "tokenizer.model").read_bytes())
    monkeypatch.setattr(engine.model_card, "ASSETS", tmp_path)
    page = opened()
    assert not page.exception
    message = message_of(page)
    assert "en-fr/weights.safetensors" in message and "git checkout" in message
    if harm != "missing":
        assert engine.catalogue.MODELS["en-fr"].sha256["weights.safetensors"] in message


def test_an_absent_device_is_said_and_nothing_breaks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SACCADE_DEVICE", "quantum")
    page = opened()
    assert not page.exception
    assert "Choose auto, cpu, cuda or mps" in message_of(page)


def test_an_unexpected_error_shows_no_stack_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Runner, request: TraceRequest) -> Trace:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(Runner, "run", fail)
    page = opened()
    assert not page.exception
    assert "should not have" in message_of(page) and "secret" not in message_of(page)
