"""Text to tokens and back: what normalisation removes, which word a piece belongs to, and where its characters are."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.errors import EmptyInput, UnknownCharacters, WeightsDamaged, WeightsMissing
from engine.text import (
    BOUNDARY,
    END,
    PAD,
    START,
    UNKNOWN,
    WHO,
    Subwords,
    french_spacing,
    normalise,
    quoted,
    with_start,
    word_indices,
)
from engine.training.data import train_subwords
from engine.types import Tokens

# Anything a keyboard, a clipboard or a fuzzer gives, with what matters here made likely.
PARTS = (
    "'",
    "’",
    "-",
    "▁",
    " ",
    "\u00a0",
    "\u200b",
    "\u0301",
    "e",
    "É",
    "<s>",
    "</s>",
    "<who>",
    "qu'il",
    "你好",
    "🙂",
    ".",
    "...",
)
TYPED = st.one_of(st.text(), st.lists(st.sampled_from(PARTS) | st.characters(), max_size=12).map("".join))
KNOWN_WORDS = (
    "The",
    "animal",
    "didn't",
    "cross",
    "l'eau",
    "aujourd'hui",
    "qu'il",
    "well-known",
    "!",
    "(it)",
    "é",
    "zoo",
)
KNOWN = st.lists(st.sampled_from(KNOWN_WORDS), min_size=1, max_size=12).map(" ".join)
many = settings(max_examples=300, deadline=None)  # no deadline: the machine may be busy


# --- Normalisation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("e\u0301te\u0301", "été"),
        ("L’animal ‘dort’ ʼ", "L'animal 'dort' '"),
        ("“Yes” „nein“ «oui»", '"Yes" "nein" "oui"'),
        ("wait…", "wait..."),
        ("zero\u200bwidth\u200c\u200d\ufeff\u2060", "zerowidth"),
        ("\u202eright\u202c \u200fto\u200e left\u2066\u2069", "right to left"),
        ("10\u00a0000\u202f!", "10 000 !"),
        ("bell\x07 nul\x00 escape\x1b[0m", "bell nul escape[0m"),
        ("  two\t\tlines\r\nhere \u2028 there\u3000 ", "two lines here there"),
        ("soft\u00adhyphen", "softhyphen"),
        ("half\ud800pair", "halfpair"),
        ("\u2581two\u2581\u2581words\u2581", "two words"),  # subwords would take the marks for spaces
        ("e\u200b\u0301", "é"),  # the accent meets its letter only after the removal
        ("cœur 你好 🙂 x\u0323", "cœur 你好 🙂 x\u0323"),
        ("\u200b \u00a0\x00", ""),
        ("", ""),
    ],
)
def test_normalise(typed, expected):
    assert normalise(typed) == expected


@many
@given(TYPED)
@example("e\u200b\u0301")
def test_normalised_text_is_clean_and_stays_as_it_is(typed):
    text = normalise(typed)
    assert normalise(text) == text
    assert unicodedata.is_normalized("NFC", text)
    assert text == " ".join(text.split())
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in text)
    assert not set("’‘“”«»…") & set(text)


def test_what_is_quoted_in_a_sentence_is_short():
    assert quoted("dog") == "“dog”" and quoted("a" * 40) == f"“{'a' * 40}”"
    assert quoted("a" * 41) == f"“{'a' * 39}…”"


# --- French spacing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "spaced"),
    [
        ("Où est la gare?", "Où est la gare ?"),
        ("Où est la gare ?", "Où est la gare ?"),
        ("Où est la gare\u202f?", "Où est la gare ?"),
        ("Non\u00a0!", "Non !"),
        ("Elle a dit: oui; non.", "Elle a dit : oui ; non."),
        ("Quoi ?!", "Quoi ?!"),
        ("Quoi ? !", "Quoi ?!"),
        ("Hein!?", "Hein !?"),
        ("Aïe !! Aïe!!!", "Aïe !! Aïe !!!"),
        ("J'ai un rendez-vous à 14:30.", "J'ai un rendez-vous à 14:30."),
        ("Voir http://exemple.fr", "Voir http://exemple.fr"),
        ("L’animal dort…", "L'animal dort..."),
        ("?", "?"),
        ("Fini.", "Fini."),
    ],
)
def test_french_spacing(text, spaced):
    assert french_spacing(normalise(text)) == spaced


@many
@given(st.one_of(TYPED, st.text("ab ?!:;./1\u00a0", max_size=12)))
def test_spacing_twice_is_spacing_once_and_only_spaces_change(text):
    text = normalise(text)
    spaced = french_spacing(text)
    assert french_spacing(spaced) == spaced == normalise(spaced)
    assert spaced.replace(" ", "") == text.replace(" ", "")
    assert not re.search(r"[^ ?!][?!]|[^ ];", spaced), "one space before each mark or run of marks"


# --- Words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ("▁The ▁an imal", "The animal"),
        ("▁qu ' il", "qu' il"),
        ("▁qu' il", "qu' il"),
        ("▁L ' animal", "L' animal"),
        ("▁jusqu ' à", "jusqu' à"),
        ("▁didn ' t", "didn't"),
        ("▁I ' d", "I'd"),
        ("▁well - know n", "well-known"),
        ("▁est - ce", "est-ce"),
        ("▁aujourd ' hui", "aujourd'hui"),
        ("▁au jour d ' hui", "aujourd'hui"),
        ("▁tired . ▁It", "tired . It"),
        ("▁( it )", "( it )"),
        ("▁wait . . .", "wait ..."),
        ("▁loud ▁! ▁Yes", "loud ! Yes"),
        ("▁ 你好 ▁ you", "你好 you"),
        ("▁ 你", "你"),
        ("▁a ▁ ▁b", "a _ b"),
        ("▁dogs ' ▁bowl", "dogs' bowl"),
        ("▁' hello", "' hello"),  # a quotation mark, not an apostrophe
        ("▁- five", "- five"),
        ("▁a - - b", "a- - b"),
        ("▁x \u0301 y", "x\u0301y"),
        ("▁ ❤ \ufe0f y", "❤\ufe0f y"),
        ("▁ \u0301 y", "\u0301 y"),
        ("▁3 rd", "3rd"),
        ("il ▁dort", "il dort"),  # generated text may lack the first mark
        ("", ""),
    ],
)
def test_word_indices(pieces, words):
    pieces, expected = pieces.split(" ") if pieces else [], words.split(" ") if words else []
    indices = word_indices(pieces)
    assert len(indices) == len(pieces)
    found = [""] * (indices[-1] + 1 if indices else 0)
    for piece, index in zip(pieces, indices, strict=True):
        found[index] += piece.removeprefix(BOUNDARY)
    assert [word or "_" for word in found] == expected


def words_of(tokens: Tokens) -> list[str]:
    """The text of each word, put together from its tokens' spans."""
    found: dict[int, str] = {}
    for word, (begin, end), special in zip(tokens.words, tokens.spans, tokens.special, strict=True):
        found[word] = found.get(word, "") + ("" if special else tokens.text[begin:end])
    assert list(found) == list(range(len(found)))
    return list(found.values())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Je sais qu'il dort.", ["Je", "sais", "qu'", "il", "dort", ".", ""]),
        ("It didn't fit.", ["It", "didn't", "fit", ".", ""]),
        ("a well-known man", ["a", "well-known", "man", ""]),
        ("Aujourd'hui, il pleut", ["Aujourd'hui", ",", "il", "pleut", ""]),
        ("the 你好 street", ["the", "你好", "street", ""]),
    ],
)
def test_words_of_a_sentence(subwords, text, words):
    tokens = subwords.encode(text)
    assert words_of(tokens) == words
    assert tokens.special[-1] and tokens.labels[-1] == "</s>"


