"""Interventions in forwards: each changes what it says and nothing else, in a whole pass as step by step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from engine import runner as runner_module
from engine.edits import Edits, Intervened, compile_edits
from engine.errors import InputError
from engine.interventions import Force, Head, Intervention, KnockOut, Patch
from engine.models.taps import Tap
from engine.models.transformer import TransformerConfig
from engine.reference import output_buffers
from engine.runner import Runner
from engine.text import with_start
from engine.types import KINDS, Trace

TEXT = "The cat sleeps on the red chair."
TARGET = "Le chat dort sur la chaise rouge."
OTHER = "The dog sleeps on the old bridge."
OTHER_TARGET = "Le chien dort sur le vieux pont."
# Weights of attention are at most 1; logits here are up to 20. Two float32 ways to the same sums of 32 or 64 products,
# through 5 layers, differ by some ten roundings of 2^-24 of that.
WEIGHTS32, LOGITS32 = 2e-6, 5e-5

CROSS, ENCODER, DECODER = Head("cross", 1, 2), Head("encoder", 1, 0), Head("decoder", 2, 3)
MANY = (Head("encoder", 0, 1), ENCODER, Head("decoder", 0, 0), DECODER, Head("cross", 0, 0), CROSS)


@pytest.fixture(scope="module")
def means(tiny_runner: Runner):
    """Means of their own for the tiny model, so that no reference set has to be run."""
    generator = torch.Generator().manual_seed(3)
    places = output_buffers(tiny_runner.model, 1, 1, 1)
    return {place: torch.randn(4, 8, generator=generator) for place in places}


@pytest.fixture(autouse=True)
def _no_reference_set(monkeypatch, means):
    monkeypatch.setattr(runner_module, "reference_means", lambda model, tokenizer: means)


def patch_of(runner: Runner, heads: tuple[Head, ...], positions: tuple[tuple[int, int], ...] = ()) -> Patch:
    """From the other sentence, at the positions that both have unless others are given."""
    shared = min(len(runner.encode(OTHER)), len(runner.tokenizer.encode(OTHER_TARGET)))
    return Patch(heads, OTHER, OTHER_TARGET, positions or tuple((i, i) for i in range(shared)))


def every_kind(runner: Runner) -> dict[str, tuple[Intervention, ...]]:
    return {
        "zero": (KnockOut(MANY),),
        "mean": (KnockOut(MANY, "mean"),),
        "patch": (patch_of(runner, MANY),),
        "force encoder": (Force((ENCODER,), (0, 3), (0, 2), (4, 5)),),
        "force cross": (Force((CROSS, Head("cross", 0, 0)), (1, 2, 4), (0, 1), (3,)),),
        "force decoder": (
            Force((DECODER, Head("decoder", 0, 0)), (2, 4, 5), (0, 2), (1, 4)),
            Force((DECODER,), (1, 3), (0,), (4,)),  # which is still to come in these rows
        ),
        "all": (Force((CROSS,), (1, 2), (0, 1), (3,)), patch_of(runner, (CROSS, ENCODER)), KnockOut((DECODER,))),
    }


CASES = ("zero", "mean", "patch", "force encoder", "force cross", "force decoder", "all")


def traced(runner: Runner, *interventions: Intervention, target: str | None = TARGET) -> Trace:
    return runner.trace(TEXT, target, interventions)


def assert_equal_traces(one: Trace, other: Trace) -> None:
    """To the last bit."""
    assert one.predicted == other.predicted and one.alternatives == other.alternatives
    assert np.array_equal(one.token_logprobs, other.token_logprobs)
    assert all(np.array_equal(one.maps[kind].weights, other.maps[kind].weights) for kind in KINDS)


@torch.inference_mode()
def outputs_of(runner: Runner, *interventions: Intervention) -> dict[tuple[str, int], Tensor]:
    """What every head gives, (H, Q, d/H) by sublayer, over the forced output."""
    source, read = runner.encode(TEXT), with_start(runner.tokenizer.encode(TARGET))
    changes = runner.edits(interventions).at(0)
    buffers = output_buffers(runner.model, 1, len(source), len(read))
    taps = {}
    for place, tap in buffers.items():
        change = changes.get(place, Tap())
        taps[place] = Tap(
            outputs=tap.outputs, change_weights=change.change_weights, change_outputs=change.change_outputs
        )
    runner.model(runner.tensor(source.ids), runner.tensor(read.ids), taps)
    return {place: tap.outputs[0] for place, tap in taps.items()}


# --- None, and what each does -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [TARGET, None], ids=["forced", "greedy"])
def test_no_interventions_leave_a_trace_as_it_is(tiny_runner, target):
    """A model wrapped with no edits, a forward with no taps: the same kernels in the same order."""
    assert_equal_traces(tiny_runner.trace(TEXT, target, ()), tiny_runner.trace(TEXT, target))
    assert Edits({}, {}).at(0) == {}
    edits = compile_edits((), tiny_runner.model.config, means=pytest.fail, donor=pytest.fail)
    assert edits == Edits({}, {})


def test_a_knock_out_puts_zero_or_the_mean_at_every_position(tiny_runner, means):
    heads = (Head("cross", 1, 0), CROSS)
    plain = outputs_of(tiny_runner)["cross", 1]
    zero = outputs_of(tiny_runner, KnockOut(heads))["cross", 1]
    mean = outputs_of(tiny_runner, KnockOut(heads, "mean"))["cross", 1]
    assert plain[[0, 2]].abs().min() > 0
    assert (zero[[0, 2]] == 0).all()
    assert torch.equal(mean[[0, 2]], means["cross", 1][[0, 2], None].expand_as(mean[[0, 2]]))
    # the other heads of the layer have the same keys and queries as before: the same numbers, a fused kernel's rounding
    for changed in (zero, mean):
        torch.testing.assert_close(changed[[1, 3]], plain[[1, 3]], rtol=0, atol=WEIGHTS32)


def test_a_knock_out_leaves_its_own_weights_and_moves_what_comes_after(tiny_runner):
    plain, off = traced(tiny_runner), traced(tiny_runner, KnockOut((CROSS,)))
    assert np.array_equal(off.maps["cross"].weights[:2], plain.maps["cross"].weights[:2])  # it still looks
    assert np.array_equal(off.maps["encoder"].weights, plain.maps["encoder"].weights)
    assert np.abs(off.maps["cross"].weights[2] - plain.maps["cross"].weights[2]).max() > 1e-3
    assert np.abs(off.token_logprobs - plain.token_logprobs).max() > 1e-3


def test_interventions_are_made_in_their_order(tiny_runner, means):
    patch, off = patch_of(tiny_runner, (CROSS,)), KnockOut((CROSS,), "mean")
    last_off = outputs_of(tiny_runner, patch, off)["cross", 1][2]
    last_patched = outputs_of(tiny_runner, off, patch)["cross", 1][2]
    assert torch.equal(last_off, means["cross", 1][2].expand_as(last_off))
    rows = len(patch.positions)
    assert torch.equal(last_patched[:rows], outputs_of(tiny_runner, patch)["cross", 1][2][:rows])
    assert (last_patched[rows:] == means["cross", 1][2]).all()  # where nothing is patched, the mean stays
    first, second = Force((CROSS,), (1,), (0,), (2,)), Force((CROSS,), (1,), (2,), (3,))
    there = traced(tiny_runner, first, second).maps["cross"].weights[1, 2, 1]
    back = traced(tiny_runner, second, first).maps["cross"].weights[1, 2, 1]
    assert there[2] == 0 and back[2] > 0 and there[0] == back[0] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_patched_into_itself_changes_nothing(tiny_runner, kind):
    layers = 2 if kind == "encoder" else 3
    heads = tuple(Head(kind, layer, head) for layer in range(layers) for head in range(4))
    length = len(tiny_runner.encode(TEXT) if kind == "encoder" else tiny_runner.tokenizer.encode(TARGET))
    patched = traced(tiny_runner, Patch(heads, TEXT, TARGET, tuple((i, i) for i in range(length))))
    plain = traced(tiny_runner)
    for one in KINDS:
        # the donor ran on the fused path, this pass on the explicit one
        np.testing.assert_allclose(patched.maps[one].weights, plain.maps[one].weights, rtol=0, atol=WEIGHTS32)
    np.testing.assert_allclose(patched.token_logprobs, plain.token_logprobs, rtol=0, atol=LOGITS32)


@pytest.mark.parametrize("head", [Head("encoder", 0, 1), Head("decoder", 0, 1), Head("cross", 0, 1)], ids=KINDS)
def test_a_patch_changes_its_own_rows_alone(tiny_runner, head):
    donor = patch_of(tiny_runner, (head,), ((2, 4), (0, 1)))
    place = (head.kind, head.layer)
    plain, patched = outputs_of(tiny_runner)[place], outputs_of(tiny_runner, donor)[place]
    source, read = tiny_runner.encode(OTHER), with_start(tiny_runner.tokenizer.encode(OTHER_TARGET))
    buffers = output_buffers(tiny_runner.model, 1, len(source), len(read))
    with torch.inference_mode():
        tiny_runner.model(tiny_runner.tensor(source.ids), tiny_runner.tensor(read.ids), buffers)
    there = buffers[place].outputs[0]
    assert torch.equal(patched[1, [4, 1]], there[1, [2, 0]])
    expected = plain.clone()
    expected[1, [4, 1]] = there[1, [2, 0]]
    assert torch.equal(patched, expected)
    assert (there[1, 2] - plain[1, 4]).abs().max() > 1e-3


# --- Forced attention -------------------------------------------------------------------------------------------------


def test_forced_rows_have_their_mass_moved_and_keep_their_sum(tiny_runner):
    force = Force((CROSS,), (1, 4), (0, 3), (2, 5))
    plain, forced = (traced(tiny_runner, *some).maps["cross"].weights for some in ((), (force,)))
    for row in (1, 4):
        before, after = plain[1, 2, row].astype(np.float64), forced[1, 2, row]
        expected = before.copy()
        expected[[0, 3]] = 0
        expected[[2, 5]] += before[[0, 3]].sum() * before[[2, 5]] / before[[2, 5]].sum()
        # numbers up to 1 in float32, a handful of operations each
        np.testing.assert_allclose(after, expected, rtol=0, atol=5e-7)
        assert (after[[0, 3]] == 0).all() and abs(after.sum(dtype=np.float64) - 1) < 1e-6  # as above
        untouched = np.setdiff1d(np.arange(len(before)), [0, 2, 3, 5])
        assert np.array_equal(after[untouched], plain[1, 2, row, untouched])
    others = np.setdiff1d(np.arange(plain.shape[2]), [1, 4])
    assert np.array_equal(forced[1, 2][others], plain[1, 2][others])
    assert np.array_equal(forced[1, [0, 1, 3]], plain[1, [0, 1, 3]])
    assert np.array_equal(forced[0], plain[0])


def forced_by_hand(row: list[float], keys: tuple[int, ...], onto: tuple[int, ...]) -> list[float]:
    edits = edits_of(Force((Head("cross", 0, 0),), (0,), keys, onto))
    weights = torch.tensor(row)[None, None, None].repeat(1, 4, 1, 1)
    changed = edits.weights["cross", 0][0](weights, 0)
    assert torch.equal(changed[0, 1], weights[0, 1])  # another head
    return changed[0, 0, 0].tolist()


def edits_of(*interventions: Intervention) -> Edits:
    config = TransformerConfig(19, width=16, heads=4, encoder_layers=2, decoder_layers=3)
    return compile_edits(interventions, config, means=pytest.fail, donor=pytest.fail)


def test_keys_without_any_weight_share_evenly():
    assert forced_by_hand([0.5, 0.25, 0.0, 0.0, 0.25], (0, 1), (2, 3)) == [0, 0, 0.375, 0.375, 0.25]
    assert forced_by_hand([0.5, 0.125, 0.375, 0.0], (0,), (1, 2)) == [0, 0.25, 0.75, 0]
    assert forced_by_hand([0.0, 0.5, 0.5], (0,), (1,)) == [0, 0.5, 0.5]


def test_a_key_that_is_named_twice_counts_once():
    assert forced_by_hand([0.5, 0.25, 0.25, 0.0], (0, 0), (1, 1, 2)) == [0, 0.5, 0.5, 0]


def test_keys_beyond_the_sentence_take_no_part():
    assert forced_by_hand([0.5, 0.25, 0.25], (0, 9), (1, 8)) == [0, 0.75, 0.25]
    assert forced_by_hand([0.5, 0.25, 0.25], (0,), (9,)) == [0.5, 0.25, 0.25]


def test_forced_decoder_rows_look_at_nothing_that_comes_after_them(tiny_runner):
    force = Force((DECODER,), (1, 3), (0,), (1, 2, 4))
    plain, forced = (traced(tiny_runner, *some).maps["decoder"].weights for some in ((), (force,)))
    assert (np.triu(forced[2, 3], k=1) == 0).all()
    assert forced[2, 3, 1, 0] == 0 and forced[2, 3, 1, 1] == pytest.approx(1, abs=1e-6)  # two numbers to one, rounded
    assert forced[2, 3, 3, 0] == 0 and forced[2, 3, 3].sum() == pytest.approx(1, abs=1e-6)
    assert np.array_equal(forced[2, 3, 2], plain[2, 3, 2])
    later = traced(tiny_runner, Force((DECODER,), (1, 3), (0,), (4, 5))).maps["decoder"].weights
    assert np.array_equal(later, plain), "with nowhere to go the mass stays"


# --- Steps, decoding, threads -----------------------------------------------------------------------------------------


@torch.inference_mode()
def stepwise(runner: Runner, edits: Edits, source: Tensor, read: Tensor) -> Tensor:
    model = Intervened(runner.model, edits)
    state, found = model.encode(source), []
    for position in range(read.shape[1]):
        logprobs, state = model.step(state, read[:, position])
        found.append(logprobs)
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("case", CASES)
def test_steps_equal_the_full_pass(tiny_runner, case):
    edits = tiny_runner.edits(every_kind(tiny_runner)[case])
    source = tiny_runner.tensor(tiny_runner.encode(TEXT).ids)
    read = tiny_runner.tensor(with_start(tiny_runner.tokenizer.encode(TARGET)).ids)
    with torch.inference_mode():
        full = tiny_runner.model(source, read, edits.at(0)).log_softmax(-1)
        plain = tiny_runner.model(source, read).log_softmax(-1)
    torch.testing.assert_close(stepwise(tiny_runner, edits, source, read), full, rtol=0, atol=LOGITS32)
    assert (full - plain).abs().max() > 1e-2, "the intervention shows"


@pytest.mark.parametrize("case", CASES)
def test_a_decoded_output_is_the_best_at_every_step_of_the_pass_over_it(tiny_runner, case):
    made = every_kind(tiny_runner)[case]
    trace = traced(tiny_runner, *made, target=None)
    edits, banned = tiny_runner.edits(made), list(tiny_runner.vocabulary.banned)
    with torch.inference_mode():
        source, read = tiny_runner.tensor(trace.source.ids), tiny_runner.tensor(trace.read.ids)
        logits = tiny_runner.model(source, read, edits.at(0))[0]
        logits[:, banned] = -torch.inf
    assert tuple(logits.argmax(-1).tolist()) == trace.predicted.ids
    assert trace.request.interventions == made
    assert_equal_traces(tiny_runner.run(trace.request), trace)


def test_an_intervention_changes_what_is_said(tiny_runner):
    """Or the test above would hold for decoding without it."""
    everything = tuple(Head("cross", layer, head) for layer in range(3) for head in range(4))
    off = traced(tiny_runner, KnockOut(everything), target=None)
    assert off.translation != traced(tiny_runner, target=None).translation
    # With nothing read from the source, the output is the same for any source.
    assert off.translation == tiny_runner.trace(OTHER, None, (KnockOut(everything),)).translation


def test_two_threads_share_one_model_and_one_of_them_intervenes(tiny_runner):
    made = every_kind(tiny_runner)
    jobs = [(), made["all"], made["mean"], made["force cross"]]
    state = {name: value.clone() for name, value in tiny_runner.model.state_dict().items()}
    before = [{name: list(vars(module))} for name, module in tiny_runner.model.named_modules()]
    alone = [[traced(tiny_runner, *job, target=target) for target in (TARGET, None)] for job in jobs]
    threads = torch.get_num_threads()

    def repeatedly(job: tuple[Intervention, ...]) -> list[list[Trace]]:
        torch.set_num_threads(threads)  # what a new thread has by itself may differ, and with it the order of sums
        return [[traced(tiny_runner, *job, target=target) for target in (TARGET, None)] for _ in range(6)]

    for intervening in (1, 2, 3):
        with ThreadPoolExecutor(2) as pool:
            together = list(pool.map(repeatedly, [jobs[0], jobs[intervening]]))
        for expected, found in zip((alone[0], alone[intervening]), together, strict=True):
            for pair in found:
                for one, other in zip(pair, expected, strict=True):
                    assert_equal_traces(one, other)
    assert before == [{name: list(vars(module))} for name, module in tiny_runner.model.named_modules()]
    assert all(torch.equal(value, state[name]) for name, value in tiny_runner.model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in tiny_runner.model.modules())
    assert_equal_traces(traced(tiny_runner), alone[0][0])


# --- What cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "parts"),
    [
        (Head("encoder", 2, 0), ("encoder layer 3, head 1", "2 encoder layers of 4 heads")),
        (Head("cross", 3, 0), ("cross layer 4, head 1", "3 cross layers of 4 heads")),
        (Head("decoder", 0, 4), ("decoder layer 1, head 5", "3 decoder layers of 4 heads")),
        (Head("encoder", -1, 0), ("There is no encoder", "Choose one of those")),
    ],
)
def test_a_head_that_is_not_there_is_refused(tiny_runner, head, parts):
    kinds = (KnockOut, partial(Patch, text=OTHER, target=OTHER_TARGET, positions=()))
    for kind in (*kinds, partial(Force, rows=(0,), keys=(0,), onto=(1,))):
        with pytest.raises(InputError) as error:
            traced(tiny_runner, kind((head,)))
        assert all(part in str(error.value) for part in parts), str(error.value)


def test_a_position_that_the_other_sentence_has_not_is_refused(tiny_runner):
    length = len(tiny_runner.encode(OTHER))
    patch = Patch((ENCODER,), OTHER, None, ((0, 0), (length, 1)))
    with pytest.raises(InputError, match=rf"Position {length + 1} is not .* has {length} tokens\. Choose a lower one"):
        traced(tiny_runner, patch)
    traced(tiny_runner, Patch((ENCODER,), OTHER, None, ((length - 1, 1), (0, 500))))  # here nothing is read there


def test_a_patch_of_decoder_heads_needs_an_output(tiny_runner):
    for head in (CROSS, DECODER):
        with pytest.raises(InputError, match="Give its translation"):
            traced(tiny_runner, Patch((ENCODER, head), OTHER, None, ((0, 0),)))


def test_attention_is_not_moved_onto_itself_or_to_no_place():
    with pytest.raises(InputError, match="Choose two different nouns"):
        edits_of(Force((CROSS,), (1,), (2, 3), (3, 4)))
    for rows, keys, onto in (((-1,), (0,), (1,)), ((0,), (-1,), (1,)), ((0,), (0,), (-1,))):
        with pytest.raises(InputError, match="There is no position 0"):
            edits_of(Force((CROSS,), rows, keys, onto))
