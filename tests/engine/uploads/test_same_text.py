"""A text is the same to a reader whether its model was opened or its maps came as a file: labels and words."""

from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path

import pytest

from engine.huggingface.loading import open_model
from engine.huggingface.source import Located
from engine.reading import trace_of
from engine.types import Trace
from engine.uploads.files import read_upload
from tests.engine.huggingface.families import FAMILIES, saved

EXPORT = Path(__file__).resolve().parents[3] / "docs" / "export_attention.py"
TEXTS = {
    "Thai": "สวัสดีครับ ผม",
    "Burmese, Khmer, Lao": "ကျွန် ញុំ ລາວ",
    "Chinese": "今天天气很好。我去\uf900\U00020000",
    "Arabic": "والقطة السوداء، نامت.",
    "Arabic with marks of direction": "قطة \u200f\u202bنامت\u202c",
    "emoji": "a 👩\u200d👧 b👍🏽 ❤\ufe0fc",
    "French": "L'été, qu'il n'a pas déjeuné !",
    "decomposed French": "l'e\u0301te\u0301",
    "spaces": "one  two\n\nline\tx ",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where a family's files are; written once."""
    parent = tmp_path_factory.mktemp("models")
    return cache(lambda name: saved(name, parent / name))


@pytest.fixture(scope="module")
def opened(folder):
    return cache(lambda name: open_model(Located(name, folder(name), "huggingface"), "cpu"))


@pytest.fixture(scope="module")
def uploaded(folder):
    """The trace of what the program of the document writes, in somebody's notebook."""
    import transformers

    export = runpy.run_path(str(EXPORT))["export_attention"]

    @cache
    def parts(name: str):
        model = getattr(transformers, FAMILIES[name].auto).from_pretrained(folder(name))
        return model, transformers.AutoTokenizer.from_pretrained(folder(name))

    def trace(name: str, text: str):
        path = folder(name) / "attention.npz"
        export(path, *parts(name), text)
        return read_upload({path.name: path.read_bytes()})

    return trace


def read_of(trace: Trace) -> list[tuple[str, int]]:
    """Label and word of each token of the text; a model may read a start token that its tokenizer does not write."""
    (found,) = trace.maps.values()
    tokens = found.query_tokens
    places = [place for place, flag in enumerate(tokens.special) if not flag]
    return [(tokens.labels[place], tokens.words[place] - tokens.words[places[0]]) for place in places]


@pytest.mark.parametrize(
    ("name", "language"),
    [
        (name, language)
        for name in ("gpt2", "llama", "roberta")
        for language in TEXTS
        if (name, language) != ("roberta", "spaces")  # a masked model that was opened reads single spaces
    ],
)
def test_an_upload_has_the_labels_and_words_of_the_opened_model(name, language, opened, uploaded):
    text = TEXTS[language]
    found = read_of(uploaded(name, text))
    assert found == read_of(trace_of(opened(name), text))
    assert len(found) > 5 and found[-1][1] > 0


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_thai_has_a_word_for_each_letter_with_its_marks(name, uploaded):
    found = [(label, word) for label, word in read_of(uploaded(name, TEXTS["Thai"])) if label != "▁"]
    assert len({word for _, word in found}) == len(["ส", "วั", "ส", "ดี", "ค", "รั", "บ", "ผ", "ม"])
    assert "◌ั 1/3" in {label for label, _ in found} and "ั 1/3" not in {label for label, _ in found}
