"""What a step of each language model computes: its windows or pairs, and its losses."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.errors import ConfigError
from engine.models.bert import Bert
from engine.models.char_lm import CharLM
from engine.models.gpt import GPT
from engine.training.language import tasks
from engine.training.language.masking import IGNORED, Pairs, draw_pairs
from engine.training.language.prepared import load_characters, load_stream
from engine.training.language.tasks import BertTask, CharTask, GPTTask, task_of, windows
from tests.engine.training.language.toys import PIECES, settings

KINDS = {"gpt": (GPT, GPTTask), "bert": (Bert, BertTask), "char-lm": (CharLM, CharTask)}
# Two float32 ways to a mean of about 200 numbers around 4.
FLOAT32 = {"rel": 1e-5}


# --- Windows ----------------------------------------------------------------------------------------------------------


def drawn(config, count: int, tokens: int = 1000) -> np.ndarray:
    """The starts (count, batch) of so many steps' windows, of a text whose tokens are their places."""
    ids = np.arange(tokens, dtype=np.uint16)
    found = [windows(ids, config, step) for step in range(count)]
    for batch in found:
        assert batch.dtype == torch.int64 and batch.shape == (config.batch, config.length + 1)
        assert torch.equal(batch, batch[:, :1] + torch.arange(config.length + 1))  # each one unbroken
    return np.stack([batch[:, 0].numpy() for batch in found])


@pytest.fixture
def config(prepared):
    return settings("char-lm", prepared, batch=4, length=20)


def test_an_epoch_asks_for_every_place_once(config):
    epoch = (1000 - 21) // 20 // 4
    assert epoch == 12
    for first in (0, epoch, 2 * epoch):
        starts = drawn(config, first + epoch)[first:]
        asked = Counter(int(start) + i for start in starts.ravel() for i in range(1, 21))
        assert set(asked.values()) == {1}  # no overlap
        assert len(asked) == epoch * 4 * 20  # all but the ends, and less than a batch
        assert len(asked) > 1000 - 21 - 4 * 20
        assert len(set((starts % 20).ravel().tolist())) == 1
        assert sorted(starts.ravel()) != starts.ravel().tolist()  # in random order


def test_epochs_are_cut_elsewhere_and_seeds_differ(config):
    shifts = {int(drawn(config, 12 * epoch + 1)[-1][0]) % 20 for epoch in range(6)}
    assert len(shifts) > 2
    assert (drawn(config, 3) == drawn(config, 3)).all()
    assert (drawn(config, 3) != drawn(replace(config, seed=2), 3)).any()


@pytest.mark.parametrize("tokens", range(101, 122))
def test_any_text_long_enough_gives_whole_batches(config, tokens):
    """Wherever an epoch's windows begin: 101 tokens are the fewest for four windows of 21."""
    starts = drawn(config, 20, tokens)
    assert starts.min() >= 0 and starts.max() + 21 <= tokens


@pytest.mark.parametrize("tokens", [0, 5, 21, 100])
def test_a_text_too_short_for_a_batch_is_refused(config, tokens):
    with pytest.raises(ConfigError, match=r"fewer than 4 windows of 21\. Give a longer text"):
        windows(np.zeros(tokens, dtype=np.uint16), config, 0)


# --- Losses -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=KINDS)
def task(request, prepared):
    torch.manual_seed(3)
    made = task_of(settings(request.param, prepared), prepared)
    assert tuple(map(type, (made.model, made))) == KINDS[request.param]
    assert made.tokens == 8 * 24 and made.device.type == "cpu"
    return made


def losses(task, step: int, **more) -> list[float]:
    with torch.no_grad():
        return [float(loss) for loss in task.losses(step, torch.float32, **more)]


def test_the_same_step_has_the_same_batch(task):
    assert losses(task, 4) == losses(task, 4) != losses(task, 5)
    assert losses(task, 4) != losses(task, 4, held_out=True) == losses(task, 4, held_out=True)


def test_an_untrained_model_knows_nothing(task):
    """Its loss is that of a uniform choice, nearly: weights start small."""
    first, second = losses(task, 0)
    choices = task.model.config.characters if isinstance(task.model, CharLM) else PIECES
    assert first == pytest.approx(np.log(choices), abs=0.15)
    assert second == (pytest.approx(np.log(2), abs=0.15) if isinstance(task.model, Bert) else 0)


@pytest.mark.parametrize("kind", ["gpt", "char-lm"])
@pytest.mark.parametrize("part", ["train", "valid"])
def test_every_token_of_a_window_is_predicted_from_those_before(prepared, kind, part):
    config = settings(kind, prepared)
    task = task_of(config, prepared)
    ids = load_stream(prepared, part).ids if kind == "gpt" else load_characters(prepared, part)
    window = windows(ids, config, 2)
    expected = F.cross_entropy(task.model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
    found = losses(task, 2, held_out=part == "valid")
    assert found == [pytest.approx(float(expected.detach()), **FLOAT32), 0]


def test_bert_restores_the_chosen_tokens_and_tells_what_follows(prepared):
    config = settings("bert", prepared)
    task = task_of(config, prepared)
    rng = np.random.default_rng((config.seed, 2, False))
    pairs = draw_pairs(load_stream(prepared, "train"), rng, 8, 24, PIECES)
    ids, segments, targets, following = map(
        torch.from_numpy, (pairs.ids, pairs.segments, pairs.targets, pairs.following)
    )
    with torch.no_grad():
        logits, answers = task.model(ids, segments)
    expected = (
        F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=IGNORED),
        F.cross_entropy(answers, following),
    )
    assert losses(task, 2) == [pytest.approx(float(loss), **FLOAT32) for loss in expected]


def test_bert_with_nothing_to_restore_has_a_loss_and_gradients(prepared, monkeypatch):
    """Of a small batch no token may be chosen: a mean over none would be no number, and every weight with it."""

    def unmasked(*arguments) -> Pairs:
        pairs = draw_pairs(*arguments)
        ids = np.where(pairs.targets != IGNORED, pairs.targets, pairs.ids)
        return Pairs(ids, pairs.segments, np.full_like(ids, IGNORED), pairs.following)

    monkeypatch.setattr(tasks, "draw_pairs", unmasked)
    task = task_of(settings("bert", prepared, batch=1), prepared)
    first, second = task.losses(0, torch.float32)
    (first + second).backward()
    assert float(first.detach()) == 0 and float(second.detach()) > 0
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in task.parameters())


def test_bfloat16_is_near_float32(task):
    exact = losses(task, 0)
    for module in task.modules():
        if isinstance(module, task.rounded):
            module.to(torch.bfloat16)
    with torch.no_grad():
        rounded = [float(loss) for loss in task.losses(0, torch.bfloat16)]
    assert rounded[0] != exact[0]
    assert rounded == [pytest.approx(loss, rel=1e-2) for loss in exact]  # eight bits of each factor
