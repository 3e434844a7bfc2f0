"""Every model that ships: its files, its size, its card, and that its parts fit each other."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import get_args

import pytest

import engine
from engine import cards
from engine.catalogue import ASSETS, MODELS, Capability, Family, ModelCard, card
from engine.completion import LONGEST, WORDS, fold_checked
from engine.errors import UnknownModel, Unsupported
from engine.models.autocomplete import SHAPES, AutocompleteConfig
from engine.models.bert import BertConfig
from engine.models.char_lm import CharLMConfig
from engine.models.gpt import GPTConfig
from engine.models.seq2seq import ATTENTIONS, Seq2SeqConfig
from engine.models.transformer import TransformerConfig
from engine.runner import LONGEST_OUTPUT
from engine.text import END, PAD, START, UNKNOWN, WHO, Subwords
from engine.training.language.config import language_config
from engine.training.language.prepared import CONTROLS, LINE
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, from_json, read_json, verify

DOCS = Path(__file__).resolve().parents[2] / "docs" / "models"
COMPLETERS = tuple(f"autocomplete-{network}" for network in ("rnn", "gru", "lstm", "nlstm", "transformer"))
RECURRENT = tuple(f"en-fr-rnn-{attention}" for attention in ATTENTIONS)
# MB (10^6 bytes) of weights, from the design: a new model states its own here; of word completion all have 30 together,
# of the recurrent translators 40, of the language models 45
LANGUAGE = {"trigram": 9.0, "char-lm": 7.0, "gpt": 20.0, "bert": 9.0}
LIMITS = {"en-fr": 45.0, **dict.fromkeys(RECURRENT, 10.0), **dict.fromkeys(COMPLETERS, 6.0), **LANGUAGE}
ALL = 160.0  # MB, everything together

every_model = pytest.mark.parametrize("shipped", MODELS.values(), ids=MODELS)
of_kind = {kind: [card for card in MODELS.values() if card.family == kind] for kind in get_args(Family)}


def every(*kinds: Family) -> pytest.MarkDecorator:
    """A test of each model of these kinds."""
    found = [card for kind in kinds for card in of_kind[kind]]
    return pytest.mark.parametrize("shipped", found, ids=[card.name for card in found])


every_transformer, every_recurrent, every_completer = every("transformer"), every("seq2seq"), every("autocomplete")
every_translator = every("transformer", "seq2seq")


def test_the_names_are_the_keys_and_the_folders():
    assert {name: card.name for name, card in MODELS.items()} == {name: name for name in MODELS}
    assert {path.name for path in ASSETS.iterdir() if (path / WEIGHTS).is_file()} == set(MODELS)
    assert tuple(MODELS) == ("en-fr", *RECURRENT, *COMPLETERS, *LANGUAGE)


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
    vocabulary = {"autocomplete": WORDS, "char-lm": "alphabet.json", "trigram": "words.json"}
    assert set(shipped.sha256) == {WEIGHTS, CONFIG, vocabulary.get(shipped.family, TOKENIZER)}
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


def test_the_language_models_keep_to_their_limit_together():
    assert sum((MODELS[name].folder / WEIGHTS).stat().st_size for name in LANGUAGE) / 1e6 <= 45


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


@every_completer
def test_what_translates_offers_no_network_that_completes_words(shipped: ModelCard):
    """Pages take models by what these support, and `engine.load` refuses by kind."""
    assert "complete" in shipped.supports
    assert not shipped.supports & {"translate", "search", "interventions", "encoder", "cross"}
    assert ("decoder" in shipped.supports) != ("states" in shipped.supports), "attention, or recurrence"
    with pytest.raises(Unsupported, match=r"use engine\.load_completer"):
        engine.load(shipped.name, "cpu")


@every_translator
def test_what_translates_completes_no_words(shipped: ModelCard):
    assert shipped.supports >= {"translate", "search"} and "complete" not in shipped.supports
    assert ("states" in shipped.supports) == (shipped.family == "seq2seq")
    with pytest.raises(Unsupported, match=r"engine\.load"):
        engine.load_completer(shipped.name, "cpu")


@every_recurrent
def test_recurrent_translators_have_states_and_no_maps_but_their_one_attention(shipped: ModelCard):
    """Nothing looks at its own side, and heads that could be changed there are none."""
    maps = shipped.supports & {"encoder", "decoder", "cross"}
    assert maps == ({"cross"} if "none" not in shipped.name else set())
    assert "interventions" not in shipped.supports


@every_completer
def test_the_words_and_the_shape_fit_each_other(shipped: ModelCard):
    config = from_json(AutocompleteConfig, read_json(shipped.folder / CONFIG), CONFIG)
    assert config == SHAPES[shipped.name]
    words = (shipped.folder / WORDS).read_text("utf-8").splitlines()
    assert len(words) == len(set(words)) == config.words
    assert all(re.fullmatch("[a-z]+", word) for word in words)
    if config.cell == "transformer":
        assert shipped.longest == 200 <= config.max_length
    assert f"{config.words:,}" in "".join(shipped.limits)


@every_completer
def test_recurrent_networks_read_the_longest_text_at_once(shipped: ModelCard):
    """Without a window, the space before its first word included."""
    read = fold_checked("a" * LONGEST)
    assert len(read) == LONGEST + 1
    assert (len(read) <= shipped.longest) == ("states" in shipped.supports)


def test_language_models_fit_their_vocabularies_and_limits():
    gpt, bert, char_lm = (
        language_config(read_json(MODELS[name].folder / CONFIG), CONFIG) for name in ("gpt", "bert", "char-lm")
    )
    assert isinstance(gpt, GPTConfig) and isinstance(bert, BertConfig) and isinstance(char_lm, CharLMConfig)
    assert MODELS["gpt"].sha256[TOKENIZER] == MODELS["bert"].sha256[TOKENIZER]
    tokenizer = Subwords.load(MODELS["gpt"].folder / TOKENIZER)
    assert len(tokenizer) == gpt.vocabulary == bert.vocabulary
    assert [tokenizer.id_of(piece) for piece in CONTROLS] == [4, 5, 6] and tokenizer.id_of(LINE) == 7
    assert MODELS["gpt"].longest == gpt.context and MODELS["bert"].longest <= bert.context
    alphabet = read_json(MODELS["char-lm"].folder / "alphabet.json")["characters"]
    assert len(set(alphabet)) + 1 == len(alphabet) + 1 == char_lm.characters
    for config in (gpt, bert):
        assert (config.layers, config.heads) == (6, 8)


@pytest.mark.parametrize("name", LANGUAGE)
def test_language_models_do_not_translate_and_say_what_loads_them(name: str):
    assert ("generate" in MODELS[name].supports) != ("cloze" in MODELS[name].supports)
    with pytest.raises(Unsupported, match=r"use engine\.load_(generator|cloze)\('" + name):
        engine.load(name, "cpu")
    with pytest.raises(Unsupported, match=r"use engine\.load_(generator|cloze)"):
        engine.load_completer(name, "cpu")


def test_the_goals_of_the_language_models_are_reached():
    """GPT below the character LSTM and below a trigram of the same text; BERT's first five above the most frequent."""
    books = {name: cards.scores_of(MODELS[name])["books"] for name in ("trigram", "char-lm", "gpt")}
    assert books["gpt"]["bits_per_character"] < books["char-lm"]["bits_per_character"]
    assert books["gpt"]["bits_per_character"] < books["gpt"]["full_trigram"] == books["trigram"]["full_trigram"]
    cloze = cards.scores_of(MODELS["bert"])["cloze"]
    assert cloze["top5"] > cloze["unigram_top5"] + 0.05


