"""Candidates, filling in, given words compared, pairs of texts, and attention maps of a BERT."""

from __future__ import annotations

import threading
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import catalogue, model_card
from engine.cloze import Cloze, load_cloze
from engine.cloze_answers import WordScore, label_of
from engine.cloze_text import MASK
from engine.errors import (
    EmptyInput,
    InputError,
    InputTooLong,
    UnknownCharacters,
    UnknownModel,
    Unsupported,
    WeightsDamaged,
    WeightsMissing,
)
from engine.training.language.prepared import train_subwords
from engine.types import MASKED
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, save_weights, sha256_of, write_json
from tests.engine.cloze_cases import BOOK, LONGEST, cloze

TEXT = "The animal didn't cross the [MASK] because it was too tired."


def probabilities(model: Cloze, ids: tuple[int, ...], segments: tuple[int, ...]) -> np.ndarray:
    """float64 (T, vocabulary): a softmax over the ordinary pieces, from the whole forward."""
    logits = model.model(torch.tensor([ids]), torch.tensor([segments]))[0][0].double().numpy()
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights[:, list(model.banned)] = 0
    result: np.ndarray = weights / weights.sum(axis=-1, keepdims=True)
    return result


# --- Candidates -------------------------------------------------------------------------------------------------------


def test_candidates_are_the_most_probable_ordinary_pieces():
    model = cloze()
    given = model.read(TEXT)
    (blank,) = model.fill(given, n=5)
    expected = probabilities(model, given.tokens.ids, given.segments)[blank.position]
    best = np.argsort(-expected)[:5]
    assert [candidate.token for candidate in blank.candidates] == best.tolist()
    np.testing.assert_allclose([c.probability for c in blank.candidates], expected[best], rtol=1e-4)  # float32
    assert [candidate.rank for candidate in blank.candidates] == [1, 2, 3, 4, 5]
    assert blank.original is None and blank.own is None and given.words[blank.word] == MASK


def test_all_candidates_are_every_ordinary_piece_once_and_sum_to_one():
    model = cloze()
    (blank,) = model.fill(model.read(TEXT), n=10_000)
    tokens = {candidate.token for candidate in blank.candidates}
    assert tokens == set(range(8, len(model.tokenizer)))  # 0 to 7 are special
    assert sum(candidate.probability for candidate in blank.candidates) == pytest.approx(1, abs=1e-5)


def test_the_texts_own_piece_is_rated_among_all():
    model = cloze()
    given = model.read("The man was walking.", masked=(4,))
    blanks = model.fill(given, n=10_000)
    assert [blank.original for blank in blanks] == ["walking", "walking"]
    assert [blank.own.text for blank in blanks if blank.own] == [" walk", "ing"]
    for blank in blanks:
        assert blank.own in blank.candidates


def test_an_unknown_character_behind_a_mask_is_no_candidate():
    model = cloze()
    given = model.read("The man saw \u4f60.", masked=(4,))
    assert given.words[4] == "\u4f60"
    assert [blank.own and blank.own.label for blank in model.fill(given)] == ["▁", None]


@pytest.mark.parametrize(
    ("piece", "label"),
    [
        ("▁animal", "animal"),
        ("ing", "…ing"),
        (".", "."),
        ('▁"', '▁"'),
        ('"', '"'),
        ("▁", "▁"),
        ("'s", "'s"),
        ("▁3", "3"),
    ],
)
def test_pieces_that_begin_a_word_are_told_from_those_that_continue_one(piece, label):
    assert label_of(piece) == label


def test_without_a_mask_there_is_nothing_to_fill():
    model = cloze()
    plain = model.read("The man was old.")
    for answer in (model.fill, model.fill_in, lambda given: model.compare(given, ("man",))):
        with pytest.raises(InputError, match=r"Click a word to mask it, or type \[MASK\]"):
            answer(plain)


# --- Filling in -------------------------------------------------------------------------------------------------------


def test_at_once_every_blank_gets_its_best_piece_of_one_pass():
    model = cloze()
    given = model.read("The [MASK] was [MASK] in the [MASK].")
    blanks, filled = model.fill(given), model.fill_in(given, "at once")
    assert [step.choice for step in filled.steps] == [blank.candidates[0] for blank in blanks]
    assert [step.position for step in filled.steps] == list(given.blanks)
    assert not filled.input.blanks and MASK not in filled.input.first


def test_one_by_one_the_most_certain_blank_comes_first_and_the_rest_is_read_anew():
    model = cloze()
    given = model.read("The [MASK] was [MASK] in the [MASK].", "The [MASK].")
    filled = model.fill_in(given)
    now = given
    for step in filled.steps:
        rows = probabilities(model, now.tokens.ids, now.segments)[list(now.blanks)]
        assert step.position == now.blanks[int(rows.max(axis=1).argmax())]
        assert step.choice.token == rows.max(axis=0).argmax()
        now = model.put(now, [(step.position, step.choice.token)])
    assert now == filled.input and len(filled.steps) == 4 and not now.blanks


