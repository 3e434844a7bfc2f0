"""Runs of recurrent translators: what they start from, what they leave behind, and that they learn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from engine import catalogue
from engine.errors import ConfigError, UnknownModel, WeightsDamaged, WeightsMissing
from engine.models.seq2seq import Seq2Seq, Seq2SeqConfig
from engine.models.transformer import TransformerConfig
from engine.text import END, START
from engine.training import data as training_data
from engine.training import loop, run
from engine.training.config import TrainingConfig, to_json
from engine.training.data import Batch, Example, collate
from engine.training.run import RECORD, VECTORS, Start, prepare, run_training, token_vectors
from engine.weights import TOKENIZER, WEIGHTS, read_json

TINY = (450, 32)  # vocabulary and width of the model that `tiny_card` describes
MINUTES = 60.0  # more than any of these runs takes: they end by their updates, on every machine with the same ones


@pytest.fixture(autouse=True)
def _own_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "keep_freed_memory", lambda: None)


@pytest.fixture
def corpus(tmp_path: Path, pairs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The thirty pairs as training data, ten of them as validation data; no tokenizer is made of them."""
    folder = tmp_path / "data" / "en-fr"
    folder.mkdir(parents=True)
    (folder / "train.tsv").write_text("".join(f"{e}\t{f}\ttatoeba\n" for e, f in pairs), "utf-8")
    (folder / "valid.tsv").write_text("".join(f"{e}\t{f}\n" for e, f in pairs[:10]), "utf-8")
    monkeypatch.setattr(run, "train_tokenizer", lambda rows, vocabulary: pytest.fail("trained another tokenizer"))
    monkeypatch.setattr(training_data, "POOL", 60)
    return folder.parent


def settings(vocabulary: int = TINY[0], embedding: int = TINY[1], **changes: object) -> TrainingConfig:
    shape = Seq2SeqConfig(vocabulary, "general", embedding=embedding, layers=1, encoder_width=8, width=12)
    config = TrainingConfig(
        "small", shape, {"tatoeba": 1.0}, batch_tokens=512, longest=40, averaged=0.0, updates=2, vectors="tiny"
    )
    return replace(config, **changes)


def stored_vectors(card: catalogue.ModelCard) -> torch.Tensor:
    return safetensors.torch.load_file(card.folder / WEIGHTS)[VECTORS].float()


# --- What a run starts from -------------------------------------------------------------------------------------------


def test_a_run_takes_the_tokenizer_and_the_vectors_of_a_shipped_model(tiny_card, corpus, tmp_path):
    """At a rate of nothing the vectors come out as they went in, and the rest as chance made it."""
    config, out = settings(peak_rate=1e-12), tmp_path / "run"
    path = run_training(config, corpus, out, MINUTES, command="how")
    assert path == out / WEIGHTS
    assert (out / TOKENIZER).read_bytes() == (tiny_card.folder / TOKENIZER).read_bytes()
    weights = safetensors.torch.load_file(path)
    model = Seq2Seq(config.model)
    model.load_state_dict(weights)  # the names and shapes are the model's
    vectors = stored_vectors(tiny_card)
    # AdamW moves a weight by about the rate in each of two steps
    torch.testing.assert_close(weights[VECTORS], vectors, rtol=0, atol=1e-9)
    torch.manual_seed(config.seed)
    fresh = Seq2Seq(config.model).state_dict()
    for name, value in weights.items():
        if name != VECTORS:
            torch.testing.assert_close(value, fresh[name], rtol=0, atol=1e-9)
    assert (fresh[VECTORS] - vectors).abs().max() > 0.1
    record = read_json(out / RECORD)
    assert record["config"] == json.loads(json.dumps(to_json(config))) and record["pairs"] == {"tatoeba": 30}
    assert record["command"] == "how" and record["initial"] is None
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text("utf-8").splitlines()]
    assert [line["step"] for line in lines] == [2, 2] and lines[-1]["averaged_validation_loss"] > 1


def test_a_finished_run_says_that_its_updates_are_made(tiny_card, corpus, tmp_path):
    run_training(settings(), corpus, tmp_path / "run", MINUTES)
    before = (tmp_path / "run" / "log.jsonl").read_bytes()
    with pytest.raises(ConfigError, match=r"made its 2 updates already.*--out"):
        run_training(settings(), corpus, tmp_path / "run", 2 * MINUTES)  # more minutes would not help
    assert (tmp_path / "run" / "log.jsonl").read_bytes() == before
    with pytest.raises(ConfigError, match="other settings"):
        run_training(settings(updates=3), corpus, tmp_path / "run", MINUTES)


