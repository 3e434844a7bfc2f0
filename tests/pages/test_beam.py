"""The Beam search page in Streamlit's own test runner: what it shows, when it searches, what it says to bad input."""

from __future__ import annotations

import csv
import html
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import streamlit as st

import engine.decoding.tree
from engine.cards import beam_preset
from engine.catalogue import MODELS
from engine.decoding.options import BeamOptions
from engine.decoding.tree import SearchRequest, look_at, rescored
from engine.runner import load
from pages import _address
from pages._search import SearchView
from tests.pages.beam_page import (
    CARD,
    TEXT,
    a_beginning,
    address_of,
    asked,
    chosen,
    click,
    count_searches,
    drawn,
    found,
    ids,
    opened,
    said,
    sound,
    table,
    titles,
)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[SearchRequest]:
    """Every request that was really searched."""
    return count_searches(monkeypatch)


def test_the_first_view_is_an_example_with_its_tree_and_its_table(runs: list[SearchRequest]) -> None:
    page = sound(opened())
    text = page.text_input(key="beam box").value
    assert text and runs == [SearchRequest(CARD.identity, text, BeamOptions())]
    tree = found(text=text)
    header, arrays = drawn(page)
    assert header["start"]["node"] is None and header["start"]["step"] == -1
    # searched twice, on one thread and on several, which add up float32 in another order
    np.testing.assert_allclose(arrays["score"], [node.score for node in tree.nodes], atol=1e-4)
    assert [row["output"] for row in table(page)] == [one.text for one in tree.hypotheses]
    assert f"{len(tree.nodes):,} candidates recorded" in said(page.caption)
    assert "Choose a node of the tree" in said(page.info)
    assert address_of(page) == {"model": CARD.identity, "text": text}


def test_the_found_example_comes_with_its_hint_and_keeps_it_only_as_long_as_it_is_true() -> None:
    preset = beam_preset(CARD)
    assert preset is not None
    page = sound(click(opened(), "Where greedy goes astray"))
    assert page.text_input(key="beam box").value == preset.english
    hint = said(element for element in page.markdown if "Greedy search" in element.value)
    assert preset.greedy in hint and preset.beam in hint and f"at step {preset.left} " in hint
    assert table(page)[0]["output"] == preset.beam
    assert drawn(page)[0]["trees"][0]["left"] == preset.left
    for key, value in (("beam beams", 1), ("beam beams", preset.beams), ("beam alpha", 0.0)):
        page.select_slider(key=key).set_value(value).run()
        shown = any("Greedy search" in element.value for element in page.markdown)
        assert shown == (key == "beam beams" and value == preset.beams)


@pytest.mark.parametrize("label", ["The lecture's beam, k = 2", "Wide: k = 10", "Samples"])
def test_every_example_opens(label: str) -> None:
    assert titles(sound(click(opened(), label)))[0] in ("Shrinking beam, k = 2", "Beam search, k = 10", "8 samples")


def test_another_k_is_another_search_and_back_again_it_comes_from_memory(runs: list[SearchRequest]) -> None:
    page = opened(text=TEXT, node="3")
    page.select_slider(key="beam beams").set_value(2).run()
    assert titles(sound(page)) == ["Beam search, k = 2"]
    assert [request.options.beams for request in runs if isinstance(request.options, BeamOptions)] == [4, 2]
    assert address_of(page) == {"model": CARD.identity, "text": TEXT, "beams": "2"}  # the node was one of another tree
    page.select_slider(key="beam beams").set_value(4).run()
    opened(text=TEXT)  # and so it does in another session
    assert len(runs) == 2


