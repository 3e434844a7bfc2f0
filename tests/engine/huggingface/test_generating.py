"""Decoder-only transformers models as Generators: equal to transformers' own generate, losses, maps and gradients."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from engine.connectivity import connectivity, plan
from engine.decoding.continuing import dropped
from engine.decoding.options import SampleOptions
from engine.errors import EmptyInput, InputError, InputTooLong, Unsupported
from engine.generation_trace import saliency_of
from engine.huggingface import generating
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.generating import ContinuingDecoder, generator_of_hosted
from engine.huggingface.hosted import hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.models.taps import looking
from tests.engine.huggingface.generating_cases import CONTEXT, FAMILIES, Made, card, made

FLOAT32 = 1e-5
PROMPTS = ("The cat sat", "", "猫坐在垫子上。", "I like 🙂 very", "  two\n\nlines ", "</s> <|endoftext|>")


@pytest.fixture(params=FAMILIES)
def tiny(request: pytest.FixtureRequest) -> Made:
    return made(request.param)


def logits(one: Made, ids: tuple[int, ...]) -> torch.Tensor:
    """By transformers' own eager path: (T, V)."""
    with torch.no_grad():
        found: torch.Tensor = one.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0]
    return found


# --- Prompts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_is_read_as_it_was_typed_after_what_begins_a_text(tiny, prompt):
    found = tiny.generator.prompt(prompt)
    assert found.text == prompt and found.cut == 0 and found.notes == ()
    assert found.tokens.ids[0] == tiny.tokenizer.bos_token_id and found.tokens.special[0]
    assert found.tokens.labels[0] == tiny.tokenizer.bos_token and not any(found.tokens.special[1:])
    if prompt and "<" not in prompt:  # what looks like a special token is text here
        assert list(found.tokens.ids[1:]) == tiny.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    assert tiny.generator.typed(found.text) == prompt, "and can be typed again"


def test_what_stands_in_front_is_told_where_the_tokenizer_has_no_such_habit():
    assert made("llama").generator.habit == ""
    habit = made("gpt2").generator.habit
    assert habit.startswith("“<|endoftext|>” stands before every text") and "the end of a text" in habit
    assert habit in made("gpt2").generator.trace("The cat", ()).notes


def test_a_model_sees_no_more_than_its_card_allows_or_it_has_positions_for():
    one = made("llama")
    model, words = one.generator.model, one.generator.tokenizer.tokenizer
    for longest, context in ((0, CONTEXT), (16, 16), (1000, CONTEXT)):
        assert generator_of_hosted(card(longest=longest), model, words, "cpu").context == context
    endless = HostedDecoder(replace(model.hosted, shape=replace(model.hosted.shape, context=0)))
    assert generator_of_hosted(card(), endless, words, "cpu").context == generating.LONGEST
    short = generator_of_hosted(card(longest=16), model, words, "cpu")
    found = short.prompt("The cat sat on the mat and the dog sat on the cat.")
    assert len(found.tokens) <= 16 and "sees 16 at once" in found.notes[0]


def test_without_a_token_for_beginning_or_end_there_is_nothing_to_begin_with():
    one = made("llama")
    bare = HostedTokenizer(one.tokenizer, start=-1, end=-1, pad=-1)
    with pytest.raises(Unsupported, match="Give it a bos_token"):
        generator_of_hosted(card(), one.generator.model, bare, "cpu")
    ends = HostedTokenizer(one.tokenizer, start=-1, end=one.tokenizer.eos_token_id, pad=-1)
    other = generator_of_hosted(card(), one.generator.model, ends, "cpu")
    assert other.prompt("").tokens.labels == ("</s>",) and "the end of a text" in other.habit


def test_a_vocabulary_without_latin_letters_is_asked_with_others():
    backend = Tokenizer(WordLevel({"<s>": 0, "</s>": 1, "的": 2, "<unk>": 3}, unk_token="<unk>"))
    whole = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    words = HostedTokenizer(whole, start=0, end=1, pad=-1)
    found = generator_of_hosted(card(), made("llama").generator.model, words, "cpu")
    assert "“<s>” stands before every text" in found.habit and "the beginning of a text" in found.habit
    assert found.prompt("的").tokens.ids == (0, 2)


