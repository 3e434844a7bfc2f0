from __future__ import annotations

import tempfile
import unicodedata
import warnings
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Thread

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import EmptyInput, InputTooLong, UnknownCharacters
from engine.huggingface.pieces import aligned, fitted, printable
from engine.huggingface.tokens import LONGEST, HostedTokenizer
from engine.pieces import labels_of, words_of
from engine.types import Tokens
from tests.engine.huggingface import tiny

KINDS = ("wordpiece", "gpt", "roberta", "metaspace", "unigram", "marian")
LOSSLESS = ("gpt", "roberta", "metaspace")
FILES = {
    "wordpiece": tiny.wordpiece,
    "gpt": tiny.byte_bpe,
    "roberta": lambda folder: tiny.byte_bpe(folder, roberta=True),
    "metaspace": tiny.metaspace_bpe,
    "unigram": tiny.unigram,
    "marian": tiny.marian_files,
    "separate": lambda folder: tiny.marian_files(folder, separate=True),
}
BITS = (
    "The animal", "didn't", "l'animal", "well-known", "café", "cafe\u0301", "Straße", "été", "猫坐在", "今天天气",
    "が好きです", "القطة", "السَّلَام", "बिल्ली", "चटाई", "🙂", "👩🏽\u200d🔬", "👍🏿", "🇫🇷", "ﬁ", "…", "می\u200cخواهم",
    " ", "  ", "\n", "\t", ".", ",", "!", "</s>", "[MASK]", "<s>", "<|endoftext|>", "[CLS]", "<pad>", "<mask>",
    "x", "9", "<0x41>", "##s", "\ufe0f", "\u202eabc",
)  # fmt: skip
TEXTS = st.one_of(st.lists(st.sampled_from(BITS), min_size=1, max_size=8).map("".join), st.text(max_size=20))


@cache
def loaded(kind: str):
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a package for punctuation that Marian recommends
        return AutoTokenizer.from_pretrained(FILES[kind](Path(folder)))


@cache
def hosted(kind: str) -> HostedTokenizer:
    tokenizer = loaded(kind)
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    start, end, pad = (-1 if token is None else token for token in ids)
    return HostedTokenizer(tokenizer, start=start, end=end, pad=pad)


def body(tokens: Tokens) -> list[int]:
    return [i for i, special in enumerate(tokens.special) if not special]


def words(tokens: Tokens) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for label, word in zip(tokens.labels, tokens.words, strict=True):
        found.setdefault(word, []).append(label)
    return list(found.values())


# ---- what holds for every text ----


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None)
@given(text=TEXTS)
def test_spans_cover_the_text_in_order_and_words_never_part_a_character(kind: str, text: str):
    tokenizer = hosted(kind)
    try:
        tokens = tokenizer.encode(text)
    except (EmptyInput, UnknownCharacters):
        return
    own = body(tokens)
    spans = [tokens.spans[i] for i in own]
    assert tokens.text == tokenizer.normalise(text)
    assert all(0 <= a <= b <= len(tokens.text) for a, b in spans)
    assert spans == sorted(spans, key=lambda span: span[0])
    covered = {place for a, b in spans for place in range(a, b)}
    missed = {c for place, c in enumerate(tokens.text) if place not in covered and not c.isspace()}
    assert all(unicodedata.category(c)[0] in "CM" or c == "\ufffd" for c in missed), missed  # a tokenizer drops such
    assert list(tokens.words) == sorted(tokens.words)
    assert {*tokens.words} == {*range(tokens.words[-1] + 1)}
    for one, other in pairwise(own):
        if tokens.spans[other][0] < tokens.spans[one][1]:
            assert tokens.words[one] == tokens.words[other]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=120, deadline=None)
@given(text=TEXTS)
def test_typed_specials_are_never_special_and_labels_can_be_seen(kind: str, text: str):
    tokenizer = hosted(kind)
    tokens = tokenizer.plain(text)
    assert not {*tokens.ids} & (tokenizer.specials - {tokenizer.unknown})
    assert not any(tokens.special)
    for label in tokens.labels:
        assert label and not {unicodedata.category(c) for c in label} & {"Cc", "Cs"}
        assert label.strip()


