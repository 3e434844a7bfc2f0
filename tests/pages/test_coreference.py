"""The Coreference page in Streamlit's own test runner: what it shows, says to bad input, and when it computes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.experiments
from engine.catalogue import MODELS
from engine.interventions import Head
from engine.pairs import load_pairs
from engine.runner import Runner, load
from engine.types import Trace, TraceRequest
from pages import _address
from pages._lab import CODEC, LabView
from pages._permalink import CODEC as TRANSLATE
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
CARD = MODELS["en-fr"]
TIRED, WIDE = load_pairs()[0].sentences
PAIR = {"first": TIRED, "second": WIDE}
DRAWN = {
    "heads": ["saccade_marks", "saccade_matrix", "saccade_lines", "saccade_lines", "PlotlyChart", "saccade_save"],
    "measures": ["saccade_marks", *["PlotlyChart", "saccade_save"] * 4],
    "interventions": ["saccade_marks", "saccade_matrix"],
    "many": ["saccade_marks"],
}


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What really reached a model: "run" for each trace, "sweep" for each sweep over all heads."""
    st.cache_resource.clear()
    seen: list[str] = []
    run, sweep = Runner.run, engine.experiments.sweep_any

    def counted_run(self: Runner, request: TraceRequest) -> Trace:
        seen.append("run")
        return run(self, request)

    def counted_sweep(*arguments: Any) -> Any:
        seen.append("sweep")
        return sweep(*arguments)

    monkeypatch.setattr(Runner, "run", counted_run)
    monkeypatch.setattr(engine.experiments, "sweep_any", counted_sweep)
    return seen


def opened(**address: str) -> AppTest:
    """The Coreference page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/coreference.py").run()


def asked(page: AppTest, first: str, second: str) -> AppTest:
    page.text_input(key="lab one").set_value(first)
    page.text_input(key="lab two").set_value(second)
    return page.button(key="FormSubmitter:pair-Compare").click().run()


def choose(page: AppTest, name: str, value: str) -> AppTest:
    return page.segmented_control(key=f"lab {name}").set_value(value).run()


def boxes(page: AppTest) -> tuple[str, str]:
    return page.text_input(key="lab one").value or "", page.text_input(key="lab two").value or ""


def address_of(page: AppTest) -> dict[str, str]:
    """What stands behind the "?"."""
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def plain(text: str) -> str:
    """Text as a reader sees it: without the backslashes that keep Markdown from reading it."""
    return re.sub(r"\\([^\w\s])", r"\1", text)


def said(page: AppTest, kind: str) -> str:
    """All errors, warnings or notes of the page."""
    return "\n".join(plain(element.value) for element in getattr(page, kind))


def figures(page: AppTest) -> list[str]:
    """What is drawn: components by name, charts by kind."""
    kinds = ("bidi_component", "plotly_chart")
    drawn = [element.proto for element in page.main if element.type in kinds]
    return [getattr(proto, "component_name", type(proto).__name__) for proto in drawn]


def received(page: AppTest, component: str, number: int = 0) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Header and arrays of what a component is given."""
    protos = [element.proto for element in page.get("bidi_component")]
    return unpack([proto.bytes for proto in protos if proto.component_name == component][number])


