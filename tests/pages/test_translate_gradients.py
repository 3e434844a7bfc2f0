"""The Translate page's gradients in Streamlit's own test runner: the switch, what is drawn, said, saved and refused."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.saliency
from engine.catalogue import MODELS
from engine.runner import Runner, load
from engine.saliency import GradientMap, Saliency, gradient_csv, hide_special, merge_words, saliency
from pages import _gradient, _save
from pages._permalink import CODEC
from pages._presets import PRESETS
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
TEXT = "The workers repaired the refrigerator."  # words of several pieces on both sides


@pytest.fixture(scope="module")
def found() -> Saliency:
    runner = load("en-fr", "cpu")
    return saliency(runner, runner.request(TEXT))


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def differentiated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The norm of every computation that really took place."""
    seen: list[str] = []
    original = engine.saliency.saliency_of

    def counted(runner: Runner, trace: Any, mode: Any, report: Any) -> Saliency:
        seen.append(mode)
        return original(runner, trace, mode, report)

    monkeypatch.setattr(_gradient, "saliency_of", counted)
    return seen


def opened(**address: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in {"text": TEXT, **address}.items():
        app.query_params[name] = value
    return app.switch_page("pages/translate.py").run()


def choose(page: AppTest, key: str, value: str) -> AppTest:
    page.segmented_control(key=key).set_value(value).run()
    assert not page.exception and not page.error
    return page


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def lines_of(page: AppTest) -> tuple[dict[str, Any], np.ndarray]:
    """Header and shares of the line diagram."""
    protos = [element.proto for element in page.get("bidi_component")]
    header, arrays = unpack(next(proto.bytes for proto in protos if proto.component_name == "saccade_lines"))
    shape = (len(header["tokens"]["query"]), len(header["tokens"]["key"]))
    return header, arrays["weights"].reshape(shape) / header["levels"]


def heatmap_of(page: AppTest) -> dict[str, Any]:
    figure: dict[str, Any] = json.loads(page.get("plotly_chart")[0].proto.spec)
    return figure


def options(page: AppTest, key: str) -> list[str]:
    return list(page.segmented_control(key=key).options)


def assert_drawn(page: AppTest, expected: GradientMap) -> None:
    header, shares = lines_of(page)
    np.testing.assert_allclose(shares, expected.shares, atol=1e-4)  # 16 bits, and the page's own sums
    assert [token["label"] for token in header["tokens"]["query"]] == list(expected.predicted.labels)
    assert [token["label"] for token in header["tokens"]["key"]] == list(expected.keys.labels)


def test_the_switch_shows_gradients_between_words_and_goes_back(found: Saliency) -> None:
    page = opened()
    page = choose(page, "measure", "gradient")
    assert_drawn(page, merge_words(found.maps["cross"]))
    header, _ = lines_of(page)
    assert (header["title"], header["layers"], header["heads"]) == (
        "Cross gradient",
        ["whole model"],
        ["one-hot norm"],
    )
    assert header["file_name"] == "cross-gradient-one-hot"
    assert address_of(page)["measure"] == "gradient" and address_of(page)["map"] == "cross"
    assert not {"layer", "heads"} & set(address_of(page))
    said = next(caption.value for caption in page.caption if "∂" in caption.value)
    assert "rows cannot be compared with each other" in said and "attention" not in said
    page = choose(page, "measure", "attention")
    header, _ = lines_of_any(page)
    assert header["title"] == "Cross attention" and len(header["heads"]) == 8
    assert "measure" not in address_of(page)


def lines_of_any(page: AppTest) -> tuple[dict[str, Any], Any]:
    return unpack(page.get("bidi_component")[0].proto.bytes)


def test_there_are_no_heads_to_choose_and_no_encoder_map() -> None:
    page = choose(opened(), "measure", "gradient")
    assert [len(options(page, key)) for key in ("map", "view", "norm")] == [2, 2, 3]
    keys = {control.key for control in page.segmented_control}
    assert not {"over_heads", "over_layers", "compare"} & keys
    assert any("every layer and head at once" in caption.value for caption in page.caption)


@pytest.mark.parametrize("kind", ["cross", "decoder"])
@pytest.mark.parametrize("special", ["shown", "hidden", "renormalised"])
@pytest.mark.parametrize("unit", ["words", "pieces"])
def test_words_pieces_and_special_tokens(found: Saliency, kind: Any, special: str, unit: str) -> None:
    page = opened(measure="gradient", map=kind, special=special, tokens=unit)
    assert not page.exception and not page.error and not page.warning
    expected = found.maps[kind]  # type: ignore[index]
    if unit == "words":
        expected = merge_words(expected)
    if special != "shown":
        expected = hide_special(expected, rescale=special == "renormalised")
        assert any("Special tokens are hidden: in" in caption.value for caption in page.caption)
    assert_drawn(page, expected)


def test_every_norm_is_computed_once(differentiated: list[str]) -> None:
    page = choose(opened(), "measure", "gradient")
    _, first = lines_of(page)
    choose(page, "norm", "squared")
    header, squared = lines_of(page)
    assert header["wording"]["columns"] == "sum" and header["file_name"] == "cross-gradient-squared"
    np.testing.assert_allclose(squared, first**2, atol=1e-3)  # of pieces' squares; rows by their own largest
    for key, value in (("map", "decoder"), ("tokens", "pieces"), ("view", "heatmap"), ("norm", "one-hot")):
        choose(page, key, value)
    opened(measure="gradient")
    assert differentiated == ["one-hot", "squared"]


def test_the_heatmap_says_gradient_wherever_attention_stood() -> None:
    page = opened(measure="gradient", map="decoder", view="heatmap", norm="embedding", special="hidden")
    assert not page.exception and not page.error
    figure = heatmap_of(page)
    assert figure["layout"]["title"]["text"] == "Decoder gradient, whole model, embedding norm"
    assert "attention" not in json.dumps(figure) and "looks at" not in json.dumps(figure)
    assert "is moved by" in json.dumps(figure) and "cannot depend on" in json.dumps(figure)
    assert page.get("plotly_chart")[0].proto.alt.startswith("Heatmap: Decoder gradient")
    assert [box.key for box in page.selectbox] == ["model"]  # no head to choose


@pytest.mark.parametrize("view", ["lines", "heatmap"])
def test_an_address_opens_its_view_and_is_written_back_equal(view: str) -> None:
    address = {
        "model": MODELS["en-fr"].identity,
        "text": "The cat sleeps.",
        "target": "Le chat dort.",
        "measure": "gradient",
        "norm": "squared",
        "map": "decoder",
        "tokens": "pieces",
        "special": "hidden",
        "pins": "2",
        "at": "1",
        "least": "0.45",
    }
    if view != "lines":
        address["view"] = view
    page = opened(**address)
    assert not page.exception and not page.error and not page.warning and not page.info
    assert address_of(page) == address


@pytest.mark.parametrize(("name", "value"), [("measure", "hessian"), ("norm", "L1"), ("map", "upwards")])
def test_what_an_address_asks_in_vain_is_said(name: str, value: str) -> None:
    page = opened(**{"measure": "gradient", "map": "cross", name: value})
    assert not page.exception and not page.error
    assert f"{name}={value}" in page.warning[0].value.replace("\\", "")
    assert page.get("bidi_component")


@pytest.mark.parametrize(("view", "called"), [("grid", "All heads"), ("playback", "Playback")])
def test_a_figure_of_heads_becomes_lines_with_a_sentence(view: str, called: str) -> None:
    page = opened(measure="gradient", view=view)
    assert not page.exception and not page.error
    assert called in page.info[0].value and "lines or heatmap" in page.info[0].value
    assert lines_of(page)[0]["title"] == "Cross gradient"
    assert "view" not in address_of(page)
    page = choose(opened(view=view), "measure", "gradient")
    assert called in page.info[0].value


def test_pins_stay_on_their_words_by_way_of_gradients() -> None:
    page = opened(map="cross", pins="2", at="2")
    before, _ = lines_of_any(page)
    pinned = before["tokens"]["query"][1]["label"]
    choose(page, "measure", "gradient")
    choose(page, "tokens", "pieces")
    choose(page, "map", "decoder")
    choose(page, "measure", "attention")
    choose(page, "map", "cross")
    choose(page, "tokens", "words")
    header, _ = lines_of_any(page)
    assert [header["tokens"]["query"][i]["label"] for i in header["start"]["query"]] == [pinned]


def test_what_is_saved_is_called_gradient(monkeypatch: pytest.MonkeyPatch, found: Saliency) -> None:
    offered: dict[str, tuple[Any, str]] = {}

    def button(label: str, data: Any, file_name: str, *rest: Any, **of_widget: Any) -> None:
        offered[label] = (data, file_name)

    monkeypatch.setattr(_save.st, "download_button", button)
    page = opened(measure="gradient", map="decoder")
    assert not page.exception and not page.error
    assert set(offered) == {"Request file", "Shown gradients, CSV", "All gradients, JSON", "Figure, HTML"}
    table, name = offered["Shown gradients, CSV"]
    assert name == "en-fr-decoder-gradient-one-hot.csv"
    rows = list(csv.DictReader(io.StringIO(table(), newline="")))
    expected = list(csv.DictReader(io.StringIO(gradient_csv(merge_words(found.maps["decoder"])), newline="")))
    assert [row["key"] for row in rows] == [row["key"] for row in expected]
    values = [[float(row["gradient"]) for row in table] for table in (rows, expected)]
    np.testing.assert_allclose(*values, rtol=1e-3, atol=1e-6)
    everything, name = offered["All gradients, JSON"]
    assert name == "en-fr-gradient-one-hot.json" and json.loads(everything())["measure"] == "gradient"
    whole, name = offered["Figure, HTML"]
    assert name == "en-fr-decoder-gradient-one-hot-lines.html"
    assert "Output → output gradient (one-hot) of en-fr" in whole() and " attention of " not in whole()


def test_a_text_too_long_is_refused_with_the_limit(differentiated: list[str]) -> None:
    page = opened(text="word " * 200, measure="gradient")
    assert not page.exception and "takes 128 at most" in page.error[0].value.replace("\\", "")
    assert differentiated == []


def test_the_longest_text_is_shown_and_the_presenter_too() -> None:
    page = opened(text="The old man saw the little house. " * 11, measure="gradient", presenter="1")
    assert not page.exception and not page.error
    header, shares = lines_of(page)
    assert shares.max(axis=1).min() == 1 and header["scale"] > 1 and header["controls"] == "heads"


def test_the_preset_shows_that_animal_moves_il_most() -> None:
    page = opened(**CODEC.encode(PRESETS["gradient"].view(MODELS["en-fr"])))
    assert not page.exception and not page.error and not page.warning
    header, shares = lines_of(page)
    (row,) = header["start"]["query"]
    labels = [[token["label"] for token in header["tokens"][side]] for side in ("query", "key")]
    assert labels[0][row] == "il" and labels[1][int(shares[row].argmax())] == "animal"
    assert any(PRESETS["gradient"].hint in element.value for element in page.markdown)