@pytest.mark.parametrize("kind", LOSSLESS)
@settings(max_examples=120, deadline=None)
@given(text=TEXTS)
def test_a_lossless_tokenizer_gives_the_text_back(kind: str, text: str):
    tokenizer = hosted(kind)
    text = tokenizer.normalise(text).replace("▁", "")
    ids = tokenizer.encode_ids(text)
    assert tokenizer.decode(ids) == text
    again = tokenizer.decode_tokens(ids)
    assert again == Tokens(text, again.labels, tuple(ids), again.words, again.spans, (False,) * len(ids))
    added, so_far = "", list[int]()
    for token in ids:
        added += tokenizer.added(so_far, token)
        so_far.append(token)
    assert added == text


@settings(max_examples=60, deadline=None)
@given(text=TEXTS, more=TEXTS)
def test_a_continuation_has_the_tokens_of_the_whole(text: str, more: str):
    tokenizer = hosted("gpt")
    first, ids = tokenizer.plain(text), tokenizer.encode_ids(more)
    whole = tokenizer.extended(first, ids)
    assert whole.text == first.text + tokenizer.normalise(more)
    assert whole.ids == (*first.ids, *ids)
    assert whole.spans[: len(first)] == first.spans and whole.labels[: len(first)] == first.labels


# ---- what transformers gives ----

SENTENCES = ("The animal didn't cross the street.", "L'animal était trop fatigué !", "Das Tier überquerte die Straße.",
             "猫坐在垫子上。", "القطة تجلس", "बिल्ली चटाई पर", "I like it 🙂", " two  spaces\nand a line")  # fmt: skip