def test_both_orders_agree_on_one_blank():
    model = cloze()
    given = model.read(TEXT)
    assert model.fill_in(given, "at once").steps == model.fill_in(given, "one by one").steps


def test_steps_put_in_again_give_the_filled_text():
    model = cloze()
    masked = ("The man was walking in the sun.", "", (2, 4))
    filled = model.fill_in(model.read(*masked))
    taken = tuple((step.position, step.choice.token) for step in filled.steps)
    assert model.read(*masked, taken) == filled.input
    assert [step.own and step.own.text for step in sorted(filled.steps, key=lambda step: step.position)] == [
        " man", " walk", "ing",
    ]  # fmt: skip


def test_an_unknown_order_is_refused():
    model = cloze()
    with pytest.raises(InputError, match="Choose one of: at once, one by one"):
        model.fill_in(model.read(TEXT), "backwards")


# --- Given words ------------------------------------------------------------------------------------------------------


def test_a_given_words_score_is_the_sum_over_its_pieces_each_at_its_own_mask():
    model = cloze()
    (score,) = model.compare(model.read("The [MASK] was old."), ("sleeping",))
    typed = model.read("The [MASK][MASK][MASK] was old.")  # ▁sl eep ing
    rows = probabilities(model, typed.tokens.ids, typed.segments)
    expected = [np.log(rows[2 + i, token]) for i, (token, _) in enumerate(model.tokenizer.pieces("sleeping"))]
    assert score.pieces == ("sl", "…eep", "…ing")
    np.testing.assert_allclose(score.logprobs, expected, rtol=1e-5)
    assert score.logprob == pytest.approx(sum(expected), rel=1e-5)
    assert score.probability == pytest.approx(float(np.exp(sum(expected))), rel=1e-4)
    assert score.share == 1


def test_a_word_of_one_piece_has_its_candidates_probability():
    model = cloze()
    given = model.read(TEXT)
    (blank,) = model.fill(given, n=10_000)
    found = {candidate.text: candidate.probability for candidate in blank.candidates}
    scores = model.compare(given, ("animal", "street"))
    assert [score.word for score in scores] == ["animal", "street"]
    for score in scores:
        assert score.probability == pytest.approx(found[f" {score.word}"], rel=1e-5)
    assert scores[0].share == pytest.approx(found[" animal"] / (found[" animal"] + found[" street"]), rel=1e-5)
    assert sum(score.share for score in scores) == pytest.approx(1)


def test_words_replace_a_masked_word_of_several_pieces_and_one_that_is_not_masked():
    model = cloze()
    one = model.read("The man was [MASK].", "")
    masked, plain = model.read("The man was walking.", masked=(4,)), model.read("The man was walking.")
    words = ("old", "sleeping")
    assert model.compare(masked, words) == model.compare(one, words) == model.compare(plain, words, word=4)


def test_words_of_the_second_text_are_scored_in_its_segment():
    model = cloze()
    (score,) = model.compare(model.read("The man.", "The [MASK] was old."), ("walking",))
    typed = model.read("The man.", "The [MASK][MASK] was old.")
    rows = probabilities(model, typed.tokens.ids, typed.segments)[list(typed.blanks)]
    expected = [np.log(row[token]) for row, (token, _) in zip(rows, model.tokenizer.pieces("walking"), strict=True)]
    np.testing.assert_allclose(score.logprobs, expected, rtol=1e-5)


def test_a_word_after_no_space_continues_the_one_before_it():
    model = cloze()
    (score,) = model.compare(model.read("walk[MASK]"), ("ing",))
    assert score.pieces == ("…ing",)


def test_very_improbable_words_still_share_one():
    model = cloze()
    scores = model.compare(model.read("[MASK]"), ("w" * 30, "w" * 29))
    assert sum(score.share for score in scores) == pytest.approx(1)
    assert WordScore("a", ("a", "…b"), (-1000.0, -1000.0), 0.5).probability == 0


def test_words_that_cannot_be_compared_say_why():
    model = cloze()
    given = model.read(TEXT)
    with pytest.raises(InputError, match=r"no words to compare\. Type two"):
        model.compare(given, ())
    with pytest.raises(EmptyInput, match="words to compare is empty"):
        model.compare(given, ("animal", " "))
    with pytest.raises(UnknownCharacters, match="all characters of “\u4f60”"):
        model.compare(given, ("\u4f60",))
    with pytest.raises(InputError, match="no word 0"):
        model.compare(given, ("animal",), word=0)
    with pytest.raises(InputTooLong, match=rf"60 pieces\) this text has \d+ tokens, and {LONGEST} is the most"):
        model.compare(given, ("w" * 60,))


# --- Pairs ------------------------------------------------------------------------------------------------------------


def test_following_is_the_first_of_two_classes():
    model = cloze()
    pair = model.read("The man was old.", "He was sleeping.")
    logits = model.model(torch.tensor([pair.tokens.ids]), torch.tensor([pair.segments]))[1][0].double()
    expected = 1 / (1 + float(torch.exp(logits[1] - logits[0])))
    assert model.follows(pair) == pytest.approx(expected, rel=1e-5)
    assert model.follows(pair) != pytest.approx(model.follows(model.read("He was sleeping.", "The man was old.")))