def test_a_token_that_the_model_has_no_row_for_is_named():
    one = made("gpt2")
    prose = generating.HostedProse(one.generator.tokenizer.tokenizer, 300)
    with pytest.raises(InputError, match="as a token and the model does not"):
        prose.encode("The street was too wide")
    assert len(prose) == 300 and prose.encode("A").ids


# --- The next token ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_next_token_is_the_softmax_of_transformers_logits(tiny, prompt):
    ids = tiny.generator.prompt(prompt).tokens.ids
    shares = logits(tiny, ids)[-1].double().softmax(-1)
    found = tiny.generator.next_token(prompt, (), SampleOptions(temperature=0.5), n=12)
    allowed = shares.clone()
    allowed[list(tiny.generator.banned)] = 0
    assert [one.token for one in found.choices] == allowed.topk(12).indices.tolist()
    np.testing.assert_allclose([one.before for one in found.choices], allowed.topk(12).values, rtol=0, atol=FLOAT32)
    sharper = (allowed.sqrt() ** 4) / (allowed.sqrt() ** 4).sum()
    np.testing.assert_allclose(
        [one.after for one in found.choices], sharper[[one.token for one in found.choices]], rtol=0, atol=FLOAT32
    )
    assert found.of == len(shares) - len(tiny.generator.banned) == found.kept
    assert found.entropy == pytest.approx(-float((shares * shares.log2()).nansum()), abs=1e-3)


def test_rows_of_the_vocabulary_that_no_token_has_are_never_drawn():
    one = made("gpt2", 50)
    size = len(one.tokenizer)
    found = one.generator.next_token("The", (), SampleOptions(), n=size + 50)
    assert {choice.token for choice in found.choices} == set(range(size)) and found.of == size
    assert not one.generator.says((size,)) and one.generator.says((size - 1,))


# --- Samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS[:4])
def test_the_greedy_continuation_is_that_of_transformers_generate(tiny, prompt):
    ids = tiny.generator.prompt(prompt).tokens.ids
    banned = [token for token in tiny.generator.banned if token != tiny.generator.end]
    settings = {"suppress_tokens": banned} if banned else {}
    whole = tiny.model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long), max_new_tokens=20,
        do_sample=False, pad_token_id=tiny.generator.end, **settings,
    )  # fmt: skip
    drawn = [one.token for one in tiny.generator.stream(prompt, (), SampleOptions(top_k=1, max_length=20))]
    assert drawn == whole[0, len(ids) :].tolist()


@pytest.mark.parametrize("prompt", PROMPTS)
def test_samples_come_back_by_their_seed_and_their_pieces_are_the_text(tiny, prompt):
    generator, options = tiny.generator, SampleOptions(1, temperature=1.5, seed=3, max_length=25)
    drawn = list(generator.stream(prompt, (), options))
    ids = tuple(one.token for one in drawn)
    assert ids == tuple(one.token for one in generator.stream(prompt, (), options))
    assert ids != tuple(one.token for one in generator.stream(prompt, (), replace(options, seed=4)))
    assert generator.text_of(prompt, ids) == prompt + "".join(one.text for one in drawn)
    tokens = generator.tokens_of(prompt, ids)
    logprobs = logits(tiny, tokens.ids[:-1]).log_softmax(-1)[len(tokens) - 1 - len(ids) :]
    expected = [float(row[token]) for row, token in zip(logprobs, ids, strict=True)]
    np.testing.assert_allclose([one.logprob for one in drawn], expected, rtol=0, atol=1e-4)  # sums of 25 steps' caches
    tree = generator.continuations(prompt, (), options)
    assert tuple(tree.nodes[index].token for index in tree.path(tree.hypotheses[0].node)) == ids
    assert tree.hypotheses[0].text == "".join(one.text for one in drawn)


