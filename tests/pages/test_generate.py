"""The Generate page in Streamlit's own test runner: the text so far, taking and going back, samples, addresses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import streamlit as st

from engine.decoding.options import SampleOptions
from engine.generator import Generator
from pages import _gen, _shared
from pages._gen import GenView, complete, with_path
from pages._gen_examples import PROMPTS
from pages._gen_text import texts_of
from pages._permalink import CODEC as TRANSLATE
from pages._permalink import LOOK, View, look_only, without_pins
from tests.pages.generate_page import (
    CHARACTERS,
    CODEC,
    COUNTS,
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


# ---- the view and its address ----


def test_a_walk_replaces_the_branch_that_it_goes_on_from_and_keeps_the_others():
    assert with_path((), ()) == ()
    assert with_path((), (1,)) == ((1,),)
    assert with_path(((1,), (2,)), (1, 5)) == ((1, 5), (2,))
    assert with_path(((1, 5), (2,)), (1, 7)) == ((1, 5), (2,), (1, 7))
    assert with_path(((1, 5), (2,)), (1,)) == ((1, 5), (2,))  # going back loses nothing


def test_every_choice_comes_back_from_its_address():
    whole = GenView(
        model=GPT, prompt="A cat\n\nsat ", section="sample", taken=(3, 0, 12), branches=((3, 0, 12), (4,)),
        temperature=1.3, top_k=5, top_p=0.9, seed=7, length=20, samples=3, kept=(0, 2), gone=(1,), pair="on a",
        words=50, text="Some text.", zero="", one="a", few="b", answer="c", layer=1, part="memory", unit=9,
        look=View(view="grid", over_heads="max", layer=2, heads=(0, 3), pins=(1,), norm="squared", least=0.25),
        presenter=True,
    )  # fmt: skip
    again, problems = CODEC.decode(CODEC.encode(whole))
    assert again == whole and problems == []
    assert CODEC.encode(GenView()) == {}


@pytest.mark.parametrize("name", ["taken", "branches", "look", "temperature", "section"])
def test_an_impossible_value_is_named_and_the_rest_counts(name):
    _, problems = CODEC.decode({name: "x~", "seed": "3"})
    assert len(problems) == 1 and f"“{name}=x~”" in problems[0]


def test_a_look_holds_what_is_chosen_of_a_trace_and_not_its_text():
    chosen = View(model="gpt@1", text="a", target="b", view="heatmap", layer=3, heads=(1,), pins=(4,), at=(2,))
    look = look_only(chosen)
    assert (look.model, look.text, look.target) == ("", "", None) and look.layer == 3
    assert LOOK.read(LOOK.write(look)) == look and LOOK.read("") == View()
    assert without_pins(look) == replace(look, pins=(), at=())
    assert {"text", "model"} <= set(TRANSLATE.forms)
    for wrong in ("text.a", "layer.0", "nonsense.1", "view.tree"):
        with pytest.raises(ValueError, match=r"give choices|is not there"):
            LOOK.read(wrong)


def test_a_view_without_a_prompt_gets_the_first_example_and_an_empty_one_stays():
    assert complete(GenView(), False) == (GenView(model=GPT, prompt=PROMPTS[0].prompt), [])
    assert complete(GenView(prompt=""), True)[0].prompt == ""
    found, problems = complete(GenView(model=GPT, taken=(3,)), True)
    assert found.taken == () and "nothing taken" in problems[0]


def test_tokens_of_another_model_are_dropped_and_other_weights_are_named():
    found, problems = complete(GenView(model="nobody@12345678", prompt="a", taken=(3,)), True)
    assert found.model == GPT and found.taken == () and "nobody" in problems[0]
    found, problems = complete(GenView(model="gpt@12345678", prompt="a", taken=(3,)), True)
    assert found.taken == (3,) and found.branches == ((3,),) and "gpt@12345678" in problems[0]
    found, _ = complete(GenView(model=GPT, prompt="a", taken=(3,), section="units"), True)
    assert found.model == CHARACTERS and found.taken == ()


def test_what_tokens_add_to_a_text_is_the_text():
    tokens = small("gpt").tokens_of("The cat sat.\n\nA dog", ids("ran"))
    assert "".join(texts_of(tokens)) == tokens.text and texts_of(tokens)[0] == ""


# ---- token by token ----


def test_the_first_view_has_the_text_and_what_may_come_next():
    page = sound(opened())
    (header, arrays), ((rows, _),) = drawn(page, "shaded")[0], drawn(page, "choices")
    assert "".join(header["texts"]) == PROMPT and len(arrays["values"]) == len(header["texts"])
    found = small("gpt").next_token(PROMPT, (), SampleOptions(temperature=0.8))
    assert [row["title"] for row in rows["rows"]] and len(rows["rows"]) == len(found.choices)
    assert f"of {found.of:,} tokens" in rows["total"] and drawn(page, "beam") == []


def test_probabilities_along_the_text_are_the_models_own():
    page = sound(opened())
    values = drawn(page, "shaded")[0][1]["values"]
    bits = small("gpt").surprise(PROMPT).bits
    np.testing.assert_allclose(values, 2.0**-bits, rtol=1e-4)


def test_taken_tokens_are_a_branch_and_going_back_keeps_it():
    page = sound(click(opened(), "Most probable"))
    best = small("gpt").next_token(PROMPT, (), SampleOptions()).choices[0].token
    assert view(page).taken == (best,) and view(page).branches == ((best,),)
    page = sound(click(page, "Draw one"))
    two = view(page).taken
    assert len(two) == 2 and two[0] == best and view(page).branches == (two,)
    page = sound(click(page, "To the prompt"))
    assert view(page).taken == () and view(page).branches == (two,)
    ((tree, _),) = drawn(page, "beam")
    assert tree["trees"][0]["nodes"] == 2 and tree["start"]["node"] is None
    again = sound(opened(**address_of(page)))
    assert view(again).branches == (two,)


def test_what_is_drawn_is_the_same_for_the_same_seed():
    one, other = (view(click(opened(seed="4"), "Draw one")).taken for _ in range(2))
    assert one == other


def test_the_output_can_become_the_prompt():
    page = sound(opened(taken=written(ids("the mat"))))
    page = sound(click(page, "Make it the prompt"))
    assert view(page).prompt == "The cat sat on the mat" and view(page).taken == view(page).branches == ()


def test_another_model_keeps_the_prompt_and_each_its_walk():
    page = sound(opened(taken=written(ids("the mat"))))
    taken = view(page).taken
    models = next(one for one in page.get("button_group") if one.key == "generate model")
    page = sound(models.set_value(COUNTS).run())
    assert view(page).model == COUNTS and view(page).taken == ()
    page = sound(next(one for one in page.get("button_group") if one.key == "generate model").set_value(GPT).run())
    assert view(page).taken == taken


def test_a_prompt_over_the_context_is_cut_with_a_note():
    page = sound(opened(prompt="The cat sat on the mat and the dog ran. " * 20))
    assert "the model sees 48 at once" in said(page.info)


def test_a_text_that_has_ended_goes_no_further():
    end = small("gpt").end
    page = sound(opened(taken=str(end)))
    assert "has ended" in said(page.markdown) and drawn(page, "choices") == []
    assert "nothing follows" in said(sound(opened(taken=str(end), section="sample")).info)


def test_the_beginning_of_a_text_is_a_prompt():
    page = sound(opened(prompt=""))
    assert "begins a text" in said(page.caption) and len(drawn(page, "choices")) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": "0"}, "temperature must be above 0"),
        ({"top_p": "2"}, "top-p above 0"),
        ({"prompt": "a" * 20_001}, "Shorten it"),
        ({"section": "sample", "length": "9999"}, "too long to be shown"),
        ({"section": "sample", "samples": "99"}, "too many to be shown"),
        ({"section": "surprise", "text": "a" * 5_001}, "Shorten it"),
        ({"section": "trigram", "words": "9999"}, "cannot be drawn"),
        ({"section": "trigram", "pair": " "}, "Type two words"),
    ],
)
def test_what_cannot_be_is_a_sentence(wrong, message):
    page = opened(**wrong)
    assert not page.exception and message in said(page.error)


def test_a_prompt_is_asked_for_and_what_was_taken_is_over():
    page = opened(taken=written(ids("the mat")))
    page.text_area(key="gen box").set_value("A dog")
    page = sound(page.button(key="FormSubmitter:gen form-Go").click().run())
    assert view(page).prompt == "A dog" and view(page).taken == view(page).branches == ()


def test_a_look_without_a_map_is_of_the_only_one_and_what_is_not_there_is_named():
    page = opened(section="attention", look="layer.99~heads.1")
    assert not page.exception and "layer=99" in said(page.warning)
    assert view(page).look.heads == (0,) and view(page).look.map == "decoder"


def test_a_file_with_half_characters_and_thousands_of_names_opens_with_a_few_sentences():
    odd = {"saccade": 1, "page": "generate", "\ud800": "x", "model": "gpt\ud800", "a" * 9_000: "y"}
    _, problems = CODEC.from_file(json.dumps(odd | {f"name {n}": "" for n in range(900)}).encode())
    assert len(problems) == 6 and "897 more names" in problems[-1] and max(map(len, problems)) < 120
    " ".join(problems).encode("utf-8")
    with pytest.raises(ValueError, match=r"of the page \?\. Open it there"):
        CODEC.from_file(json.dumps({"saccade": 1, "page": "\ud800"}).encode())


def test_too_many_branches_are_refused(monkeypatch):
    page = opened(taken=written(ids("the mat")))
    before = view(page).branches
    monkeypatch.setattr(_gen, "MOST_BRANCHES", 1)
    page = click(page, "To the prompt")
    page = click(page, "Most probable")  # another branch
    assert not page.exception and not page.error and "Change the prompt" in said(page.warning)
    assert view(page).branches == before and view(page).taken == ()
    assert not page.run().warning, "it is said once"


def test_too_many_tokens_are_refused_by_a_click_and_in_an_address(monkeypatch):
    page = opened(taken=written(ids("the mat")))
    path = view(page).taken
    for name, most in (("MOST_TAKEN", len(path)), ("MOST_WALKED", len(path))):
        with monkeypatch.context() as patch:
            patch.setattr(_gen, name, most)
            after = click(page, "Most probable")
            assert not after.exception and len(after.warning) == 1 and view(after).taken == path
            assert len(CODEC.decode({"branches": f"{written(path)}.{path[0]}"})[1]) == 1


@pytest.mark.parametrize("section", ["next", "sample", "compare", "attention"])
@pytest.mark.parametrize("wrong", ["0", "99999", "3.3"])  # <pad>, none of the vocabulary, two ends
def test_tokens_that_the_model_never_says_are_left_out_and_the_page_goes_on(section, wrong):
    good = ids("the mat")
    page = opened(section=section, taken=wrong, branches=f"{written(good)}_{wrong}")
    assert not page.exception and not page.error and "never says" in said(page.warning)
    assert view(page).taken == () and view(page).branches == (good,)
    assert not sound(page.run()).warning


# ---- samples ----


def test_one_sample_is_the_streams_own():
    page = sound(opened(section="sample", seed="3"))
    options = SampleOptions(1, 0.8, seed=3, max_length=10)
    tokens = tuple(one.token for one in small("gpt").stream(PROMPT, (), options))
    (header, _) = drawn(page, "shaded")[0]
    assert "".join(header["texts"]) == small("gpt").text_of(PROMPT, tokens)
    page = sound(click(page, "Token by token"))
    assert view(page).taken == tokens and view(page).section == "next"


def test_a_stopped_sample_keeps_what_was_drawn_and_goes_on():
    page = sound(opened())
    options = SampleOptions(1, 0.8, seed=8, max_length=10)
    some = tuple(small("gpt").stream(PROMPT, (), options))[:2]
    page.session_state["gen stopped"] = (GPT, ("gen sample", PROMPT, (), options))
    page.session_state["gen partly"] = some
    page = sound(changed(page, section="sample", seed=8))
    assert "Stopped after 2 tokens" in said(page.info)
    page = sound(click(page, "Go on"))
    assert not page.info and len(drawn(page, "shaded")[0][0]["texts"]) > len(some)


def test_asked_again_no_sample_is_drawn(monkeypatch):
    sound(opened(section="sample", seed="5"))
    monkeypatch.setattr(Generator, "stream", lambda *a: pytest.fail("drawn again"))
    sound(opened(section="sample", seed="5"))


def test_several_samples_are_kept_and_discarded():
    page = sound(opened(section="sample", samples="3", seed="2"))
    tree = small("gpt").continuations(PROMPT, (), SampleOptions(3, 0.8, seed=2, max_length=10))
    labels = [button.label for button in page.button]
    assert labels.count("Keep") == labels.count("Discard") == len(tree.hypotheses)
    page = sound(page.button(key="gen keep 1").click().run())
    page = sound(page.button(key="gen drop 0").click().run())
    assert view(page).kept == (1,) and view(page).gone == (0,)
    assert address_of(page)["kept"] == "2" and address_of(page)["gone"] == "1"
    page = sound(click(page, "1 discarded: show again"))
    assert view(page).gone == ()
    page = sound(page.button(key="gen prompt 1").click().run())
    assert (view(page).prompt or "").startswith(PROMPT) and view(page).kept == ()


def test_the_next_seed_draws_again():
    page = sound(click(opened(section="sample", seed="99999"), "Draw again"))
    assert view(page).seed == 0
