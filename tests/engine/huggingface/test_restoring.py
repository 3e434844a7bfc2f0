"""Models of somebody's own that restore masked words: texts with blanks as transformers reads and answers them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.cloze import LONGEST, Cloze
from engine.cloze_text import MASK
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters, Unsupported
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.loading import open_model
from engine.huggingface.restoring import cloze_of_hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.noise import NOISES, noise
from engine.restoration import restore
from tests.engine.huggingface import families, tiny
from tests.engine.huggingface.restoring_cases import CONTEXT, FAMILIES, card_of, cloze, network, tokenizer

TEXT = "The animal didn't cross the [MASK] because it was too tired."
TEXTS = (
    TEXT,
    "[MASK] was late",
    "walk[MASK] [MASK][MASK].",
    "A well-known café [MASK] near (the) street!",
    "I like it 🙂 very [MASK] 🎉!",
)
every = pytest.mark.parametrize("name", FAMILIES)


def own_ids(name: str, *texts: str) -> list[int]:
    """What transformers reads of texts with blanks."""
    own = tokenizer(name)
    return list(own(*(text.replace(MASK, own.mask_token) for text in texts))["input_ids"])


def softmax(name: str, ids: tuple[int, ...], segments: tuple[int, ...]) -> np.ndarray:
    """transformers' own probabilities, float64 (T, vocabulary), on its eager path."""
    inputs = {"input_ids": torch.tensor([ids])}
    if FAMILIES[name].segments:
        inputs["token_type_ids"] = torch.tensor([segments])
    found: np.ndarray = network(name)(**inputs).logits[0].double().softmax(-1).numpy()
    return found


# --- Reading ----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_with_blanks_is_read_as_transformers_reads_it(name, text):
    given = cloze(name).read(text)
    assert list(given.tokens.ids) == own_ids(name, text)
    assert len(given.blanks) == text.count(MASK) and {given.own[place] for place in given.blanks} == {-1}
    assert f"{given.tokens.labels[0]} {given.tokens.labels[-1]}" == FAMILIES[name].encloses


@every
def test_a_pair_is_read_as_transformers_reads_it(name):
    first, second = "The man sat by the [MASK].", "It was [MASK]."
    given = cloze(name).read(first, second)
    assert list(given.tokens.ids) == own_ids(name, first, second)
    assert (given.first, given.second) == (first, second)
    ends = [i for i, special in enumerate(given.tokens.special) if special]
    assert len(ends) == 2 + FAMILIES[name].between
    assert given.segments == (0,) * (ends[1] + 1) + (1,) * (len(given) - ends[1] - 1)
    if FAMILIES[name].segments:
        own = tokenizer(name)
        texts = [text.replace(MASK, own.mask_token) for text in (first, second)]
        kinds = own(*texts, return_token_type_ids=True)["token_type_ids"]
        assert list(given.segments) == kinds


@every
@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_spelled_back_as_it_was_typed(name, text):
    given = cloze(name).read(f"  {text}\n")
    assert given.first == given.tokens.text == text
    assert cloze(name).read(given.first) == given
    labels = [given.tokens.text[slice(*span)] for span in dict.fromkeys(given.tokens.spans)]
    assert "".join(labels) == text.replace(" ", "")
    words = text.translate(str.maketrans("().!", "    ")).replace(MASK, " ").split()
    assert [word for word in given.words[1:-1] if word.isalpha()] == [word for word in words if word.isalpha()]


def test_a_models_own_mask_may_be_typed_and_is_shown_as_ours():
    for name in ("roberta", "bert"):
        typed = cloze(name).read(TEXT.replace(MASK, tokenizer(name).mask_token))
        assert typed == cloze(name).read(TEXT) == cloze(name).read(TEXT.replace(MASK, "[mask]"))
        assert typed.first == TEXT and MASK in typed.words and MASK in typed.tokens.labels


@pytest.mark.parametrize("name", ["bert", "roberta", "albert"])
def test_other_special_tokens_are_text(name):
    own = tokenizer(name)
    given = cloze(name).read(f"The {own.sep_token} man {own.cls_token} was [MASK].")
    inside = given.tokens.ids[1:-1]
    assert {*inside} & {*own.all_special_ids} <= {own.mask_token_id, own.unk_token_id}
    assert not any(given.tokens.special[1:-1]) and len(given.blanks) == 1