def test_several_samples_share_what_they_begin_with(tiny):
    options = SampleOptions(6, temperature=0.7, seed=1, max_length=6)
    tree = tiny.generator.continuations("The cat", (), options)
    assert sum(one.count for one in tree.nodes if one.step == 1) == 6
    walked = tiny.generator.walk("The cat", [[n.token for n in map(tree.nodes.__getitem__, tree.path(one.node))]
                                             for one in tree.hypotheses])  # fmt: skip
    scores = {tuple(n.token for n in map(walked.nodes.__getitem__, walked.path(i))): node.score
              for i, node in enumerate(walked.nodes)}  # fmt: skip
    for one in tree.hypotheses:
        path = tuple(tree.nodes[index].token for index in tree.path(one.node))
        assert scores[path] == pytest.approx(one.score, abs=1e-3)


def test_a_text_goes_on_when_the_context_is_full():
    one = made("llama")
    model, words = one.generator.model, one.generator.tokenizer.tokenizer
    short = generator_of_hosted(card(longest=16), model, words, "cpu")
    options = (SampleOptions(1, temperature=2.0, seed=seed, max_length=40) for seed in range(30))
    drawn = next(found for found in (list(short.stream("The cat", (), each)) for each in options) if len(found) == 40)
    assert any("context of 16 tokens is full" in each.note for each in drawn)
    ids = short.whole("The cat").ids + tuple(each.token for each in drawn)
    last = logits(one, ids[dropped(len(ids) - 1, 16) : -1])[-1].log_softmax(-1)
    assert drawn[-1].logprob == pytest.approx(float(last[ids[-1]]), abs=1e-4)


def test_nothing_comes_after_the_end_and_what_is_special_is_never_said():
    one = made("llama")
    with pytest.raises(InputError, match="ended with </s>"):
        one.generator.next_token("The cat", (one.generator.end,), SampleOptions())
    with pytest.raises(InputError, match="never says"):
        one.generator.text_of("The cat", (one.tokenizer.bos_token_id,))


# --- Characters of several tokens -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_character_comes_whole_with_its_last_byte(family):
    generator = made(family).generator
    ids = generator.tokenizer.encode("a🙂").ids
    parts = [token for token in ids if len(generator.tokenizer.label_of(token)) > 1 or token == ids[-1]]
    parts = list(ids[-len(parts) :])
    assert len(parts) > 1, "the emoji is in pieces"
    text, before = "a", list(ids[: -len(parts)])
    for place, token in enumerate(parts):
        piece = generator.tokenizer.added(text, before, token)
        assert piece == ("🙂" if place == len(parts) - 1 else "")
        text, before = text + piece, [*before, token]
        so_far = generator.tokens_of("a", parts[: place + 1])
        assert so_far.text == text, "no replacement character stands for bytes that are still to come"
    assert so_far.labels[-len(parts) :] == tuple(f"🙂 {n + 1}/{len(parts)}" for n in range(len(parts)))
    assert len(set(so_far.words[-len(parts) :])) == 1 and set(so_far.spans[-len(parts) :]) == {(1, 2)}
    begun = generator.tokens_of("a", parts[:-1])
    assert all(label.startswith("\\x") for label in begun.labels[-len(parts) + 1 :]), "its bytes are shown"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["gpt2", "llama"]), st.sampled_from(PROMPTS), st.lists(st.integers(0, 380), max_size=12))
def test_any_ids_give_their_text_piece_by_piece(family, prompt, ids):
    generator = made(family).generator
    taken = [token for token in ids if token not in generator.banned and token != generator.end]
    tokens = generator.tokens_of(prompt, taken)
    text, before = prompt, list(generator.prompt(prompt).tokens.ids)
    for token in taken:
        text += generator.tokenizer.added(text, before, token)
        before.append(token)
    assert tokens.text == text and list(tokens.ids) == before
    assert all(0 <= start <= end <= len(text) for start, end in tokens.spans)


# --- Surprise ---------------------------------------------------------------------------------------------------------

TEXT = "The cat sat on the mat. 猫 🙂\n\nIt was late,"


