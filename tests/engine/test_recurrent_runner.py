"""Recurrent translators behind the same runner, searches and gradients as every other model, and from the inside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.decoding.options import BeamOptions, SampleOptions
from engine.decoding.tree import SearchRequest, look_at, search
from engine.errors import InputError, Unsupported
from engine.interventions import Force, Head, KnockOut
from engine.models.seq2seq import ATTENTIONS, Seq2Seq
from engine.runner import Runner
from engine.saliency import saliency_of
from engine.unrolled import decoder_steps, encoder_states

TEXT, FRENCH = "The cat sleeps on the red chair.", "Le chat dort sur la chaise rouge."
CROSS = (Head("cross", 0, 0),)
SAME = 1e-5  # float32 sums in another order


@pytest.fixture(scope="module", params=ATTENTIONS)
def runner(request, recurrent_runners: dict[str, Runner]) -> Runner:
    """Each of the four."""
    return recurrent_runners[request.param]


def attends(runner: Runner) -> bool:
    """Whether it has attention."""
    return "cross" in runner.card.supports


# --- Traces -----------------------------------------------------------------------------------------------------------


def test_a_trace_has_the_one_map_of_a_model_with_attention_and_none_of_one_without(runner):
    trace = runner.trace(TEXT)
    assert set(trace.maps) == ({"cross"} if attends(runner) else set())
    assert trace.translation == runner.translate([TEXT])[0]
    assert (trace.token_logprobs <= 0).all() and len(trace.token_logprobs) == len(trace.predicted)
    for attention in trace.maps.values():
        assert attention.weights.shape == (1, 1, len(trace.predicted), len(trace.source))
        np.testing.assert_allclose(attention.weights.sum(-1), 1, atol=SAME)
        assert attention.row_tokens == trace.predicted and attention.query_tokens == trace.read


def test_a_batch_gives_what_each_text_gives_alone(runner):
    texts = [TEXT, "It is cold.", "Where is the station, please?"]
    assert runner.translate(texts) == [runner.trace(text).translation for text in texts]


def test_a_forced_translation_has_the_probabilities_of_a_plain_forward(runner):
    trace = runner.trace(TEXT, FRENCH)
    assert trace.translation == FRENCH
    logits = runner.model(runner.tensor(trace.source.ids), runner.tensor(trace.read.ids))[0]
    chosen = logits.log_softmax(-1).gather(1, runner.tensor(trace.predicted.ids).T)[:, 0]
    np.testing.assert_allclose(trace.token_logprobs, chosen.numpy(), atol=SAME)


def test_attention_can_be_switched_off_and_forced_in_decoding_and_in_the_pass_alike(recurrent_runners):
    runner = recurrent_runners["additive"]
    plain = runner.trace(TEXT, FRENCH)
    off = runner.trace(TEXT, FRENCH, (KnockOut(CROSS),))
    assert np.abs(off.token_logprobs - plain.token_logprobs).max() > 0.01
    moved = runner.trace(TEXT, FRENCH, (Force(CROSS, rows=(1,), keys=(0, 1, 2), onto=(4,)),))
    weights, before = moved.maps["cross"].weights[0, 0], plain.maps["cross"].weights[0, 0]
    assert (weights[1, :3] == 0).all()
    assert weights[1, 4] == pytest.approx(before[1, [0, 1, 2, 4]].sum(), abs=SAME)
    np.testing.assert_array_equal(weights[0], before[0])
    free = runner.trace(TEXT, None, (KnockOut(CROSS, by="mean"),))
    again = runner.trace(TEXT, free.translation, (KnockOut(CROSS, by="mean"),))
    np.testing.assert_allclose(free.token_logprobs, again.token_logprobs, atol=SAME)


def test_a_head_that_is_not_there_is_named(runner):
    with pytest.raises(InputError, match="There is no encoder"):
        runner.trace(TEXT, FRENCH, (KnockOut((Head("encoder", 0, 0),)),))


def test_where_only_a_transformer_will_do_the_error_says_so(runner):
    with pytest.raises(Unsupported, match=runner.card.name):
        _ = runner.transformer


# --- Searches ---------------------------------------------------------------------------------------------------------


def test_a_beam_of_one_is_greedy_and_a_wider_one_finds_no_worse(runner):
    alone = search(runner, SearchRequest(runner.card.identity, TEXT, BeamOptions(beams=1, max_length=24)))
    wide = search(runner, SearchRequest(runner.card.identity, TEXT, BeamOptions(beams=4, max_length=24)))
    assert alone.hypotheses[0].text == runner.trace(TEXT).translation
    assert wide.hypotheses[0].final >= alone.hypotheses[0].final - SAME
    for tree in (alone, wide):
        node = tree.hypotheses[0].node
        look = look_at(runner, tree, node)
        assert (look.attention is not None) == attends(runner)
        if look.attention is not None:
            forced = runner.trace(TEXT, look.text).maps["cross"].weights
            np.testing.assert_allclose(look.attention.weights, forced, atol=SAME)


def test_samples_have_trees_too(runner):
    options = SampleOptions(samples=4, seed=1, max_length=12)
    tree = search(runner, SearchRequest(runner.card.identity, TEXT, options))
    assert sum(node.count for node in tree.nodes if node.step == 1) == 4


# --- Gradients --------------------------------------------------------------------------------------------------------


def test_gradients_reach_every_source_token_and_only_what_was_read(runner):
    made = saliency_of(runner, runner.trace(TEXT, FRENCH))
    source, read = made.maps["cross"].norms, made.maps["decoder"].norms
    assert (source > 0).all()
    assert (np.triu(read, 1) == 0).all() and (np.diag(read) > 0).all()


def test_gradients_are_those_of_one_backward_for_each_output(runner):
    trace = runner.trace(TEXT, FRENCH)
    made = saliency_of(runner, trace, "embedding").maps["cross"].norms
    model = runner.model
    source = model.embedding(runner.tensor(trace.source.ids)).detach().requires_grad_()
    logits = model.forward_from_embeddings(source, model.embedding(runner.tensor(trace.read.ids)))[0]
    for step in (0, len(trace.predicted) - 1):
        (gradient,) = torch.autograd.grad(logits[step, trace.predicted.ids[step]], source, retain_graph=True)
        np.testing.assert_allclose(made[step], gradient[0].norm(dim=-1).numpy(), rtol=1e-4)


# --- From the inside --------------------------------------------------------------------------------------------------


def test_steps_are_those_of_the_trace(runner):
    trace = runner.trace(TEXT)
    steps = decoder_steps(runner, trace)
    assert steps.attention == runner.model.config.attention
    assert (steps.source, steps.read, steps.predicted) == (trace.source, trace.read, trace.predicted)
    assert steps.alternatives == trace.alternatives
    if attends(runner):
        np.testing.assert_allclose(steps.weights, trace.maps["cross"].weights[0, 0], atol=SAME)
        shifted = np.exp(steps.scores - steps.scores.max(1, keepdims=True))
        np.testing.assert_allclose(steps.weights, shifted / shifted.sum(1, keepdims=True), atol=SAME)
        np.testing.assert_allclose(steps.contexts, steps.weights @ steps.annotations, atol=SAME)
    else:
        assert steps.scores.shape == (0, len(trace.source))
        np.testing.assert_array_equal(steps.contexts, np.broadcast_to(steps.contexts[0], steps.contexts.shape))


def test_dot_scores_are_products_of_query_and_key(recurrent_runners):
    runner = recurrent_runners["dot"]
    steps = decoder_steps(runner, runner.trace(TEXT, FRENCH))
    keys = steps.annotations @ runner.model.keys.weight.numpy().T
    np.testing.assert_allclose(steps.scores, steps.states[:-1] @ keys.T, atol=1e-4)


def test_encoder_states_are_both_halves_of_each_layer(runner):
    source = runner.encode(TEXT)
    states = encoder_states(runner, source)
    model = runner.model
    assert isinstance(model, Seq2Seq)
    assert states.forwards.shape == states.backwards.shape == (2, len(source), model.config.encoder_width)
    last = np.concatenate([states.forwards[-1], states.backwards[-1]], axis=-1)
    np.testing.assert_allclose(last, decoder_steps(runner, runner.trace(TEXT)).annotations, atol=SAME)
    shorter = encoder_states(runner, runner.encode("The cat sleeps on the"))
    together = len(runner.encode("The cat sleeps on the")) - 1  # without </s>
    np.testing.assert_allclose(states.forwards[0, :together], shorter.forwards[0, :together], atol=SAME)
    assert np.abs(states.backwards[0, :together] - shorter.backwards[0, :together]).max() > 0.01


def test_a_transformer_has_no_states(tiny_runner):
    trace = tiny_runner.trace(TEXT)
    for ask in (lambda: decoder_steps(tiny_runner, trace), lambda: encoder_states(tiny_runner, trace.source)):
        with pytest.raises(Unsupported, match="recurrent translator"):
            ask()