@every
def test_a_masked_word_has_a_mask_for_each_piece_and_is_itself_again_when_they_are_put_back(name):
    model = cloze(name)
    plain = model.read("The Fluss was 🙂 zu breit.")
    for word in range(1, len(plain.words) - 1):
        masked = model.read(plain.first, masked=(word,))
        places = plain.positions_of(word)
        assert masked.blanks == places and masked.own == plain.tokens.ids and masked.words == plain.words
        assert masked.tokens.words == plain.tokens.words and masked.first.count(MASK) == len(places)
        known = [(place, masked.own[place]) for place in places if masked.own[place] not in model.banned]
        if len(known) == len(places):
            again = model.put(masked, known)
            assert (again.first, again.tokens.ids, again.tokens.labels) == (
                plain.first, plain.tokens.ids, plain.tokens.labels,
            )  # fmt: skip


def test_a_word_of_several_pieces_may_be_one_blank():
    model = cloze("roberta")
    masked = model.read("The man was tired.", masked=(4,), single=True)
    assert len(masked.blanks) == 1 and masked.own[masked.blanks[0]] == -1 and masked.words[4] == "tired"
    assert masked.first == "The man was [MASK]."


def test_a_character_of_several_pieces_is_one_word_and_one_place():
    given = cloze("roberta").read("It was 🙂 fine")
    places = [i for i, label in enumerate(given.tokens.labels) if label.startswith("🙂")]
    assert len(places) > 1 and len({given.tokens.words[place] for place in places}) == 1
    assert {given.tokens.text[slice(*given.tokens.spans[place])] for place in places} == {"🙂"}
    assert [given.tokens.labels[place] for place in places] == [
        f"🙂 {part}/{len(places)}" for part in range(1, len(places) + 1)
    ]


# --- Answers ----------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("texts", [(TEXT,), ("[MASK] was [MASK].", "He was [MASK] in the [MASK]")])
def test_candidates_have_the_probabilities_that_transformers_gives(name, texts):
    model = cloze(name)
    given = model.read(*texts)
    expected = softmax(name, given.tokens.ids, given.segments)
    blanks = model.fill(given, n=8)
    assert [blank.position for blank in blanks] == list(given.blanks)
    special = [token for token in model.banned if token < expected.shape[1]]
    for blank in blanks:
        row = expected[blank.position].copy()
        found = [one.probability for one in blank.candidates]
        np.testing.assert_allclose(found, row[[one.token for one in blank.candidates]], atol=1e-6)
        row[special] = 0
        np.testing.assert_allclose(found, np.sort(row)[::-1][:8], atol=1e-6)
        assert [one.rank for one in blank.candidates] == list(range(1, 9))


@every
def test_special_ids_and_rows_without_a_piece_are_no_candidates(name):
    model = cloze(name)
    (blank,) = model.fill(model.read(TEXT), n=10_000)
    tokens = {one.token for one in blank.candidates}
    assert tokens == set(range(len(tokenizer(name)))) - set(tokenizer(name).all_special_ids)
    assert sum(one.probability for one in blank.candidates) < 1
    assert all(one.label for one in blank.candidates)


@every
def test_blanks_are_filled_one_by_one_and_steps_put_in_again_give_the_text(name):
    model = cloze(name)
    masked = ("The man was sleeping in the [MASK].", "", (2, 4))
    given = model.read(*masked)
    filled = model.fill_in(given)
    now = given
    for step in filled.steps:
        rows = softmax(name, now.tokens.ids, now.segments)[list(now.blanks)]
        rows[:, [token for token in model.banned if token < rows.shape[1]]] = 0
        assert step.position == now.blanks[int(rows.max(axis=1).argmax())]
        assert step.choice.token == rows.max(axis=0).argmax()
        now = model.put(now, [(step.position, step.choice.token)])
    assert now == filled.input and not now.blanks and MASK not in now.first
    assert model.read(*masked, tuple((step.position, step.choice.token) for step in filled.steps)) == now


