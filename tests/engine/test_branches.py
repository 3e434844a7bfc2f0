"""A reader's walk: tokens taken, taken again, rewound, and the same tree from its branches."""

from __future__ import annotations

import math

import pytest

from engine.branches import ROOT, begin, ends_of, node_at, path_ids, take, title_of
from engine.decoding.options import SampleOptions
from engine.errors import InputError
from engine.types import Choice
from tests.engine.generators import GENERATORS, tiny_gpt

THE, CAT, DOG, RAN, STOP = (
    Choice(token, label, f" {label}", share, share)
    for token, label, share in (
        (10, "the", 0.5),
        (11, "cat", 0.25),
        (12, "dog", 0.125),
        (13, "ran", 0.5),
        (3, "</s>", 0.1),
    )
)
SOURCE = tiny_gpt().prompt("On").tokens


def test_a_walk_with_rewind_and_another_token():
    tree = begin(SOURCE)
    assert (tree.source, tree.nodes, tree.best) == (SOURCE, (), ())
    tree, the = take(tree, ROOT, THE)
    tree, cat = take(tree, the, CAT)
    tree, ran = take(tree, cat, RAN)
    assert path_ids(tree, ran) == (10, 11, 13) and path_ids(tree, ROOT) == ()
    assert tree.nodes[ran].score == pytest.approx(math.log(0.5 * 0.25 * 0.5)) and tree.nodes[ran].step == 3
    rewound, dog = take(tree, the, DOG)
    assert len(rewound.nodes) == 4 and path_ids(rewound, dog) == (10, 12)
    assert path_ids(rewound, ran) == (10, 11, 13), "what was taken before is a branch"
    assert len(tree.nodes) == 3, "a tree is a value"
    assert [node.rank for node in rewound.nodes if node.step == 2] == [0, 1]
    assert ends_of(rewound) == ((10, 11, 13), (10, 12))


def test_a_token_that_was_taken_there_is_the_same_node():
    tree, the = take(begin(SOURCE), ROOT, THE)
    again, same = take(tree, ROOT, THE)
    assert again is tree and same == the
    deeper, other = take(tree, the, THE)
    assert other != the and len(deeper.nodes) == 2, "elsewhere it is another one"


def test_a_walk_is_what_taking_its_tokens_one_by_one_gives():
    generator = tiny_gpt()
    paths = ((10, 11, 12), (10, 12), (11, 11, 3), (10, 11, 13))
    walked = generator.walk("On", paths)
    tree = begin(walked.source)
    for path in paths:
        at = ROOT
        for token in path:
            here = node_at(walked, (*path_ids(tree, at), token))
            share = math.exp(walked.nodes[here].logprob)
            choice = Choice(token, generator.tokenizer.label_of(token), "", share, share)
            tree, at = take(tree, at, choice, ends=token == generator.end)
    assert [(n.parent, n.step, n.token, n.label, n.rank, n.row, n.state) for n in tree.nodes] == [
        (n.parent, n.step, n.token, n.label, n.rank, n.row, n.state) for n in walked.nodes
    ]
    assert [n.score for n in tree.nodes] == pytest.approx([n.score for n in walked.nodes])


def test_rows_tell_which_node_of_the_step_before_is_gone_on_from():
    tree, the = take(begin(SOURCE), ROOT, THE)
    tree, cat = take(tree, ROOT, CAT)
    tree, one = take(tree, cat, RAN)
    tree, two = take(tree, the, RAN)
    assert (tree.nodes[one].row, tree.nodes[two].row) == (1, 0)


def test_nodes_are_found_by_their_tokens():
    tree, the = take(begin(SOURCE), ROOT, THE)
    tree, cat = take(tree, the, CAT)
    assert node_at(tree, (10, 11)) == cat and node_at(tree, ()) == ROOT
    with pytest.raises(InputError, match="Take them first"):
        node_at(tree, (11,))


def test_nothing_comes_after_the_end_and_no_other_node():
    tree, stop = take(begin(SOURCE), ROOT, STOP, ends=True)
    assert tree.nodes[stop].state == "finished"
    with pytest.raises(InputError, match="has ended there"):
        take(tree, stop, THE)
    for node in (7, -2):
        with pytest.raises(InputError, match="no such node"):
            take(tree, node, THE)


@pytest.mark.parametrize("name", GENERATORS)
def test_branches_make_the_same_tree_again(name):
    """Tokens taken one by one, and the tree from the paths that an address carries."""
    generator, prompt = GENERATORS[name](), "The cat"
    options, tree = SampleOptions(), begin(generator.prompt("The cat").tokens)
    at = ROOT
    for rank in (0, 1, 0, 2):
        choice = generator.next_token(prompt, path_ids(tree, at), options).choices[rank]
        tree, at = take(tree, at, choice, ends=choice.token == generator.end)
    middle = tree.path(at)[1]
    choice = generator.next_token(prompt, path_ids(tree, middle), options).choices[3]
    tree, _ = take(tree, middle, choice, ends=choice.token == generator.end)
    again = generator.walk(prompt, ends_of(tree))
    assert again.source == tree.source and again.title == tree.title
    assert [(node.parent, node.token, node.label, node.state) for node in again.nodes] == [
        (node.parent, node.token, node.label, node.state) for node in tree.nodes
    ]
    assert [node.score for node in again.nodes] == pytest.approx([node.score for node in tree.nodes], abs=1e-3)
    assert ends_of(again) == ends_of(tree)


def test_a_walk_of_nothing_is_the_prompt_and_wrong_tokens_are_refused():
    generator = tiny_gpt()
    assert generator.walk("The cat", ()).nodes == generator.walk("The cat", ((),)).nodes == ()
    with pytest.raises(InputError, match="Rewind"):
        generator.walk("The cat", ((10**6,),))


def test_how_samples_were_drawn_is_said():
    assert title_of(SampleOptions(1)) == "1 sample, temperature 1, seed 0"
    options = SampleOptions(8, temperature=0.8, top_k=40, top_p=0.9, seed=3)
    assert title_of(options) == "8 samples, temperature 0.8, top-k 40, top-p 0.9, seed 3"
