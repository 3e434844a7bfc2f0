"""The Models page and the networks that complete words: compared in one table, drawn one at a time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

import engine.model_card
from engine import cards
from engine.catalogue import MODELS
from engine.weights import read_json, write_json

ROOT = Path(__file__).parents[2]
CARD = MODELS["en-fr"]
COMPLETERS = [card for card in MODELS.values() if card.family == "autocomplete"]
SHARES = [[0.1, 0.3, 0.5, 0.6, 0.7, 0.7, 0.7, 0.7, None]] * 3


@pytest.fixture(autouse=True)
def fresh_caches() -> Iterator[None]:
    st.cache_data.clear()
    yield
    st.cache_data.clear()


@pytest.fixture
def completers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A translator and the networks that complete words, the only models, in a folder that a test may change.

    The networks have made-up records and scores.
    """
    for name in [name for name in MODELS if name != CARD.name and MODELS[name] not in COMPLETERS]:
        monkeypatch.delitem(MODELS, name)
    shutil.copytree(ROOT / "assets" / CARD.name, tmp_path / CARD.name)
    monkeypatch.setattr(engine.model_card, "ASSETS", tmp_path)
    for place, card in enumerate(COMPLETERS):
        folder = tmp_path / card.name
        folder.mkdir()
        (folder / "weights.safetensors").write_bytes(bytes(2_500_000))
        record = {
            "command": f"saccade train {card.name}-cpu --data DIR --minutes 90", "minutes": 90, "hardware": "2 cores",
            "torch": "2.13.0", "steps": 9, "tokens": 2e7, "characters": 6.15e7, "words": 1.16e7,
            "parameters": 2_900_000 + 1_000_000 * place, "settings": {"epochs": 0.32},
            "rounding": {"sequences": 500, "characters": 9, "outputs_changed": 0.001, "cross_entropy_before": 2.0,
                         "cross_entropy_after": 2.0},
        }  # fmt: skip
        write_json(folder / cards.TRAINING, record)
        (folder / cards.CURVE).write_text(f'{{"minutes": 1.0, "loss": {place + 3.0}}}\n', "utf-8")
        accuracy = {"overall": [0.4, 0.5, 0.6], "by_known": SHARES}
        completion = {
            "characters": 1000, "words": 200, "outside": 0.1, "cross_entropy": 2.25 + place, "counts": [9] * 8 + [0],
            "accuracy": accuracy, "table": {"overall": [0.2, 0.3, 0.4], "by_known": [[0.05] * 9] * 3},
        }  # fmt: skip
        cards.save_scores(card, {"completion": completion})
    return tmp_path


def opened() -> AppTest:
    return AppTest.from_file(str(ROOT / "pages" / "models.py"), default_timeout=60).run()


def chosen(page: AppTest, name: str) -> AppTest:
    """The page after another network was chosen."""
    (control,) = page.button_group
    return control.set_value(name).run()


def said(page: AppTest) -> str:
    """All text in the order of the page, without tables."""
    kinds = ("markdown", "header", "subheader", "caption")
    return "\n".join(element.value for element in page.main if element.type in kinds)


def curves(page: AppTest) -> list[tuple[str, list[dict]]]:
    """The title of the loss and the points of every chart."""
    charts = [element.proto for element in page.main if element.type == "vega_lite_chart"]
    return [
        (
            json.loads(chart.spec)["encoding"]["y"]["title"],
            pa.ipc.open_stream(chart.datasets[0].data.data).read_all().to_pylist(),
        )
        for chart in charts
    ]


@pytest.mark.parametrize("name", [card.name for card in COMPLETERS])
def test_every_fact_of_every_card_is_there(completers: Path, name: str) -> None:
    page = chosen(opened(), name)
    assert not page.exception and not page.error
    assert [header.value for header in page.header] == ["Translation", "Word completion"]
    assert [header.value for header in page.subheader] == [CARD.title, MODELS[name].title]
    text = said(page)
    for card in (CARD, MODELS[name]):
        for fact in (card.summary, card.identity, card.licence, *card.data, *card.notes, *card.limits):
            assert text.count(fact) >= 1, fact
        rounding = next(line for line in cards.markdown(card).splitlines() if line.startswith("Rounding"))
        assert rounding in text
        assert read_json(card.folder / cards.TRAINING)["hardware"] in text


def test_one_network_is_drawn_at_a_time_and_all_are_compared(completers: Path) -> None:
    page = opened()
    (control,) = page.button_group
    assert control.options == ["tanh RNN", "GRU", "LSTM", "nested LSTM", "Transformer"]
    assert len(page.subheader) == 2 and len(page.code) == 2 and len(curves(page)) == 2
    compared = next(table.value for table in page.table if "model" in table.value)
    assert list(compared["model"]) == ["tanh RNN", "GRU", "LSTM", "nested LSTM", "Transformer", "prefix table"]
    assert list(compared["cross-entropy, nats"]) == ["2.250", "3.250", "4.250", "5.250", "6.250", ""]
    assert list(compared["2 letters known"]) == ["50.0%"] * 5 + ["5.0%"]


def test_a_chosen_network_has_its_own_figures(completers: Path) -> None:
    page = chosen(opened(), COMPLETERS[3].name)
    shown = {metric.label: metric.value for metric in page.metric[3:]}  # after the translator's
    assert shown == {
        "Parameters": "5.9 M",
        "Weights on disk": "2.5 MB",
        "Cross-entropy, nats": "5.25",
        "First suggestion right": "40.0%",
    }
    assert page.code[1].value == f"saccade train {COMPLETERS[3].name}-cpu --data DIR --minutes 90"
    (token, _), (character, points) = curves(page)
    assert (token, character) == ("cross-entropy per target token, nats", "cross-entropy per character, nats")
    assert [point["loss"] for point in points] == [6.0]
    letters = next(table.value for table in page.table if "letters known" in table.value)
    assert list(letters["first suggestion"]) == [*("10.0%", "30.0%", "50.0%", "60.0%"), *["70.0%"] * 4, "–"]
    assert list(letters["article's GRU"])[:5] == ["16.5%", "38.3%", "55.6%", "65.8%", "67.8%"]
    text = said(page)
    assert "**Memorization**" in text and "no comparison" in text and "- **prefix table**: " in text
    assert "|---" not in text and "![" not in text


def test_networks_without_scores_have_no_comparison(completers: Path) -> None:
    for card in COMPLETERS:
        (completers / card.name / cards.SCORES).unlink()
    page = opened()
    assert not page.exception and not page.error
    assert not [table for table in page.table if "model" in table.value]
    assert "Not measured yet for these weights." in said(page)


def test_a_broken_network_leaves_the_translator_and_the_other_networks_alone(completers: Path) -> None:
    (completers / COMPLETERS[0].name / cards.TRAINING).unlink()
    (completers / COMPLETERS[1].name / cards.SCORES).write_text("{", "utf-8")
    page = opened()
    assert not page.exception
    comparison, missing = (error.value.replace("\\", "") for error in page.error)
    assert "scores.json is not valid JSON" in comparison and "training.json is missing" in missing
    page = chosen(page, COMPLETERS[2].name)
    assert [header.value for header in page.subheader] == [CARD.title, COMPLETERS[2].title] and len(page.code) == 2