@every
def test_a_words_score_is_the_sum_over_its_pieces_each_at_its_own_mask(name):
    model = cloze(name)
    own = tokenizer(name)
    given = model.read(TEXT)
    scores = model.compare(given, ("animal", "sleeping", "Fluss"))
    at = given.blanks[0]
    for score in scores:
        whole = own(TEXT.replace(MASK, score.word), add_special_tokens=True)["input_ids"]
        pieces = whole[at : at + len(score.pieces)]
        assert [*given.tokens.ids[:at], *pieces, *given.tokens.ids[at + 1 :]] == whole, "as it stands in the text"
        ids = (*given.tokens.ids[:at], *[own.mask_token_id] * len(pieces), *given.tokens.ids[at + 1 :])
        rows = softmax(name, ids, (0,) * len(ids))
        expected = [np.log(rows[at + i, token]) for i, token in enumerate(pieces)]
        np.testing.assert_allclose(score.logprobs, expected, atol=1e-4)
    assert sum(score.share for score in scores) == pytest.approx(1)
    assert "".join(scores[1].pieces).replace("…", "") == "sleeping"


def test_a_word_where_the_text_begins_has_no_space_in_its_first_piece():
    model = cloze("roberta")
    (score,) = model.compare(model.read("[MASK] man was old."), ("The",))
    assert score.pieces == ("The",)
    whole = own_ids("roberta", "The man was old.")
    rows = softmax("roberta", (whole[0], tokenizer("roberta").mask_token_id, *whole[2:]), (0,) * len(whole))
    assert score.logprob == pytest.approx(np.log(rows[1, whole[1]]), abs=1e-4)


@pytest.mark.parametrize("name", ["bert", "roberta"])
def test_a_word_behind_no_space_continues_the_one_before_it(name):
    (score,) = cloze(name).compare(cloze(name).read("walk[MASK]"), ("y",))
    assert score.pieces == ("…y",)


@pytest.mark.parametrize(
    ("name", "piece", "label", "text", "put"),
    [
        ("bert", "animal", "animal", " animal", "The animal"),
        ("bert", "##y", "…y", "y", "They"),
        ("bert", ".", ".", ".", "The."),
        ("bert", "猫", "猫", "猫", "The猫"),
        ("roberta", "Ġanimal", "animal", " animal", "The animal"),
        ("roberta", "y", "…y", "y", "They"),
        ("roberta", ".", ".", ".", "The."),
        ("albert", "▁the", "the", " the", "The the"),
        ("albert", "y", "…y", "y", "They"),
    ],
)
def test_pieces_that_begin_a_word_are_told_from_those_that_continue_one(name, piece, label, text, put):
    model = cloze(name)
    token = tokenizer(name).convert_tokens_to_ids(piece)
    assert token != tokenizer(name).unk_token_id
    given = model.read("The [MASK]")
    (blank,) = model.fill(given, n=10_000)
    (found,) = [one for one in blank.candidates if one.token == token]
    assert (found.label, found.text) == (label, text)
    assert model.put(given, [(blank.position, token)]).first == put


def test_bytes_that_are_no_character_are_numbers_until_they_make_one():
    model = cloze("roberta")
    ids = tokenizer("roberta")("é", add_special_tokens=False)["input_ids"]
    first, second = tokenizer("roberta").convert_tokens_to_ids(["Ã", "©"])
    assert len(ids) <= 2
    given = model.read("caf[MASK][MASK]")
    (blank, _) = model.fill(given, n=10_000)
    assert next(one.label for one in blank.candidates if one.token == first) == r"\xc3"
    half = model.put(given, [(given.blanks[0], first)])
    assert "\ufffd" in half.first and half.blanks == given.blanks[1:]
    whole = model.put(half, [(given.blanks[1], second)])
    assert whole.first == "café"
    assert whole == model.put(given, [(given.blanks[0], first), (given.blanks[1], second)])


# --- What they do not do, and what cannot be used ---------------------------------------------------------------------


@every
def test_only_ours_tell_what_follows(name):
    model = cloze(name)
    assert not model.tells_pairs
    with pytest.raises(Unsupported, match=r"does not tell whether one text follows.*Choose a model of ours"):
        model.follows(model.read("The man.", "It was late."))


