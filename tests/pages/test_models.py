"""The Models page in Streamlit's own test runner: every fact of a card, once, and nothing of its own making.

The networks that complete words have a file of their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.model_card
from engine import cards
from engine.catalogue import MODELS, Capability
from engine.runner import Runner
from engine.training.evaluate import SETS
from engine.weights import read_json
from viz.curve import LOSSES

ROOT = Path(__file__).parents[2]
CARD = MODELS["en-fr"]


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The translator is the only model."""
    for name in [name for name in MODELS if name != CARD.name]:
        monkeypatch.delitem(MODELS, name)


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped models in a folder that a test may change."""
    shutil.copytree(ROOT / "assets" / CARD.name, tmp_path / CARD.name)
    monkeypatch.setattr(engine.model_card, "ASSETS", tmp_path)
    return tmp_path / CARD.name


def opened() -> AppTest:
    return AppTest.from_file(str(ROOT / "pages" / "models.py"), default_timeout=60).run()


def said(page: AppTest) -> str:
    """All text in the order of the page, without the table."""
    return "\n".join(element.value for element in page.main if element.type in ("markdown", "subheader", "caption"))


def curves(page: AppTest) -> list[list[dict]]:
    """The points of every chart."""
    found = [element.proto for element in page.main if element.type == "vega_lite_chart"]
    return [pa.ipc.open_stream(chart.datasets[0].data.data).read_all().to_pylist() for chart in found]


def table(page: AppTest) -> list[tuple[str, str]]:
    (found,) = page.table
    return [(row["set"], row["score"]) for _, row in found.value.iterrows()]


def test_every_fact_of_the_card_is_there() -> None:
    page = opened()
    assert not page.exception and not page.error
    assert [header.value for header in page.header] == ["Translation"]
    assert [header.value for header in page.subheader] == [CARD.title]
    text = said(page)
    for fact in (CARD.summary, CARD.identity, CARD.licence, *CARD.data, *CARD.notes, *CARD.limits):
        assert text.count(fact) >= 1, fact
    rounding = next(line for line in cards.markdown(CARD).splitlines() if line.startswith("Rounding"))
    assert rounding in text
    assert read_json(CARD.folder / cards.TRAINING)["hardware"] in text


def test_data_choices_and_limits_are_said_once() -> None:
    text = said(opened())
    for fact in (*CARD.data, *CARD.notes, *CARD.limits):
        assert text.count(fact) == 1, fact


def test_size_parameters_and_bleu_are_measured_ones() -> None:
    shown = {metric.label: metric.value for metric in opened().metric}
    size = (CARD.folder / "weights.safetensors").stat().st_size
    parameters = read_json(CARD.folder / cards.TRAINING)["parameters"]
    assert shown == {
        "Parameters": f"{parameters / 1e6:.1f} M",
        "Weights on disk": f"{size / 1e6:.1f} MB",
        "BLEU, tatoeba": f"{cards.scores_of(CARD)['tatoeba']['bleu']:.1f}",
    }


def test_the_commands_of_all_runs_can_be_copied() -> None:
    record = read_json(CARD.folder / cards.TRAINING)
    commands = [run["command"] for run in (*record["before"], record)]
    assert [code.value for code in opened().code] == ["\n".join(commands)]


def test_the_curve_is_that_of_the_run() -> None:
    (points,) = curves(opened())
    log = [json.loads(line) for line in (CARD.folder / cards.CURVE).read_text("utf-8").splitlines()]
    logged = [(line["minutes"], line[key], name) for line in log for key, name in LOSSES.items() if key in line]
    assert [(point["minutes"], point["loss"], point["of"]) for point in points] == logged and len(logged) > 10


def test_every_score_is_there_and_each_set_says_once_what_it_is() -> None:
    rows = table(opened())
    assert [score for _, score in rows] == [score for _, score in cards.score_rows(CARD)]
    sets = [name for name, _ in cards.score_rows(CARD)]
    for name in dict.fromkeys(sets):
        described = [cell for cell, _ in rows if cell == f"**{name}**: {SETS[name].description}"]
        assert len(described) == 1
        assert sum(cell.startswith(f"**{name}**") for cell, _ in rows) == sets.count(name)


def test_the_words_of_the_scores_are_explained() -> None:
    text = said(opened())
    for word in ("BLEU", "chrF", "greedy", "baselines", "validation half"):
        assert f"- **{word}**: " in text


def test_no_picture_and_no_table_of_the_document_is_left_as_text() -> None:
    text = said(opened())
    assert "![" not in text and "|---" not in text and "en-fr-curve.svg" not in text


def test_every_capability_names_a_page_that_exists() -> None:
    text = said(opened())
    words = {"complete", "states", "generate", "counts", "cloze"}  # of other kinds
    assert CARD.supports == set(get_args(Capability)) - words  # or the next line sees too little
    for what in ("your sentence in the other language", "source → source", "output → output", "output → source"):
        assert what in text
    assert "**Translate**" in text and (ROOT / "pages" / "translate.py").is_file()


def test_a_model_that_cannot_do_something_is_not_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, CARD.name, replace(CARD, supports=frozenset({"encoder"})))
    text = said(opened())
    assert "source → source" in text and "output → source" not in text


def test_looking_at_cards_loads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runner, "__init__", lambda *_, **__: pytest.fail("a model was loaded"))
    assert not opened().exception


def test_weights_without_scores_say_so(copied: Path) -> None:
    (copied / cards.SCORES).unlink()
    page = opened()
    assert not page.exception and not page.error
    assert "Not measured yet for these weights." in said(page)
    assert not page.table and "BLEU, tatoeba" not in [metric.label for metric in page.metric]


def test_a_model_without_a_curve_has_the_rest(copied: Path) -> None:
    (copied / cards.CURVE).unlink()
    page = opened()
    assert not page.exception and not page.error
    assert curves(page) == [] and page.code


def test_a_model_whose_record_is_missing_leaves_the_others_alone(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(copied, copied.parent / "other")
    monkeypatch.setitem(MODELS, "other", replace(CARD, name="other", title="The other one"))
    (copied / cards.TRAINING).unlink()
    page = opened()
    assert not page.exception
    (message,) = page.error
    assert "en-fr/training.json is missing. Restore it: git checkout" in message.value.replace("\\", "")
    (control,) = page.button_group
    page = control.set_value("other").run()
    assert [header.value for header in page.subheader] == ["The other one"]
    assert len(page.code) == 1 and not page.error
