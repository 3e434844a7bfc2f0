"""The tree of a search: what a screen shows of it, where the greedy output runs, and beginnings that are typed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.decoding.options import BeamOptions, SampleOptions
from engine.decoding.search import greedy
from engine.decoding.tree import SearchRequest, check_prefix, prefix_of, rescored, search, token_of
from engine.errors import InputError
from engine.runner import Runner
from engine.text import END, PAD, START, UNKNOWN
from engine.types import BeamTree, Hypothesis, Tokens
from tests.engine.conftest import PAIRS

TEXT = "The cat sleeps on the red chair."
OPTIONS = BeamOptions(beams=4, max_length=20)
LOGPROBS = 1e-4  # log-probabilities of around 10, step by step and in one pass


def request(runner: Runner, text: str = TEXT, **changes: object) -> SearchRequest:
    values: dict[str, object] = {"options": OPTIONS, **changes}
    return SearchRequest(runner.card.identity, text, **values)  # type: ignore[arg-type]


def tokens_of(tree: BeamTree, path: Sequence[int]) -> list[int]:
    return [tree.nodes[index].token for index in path]


@pytest.fixture(scope="module")
def trees(tiny_runner: Runner) -> list[BeamTree]:
    """One of each of the thirty sentences; the model knows them by heart, so that half are cut in two."""
    texts = [english if index % 2 else english.split(",")[0][:22] for index, (english, _) in enumerate(PAIRS)]
    return [search(tiny_runner, request(tiny_runner, text)) for text in texts]


# --- The record -------------------------------------------------------------------------------------------------------


def test_labels_and_texts_are_the_tokenizers(tiny_runner, trees):
    tokenizer = tiny_runner.tokenizer
    for tree in trees:
        assert tree.title == "Beam search, k = 4" and tree.source == tiny_runner.encode(tree.source.text)
        assert [node.label for node in tree.nodes] == [tokenizer.label_of(node.token) for node in tree.nodes]
        assert {node.label for node in tree.nodes if node.state == "finished"} <= {"</s>"}
        for one in tree.hypotheses:
            path = tree.path(one.node)
            assert one.text == tokenizer.decode(tokens_of(tree, path)) and one.length == len(path)
        assert tree.best == tree.path(tree.hypotheses[0].node)
        assert {node.count for node in tree.nodes} == {1}


def test_maps_and_likely_tokens_belong_to_the_live_prefixes(tiny_runner, trees):
    config = tiny_runner.model.config
    for tree in trees[:5]:
        assert len(tree.cross) == len(tree.likely) == max(node.step for node in tree.nodes)
        for maps, likely in zip(tree.cross, tree.likely, strict=True):
            assert maps.dtype == np.float32
            assert maps.shape == (len(likely), config.decoder_layers, config.heads, len(tree.source))
            np.testing.assert_allclose(maps.sum(-1), 1, atol=1e-5)  # float32, sums of up to 20
        first = tree.likely[0][0]
        best = next(node for node in tree.nodes if node.rank == 0)
        assert (best.label, best.logprob) in [(label, value) for label, value in first]


def test_the_greedy_path_is_the_greedy_output(tiny_runner, trees):
    left = set()
    for tree in trees:
        source = tiny_runner.tensor(tree.source.ids)
        expected = greedy(tiny_runner.model, source, tiny_runner.vocabulary, 20)[0]
        said, best = tokens_of(tree, tree.greedy), tokens_of(tree, tree.best)
        assert said == expected[: len(said)]
        # it ends where the search no longer recorded it
        if len(said) < len(expected):
            there = [node.token for node in tree.nodes if node.parent == (tree.greedy[-1] if said else -1)]
            assert expected[len(said)] not in there
        shared = 0
        while shared < min(len(best), len(expected)) and best[shared] == expected[shared]:
            shared += 1
        assert tree.left == (0 if best == expected else shared + 1)
        left.add(tree.left > 0)
    assert left == {True, False}, "some leave it and some do not"


def test_a_search_again_is_the_same_in_everything(tiny_runner):
    asked = request(tiny_runner)
    one, other = search(tiny_runner, asked), search(tiny_runner, request(tiny_runner))
    assert hash(asked) == hash(request(tiny_runner)) and asked == request(tiny_runner)
    assert replace(one, cross=()) == replace(other, cross=())
    for mine, yours in zip(one.cross, other.cross, strict=True):
        np.testing.assert_array_equal(mine, yours)


def test_each_kind_of_search_has_its_title(tiny_runner):
    prefix = prefix_of(tiny_runner, "La chat")
    titles = {
        "Greedy search, k = 1": request(tiny_runner, options=BeamOptions(beams=1, max_length=8)),
        "Shrinking beam, k = 3": request(tiny_runner, options=BeamOptions(beams=3, max_length=8, shrinking=True)),
        "5 samples": request(tiny_runner, options=SampleOptions(5, max_length=8)),
        "Beam search, k = 4, forced to begin “La chat”": request(tiny_runner, prefix=prefix),
    }
    assert {search(tiny_runner, asked).title for asked in titles.values()} == set(titles)


def test_samples_have_counts_and_no_greedy_path(tiny_runner):
    tree = search(tiny_runner, request(tiny_runner, options=SampleOptions(12, temperature=2.0, max_length=12)))
    assert sum(tree.nodes[one.node].count for one in tree.hypotheses) == 12
    assert (tree.greedy, tree.left) == ((), 0)


def test_report_hears_of_every_step_and_can_end_the_search(tiny_runner):
    steps: list[int] = []
    tree = search(tiny_runner, request(tiny_runner), steps.append)
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= len(tree.cross)
    with pytest.raises(KeyboardInterrupt):
        search(tiny_runner, request(tiny_runner), lambda step: (_ for _ in ()).throw(KeyboardInterrupt))


# --- Beginnings -------------------------------------------------------------------------------------------------------


def test_a_forced_beginning_begins_every_hypothesis(tiny_runner):
    prefix = prefix_of(tiny_runner, "La chat")
    tree = search(tiny_runner, request(tiny_runner, prefix=prefix))
    assert [node.state for node in tree.nodes[: len(prefix)]] == ["forced"] * len(prefix)
    assert {tuple(tokens_of(tree, tree.path(one.node))[: len(prefix)]) for one in tree.hypotheses} == {prefix}
    assert all(one.text.startswith("La chat") for one in tree.hypotheses)
    assert tuple(tokens_of(tree, tree.greedy)[: len(prefix)]) == prefix
    with torch.inference_mode():
        read = tiny_runner.tensor((START, *prefix[:-1]))
        logits = tiny_runner.model(tiny_runner.tensor(tree.source.ids), read)[0]
    logprobs = [float(row[token]) for row, token in zip(logits.log_softmax(-1), prefix, strict=True)]
    assert [node.logprob for node in tree.nodes[: len(prefix)]] == pytest.approx(logprobs, abs=LOGPROBS)


def test_a_beginning_is_read_as_the_outputs_are(tiny_runner):
    ids = prefix_of(tiny_runner, "  Où est la gare?")
    assert tiny_runner.tokenizer.decode(ids) == "Où est la gare ?"
    assert END not in ids
    check_prefix(tiny_runner, ids)


def test_a_beginning_the_tokenizer_cannot_make_is_refused_by_name(tiny_runner):
    with pytest.raises(InputError, match=r"cannot make “ξ”.*Type another beginning"):
        prefix_of(tiny_runner, "Le ξ")
    with pytest.raises(InputError):
        prefix_of(tiny_runner, "  ")


@pytest.mark.parametrize("token", [-1, 10_000, PAD, UNKNOWN, START, END])
def test_a_beginning_that_nothing_can_follow_is_refused(tiny_runner, token):
    with pytest.raises(InputError, match="Force another one"):
        search(tiny_runner, request(tiny_runner, prefix=(token,)))


def test_a_beginning_must_leave_room(tiny_runner):
    prefix = prefix_of(tiny_runner, "Le chat dort")
    for options in (BeamOptions(max_length=len(prefix)), SampleOptions(max_length=len(prefix))):
        with pytest.raises(InputError, match="Choose a higher limit, or force less"):
            search(tiny_runner, request(tiny_runner, options=options, prefix=prefix))


def test_a_typed_token_takes_the_form_it_has_there(tiny_runner):
    tokenizer = tiny_runner.tokenizer
    word, joined = tokenizer.id_of("▁il"), tokenizer.id_of("il")
    assert UNKNOWN not in (word, joined)
    assert token_of(tiny_runner, "il", ()) == word == token_of(tiny_runner, " il ", prefix_of(tiny_runner, "Le chat"))
    assert token_of(tiny_runner, "il", prefix_of(tiny_runner, "parce qu'")) == joined
    assert token_of(tiny_runner, ".", prefix_of(tiny_runner, "Le chat dort")) == tokenizer.id_of(".")
    assert tokenizer.id_of("▁at") == UNKNOWN or token_of(tiny_runner, "at", ()) == tokenizer.id_of("▁at")
    only = next(i for i in range(4, len(tokenizer)) if len(tokenizer.text_of(i)) > 1 and alone(tiny_runner, i))
    assert token_of(tiny_runner, tokenizer.label_of(only), prefix_of(tiny_runner, "Le chat")) == only
    with pytest.raises(InputError, match="is no single token"):
        token_of(tiny_runner, tokenizer.label_of(only), ())  # nothing there that it could be joined to


def alone(runner: Runner, token: int) -> bool:
    """Whether a piece goes on with a word and has no fellow that begins one."""
    text = runner.tokenizer.text_of(token)
    return text.isalpha() and runner.tokenizer.id_of("▁" + text) == UNKNOWN


def test_a_token_follows_a_prefix_that_the_tokenizer_would_have_cut_otherwise(tiny_runner):
    tokenizer = tiny_runner.tokenizer
    odd = tuple(tokenizer.id_of(piece) for piece in ("▁L", "e"))
    assert odd != prefix_of(tiny_runner, "Le") and UNKNOWN not in odd
    assert token_of(tiny_runner, "il", odd) == tokenizer.id_of("▁il")


@pytest.mark.parametrize("typed", ["xylophonique", "le chat", "<pad>", "<s>"])
def test_what_is_no_single_token_is_refused_with_the_pieces_it_would_be(tiny_runner, typed):
    with pytest.raises(InputError, match=f"“{typed}” is no single token after “Le”: the tokenizer makes “.*” . “.*”"):
        token_of(tiny_runner, typed, prefix_of(tiny_runner, "Le"))


def test_the_end_is_no_token_to_go_on_from(tiny_runner):
    with pytest.raises(InputError, match="Nothing can follow </s>"):
        token_of(tiny_runner, "</s>", prefix_of(tiny_runner, "Le"))


def test_an_empty_or_unknown_token_is_refused(tiny_runner):
    for typed in ("  ", "ξ"):
        with pytest.raises(InputError, match="Type a"):
            token_of(tiny_runner, typed, ())


# --- Another penalty --------------------------------------------------------------------------------------------------


def ranked(*found: tuple[int, float]) -> BeamTree:
    """A tree of nothing but hypotheses, (length, score)."""
    nothing = Tokens("", (), (), (), (), ())
    made = tuple(Hypothesis(i, f"text {i}", length, score, score, i) for i, (length, score) in enumerate(found))
    return BeamTree("", nothing, (), made, (), 0, "")


def test_other_penalties_rank_the_same_hypotheses_anew_by_hand():
    tree = ranked((2, -2.0), (4, -3.0), (9, -4.0), (4, -3.0))
    sums = rescored(tree, BeamOptions(alpha=0))
    assert [(one.node, one.final, one.rank) for one in sums] == [(0, -2, 0), (1, -3, 1), (3, -3, 2), (2, -4, 3)]
    means = rescored(tree, BeamOptions(alpha=1))
    assert [one.node for one in means] == [2, 1, 3, 0]  # -.444, -.75, -.75, -1
    assert [one.final for one in means] == pytest.approx([-4 / 9, -0.75, -0.75, -1])
    roots = rescored(tree, BeamOptions(alpha=0.5))
    assert [one.final for one in roots] == pytest.approx([-4 / 3, -2 / math.sqrt(2), -1.5, -1.5])
    gnmt = rescored(tree, BeamOptions(alpha=1, penalty="gnmt"))
    assert [one.final for one in gnmt] == pytest.approx([-2 * 6 / 7, -4 * 6 / 14, -2, -2])
    assert [one.node for one in gnmt] == [0, 2, 1, 3], "equals keep their order"
    assert rescored(ranked(), OPTIONS) == ()


def test_the_penalty_searched_with_ranks_as_the_search_did(trees):
    for tree in trees:
        again = rescored(tree, OPTIONS)
        assert {(one.node, one.text, one.length, one.score) for one in again} == {
            (one.node, one.text, one.length, one.score) for one in tree.hypotheses
        }
        kept = [one for one in tree.hypotheses if one.rank >= 0]
        assert [one.final for one in again[: len(kept)]] == pytest.approx(
            [one.final for one in kept], rel=1e-6
        )  # float32
        assert [one.node for one in again[: len(kept)]] == [one.node for one in kept]
