"""The file of scores by source length: written, read, and held against the catalogue."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine import catalogue, model_card
from engine.bottleneck import (
    COMMAND,
    FILE,
    Bottleneck,
    Estimate,
    GainBin,
    LengthBin,
    ModelGain,
    ModelScores,
    current,
    notes,
    read_bottleneck,
    table,
    translators,
    write_bottleneck,
)
from engine.catalogue import ModelCard
from engine.errors import WeightsDamaged, WeightsMissing


def scores(identity: str, attention: str = "") -> ModelScores:
    short = LengthBin(5, 8, 241, Estimate(20.5, 18.0, 22.5), Estimate(0.5, 0.4, 0.6), 0.98)
    long = LengthBin(16, 20, 330, Estimate(12.0, 11.0, 13.0), Estimate(0.25, 0.2, 0.3), 1.05)
    return ModelScores(identity, attention, "e221fc95", 0, (short, long), replace(long, longest=30))


def gain(model: str, baseline: str) -> ModelGain:
    part = GainBin(5, 8, 241, Estimate(3.0, -0.5, 4.0), Estimate(0.125, 0.1, 0.15))
    return ModelGain(model, baseline, (part,), None)


def figure(card: ModelCard) -> Bottleneck:
    """A figure of a model that ships, and of two that do not."""
    return Bottleneck(
        "en-fr/europarl-test.tsv",
        "ae65927b" + "0" * 56,
        571,
        1000,
        0,
        "nrefs:1",
        (scores(card.identity), scores("none@0", "none"), scores("dot@0", "dot")),
        (gain("dot@0", "none@0"),),
    )


def test_what_is_written_is_read_back(tiny_card: ModelCard) -> None:
    path = write_bottleneck(figure(tiny_card))
    assert path == model_card.ASSETS / FILE
    assert read_bottleneck() == read_bottleneck(path) == figure(tiny_card)
    json.loads(path.read_text("utf-8"), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_missing_file_says_how_to_make_it(tiny_card: ModelCard) -> None:
    with pytest.raises(WeightsMissing, match=COMMAND):
        read_bottleneck()


@pytest.mark.parametrize(
    "damage",
    [
        "[]",
        "{",
        "{}",
        '{"models": [], "gains": [], "more": 1}',
        '{"models": 3, "gains": []}',
        '{"models": [{"summary": null, "bins": [3]}], "gains": []}',
    ],
)
def test_a_damaged_file_is_an_error_of_ours(tiny_card: ModelCard, tmp_path: Path, damage: str) -> None:
    path = tmp_path / FILE
    path.write_text(damage, "utf-8")
    with pytest.raises(WeightsDamaged, match=FILE):
        read_bottleneck(path)


@pytest.mark.parametrize("wrong", [{"low": 21.0}, {"value": float("nan")}, {"value": "20"}])
def test_numbers_that_cannot_be_are_damage(tiny_card: ModelCard, tmp_path: Path, wrong: dict[str, object]) -> None:
    path = write_bottleneck(figure(tiny_card), tmp_path / FILE)
    values = json.loads(path.read_text("utf-8"))
    values["models"][0]["bins"][0]["bleu"] = {"value": 20.0, "low": 19.0, "high": 20.5} | wrong
    path.write_text(json.dumps(values), "utf-8")
    with pytest.raises(WeightsDamaged, match=COMMAND):
        read_bottleneck(path)


def test_other_weights_and_models_that_were_not_measured_are_named(tiny_card: ModelCard, monkeypatch) -> None:
    found = figure(tiny_card)
    assert translators() == ("tiny",) and notes(found) == ()
    monkeypatch.setitem(catalogue.MODELS, "tiny", replace(tiny_card, sha256={"weights.safetensors": "f" * 64}))
    (other,) = notes(found)
    assert tiny_card.identity in other and "tiny@ffffffff" in other and COMMAND in other
    monkeypatch.setitem(catalogue.MODELS, "new", replace(tiny_card, name="new"))
    completer = replace(tiny_card, name="words", supports=frozenset({"complete"}))
    monkeypatch.setitem(catalogue.MODELS, "words", completer)
    assert notes(found) == (other, f"new has not been measured. Run: {COMMAND}")


def test_the_current_figure_has_only_weights_that_ship(tiny_card: ModelCard, monkeypatch) -> None:
    found = current(figure(tiny_card))
    assert [model.name for model in found.models] == ["tiny"] and found.gains == ()
    assert replace(found, models=(), gains=()) == replace(figure(tiny_card), models=(), gains=())
    for name in ("none", "dot"):
        card = replace(tiny_card, name=name, sha256={"weights.safetensors": "0"})
        monkeypatch.setitem(catalogue.MODELS, name, card)
    assert current(figure(tiny_card)) == figure(tiny_card)


def test_models_are_found_by_name_and_drawn_as_points(tiny_card: ModelCard) -> None:
    found = figure(tiny_card)
    model = found.of("tiny")
    assert model is found.models[0] and found.of("other") is None
    assert model.points("bleu") == [(5, 8, 241, 20.5, 18.0, 22.5), (16, 20, 330, 12.0, 11.0, 13.0)]
    assert model.points("accuracy")[0] == (5, 8, 241, 0.5, 0.4, 0.6)
    better = found.gain_of("dot")
    assert better is found.gains[0] and found.gain_of("tiny") is None
    assert better.points("bleu") == [(5, 8, 241, 3.0, -0.5, 4.0)]


def test_the_table_has_every_number(tiny_card: ModelCard) -> None:
    first, _, *rows = table(figure(tiny_card)).splitlines()
    assert first.startswith("571 lines of en-fr/europarl-test.tsv (sha256 ae65927b)")
    assert len(rows) == 3 * 3 + 1
    for part in ("tiny ", "5-8 ", " 241 ", "20.5 [18.0, 22.5]", "50.0 % [40.0, 60.0]", "0.98"):
        assert part in rows[0]
    assert "16-30 " in rows[2]
    for part in ("dot − none", "+3.0 [-0.5, +4.0]", "+12.5 % [+10.0, +15.0]"):
        assert part in rows[-1]
    short = replace(figure(tiny_card).models[0], over_limit=7)
    assert "7 of the lines" in table(replace(figure(tiny_card), models=(short,), gains=()))