@pytest.mark.parametrize("kind", (*KINDS, "separate"))
@pytest.mark.parametrize("text", SENTENCES)
def test_ids_are_those_of_the_tokenizer(kind: str, text: str):
    tokenizer = hosted(kind)
    try:
        tokens = tokenizer.encode(text)
    except UnknownCharacters:
        assert {*loaded(kind)(text, add_special_tokens=False)["input_ids"]} <= {tokenizer.unknown, tokenizer.id_of("▁")}
        return
    assert list(tokens.ids) == loaded(kind)(text)["input_ids"]
    assert list(tokenizer.encode(text, end=False).ids) == loaded(kind)(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_pairs_are_those_of_the_tokenizer(kind: str):
    tokens, segments = hosted(kind).encode_pair("the animal", "the old man")
    given = loaded(kind)("the animal", "the old man", return_token_type_ids=True)
    assert list(tokens.ids) == given["input_ids"]
    assert len(segments) == len(tokens)
    assert kind == "marian" or list(segments) == given["token_type_ids"]  # Marian reads no segments
    assert tokens.text == "the animal the old man"
    assert [tokens.text[a:b] for a, b in tokens.spans if b > a][-1] in "man"


def test_a_pair_without_a_second_text_is_one_text():
    tokens, segments = hosted("wordpiece").encode_pair("the animal", " ")
    assert tokens == hosted("wordpiece").encode("the animal")
    assert segments == (0,) * len(tokens)


@pytest.mark.parametrize("kind", ("marian", "separate", "unigram"))
def test_an_output_is_read_with_the_vocabulary_of_its_side(kind: str):
    text = "L'animal était fatigué."
    tokens = hosted(kind).encode_output(text)
    assert list(tokens.ids) == loaded(kind)(text_target=text)["input_ids"]
    assert tokens.special == (*(False,) * (len(tokens) - 1), True)
    assert hosted(kind).decode(tokens.ids) == text
    assert hosted(kind).decode_tokens(tokens.ids) == tokens


def test_an_output_of_roberta_has_nothing_in_front():
    tokens = hosted("roberta").encode_output("The street")
    assert tokens.labels == ("The", "street", "</s>") and tokens.special == (False, False, True)


@pytest.mark.parametrize("kind", KINDS)
def test_decoding_is_that_of_the_tokenizer(kind: str):
    ids = hosted(kind).encode("The old man sat by the river.").ids
    expected = loaded(kind).decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert hosted(kind).decode(ids) == expected


# ---- labels and words ----


def test_lower_case_and_stripped_accents_are_shown_as_they_were_typed():
    tokens = hosted("wordpiece").encode("The cafe\u0301 DIDN'T")
    assert tokens.text == "The cafe\u0301 DIDN'T"
    assert tokens.labels[:3] == ("[CLS]", "The", "cafe\u0301")
    assert [len(word) for word in words(tokens)] == [1, 1, 1, len(tokens) - 4, 1]


def test_pieces_of_an_emoji_are_counted_and_one_word():
    tokens = hosted("gpt").encode("I like 🙂 it")
    assert [label for label in tokens.labels if "🙂" in label] == ["🙂 1/3", "🙂 2/3", "🙂 3/3"]
    assert [tokens.text[a:b] for a, b in tokens.spans].count("🙂") == 3
    assert ["🙂 1/3", "🙂 2/3", "🙂 3/3"] in words(tokens)


def test_a_piece_with_bytes_of_two_characters_keeps_them_in_one_word():
    tokens = hosted("gpt").encode("猫坐")
    assert len({*tokens.words}) == 1
    assert [label.split()[1] for label in tokens.labels] == [f"{i + 1}/{len(tokens)}" for i in range(len(tokens))]


@pytest.mark.parametrize("kind", ("metaspace", "gpt"))
def test_an_emoji_of_several_characters_is_one_word(kind: str):
    tokens = hosted(kind).encode("a 👩🏽\u200d🔬 b")
    own = {word for word, (a, b) in zip(tokens.words, tokens.spans, strict=True) if a >= 2 and b <= 6 and b > a}
    assert len(own) == 1
    assert any(label.startswith("U+200D") for label in tokens.labels)


@pytest.mark.parametrize(
    ("text", "count"), [("القطة تجلس على السَّجادة", 4), ("बिल्ली चटाई पर बैठी है", 5), ("می\u200cخواهم", 1)]
)
@pytest.mark.parametrize("kind", ("gpt", "metaspace", "unigram"))
def test_marks_and_joiners_stay_within_their_word(kind: str, text: str, count: int):
    assert len(words(hosted(kind).encode(text, end=False))) == count


def test_ideographs_are_words_by_piece():
    tokens = hosted("unigram").encode("猫坐在垫子上。", end=False)
    assert len({*tokens.words}) == sum(b > a for a, b in tokens.spans)


def test_apostrophes_and_hyphens_join_and_other_marks_do_not():
    tokens = hosted("gpt").encode("The well-known animal didn't (l'ami).")
    text = ["".join(word).replace("▁", "") for word in words(tokens)]
    assert text == ["The", "well-known", "animal", "didn't", "(", "l'", "ami", ")."]


@pytest.mark.parametrize("kind", ("gpt", "roberta"))
def test_whitespace_is_visible(kind: str):
    tokens = hosted(kind).encode("a\n\tb  c", end=False)
    assert tokens.spans == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7))
    assert "↵" in tokens.labels and "→" in tokens.labels and "▁" in tokens.labels
    assert tokens.text == "a\n\tb  c"


def test_controls_are_removed_and_joiners_stay():
    assert hosted("gpt").normalise("a\x00b\x1b[0m\r\n\ud83d\u200d\t") == "ab[0m\n\u200d\t"


def test_what_turns_a_screen_around_is_not_in_a_label():
    tokens = hosted("unigram").encode("abc\u202edef")
    assert not any("\u202e" in label for label in tokens.labels)
    assert "\u202e" in tokens.text


# ---- pieces without offsets ----


