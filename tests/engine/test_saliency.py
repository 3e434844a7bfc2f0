"""Gradients of a translation: one backward for each token, words by hand, special tokens, interventions, and files."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import ConfigError, InputError
from engine.interventions import Force, Head, Intervention, KnockOut, Patch
from engine.models.transformer import Transformer, TransformerConfig
from engine.runner import Runner
from engine.saliency import (
    GradientMap,
    gradient_csv,
    hide_special,
    merge_words,
    saliency,
    saliency_json,
    saliency_of,
    special_first,
)
from engine.types import Tokens

TEXT, TARGET = "The cat sleeps on the red chair.", "Le chat dort sur la chaise rouge."
EXACT = 1e-5  # of a row's largest: float32 sums in another order, through five layers
CROSS = (Head("cross", 1, 0), Head("cross", 2, 3))
ENCODER = (Head("encoder", 0, 1), Head("encoder", 1, 2))
INTERVENTIONS: dict[str, Intervention] = {
    "zero": KnockOut((*CROSS, *ENCODER)),
    "mean": KnockOut(CROSS, by="mean"),
    "patch": Patch(ENCODER, "The dog sleeps on the red chair.", None, ((0, 0), (2, 2))),
    "force": Force(CROSS, rows=(1, 3, 4), keys=(1, 2), onto=(4,)),
}


@pytest.fixture(scope="module")
def runner(tiny_runner) -> Runner:
    """The tiny model's tokenizer before a Transformer of random weights; outputs are forced on it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        config = TransformerConfig(
            len(tiny_runner.tokenizer), width=32, heads=4, encoder_layers=2, decoder_layers=3, feedforward=48
        )
        model = Transformer(config).eval().requires_grad_(False)
    return Runner(tiny_runner.card, model, tiny_runner.tokenizer, "cpu")


def one_by_one(runner: Runner, trace, mode: str) -> dict[str, np.ndarray]:
    """The same by one forward and one backward for each output token, over all that was read."""
    table = runner.model.embedding(torch.arange(runner.model.config.vocabulary)[None])[0]
    taps = runner.edits(trace.request.interventions).at(0)
    rows: dict[str, list[np.ndarray]] = {"cross": [], "decoder": []}
    for step, piece in enumerate(trace.predicted.ids):
        leaves = [
            runner.model.embedding(torch.tensor([ids])).requires_grad_() for ids in (trace.source.ids, trace.read.ids)
        ]
        logit = runner.model.forward_from_embeddings(*leaves, None, taps)[0, step, piece]
        for side, gradient in zip(rows, torch.autograd.grad(logit, leaves), strict=True):
            vectors = gradient[0].double()
            sizes = (vectors if mode == "embedding" else vectors @ table.double().T).norm(dim=1).numpy()
            rows[side].append(sizes**2 if mode == "squared" else sizes)
    return {side: np.array(found) for side, found in rows.items()}


def assert_same(found: GradientMap, expected: np.ndarray) -> None:
    largest = expected.max(axis=1, keepdims=True)
    assert (largest > 0).all()
    assert np.abs(found.norms - expected).max(axis=1).max() <= (EXACT * largest).max()
    np.testing.assert_allclose(found.norms / largest, expected / largest, rtol=0, atol=EXACT)
    np.testing.assert_allclose(found.shares, expected / largest, rtol=0, atol=2 * EXACT)


@pytest.mark.parametrize("mode", ["one-hot", "embedding", "squared"])
def test_it_is_one_backward_for_each_output_token(runner, mode):
    trace = runner.trace(TEXT, TARGET)
    expected = one_by_one(runner, trace, mode)
    found = saliency(runner, trace.request, mode)
    for side in ("cross", "decoder"):
        assert_same(found.maps[side], expected[side])
        assert found.maps[side].mode == found.mode == mode
    assert found.request == trace.request


def test_the_model_s_own_output_is_what_it_is_about(tiny_runner):
    trace = tiny_runner.trace(TEXT)
    found = saliency(tiny_runner, trace.request)
    again = saliency_of(tiny_runner, trace)
    for side in ("cross", "decoder"):
        assert found.maps[side].predicted == trace.predicted
        np.testing.assert_array_equal(found.maps[side].norms, again.maps[side].norms)
        assert_same(found.maps[side], one_by_one(tiny_runner, trace, "one-hot")[side])


def test_a_step_depends_on_what_it_has_read_and_on_nothing_later(runner):
    decoder = saliency(runner, runner.request(TEXT, TARGET)).maps["decoder"]
    assert (np.triu(decoder.norms, 1) == 0).all()
    assert (decoder.norms[np.tril_indices(len(decoder.read))] > 0).all()


