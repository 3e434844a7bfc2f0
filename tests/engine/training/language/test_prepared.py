"""Prepared text: pieces, sentences, books and characters, and the folder that holds them."""

from __future__ import annotations

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from engine.errors import ConfigError
from engine.prose import sentences_of
from engine.text import END, START, UNKNOWN, Subwords
from engine.training.language import prepared as prepared_module
from engine.training.language.prepared import (
    CONTROLS,
    LINE,
    alphabet_of,
    count_alphabet,
    encode_characters,
    encode_subwords,
    load_characters,
    load_stream,
    prepare,
    train_subwords,
)
from engine.weights import read_json, sha256_of
from tests.engine.training.language.toys import PIECES

ODD = 'Mr. Grey said: "The owl!" It sat. ("So?")\nMy cat\'s 3 mats... The zebra ate. é\n[MASK] sat </s> on <unk>.'


# --- Pieces -----------------------------------------------------------------------------------------------------------


def test_special_pieces_stand_in_front(subwords):
    assert len(subwords) == PIECES
    names = ["<pad>", "<unk>", "<s>", "</s>", *CONTROLS, LINE]
    assert [subwords.id_of(name) for name in names] == list(range(8))


def test_no_text_says_a_special_piece(subwords):
    ids = subwords.encode_ids("[CLS] [SEP] [MASK] <s> </s> <pad>")
    assert not {0, START, END, 4, 5, 6} & set(ids)


def test_pieces_by_sentence_are_those_by_paragraph(books, subwords):
    """Of two books and of odd text, in one stream."""
    stream = encode_subwords([*books, ODD], subwords)
    expected: list[int] = []
    for book in [*books, ODD]:
        for number, paragraph in enumerate(book.split(LINE)):
            expected += [7] if number else [START]
            expected += subwords.encode_ids(paragraph)
        expected.append(END)
    assert stream.ids.dtype == np.uint16 and stream.ids.tolist() == expected
    assert UNKNOWN in expected  # the é and the brackets


def test_books_and_sentences_are_where_they_begin(books, subwords):
    stream = encode_subwords([*books, ODD], subwords)
    assert stream.books[0] == 0 and stream.books[-1] == len(stream.ids) and len(stream.books) == 4
    assert (np.flatnonzero(stream.ids == START) == stream.books[:-1]).all()
    assert (np.flatnonzero(stream.ids == END) + 1 == stream.books[1:]).all()
    sentences = [sentence for book in books for line in book.split(LINE) for sentence in sentences_of(line)]
    assert len(stream.sentences) > len(sentences) == 1500
    ends = np.append(stream.sentences[1:], len(stream.ids))
    for place, end, sentence in zip(stream.sentences, ends, sentences, strict=False):
        said = [int(i) for i in stream.ids[place:end] if i not in (START, END, 7)]
        assert subwords.decode(said) == sentence


def test_a_vocabulary_that_a_text_is_too_short_for_is_refused():
    with pytest.raises(ConfigError, match=r"No vocabulary of 900 subwords .*Give a longer text, or another size"):
        train_subwords(["The cat sat.\nThe dog ran."], 900)


# --- Characters -------------------------------------------------------------------------------------------------------


def test_an_alphabet_counts_its_characters():
    assert count_alphabet(["abca", "bad\nb"], 1) == ("a", "b", "\n", "c", "d")  # 3, 3, 1, 1, 1: equals by code point
    # the line break, which every text is read after, belongs to it in any case
    assert count_alphabet(["abca", "bad\nb"], 3) == ("\n", "a", "b")
    assert count_alphabet([], 1) == ("\n",)


def test_an_alphabet_fits_into_a_byte():
    """Of 300 characters the rarest are unknown, and no two share an id."""
    text = "".join(chr(0x4E00 + i) * (2 if i < 255 else 1) for i in range(300))
    alphabet = count_alphabet([text], 1)
    assert len(alphabet) == 255 and set(alphabet) == {*text[:508], "\n"}
    ids = encode_characters([text], alphabet)[:-1]  # without the line break behind the book
    assert (ids[:508] > 0).all() and len(set(ids[:508].tolist())) == 254 and not ids[508:].any()


def test_characters_are_numbered_from_one_and_a_line_break_follows_each_book():
    ids = encode_characters(["ab\nc", "ax\U0001f600"], ("\n", "a", "b", "c"))
    assert ids.dtype == np.uint8
    assert ids.tolist() == [2, 3, 1, 4, 1, 2, 0, 0, 1]  # x and the smiley are unknown, each of them one character


# --- The folder -------------------------------------------------------------------------------------------------------


def test_a_folder_gives_back_what_was_prepared(data, prepared, books):
    subwords = Subwords.load(prepared / "tokenizer.model")
    about = read_json(prepared / "prepared.json")
    expected = encode_subwords(books, subwords)
    found = load_stream(prepared, "train")
    for name in ("ids", "sentences", "books"):
        assert (getattr(found, name) == getattr(expected, name)).all(), name
    alphabet = alphabet_of(prepared)
    assert alphabet == count_alphabet(books) and alphabet[0] == " "
    ids = load_characters(prepared, "train")
    spelt = "".join("\ufffd" if i == 0 else alphabet[i - 1] for i in ids)
    rare = str.maketrans(dict.fromkeys(set("".join(books)) - set(alphabet), "\ufffd"))
    assert spelt == "".join(f"{book}\n" for book in books).translate(rare)
    assert about["characters"]["train"] == len(ids) and about["tokens"]["train"] == len(found.ids)
    assert about["books"] == {"train": 2, "valid": 1}
    assert about["vocabulary"] == {"subwords": PIECES, "characters": len(alphabet) + 1}
    assert about["sha256"]["valid"] == sha256_of(data / "english" / "gutenberg.valid.txt")
    assert len(load_stream(prepared, "valid").books) == 2


def test_a_given_tokenizer_is_kept(data, prepared, tmp_path):
    prepare(data, tmp_path, 999, prepared / "tokenizer.model")
    assert sha256_of(tmp_path / "tokenizer.model") == sha256_of(prepared / "tokenizer.model")
    assert (load_stream(tmp_path, "valid").ids == load_stream(prepared, "valid").ids).all()


@pytest.mark.parametrize("load", [load_stream, load_characters])
def test_what_is_not_prepared_names_the_command(tmp_path, load):
    with pytest.raises(ConfigError, match=r"There is no .*npz\. Write it with `python -m engine\.training\.language"):
        load(tmp_path, "train")
    np.savez(tmp_path / "subwords.npz", other=np.zeros(2))
    (tmp_path / "characters.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ConfigError, match=r"npz is not a prepared text .*Write it again with"):
        load(tmp_path, "train")


def invoke(*arguments: object) -> tuple[int, str]:
    app = Typer()
    app.command()(prepared_module.main)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.output


def test_the_command_writes_a_folder_or_says_what_is_wrong(data, prepared, tmp_path):
    code, output = invoke(data, tmp_path / "new", "--tokenizer", prepared / "tokenizer.model")
    assert code == 0 and f"'train': {len(load_stream(prepared, 'train').ids)}" in output
    code, output = invoke(tmp_path, tmp_path / "none")
    assert code == 1 and "saccade: " in output and "gutenberg.train.txt is missing" in output
    code, output = invoke(data, tmp_path / "large", "--vocabulary", 6000)
    assert code == 1 and "saccade: No vocabulary of 6000 subwords" in output