def test_token_vectors(tiny_card):
    found = token_vectors(settings())
    assert found.shape == TINY and found.dtype == torch.float32
    assert torch.equal(found, stored_vectors(tiny_card))
    transformer = TransformerConfig(*TINY, heads=4)  # whose width is that of its vectors
    assert torch.equal(token_vectors(settings(model=transformer)), found)


@pytest.mark.parametrize("shape", [(450, 16), (449, 32)])
def test_vectors_of_another_shape_are_refused(tiny_card, corpus, tmp_path, shape):
    """Before any time goes into the texts, so that the folder can be used once the configuration is right."""
    with pytest.raises(ConfigError, match=rf"of tiny are \(450, 32\).*asks for \({shape[0]}, {shape[1]}\)\. Change"):
        prepare(settings(*shape), corpus, tmp_path / "run")
    assert not (tmp_path / "run" / RECORD).exists()
    assert prepare(settings(), corpus, tmp_path / "run") == settings()


def test_models_that_have_no_vectors_to_give(tiny_card, corpus, tmp_path, monkeypatch):
    def refused(error: type[Exception], named: str, vectors: str = "tiny") -> None:
        with pytest.raises(error, match=named):
            prepare(settings(vectors=vectors), corpus, tmp_path / "run")

    refused(UnknownModel, "no-such", "no-such")
    words = replace(tiny_card, name="words", sha256={WEIGHTS: "", "words.txt": ""})
    monkeypatch.setitem(catalogue.MODELS, "words", words)
    refused(ConfigError, "words does not read subwords", "words")
    monkeypatch.setitem(catalogue.MODELS, "tiny", replace(tiny_card, sha256={**tiny_card.sha256, WEIGHTS: "0" * 64}))
    refused(WeightsDamaged, WEIGHTS)
    (tiny_card.folder / WEIGHTS).unlink()
    refused(WeightsMissing, WEIGHTS)


def test_a_model_to_go_on_from_has_vectors_of_its_own(tiny_card, corpus, tmp_path, model_bytes):
    """`--init` stands above `vectors`: all weights are that model's."""
    config, folder = settings(peak_rate=1e-12, updates=1), tmp_path / "other"
    folder.mkdir()
    torch.manual_seed(31)
    weights = Seq2Seq(config.model).state_dict()
    safetensors.torch.save_file(weights, folder / WEIGHTS)
    (folder / TOKENIZER).write_bytes(model_bytes)
    (tiny_card.folder / TOKENIZER).unlink()  # not looked at
    path = run_training(config, corpus, tmp_path / "run", MINUTES, initial=Start("other@0", folder))
    for name, value in safetensors.torch.load_file(path).items():
        torch.testing.assert_close(value, weights[name], rtol=0, atol=1e-9)


# --- What it learns ---------------------------------------------------------------------------------------------------

WORDS, SHIFT = range(4, 12), 8  # 8 words; word w is translated as w + 8


def phrases() -> list[Example]:
    """Twenty phrases of 2 to 5 words, translated word by word and last word first."""
    rng = np.random.default_rng(3)
    rows = [rng.choice(WORDS, size=2 + index % 4).tolist() for index in range(20)]
    return [Example(row, [word + SHIFT for word in reversed(row)]) for row in rows]


@torch.no_grad()
def greedily(model: Seq2Seq, batch: Batch) -> list[list[int]]:
    """What the model says, </s> included, by its likeliest token at every step."""
    state = model.encode(torch.from_numpy(batch.source))
    tokens, columns = torch.full((len(batch.source),), START), []
    for _ in range(batch.predicted.shape[1] + 1):
        logprobs, state = model.step(state, tokens)
        tokens = logprobs.argmax(-1)
        columns.append(tokens)
    said = torch.stack(columns, dim=1).tolist()
    return [row[: row.index(END) + 1] if END in row else row for row in said]


def test_twenty_pairs_are_learnt_by_heart(tmp_path):
    """To the last token, by the averaged weights; without the source nobody could do better than a guess at each."""
    shape = Seq2SeqConfig(20, "additive", embedding=24, layers=1, encoder_width=16, width=24)
    config = TrainingConfig(
        "phrases", shape, {"phrases": 1.0}, batch_tokens=300, longest=8, peak_rate=2e-2, warmup=0.1, averaged=0.1,
        smoothing=0.0, updates=120,
    )  # fmt: skip
    batch = collate(phrases())

    def stream(seed: int) -> Iterator[Batch]:
        while True:
            yield batch

    weights = loop.train(config, stream, [batch], tmp_path, MINUTES)
    model = Seq2Seq(shape).eval()
    model.load_state_dict(weights)
    assert greedily(model, batch) == [[*example.target, END] for example in phrases()]
    log = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text("utf-8").splitlines()]
    assert log[-1]["step"] == 120 and log[-1]["averaged_validation_loss"] < 0.1  # ln 20 = 3.0 at the start
