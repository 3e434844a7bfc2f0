"""The section "Neurons" of the page "Your model": models, heads, positions, mistakes, and what the figure is given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.loading import Model
from engine.models.transformer import Transformer, TransformerConfig
from engine.neurons import head_vectors, neurons_at
from engine.reading import reading_of
from engine.runner import Runner
from engine.text import Subwords
from engine.weights import TOKENIZER
from pages import _shared
from pages._own import OwnView
from pages._own_text import EXAMPLE
from tests.engine import cloze_cases
from tests.engine.generators import tiny_gpt
from tests.engine.test_neurons import completer
from viz.components.packing import unpack

TEXT = "The old man sat by the river."
FRENCH = "le chien dort ."


@cache
def small(name: str, where: str = "cpu") -> Model:
    """As the page loads it, of random weights."""
    torch.manual_seed(4)
    card = replace(MODELS[name], longest=128)
    if name == "en-fr":
        tokenizer = Subwords.load(card.folder / TOKENIZER)
        config = TransformerConfig(
            len(tokenizer), width=16, heads=2, encoder_layers=2, decoder_layers=3, feedforward=24
        )
        return Runner(card, Transformer(config).eval().requires_grad_(False), tokenizer, "cpu")
    if name == "gpt":
        return replace(tiny_gpt(128), card=card)
    return cloze_cases.cloze(128) if name == "bert" else completer()


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """Pages load small models; what other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        yield
    st.cache_resource.clear()


def script() -> None:
    from pages import _own_neurons, _shared
    from pages._own import VIEW

    VIEW.arrive(lambda view, asked: (view, []))
    _own_neurons.draw(_shared.theme())
    VIEW.remember()


def opened(**address: str) -> AppTest:
    """The section at an address."""
    page = AppTest.from_function(script, default_timeout=60)
    for name, text in address.items():
        page.query_params[name] = text
    return sound(page.run())


def sound(page: AppTest) -> AppTest:
    assert not page.exception, page.exception[0].stack_trace
    return page


def ask(page: AppTest, text: str, second: str = "") -> None:
    """Type into the boxes and show it."""
    page.text_area(key="own text box").set_value(text)
    if second:
        page.text_area(key="own text second").set_value(second)
    sound(next(button for button in page.button if button.label == "Show").click().run())


def view(page: AppTest) -> OwnView:
    found: OwnView = page.session_state["own"]
    return found


def received(page: AppTest, component: str) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes) for one in protos if one.component_name == f"saccade_{component}"]


def figure(page: AppTest) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    (found,) = received(page, "neurons")
    return found


def text_shown(page: AppTest) -> dict[str, Any]:
    ((header, _),) = received(page, "shaded")
    return header


def errors(page: AppTest) -> list[str]:
    return [one.value for one in page.error]


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("en-fr", ("encoder", "decoder", "cross")),
        ("gpt", ("decoder",)),
        ("bert", ("encoder",)),
        ("autocomplete-transformer", ("decoder",)),
    ],
)
def test_every_model_with_attention_is_shown(name: str, kinds: tuple[str, ...]) -> None:
    model = small(name)
    for kind in kinds:
        page = opened(model=name, kind=kind, layer="2", head="2", query="3", text="the old man")
        assert not errors(page)
        header, arrays = figure(page)
        expected = neurons_at(head_vectors(reading_of(model, "the old man"), kind, 1, 1), 2)  # type: ignore[arg-type]
        assert header["name"] == f"{kind.capitalize()} attention, layer 2, head 2"
        np.testing.assert_allclose(arrays["query"], expected.query, atol=1e-5)
        np.testing.assert_allclose(arrays["logits"], expected.logits, atol=1e-5)
        assert [key["position"] for key in header["keys"]] == list(range(len(expected.weights)))
        assert text_shown(page)["pressed"] == [2]


def test_models_without_attention_are_not_offered() -> None:
    names = [option.partition("@")[0] for option in opened().selectbox(key="own model").proto.options]
    titles = {MODELS[name].title for name in ("en-fr", "gpt", "bert", "autocomplete-transformer")}
    assert set(names) == titles


def test_the_page_begins_with_an_example_and_a_word_that_looks() -> None:
    page = opened()
    assert page.text_area(key="own text box").value == EXAMPLE and view(page).text is None
    header = text_shown(page)
    (row,) = header["pressed"]
    assert header["texts"][row].strip().isalpha()
    keys = figure(page)[0]
    assert keys["key"] == int(np.argmax(figure(page)[1]["shares"]))


def test_choices_reach_the_address_and_what_hangs_on_them_goes() -> None:
    page = opened(model="en-fr", text=TEXT, query="2", key="1")
    page.selectbox(key="own layer").set_value(1).run()
    page.selectbox(key="own head").set_value(1).run()
    assert (view(page).layer, view(page).head, view(page).query, view(page).key) == (1, 1, 1, 0)
    sound(page.segmented_control(key="own kind").set_value("decoder").run())
    assert (view(page).kind, view(page).layer, view(page).query) == ("decoder", -1, -1)
    assert len(page.selectbox(key="own layer").options) == 3
    address = {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}
    assert address["kind"] == "decoder" and "layer" not in address
    again = opened(**address)
    assert figure(again)[0]["name"] == figure(page)[0]["name"]
    page.selectbox(key="own layer").set_value(2).run()
    identity = MODELS["gpt"].identity
    sound(page.selectbox(key="own model").set_value(identity).run())
    assert (view(page).model, view(page).kind, view(page).layer) == (identity, None, -1) and view(page).text == TEXT


def test_another_text_forgets_its_positions() -> None:
    page = opened(model="bert", text=TEXT, query="2", key="3")
    assert figure(page)[0]["key"] == 2
    ask(page, "The dog slept.")
    assert (view(page).text, view(page).query, view(page).key) == ("The dog slept.", -1, -1)
    ask(page, "The dog slept.", "It was late.")
    pair = reading_of(small("bert"), "The dog slept.", "It was late.").axes["encoder"]
    assert (
        len(figure(page)[0]["keys"])
        == len(pair.key)
        > len(text_shown(opened(model="bert", text="The dog slept."))["texts"])
    )


def test_an_output_can_be_forced() -> None:
    page = opened(model="en-fr", kind="cross", text="the cat sleeps .", second=FRENCH)
    assert "".join(text_shown(page)["texts"]).split() == FRENCH.split()


@pytest.mark.parametrize("name", ["en-fr", "gpt", "bert", "autocomplete-transformer"])
def test_a_mistake_is_a_sentence(name: str) -> None:
    page = opened(model=name, text=" ")
    (said,) = errors(page)
    assert "Type" in said and not received(page, "neurons")
    ask(page, "the cat")
    assert not errors(page) and received(page, "neurons")


def test_what_an_address_asks_for_and_is_not_there_stands_for_the_first() -> None:
    page = opened(model="gpt", kind="cross", layer="99", head="99", query="999", key="999", text=TEXT)
    header = figure(page)[0]
    assert header["name"] == "Decoder attention, layer 1, head 1" and not errors(page)
    assert text_shown(page)["pressed"] == [len(text_shown(page)["texts"]) - 2]  # the last word, before the full stop


def test_the_presenter_has_larger_type_and_less_to_read() -> None:
    plain, large = opened(model="gpt"), opened(model="gpt", presenter="1")
    assert (figure(plain)[0]["scale"], figure(large)[0]["scale"]) == (1.0, 1.4)
    assert len(plain.caption) == 1 and not large.caption
