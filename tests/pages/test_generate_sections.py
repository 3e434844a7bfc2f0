"""The Generate page's sections: models compared, counts, units, surprise, prompts, attention, what can be saved."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import streamlit as st

from engine.decoding.options import SampleOptions
from engine.errors import InputError, WeightsMissing
from engine.generator import Generator
from engine.models.trigram import Trigram
from engine.surprise import logprobs_along
from pages import _gen_save, _shared
from pages._gen import VIEW
from pages._gen_attention import trace_of
from pages._gen_prompts import answer_probability
from pages._gen_trigram import after_pair, counted
from tests.engine.generators import STORY, known_odds
from tests.pages.generate_page import (
    CHARACTERS,
    GPT,
    PROMPT,
    address_of,
    changed,
    click,
    drawn,
    ids,
    opened,
    said,
    small,
    sound,
    view,
    written,
)


@pytest.fixture(scope="module", autouse=True)
def small_models() -> Iterator[None]:
    """Small models in place of the shipped ones, and none of either left in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        st.cache_resource.clear()
        yield
    st.cache_resource.clear()


# ---- side by side ----


def test_three_models_have_rows_and_a_sample_each():
    page = sound(opened(section="compare"))
    rows = drawn(page, "choices")
    assert len(rows) == 3 and rows[0][0]["shows"]["count"] and not rows[2][0]["shows"]["count"]
    options = SampleOptions(1, 0.8, max_length=10)
    for name in ("trigram", "char-lm", "gpt"):
        text = "".join(one.text for one in small(name).stream(PROMPT, (), options))
        assert text.strip()[:5] in " ".join(one.proto.body for one in page.get("html"))


def test_a_model_that_is_missing_leaves_the_others(monkeypatch):
    def load(name: str, where: str) -> Generator:
        if name == "trigram":
            raise WeightsMissing("The counts are missing. Restore them.")
        return small(name)

    st.cache_resource.clear()
    monkeypatch.setattr(_shared, "load_any", load)
    for section, component in (("compare", "choices"), ("surprise", "shaded")):
        page = opened(section=section)
        assert not page.exception and "The counts are missing" in said(page.warning)
        assert len(drawn(page, component)) == 2
    st.cache_resource.clear()


# ---- counts ----


def test_continuations_of_a_pair_are_those_that_were_counted():
    after = after_pair(small("trigram"), "saw the cat")
    model = small("trigram").model
    assert isinstance(model, Trigram)
    found = model.continuations(*small("trigram").tokens_of("the cat", ()).ids[-2:], 12)
    assert after.pair == "the cat" and after.found == found and after.note == ""
    assert [row.count for row in after.rows] == [count for _, count in found.pairs]
    assert sum(row.before for row in after.rows) == pytest.approx(1, abs=1e-9)
    assert after.texts[0] == f"cat{after.rows[0].text}"


def test_a_pair_that_was_never_seen_backs_off_and_says_so():
    page = sound(opened(section="trigram", pair="sea cat"))
    assert "never occurs" in said(page.info)
    ((header, _),) = drawn(page, "choices")
    assert header["rows"] and header["shows"]["count"]


def test_a_common_pair_is_clicked():
    page = sound(opened(section="trigram"))
    page = sound(page.button(key="gen pair 0").click().run())
    model = small("trigram").model
    assert isinstance(model, Trigram)
    label = small("trigram").tokenizer.label_of
    pairs = [(label(first), label(second)) for (first, second), _ in model.common_pairs(100)]
    assert view(page).pair == " ".join(next(pair for pair in pairs if all(map(str.isalpha, pair))))


def test_random_text_is_the_seeds_own_and_ends_at_a_full_stop():
    page = sound(opened(section="trigram", seed="1", words="20"))
    model = small("trigram").model
    assert isinstance(model, Trigram)
    text = model.random_text(1, 20)
    (header, _) = drawn(page, "shaded")[0]
    assert "".join(header["texts"]) == small("trigram").tokenizer.decode(text.ids)
    assert ("next full stop" if text.ended else "it was cut") in said(page.caption)
    assert view(sound(click(page, "Another"))).seed == 2


def test_a_text_of_ones_own_is_counted_and_forgotten():
    page = opened(section="trigram", pair="green elephant")
    story = "The green elephant slept. The green elephant ate. " * 30
    box = next(one for one in page.get("file_uploader") if one.key == "gen own file")
    box.upload("story.txt", story.encode(), "text/plain")
    page = sound(page.run())
    ((header, _),) = drawn(page, "choices")
    assert {row["title"].strip("\u2068\u2069 ") for row in header["rows"]} == {"slept", "ate"}
    assert {row["count"] for row in header["rows"]} == {"30"} and "story.txt" in said(page.markdown)
    page = sound(click(page, "Back to the books"))
    assert "the books" in said(page.markdown)


