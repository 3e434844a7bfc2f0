"""The Translate page with recurrent translators: one map or none, and the menu of models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import streamlit as st

from engine.catalogue import MODELS
from engine.runner import Runner, load
from engine.types import Trace, TraceRequest
from pages._permalink import CODEC
from pages._presets import PRESETS
from tests.pages.test_translate import TIRED, address_of, choose, figures, opened, received

RECURRENT = [name for name, card in MODELS.items() if card.family == "seq2seq"]
BLIND = next(name for name in RECURRENT if "cross" not in MODELS[name].supports)
SEEING = [name for name in RECURRENT if name != BLIND]


@pytest.fixture(autouse=True, scope="module")
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[TraceRequest]:
    """Every request that really reached a model."""
    st.cache_resource.clear()
    seen: list[TraceRequest] = []
    original = Runner.run

    def counted(self: Runner, request: TraceRequest) -> Trace:
        seen.append(request)
        return original(self, request)

    monkeypatch.setattr(Runner, "run", counted)
    return seen


@pytest.mark.parametrize("name", SEEING)
def test_a_recurrent_translator_shows_its_one_map_in_every_view(name: str) -> None:
    page = opened(model=MODELS[name].identity, text=TIRED)
    assert not page.exception and not page.error and not page.warning
    assert page.selectbox(key="model").value == name and address_of(page)["model"] == MODELS[name].identity
    header, arrays = received(choose(page, "tokens", "pieces"))
    trace = load(name, "cpu").trace(TIRED)
    weights = trace.maps["cross"].weights
    np.testing.assert_allclose(
        arrays["weights"].reshape(weights.shape) / header["levels"],
        weights,
        atol=0.5 / header["levels"] + 1e-3,  # computed on one thread and on several
    )
    assert [token["label"] for token in header["tokens"]["query"]] == list(trace.predicted.labels)
    assert page.segmented_control(key="map").options == ["Output → source"]
    for view, figure in (("heatmap", "PlotlyChart"), ("grid", "saccade_grid"), ("playback", "saccade_playback")):
        page = choose(page, "view", view)
        assert not page.exception and not page.error and figure in figures(page)
    page = choose(choose(page, "view", "lines"), "measure", "gradient")
    assert not page.exception and not page.error and figures(page) == ["saccade_lines"]


def test_without_attention_gradients_are_shown_and_said_to_be() -> None:
    page = opened(model=MODELS[BLIND].identity, text="I am tired.", view="grid")
    assert not page.exception and not page.error
    said = " ".join(info.value for info in page.info)
    assert "has no attention" in said and "Gradients" in said
    assert page.segmented_control(key="measure").options == ["Gradient"]
    assert figures(page) == ["saccade_lines"] and address_of(page)["measure"] == "gradient"
    page = page.selectbox(key="model").set_value(SEEING[0]).run()
    assert page.segmented_control(key="measure").options == ["Attention", "Gradient"]
    assert not page.exception and not page.error


def test_another_model_keeps_the_sentence_and_has_its_own_layers_and_heads(runs: list[TraceRequest]) -> None:
    page = opened(text="I am tired.", map="cross", layer="2", heads="3.5", pins="2", target="Je suis las.")
    before = received(page)[0]["start"]
    assert before["heads"] == [2, 4]
    page = page.selectbox(key="model").set_value(SEEING[0]).run()
    assert not page.exception and not page.error and not page.warning
    assert page.text_input(key="text").value == "I am tired." and runs[-1].target == "Je suis las."
    header, _ = received(page)
    assert len(header["heads"]) == 1 and header["start"]["heads"] == [0] and header["start"]["layer"] == 0
    assert address_of(page)["model"] == MODELS[SEEING[0]].identity and address_of(page)["text"] == "I am tired."
    page = page.selectbox(key="model").set_value("en-fr").run()
    assert not page.exception and not page.error and not page.warning
    start = received(choose(page, "map", "cross"))[0]["start"]
    assert start["heads"] == list(range(8)) and start["layer"] == 3


def test_a_link_opens_its_model_and_the_menu_may_change_it_again() -> None:
    page = opened(model=MODELS["en-fr-rnn-additive"].identity, text="I am tired.", map="cross")
    assert not page.exception and not page.error and not page.warning
    assert page.selectbox(key="model").value == "en-fr-rnn-additive"
    page = page.selectbox(key="model").set_value("en-fr").run()
    assert page.selectbox(key="model").value == "en-fr"
    assert address_of(page)["model"] == MODELS["en-fr"].identity and not page.warning
    page = opened(model="en-fr-rnn-additive@00000000", text="I am tired.")
    assert page.selectbox(key="model").value == "en-fr-rnn-additive"
    assert "made with en-fr-rnn-additive@00000000" in page.warning[0].value.replace("\\", "")
    page = opened(model="autocomplete-gru", text="I am tired.")
    assert page.selectbox(key="model").value == "en-fr" and "made with autocomplete-gru" in page.warning[
        0
    ].value.replace("\\", "")


@pytest.mark.parametrize("name", RECURRENT)
def test_examples_that_speak_of_the_transformer_are_not_offered_for_another_model(name: str) -> None:
    """What they say of heads, layers and gradients was seen in en-fr."""
    page = opened(
        model=name, **{k: v for k, v in CODEC.encode(PRESETS["gradient"].view(MODELS[name])).items() if k != "model"}
    )
    assert not page.exception and not page.error
    assert all(page.button(key=f"preset {preset}").disabled for preset in PRESETS)
    hints = [preset.explanation(MODELS[name]) for preset in PRESETS.values()]
    assert not [element for element in page.markdown if element.value in hints]
