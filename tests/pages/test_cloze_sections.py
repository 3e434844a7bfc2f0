"""The sections of the Cloze page: two texts, the noun that is meant, noises, and the heads of a pair."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import streamlit as st

from engine.cloze_text import MASK
from engine.noise import NOISES, SHARE, noise
from engine.restoration import VERDICTS, restore
from pages import _shared
from pages._cloze_examples import examples, unrelated
from pages._cloze_heads import BETWEEN
from pages._cloze_noise import CAN
from pages._cloze_pronoun import verdict, words_of
from pages._cloze_view import MOST_SEED
from tests.pages.cloze_page import (
    LONGEST,
    SECOND,
    TEXT,
    address_of,
    choose,
    click,
    html,
    opened,
    received,
    said,
    small,
    sound,
    view,
    words,
)
from viz.components.choices import percentage

ONE, OTHER = (f"The animal didn't cross the street because the {MASK} was too {how}." for how in ("tired", "wide"))
SENTENCES = "The dog slept in the sun. The old man sat by the river. It was late."


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """Pages load the small model; what other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", small)
        yield
    st.cache_resource.clear()


# ---- next sentence ----


def test_a_pair_is_asked_both_ways_and_beside_unrelated_sentences():
    cloze = small()
    page = sound(opened(first=TEXT, second=SECOND, section="follows"))
    asked = [cloze.follows(cloze.read(*texts)) for texts in ((TEXT, SECOND), (SECOND, TEXT))]
    assert [metric.value for metric in page.metric] == [percentage(share) for share in asked]
    table = next(one.value for one in page.table if "second text" in one.value.columns)
    assert [text.replace("\\", "") for text in table["second text"]] == [SECOND, *unrelated()]
    shares = [cloze.follows(cloze.read(TEXT, text)) for text in (SECOND, *unrelated())]
    assert list(table["follows"]) == [percentage(share) for share in shares]
    above = sum(share >= shares[0] for share in shares[1:])
    assert f"{above or 'None'} of {len(unrelated())}" in said(page.caption)


def test_a_pair_is_swapped_and_given_an_unrelated_second_text():
    page = opened(first=TEXT, second=SECOND, section="follows", masked="3")
    page = sound(click(page, "Swap the two"))
    assert (view(page).first, view(page).second, view(page).masked) == (SECOND, TEXT, ())
    for sentence in (*unrelated()[:2],):
        page = sound(click(page, "Put an unrelated one"))
        assert (view(page).first, view(page).second) == (SECOND, sentence)
    assert len(next(one.value for one in page.table if "second text" in one.value.columns)) == len(unrelated())


