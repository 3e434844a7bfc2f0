"""Recurrent cells and stacks: parity with torch.nn, the nested LSTM by its equations, gates, gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from engine.models.recurrent import FUSED, GRUCell, LSTMCell, RecurrentStack, TanhCell

KINDS = ("rnn", "gru", "lstm", "nlstm")
BATCH, LENGTH, INPUT, WIDTH, LAYERS = 3, 7, 5, 6, 2
# Both ways compute the same sums of some ten products of numbers around 1 in another order, through 7 steps and 2
# layers: a few roundings of 2^-53 or 2^-24. A gate out of order or a bias left out changes outputs by 1e-2 or more.
ROUNDING = {torch.float64: 1e-12, torch.float32: 1e-5}


def build(kind: str, dtype: torch.dtype = torch.float64, layers: int = LAYERS, width: int = WIDTH) -> RecurrentStack:
    """A stack whose weights use the gates' whole range; biases too."""
    stack = RecurrentStack(kind, INPUT, width, layers).to(dtype).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in stack.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise * (0.7 if parameter.ndim > 1 else 0.5))
    return stack


def inputs(dtype: torch.dtype = torch.float64, batch: int = BATCH, length: int = LENGTH) -> torch.Tensor:
    return torch.randn(batch, length, INPUT, generator=torch.Generator().manual_seed(6), dtype=torch.float64).to(dtype)


def explicitly(stack: RecurrentStack, x: torch.Tensor) -> torch.Tensor:
    """Outputs of a stack, step by step through `step`."""
    states, outputs = stack.initial(len(x), x), []
    for t in range(x.shape[1]):
        output, states = stack.step(x[:, t], states)
        outputs.append(output)
    return torch.stack(outputs, dim=1)


# --- Parity -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize(
    ("kind", "ours", "torchs"),
    [("rnn", TanhCell, nn.RNNCell), ("gru", GRUCell, nn.GRUCell), ("lstm", LSTMCell, nn.LSTMCell)],
)
@torch.no_grad()
def test_a_step_equals_that_of_torch(kind, ours, torchs, dtype):
    cell, theirs = ours(*build(kind, dtype, 1).network.parameters()), torchs(INPUT, WIDTH, dtype=dtype)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        getattr(theirs, name).copy_(getattr(cell, name))
    x, state = inputs(dtype)[:, 0], tuple(inputs(dtype)[:, i, :1].repeat(1, WIDTH) for i in (1, 2))
    state = state[: len(cell.state_names)]
    output, after = cell.step(x, state)
    expected = theirs(x, state if kind == "lstm" else state[0])
    expected = expected if kind == "lstm" else (expected,)
    assert output.shape == (BATCH, WIDTH) and output is after[0] and output.std() > 0.1
    torch.testing.assert_close(after, expected, rtol=0, atol=ROUNDING[dtype])


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("kind", FUSED)
@torch.no_grad()
def test_explicit_equals_fused(kind, dtype):
    stack = build(kind, dtype)
    theirs = FUSED[kind](INPUT, WIDTH, LAYERS, batch_first=True, dtype=dtype)
    theirs.load_state_dict(stack.network.state_dict())  # the names and shapes are torch's
    x = inputs(dtype)
    fused, (expected, last), recording = stack(x), theirs(x), stack.record(x)
    assert fused.shape == (BATCH, LENGTH, WIDTH) and fused.std() > 0.1
    assert torch.equal(fused, expected)  # the same kernel
    for explicit in (recording.output, explicitly(stack, x)):
        torch.testing.assert_close(explicit, expected, rtol=0, atol=ROUNDING[dtype])
    for layer in range(LAYERS):
        final = tuple(part[layer] for part in (last if kind == "lstm" else (last,)))
        torch.testing.assert_close(recording.final[layer], final, rtol=0, atol=ROUNDING[dtype])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def nested_by_hand(weights: dict[str, np.ndarray], sequence: np.ndarray, layer: int) -> np.ndarray:
    """Moniz and Krueger 2017, section 3, one sequence (T, I), gate by gate; outputs (T, H)."""
    own = {name.removesuffix(f"_l{layer}"): value for name, value in weights.items() if name.endswith(f"_l{layer}")}
    of = {name: np.split(value, 4) for name, value in own.items()}  # input, forget, cell, output
    h = c = c_inner = np.zeros(WIDTH)
    outputs = []
    for x in sequence:
        i, f, g, o = (
            W @ x + U @ h + b for W, U, b in zip(of["weight_ih"], of["weight_hh"], of["bias_ih"], strict=True)
        )
        x_inner = sigmoid(i) * g
        h_inner = sigmoid(f) * c
        i_inner, f_inner, g_inner, o_inner = (
            W @ x_inner + U @ h_inner + b
            for W, U, b in zip(of["inner_weight_ih"], of["inner_weight_hh"], of["inner_bias"], strict=True)
        )
        c_inner = sigmoid(f_inner) * c_inner + sigmoid(i_inner) * np.tanh(g_inner)
        c = sigmoid(o_inner) * np.tanh(c_inner)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return np.array(outputs)


