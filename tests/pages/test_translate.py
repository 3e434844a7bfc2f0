"""The Translate page in Streamlit's own test runner: what it shows, what it says to bad input, and when it computes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.catalogue
from engine.runner import Runner
from engine.types import Trace, TraceRequest

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


def opened() -> AppTest:
    return AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()


def asked(page: AppTest, text: str) -> AppTest:
    page.text_input(key="text").set_value(text)
    return page.button(key="FormSubmitter:question-Translate").click().run()


def translation(page: AppTest) -> str:
    return "".join(element.proto.body for element in page.get("html"))


def message_of(page: AppTest) -> str:
    """The error as a reader sees it: without the backslashes that keep Markdown from reading it."""
    return page.error[0].value.replace("\\", "")


def charts(page: AppTest) -> list[str]:
    return [element.type for element in page.main if element.type in ("vega_lite_chart", "plotly_chart")]


def test_the_first_view_shows_a_translated_sentence_and_its_heads(runs: list[TraceRequest]) -> None:
    page = opened()
    assert not page.exception and not page.error
    assert page.text_input(key="text").value == TIRED
    assert [request.text for request in runs] == [TIRED]
    assert 'lang="fr"' in translation(page)
    assert any("11 words in" in caption.value and "ms on" in caption.value for caption in page.caption)
    assert charts(page) == ["vega_lite_chart", "vega_lite_chart"]  # the strip and the lines


def test_changing_the_view_never_runs_the_model_again(runs: list[TraceRequest]) -> None:
    page = opened()
    page.segmented_control(key="map").set_value("decoder").run()
    page.segmented_control(key="layer decoder").set_value(0).run()
    page.pills(key="heads decoder").set_value([0, 2]).run()
    page.slider(key="threshold").set_value(0.2).run()
    page.segmented_control(key="unit").set_value("Pieces").run()
    page.segmented_control(key="view").set_value("Heatmap").run()
    page.segmented_control(key="head decoder").set_value(3).run()
    page.segmented_control(key="map").set_value("cross").run()
    assert not page.exception and not page.error
    assert charts(page) == ["vega_lite_chart", "plotly_chart"]
    assert len(runs) == 1


def test_a_choice_survives_while_its_control_is_hidden() -> None:
    page = opened()
    page.pills(key="heads encoder").set_value([1]).run()
    page.segmented_control(key="map").set_value("cross").run()
    page.segmented_control(key="map").set_value("encoder").run()
    assert page.pills(key="heads encoder").value == [1]


def test_a_second_session_is_answered_from_memory(runs: list[TraceRequest]) -> None:
    opened()
    opened()
    assert len(runs) == 1


def test_a_preset_translates_its_sentence(runs: list[TraceRequest]) -> None:
    page = opened()
    page.button(key="preset it was too wide").click().run()
    assert [request.text.split()[-1] for request in runs] == ["tired.", "wide."]
    assert page.text_input(key="text").value.endswith("too wide.")


def test_no_head_is_a_hint_and_no_error() -> None:
    page = opened()
    page.pills(key="heads encoder").set_value([]).run()
    assert not page.exception and not page.error
    assert "No head is selected" in page.info[0].value


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
    assert charts(page) == []  # no figure of the sentence before under this one's message
    page = asked(page, "I am tired.")
    assert not page.error and charts(page)


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
    page.segmented_control(key="unit").set_value("Pieces").run()
    page.segmented_control(key="view").set_value("Heatmap").run()
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
    monkeypatch.setattr(engine.catalogue, "ASSETS", tmp_path)
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