def test_surprise_is_the_cross_entropy_of_transformers(tiny):
    found = tiny.generator.surprise(TEXT)
    ids = tiny.generator.whole(TEXT).ids
    assert len(ids) <= CONTEXT
    labels = torch.tensor([ids])
    with torch.no_grad():
        loss = float(tiny.model(input_ids=labels, labels=labels, use_cache=False).loss)
    assert math.log(found.perplexity) == pytest.approx(loss, abs=FLOAT32 * 10)
    assert found.characters == len(TEXT) and found.tokens.text == TEXT, "as it was typed, breaks and all"
    assert found.bits_per_character == pytest.approx(loss / math.log(2) * (len(ids) - 1) / len(TEXT), rel=1e-4)


def test_logits_in_portions_are_those_of_one_pass(tiny, monkeypatch):
    whole = tiny.generator.surprise(TEXT).bits
    monkeypatch.setattr(generating, "PORTION", 4 * tiny.generator.model.config.vocabulary * 7)
    parts = list(tiny.generator.model.portions(tiny.generator.tensor(tiny.generator.whole(TEXT).ids)))
    assert {part.shape[1] for part in parts[:-1]} == {7}
    np.testing.assert_allclose(tiny.generator.surprise(TEXT).bits, whole, rtol=0, atol=1e-4)


def test_a_text_beyond_the_context_is_read_in_windows():
    generator, text = made("gpt-neox").generator, TEXT * 6
    found = generator.surprise(text)
    assert len(found.tokens) > 2 * CONTEXT and "read in windows" in found.notes[0]
    first = generator.surprise(TEXT)
    np.testing.assert_allclose(found.bits[: len(first.bits) - 1], first.bits[:-1], rtol=0, atol=1e-4)


def test_nothing_to_read_is_said():
    with pytest.raises(EmptyInput, match="Paste one"):
        made("gpt2").generator.surprise(" \n ")


# --- Maps and gradients -----------------------------------------------------------------------------------------------


def test_maps_are_those_of_output_attentions(tiny):
    taken = tuple(one.token for one in tiny.generator.stream("The cat 🙂", (), SampleOptions(max_length=8)))
    trace = tiny.generator.trace("The cat 🙂", taken)
    with torch.no_grad():
        reference = tiny.model(input_ids=torch.tensor([trace.read.ids]), output_attentions=True, use_cache=False)
    expected = torch.stack([layer[0] for layer in reference.attentions]).numpy()
    np.testing.assert_allclose(trace.maps["decoder"].weights, expected, rtol=0, atol=FLOAT32)
    logprobs = reference.logits[0].log_softmax(-1)
    np.testing.assert_allclose(
        trace.token_logprobs, [float(row[i]) for row, i in zip(logprobs, trace.predicted.ids, strict=True)],
        rtol=0, atol=FLOAT32 * 10,
    )  # fmt: skip
    assert trace.predicted.ids == (*trace.read.ids[1:], taken[-1]) and trace.request.model == card().identity
    assert trace.request.text == "The cat 🙂" and trace.request.taken == taken


def test_heads_that_share_their_keys_say_so():
    names = made("llama").generator.trace("The cat", ()).maps["decoder"].head_names
    assert names[0] == "head 1 (key head 1)" and names[3] == "head 4 (key head 2)"
    assert made("gpt2").generator.trace("The cat", ()).maps["decoder"].head_names[0] == "head 1"


def test_maps_that_would_fill_the_memory_are_refused(monkeypatch):
    monkeypatch.setattr("engine.map_checks.MOST", 4 * 12 * 5**2)  # of 3 layers with 4 heads
    with pytest.raises(InputTooLong, match="to about 5 tokens"):
        made("gpt2").generator.trace("The cat sat on the mat and slept", ())