def test_a_long_word_takes_time_in_proportion_to_its_length(monkeypatch):
    """Counted, not timed: each character is looked at a few times, however long the word before it is."""
    looked = []
    monkeypatch.setattr("engine.text._combines", lambda character: looked.append(character) or False)
    assert word_indices([BOUNDARY, *"a" * 5000, *"a'" * 2500]) == [0] * 10_001
    assert len(looked) <= 3 * 10_000


# --- Encoding ---------------------------------------------------------------------------------------------------------


def check(tokens: Tokens, size: int) -> None:
    """What holds for all Tokens of a text: labels are slices of it in order, words never go back."""
    assert all(0 <= i < size for i in tokens.ids)
    assert list(tokens.words) == sorted(tokens.words) and set(tokens.words) == set(range(len(set(tokens.words))))
    last = 0
    for label, (begin, end), special in zip(tokens.labels, tokens.spans, tokens.special, strict=True):
        if special:
            assert (begin, end) == (0, 0) and label == "</s>"
            continue
        assert last <= begin <= end <= len(tokens.text)
        assert label == (tokens.text[begin:end] or BOUNDARY)
        # Every character is in a span but spaces, and "▁", which sentencepiece reads as a space.
        assert tokens.text[last:begin].strip(" ▁") == ""
        last = end
    assert tokens.text[last:].strip(" ▁") == ""