def test_a_pair_that_leaves_no_room_for_other_sentences_is_asked_all_the_same():
    room = LONGEST - len(small().read("a", "A dog."))
    first = "a " * (room // len(small().tokenizer.pieces("a")))
    page = sound(opened(section="follows", first=first, second="A dog."))
    assert len(page.metric) == 2 and not page.table and "no room" in said(page.caption)


def test_one_text_has_no_next_sentence():
    page = sound(opened(first=TEXT, section="follows"))
    assert "one text only" in said(page.info) and not page.metric
    assert words(page)["labels"][0] == "[CLS]"


# ---- which noun ----


def test_given_words_are_compared_in_both_sentences():
    page = sound(opened(section="pronoun", one=ONE, other=OTHER, words="animal, street"))
    cloze, table = small(), html(page)
    for sentence in (ONE, OTHER):
        for score in cloze.compare(cloze.read(sentence), ("animal", "street")):
            assert (
                percentage(score.probability).replace("<", "&lt;") in table and f">{percentage(score.share)}<" in table
            )
    assert len(received(page, "choices")) == 2 and "The model prefers" in said(page.markdown)
    assert "too little to know it" in said(page.caption)


def test_the_verdict_says_whether_the_word_decides():
    cloze = small()
    first, second = (cloze.compare(cloze.read(text), ("animal", "street")) for text in (ONE, OTHER))
    best = max(first, key=lambda score: score.logprob).word
    assert f"**{best}** in both sentences" in verdict([first, first])
    turned = [next(score for score in first if score.word != best)]
    assert verdict([turned]) == ""
    assert verdict([first]) == f"Of these words the model prefers **{best}**."
    other = tuple(sorted(second, key=lambda score: score.word == best))
    lower = [one for one in other if one.word != best]
    assert "the word decides" in verdict([first, [*lower, *lower]])


def test_words_are_split_at_commas_and_spaces_and_stand_once():
    assert words_of(" animal, street;the animal ") == ("animal", "street", "the")


def test_our_pair_opens_by_itself_and_others_by_a_click():
    page = sound(opened(section="pronoun"))
    first = examples("pronouns")[0]
    assert page.text_input(key="cloze one").value == first.first
    assert not {"one", "other", "words"} & address_of(page).keys()
    page.text_input(key="cloze one").set_value(ONE)
    page.text_input(key="cloze other").set_value("")
    page.text_input(key="cloze words asked").set_value("animal")
    page = sound(page.button(key="FormSubmitter:cloze pronoun-Compare").click().run())
    assert len(received(page, "choices")) == 1 and address_of(page)["words"] == "animal"
    page = sound(page.button(key="cloze example pronouns 0").click().run())
    assert (view(page).one, view(page).other) == (first.first, first.second)


def test_sentences_of_spaces_are_none_and_ours_are_shown():
    page = sound(opened(section="pronoun", one=" ", other="  "))
    assert page.text_input(key="cloze one").value == examples("pronouns")[0].first


@pytest.mark.parametrize(
    ("one", "typed", "needed"),
    [
        ("No blank here.", "animal", "Nothing is masked"),
        (ONE, " ", "no words to compare"),
        (ONE, " ".join(f"dog{number}" for number in range(11)), "Leave 10 of them"),
    ],
)
def test_what_cannot_be_compared_is_said(one, typed, needed):
    page = opened(section="pronoun", one=one, words=typed)
    assert not page.exception and needed in said(page.error)


# ---- noise ----


@pytest.mark.parametrize("kind", NOISES)
def test_every_noise_says_what_was_done_and_what_can_be_restored(kind):
    page = sound(opened(section="noise", first=SENTENCES, noise=kind, seed="3"))
    noised, shown = noise(SENTENCES, kind, 3), html(page)
    assert noised.text in shown.replace("&#x27;", "'")
    assert all(change.done in shown for change in noised.changes)
    texts = said(page.markdown)
    assert CAN[VERDICTS[kind].restorable] in texts and VERDICTS[kind].why in texts
    found = restore(small(), noised)
    assert texts.count("places are as they were") == len(found.attempts)
    for attempt in found.attempts:
        assert f"{attempt.right} of {len(attempt.spans)}" in texts


def test_another_seed_changes_other_words_and_the_address_keeps_it():
    page = sound(opened(section="noise", first=SENTENCES))
    page = sound(click(page, "Another seed"))
    assert view(page).seed == 1 and address_of(page)["seed"] == "1"
    assert noise(SENTENCES, "mask", 1).text in html(page)
    page = sound(page.number_input(key="cloze seed").set_value(MOST_SEED).run())
    assert view(sound(click(page, "Another seed"))).seed == 0


def test_how_many_words_is_the_readers_choice_and_a_share_of_an_address_is_kept():
    page = sound(opened(section="noise", first=SENTENCES, share="0.25"))
    assert page.select_slider(key="cloze share").value == 0.25
    page = sound(page.select_slider(key="cloze share").set_value(0.5).run())
    assert noise(SENTENCES, "mask", 0, 0.5).text in html(page)
    page = sound(choose(page, "noise", "rotate"))
    assert not [one for one in page.select_slider if one.key == "cloze share"]


def test_a_seed_and_a_share_of_an_address_that_cannot_be_used_are_named():
    page = opened(section="noise", first=SENTENCES, seed="90000", share="0")
    assert not page.exception and not page.error
    assert "seed=90000" in said(page.warning) and "share=0" in said(page.warning)
    assert (view(page).seed, view(page).share) == (MOST_SEED, SHARE)


def test_a_noise_that_the_text_has_no_room_for_is_said():
    page = opened(section="noise", first=TEXT, noise="shuffle")
    assert not page.exception and "one sentence only" in said(page.error)
    sound(choose(page, "noise", "mask"))


def test_examples_of_noises_have_sentences_to_shuffle():
    page = sound(opened(section="noise", first=TEXT))
    page = sound(page.button(key="cloze example noises 0").click().run())
    sound(choose(page, "noise", "shuffle"))


# ---- heads ----


@pytest.mark.parametrize("figure", ["lines", "grid", "heatmap"])
def test_every_figure_of_the_heads(figure):
    page = sound(opened(section="heads", first=TEXT, second=SECOND, look=f"view.{figure}"))
    drawn = {"lines": "lines", "grid": "grid"}.get(figure)
    assert len(received(page, drawn)) == 1 if drawn else len(page.get("plotly_chart")) == 1
    assert address_of(page)["look"].startswith(f"view.{figure}" if figure != "lines" else "")
    assert len(words(page)["labels"]) == len(small().read(TEXT, SECOND).words)


@pytest.mark.parametrize("part", ["AA", "AB", "BA", "BB"])
def test_one_text_looks_at_the_other(part):
    page = sound(opened(section="heads", first=TEXT, second=SECOND, between=part, look="tokens.pieces"))
    given = small().read(TEXT, SECOND)
    (header,) = received(page, "lines")
    sides = {
        "A": [i for i, s in enumerate(given.segments) if s == 0],
        "B": [i for i, s in enumerate(given.segments) if s],
    }
    rows, columns = (sides[name] for name in part)
    assert [token["label"] for token in header["tokens"]["query"]] == [given.tokens.labels[i] for i in rows]
    assert [token["label"] for token in header["tokens"]["key"]] == [given.tokens.labels[i] for i in columns]
    weights = small().trace(given).maps["encoder"].weights
    removed = 1 - weights[:, :, rows][..., columns].sum(-1, dtype=np.float64).mean()
    assert f"{BETWEEN[part]}: what is not shown took {percentage(removed)}" in said(page.caption)
    assert address_of(page)["between"] == part


@pytest.mark.parametrize("part", ["AB", "BA"])
@pytest.mark.parametrize("second", ["A dog.", f"{SENTENCES} {TEXT}"])
def test_all_heads_of_one_text_that_looks_at_another(part, second):
    page = sound(opened(section="heads", first=TEXT, second=second, between=part, look="view.grid"))
    assert len(received(page, "grid")) == 1


def test_a_single_text_has_no_filter_and_a_masked_word_is_in_the_map():
    page = sound(opened(section="heads", first=TEXT, masked="4", look="tokens.pieces"))
    assert not [one for one in page.segmented_control if one.key == "cloze between"]
    (header,) = received(page, "lines")
    assert MASK in [token["label"] for token in header["tokens"]["query"]]


def test_sections_follow_each_other_with_one_text():
    page = sound(opened(first=TEXT, second=SECOND, masked="4"))
    for section in ("heads", "follows", "noise", "pronoun", "fill"):
        page = sound(choose(page, "section", section))
        assert view(page).first == TEXT and view(page).masked == (3,)
        assert address_of(page).get("section", "fill") == section