@pytest.mark.parametrize(
    ("content", "message"), [(b"\xff\xfe\x00", "no UTF-8"), (b"", "empty"), (b"Too few words.", "100")]
)
def test_a_file_that_cannot_be_counted_says_why(content, message):
    with pytest.raises(InputError, match=message):
        counted(small("trigram").card, content)
    page = opened(section="trigram")
    box = next(one for one in page.get("file_uploader") if one.key == "gen own file")
    box.upload("story.txt", content, "text/plain")
    page = page.run()
    assert message in said(page.error) and not page.exception and drawn(page, "choices")


def test_own_counts_read_a_byte_order_mark_as_none():
    generator = counted(small("trigram").card, "\ufeff".encode() + STORY.encode() * 2)
    assert "\ufeff" not in generator.tokenizer.decode(range(1, len(generator.tokenizer)))


# ---- characters, surprise, prompts ----


def test_a_unit_fires_over_the_text_and_the_model_is_the_one_with_states():
    page = sound(opened(section="units", layer="2", unit="4"))
    assert view(page).model == CHARACTERS and address_of(page)["unit"] == "4"
    header, arrays = drawn(page, "shaded")[1]
    assert "".join(header["texts"]) == PROMPT and len(arrays["values"]) == len(PROMPT)
    assert len(page.get("plotly_chart")) == 1
    gates = sound(opened(section="units", part="forget"))
    assert drawn(gates, "shaded")[1][0]["legend"]["ticks"]
    assert "no text yet" in said(sound(opened(section="units", prompt="")).info)


def test_units_beyond_those_there_are_fall_back():
    page = sound(opened(section="units", layer="9", unit="999", part="nonsense"))
    assert len(drawn(page, "shaded")) == 2


def test_surprise_of_each_model_adds_up_to_its_bits_per_character():
    page = sound(opened(section="surprise", text="The cat sat on the mat."))
    panels = drawn(page, "shaded")
    for name, (header, arrays) in zip(("trigram", "char-lm", "gpt"), panels, strict=True):
        found = small(name).surprise("The cat sat on the mat.")
        assert arrays["values"].sum() / found.characters == pytest.approx(found.bits_per_character, rel=1e-5)
        assert "".join(header["texts"]) == "The cat sat on the mat."


def test_the_probability_of_an_answer_is_the_product_of_its_letters():
    odds = {"\n": 0.1, " ": 0.2, "a": 0.4, "b": 0.2}
    assert answer_probability(known_odds(odds, 0.1), "a b ", "ab") == pytest.approx(0.2 * 0.4 * 0.2, rel=1e-5)


@pytest.mark.parametrize("name", ["gpt", "char-lm", "trigram"])
def test_the_answer_after_a_prompt_beyond_the_context_is_no_likelier_than_its_first_token(name):
    generator, prompt = small(name), " ".join(["The cat sat on the mat."] * 50)
    assert len(generator.whole(prompt)) >= len(generator.tokens_of(prompt, ()))
    before, after = generator.whole(prompt).ids, generator.whole(f"{prompt} A dog").ids
    assert after[: len(before)] == before
    found = math.log(answer_probability(generator, prompt, "A dog"))
    bits = logprobs_along(generator, after)[len(before) - 1 :]
    assert found == pytest.approx(float(bits.sum()), rel=1e-4)


def test_a_prompt_that_is_too_long_leaves_the_others_to_be_read_and_changed():
    page = opened(section="prompts", zero="a" * 20_001, one="The dog", few="The cat", answer="sat")
    assert not page.exception and not page.error and "Shorten it" in said(page.warning)
    assert len(drawn(page, "choices")) == 2 and page.text_area(key="gen shot few").value == "The cat"


def test_prompts_are_edited_and_each_has_its_rows():
    page = sound(opened(section="prompts", zero="The cat", one="The dog", few="", answer="sat"))
    assert len(drawn(page, "choices")) == 3 and "billion" in said(page.info)
    assert said(page.markdown).count("“sat” has") == 3
    page.text_area(key="gen shot zero").set_value("The hen sat")
    page = sound(page.run())
    assert view(page).zero == "The hen sat" and address_of(page)["zero"] == "The hen sat"
    page = sound(click(page, "Past tense"))
    assert view(page).answer == "went" and page.text_area(key="gen shot zero").value == "Today I go. Yesterday I"


# ---- attention ----


