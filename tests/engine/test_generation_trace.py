"""One causal map over prompt and output, its gradients, and the units of a recurrent network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.connectivity import connectivity, plan
from engine.decoding.options import SampleOptions
from engine.errors import EmptyInput, InputTooLong, Unsupported
from engine.generation_trace import saliency_of
from engine.saliency import hide_special, merge_words, saliency_json
from engine.unit_traces import LONGEST, unit_record
from tests.engine.generators import CONTEXT, tiny_char_lm, tiny_gpt, tiny_trigram

PROMPT = "The cat sat"
EXACT = 1e-5  # of a row's largest: float32 sums in another order


def drawn(count: int, seed: int = 1) -> tuple[int, ...]:
    return tuple(
        one.token for one in tiny_gpt().stream(PROMPT, (), SampleOptions(1, seed=seed, top_k=30, max_length=count))
    )


def test_one_map_of_prompt_and_output_is_the_cached_steps_and_the_maps_of_the_model():
    generator, taken = tiny_gpt(), drawn(4)
    found = generator.trace(PROMPT, taken)
    whole = generator.tokens_of(PROMPT, taken)
    assert found.read.ids == whole.ids[:-1] and found.predicted.ids == whole.ids[1:]
    assert found.source.ids == generator.prompt(PROMPT).tokens.ids
    assert found.predicted.ids[len(found.source) - 1 :] == taken, "rows from there on made the output"
    assert PROMPT + found.translation == generator.text_of(PROMPT, taken)
    map_ = found.maps["decoder"]
    assert map_.key_tokens is map_.query_tokens is found.read and map_.predicted_tokens is found.predicted
    assert map_.row_title(0) == f"reads <s> → predicts {found.predicted.labels[0]}"
    assert (map_.weights[:, :, map_.masked()] == 0).all()
    np.testing.assert_allclose(map_.weights.sum(-1), 1, atol=1e-5)
    own = generator.model.forward_with_maps(generator.tensor(found.read.ids))
    np.testing.assert_array_equal(map_.weights, own.decoder[:, 0].numpy())
    last = generator.next_token(PROMPT, taken[:-1], SampleOptions(), 10**6)
    before = next(one.before for one in last.choices if one.token == taken[-1])
    assert found.token_logprobs[-1] == pytest.approx(np.log(before), abs=1e-3)
    best = own.logits[0].argmax(-1).tolist()
    assert [row[0][0] for row in found.alternatives] == [generator.tokenizer.label_of(token) for token in best]
    assert found.notes == () and found.request.taken == taken and found.request.text == PROMPT


def test_a_prompt_alone_is_a_trace_and_nothing_at_all_is_none():
    found = tiny_gpt().trace(PROMPT, ())
    assert found.translation == "" and found.request.target is None and len(found.source) == len(found.read) + 1
    with pytest.raises(EmptyInput, match="Type a prompt"):
        tiny_gpt().trace("", ())
    assert len(tiny_gpt().trace("", drawn(1)).read) == 1


def test_requests_of_other_tokens_differ_even_where_their_text_is_the_same():
    generator = tiny_gpt()
    ids = generator.tokenizer.encode("The cat").ids
    spelled = tuple(generator.tokenizer.subwords.id_of(piece) for piece in ("▁The", "▁", "c", "a", "t"))
    one, other = (generator.trace("", taken).request for taken in (ids, spelled))
    assert one.target == other.target and one != other


def test_of_a_text_beyond_the_context_the_map_is_of_the_last_window():
    generator, taken = tiny_gpt(), drawn(2 * CONTEXT)
    found = generator.trace(PROMPT, taken)
    whole = generator.tokens_of(PROMPT, taken)
    assert CONTEXT // 2 < len(found.read) <= CONTEXT and found.predicted.ids == whole.ids[-len(found.read) :]
    assert len(found.source) == 0 and "had fallen out" in found.notes[0]
    assert f"the first {len(whole) - 2 - len(found.read)} had" in found.notes[0]
    last = generator.next_token(PROMPT, taken[:-1], SampleOptions(), 10**6)
    before = next(one.before for one in last.choices if one.token == taken[-1])
    assert found.token_logprobs[-1] == pytest.approx(np.log(before), abs=1e-3)
    long = generator.trace("The cat sat on the mat. " * 8, taken[:1])
    assert len(long.read) <= CONTEXT and "had fallen out" in long.notes[0] and len(long.source) > 0


@pytest.mark.parametrize("make", [tiny_char_lm, tiny_trigram])
def test_a_model_without_attention_has_no_map(make):
    with pytest.raises(Unsupported, match="no attention to look at"):
        make().trace(PROMPT, ())
    with pytest.raises(Unsupported, match="no attention"):
        saliency_of(make(), tiny_gpt().trace(PROMPT, ()))


# --- Gradients --------------------------------------------------------------------------------------------------------


def one_by_one(model, read, predicted, mode: str) -> np.ndarray:
    """The same by one forward and one backward for each token."""
    table = model.embedding.weight.double()
    rows = []
    for step, piece in enumerate(predicted):
        leaf = model.embedding(torch.tensor([read])).requires_grad_()
        (gradient,) = torch.autograd.grad(model.forward_from_embeddings(leaf)[0, step, piece], leaf)
        vectors = gradient[0].double()
        sizes = (vectors if mode == "embedding" else vectors @ table.T).norm(dim=1).numpy()
        rows.append(sizes**2 if mode == "squared" else sizes)
    return np.array(rows)


@pytest.mark.parametrize("mode", ["one-hot", "embedding", "squared"])
def test_gradients_are_one_backward_for_each_token(mode):
    generator = tiny_gpt()
    trace = generator.trace(PROMPT, drawn(5))
    expected = one_by_one(generator.model, trace.read.ids, trace.predicted.ids, mode)
    shares: list[float] = []
    found = saliency_of(generator, trace, mode, shares.append)
    assert [*found.maps] == ["decoder"] and found.mode == mode and found.request == trace.request
    gradients = found.maps["decoder"]
    largest = expected.max(1, keepdims=True)
    np.testing.assert_allclose(gradients.norms / largest, expected / largest, rtol=0, atol=EXACT)
    np.testing.assert_allclose(gradients.shares, expected / largest, rtol=0, atol=EXACT)
    assert (np.triu(gradients.norms, 1) == 0).all() and shares[-1] == pytest.approx(1)


def test_the_quick_way_is_the_slow_one_and_is_taken():
    generator = tiny_gpt()
    trace = generator.trace(PROMPT, drawn(6))
    ids, words = trace.read.ids, trace.predicted.ids
    assert plan(generator.model, len(ids)).method == "causal"
    quick = connectivity(generator.model, ids, words)
    for method in ("naive", "generic"):
        slow = connectivity(generator.model, ids, words, method=method)  # type: ignore[arg-type]
        np.testing.assert_allclose(quick.relative, slow.relative, rtol=0, atol=EXACT)
        np.testing.assert_allclose(quick.peaks, slow.peaks, rtol=1e-4)


def test_gradients_become_words_and_files_as_those_of_a_translation():
    generator = tiny_gpt()
    found = saliency_of(generator, generator.trace(PROMPT, drawn(6)))
    gradients = found.maps["decoder"]
    words = merge_words(gradients)
    assert words.norms.shape[0] <= gradients.norms.shape[0] and (np.triu(words.norms, 1) == 0).all()
    hidden = hide_special(gradients, rescale=True)
    assert len(hidden.keys) == len(gradients.keys) - 1 and hidden.drawn.measure == "gradient"
    assert '"decoder"' in saliency_json(found)


# --- Units ------------------------------------------------------------------------------------------------------------


def test_units_over_a_text_are_those_of_the_steps():
    generator, text = tiny_char_lm(), "The cat ☃\n\nran."
    found = unit_record(generator, text)
    assert found.text == "The cat ☃\nran." and len(found.states) == len(found.gates) == 2
    state = generator.model.start()
    for place, token in enumerate((generator.front, *generator.tokenizer.encode(found.text).ids)):
        _, state = generator.model.step(state, torch.tensor([token]))
        if place:
            for layer, (hidden, memory) in enumerate(state.layers):
                np.testing.assert_allclose(found.states[layer]["hidden"][place - 1], hidden[0], atol=1e-5)
                np.testing.assert_allclose(found.states[layer]["memory"][place - 1], memory[0], atol=1e-5)
    for gates in found.gates:
        assert all(values.shape == (len(found.text), 16) and values.dtype == np.float32 for values in gates.values())


def test_units_are_asked_of_a_recurrent_network_and_a_text():
    with pytest.raises(Unsupported, match="no recurrent units"):
        unit_record(tiny_gpt(), "The cat")
    with pytest.raises(EmptyInput, match="Enter a sentence"):
        unit_record(tiny_char_lm(), " ")
    with pytest.raises(InputTooLong, match="Shorten it"):
        unit_record(tiny_char_lm(), "a" * (LONGEST + 1))
