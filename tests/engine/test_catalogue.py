"""Every model that ships: its files, its size, its card, and that its parts fit each other."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import get_args

import pytest

import engine
from engine import cards
from engine.catalogue import ASSETS, MODELS, Capability, Family, ModelCard, card
from engine.errors import UnknownModel
from engine.models.transformer import TransformerConfig
from engine.runner import LONGEST_OUTPUT
from engine.text import END, PAD, START, UNKNOWN, WHO, Subwords
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, from_json, read_json, verify

DOCS = Path(__file__).resolve().parents[2] / "docs" / "models"
LIMITS = {"en-fr": 45.0}  # MB (10^6 bytes) of weights, from the design: a new model states its own here
ALL = 160.0  # MB, everything together

every_model = pytest.mark.parametrize("shipped", MODELS.values(), ids=MODELS)


def test_the_names_are_the_keys_and_the_folders():
    assert {name: card.name for name, card in MODELS.items()} == {name: name for name in MODELS}
    assert {path.name for path in ASSETS.iterdir() if (path / WEIGHTS).is_file()} == set(MODELS)
    assert "en-fr" in MODELS


def test_an_unknown_model_is_answered_with_the_names_there_are():
    with pytest.raises(UnknownModel) as error:
        card("en-de")
    assert str(error.value) == f"There is no model 'en-de'. Choose one of: {', '.join(MODELS)}."
    with pytest.raises(UnknownModel, match="en-fr"):
        engine.load("", "cpu")


def test_a_card_is_found_by_its_name_and_frozen():
    assert card("en-fr") is MODELS["en-fr"]
    with pytest.raises(FrozenInstanceError):
        card("en-fr").longest = 1


@every_model
def test_the_files_are_the_ones_the_catalogue_names(shipped: ModelCard):
    assert set(shipped.sha256) == {WEIGHTS, TOKENIZER, CONFIG}
    assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in shipped.sha256.values())
    verify(shipped)


@every_model
def test_the_identity_is_the_name_and_eight_digits_of_the_weights(shipped: ModelCard):
    assert shipped.identity == f"{shipped.name}@{shipped.sha256[WEIGHTS][:8]}"
    assert re.fullmatch(rf"{re.escape(shipped.name)}@[0-9a-f]{{8}}", shipped.identity)


@every_model
def test_the_weights_keep_to_their_limit(shipped: ModelCard):
    size = (shipped.folder / WEIGHTS).stat().st_size / 1e6
    assert 1 < size <= LIMITS[shipped.name]


def test_all_assets_keep_to_the_limit():
    assert sum(path.stat().st_size for path in ASSETS.rglob("*") if path.is_file()) / 1e6 <= ALL


@every_model
def test_a_card_says_what_a_menu_and_a_reader_need(shipped: ModelCard):
    assert shipped.family in get_args(Family)
    assert shipped.supports and shipped.supports <= set(get_args(Capability))
    for text in (shipped.title, shipped.summary, shipped.licence, *shipped.data, *shipped.limits, *shipped.notes):
        assert text == " ".join(text.split()) != ""
    assert shipped.data and shipped.limits
    assert shipped.summary.endswith(".")


@every_model
def test_the_parts_fit_each_other(shipped: ModelCard):
    """The tokenizer's size and ids, the limits and the position table belong to the same model."""
    config = from_json(TransformerConfig, read_json(shipped.folder / CONFIG), CONFIG)
    tokenizer = Subwords.load(shipped.folder / TOKENIZER)
    assert len(tokenizer) == config.vocabulary
    assert (config.pad, config.unknown, config.start, config.end) == (PAD, UNKNOWN, START, END)
    assert tokenizer.id_of(WHO) not in (PAD, UNKNOWN, START, END)
    assert max(shipped.longest, LONGEST_OUTPUT) <= config.max_length


@every_model
def test_the_page_for_readers_is_made_from_the_card(shipped: ModelCard):
    """`python docs/cards.py` makes it again."""
    assert (DOCS / f"{shipped.name}.md").read_text("utf-8") == cards.markdown(shipped)


@every_model
def test_the_scores_are_those_of_the_shipped_file(shipped: ModelCard):
    record = read_json(shipped.folder / cards.SCORES)
    assert record["weights"] == shipped.sha256[WEIGHTS]


@every_model
def test_every_evaluation_set_is_on_the_card(shipped: ModelCard):
    from engine.training.evaluate import SETS

    assert set(read_json(shipped.folder / cards.SCORES)["scores"]) == set(SETS)


@every_model
def test_rounding_to_float16_cost_less_than_the_house_allows(shipped: ModelCard):
    rounding = read_json(shipped.folder / cards.TRAINING)["rounding"]
    assert rounding["sentences"] == 500
    assert rounding["outputs_changed"] <= 0.02
    # Both are rounded to two decimals: 1e-9 is for their difference as binary fractions.
    assert abs(rounding["bleu_before"] - rounding["bleu_after"]) <= 0.2 + 1e-9