def test_encode_by_hand(subwords):
    tokens = subwords.encode("  It’s\u00a0late. ")
    assert tokens.text == "It's late."
    assert tokens.labels == ("It", "'", "s", "late", ".", "</s>")
    assert tokens.spans == ((0, 2), (2, 3), (3, 4), (5, 9), (9, 10), (0, 0))
    assert tokens.words == (0, 0, 0, 1, 2, 3)
    assert tokens.special == (False,) * 5 + (True,)
    assert tokens.ids == (*(subwords.id_of(p) for p in ("▁It", "'", "s", "▁late", ".")), END)
    assert UNKNOWN not in tokens.ids
    assert subwords.encode("It's late.", end=False).labels == tokens.labels[:-1]
    assert subwords.encode_ids("It's late.") == list(tokens.ids[:-1])
    assert subwords.encode_batch(["It's late.", "It"]) == [list(tokens.ids[:-1]), [tokens.ids[0]]]


@pytest.mark.parametrize(
    "text",
    [
        "été 你好 it",
        "你好, it",
        "a▁b",
        "▁a▁ b▁",
        "a ▁ b",
        "🙂it🙂 🙂",
        "x\u0301\u0302y",
        "...",
        "it<s>it",
        "a" * 500,
        "it\u200b is\u2028not",
    ],
)
def test_spans_point_at_the_labels(subwords, text):
    check(subwords.encode(text), len(subwords))


@many
@given(typed=TYPED)
@example(typed="a▁")
@example(typed="▁")
@example(typed="'")
@example(typed="\ufffd\ufffe")
def test_any_text_is_encoded_or_refused(subwords, typed):
    try:
        tokens = subwords.encode(typed)
    except EmptyInput:
        assert normalise(typed) == ""
    except UnknownCharacters:
        text = normalise(typed)
        assert (text and UNKNOWN in subwords.encode_ids(text)) or not text.strip(" ▁")
    else:
        check(tokens, len(subwords))
        assert tokens.ids[-1] == END and not set(tokens.ids[:-1]) & {PAD, START, END, subwords.id_of(WHO)}
        check(subwords.decode_tokens(tokens.ids), len(subwords))


@pytest.mark.parametrize("typed", ["", "   ", "\u200b\u00a0", "\x00"])
def test_nothing_to_encode(subwords, typed):
    with pytest.raises(EmptyInput, match="Type a sentence"):
        subwords.encode(typed)


@pytest.mark.parametrize("typed", ["你好", "🙂 🙃", "你好 世界"])
def test_nothing_known(subwords, typed):
    with pytest.raises(UnknownCharacters, match="Latin alphabet"):
        subwords.encode(typed)


def test_control_symbols_typed_literally_stay_text(subwords):
    for tokenizer in (subwords, Subwords(train_subwords(["xyz zyx xxyy zz xy yx"] * 5, 14))):
        # The second tokenizer knows x, y and z only: "<s>" is one run of unknown characters to it.
        assert [tokenizer.id_of(piece) for piece in ("<pad>", "<unk>", "<s>", "</s>", WHO)] == [0, 1, 2, 3, 4]
        for symbol in ("<s>", "</s>", "<pad>", "<unk>", WHO):
            for text in (f"x {symbol} y", f"{symbol}x{symbol}", f"x{symbol}"):
                tokens = tokenizer.encode(text, end=False)
                assert not set(tokens.ids) & {PAD, START, END, tokenizer.id_of(WHO)}, text
                assert list(tokens.ids) == tokenizer.encode_ids(text)
                assert not any(tokens.special)
                check(tokens, len(tokenizer))
                assert "".join(tokens.labels).replace(BOUNDARY, "") == text.replace(" ", "")