@every
def test_a_trace_has_the_maps_of_transformers(name):
    model = cloze(name)
    given = model.read(TEXT, "It was late.")
    found = model.trace(given)
    inputs = {"token_type_ids": torch.tensor([given.segments])} if FAMILIES[name].segments else {}
    expected = network(name)(torch.tensor([given.tokens.ids]), **inputs, output_attentions=True).attentions
    weights = found.maps["encoder"].weights
    np.testing.assert_allclose(weights, np.stack([one[0].numpy() for one in expected]), atol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
    assert found.request.model == "somebody/tiny-" + name + "@01234567" and found.source is given.tokens


@every
def test_texts_have_the_models_limit(name):
    model = cloze(name)
    assert model.longest == CONTEXT
    ends = FAMILIES[name].encloses.replace(" ", " and ")
    with pytest.raises(InputTooLong, match=f"{ends.replace('[', chr(92) + '[')} included, and {CONTEXT} is the most"):
        model.read("the " * (CONTEXT - 1))
    with pytest.raises(InputTooLong, match="is the most that the model sees at once"):
        model.compare(model.read("the " * (CONTEXT - 5) + "[MASK]"), ("tired" * 6,))


def test_without_any_limit_texts_have_ours():
    model = cloze("bert")
    config = replace(model.model.config, context=0)
    unlimited = HostedEncoder(replace(model.model.hosted, shape=config), restores=True, segments=True)
    assert replace(model, card=replace(model.card, longest=0), model=unlimited).longest == LONGEST


def test_words_that_cannot_be_compared_say_why():
    model = cloze("bert")
    with pytest.raises(UnknownCharacters, match=r"all characters of “Ω”\. Type another word"):
        model.compare(model.read(TEXT), ("Ω",))
    with pytest.raises(EmptyInput, match="words to compare is empty"):
        model.compare(model.read(TEXT), (" ",))
    with pytest.raises(EmptyInput, match="no text yet"):
        model.read(" \n")
    with pytest.raises(UnknownCharacters, match="none of these characters"):
        model.read("ΩΩ ΩΩ")
    (note,) = model.read("The Ω man").notes
    assert note == "The model does not know “Ω”: it reads an unknown piece there."


def test_a_model_without_blanks_is_refused_with_where_to_go():
    model = cloze("bert")
    bare = HostedEncoder(model.model.hosted, restores=False, segments=True)
    with pytest.raises(Unsupported, match=r"without the head that restores words.*page “Your model”"):
        cloze_of_hosted(card_of("bert"), bare, model.tokenizer.hosted, "cpu")


def test_a_tokenizer_without_a_mask_is_refused(tmp_path):
    from transformers import AutoTokenizer

    own = HostedTokenizer(AutoTokenizer.from_pretrained(tiny.unigram(tmp_path)), start=-1, end=1, pad=0)
    assert own.mask is None
    with pytest.raises(Unsupported, match="has no mask token"):
        cloze_of_hosted(card_of("bert"), cloze("bert").model, own, "cpu")


# --- Noise ------------------------------------------------------------------------------------------------------------


@every
@pytest.mark.parametrize("kind", NOISES)
def test_noised_texts_are_restored_as_ours_are(name, kind):
    model = cloze(name)
    noised = noise("The old man sat by the river. It was 🙂 very late, so the dogs' owner slept.", kind, seed=3)
    found = restore(model, noised)
    assert len(found.attempts) == {"mask": 1, "infill": 2}.get(kind, 0)
    for attempt in found.attempts:
        assert MASK not in attempt.filled.input.first and len(attempt.spans) > 0
        for span in attempt.spans:
            assert 0 <= attempt.right <= len(attempt.spans) and span.restored is not None


def test_a_text_with_the_models_own_mask_cannot_be_noised():
    with pytest.raises(InputError, match="Put a word in its place"):
        restore(cloze("roberta"), noise("The man saw a <mask> by the river.", "mask"))


# --- Opened from a folder ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", families.ENCODERS)
def test_a_folder_is_opened_as_a_model_of_blanks(name, tmp_path):
    model = open_model(families.saved(name, tmp_path / "model"), "cpu")
    assert isinstance(model, Cloze) and "cloze" in model.card.supports
    given = model.read("The old [MASK] sat by the river.", masked=(2,))
    filled = model.fill_in(given)
    assert len(filled.steps) == len(given.blanks) > 1 and not filled.input.blanks
    assert model.longest == families.POSITIONS and not model.tells_pairs
    assert model.trace(given).maps["encoder"].weights.shape[2:] == (len(given), len(given))


def test_pieces_that_share_a_character_in_turns_are_put_back_together():
    model = cloze("roberta")
    plain = model.read("It 猫坐")
    labels = [label for label in plain.tokens.labels if "/" in label]
    assert len(labels) > 2, "bytes of two characters in fewer pieces than bytes"
    word = plain.tokens.words[plain.tokens.labels.index(labels[0])]
    masked = model.read("It 猫坐", masked=(word,))
    again = model.put(masked, [(place, masked.own[place]) for place in masked.blanks])
    assert again.first == "It 猫坐" and again.tokens.ids == plain.tokens.ids