def test_pieces_are_found_by_what_they_spell():
    pieces = ["▁The", "▁cafe", "▁", "fi", "▁Stra", "ss", "e"]
    text = "The CAFE\u0301 ﬁ Straße"
    spans = aligned(text, pieces)
    assert [text[a:b] for a, b in spans] == ["The", "CAFE", " ", "ﬁ", "Stra", "ß", "e"]
    assert [text[a:b] for a, b in fitted(text, spans)] == ["The", "CAFE\u0301", " ", "ﬁ", "Stra", "ß", "e"]


def test_bytes_of_a_slow_tokenizer_are_put_together():
    assert aligned("a🙂b", ["▁a", "<0xF0>", "<0x9F>", "<0x99>", "<0x82>", "b"]) == [(0, 1), *[(1, 2)] * 4, (2, 3)]
    assert aligned("a<0xF0>", ["a", "<0xF0>"]) == [(0, 1), (1, 7)]


def test_a_piece_that_spells_something_else_takes_what_is_left_over():
    text = "the zz sun"
    spans = aligned(text, ["the", "[UNK]", "sun"])
    assert spans == [(0, 3), (3, 3), (7, 10)]
    assert fitted(text, spans) == [(0, 3), (4, 6), (7, 10)]
    assert words_of(text, fitted(text, spans), [False] * 3) == (0, 1, 2)


@given(text=TEXTS, pieces=st.lists(st.one_of(st.sampled_from([*BITS, "▁", "<0xF0>", "[UNK]"]), st.text(max_size=4))))
def test_no_pieces_are_too_strange_to_be_aligned(text: str, pieces: list[str]):
    text = printable(text)
    spans = fitted(text, aligned(text, pieces))
    assert (
        len(spans)
        == len(pieces)
        == len(labels_of(text, spans, str))
        == len(words_of(text, spans, [False] * len(pieces)))
    )
    assert all(0 <= a <= b <= len(text) for a, b in spans)
    assert spans == sorted(spans, key=lambda span: span[0])


# ---- special tokens ----


def test_a_named_mask_is_meant_and_others_are_text():
    tokenizer = hosted("wordpiece")
    tokens = tokenizer.encode("The [MASK] sat. [SEP]", specials=("[MASK]",))
    place = tokens.labels.index("[MASK]")
    assert tokens.ids[place] == tokenizer.id_of("[MASK]") and not tokens.special[place]
    assert tokens.text[slice(*tokens.spans[place])] == "[MASK]"
    assert tokens.words.count(tokens.words[place]) == 1
    assert tokens.ids.count(tokenizer.id_of("[SEP]")) == 1


def test_a_named_mask_gives_the_ids_of_the_tokenizer():
    for kind, mask in (("wordpiece", "[MASK]"), ("roberta", "<mask>")):
        text = f"The old {mask} sat by {mask}the river."
        assert list(hosted(kind).encode(text, specials=(mask,)).ids) == loaded(kind)(text)["input_ids"]


def test_what_is_no_special_token_cannot_be_named():
    tokenizer = hosted("wordpiece")
    assert tokenizer.encode("the animal", specials=("animal",)) == tokenizer.encode("the animal")


def test_generated_specials_are_kept_and_add_no_text():
    tokenizer = hosted("unigram")
    ids = [*tokenizer.encode_ids("the sun"), tokenizer.end]
    tokens = tokenizer.decode_tokens(ids)
    assert tokens.text == "the sun" and tokens.ids == tuple(ids)
    assert tokens.labels[-1] == "</s>" and tokens.spans[-1] == (0, 0) and tokens.special[-1]


def test_banned_are_all_specials_but_the_end_and_rows_without_a_piece():
    tokenizer = loaded("unigram")
    assert hosted("unigram").banned == (0, 2)
    wider = HostedTokenizer(tokenizer, start=0, end=1, pad=0, size=len(tokenizer) + 2)
    assert wider.banned == (0, 2, len(tokenizer), len(tokenizer) + 1)
    assert len(wider) == len(tokenizer) + 2
    assert wider.label_of(len(tokenizer)) == f"#{len(tokenizer)}" and wider.text_of(len(tokenizer)) == ""


