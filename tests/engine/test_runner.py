"""A runner: what it takes, what it says when it does not, and that a trace's maps and numbers are the model's own."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import engine
from engine.errors import EmptyInput, InputTooLong, UnknownCharacters
from engine.runner import ALTERNATIVES, LONGEST_OUTPUT
from engine.text import END, START, UNKNOWN, WHO
from engine.types import KINDS, Trace, TraceRequest

LAYERS = {"encoder": 2, "decoder": 3, "cross": 3}
HEADS = 4
ENGLISH, FRENCH = "The cat sleeps on the red chair.", "Il est dans la rue rouge."
TEXTS = (
    ENGLISH,
    "The animal didn't cross the street.",
    "the cat",
    "She reads a book in the garden, and it is cold at home today.",
    "Where is the dog?",
    "A bird!",
)
# A row is n float32 numbers divided by their float32 sum: at most 192 roundings of 2^-24 each.
ROW = LONGEST_OUTPUT * 2**-24


@pytest.fixture(scope="module")
def forced(tiny_runner) -> Trace:
    return tiny_runner.trace(ENGLISH, FRENCH)


def assert_complete(trace: Trace) -> None:
    """Shapes, kinds, sums and zeros of every map, and as many numbers as steps."""
    steps = len(trace.predicted)
    assert tuple(trace.maps) == KINDS
    for kind, attention in trace.maps.items():
        queries = len(trace.source) if kind == "encoder" else steps
        keys = steps if kind == "decoder" else len(trace.source)
        assert attention.kind == kind
        assert attention.weights.shape == (LAYERS[kind], HEADS, queries, keys)
        assert attention.weights.dtype == np.float32
        assert np.abs(attention.weights.sum(-1, dtype=np.float64) - 1).max() <= ROW
        assert attention.weights.min() >= 0 and attention.weights.max() <= 1
    decoder = trace.maps["decoder"]
    assert (decoder.weights[..., decoder.masked()] == 0).all()
    assert trace.token_logprobs.shape == (steps,) and len(trace.alternatives) == steps
    assert trace.token_logprobs.dtype == np.float32
    assert (trace.token_logprobs <= 0).all() and np.isfinite(trace.token_logprobs).all()


# --- Translating ------------------------------------------------------------------------------------------------------


def test_a_batch_gives_what_each_text_gives_alone_in_any_order(tiny_runner):
    """Padding and neighbours change sums in the last bit only; no choice here is that close."""
    alone = [tiny_runner.translate([text])[0] for text in TEXTS]
    assert tiny_runner.translate(TEXTS) == alone
    assert tiny_runner.translate(TEXTS[::-1]) == alone[::-1]
    assert len(set(alone)) == len(TEXTS), "the model tells the texts apart, or this test would prove nothing"


def test_progress_adds_up_to_the_number_of_texts(tiny_runner):
    reported: list[int] = []
    tiny_runner.translate(TEXTS, reported.append)
    assert sum(reported) == len(TEXTS)


def test_no_texts_give_no_translations(tiny_runner):
    assert tiny_runner.translate([]) == []


def test_a_sentence_learnt_by_heart_is_translated_and_knows_where_to_end(tiny_runner):
    """The one end-to-end check that files, tokenizer, model and search belong together."""
    english, french = "Who has broken the blue glass?", "Qui a cassé le verre bleu ?"
    assert tiny_runner.translate([english]) == [french]
    assert tiny_runner.trace(english).predicted.ids[-1] == END


@pytest.mark.parametrize("text", TEXTS)
def test_a_trace_says_what_translate_says(tiny_runner, text):
    assert tiny_runner.trace(text).translation == tiny_runner.translate([text])[0]


# --- Maps and labels --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("target", [None, FRENCH])
def test_a_trace_is_complete(tiny_runner, text, target):
    assert_complete(tiny_runner.trace(text, target))


def test_steps_read_the_start_and_then_what_was_predicted(forced):
    assert forced.read.ids == (START, *forced.predicted.ids[:-1])
    assert forced.read.labels == ("<s>", *forced.predicted.labels[:-1])
    assert forced.predicted.labels[-1] == "</s>" and forced.predicted.ids[-1] == END
    assert forced.source.labels[-1] == "</s>"
    assert forced.read.special[0] and not any(forced.read.special[1:])


def test_rows_are_labelled_by_what_they_predict_in_cross_maps_and_by_what_they_read_in_decoder_maps(forced):
    encoder, decoder, cross = (forced.maps[kind] for kind in KINDS)
    assert encoder.row_labels == encoder.key_tokens.labels == forced.source.labels
    assert decoder.row_labels == decoder.key_tokens.labels == forced.read.labels
    assert cross.row_labels == forced.predicted.labels
    assert cross.key_tokens.labels == forced.source.labels
    assert encoder.predicted_tokens is None
    assert encoder.row_title(0) == "The"
    for attention in (decoder, cross):
        assert attention.row_title(0) == "reads <s> → predicts Il"
        assert attention.row_title(1) == "reads Il → predicts est"
        last = len(forced.predicted) - 1
        assert attention.row_title(last) == f"reads {forced.predicted.labels[-2]} → predicts </s>"


def test_a_row_is_computed_from_what_it_reads_and_nothing_later(tiny_runner, forced):
    """Another last word leaves all earlier rows as they were."""
    other = tiny_runner.trace(ENGLISH, FRENCH.replace("rouge.", "bleu."))
    same = next(i for i, (a, b) in enumerate(zip(forced.read.ids, other.read.ids, strict=False)) if a != b)
    assert 0 < same < len(forced.read)
    for kind in ("decoder", "cross"):
        one, two = forced.maps[kind].weights[:, :, :same], other.maps[kind].weights[:, :, :same]
        # The same numbers in matrices of another height, which a kernel may add up in another order.
        assert np.allclose(one[..., : two.shape[-1]], two[..., : one.shape[-1]], atol=1e-6)
    assert not np.allclose(forced.token_logprobs[same - 1], other.token_logprobs[same - 1])


def test_offsets_point_into_the_texts(forced):
    for tokens, text in ((forced.source, ENGLISH), (forced.predicted, FRENCH)):
        assert tokens.text == text
        for label, (start, end), special in zip(tokens.labels, tokens.spans, tokens.special, strict=True):
            assert special or text[start:end] == label


def test_a_map_cannot_be_written_into(forced):
    """Traces are shared between sessions."""
    with pytest.raises(ValueError, match="read-only"):
        forced.maps["encoder"].weights[0, 0, 0, 0] = 0.5


# --- Forced output ----------------------------------------------------------------------------------------------------


def test_a_forced_translation_is_what_is_predicted(tiny_runner, forced):
    assert forced.translation == FRENCH
    assert forced.request.target == FRENCH
    assert forced.translation != tiny_runner.trace(ENGLISH).translation
    assert tiny_runner.trace(ENGLISH, "  Le\tchat\u200b  dort? ").translation == "Le chat dort ?"


def test_forcing_the_models_own_output_changes_nothing(tiny_runner):
    own = tiny_runner.trace(ENGLISH)
    again = tiny_runner.trace(ENGLISH, own.translation)
    assert again.predicted == own.predicted
    for kind in KINDS:
        assert np.array_equal(own.maps[kind].weights, again.maps[kind].weights)


@pytest.mark.parametrize("target", ["", "  ", "\u200b"])
def test_an_empty_forced_translation_means_the_models_own(tiny_runner, target):
    trace = tiny_runner.trace(ENGLISH, target)
    assert trace.request.target is None
    assert trace.translation == tiny_runner.trace(ENGLISH).translation


def test_a_forced_translation_over_the_limit_is_refused_with_both_numbers(tiny_runner):
    target = "Le chat " * 200
    count = len(tiny_runner.tokenizer.encode(target))
    with pytest.raises(InputTooLong, match=rf"has {count} tokens and the limit is {LONGEST_OUTPUT}\. Shorten it"):
        tiny_runner.trace(ENGLISH, target)


def test_a_forced_translation_of_unknown_characters_is_refused_or_noted(tiny_runner):
    with pytest.raises(UnknownCharacters):
        tiny_runner.trace(ENGLISH, "猫")
    trace = tiny_runner.trace(ENGLISH, "Le 猫 dort.")
    assert UNKNOWN in trace.predicted.ids and trace.translation == "Le 猫 dort."
    assert [note for note in trace.notes if "unknown to the model" in note]


# --- Probabilities ----------------------------------------------------------------------------------------------------

# The fused and the explicit path add the same float32 products in another order: logits of size 10 differ by about
# 10 * 2^-22 after five layers, and a log-probability by as much again.
LOGPROB = 2e-5


@pytest.mark.parametrize("target", [None, FRENCH])
def test_log_probabilities_are_those_of_a_plain_forward(tiny_runner, target):
    trace = tiny_runner.trace(ENGLISH, target)
    source, read = (torch.tensor([tokens.ids]) for tokens in (trace.source, trace.read))
    expected = tiny_runner.model(source, read)[0].double().log_softmax(-1)
    for step, token in enumerate(trace.predicted.ids):
        assert trace.token_logprobs[step] == pytest.approx(float(expected[step, token]), abs=LOGPROB)


def test_log_probabilities_are_those_of_the_search(tiny_runner):
    trace = tiny_runner.trace(ENGLISH)
    model, found = tiny_runner.model, []
    state = model.encode(torch.tensor([trace.source.ids]))
    for read, predicted in zip(trace.read.ids, trace.predicted.ids, strict=True):
        logprobs, state = model.step(state, torch.tensor([read]))
        found.append(float(logprobs[0, predicted]))
    assert np.allclose(trace.token_logprobs, found, atol=LOGPROB)


@pytest.mark.parametrize("text", TEXTS)
def test_alternatives_are_sorted_and_begin_with_the_token_chosen(tiny_runner, text):
    trace = tiny_runner.trace(text)
    banned = {tiny_runner.tokenizer.label_of(token) for token in tiny_runner.vocabulary.banned}
    for label, logprob, step in zip(trace.predicted.labels, trace.token_logprobs, trace.alternatives, strict=True):
        scores = [score for _, score in step]
        assert len(step) == ALTERNATIVES
        assert scores == sorted(scores, reverse=True)
        assert sum(np.exp(scores)) <= 1 + 1e-6  # five float32 probabilities
        allowed = [entry for entry in step if entry[0] not in banned]
        if allowed == list(step):
            assert step[0] == (label, pytest.approx(float(logprob), abs=1e-6))  # the same number, twice rounded
    assert any(not banned & {name for name, _ in step} for step in trace.alternatives)


def test_a_forced_unlikely_word_has_better_alternatives(forced):
    worst = int(forced.token_logprobs.argmin())
    assert forced.alternatives[worst][0][1] > forced.token_logprobs[worst]
    assert forced.alternatives[worst][0][0] != forced.predicted.labels[worst]


def test_banned_tokens_are_never_said(tiny_runner):
    who = tiny_runner.tokenizer.id_of(WHO)
    assert who not in (UNKNOWN, START, END)
    for text in TEXTS:
        assert not {who, UNKNOWN, START, 0} & set(tiny_runner.trace(text).predicted.ids)


# --- Limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u200b\u200d\ufeff", "\u202e", "\x00"])
def test_an_empty_text_is_answered_with_an_example(tiny_runner, text):
    for action in (tiny_runner.encode, tiny_runner.trace, lambda text: tiny_runner.translate([text])):
        with pytest.raises(EmptyInput, match="Type a sentence, for example"):
            action(text)


def test_a_text_up_to_the_limit_is_taken_and_one_token_more_is_not(tiny_runner):
    longest = tiny_runner.card.longest
    assert len(tiny_runner.tokenizer.encode("the the")) == 3, "one piece a word, and </s>"
    fits = " ".join(["the"] * (longest - 1))
    assert len(tiny_runner.encode(fits)) == longest
    assert_complete(tiny_runner.trace(fits, FRENCH))
    message = rf"has {longest + 1} tokens and tiny takes {longest} at most\. Shorten it"
    for action in (tiny_runner.encode, tiny_runner.trace, lambda text: tiny_runner.translate([text])):
        with pytest.raises(InputTooLong, match=message):
            action(f"{fits} the")


@pytest.mark.parametrize("text", ["a" * 10_000, "The cat sleeps. " * 625, "é" * 10_000, "🙂 a" * 3334])
def test_ten_thousand_characters_are_refused_with_both_numbers(tiny_runner, text):
    with pytest.raises(InputTooLong) as error:
        tiny_runner.trace(text)
    found = re.search(r"has (\d+) tokens and tiny takes (\d+) at most", str(error.value))
    assert found and int(found[1]) == len(tiny_runner.tokenizer.encode(text)) > int(found[2]) == 64


@pytest.mark.parametrize("text", ["你好", "🙂🙂", "שלום", "مرحبا", "👩🏽‍🚀 🙂"])
def test_a_text_of_unknown_characters_only_is_answered_with_what_to_type(tiny_runner, text):
    with pytest.raises(UnknownCharacters, match=r"knows none of these characters.*Latin alphabet"):
        tiny_runner.trace(text)


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("The cat 🙂 sleeps.", "The cat 🙂 sleeps."),
        ("The 👩🏽‍🚀 sleeps.", "The 👩🏽🚀 sleeps."),  # the zero-width joiner goes
        ("The cat שלום sleeps.", "The cat שלום sleeps."),
        ("\u202eThe cat\u202c sleeps.", "The cat sleeps."),
        ("The c\u200bat\ufeff sleeps.", "The cat sleeps."),
        ("<b>The cat</b> & <script>alert(1)</script>", "<b>The cat</b> & <script>alert(1)</script>"),
        ("The </s> cat <s> sleeps <who> <pad>", "The </s> cat <s> sleeps <who> <pad>"),
        ("The cat $x^2$ **sleeps** `now` %s {0} \\n", "The cat $x^2$ **sleeps** `now` %s {0} \\n"),
        ("e\u0301te\u0301 \u00a0 l’été…", "été l'été..."),
    ],
)
def test_strange_text_is_shown_as_it_is_and_traced(tiny_runner, typed, shown):
    trace = tiny_runner.trace(typed, FRENCH)
    assert trace.request.text == trace.source.text == shown
    assert "".join(trace.source.labels[:-1]).replace("▁", "").replace(" ", "") == shown.replace(" ", "")
    assert trace.source.special == (*[False] * (len(trace.source) - 1), True)
    assert END not in trace.source.ids[:-1] and not {0, START} & set(trace.source.ids)
    assert_complete(trace)


# --- Requests ---------------------------------------------------------------------------------------------------------


def test_a_request_is_the_full_record_with_texts_normalised(tiny_runner):
    request = tiny_runner.request(" The\u200b cat ’s ", "  Le  chat ")
    assert request == TraceRequest(tiny_runner.card.identity, "The cat 's", "Le chat", LONGEST_OUTPUT)
    assert tiny_runner.request("The cat", None).target is None
    assert hash(request) == hash(tiny_runner.request("The cat 's", "Le chat")), "it is a cache key"
    assert tiny_runner.trace(" The\u200b cat ’s ", "  Le  chat ").request == request


def test_a_request_run_again_gives_the_same_trace(tiny_runner):
    one = tiny_runner.trace(ENGLISH)
    two = tiny_runner.run(one.request)
    assert (one.predicted, one.alternatives, one.notes) == (two.predicted, two.alternatives, two.notes)
    for kind in KINDS:
        assert np.array_equal(one.maps[kind].weights, two.maps[kind].weights)


def test_a_request_made_with_other_weights_runs_and_says_so(tiny_runner):
    own = tiny_runner.card.identity
    trace = tiny_runner.run(TraceRequest("tiny@00000000", ENGLISH, None, LONGEST_OUTPUT))
    assert trace.notes == (f"Asked of tiny@00000000, answered by {own}: the weights have changed since.",)
    assert trace.request.model == "tiny@00000000"
    assert trace.translation == tiny_runner.trace(ENGLISH).translation
    assert tiny_runner.trace(ENGLISH).notes == ()


@pytest.mark.parametrize("limit", [1, 3])
def test_an_output_cut_by_its_limit_says_so(tiny_runner, limit):
    whole = tiny_runner.trace(ENGLISH)
    cut = tiny_runner.run(TraceRequest(tiny_runner.card.identity, ENGLISH, None, limit))
    assert cut.predicted.ids == whole.predicted.ids[:limit]
    assert cut.notes == (f"The output was cut at {limit} tokens.",)
    assert_complete(cut)


@pytest.mark.parametrize("limit", [0, -5])
def test_a_request_with_an_impossible_limit_still_gives_a_token(tiny_runner, limit):
    """Requests come from addresses and files, where anything can stand."""
    trace = tiny_runner.run(TraceRequest(tiny_runner.card.identity, ENGLISH, None, limit))
    assert len(trace.predicted) == 1


def test_a_limit_beyond_the_models_own_is_the_models_own(tiny_runner):
    trace = tiny_runner.run(TraceRequest(tiny_runner.card.identity, ENGLISH, None, 10**9))
    assert trace.predicted == tiny_runner.trace(ENGLISH).predicted


def test_a_source_with_unknown_tokens_says_how_many(tiny_runner):
    one, two = (tiny_runner.trace(text, FRENCH).notes for text in ("The cat 🙂 sleeps.", "The 🙂 cat 🙂 sleeps."))
    assert one == ("The model does not know 1 of the source's tokens and reads them as unknown.",)
    assert two == (one[0].replace("know 1", "know 2"),)


def test_where_and_how_long_it_ran(tiny_runner, forced):
    assert forced.device == "cpu"
    assert 0 < forced.milliseconds < 60_000


# --- Other types ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_gives_float32_maps_close_to_the_full_ones(tiny_card, forced, dtype):
    runner = engine.load("tiny", "cpu", dtype)
    assert {parameter.dtype for parameter in runner.model.parameters()} == {getattr(torch, dtype)}
    trace = runner.trace(ENGLISH, FRENCH)
    assert_complete(trace)
    for kind in KINDS:
        gap = np.abs(trace.maps[kind].weights - forced.maps[kind].weights).max()
        # A score of size 10 keeps 8 (bfloat16) or 11 (float16) bits: off by 0.04 or 0.005 in each of up to five layers,
        # and a weight of 1/2 by half of that, times a few for what the layers before it added.
        assert 0 < gap < {"bfloat16": 0.25, "float16": 0.03}[dtype]
