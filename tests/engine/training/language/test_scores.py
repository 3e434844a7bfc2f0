"""What the held-out books measure, what ships, and the commands that measure and ship it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from engine import catalogue, cli_training, model_card
from engine.cards import markdown, scores_of
from engine.errors import ConfigError
from engine.generation import load_generator
from engine.models.bert import Bert
from engine.models.char_lm import CharLM, CharLMConfig
from engine.models.gpt import GPT, GPTConfig
from engine.prose import CODE_POINT_BITS, normalise_prose
from engine.text import Subwords
from engine.training.language import scores
from engine.training.language.export import export
from engine.training.language.prepared import alphabet_of, encode_characters, encode_subwords
from engine.training.language.run import run_training
from engine.weights import read_json, sha256_of
from tests.engine.training.language.toys import settings, shape_of, toy_book

CARDS = {name: catalogue.MODELS[name] for name in ("trigram", "char-lm", "gpt", "bert")}


@pytest.fixture
def assets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder in which models ship, and a catalogue of its own."""
    monkeypatch.setattr(model_card, "ASSETS", tmp_path / "assets")
    monkeypatch.setattr(catalogue, "MODELS", dict(CARDS))
    return tmp_path / "assets"


# --- Bits -------------------------------------------------------------------------------------------------------------