# --- Decoding ---------------------------------------------------------------------------------------------------------


@many
@given(text=KNOWN)
def test_decode_inverts_encode(subwords, text):
    tokens = subwords.encode(text)
    assert UNKNOWN not in tokens.ids
    back = subwords.decode_tokens(tokens.ids)
    assert subwords.decode(tokens.ids) == back.text == text
    assert back == tokens


def test_every_training_sentence_comes_back(subwords, pairs):
    for text in (side for pair in pairs for side in pair):
        assert subwords.decode(subwords.encode(text).ids) == text


def test_decoding_by_hand(subwords):
    it, late, dot = (subwords.id_of(piece) for piece in ("▁It", "▁late", "."))
    assert subwords.decode([]) == ""
    assert subwords.decode([START, it, PAD, late, dot, END]) == "It late."
    assert subwords.decode([subwords.id_of(WHO), it, subwords.id_of(WHO), late]) == "It late"
    tokens = subwords.decode_tokens([it, UNKNOWN, late, END])
    assert tokens.text == "It\ufffd late" and tokens.labels == ("It", "\ufffd", "late", "</s>")
    assert tokens.spans == ((0, 2), (2, 3), (4, 8), (0, 0)) and tokens.special == (False, False, False, True)
    assert subwords.decode_tokens([it, late]).labels == ("It", "late")  # cut by a length limit: no </s>
    assert subwords.decode_tokens([END]).words == (0,)
    # without a mark in front the first piece starts the text all the same
    first = subwords.decode_tokens([dot, it])
    assert first.text == ". It" and first.spans == ((0, 1), (2, 4))


@many
@given(data=st.data())
def test_any_ids_decode(subwords, data):
    """A network may generate any sequence."""
    ids = data.draw(st.lists(st.integers(0, len(subwords) - 1), max_size=20))
    check(subwords.decode_tokens(ids), len(subwords))


def test_with_start_shifts_by_one(subwords):
    predicted = subwords.encode("Je sais qu'il dort.")
    read = with_start(predicted)
    assert len(read) == len(predicted) and read.text == predicted.text
    assert read.labels == ("<s>", *predicted.labels[:-1]) and read.labels[-1] == "."
    assert read.ids == (START, *predicted.ids[:-1])
    assert read.spans == ((0, 0), *predicted.spans[:-1])
    assert read.special == (True, *predicted.special[:-1]) and not any(read.special[1:])
    assert words_of(read) == ["", "Je", "sais", "qu'", "il", "dort", "."]
    # cut by a length limit, the last token is dropped as well: nothing reads it
    assert with_start(subwords.decode_tokens(predicted.ids[:3])).ids == (START, *predicted.ids[:2])


def test_the_texts_of_single_tokens_make_the_whole(subwords):
    found = subwords.encode("It didn't rain in Québec.")  # ends with </s>, which adds nothing
    assert "".join(map(subwords.text_of, (START, *found.ids, PAD))) == f" {found.text}"


# --- Files ------------------------------------------------------------------------------------------------------------


def test_a_missing_tokenizer_is_named(tmp_path: Path):
    with pytest.raises(WeightsMissing, match=r"absent\.model"):
        Subwords.load(tmp_path / "absent.model")


def test_a_damaged_tokenizer_is_named(tmp_path: Path, model_bytes):
    path = tmp_path / "tokenizer.model"
    for damaged in (b"", b"not a model", model_bytes[: len(model_bytes) // 2], b"\x00" + model_bytes):
        path.write_bytes(damaged)
        with pytest.raises(WeightsDamaged, match=r"tokenizer\.model is not a readable"):
            Subwords.load(path)


def test_a_whole_tokenizer_loads(tmp_path: Path, model_bytes, subwords):
    path = tmp_path / "tokenizer.model"
    path.write_bytes(model_bytes)
    loaded = Subwords.load(path)
    assert len(loaded) == len(subwords) == 450
    assert loaded.encode("It is late.") == subwords.encode("It is late.")