def tables(page: AppTest) -> str:
    """The small tables and translations, as text."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", element.proto.body) for element in page.get("html")))


def verdict(page: AppTest) -> str:
    lists = [plain(one.value) for one in page.markdown if one.value.startswith("- ")]
    return next((text for text in lists if "log-odds" in text), "")


def is_fine(page: AppTest) -> bool:
    return not page.exception and not page.error and not page.warning


def test_the_page_opens_with_the_lecture_s_pair() -> None:
    page = opened()
    assert is_fine(page)
    assert boxes(page) == (TIRED, WIDE)
    assert figures(page) == DRAWN["heads"]
    assert address_of(page) == {"model": CARD.identity, **PAIR}
    texts = received(page, "saccade_marks")[0]["texts"]
    marks = [{role: [text["words"][i] for i in at] for role, at in text["marks"].items()} for text in texts]
    assert marks[0] == marks[2] == {"pronoun": ["it"], "A": ["animal"], "B": ["street"]}
    assert [found["pronoun"] for found in marks[1::2]] == [["il"], ["elle"]]


def test_the_verdict_has_the_words_and_the_model_s_own_numbers() -> None:
    page = opened()
    clauses = verdict(page)
    assert "“il” in the first" in clauses and "“elle” in the second" in clauses
    assert "animal" in clauses and "street" in clauses
    assert "activation patching" in clauses and "rank correlation" in clauses
    decision = engine.experiments.Decision("L'animal n'a pas traversé la rue parce qu'", ("il", "elle"))
    for text in (TIRED, WIDE):
        found = engine.experiments.outcome(load("en-fr", "cpu"), text, decision)
        number = f"{found.log_odds:+.2f}".replace("-", "−")
        assert number in clauses and number in tables(page)
        assert all(f"{share:.1%}" in tables(page) for share in found.probabilities)


def test_the_matrix_has_the_preferences_of_the_trace_and_an_outlined_head() -> None:
    page = choose(opened(), "shown", "first")
    header, arrays = received(page, "saccade_matrix")
    assert [one["id"] for one in header["matrices"]] == ["encoder", "decoder", "cross"]
    weights = load("en-fr", "cpu").trace(TIRED).maps["encoder"].weights
    tokens = load("en-fr", "cpu").trace(TIRED).source.labels
    it, animal, street = (tokens.index(word) for word in ("it", "animal", "street"))
    values = np.concatenate([np.ravel(array) for array in arrays.values()])
    expected = weights[:, :, it, animal] - weights[:, :, it, street]
    np.testing.assert_allclose(values[: expected.size], expected.ravel(), atol=1e-6)  # float32, two terms


@pytest.mark.parametrize("section", list(DRAWN))
def test_every_section_draws(section: str) -> None:
    page = choose(opened(), "section", section)
    assert is_fine(page)
    assert figures(page) == DRAWN[section]
    assert address_of(page).get("section", "heads") == section
    assert "In plain words" in said(page, "markdown")


def test_what_was_computed_once_is_never_computed_again(computed: list[str]) -> None:
    page = opened()
    assert computed.count("sweep") == 4  # two sentences, with each head off and patched
    choices = [("shown", "second"), ("weights", "value"), ("section", "measures"), ("section", "many")]
    choices += [("section", "interventions"), ("by", "other"), ("sentence", "second"), ("onto", "A"), ("scope", "head")]
    back = [("scope", "kind"), ("onto", "B"), ("sentence", "first"), ("by", "zero"), ("section", "heads")]
    back += [("weights", "raw"), ("shown", "change")]
    for name, value in choices + back:
        assert is_fine(choose(page, name, value))
    assert computed.count("sweep") == 4  # the sweeps of the verdict are those of the section
    everything = len(computed)
    page.toggle(key="lab presenter").set_value(True).run()
    for name, value in choices + back:
        assert is_fine(choose(page, name, value))
    assert len(computed) == everything


def test_a_second_session_is_answered_from_memory(computed: list[str]) -> None:
    opened(section="interventions")
    first = len(computed)
    assert first > 0
    assert is_fine(opened(section="interventions", **PAIR))
    assert len(computed) == first


def test_sentences_of_one_s_own_replace_the_pair_and_what_was_marked_in_it() -> None:
    page = opened(marks="1-2-6", prefix="L'animal", off="cross.1.1", head="cross.4.8", **PAIR)
    first, second = (f"The dog chased the ball because it was too {word}." for word in ("fast", "slow"))
    assert is_fine(asked(page, first, second))
    assert address_of(page) == {"model": CARD.identity, "first": first, "second": second, "head": "cross.4.8"}
    assert "dog" in verdict(page) and "ball" in verdict(page)


def test_a_pair_from_the_list_is_shown_in_the_open_section() -> None:
    page = opened(section="interventions", **PAIR)
    pair = load_pairs()[3]
    page.selectbox(key="lab pair").set_value(pair).run()
    assert is_fine(page)
    assert boxes(page) == pair.sentences
    assert address_of(page)["section"] == "interventions"


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", WIDE, "First sentence: There is no text yet"),
        (TIRED, "", "Second sentence: There is no text yet"),
        (TIRED, " \u200b\u2060 ", "Second sentence: There is no text yet"),
        ("word " * 300, WIDE, "First sentence: This text has 301 tokens and en-fr takes 128 at most"),
        (TIRED, "日本語の文章", "Second sentence: The model knows none of these characters"),
    ],
)
@pytest.mark.parametrize("section", ["heads", "many"])
def test_a_sentence_that_cannot_be_used_is_named_and_stays(
    first: str, second: str, expected: str, section: str
) -> None:
    page = asked(opened(section=section, **PAIR), first, second)
    assert not page.exception
    assert expected in said(page, "error")
    assert boxes(page) == (first, second)
    assert figures(page) == []  # nothing of the pair before under this one's message
    assert is_fine(asked(page, TIRED, WIDE))
    assert figures(page) == DRAWN[section]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("The dog sleeps.", "The cat sleeps.", "No pronoun is marked in the English sentence. Choose a role above"),
        ("It rains.", "It snows.", "Candidate A was not found in the English sentence. Choose a role above"),
        ("The <b>dog</b> & the **car**: it is <script>alert(1)</script>.", WIDE, "Choose a role above"),
        ("$x^2$ :smile: [a](http://b) `c` it _d_", "*x* it", "Choose a role above"),
        ("He said \u202eabc\u202c to me.", "?!", "Choose a role above"),
        (TIRED, "I love you.", "Sentence 2: No pronoun is marked"),
    ],
)
def test_sentences_without_pronoun_or_nouns_say_what_to_mark(first: str, second: str, expected: str) -> None:
    page = asked(opened(), first, second)
    for section in DRAWN:
        choose(page, "section", section)
        assert is_fine(page)
        assert expected in said(page, "info")
        assert boxes(page) == (first, second)
        assert figures(page)[0] == "saccade_marks"
    assert "<script" not in "".join(element.proto.body for element in page.get("html"))


def test_the_same_sentence_twice_is_compared_with_itself() -> None:
    page = asked(opened(), TIRED, TIRED)
    assert is_fine(page)
    assert "The model does not tell the sentences apart" in verdict(page)
    for section, drawn in DRAWN.items():
        assert is_fine(choose(page, "section", section))
        assert figures(page) == drawn


def test_two_equal_translations_without_a_pronoun_ask_for_words() -> None:
    page = asked(opened(), "I love you.", "I love you.")
    assert "there is nothing that decides" in said(page, "info")
    page.text_input(key="lab left").set_value("je")
    page.button(key="FormSubmitter:decision form-Compare these").click().run()
    assert is_fine(page) and "there is nothing that decides" in said(page, "info")
    assert page.text_input(key="lab left").value == "je"  # one word is kept while the other is missing
    page.text_input(key="lab right").set_value("nous")
    page.button(key="FormSubmitter:decision form-Compare these").click().run()
    assert is_fine(page) and "je" in verdict(page)
    choose(page, "section", "interventions")
    assert is_fine(page) and figures(page) == DRAWN["interventions"]


@pytest.mark.parametrize(
    ("prefix", "left", "right", "expected"),
    [
        ("L'animal", "il", "il y", "“il” and “il y” begin alike"),
        ("", "il", "il", "“il” and “il” begin alike"),
        ("mot " * 200, "il", "elle", "The output so far has 201 tokens"),
        ("mot " * 2000, "il", "elle", "The output so far has 2001 tokens"),
    ],
)
def test_words_that_cannot_be_compared_are_refused_and_stay(prefix: str, left: str, right: str, expected: str) -> None:
    page = opened()
    typed = {"prefix": prefix, "left": left, "right": right}
    for name, text in typed.items():
        page.text_input(key=f"lab {name}").set_value(text)
    page.button(key="FormSubmitter:decision form-Compare these").click().run()
    for section in ("heads", "measures", "interventions"):
        choose(page, "section", section)
        assert not page.exception
        assert "The two words cannot be compared." in said(page, "error") and expected in said(page, "error")
        assert {name: page.text_input(key=f"lab {name}").value for name in typed} == {**typed, "prefix": prefix.strip()}
        assert verdict(page) == ""
    next(button for button in page.button if button.label == "Back to what was found").click().run()
    assert is_fine(page) and "tells the sentences apart" in verdict(page)
    assert "left" not in address_of(page)


@pytest.mark.parametrize(
    "prefix", ["日本語", "<b>**x** $y$", "😀" * 10, "L'animal n'a pas traversé la rue parce qu'", ""]
)
def test_any_beginning_of_the_output_can_be_compared_after(prefix: str) -> None:
    page = opened(prefix=prefix, left="<i>", right="**", **PAIR)
    assert is_fine(page)
    assert "<i>" in tables(page)  # as text
    for section in ("measures", "interventions"):
        assert is_fine(choose(page, "section", section))


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ({"head": "encoder.9.9"}, "There is no encoder layer 9, head 9"),
        ({"head": "decoder.6.1", "section": "measures"}, "There is no decoder layer 6, head 1"),
        ({"head": "cross.1.9", "section": "interventions"}, "There is no cross layer 1, head 9"),
        ({"off": "cross.1.9_cross.1.1", "section": "interventions"}, "There is no cross layer 1, head 9"),
        ({"marks": "99-2-6"}, "“marks” in the address marks word 99, which is not there: the highest is 12"),
        ({"marks2": "8-2.44-55"}, "“marks2” in the address marks word 44, 55"),
        ({"french": "99-2-7"}, "“french” in the address marks word 99"),
        ({"french2": "100.101-none-none"}, "“french2” in the address marks word 100, 101"),
        ({"marks": "8-8-6"}, "give each word one role"),
        ({"french": "1-2-2"}, "give each word one role"),
        ({"marks": "<b>"}, "“marks=<b>” in the address could not be used"),
        ({"section": "sideways"}, "“section=sideways” in the address could not be used"),
        ({"text": "Hello."}, "“text” in the address means nothing here"),
        ({"model": "en-fr@00000000"}, "made with en-fr@00000000"),
    ],
)
def test_what_an_address_asks_in_vain_is_said_and_the_rest_is_shown(address: dict[str, str], expected: str) -> None:
    page = opened(**PAIR, **address)
    assert not page.exception and not page.error
    assert expected in said(page, "warning")
    assert figures(page)[:2] == DRAWN.get(address.get("section", "heads"), DRAWN["heads"])[:2]


def test_an_address_without_sentences_shows_the_first_example_and_says_so() -> None:
    page = opened(section="measures")
    assert "The address holds no sentences" in said(page, "warning")
    assert boxes(page) == (TIRED, WIDE) and figures(page) == DRAWN["measures"]


VIEWS = [
    LabView(shown="second", weights="value", head=Head("cross", 2, 3)),
    LabView(section="measures", contrast=True, head=Head("decoder", 1, 1), presenter=True),
    LabView(section="interventions", sentence="second", by="other", off=(Head("cross", 0, 0),), onto="A", scope="head"),
    LabView(marks=((7,), (5,), (1,)), french2=((10,), (1,), ()), prefix="", left="L", right="Un"),
    LabView(section="many", head=Head("encoder", 5, 7)),
]


@pytest.mark.parametrize("view", VIEWS)
def test_an_address_opens_its_view_and_is_written_back_equal(view: LabView) -> None:
    address = {**CODEC.encode(view), "model": CARD.identity, **PAIR}
    page = opened(**address)
    assert is_fine(page)
    assert address_of(page) == address
    assert figures(page)[:2] == DRAWN[view.section][:2]
    again = opened(**address_of(page))
    assert address_of(again) == address
    for name in ("shown", "weights", "by", "sentence", "onto", "scope"):
        if any(one.key == f"lab {name}" for one in again.segmented_control):
            assert again.segmented_control(key=f"lab {name}").value == getattr(view, name)


def test_swapped_candidates_turn_the_preferences_round() -> None:
    plain_one, swapped = opened(shown="first", **PAIR), opened(shown="first", marks="8-6-2", **PAIR)
    one, other = (received(page, "saccade_matrix")[1]["values"] for page in (plain_one, swapped))
    assert len(one) == 112 and np.abs(one).max() > 0.9
    np.testing.assert_allclose(one, -other, atol=1e-6)  # float32, two terms


def test_sentences_too_long_for_an_address_keep_the_rest_and_offer_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 60)
    page = opened(section="measures", head="cross.4.8", marks="8-2-6", **PAIR)
    assert address_of(page) == {"model": CARD.identity, "section": "measures", "head": "cross.4.8"}
    assert "too long for the address" in said(page, "info") and "too long for a link" in said(page, "info")


def test_coming_back_to_the_page_keeps_the_view() -> None:
    page = choose(
        asked(opened(), TIRED, "The animal didn't cross the street because it was too old."), "section", "many"
    )
    page.switch_page("pages/models.py").run()
    page.query_params.clear()
    page.switch_page("pages/coreference.py").run()
    assert boxes(page)[1].endswith("too old.") and address_of(page)["section"] == "many"


def test_a_request_file_opens_its_view_and_a_wrong_one_is_refused() -> None:
    page = opened()
    uploader = next(one for one in page.file_uploader if one.label == "Open a request file")
    uploader.set_value(("view.json", TRANSLATE.to_file(TRANSLATE.fresh).encode(), "application/json")).run()
    assert "of the page Translate. Open it there." in said(page, "error")
    view = LabView(first=WIDE, second=TIRED, section="interventions", by="mean", head=Head("cross", 3, 7))
    uploader = next(one for one in page.file_uploader if one.label == "Open a request file")
    uploader.set_value(("view.json", CODEC.to_file(view).encode(), "application/json")).run()
    assert is_fine(page)
    assert boxes(page) == (WIDE, TIRED)
    assert address_of(page) == {**CODEC.encode(view), "model": CARD.identity}


def test_the_presenter_has_larger_figures_and_fewer_controls() -> None:
    desk, hall = opened(**PAIR), opened(presenter="1", **PAIR)
    for component in ("saccade_marks", "saccade_matrix", "saccade_lines"):
        assert received(hall, component)[0]["scale"] > received(desk, component)[0]["scale"]
    assert len(list(hall.button)) < len(list(desk.button))
    wide, narrow = (json.loads(page.get("plotly_chart")[0].proto.spec)["layout"]["width"] for page in (hall, desk))
    assert wide > narrow


def test_moving_all_cross_heads_to_the_street_changes_the_translation() -> None:
    page = opened(section="interventions", head="cross.4.8", **PAIR)
    assert "qu'elle était trop" in tables(page) and "fatiguée." in tables(page)
    assert "All heads of its kind (Output → source)" in [
        option.content for option in page.segmented_control(key="lab scope").proto.options
    ]
    assert "fatiguée" not in tables(choose(page, "scope", "head"))


def test_what_cannot_be_patched_names_the_sentence_it_stands_in() -> None:
    page = opened(section="interventions", by="other", first=TIRED, second="The animal slept.")
    notes = [line for line in said(page, "info").splitlines() if "Not patched" in line]
    assert any("Only the second sentence has “slept”." in note for note in notes)
    assert any("Only the first sentence has" in note and "“street”" in note for note in notes)
    choose(page, "sentence", "second")
    assert [line for line in said(page, "info").splitlines() if "Not patched" in line] == notes
