"""The Generate page with models of somebody's own: every section, addresses with "/" and "@", and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.decoding.options import SampleOptions
from engine.generator import Generator
from engine.huggingface.source import Located
from engine.models.trigram import Trigram
from engine.opened import STORE
from engine.prose_tokens import as_typed
from pages import _shared
from pages._gen import MOST_COMPARED
from pages._gen_prompts import answer_probability
from pages._gen_trigram import after_pair
from tests.engine.huggingface.generating_cases import card, made
from tests.pages.generate_page import (
    CHARACTERS,
    GPT,
    address_of,
    changed,
    click,
    drawn,
    opened,
    said,
    small,
    sound,
    view,
    written,
)
from viz.components.choices import percentage

PROMPT = "The cat 🙂 猫 sat"
NAMES = {"gpt2": "somebody/tiny-gpt2@main", "llama": "somebody/tiny-llama"}
MODEL = card(NAMES["gpt2"]).identity
LLAMA = card(NAMES["llama"]).identity


def generator(family: str = "gpt2") -> Generator:
    """As the page loads it."""
    return replace(made(family).generator, card=card(NAMES[family]))


@pytest.fixture(scope="module", autouse=True)
def models() -> Iterator[None]:
    """The shipped models are small ones, and two of somebody's own are open."""
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        patch.setattr(STORE, "_limit", 10**9)
        for family, name in NAMES.items():
            located = Located(name, card(name).folder, "huggingface")
            STORE.open(located, lambda report, family=family: generator(family), 1)
        yield
        for name in NAMES.values():
            STORE.unload(name)
    st.cache_resource.clear()


def test_opened_models_stand_behind_those_that_ship_and_none_is_chosen_by_itself():
    page = sound(opened(prompt=PROMPT, model=""))
    menu = page.selectbox(key="generate model")
    assert menu.options[-2:] == list(NAMES.values()) and len(menu.options) == 5
    assert view(page).model == GPT
    page = sound(menu.set_value(MODEL).run())
    assert view(page).model == MODEL and address_of(page)["model"] == MODEL
    assert [row["shown"] for row in drawn(page, "choices")[0][0]["rows"]]


@pytest.mark.parametrize("model", [MODEL, LLAMA])
def test_an_address_chooses_the_model_whose_name_has_a_slash(model):
    one = generator("gpt2" if model == MODEL else "llama")
    page = sound(opened(prompt=PROMPT, model=model))
    assert view(page).model == model and view(page).prompt == PROMPT
    found = one.next_token(PROMPT, (), SampleOptions(1, 0.8), 12)
    (header, _), *_ = drawn(page, "choices")
    for row, choice in zip(header["rows"], found.choices, strict=True):
        assert row["before"] == percentage(choice.before) and row["after"] == percentage(choice.after)
        if choice.label.isalnum() or "�" in choice.text:  # else there are signs and marks
            assert row["shown"].removeprefix("␣") == choice.label
    (text, _), *_ = drawn(page, "shaded")
    assert "".join(text["texts"]) == PROMPT and "🙂 1/" in " ".join(text["labels"])
    assert ("by itself puts nothing there" in said(page.caption)) is bool(one.habit)
    again = sound(opened(**address_of(page)))
    assert drawn(again, "choices")[0][0]["rows"] == header["rows"]


def test_tokens_are_taken_and_taken_back_and_branches_stay():
    found = generator().next_token(PROMPT, (), SampleOptions(1), 60)
    first, second, *_ = (choice for choice in found.choices if choice.label.isalnum())  # no parts of characters
    page = sound(opened(prompt=PROMPT, model=MODEL, taken=written((first.token,))))
    page = sound(click(page, "To the prompt"))
    page = sound(changed(page, taken=(second.token,), branches=((first.token,), (second.token,))))
    ((tree, _),) = drawn(page, "beam")
    assert view(page).taken == (second.token,) and first.label in str(tree) and second.label in str(tree)
    page = sound(click(page, "Make it the prompt"))
    assert view(page).prompt == PROMPT + second.text and view(page).taken == ()


def test_a_text_that_has_ended_says_by_what():
    page = opened(prompt=PROMPT, model=LLAMA, taken=str(generator("llama").end))
    assert "the text has ended with `</s>`" in said(page.markdown)
    page = opened(prompt=PROMPT, model=MODEL, taken=str(generator().end))
    assert "the text has ended with `<|endoftext|>`" in said(page.markdown)


def test_samples_are_those_of_the_model_and_become_the_prompt_as_they_are():
    options = SampleOptions(1, 0.8, max_length=10)
    text = PROMPT + "".join(one.text for one in generator().stream(PROMPT, (), options))
    page = sound(opened(prompt=PROMPT, model=MODEL, section="sample"))
    (data, _), *_ = drawn(page, "shaded")
    assert "".join(data["texts"]) == text
    page = sound(click(page, "Into the prompt"))
    assert view(page).prompt == text != as_typed(text.strip() + "\n")
    page = sound(opened(prompt=PROMPT, model=MODEL, section="sample", samples="3"))
    assert len(drawn(page, "beam")) == 1 and len([b for b in page.button if b.label == "Keep"]) == 3