def test_a_row_reads_one_token_and_is_about_the_logit_of_the_next(runner):
    """Row 0 reads <s> and predicts the first token; another last token changes the last row alone."""
    trace = runner.trace(TEXT, TARGET)
    found = saliency_of(runner, trace)
    cross = found.maps["cross"].drawn
    assert cross.row_title(0) == f"reads <s> → predicts {trace.predicted.labels[0]}"
    assert cross.row_labels == trace.predicted.labels and cross.key_tokens == trace.source
    decoder = found.maps["decoder"].drawn
    assert decoder.row_labels == trace.predicted.labels and decoder.key_tokens == trace.read
    other = runner.trace(TEXT, TARGET.replace("rouge.", "bleue ?"))
    same = next(i for i, (a, b) in enumerate(zip(trace.predicted.ids, other.predicted.ids, strict=False)) if a != b)
    changed = saliency_of(runner, other).maps["cross"]
    np.testing.assert_allclose(changed.norms[:same], found.maps["cross"].norms[:same], rtol=1e-4)
    assert not np.allclose(changed.norms[same], found.maps["cross"].norms[same], rtol=1e-2)  # it predicts another one


def test_what_is_drawn_is_each_row_by_its_largest(runner):
    found = saliency(runner, runner.request(TEXT, TARGET))
    for side in ("cross", "decoder"):
        gradient, drawn = found.maps[side], found.maps[side].drawn
        assert drawn.kind == side and drawn.measure == "gradient"
        assert (drawn.layer_names, drawn.head_names) == (("whole model",), ("one-hot norm",))
        assert (drawn.weights[0, 0].max(axis=1) == 1).all() and drawn.weights.min() >= 0
        np.testing.assert_allclose(drawn.weights[0, 0], gradient.norms / gradient.norms.max(1)[:, None], rtol=1e-6)
        np.testing.assert_array_equal(gradient.scales, gradient.norms.max(1))
    squared = saliency(runner, runner.request(TEXT, TARGET), "squared").maps["cross"].drawn
    assert squared.measure == "squared gradient" and squared.head_names == ("squared one-hot norm",)
    np.testing.assert_allclose(squared.weights, found.maps["cross"].drawn.weights ** 2, atol=2 * EXACT)


@pytest.mark.parametrize("name", list(INTERVENTIONS))
def test_interventions_are_part_of_the_model_that_is_differentiated(runner, name):
    untouched = saliency(runner, runner.request(TEXT, TARGET))
    trace = runner.trace(TEXT, TARGET, [INTERVENTIONS[name]])
    found, expected = saliency(runner, trace.request), one_by_one(runner, trace, "one-hot")
    assert_same(found.maps["cross"], expected["cross"])
    assert_same(found.maps["decoder"], expected["decoder"])
    assert not np.allclose(found.maps["cross"].norms, untouched.maps["cross"].norms, rtol=1e-3)
    after = saliency(runner, runner.request(TEXT, TARGET))  # and nothing is left on the model
    np.testing.assert_array_equal(after.maps["cross"].norms, untouched.maps["cross"].norms)


def test_what_cannot_be_used_is_said(runner):
    with pytest.raises(InputError, match="no cross layer 9"):
        saliency(runner, runner.request(TEXT, TARGET, [KnockOut((Head("cross", 8, 0),))]))
    with pytest.raises(InputError, match="64 at most"):
        saliency(runner, runner.request("word " * 90, TARGET))
    with pytest.raises(ConfigError, match="one-hot"):
        saliency(runner, runner.request(TEXT, TARGET), "loud")