def test_every_token_is_scored_once_with_most_of_its_context() -> None:
    """Against one forward for each token, on the window that the docstring names."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(40, width=16, heads=2, layers=2, feedforward=32, context=16)).eval().requires_grad_(False)
    for length in (2, 9, 17, 18, 40, 77):
        ids = np.random.default_rng(length).integers(0, 40, length)
        expected = []
        for place in range(1, length):
            start = 0 if place <= 16 else -(-(place - 16) // 8) * 8
            logits = model(torch.from_numpy(ids[None, start:place]))[0, -1]
            expected.append(-float(logits.log_softmax(-1)[ids[place]]) / math.log(2))
        # float32 logits of about 1: rounding of 1e-7, some times over
        np.testing.assert_allclose(scores.window_bits(model, ids), expected, atol=1e-5)


def test_a_uniform_gpt_takes_the_logarithm_of_its_vocabulary_for_each_piece(subwords: Subwords) -> None:
    model = GPT(GPTConfig(len(subwords), width=8, heads=2, layers=1, feedforward=8, context=12)).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()  # also the output: every logit is 0
    books = [normalise_prose(toy_book(30, 5))]
    pieces = len(encode_subwords(books, subwords).ids) - 2  # without <s> and </s>
    assert scores.gpt_bits(model, subwords, books) == pytest.approx(pieces * math.log2(len(subwords)), rel=1e-5)


def test_an_unknown_character_costs_a_choice_among_all_there_are(subwords: Subwords) -> None:
    model = GPT(GPTConfig(len(subwords), width=8, heads=2, layers=1, feedforward=8, context=12)).eval()
    with torch.no_grad():
        model.embedding.weight.zero_()
    book = "The old cat sleeps on the mat."
    extra = scores.gpt_bits(model, subwords, [book + " Ω"]) - scores.gpt_bits(model, subwords, [book])
    ids = len(subwords.encode_ids(book + " Ω")) - len(subwords.encode_ids(book))
    assert extra == pytest.approx(ids * math.log2(len(subwords)) + CODE_POINT_BITS, rel=1e-5)


@pytest.mark.parametrize("length", [1, 60, 2000, 9000])
def test_a_book_read_at_many_places_costs_as_much_as_read_through(prepared: Path, length: int) -> None:
    """A state has forgotten how it began long before the characters that are read before each place are over."""
    torch.manual_seed(0)
    alphabet = alphabet_of(prepared)
    model = CharLM(CharLMConfig(len(alphabet) + 1, 8, 16, 2)).eval().requires_grad_(False)
    book = normalise_prose(toy_book(400, 9))[:length]
    ids = np.concatenate([encode_characters([""], alphabet), encode_characters([book], alphabet)[:-1]]).astype(np.int64)
    read = torch.from_numpy(ids)[None]
    surprise = -model(read[:, :-1]).log_softmax(-1).gather(2, read[:, 1:, None])
    unknown = sum(character not in alphabet for character in book)
    expected = float(surprise.sum()) / math.log(2) + unknown * CODE_POINT_BITS
    # the sum of thousands of float32 numbers
    assert scores.character_bits(model, alphabet, [book]) == pytest.approx(expected, rel=1e-5)


def test_a_bert_that_knows_nothing_is_at_chance(prepared: Path, subwords: Subwords, monkeypatch) -> None:
    monkeypatch.setattr(scores, "PAIRS", 320)
    config = shape_of("bert", prepared)
    model = Bert(config).eval().requires_grad_(False)  # type: ignore[arg-type]
    model.embedding.weight.zero_()
    found = scores.cloze_scores(model, subwords, [normalise_prose(toy_book(300, 4))], 24)
    assert found["pairs"] == 320 and found["masked"] > 300
    assert found["cross_entropy"] == pytest.approx(math.log(len(subwords)), abs=1e-3)
    assert 0 < found["unigram_top1"] < found["unigram_top5"] < 1
    assert abs(found["next_sentence"] - 0.5) < 4 * math.sqrt(0.25 / 320)  # four standard deviations


# --- What ships -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt", "char-lm", "bert"])
def test_a_run_becomes_the_files_that_ship(kind: str, data: Path, prepared: Path, assets: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run_training(settings(kind, prepared, updates=3), out, 60, prepared=prepared, command="how")
    done = export(out, CARDS[kind], data)
    folder = assets / kind
    assert done["sha256"] == {name: sha256_of(folder / name) for name in CARDS[kind].sha256}
    made = read_json(folder / "training.json")
    assert made["command"] == "how" and made["steps"] == 3 and made["rounding"] == done["rounding"]
    assert done["rounding"]["outputs"] > 100 and done["rounding"]["outputs_changed"] <= 0.05
    # float16 has eleven bits: weights change by 5e-4 of themselves at most, and the loss by less
    assert done["rounding"]["cross_entropy_after"] == pytest.approx(done["rounding"]["cross_entropy_before"], abs=1e-2)
    (out / "log.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"no finished run: log\.jsonl is missing"):
        export(out, CARDS[kind], data)


def test_a_model_is_trained_exported_measured_and_used(saccade, data, assets, prepared, tmp_path, monkeypatch) -> None:
    """From texts to a card, by the commands that the card names."""
    from engine.training.config import to_json

    config = tmp_path / "toy.json"
    config.write_text(json.dumps(to_json(settings("gpt", prepared, updates=2))))
    monkeypatch.setattr("engine.training.language.run.VOCABULARY", 64, raising=False)
    done = saccade("train", config, "--data", data, "--minutes", 60, "--out", tmp_path / "run", "--device", "cpu")
    assert done.status == 0, done.err
    assert f"To ship it: saccade export {tmp_path / 'run'} gpt --data {data}" in done.out
    monkeypatch.setattr(cli_training, "MOST_CHANGED", 1.0)  # the limit has a test of its own
    done = saccade("export", tmp_path / "run", "gpt", "--data", data)
    assert done.status == 0, done.err
    *lines, rounding = done.out.splitlines()
    checksums = json.loads("{" + "".join(lines).rstrip(",") + "}")
    catalogue.MODELS["gpt"] = shipped = replace(CARDS["gpt"], sha256=checksums, longest=24)
    done = saccade("evaluate", "gpt", "--data", data, "--save", "--device", "cpu")
    assert done.status == 0, done.err
    found = scores_of(shipped)["books"]
    assert 0 < found["full_trigram"] < found["bits_per_character"] < math.log2(64)
    assert f"{found['bits_per_character']:.3f} bits per character" in markdown(shipped)
    assert json.loads(rounding)["outputs"] and "token" in markdown(shipped)
    assert load_generator("gpt", "cpu").surprise("The old cat sleeps.").bits_per_character > 0


def test_words_are_counted_exported_measured_and_used(saccade, data, assets, tmp_path) -> None:
    done = saccade("train", "trigram", "--data", data, "--out", tmp_path / "run")
    assert done.status == 0, done.err
    assert saccade("train", "trigram", "--data", data, "--init", "gpt").status == 1
    done = saccade("export", tmp_path / "run", "trigram", "--data", data)
    assert done.status == 0, done.err
    *lines, rounding = done.out.splitlines()
    assert json.loads(rounding) == {}
    checksums = json.loads("{" + "".join(lines).rstrip(",") + "}")
    catalogue.MODELS["trigram"] = shipped = replace(CARDS["trigram"], sha256=checksums)
    done = saccade("evaluate", "trigram", "--data", data, "--save", "--device", "cpu")
    assert done.status == 0, done.err
    record, found = read_json(tmp_path / "run" / "run.json"), scores_of(shipped)["books"]
    assert found["bits_per_character"] == pytest.approx(record["bits_per_character"], abs=1e-3)
    assert "nothing is rounded" in markdown(shipped) and "![" not in markdown(shipped)