def test_an_unknown_id_that_is_the_end_is_none():
    assert hosted("gpt").unknown == -1
    assert hosted("gpt").banned == ()


# ---- ids ----


def test_bytes_that_make_no_character_are_shown_as_numbers():
    tokenizer = hosted("gpt")
    first = tokenizer.encode_ids("🙂")[0]
    assert tokenizer.label_of(first) == r"\xf0\x9f"
    assert tokenizer.decode_tokens([first]).labels == (r"\xf0\x9f",)
    assert tokenizer.added([], first) == ""
    assert hosted("metaspace").label_of(hosted("metaspace").id_of("<0xE5>")) == r"\xe5"


@pytest.mark.parametrize("kind", KINDS)
def test_text_of_a_word_begins_with_a_space(kind: str):
    tokenizer = hosted(kind)
    token = tokenizer.encode_ids("by the river")[-1] if kind == "wordpiece" else tokenizer.encode_ids("to be an a")[-1]
    assert tokenizer.text_of(token) in (" river", " a", "a", "r")
    assert not tokenizer.label_of(token).startswith(" ")


def test_pieces_that_mark_the_end_of_a_word():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.BPEDecoder(suffix="</w>")
    trainer = trainers.BpeTrainer(
        vocab_size=120, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False
    )
    backend.train_from_iterator(tiny.LINES[:6], trainer)
    tokenizer = HostedTokenizer(
        PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>"), start=-1, end=-1, pad=-1
    )
    ids = tokenizer.encode_ids("the streets are")
    assert len(ids) > 3 and tokenizer.decode(ids).strip() == "the streets are"


def test_a_word_that_was_added_to_pieces_of_bytes_is_text():
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as folder:
        own = AutoTokenizer.from_pretrained(tiny.byte_bpe(Path(folder)))
    own.add_tokens(["naïve"])
    tokenizer = HostedTokenizer(own, start=-1, end=0, pad=-1)
    ids = tokenizer.encode_ids("so naïve")
    assert ids[-1] == len(own) - 1 and tokenizer.label_of(ids[-1]) == "naïve"
    assert tokenizer.decode(ids) == "so naïve"


def test_a_tokenizer_of_bytes():
    from transformers import ByT5Tokenizer

    own = ByT5Tokenizer()
    tokenizer = HostedTokenizer(own, start=0, end=1, pad=0)
    tokens = tokenizer.encode("né 🙂")
    assert list(tokens.ids) == own("né 🙂")["input_ids"]
    assert tokens.labels == ("n", "é 1/2", "é 2/2", "▁", "🙂 1/4", "🙂 2/4", "🙂 3/4", "🙂 4/4", "</s>")
    assert tokenizer.decode(tokens.ids) == "né 🙂"


# ---- what cannot be read ----


@pytest.mark.parametrize("text", ("", "  ", "\n", "\x00"))
def test_no_text_is_an_error_that_says_what_to_type(text: str):
    with pytest.raises(EmptyInput, match="Type a sentence"):
        hosted("gpt").encode(text)
    assert hosted("gpt").plain(text.strip()).labels == ()


def test_nothing_but_unknown_pieces_is_an_error():
    with pytest.raises(UnknownCharacters, match="Type a text"):
        hosted("marian").encode("猫 坐")
    with pytest.raises(UnknownCharacters):
        hosted("wordpiece").encode("ꙮ")


def test_a_text_without_end_is_refused():
    with pytest.raises(InputTooLong, match="100,000"):
        hosted("gpt").encode("a" * (LONGEST + 1))


def test_threads_read_source_and_output_at_once():
    tokenizer = hosted("marian")
    source, output = tokenizer.encode("The animal"), tokenizer.encode_output("L'animal")
    wrong: list[Tokens] = []

    def read(one: bool) -> None:
        for _ in range(200):
            found = tokenizer.encode("The animal") if one else tokenizer.encode_output("L'animal")
            if found != (source if one else output):
                wrong.append(found)

    threads = [Thread(target=read, args=(one,)) for one in (True, False, True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