def test_one_causal_map_over_prompt_and_output_in_every_view():
    taken = ids("the mat")
    trace = trace_of(small("gpt"), PROMPT, taken)
    assert set(trace.maps) == {"decoder"} and len(trace.read) == len(ids(PROMPT)) + len(taken)
    for figure, component in (("lines", "lines"), ("grid", "grid"), ("heatmap", None)):
        page = sound(opened(section="attention", taken=written(taken), look=f"view.{figure}~layer.2~tokens.pieces"))
        assert component is None or len(drawn(page, component)) == 1
        assert len(page.get("plotly_chart")) == (figure == "heatmap")
        assert f"view.{figure}" in address_of(page).get("look", "") or figure == "lines"
        labels = [group.label for group in page.get("button_group")]
        assert "View" in labels and "Who looks at whom" not in labels


def test_the_text_is_played_token_by_token():
    page = sound(opened(section="attention", look="view.playback~step.2"))
    ((header, _),) = drawn(page, "playback")
    assert header["written"] == "text" and set(header["maps"]) == {"decoder"} and header["start"]["step"] == 1
    assert len(header["probabilities"]) == len(trace_of(small("gpt"), PROMPT, ()).predicted)


def test_gradients_are_drawn_in_place_of_attention():
    page = sound(opened(section="attention", look="measure.gradient~norm.embedding"))
    assert len(drawn(page, "lines")) == 1 and "gradient" in address_of(page)["look"]
    assert "divided by its own largest" in said(page.caption)


def test_the_look_of_the_map_stays_while_other_sections_are_open():
    page = sound(opened(section="attention", look="view.grid~over_layers.mean"))
    page = sound(changed(page, section="sample"))
    page = sound(changed(page, section="attention"))
    assert len(drawn(page, "grid")) == 1 and view(page).look.over_layers == "mean"


def test_the_model_writes_on_and_the_prompt_comes_back():
    page = sound(click(opened(section="attention"), "Let it write 20 tokens"))
    assert len(view(page).taken) == 10  # as long as samples are asked to be
    page = sound(click(page, "The prompt alone"))
    assert view(page).taken == () and len(view(page).branches) == 1


def test_nothing_is_there_to_look_at_before_a_text_begins():
    page = sound(opened(section="attention", prompt=""))
    assert "nothing to look at" in said(page.info) and drawn(page, "lines") == []


# ---- to take away ----


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[], str]]:
    """What the page offers to save, by its button."""
    found: dict[str, Callable[[], str]] = {}
    monkeypatch.setattr(_gen_save.st, "download_button", lambda label, data, *a, **k: found.update({label: data}))
    return found


@pytest.mark.parametrize(
    ("section", "labels"),
    [
        ("next", {"Tokens, CSV", "Next token, CSV", "Branches, JSON", "Branches, HTML"}),
        ("sample", {"Sample, CSV"}),
        ("compare", {"Samples, CSV"}),
        ("trigram", {"Counts, CSV", "Random text, CSV"}),
        ("units", {"Tokens, CSV", "Next token, CSV", "Unit, CSV"}),
        ("surprise", {"Surprise, CSV"}),
        ("prompts", {"Prompts, CSV"}),
        ("attention", {"Shown map, CSV", "All maps, NPZ", "Figure, HTML"}),
    ],
)
def test_every_section_has_its_files(section, labels, files):
    model = {"units": CHARACTERS}.get(section, GPT)
    taken = written(ids("the mat")) if section != "units" else ""
    sound(opened(section=section, model=model, **({"taken": taken} if taken else {})))
    assert labels == files.keys() - {"Request file"}
    for label in labels:
        content = files[label]()
        if label.endswith("CSV"):
            assert len(list(csv.reader(io.StringIO(content, newline="")))) > 1
        elif label.endswith("JSON"):
            assert json.loads(content)["prompt"] == PROMPT


def test_probabilities_in_the_file_are_those_of_the_text(files):
    sound(opened(taken=written(ids("the mat"))))
    lines = list(csv.DictReader(io.StringIO(files["Tokens, CSV"](), newline="")))
    assert {line["part"] for line in lines} == {"prompt", "output"}
    bits = sum(-math.log2(float(line["probability"])) for line in lines)
    assert bits == pytest.approx(float(small("gpt").surprise("The cat sat on the mat").bits.sum()), rel=1e-4)


def test_a_request_file_brings_the_view_back():
    asked = replace(view(sound(opened())), prompt="A dog ran. " * 30, section="surprise", seed=12)
    page = sound(opened())
    box = next(one for one in page.get("file_uploader") if one.key == "gen request file")
    box.upload("view.json", VIEW.codec.to_file(asked).encode(), "application/json")
    page = sound(page.run())
    assert view(page).prompt == asked.prompt and view(page).section == "surprise" and view(page).seed == 12


@pytest.mark.parametrize("section", ["next", "sample", "compare", "trigram", "units", "attention"])
def test_presenter_hides_what_a_projector_does_not_need(section):
    page = sound(opened(section=section, presenter="1"))
    popovers: list[Any] = list(page.get("popover"))
    assert popovers == []