def test_a_mere_change_of_view_searches_nothing_and_runs_no_model(
    runs: list[SearchRequest], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = opened(text=TEXT)
    pruned = next(i for i, node in enumerate(found().nodes) if node.state == "pruned")
    chosen(page, node=pruned)
    steps: list[str] = []
    monkeypatch.setattr(engine.decoding.tree, "_most_likely", lambda *given: steps.append("asked anew"))
    for values in ({"node": 0}, {"step": 2, "phase": "expand"}, {"node": pruned}, {"pruned": False}, {"node": 1}):
        sound(chosen(page, **values))
    page.segmented_control(key="beam again").set_value("gnmt").run()
    page.select_slider(key="beam other").set_value(2.0).run()
    page.toggle(key="beam presenter").set_value(True).run()
    assert len(runs) == 1 and not steps
    assert address_of(sound(page)) == {
        "model": CARD.identity, "text": TEXT, "node": "2", "step": "2", "phase": "expand", "pruned": "0",
        "again": "gnmt", "other": "2", "presenter": "1",
    }  # fmt: skip


def test_a_chosen_node_shows_its_text_what_may_follow_and_where_it_looks() -> None:
    tree = found()
    index = next(i for i, node in enumerate(tree.nodes) if node.state == "kept" and node.step == 3)
    node, look = tree.nodes[index], look_at(load("en-fr", "cpu"), tree, index)
    page = sound(opened(text=TEXT, node=str(index + 1)))
    assert drawn(page)[0]["start"]["node"] == [0, index]
    assert look.text in html.unescape("".join(element.proto.body for element in page.get("html")))
    line = next(caption.value for caption in page.caption if caption.value.startswith("Step 3")).replace("\\", "")
    assert "log-probability" in line and f"sum {node.score:.3f}".replace("-", "−") in line
    chart = json.loads(page.get("vega_lite_chart")[0].proto.spec)
    assert chart["title"] == "What may follow"
    header, arrays = drawn(page, "saccade_lines")
    layers, heads, queries, keys = (len(header["layers"]), len(header["heads"]), *map(len, header["tokens"].values()))
    rows = arrays["weights"].reshape(layers, heads, queries, keys).sum(-1) / header["levels"]
    np.testing.assert_allclose(rows, 1, atol=0.5 * keys / header["levels"])  # each weight is rounded to a level


def test_a_penalty_is_tried_on_the_same_hypotheses_and_then_searched_with(runs: list[SearchRequest]) -> None:
    text = "The weather was so bad that we stayed at home."
    tree = found(text=text)
    page = opened(text=text)
    page.segmented_control(key="beam again").set_value("gnmt").run()
    page.select_slider(key="beam other").set_value(-1.0).run()
    other = rescored(tree, BeamOptions(penalty="gnmt", alpha=-1.0))
    assert [one.text for one in other] != [one.text for one in tree.hypotheses]
    assert [row["output"] for row in table(page)] == [one.text for one in other]
    assert [row["rank"] for row in table(page)] == list(range(1, len(other) + 1))
    was = {one.node: one.rank + 1 if one.rank >= 0 else None for one in tree.hypotheses}
    assert [row["was"] for row in table(page)] == [was[one.node] for one in other]
    assert "nothing was searched" in said(page.info) and len(runs) == 1
    click(page, "Search with this penalty")
    assert runs[-1].options == BeamOptions(penalty="gnmt", alpha=-1.0)
    assert "Searched under this penalty: it " in said(page.success) and "It stopped: " in said(page.success)
    assert "was" not in table(page)[0] and address_of(sound(page))["alpha"] == "-1"
    assert "again" not in address_of(page)
    chosen(page, node=0)
    assert not page.success  # said once


def test_samples_are_the_same_with_the_same_seed(runs: list[SearchRequest]) -> None:
    def outputs(seed: str) -> list[str]:
        st.cache_resource.clear()
        return [row["output"] for row in table(sound(opened(text=TEXT, method="samples", seed=seed, samples="16")))]

    assert outputs("1") == outputs("1") != outputs("2")
    assert len(runs) == 3
    page = opened(text=TEXT, method="samples", temperature="0.7")
    assert titles(page) == ["8 samples"] and "divided by" not in table(page)[0]
    assert sum(drawn(page)[1]["count"][drawn(page)[1]["step"] == 1]) == 8
    page.number_input(key="beam seed").set_value(5).run()
    assert address_of(sound(page))["seed"] == "5" and len(runs) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "There is no text yet"),
        ("   \u200b ", "There is no text yet"),
        ("日本語の文章", "knows none of these characters"),
        ("word " * 300, "takes 128 at most"),
    ],
)
def test_bad_input_gets_a_sentence_that_says_what_to_do(text: str, message: str) -> None:
    page = asked(opened(), text)
    assert not page.exception and message in said(page.error)
    assert not drawn(page)[0] and len(page.dataframe) == 0
    assert titles(sound(asked(page, TEXT))) == ["Beam search, k = 4"]
    assert address_of(page)["text"] == TEXT


@pytest.mark.parametrize("text", ["<script>alert(1)</script> <b>x</b>", "$x^2$ **bold** [a](http://b.c) :smile: `c`"])
def test_markup_is_shown_and_never_read(text: str) -> None:
    page = sound(asked(opened(), text))
    sound(chosen(page, node=0))
    body = "".join(element.proto.body for element in page.get("html") if "<style>" not in element.proto.body)
    assert "<script" not in body and "<b>" not in body
    a_beginning(page, "<i>Je</i> `**x**`")
    assert not page.exception and "“<”, “>”" in said(page.error) and "\\<" in page.error[0].value


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"beams": "99"}, "Choose k from 1 to 16"),
        ({"beams": "0"}, "Choose k from 1 to 16"),
        ({"length": "0"}, "room for one token"),
        ({"length": "99999"}, "Choose 128 at most"),
        ({"candidates": "99999"}, "Choose 50 at most"),
        ({"method": "samples", "temperature": "0"}, "above 0"),
        ({"method": "samples", "top_p": "0"}, "top-p above 0"),
        ({"method": "samples", "samples": "99"}, "99 samples"),
    ],
)
def test_absurd_numbers_of_an_address_get_a_sentence_and_can_be_left(address: dict[str, str], message: str) -> None:
    page = opened(text=TEXT, **address)
    assert not page.exception and message in said(page.error) and not drawn(page)[0]
    name, fresh = list(address)[-1], SearchView()
    page.select_slider(key=f"beam {name}").set_value(getattr(fresh, name)).run()
    assert drawn(sound(page))[0] and name not in address_of(page)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"forced": "99999.1"}, "A forced beginning was left out"),
        ({"forced": "99999.1", "tree": "2", "node": "1"}, "A forced beginning was left out"),
        ({"forced": "2"}, "no output can go on from"),  # </s>
        ({"forced": "6", "length": "1"}, "fills the whole output"),
        ({"node": "99999"}, "Node 99999 of tree 1"),
        ({"tree": "9", "node": "2"}, "Node 2 of tree 9"),
        ({"model": "en-fr@00000000"}, "made with en-fr@00000000"),
        ({"colour": "red"}, "colour"),
        ({"step": "-3"}, "step=-3"),
        ({"again": "none", "text": "Hi."}, "again=none"),
    ],
)
def test_what_an_address_asks_in_vain_is_said_and_the_rest_is_shown(address: dict[str, str], message: str) -> None:
    page = opened(**{"text": TEXT, **address})
    assert not page.exception and message in said([*page.error, *page.warning])
    assert len(titles(page)) == 1 and drawn(page)[0]["start"]["node"] is None
    kept = {"model": CARD.identity, "text": address.get("text", TEXT)}
    assert address_of(page) == kept | {name: address[name] for name in ("length",) if name in address}
    sound(page.run())