def test_the_share_that_is_done_grows_to_one_and_can_end_the_work(runner):
    request, seen = runner.request(TEXT, TARGET), []
    saliency(runner, request, report=seen.append)
    assert seen == sorted(seen) and 0 < seen[0] < 1 and seen[-1] == 1

    def leave(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saliency(runner, request, report=leave)


# --- Words and special tokens -----------------------------------------------------------------------------------------


def tokens(labels: str, words: tuple[int, ...]) -> Tokens:
    """Pieces and the word of each; "<s>" and "</s>" are special."""
    pieces = labels.split()
    text, spans = "", []
    for i, piece in enumerate(pieces):
        special = piece.startswith("<")
        text += " " if i and not special and words[i] != words[i - 1] and text else ""
        spans.append((0, 0) if special else (len(text), len(text) + len(piece)))
        text += "" if special else piece
    special = tuple(piece.startswith("<") for piece in pieces)
    return Tokens(text, tuple(pieces), tuple(range(len(pieces))), words, tuple(spans), special)


SOURCE = tokens("sun rise now </s>", (0, 0, 1, 2))  # "sunrise now"
READ, PREDICTED = tokens("<s> au be ici", (0, 1, 1, 2)), tokens("au be ici </s>", (0, 0, 1, 2))  # "aube ici"


def of(kind: str, norms: list[list[float]], mode: str = "one-hot") -> GradientMap:
    values = np.array(norms)
    keys = SOURCE if kind == "cross" else READ
    return GradientMap(kind, mode, values, values.max(1), READ, PREDICTED, keys)  # type: ignore[arg-type]


CROSS_NORMS = [[3.0, 4.0, 1.0, 2.0], [6.0, 8.0, 0.5, 12.0], [0.0, 1.0, 2.0, 1.0], [1.0, 1.0, 1.0, 9.0]]
DECODER_NORMS = [[5.0, 0, 0, 0], [2.0, 9.0, 0, 0], [1.0, 3.0, 4.0, 0], [2.0, 5.0, 12.0, 1.0]]


def test_words_of_the_source_by_hand():
    """ "sunrise" is √(3² + 4²) = 5 for "au" and √(6² + 8²) = 10 for "be": 10 for "aube"."""
    merged = merge_words(of("cross", CROSS_NORMS))
    np.testing.assert_allclose(merged.norms, [[10, 1, 12], [1, 2, 1], [2**0.5, 1, 9]])
    np.testing.assert_allclose(merged.shares, [[10 / 12, 1 / 12, 1], [0.5, 1, 0.5], [2**0.5 / 9, 1 / 9, 1]])
    assert merged.keys.labels == ("sunrise", "now", "</s>")
    assert merged.predicted.labels == ("aube", "ici", "</s>")
    assert merged.drawn.row_title(1) == "reads aube → predicts ici"


def test_words_said_before_by_hand():
    """A word's later pieces read its first ones, which are no word before it: "be" read "au" with 9."""
    merged = merge_words(of("decoder", DECODER_NORMS))
    np.testing.assert_allclose(merged.norms, [[5, 0, 0], [1, 5, 0], [2, 13, 1]])
    assert merged.keys.labels == ("<s>", "aube", "ici")
    np.testing.assert_array_equal(merged.drawn.masked(), np.triu(np.ones((3, 3), dtype=bool), 1))
    assert (merged.drawn.weights[0, 0][merged.drawn.masked()] == 0).all()


def test_squares_of_words_add_up():
    squares = [[x * x for x in row] for row in CROSS_NORMS]
    merged = merge_words(of("cross", squares, "squared"))
    np.testing.assert_allclose(merged.norms, merge_words(of("cross", CROSS_NORMS)).norms ** 2)


@given(st.floats(1e-300, 1e300))
def test_words_scale_with_their_pieces(scale):
    """Also where squares would under- or overflow; a row's shares do not depend on the unit."""
    merged = merge_words(of("cross", (np.array(CROSS_NORMS) * scale).tolist()))
    np.testing.assert_allclose(merged.shares, merge_words(of("cross", CROSS_NORMS)).shares, rtol=1e-12)


def test_a_word_of_one_piece_is_what_it_was(runner):
    found = saliency(runner, runner.request(TEXT, TARGET)).maps["cross"]
    whole = tuple(range(len(found.keys)))
    apart = GradientMap(
        found.kind, found.mode, found.norms, found.scales, found.read,
        tokens(" ".join("x" * len(found.predicted)), tuple(range(len(found.predicted)))),
        tokens(" ".join("x" * len(found.keys)), whole),
    )  # fmt: skip
    np.testing.assert_allclose(merge_words(apart).norms, found.norms, rtol=1e-12)


def test_the_norm_of_a_word_is_that_of_its_joined_gradient(tiny_runner):
    """Against autograd: the gradient with respect to both pieces' one-hot inputs side by side."""
    trace = tiny_runner.trace("Our house has twelve windows.", "Oui.")
    merged = merge_words(saliency_of(tiny_runner, trace).maps["cross"])
    column = next(i for i, label in enumerate(merged.keys.labels) if trace.source.words.count(i) > 1)
    pieces = [i for i, word in enumerate(trace.source.words) if word == column]
    source, read = (
        tiny_runner.model.embedding(torch.tensor([tokens.ids])).requires_grad_()
        for tokens in (trace.source, trace.read)
    )
    table = tiny_runner.model.embedding(torch.arange(tiny_runner.model.config.vocabulary)[None])[0]
    logits = tiny_runner.model.forward_from_embeddings(source, read)
    first = [i for i, word in enumerate(trace.predicted.words) if word == 0]
    (gradients,) = zip(
        *(torch.autograd.grad(logits[0, i, trace.predicted.ids[i]], source, retain_graph=True) for i in first),
        strict=True,
    )
    expected = max(float((one[0, pieces] @ table.T).norm()) for one in gradients)
    assert len(pieces) > 1
    assert merged.norms[0, column] == pytest.approx(expected, rel=EXACT)


def test_hidden_special_tokens_leave_the_scale_or_give_it_to_the_rest():
    whole = of("cross", CROSS_NORMS)
    hidden, rescaled = hide_special(whole, rescale=False), hide_special(whole, rescale=True)
    for one in (hidden, rescaled):
        assert one.keys.labels == ("sun", "rise", "now") and one.predicted.labels == ("au", "be", "ici")
        np.testing.assert_array_equal(one.norms, np.array(CROSS_NORMS)[:3, :3])
    np.testing.assert_allclose(hidden.shares[1], [6 / 12, 8 / 12, 0.5 / 12])
    np.testing.assert_allclose(rescaled.shares[1], [6 / 8, 1, 0.5 / 8])
    assert special_first(whole) == 1  # "be", of whose row </s> is the largest; that of </s> itself is hidden
    assert special_first(rescaled) == 0


def test_without_its_start_a_step_has_not_read_what_it_predicts():
    """<s> and the row of </s> go: rows and columns are then the same words, and a word does not move itself."""
    hidden = hide_special(of("decoder", DECODER_NORMS), rescale=True)
    assert hidden.keys.labels == hidden.predicted.labels == ("au", "be", "ici")
    np.testing.assert_array_equal(hidden.drawn.masked(), np.triu(np.ones((3, 3), dtype=bool)))
    np.testing.assert_allclose(hidden.shares, [[0, 0, 0], [1, 0, 0], [0.75, 1, 0]])
    assert special_first(of("decoder", DECODER_NORMS)) == 1


def test_the_first_token_read_is_hidden_and_its_row_stays():
    whole = of("cross", CROSS_NORMS)
    hidden, rescaled = (hide_special(whole, rescale=one, special=False, first=True) for one in (False, True))
    for one in (hidden, rescaled):
        assert one.keys.labels == whole.keys.labels[1:] and one.predicted.labels == whole.predicted.labels
        np.testing.assert_array_equal(one.norms, np.array(CROSS_NORMS)[:, 1:])
    np.testing.assert_array_equal(hidden.scales, whole.scales)
    np.testing.assert_array_equal(rescaled.scales, np.array(CROSS_NORMS)[:, 1:].max(axis=1))


def test_nothing_but_special_tokens_leaves_an_empty_map():
    end = tokens("</s>", (0,))
    only = GradientMap("cross", "one-hot", np.ones((1, 1)), np.ones(1), tokens("<s>", (0,)), end, end)
    hidden = hide_special(merge_words(only), rescale=True)
    assert hidden.drawn.weights.shape == (1, 1, 0, 0)
    assert len(gradient_csv(hidden).splitlines()) == 1


# --- Files ------------------------------------------------------------------------------------------------------------


def test_the_table_has_the_norms_and_what_is_drawn():
    gradient = of("decoder", DECODER_NORMS)
    rows = list(csv.DictReader(io.StringIO(gradient_csv(gradient), newline="")))
    assert len(rows) == 16 and "weight" not in rows[0]
    third = rows[2 * 4 + 1]
    assert third == {
        "query_index": "2", "reads": "be", "predicts": "ici", "key_index": "1", "key": "au", "gradient": "3.0",
        "of_row_largest": "0.75",
    }  # fmt: skip


def test_the_file_of_all_gradients_says_what_was_asked_and_gives_them_back(runner):
    request = runner.request(TEXT, TARGET, [INTERVENTIONS["zero"]])
    found = saliency(runner, request, "embedding")
    content = json.loads(saliency_json(found))
    assert (content["model"], content["text"], content["target"]) == (request.model, TEXT, TARGET)
    assert (content["measure"], content["mode"]) == ("gradient", "embedding")
    assert content["interventions"][0]["do"] == "knock out"
    for side in ("cross", "decoder"):
        np.testing.assert_allclose(content["maps"][side]["gradients"], found.maps[side].norms, rtol=1e-8)
        assert content["maps"][side]["predicts"] == list(found.maps[side].predicted.labels)
        assert content["maps"][side]["keys"] == list(found.maps[side].keys.labels)