def test_one_text_follows_nothing():
    model = cloze()
    with pytest.raises(InputError, match="Type a second one"):
        model.follows(model.read("The man was old."))


# --- Maps -------------------------------------------------------------------------------------------------------------


def test_a_trace_has_the_models_own_maps_of_all_tokens():
    model = cloze()
    given = model.read("The man was [MASK].", "It was \u4f60.")
    trace = model.trace(given)
    found = trace.maps["encoder"]
    expected = model.model.forward_with_maps(torch.tensor([given.tokens.ids]), torch.tensor([given.segments])).encoder
    assert found.kind == "encoder" and found.weights.shape == (2, 2, len(given), len(given))
    np.testing.assert_array_equal(found.weights, expected[:, 0].numpy())
    np.testing.assert_allclose(found.weights.sum(axis=-1), 1, atol=1e-6)
    assert np.triu(found.weights[0, 0], k=1).any() and np.tril(found.weights[0, 0], k=-1).any()  # both directions
    assert found.query_tokens is given.tokens is found.key_tokens is trace.source
    assert trace.request.model.startswith("tiny-bert@") and trace.request.text == given.tokens.text
    assert trace.notes == given.notes != () and found.source_name == ""  # there is no other text to tell it from


def test_a_trace_is_of_what_was_put_in():
    model = cloze()
    blank = model.read(TEXT)
    filled = model.fill_in(blank).input
    assert not np.array_equal(model.trace(blank).maps["encoder"].weights, model.trace(filled).maps["encoder"].weights)
    assert model.trace(filled).request.text == filled.first


def test_two_threads_on_one_model_get_what_one_gets():
    model = cloze()
    texts = [TEXT, "The [MASK] sat by the river."]
    alone = [model.fill_in(model.read(text)) for text in texts]
    together: list[object] = [None, None]

    def work(index: int) -> None:
        for _ in range(5):
            together[index] = model.fill_in(model.read(texts[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert together == alone


# --- Loading ----------------------------------------------------------------------------------------------------------


def test_the_limit_is_the_cards_and_never_more_than_the_models():
    assert cloze(20).longest == 20 and cloze(1000).longest == LONGEST and cloze(0).longest == LONGEST
    with pytest.raises(InputTooLong, match="20 is the most"):
        cloze(20).read("the " * 19)


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> Cloze:
    """The model of other tests as files, "tiny-bert" in the catalogue."""
    model = cloze()
    folder = tmp_path / "tiny-bert"
    folder.mkdir()
    save_weights(model.model.state_dict(), folder / WEIGHTS)
    (folder / TOKENIZER).write_bytes(train_subwords([BOOK], len(model.tokenizer)))
    write_json(folder / CONFIG, asdict(model.model.config))
    sha256 = {name: sha256_of(folder / name) for name in (WEIGHTS, TOKENIZER, CONFIG)}
    monkeypatch.setattr(model_card, "ASSETS", tmp_path)
    monkeypatch.setitem(catalogue.MODELS, "tiny-bert", replace(model.card, sha256=sha256))
    return model


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 0.02), ("bfloat16", 0.2)])  # files are float16
def test_a_loaded_model_answers_as_the_one_that_was_saved(shipped, dtype, tolerance):
    loaded = load_cloze("tiny-bert", "cpu", dtype)
    given = shipped.read(TEXT, "It was old.")
    assert loaded.read(TEXT, "It was old.") == given
    assert not loaded.model.training and not any(p.requires_grad for p in loaded.model.parameters())
    (mine,), (theirs,) = shipped.fill(given, n=1000), loaded.fill(given, n=1000)
    expected = {candidate.token: candidate.probability for candidate in mine.candidates}
    assert all(abs(c.probability - expected[c.token]) < tolerance for c in theirs.candidates)
    assert loaded.follows(given) == pytest.approx(shipped.follows(given), abs=tolerance)
    assert loaded.trace(given).maps["encoder"].weights.dtype == np.float32


def test_a_changed_file_is_not_loaded(shipped, tmp_path):
    write_json(tmp_path / "tiny-bert" / CONFIG, {})
    with pytest.raises(WeightsDamaged, match="config"):
        load_cloze("tiny-bert", "cpu")
    (tmp_path / "tiny-bert" / TOKENIZER).unlink()
    with pytest.raises(WeightsMissing, match=r"tokenizer\.model"):
        load_cloze("tiny-bert", "cpu")


def test_only_models_of_this_family_are_loaded():
    with pytest.raises(Unsupported, match="en-fr does not restore masked words"):
        load_cloze("en-fr")
    with pytest.raises(UnknownModel):
        load_cloze("no such model")
    with pytest.raises(Unsupported, match="no dtype"):
        load_cloze("bert", "cpu", "int3")


def test_ids_that_are_not_known_are_the_projects_mark_of_them():
    assert cloze().read("[MASK]").own == (4, MASKED, 5)
