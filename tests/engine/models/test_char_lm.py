"""The character LSTM: equal to torch's, and the same by steps, by rows and with every gate shown."""

from __future__ import annotations

import math
from dataclasses import asdict

import pytest
import torch

from engine.errors import ConfigError
from engine.models.char_lm import CharLM, CharLMConfig, CharLMState
from engine.weights import from_json

SMALL = CharLMConfig(characters=11, embedding=6, width=8, layers=2)
IDS = torch.tensor([[1, 7, 3, 5, 10, 9, 4], [2, 10, 4, 4, 0, 3, 2], [8, 1, 2, 5, 9, 0, 6]])
ROWS, LENGTH = IDS.shape
# Two float64 ways to the same sums of up to 14 products of numbers around 1, through two layers and seven steps.
FLOAT64 = {"rtol": 0, "atol": 1e-12}
LOGPROBS32 = {"rtol": 0, "atol": 1e-6}  # half a unit of the last place of a float32 of up to −16


@pytest.fixture(scope="module")
def model() -> CharLM:
    """Weights of trained size, biases too, or one that is left out would not show."""
    made = CharLM(SMALL).double().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for parameter in made.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.copy_(noise * (1.5 / math.sqrt(parameter.shape[1]) if parameter.ndim > 1 else 0.3))
    return made


def test_equals_torch(model):
    theirs = torch.nn.LSTM(6, 8, 2, batch_first=True, dtype=torch.float64)
    theirs.load_state_dict(model.body.network.state_dict())
    hidden = theirs(model.embedding.weight[IDS])[0]
    expected = hidden @ model.output.weight.T + model.output.bias
    logits = model(IDS)
    assert logits.shape == (ROWS, LENGTH, 11) and logits.std() > 0.3
    torch.testing.assert_close(logits, expected, **FLOAT64)
    torch.testing.assert_close(model.record(IDS).output, hidden, **FLOAT64)


def test_parts_of_a_forward_give_the_whole(model):
    vectors, logits = model.embedding(IDS), model(IDS)
    assert vectors.shape == (ROWS, LENGTH, 6)
    assert torch.equal(model.forward_from_embeddings(vectors), logits)
    assert torch.equal(model.logits(model.hidden_from_embeddings(vectors)), logits)


def test_a_later_character_changes_nothing_before(model):
    logits = model(IDS)
    for t in range(LENGTH):
        changed = IDS.clone()
        changed[:, t] = (changed[:, t] + 4) % 11
        difference = (model(changed) - logits).abs().amax(dim=(0, 2))
        assert not difference[:t].any()
        assert difference[t] > 1e-3


def test_gradients_equal_finite_differences(model):
    vectors = model.embedding(IDS[:2, :3]).clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: model.forward_from_embeddings(x)[..., :3], vectors)


# --- Step by step -----------------------------------------------------------------------------------------------------


def parts(state: CharLMState) -> list[torch.Tensor]:
    """Hidden state and memory of every layer."""
    return [part for layer in state.layers for part in layer]


@pytest.mark.parametrize("read", [0, 1, 4, LENGTH - 1])
def test_steps_after_any_start_equal_the_whole(model, read):
    expected = model(IDS).log_softmax(-1)
    state = model.encode(IDS[:, :read])
    assert state.length == read
    for t in range(read, LENGTH):
        before, kept = state, [part.clone() for part in parts(state)]
        logprobs, state = model.step(state, IDS[:, t])
        assert logprobs.dtype == torch.float32 and (before.length, state.length) == (t, t + 1)
        torch.testing.assert_close(logprobs.double(), expected[:, t], **LOGPROBS32)
        assert all(map(torch.equal, kept, parts(before)))  # a state is a value: the step left it as it was
    for mine, whole in zip(parts(state), parts(model.encode(IDS)), strict=True):
        torch.testing.assert_close(mine, whole, **FLOAT64)


def test_an_empty_start_is_the_start(model):
    empty = model.encode(torch.empty(2, 0, dtype=torch.long))
    assert empty.length == 0 and len(parts(empty)) == 4
    for found in (empty, model.start(2)):
        assert all(part.shape == (2, 8) and part.dtype == torch.float64 and not part.any() for part in parts(found))


def test_selected_rows_go_on_as_themselves(model):
    expected = model(IDS).log_softmax(-1)
    rows = torch.tensor([2, 0, 0, 1])
    state = model.encode(IDS[:, :-1])
    logprobs, after = model.step(state.select(rows), IDS[rows, -1])
    torch.testing.assert_close(logprobs.double(), expected[rows, -1], **LOGPROBS32)
    assert after.length == LENGTH and len(parts(state)[0]) == ROWS


def test_a_recording_goes_on_after_a_state(model):
    whole, rest = model.record(IDS), model.record(IDS[:, 3:], model.encode(IDS[:, :3]))
    torch.testing.assert_close(rest.output, whole.output[:, 3:], **FLOAT64)
    for layer in range(2):
        for name in ("hidden", "memory"):
            torch.testing.assert_close(rest.states[layer][name], whole.states[layer][name][:, 3:], **FLOAT64)
        assert rest.gates[layer].keys() == whole.gates[layer].keys() and "forget" in rest.gates[layer]
        for mine, theirs in zip(rest.final[layer], whole.final[layer], strict=True):
            torch.testing.assert_close(mine, theirs, **FLOAT64)
    assert (model.record(IDS[:, 3:]).output - rest.output).abs().max() > 1e-2  # the state is not forgotten
    torch.testing.assert_close(model.logits(whole.output), model(IDS), **FLOAT64)


def test_there_is_no_longest_text(model):
    ids = torch.arange(700)[None] % 11
    logprobs, state = model.step(model.encode(ids[:, :-1]), ids[:, -1])
    assert state.length == 700
    torch.testing.assert_close(logprobs.double(), model(ids)[:, -1].log_softmax(-1), **LOGPROBS32)


# --- Sizes and configurations -----------------------------------------------------------------------------------------


def test_parameters_are_counted_by_hand():
    model = CharLM(CharLMConfig(characters=81))
    gates = 4 * 512 * (64 + 512 + 2) + 4 * 512 * (512 + 512 + 2)  # of two layers, each with torch's two biases
    assert sum(p.numel() for p in model.parameters()) == 81 * 64 + gates + 81 * 512 + 81


@pytest.mark.parametrize("name", ["characters", "embedding", "width", "layers"])
def test_impossible_configurations_are_named(name):
    with pytest.raises(ConfigError, match=f"{name} 0: it must be at least 1"):
        from_json(CharLMConfig, asdict(SMALL) | {name: 0}, "config.json")


def test_a_configuration_comes_back_and_unknown_keys_are_named():
    assert from_json(CharLMConfig, asdict(SMALL), "config.json") == SMALL
    with pytest.raises(ConfigError, match="unknown key 'vocabulary'"):
        from_json(CharLMConfig, asdict(SMALL) | {"vocabulary": 11}, "config.json")