def test_a_text_too_long_for_an_address_keeps_the_options(monkeypatch: pytest.MonkeyPatch) -> None:
    page = opened(text=TEXT, beams="3", node="2")
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 40)
    chosen(page, node=2)
    assert address_of(page) == {"model": CARD.identity, "beams": "3"} and "request file" in said(page.info)


def test_what_is_downloaded_agrees_with_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    files: dict[str, str] = {}

    def download(label: str, data: Any, *given: Any, **options: Any) -> None:
        files[label] = data() if callable(data) else data

    monkeypatch.setattr(st, "download_button", download)
    sound(opened(text=TEXT, beams="3", alpha="0.5", node="1"))
    tree = found(beams=3, alpha=0.5)
    rows = list(csv.DictReader(io.StringIO(files["Hypotheses, CSV"], newline="")))
    assert [row["text"] for row in rows] == [one.text for one in tree.hypotheses]
    for row, one in zip(rows, tree.hypotheses, strict=True):
        assert float(row["final score"]) == pytest.approx(one.score / one.length**0.5, abs=1e-5)  # six digits
    content = json.loads(files["Tree, JSON"])
    assert len(content["nodes"]) == len(tree.nodes) and content["request"]["options"]["beams"] == 3
    best = tree.path(tree.hypotheses[0].node)
    assert sum(content["nodes"][i]["logprob"] for i in best) == pytest.approx(tree.hypotheses[0].score, abs=1e-4)
    assert json.loads(files["Request file"])["beams"] == "3" and "Tree, HTML" in files


def test_the_presenter_has_larger_type_and_fewer_controls() -> None:
    plain, page = opened(text=TEXT, node="1"), sound(opened(text=TEXT, node="1", presenter="1"))
    assert drawn(page)[0]["scale"] > drawn(plain)[0]["scale"]
    assert len(list(page.button)) < len(list(plain.button)) and not page.get("download_button")
    assert table(page) == table(plain)


def test_coming_back_to_the_page_keeps_the_search(runs: list[SearchRequest]) -> None:
    page = asked(opened(), TEXT)
    page.switch_page("pages/models.py").run()
    page.query_params.clear()
    page.switch_page("pages/beam.py").run()
    assert page.text_input(key="beam box").value == TEXT and len(runs) == 2


def test_a_model_without_attention_is_searched_and_says_that_it_has_none() -> None:
    blind = next(card for card in MODELS.values() if "search" in card.supports and "cross" not in card.supports)
    page = sound(opened(text=TEXT, model=blind.identity, node="2"))
    assert page.selectbox(key="model").value == blind.name and address_of(page)["model"] == blind.identity
    assert drawn(page)[0]["start"]["node"] == [0, 1]
    assert "This model has no attention" in said(page.markdown) and not drawn(page, "saccade_lines")[0]
    assert any(json.loads(chart.proto.spec).get("title") == "What may follow" for chart in page.get("vega_lite_chart"))
    page = sound(click(page, "Force this beginning"))
    assert len(titles(page)) == 2 and "This model has no attention" in said(page.markdown)


def test_another_model_searches_the_same_sentence_anew(runs: list[SearchRequest]) -> None:
    page = sound(opened(text=TEXT, node="2", forced=ids("Je")))
    assert len(titles(page)) == 2
    page = sound(page.selectbox(key="model").set_value("en-fr-rnn-additive").run())  # no link was made with another
    identity = MODELS["en-fr-rnn-additive"].identity
    assert (runs[-1].model, runs[-1].text, runs[-1].prefix) == (identity, TEXT, ())
    assert address_of(page) == {"model": identity, "text": TEXT} and len(titles(page)) == 1
    assert page.text_input(key="beam box").value == TEXT and drawn(page)[0]["start"]["node"] is None