@torch.no_grad()
def test_the_nested_lstm_equals_its_equations():
    stack, x = build("nlstm"), inputs()
    weights = {name: parameter.numpy() for name, parameter in stack.network.named_parameters()}
    expected = x.numpy()
    for layer in range(LAYERS):
        expected = np.stack([nested_by_hand(weights, sequence, layer) for sequence in expected])
    assert expected.std() > 0.05
    for ours in (stack(x), stack.record(x).output, explicitly(stack, x)):
        np.testing.assert_allclose(ours.numpy(), expected, rtol=0, atol=ROUNDING[torch.float64])


def test_the_article_s_parameter_counts():
    """Its TensorFlow cells have one bias per gate; torch.nn.GRU and LSTM have two."""

    def count(kind: str, layers: int) -> int:
        return sum(parameter.numel() for parameter in RecurrentStack(kind, 600, 600, layers).parameters())

    assert count("nlstm", 1) == 5_764_800
    assert count("gru", 2) - 2 * 3 * 600 == 4_323_600
    assert count("lstm", 2) - 2 * 4 * 600 == 5_764_800


def cell_of(kind: str, biases: tuple[float, ...], width: int = 2):
    """A cell that hears its biases only, one number per gate."""
    stack = RecurrentStack(kind, 1, width).double()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        own = stack.network.get_parameter("bias_ih_l0")
        own.copy_(torch.tensor(biases, dtype=torch.float64).repeat_interleave(width))
    return stack.cells()[0]


def test_a_gru_with_its_update_gate_open_keeps_its_state():
    """Cho et al.'s z: near 1 it copies the state, near 0 it takes the candidate. In Elman's network nothing copies."""
    state = (torch.tensor([[0.3, -0.8]], dtype=torch.float64),)
    x = torch.ones(1, 1, dtype=torch.float64)
    kept, _, gates = cell_of("gru", (0.0, 50.0, 0.5)).step_with_gates(x, state)
    torch.testing.assert_close(kept, state[0], rtol=0, atol=1e-15)
    assert gates["update"].min() > 1 - 1e-15
    assert gates["reset"].tolist() == [[0.5, 0.5]]
    taken, _ = cell_of("gru", (0.0, -50.0, 0.5)).step(x, state)
    torch.testing.assert_close(taken, torch.full((1, 2), 0.5, dtype=torch.float64).tanh(), rtol=0, atol=1e-15)
    assert torch.equal(cell_of("rnn", (0.0,)).step(x, state)[0], torch.zeros(1, 2, dtype=torch.float64))


def test_the_reset_gate_stands_after_the_recurrent_product():
    """With recurrent bias c, a closed reset gate silences c too; in TensorFlow 1's form c would still be heard."""
    stack = RecurrentStack("gru", 1, 1).double()
    with torch.no_grad():
        for parameter in stack.parameters():
            parameter.zero_()
        stack.network.get_parameter("bias_ih_l0")[0] = -50.0
        stack.network.get_parameter("bias_hh_l0")[2] = 3.0
    one = torch.ones(1, 1, dtype=torch.float64)
    _, _, gates = stack.cells()[0].step_with_gates(one, (one,))
    assert gates["candidate"].abs().item() < 1e-15


