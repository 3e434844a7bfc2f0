"""What is open below the panels of the Alignment page: steps, states, the thread, quality by length, alignments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.analysis import merge_logprobs
from engine.bottleneck import Bottleneck, Estimate, GainBin, LengthBin, ModelGain, ModelScores, read_bottleneck
from engine.catalogue import MODELS
from engine.runner import load
from pages import _align, _align_lengths
from pages._align import name_of
from tests.pages.alignment_page import (
    ALL,
    BLIND,
    DOT,
    RECURRENT,
    TEXT,
    THREE,
    TITLES,
    TRANSFORMER,
    WITH_STATES,
    address_of,
    names,
    opened,
    received,
    said,
    sound,
    titles_of,
)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def points(page: AppTest) -> list[dict[str, Any]]:
    """What the chart below the panels draws."""
    (chart,) = page.get("vega_lite_chart")
    found: list[dict[str, Any]] = pa.ipc.open_stream(chart.proto.datasets[0].data.data).read_all().to_pylist()
    return found


@pytest.mark.parametrize("network", ALL)
@pytest.mark.parametrize("section", ["steps", "states", "thread"])
def test_every_section_of_one_model_is_drawn_for_each(section: str, network: str) -> None:
    page = sound(opened(text=TEXT, section=section, network=network))
    menu = page.segmented_control(key="alignment network")
    able = WITH_STATES if section != "thread" else list(ALL)
    shown = network if network in able else next(name for name in able if name != BLIND)
    assert menu.value == shown and len(menu.options) == len(able)
    header, arrays = received(page, "saccade_steps")
    if section == "steps":
        trace = load(shown, "cpu").trace(TEXT)
        assert [token["label"] for token in header["predicted"]] == list(trace.predicted.labels)
        assert header["attention"] == shown.rpartition("-")[2] and header["file_name"] == f"steps-{shown}"
        assert arrays["weights"].size == (0 if shown == BLIND else len(trace.predicted) * len(trace.source))
    elif section == "states":
        assert not header and len(page.get("vega_lite_chart")) == 1
    else:
        assert set(TITLES) <= {value for point in points(page) for value in point.values()}
        (gradient,) = [one.proto.spec for one in page.get("plotly_chart")]
        assert json.loads(gradient)["data"][0]["type"] == "heatmap" and "tired" in gradient


def test_the_thread_is_that_of_the_transformer_s_output() -> None:
    page = sound(opened(text=TEXT, section="thread", models=THREE))
    trace = load(TRANSFORMER, "cpu").trace(TEXT)
    words, logprobs = merge_logprobs(trace.token_logprobs, trace.predicted)
    values = [value for point in points(page) for value in point.values()]
    assert {*words.labels, *titles_of(THREE)} <= set(values)
    shown = [value for value in values if isinstance(value, float)]
    for probability in np.exp(logprobs):  # of what it said itself
        assert np.isclose(shown, probability, atol=1e-3).any()


@pytest.mark.parametrize(
    ("section", "message"), [("steps", "has no recurrent steps"), ("states", "Only recurrent models have states")]
)
def test_a_section_without_a_model_for_it_says_which(section: str, message: str) -> None:
    page = sound(opened(text=TEXT, section=section, models=TRANSFORMER))
    assert message in said(page.info) and names(page) == ["Transformer"]


def test_the_thread_of_one_model_needs_no_menu() -> None:
    page = sound(opened(text=TEXT, section="thread", models=TRANSFORMER))
    assert len(page.get("plotly_chart")) == 1
    assert "alignment network" not in [one.key for one in page.segmented_control]


def test_steps_begin_where_the_address_says_and_end_with_the_sentence() -> None:
    page = sound(opened(text=TEXT, section="steps", network=DOT, step="3"))
    assert received(page, "saccade_steps")[0]["step"] == 2
    page = sound(opened(text=TEXT, section="steps", network=DOT, step="9000"))
    header, _ = received(page, "saccade_steps")
    assert header["step"] == len(header["predicted"]) - 1


@pytest.mark.parametrize("direction", ["forwards", "backwards"])
def test_the_states_of_every_layer_and_direction(direction: str) -> None:
    for layer, shown in (("1", 1), ("2", 2), ("99", 2)):
        page = sound(opened(text=TEXT, models=DOT, section="states", direction=direction, depth=layer))
        assert f"encoder layer {shown}" in page.get("plotly_chart")[0].proto.spec
    for summary in ("change", "end"):
        page = sound(opened(text=TEXT, models=DOT, section="states", summary=summary))
        assert page.segmented_control(key="alignment summary").value == summary
        assert len(page.get("vega_lite_chart")) == 1


def measured_lengths() -> Bottleneck:
    """A figure of every model, made up."""

    def part(bleu: float) -> LengthBin:
        return LengthBin(5, 8, 100, Estimate(bleu, bleu - 2, bleu + 2), Estimate(0.5, 0.4, 0.6), 1.0)

    models = tuple(ModelScores(MODELS[n].identity, "", "0", 0, (part(20.0 + i),), None) for i, n in enumerate(ALL))
    bleu, accuracy = Estimate(-3.5, -5.0, 1.25), Estimate(0.125, 0.1, 0.15)
    gain = GainBin(5, 8, 100, bleu, accuracy)
    gains = tuple(
        ModelGain(MODELS[n].identity, MODELS[BLIND].identity, (gain,), replace(gain, longest=30))
        for n in RECURRENT
        if n != BLIND
    )
    return Bottleneck("test.tsv", "0", 571, 1000, 0, "nrefs:1", models, gains)


@pytest.mark.parametrize("score", ["bleu", "accuracy", "gain"])
def test_quality_by_length_is_drawn_from_what_was_measured(score: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", measured_lengths)
    page = sound(opened(text=TEXT, models=THREE, section="lengths", score=score))
    assert len(page.get("vega_lite_chart")) == 1
    told = said(page.markdown)
    assert f"{name_of(MODELS[DOT])}: BLEU −3.5 (95 % interval −5.0 to +1.2), tokens right" in told
    assert "in percentage points, +12.5 (+10.0 to +15.0; at 5 to 8 words +12.5" in told
    assert "571 lines" in said(page.caption)


def test_the_gain_of_what_has_none_asks_for_other_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", measured_lengths)
    page = sound(opened(text=TEXT, models=BLIND, section="lengths", score="gain"))
    assert "Nothing of this is measured" in said(page.info) and not page.get("vega_lite_chart")


def test_lengths_measured_with_other_weights_are_said_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    old = measured_lengths()
    stale = tuple(replace(one, identity=f"{one.name}@00000000") if one.name == DOT else one for one in old.models)
    monkeypatch.setattr(_align_lengths, "read_bottleneck", lambda: replace(old, models=stale))
    page = opened(text=TEXT, models=DOT, section="lengths")
    assert not page.exception and f"{DOT} was measured as {DOT}@00000000" in said(page.warning)
    assert "Nothing of this is measured" in said(page.info)


def test_lengths_that_nobody_has_measured_are_said_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_align_lengths, "read_bottleneck", lambda: read_bottleneck(tmp_path / "no.json"))
    page = sound(opened(text=TEXT, models=THREE, section="lengths"))
    assert "no.json is missing. Run: saccade" in said(page.info)


def aligned(aer: float, **more: Any) -> dict[str, Any]:
    return {"aer": aer, "low": aer - 0.02, "high": aer + 0.03, "precision": 0.6, "recall": 0.7, "accuracy": 0.8, **more}


def measured_alignments(card: Any) -> dict[str, Any]:
    """What `alignment_scores` would give, made up: two heads of the Transformer, one of each other."""
    heads = [aligned(0.41, layer=0, head=0)]
    if card.name == TRANSFORMER:
        heads = [aligned(0.25, layer=2, head=4), aligned(0.75, layer=1, head=1)]
    story = {"pairs": 90, "over_limit": 0, "sure": 1, "possible": 1, "words": 1}
    later = [aligned(0.22, layer=1, head=3)]
    found = {"alibi": story, "diagonal": aligned(0.65), "heads": heads, "reading": {"heads": later}}
    return found if card.name != BLIND else found | {"heads": [], "reading": {"heads": []}}


def test_the_table_of_alignment_quality_has_the_best_heads_or_every_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align_lengths, "alignment_scores", measured_alignments)
    page = sound(opened(text=TEXT, models=THREE, section="quality"))

    def lines() -> list[tuple[str, str, str]]:
        (table,) = [one.value for one in page.table if "error rate" in one.value.columns]
        return [(row["model"], row["head"], row["error rate"]) for _, row in table.iterrows()]

    best = [
        ("Transformer", "layer 3, head 5", "25.0% (23.0% to 28.0%)"),
        (name_of(MODELS[DOT]), "layer 1, head 1", "41.0% (39.0% to 44.0%)"),
        ("diagonal", "", "65.0% (63.0% to 68.0%)"),
    ]
    later = ("Transformer", "layer 2, head 4, one step later", "22.0% (20.0% to 25.0%)")
    assert lines() == [*best, later] and "90 pairs" in said(page.caption)
    page.toggle(key="alignment every").set_value(True).run()
    assert lines() == [*best, ("Transformer", "layer 2, head 2", "75.0% (73.0% to 78.0%)"), later]
    assert address_of(sound(page))["every"] == "1"


@pytest.mark.parametrize("models", [THREE, BLIND])
def test_alignments_that_nobody_has_measured_are_said_to_be_missing(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = measured_alignments if models == BLIND else (lambda card: None)
    monkeypatch.setattr(_align_lengths, "alignment_scores", known)
    page = sound(opened(text=TEXT, models=models, section="quality"))
    assert "No alignments are measured" in said(page.info)


def test_the_head_that_aligns_best_is_shown_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_align, "alignment_scores", measured_alignments)
    page = sound(opened(text=TEXT, models=TRANSFORMER))
    assert received(page)[0]["panels"][0]["note"] == "cross attention, layer 3, head 5"
    monkeypatch.setattr(_align, "alignment_scores", lambda card: None)
    page = sound(opened(text=TEXT, models=TRANSFORMER))
    last = load(TRANSFORMER, "cpu").trace(TEXT).maps["cross"].layers
    assert received(page)[0]["panels"][0]["note"] == f"cross attention, layer {last}, head 1"