def test_the_short_name_is_the_title_after_its_kind():
    assert [card.short for card in of_kind["autocomplete"]] == ["tanh RNN", "GRU", "LSTM", "nested LSTM", "Transformer"]
    kinds = ["no attention", "additive attention", "dot-product attention", "general attention"]
    assert [card.short for card in of_kind["seq2seq"]] == kinds
    assert card("en-fr").short == card("en-fr").title
    assert replace(card("en-fr"), title="Kind: Net: two").short == "Net: two"


def test_every_network_that_completes_words_has_the_same_words_and_its_own_weights():
    completers = of_kind["autocomplete"]
    assert len({card.sha256[WORDS] for card in completers}) == 1
    assert len({card.sha256[WEIGHTS] for card in completers}) == len(completers)


def test_recurrent_translators_share_the_words_and_differ_in_their_attention_alone():
    shapes = [read_json(shipped.folder / CONFIG) for shipped in of_kind["seq2seq"]]
    assert [shape.pop("attention") for shape in shapes] == list(ATTENTIONS)
    assert all(shape == shapes[0] for shape in shapes)
    assert len({shipped.sha256[TOKENIZER] for shipped in [*of_kind["seq2seq"], card("en-fr")]}) == 1
    assert len({shipped.sha256[WEIGHTS] for shipped in of_kind["seq2seq"]}) == len(RECURRENT)


@every_recurrent
def test_the_tokenizer_of_a_recurrent_translator_fits_its_shape(shipped: ModelCard):
    config = from_json(Seq2SeqConfig, read_json(shipped.folder / CONFIG), CONFIG)
    tokenizer = Subwords.load(shipped.folder / TOKENIZER)
    assert len(tokenizer) == config.vocabulary
    assert (config.pad, config.unknown, config.start, config.end) == (PAD, UNKNOWN, START, END)


@every_transformer
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
    from engine.training.evaluate import find_sets

    assert set(read_json(shipped.folder / cards.SCORES)["scores"]) == set(find_sets(None, shipped.family))


@every_model
def test_rounding_to_float16_changed_few_outputs(shipped: ModelCard):
    rounding = read_json(shipped.folder / cards.TRAINING)["rounding"]
    if shipped.family == "trigram":
        assert not rounding, "counts are whole numbers"
        return
    if shipped.name in LANGUAGE:
        assert rounding["outputs"] >= 4000  # of 500 windows or pairs
    else:
        assert rounding["sequences" if shipped.family == "autocomplete" else "sentences"] == 500
    assert rounding["outputs_changed"] <= 0.02


@every_translator
def test_rounding_to_float16_cost_less_than_the_house_allows(shipped: ModelCard):
    rounding = read_json(shipped.folder / cards.TRAINING)["rounding"]
    # Both are rounded to two decimals: 1e-9 is for their difference as binary fractions.
    assert abs(rounding["bleu_before"] - rounding["bleu_after"]) <= 0.2 + 1e-9