def test_the_view_s_own_model_stands_beside_the_three_that_ship():
    for model, name in ((MODEL, NAMES["gpt2"]), (LLAMA, NAMES["llama"]), (GPT, NAMES["llama"])):
        page = sound(opened(prompt=PROMPT, model=model, section="compare"))
        assert len(drawn(page, "choices")) == MOST_COMPARED
        titles = [one.value.replace("\\", "") for one in page.markdown]
        assert f"**{name}**" in titles and sum(f"**{other}**" in titles for other in NAMES.values()) == 1
    assert "Models compared" in page.segmented_control(key="generate section").options
    page = sound(page.segmented_control(key="generate opened").set_value(MODEL).run())
    assert view(page).model == MODEL


def test_surprise_is_of_the_text_as_it_was_typed():
    text = "The cat 🙂  sat.\n\n猫"
    page = sound(opened(section="surprise", text=text, model=MODEL))
    data = [one for one, _ in drawn(page, "shaded")]
    assert len(data) == 4 and "".join(data[-1]["texts"]) == text
    assert f"{generator().surprise(text).bits_per_character:.2f}" in str(page.table[0].value)


def test_prompts_with_examples_have_the_answer_s_probability():
    page = sound(opened(section="prompts", model=LLAMA, zero="The cat", one="The dog", few="猫 🙂", answer="sat"))
    assert len(drawn(page, "choices")) == 3
    assert 0 < answer_probability(generator("llama"), "The cat", "sat") < 1


@pytest.mark.parametrize("model", [MODEL, LLAMA])
def test_attention_is_the_trace_of_the_model_and_heads_are_named(model):
    page = sound(opened(prompt=PROMPT, model=model, section="attention"))
    (header, _), *_ = drawn(page, "lines")
    one = generator("gpt2" if model == MODEL else "llama")
    words = [token["label"].strip(" ␣▁") for token in header["tokens"]["query"]]
    assert [*filter(None, words)] == [one.tokenizer.label_of(one.front), "The", "cat", "🙂", "猫", "s"], (
        "read, not said"
    )
    assert ("key head 2" in str(header)) is (model == LLAMA)
    page = sound(changed(page, look=replace(view(page).look, measure="gradient")))
    assert drawn(page, "lines")


def offered(page: AppTest) -> set[str]:
    """What all menus of a page hold."""
    menus = (*page.selectbox, *page.segmented_control)
    return {option.replace("\\", "") for menu in menus for option in menu.options}


def test_hidden_units_are_those_of_the_model_of_characters():
    assert {*NAMES.values()} <= offered(sound(opened(prompt=PROMPT, model=MODEL)))
    page = sound(opened(prompt=PROMPT, model=MODEL, section="units"))
    assert view(page).model == address_of(page)["model"] == CHARACTERS
    assert not {*NAMES.values()} & offered(page)
    unit, _ = drawn(page, "shaded")[-1]
    assert len(unit["texts"]) == len(PROMPT), "a value for each character"


def test_counts_are_those_of_the_trigrams_whatever_continues_the_prompt():
    page = sound(opened(prompt=PROMPT, model=MODEL, section="trigram", pair="the cat", seed="1", words="20"))
    assert not {*NAMES.values()} & offered(page)
    counts = small("trigram")
    after = after_pair(counts, "the cat")
    ((listed, _),) = drawn(page, "choices")
    assert [row["shown"].removeprefix("␣") for row in listed["rows"]] == [row.label for row in after.rows]
    assert isinstance(counts.model, Trigram)
    ((text, _),) = drawn(page, "shaded")
    assert "".join(text["texts"]) == counts.tokenizer.decode(counts.model.random_text(1, 20).ids)
    page = sound(page.segmented_control(key="generate section").set_value("next").run())
    assert view(page).model == MODEL, "it still continues the prompt"


def test_ids_of_one_model_mean_nothing_to_another():
    page = sound(opened(prompt=PROMPT, model=MODEL, taken="5.6"))
    page = sound(page.selectbox(key="generate model").set_value(LLAMA).run())
    assert view(page).taken == () and view(page).prompt == PROMPT
    page = sound(page.selectbox(key="generate model").set_value(MODEL).run())
    assert view(page).taken == (5, 6), "what was taken before comes back"


def test_a_link_with_a_model_that_is_not_open_says_where_to_open_it():
    page = opened(prompt=PROMPT, model="somebody/else@01234567", taken="5.6")
    assert not page.exception and not page.error
    assert "There is no model “somebody/else” here" in said(page.warning) and "“Your model”" in said(page.warning)
    assert view(page).model == GPT and view(page).taken == ()


def test_files_have_names_that_are_no_folders():
    page = sound(opened(prompt=PROMPT, model=MODEL, section="surprise"))
    names = [one["file_name"] for one, _ in drawn(page, "shaded")]
    assert "surprise-somebody-tiny-gpt2-main" in names and not any("/" in name for name in names)
