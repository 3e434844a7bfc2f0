"""What BERT reads: special tokens, segments, masks typed and clicked, what was put in, and the text spelled back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.cloze_text import CLS, LONGEST, MASK, SEP, ClozeInput, put, read_cloze
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters
from engine.text import UNKNOWN, normalise
from engine.types import MASKED
from tests.engine.cloze_cases import subwords

MASK_ID = 6


def read(
    first: str,
    second: str = "",
    masked: tuple[int, ...] = (),
    taken: tuple[tuple[int, int], ...] = (),
    *,
    single: bool = False,
    longest: int = 128,
) -> ClozeInput:
    return read_cloze(subwords(), first, second, masked, taken, single=single, longest=longest)


def id_of(piece: str) -> int:
    found = subwords().id_of(piece)
    assert found != UNKNOWN
    return found


# --- Texts ------------------------------------------------------------------------------------------------------------


def test_one_text_stands_between_cls_and_sep():
    tokens = read("The animal was walking.").tokens
    assert tokens.labels == (CLS, "The", "animal", "was", "walk", "ing", ".", SEP)
    assert tokens.special == (True, *[False] * 6, True)
    assert tokens.words == (0, 1, 2, 3, 4, 4, 5, 6)
    assert [tokens.text[a:b] for a, b in tokens.spans] == ["", "The", "animal", "was", "walk", "ing", ".", ""]


def test_a_pair_has_two_segments_and_the_first_sep_is_of_the_first():
    pair = read("The man", "the sea.")
    assert pair.tokens.labels == (CLS, "The", "man", SEP, "the", "sea", ".", SEP)
    assert pair.segments == (0, 0, 0, 0, 1, 1, 1, 1)
    assert pair.tokens.text == "The man\nthe sea."
    assert [pair.tokens.text[a:b] for a, b in pair.tokens.spans[4:7]] == ["the", "sea", "."]
    assert pair.words == (CLS, "The", "man", SEP, "the", "sea", ".", SEP)


def test_pieces_of_a_text_without_masks_are_the_tokenizers():
    text = "The animal didn't cross the street."
    assert list(read(text).tokens.ids[1:-1]) == subwords().encode_ids(text)


def test_line_breaks_are_spaces():
    broken = read("The man\nwas\n\nold.\r\n")
    assert broken == read("The man was old.")
    assert "\n" not in broken.tokens.text


@pytest.mark.parametrize("empty", ["", "  \n\t", "\u200b"])
def test_an_empty_text_asks_for_one(empty):
    with pytest.raises(EmptyInput, match=r"There is no text yet\. Type a sentence"):
        read(empty)
    with pytest.raises(EmptyInput, match=r"The first text is empty\. Type a sentence"):
        read(empty, "The man.")
    assert read("The man.", empty).second == ""


def test_a_text_of_the_greatest_length_is_read_and_one_more_is_not():
    text = "the " * 8  # ten tokens
    assert len(read(text, longest=10)) == 10
    with pytest.raises(InputTooLong, match=r"has 11 tokens, \[CLS\] and \[SEP\] included, and 10 is the most"):
        read(text + "the", longest=10)
    with pytest.raises(InputTooLong, match="These two texts have 12 tokens"):
        read(text, "the", longest=10)
    with pytest.raises(InputTooLong, match=f"{LONGEST + 1:,} characters"):
        read("a" * (LONGEST + 1))


def test_a_text_of_unknown_characters_is_refused():
    with pytest.raises(UnknownCharacters, match="Type a sentence in the Latin alphabet"):
        read("\u4f60\u597d \u4e16\u754c")
    with pytest.raises(UnknownCharacters):
        read("\u4f60", "\u597d")


def test_single_unknown_characters_are_read_and_named():
    mixed = read("The \u4f60 man \u4f60.")
    assert mixed.tokens.ids.count(UNKNOWN) == 2
    (long,) = read("The " + "\u4f60" * 5000 + " sea.").notes
    assert len(long) < 120
    assert mixed.notes == ("The model does not know “\u4f60”: it reads an unknown piece there.",)
    assert mixed.first == "The \u4f60 man \u4f60."
    assert read("The man.").notes == ()


# --- Typed masks ------------------------------------------------------------------------------------------------------


def test_a_typed_mask_is_a_blank_whose_text_is_not_known():
    found = read("The [MASK] was old.")
    assert found.tokens.labels == (CLS, "The", MASK, "was", "old", ".", SEP)
    assert found.blanks == (2,) and found.tokens.ids[2] == MASK_ID and found.own[2] == MASKED
    assert not found.tokens.special[2] and found.words[2] == MASK


def test_masks_are_found_wherever_they_stand():
    assert read("[MASK]").tokens.ids == (4, MASK_ID, 5)
    assert read("[MASK][MASK] [mask] man").blanks == (1, 2, 3)
    assert read("man [MASK]", "[MASK] man").blanks == (2, 4)
    assert read("[MASK] \u4f60").blanks == (1,)  # nothing is known but the mask


def test_what_follows_a_mask_without_a_space_continues_its_word():
    assert read("[MASK]ing").tokens.ids == (4, MASK_ID, id_of("ing"), 5)
    assert read("The [MASK].").tokens.ids == (4, id_of("▁The"), MASK_ID, id_of("."), 5)
    assert read("The [MASK] in").tokens.ids[3] == id_of("▁in")
    assert read("The man[MASK] in").leads[3] is False and read("The man [MASK] in").leads[3] is True


@pytest.mark.parametrize("typed", [CLS, SEP, "<s>", "</s>", "<pad>", "<unk>"])
def test_other_special_tokens_are_text(typed):
    found = read(f"The man {typed} was old.")
    assert found.tokens.special == (True, *[False] * (len(found) - 2), True)
    assert found.first == f"The man {typed} was old." and not found.blanks
    assert not {0, 2, 3, 4, 5, 6, 7} & set(found.tokens.ids[1:-1])


@given(
    st.lists(st.sampled_from(["The", "man", "walking", ".", MASK, " ", "ing", "'", "\u4f60", "-", '"'])).map("".join)
)
@settings(max_examples=80, deadline=None)
def test_a_text_is_spelled_back_as_it_was_typed(text):
    try:
        found = read(text)
    except (EmptyInput, UnknownCharacters):
        return
    assert found.first == normalise(text)
    assert len(found.blanks) == text.count(MASK)
    assert read(found.first) == found
    shown = [found.tokens.text[a:b] for a, b in found.tokens.spans]
    assert "".join(shown) == found.first.replace(" ", "")


# --- Masked words -----------------------------------------------------------------------------------------------------


def test_a_masked_word_has_a_mask_for_each_piece():
    plain, masked = read("The man was walking."), read("The man was walking.", masked=(4,))
    assert masked.first == "The man was [MASK][MASK]."
    assert masked.blanks == (4, 5) and masked.own == plain.tokens.ids
    assert masked.tokens.words == plain.tokens.words and masked.words == plain.words
    assert masked.words[4] == "walking" and masked.positions_of(4) == (4, 5)


def test_a_masked_word_may_have_one_mask_and_is_then_not_known():
    masked = read("The man was walking.", masked=(2, 4), single=True)
    assert masked.first == "The [MASK] was [MASK]." and masked.blanks == (2, 4)
    assert masked.own[2] == id_of("▁man") and masked.own[4] == MASKED
    assert masked.words[4] == "walking"


def test_words_of_the_second_text_are_masked_by_their_own_index():
    pair = read("The man", "the sea.", masked=(5,))
    assert (pair.first, pair.second) == ("The man", "the [MASK].")
    assert pair.segments == read("The man", "the sea.").segments


def test_masking_a_typed_mask_changes_nothing():
    assert read("The [MASK] was old.", masked=(2,)) == read("The [MASK] was old.")


@pytest.mark.parametrize("word", [-1, 0, 3, 99])
def test_only_words_of_the_text_can_be_masked(word):
    with pytest.raises(InputError, match=f"no word {word} in this text"):
        read("The man", masked=(word,))
    with pytest.raises(InputError, match=f"no word {word} in this text"):
        read("The man").positions_of(word)


# --- What is put in ---------------------------------------------------------------------------------------------------


def test_a_piece_that_begins_a_word_brings_its_space_and_another_has_none():
    walk, ing, street = id_of("▁walk"), id_of("ing"), id_of("▁street")
    assert read("The [MASK].", taken=((2, street),)).first == "The street."
    assert read("The [MASK].", taken=((2, ing),)).first == "Theing."
    assert read("The [MASK][MASK] man", taken=((2, walk), (3, ing))).first == "The walking man"


def test_what_is_put_in_is_no_blank_and_the_text_behind_it_stays_known():
    found = read("The man was old.", masked=(2,), taken=((2, id_of("▁street")),))
    assert found.first == "The street was old." and not found.blanks
    assert found.own[2] == id_of("▁man") and found.words[2] == "man" and found.taken == ((2, id_of("▁street")),)
    assert found.tokens.words == read("The man was old.").tokens.words


def test_putting_in_later_is_the_same_as_reading_with_it():
    pair = ("The [MASK] \u4f60 was", "old [MASK].")
    taken = ((2, id_of("▁street")), (8, id_of("▁sea")))
    begun = read(*pair)
    assert begun.blanks == (2, 8)
    assert put(subwords(), begun, taken) == read(*pair, taken=taken)
    assert put(subwords(), put(subwords(), begun, taken[:1]), taken[1:]) == read(*pair, taken=taken)


@pytest.mark.parametrize("place", [-1, 0, 1, 3, 99])
def test_nothing_is_put_where_no_mask_is(place):
    with pytest.raises(InputError, match=f"Position {place} is not masked.*Mask its word first"):
        read("The [MASK].", taken=((place, 30),))


def test_a_blank_is_filled_once():
    with pytest.raises(InputError, match="not masked"):
        read("The [MASK].", taken=((2, 30), (2, 31)))


@pytest.mark.parametrize("token", [-1, 0, UNKNOWN, 2, 5, MASK_ID, 7, 10_000])
def test_special_pieces_are_not_put_in(token):
    with pytest.raises(InputError, match=f"no piece {token} to put in"):
        read("The [MASK].", taken=((2, token),))