@pytest.mark.parametrize("mode", ["one-hot", "embedding", "squared"])
def test_gradients_are_those_of_one_backward_a_target(tiny, mode):
    generator, model = tiny.generator, tiny.model
    trace = generator.trace("The cat 🙂", ())
    found = saliency_of(generator, trace, mode).maps["decoder"]
    table = model.get_input_embeddings()(torch.arange(model.config.vocab_size)).detach().double()
    leaf = model.get_input_embeddings()(torch.tensor([trace.read.ids])).detach().requires_grad_()
    values = model(inputs_embeds=leaf, use_cache=False).logits[0]
    for row, word in enumerate(trace.predicted.ids):
        (gradient,) = torch.autograd.grad(values[row, word], leaf, retain_graph=True)
        exact = gradient[0].double()
        norms = (exact @ table.T if mode != "embedding" else exact).norm(dim=-1)
        expected = (norms**2 if mode == "squared" else norms).numpy()
        np.testing.assert_allclose(found.norms[row] / expected.max(), expected / expected.max(), rtol=0, atol=FLOAT32)
    assert plan(generator.model, len(trace.read)).method == "generic"


def test_a_large_table_has_the_same_norms(monkeypatch):
    generator = made("qwen3").generator
    trace = generator.trace("The cat sat on", ())
    exact = connectivity(generator.model, trace.read.ids, trace.predicted.ids)
    monkeypatch.setattr("engine.connectivity_blocks.MANY", 10)
    monkeypatch.setattr("engine.connectivity_blocks.PART", 100)
    for _ in range(2):  # the second time from memory
        parts = connectivity(generator.model, trace.read.ids, trace.predicted.ids)
        np.testing.assert_allclose(parts.relative, exact.relative, rtol=0, atol=FLOAT32)
        np.testing.assert_allclose(parts.peaks, exact.peaks, rtol=FLOAT32)
    weight = generator.model.embedding.weight
    with torch.no_grad():
        weight.mul_(2)  # the table is another now, and so are its norms
    try:
        changed = connectivity(generator.model, trace.read.ids, trace.predicted.ids)
        monkeypatch.undo()
        np.testing.assert_allclose(
            changed.peaks, connectivity(generator.model, trace.read.ids, trace.predicted.ids).peaks, rtol=FLOAT32
        )
    finally:
        with torch.no_grad():
            weight.div_(2)


def test_logits_at_some_positions_are_those_of_all(tiny):
    model = tiny.generator.model
    assert isinstance(model, ContinuingDecoder)
    vectors = model.embedding(torch.tensor([tiny.generator.whole(TEXT).ids]))
    with torch.no_grad():
        torch.testing.assert_close(
            model.logits_at(vectors, (2, 5)), model.forward_from_embeddings(vectors)[:, [2, 5]], rtol=0, atol=1e-4
        )


def test_taps_see_the_same_where_no_logits_are_made():
    generator = made("llama").generator
    trace, seen = generator.trace("The cat 🙂", ()), []
    generator.model.watch(generator.tensor(trace.read.ids), looking({("decoder", 1): lambda one: seen.append(one)}))
    np.testing.assert_allclose(seen[0].weights()[0], trace.maps["decoder"].weights[1], rtol=0, atol=FLOAT32)


def test_half_precision_gives_maps_and_gradients_in_float32():
    whole = made("qwen3")
    model = deepcopy(whole.model).to(torch.bfloat16)
    words = whole.generator.tokenizer.tokenizer
    half = generator_of_hosted(card(), HostedDecoder(hosted(model, "decoder", CONTEXT)), words, "cpu")
    trace, exact = half.trace("The cat 🙂", ()), whole.generator.trace("The cat 🙂", ())
    assert trace.maps["decoder"].weights.dtype == np.float32
    np.testing.assert_allclose(trace.maps["decoder"].weights.sum(-1), 1, rtol=0, atol=1e-2)  # bfloat16 has 8 bits
    assert np.corrcoef(trace.maps["decoder"].weights.ravel(), exact.maps["decoder"].weights.ravel())[0, 1] > 0.95
    found = saliency_of(half, trace).maps["decoder"]
    assert np.isfinite(found.norms).all() and (found.norms.max(1) > 0).all()
    assert sum(one.logprob for one in half.stream("The", (), SampleOptions(1, max_length=5))) < 0
    assert half.surprise(TEXT).perplexity > 1