def test_an_lstm_with_its_forget_gate_open_keeps_its_memory():
    state = (torch.zeros(1, 2, dtype=torch.float64), torch.tensor([[4.0, -9.0]], dtype=torch.float64))
    x = torch.ones(1, 1, dtype=torch.float64)
    output, (_, memory) = cell_of("lstm", (-50.0, 50.0, 1.0, 0.0)).step(x, state)
    torch.testing.assert_close(memory, state[1], rtol=0, atol=1e-14)
    torch.testing.assert_close(output, 0.5 * state[1].tanh(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", ["lstm", "nlstm"])
def test_forget_gates_start_open(kind):
    for name, parameter in RecurrentStack(kind, INPUT, WIDTH, LAYERS).network.named_parameters():
        if "bias" in name:
            part = parameter.detach()[WIDTH : 2 * WIDTH]
            assert part.tolist() == [0.0 if name.startswith("bias_hh") else 1.0] * WIDTH, name


# --- Recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "states", "gates"),
    [
        ("rnn", ["hidden"], []),
        ("gru", ["hidden"], ["reset", "update", "candidate"]),
        ("lstm", ["hidden", "memory"], ["input", "forget", "cell", "output"]),
        ("nlstm", ["hidden", "memory", "inner memory"],
         ["input", "forget", "cell", "output", "inner input", "inner forget", "inner cell", "inner output"]),
    ],
)  # fmt: skip
@torch.no_grad()
def test_a_recording_has_every_state_and_gate(kind, states, gates):
    stack, x = build(kind), inputs()
    recording = stack.record(x)
    assert len(recording.states) == len(recording.gates) == len(recording.final) == LAYERS
    assert torch.equal(recording.output, recording.states[-1]["hidden"])
    for layer in range(LAYERS):
        assert list(recording.states[layer]) == states and list(recording.gates[layer]) == gates
        for name, value in {**recording.states[layer], **recording.gates[layer]}.items():
            assert value.shape == (BATCH, LENGTH, WIDTH), name
        for name, last in zip(states, recording.final[layer], strict=True):
            assert torch.equal(recording.states[layer][name][:, -1], last)
        for name, value in recording.gates[layer].items():
            if name == "cell" and kind == "nlstm":
                assert layer or value.abs().max() > 1  # linear: what it reads decides how far it goes
            else:
                low = -1 if name.endswith(("candidate", "cell")) else 0
                assert value.min() > low and value.max() < 1 and value.std() > 0.05, name


@pytest.mark.parametrize("kind", ["gru", "lstm", "nlstm"])
@torch.no_grad()
def test_recorded_gates_explain_the_recorded_states(kind):
    """The equation of the memory, from the recording alone."""
    recording = build(kind).record(inputs())
    for states, gates in zip(recording.states, recording.gates, strict=True):
        name = {"gru": "hidden", "lstm": "memory", "nlstm": "inner memory"}[kind]
        before = torch.cat([torch.zeros(BATCH, 1, WIDTH), states[name][:, :-1]], dim=1)
        if kind == "gru":
            after = (1 - gates["update"]) * gates["candidate"] + gates["update"] * before
        else:
            inner = "inner " if kind == "nlstm" else ""
            after = gates[f"{inner}forget"] * before + gates[f"{inner}input"] * gates[f"{inner}cell"]
        torch.testing.assert_close(states[name], after, rtol=0, atol=1e-14)
        if kind != "gru":
            torch.testing.assert_close(states["hidden"], gates["output"] * states["memory"].tanh(), rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_a_recording_goes_on_from_another(kind):
    stack, x = build(kind), inputs()
    whole, first = stack.record(x), stack.record(x[:, :3])
    second = stack.record(x[:, 3:], first.final)
    together = torch.cat([first.output, second.output], dim=1)  # the inputs' product has another shape: roundings
    torch.testing.assert_close(together, whole.output, rtol=0, atol=1e-13)
    states = stack.initial(BATCH, x)
    copies = [part.clone() for layer in states for part in layer]
    stack.step(x[:, 0], states)
    assert all(map(torch.equal, copies, [part for layer in states for part in layer]))  # states are values


# --- Batches, causality, gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_batch_equals_single_and_later_inputs_change_nothing(kind):
    stack, x = build(kind), inputs()
    whole = stack(x)
    for row in range(BATCH):
        torch.testing.assert_close(stack(x[row : row + 1]), whole[row : row + 1], rtol=0, atol=1e-13)
    for t in range(LENGTH):
        changed = x.clone()
        changed[:, t] += 1.0
        difference = (stack(changed) - whole).abs().amax(dim=(0, 2))
        assert not difference[:t].any()
        assert difference[t:].min() > 1e-6  # and every step from there on hears it


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_equal_finite_differences(kind):
    stack, x = build(kind, width=3), inputs(batch=2, length=4).requires_grad_()
    assert torch.autograd.gradcheck(stack, x)  # float64, relative 1e-3 of central differences of 1e-6
    assert torch.autograd.gradcheck(lambda vectors: stack.record(vectors).output, x)


@pytest.mark.parametrize("kind", FUSED)
def test_gradients_of_both_paths_are_equal(kind):
    stack, x = build(kind), inputs()
    gradients = []
    for output in (stack(x), stack.record(x).output):
        stack.zero_grad()
        output.square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in stack.parameters()])
    # sums over batch and steps of numbers up to 100
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-11, atol=1e-11)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_gives_outputs_and_gradients_in_evaluation_mode(kind):
    stack, x = build(kind), inputs().requires_grad_()
    (expected,) = torch.autograd.grad(stack(x).square().sum(), x)
    there = x.detach().cuda().requires_grad_()
    output = stack.cuda()(there)
    (gradient,) = torch.autograd.grad(output.square().sum(), there)
    torch.testing.assert_close(gradient.cpu(), expected, rtol=1e-10, atol=1e-10)  # float64 in another order
    with torch.no_grad():
        torch.testing.assert_close(stack(there), output, rtol=0, atol=1e-12)  # cuDNN's own
