"""What a tree of a beam search sends to the browser, read back from its bytes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from engine.types import BeamNode, BeamTree, Hypothesis, Tokens
from viz.components.beam import STATES, BeamView, beam_data
from viz.components.packing import unpack
from viz.components.standalone import standalone_html
from viz.theme import DARK, HEAD_COLOURS, LIGHT

SOURCE = Tokens("a", ("a", "</s>"), (), (0, 1), ((0, 1), (0, 0)), (False, True))
NODES = (
    BeamNode(-1, 1, 7, "he", -0.5, -0.5, 0, "kept", "", 0),
    BeamNode(-1, 1, 8, "antidisestablishment", -1.25, -1.25, 1, "kept", "", 0),
    BeamNode(-1, 1, 9, "<b>", -2.5, -2.5, 2, "pruned", "rank 3 of k = 2", 0),
    BeamNode(0, 2, 2, "</s>", -0.25, -0.75, 0, "finished", "", 0),
    BeamNode(1, 2, 7, "he", -0.5, -1.75, 1, "cut", "the length limit", 1),
)
FOUND = (Hypothesis(3, "he", 2, -0.75, -0.375, 0), Hypothesis(4, "x he", 2, -1.75, -0.875, 1))
TREE = BeamTree("k = 2", SOURCE, NODES, FOUND, greedy=(0, 3), left=0, stopped="k = 2 hypotheses are finished")
GIVEN = BeamNode(-1, 1, 8, "x", -4.0, -4.0, 130_000, "forced", "forced", 0, 3)
PINNED = BeamTree("forced after “x”", SOURCE, (GIVEN,), (), (), 0, "-")
WHOLE = BeamView()

BEGINNING = (
    BeamNode(-1, 1, 10, "il", -0.5, -0.5, 0, "kept", "", 0),
    BeamNode(-1, 1, 11, "elle", -1.0, -1.0, 1, "kept", "", 0),
    BeamNode(-1, 1, 12, "<b>on</b>", -2.0, -2.0, 2, "pruned", "rank 3 of k = 2", 0),
    BeamNode(-1, 1, 13, "nous", -3.0, -3.0, 3, "pruned", "rank 4 of k = 2", 0),
    BeamNode(1, 2, 14, "dort", -0.25, -1.25, 0, "kept", "", 1),
    BeamNode(0, 2, 15, "rit", -1.0, -1.5, 1, "kept", "", 0),
    BeamNode(0, 2, 16, "part", -1.5, -2.0, 2, "pruned", "rank 3 of k = 2", 0),
    BeamNode(4, 3, 2, "</s>", -0.125, -1.375, 0, "finished", "", 0),
    BeamNode(5, 3, 14, "dort", -0.5, -2.0, 1, "cut", "the length limit", 1),
)


def sent(*trees: BeamTree, view: BeamView = WHOLE, **more: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(beam_data(trees or (TREE,), view, **more))


def grown(width: int, steps: int) -> BeamTree:
    """A search of 2k candidates a step, of which k are kept."""
    nodes: list[BeamNode] = []
    live = [-1]
    for step in range(1, steps + 1):
        first = len(nodes)
        for rank in range(2 * width):
            parent = live[rank % len(live)]
            before = nodes[parent].score if parent >= 0 else 0.0
            state, reason = ("kept", "") if rank < width else ("pruned", f"rank {rank + 1} of k = {width}")
            token = (step * 2 * width + rank) % 900
            score = before - 0.1 * (rank + 1)
            nodes.append(
                BeamNode(parent, step, token, f"token{token}", score - before, score, rank, state, reason, 0)  # type: ignore[arg-type]
            )
        live = list(range(first, first + width))
    text = " ".join(f"token{i}" for i in range(steps))
    found = tuple(Hypothesis(node, text, steps, -9.0, -0.9, rank) for rank, node in enumerate(live))
    return BeamTree(f"k = {width}", SOURCE, tuple(nodes), found, (), 0, "it ended")


def tree(title: str, nodes: tuple[BeamNode, ...], ends: dict[int, str], greedy: tuple[int, ...], left: int) -> BeamTree:
    found = tuple(
        Hypothesis(node, text, nodes[node].step, nodes[node].score, nodes[node].score / nodes[node].step, rank)
        for rank, (node, text) in enumerate(ends.items())
    )
    source = Tokens("a", ("a",), (), (0,), ((0, 1),), (False,))
    return BeamTree(title, source, nodes, found, greedy, left, "the length limit of 3 tokens")


ONE = tree("k = 2", BEGINNING, {7: "elle dort", 8: "il rit dort"}, (0, 5, 8), 1)
FORCED = tree(
    "forced after “nous”",
    (
        BeamNode(-1, 1, 13, "nous", -3.0, -3.0, 3, "forced", "forced", 0),
        BeamNode(0, 2, 17, "rions", -0.75, -3.75, 0, "kept", "", 0),
        BeamNode(1, 3, 2, "</s>", -0.25, -4.0, 0, "finished", "", 0),
    ),
    {2: "nous rions"},
    (),
    0,
)
SAMPLES = tree(
    "4 samples",
    (
        BeamNode(-1, 1, 10, "il", -0.5, -0.5, 0, "kept", "", 0, 3),
        BeamNode(-1, 1, 11, "elle", -1.0, -1.0, 1, "kept", "", 0, 1),
        BeamNode(0, 2, 2, "</s>", -0.25, -0.75, 0, "finished", "", 0, 3),
        BeamNode(1, 2, 2, "</s>", -0.25, -1.25, 1, "finished", "", 1, 1),
    ),
    {2: "il", 3: "elle"},
    (),
    0,
)
TREES = {"one": [ONE], "two": [ONE, FORCED], "large": [grown(10, 60)], "samples": [SAMPLES]}


def test_every_fact_of_a_node_comes_back() -> None:
    header, arrays = sent(TREE, PINNED)
    nodes = [*NODES, *PINNED.nodes]
    labels = [header["tokens"][i] for i in arrays["token"]]
    assert [one.get("title", one["label"]) for one in labels] == [node.label for node in nodes]
    assert arrays["parent"].tolist() == [node.parent + 1 for node in nodes]
    assert arrays["step"].tolist() == [node.step for node in nodes]
    assert [header["states"][i] for i in arrays["state"]] == [node.state for node in nodes]
    assert [header["reasons"][i] for i in arrays["reason"]] == [node.reason for node in nodes]
    assert arrays["count"].tolist() == [1, 1, 1, 1, 1, 3]
    for name in ("logprob", "score", "rank"):  # all exact in float32
        assert arrays[name].tolist() == [getattr(node, name) for node in nodes]
    assert tuple(header["states"]) == STATES == ("kept", "pruned", "finished", "cut", "forced")


def test_every_fact_of_a_tree_comes_back() -> None:
    first, second = sent(TREE, PINNED)[0]["trees"]
    assert first["title"] == "k = 2" and first["nodes"] == 5 and first["greedy"] == [0, 3] and first["left"] == 0
    assert first["stopped"] == "k = 2 hypotheses are finished"
    assert first["hypotheses"] == [
        {"node": 3, "text": "he", "final": -0.375, "rank": 0},
        {"node": 4, "text": "x he", "final": -0.875, "rank": 1},
    ]
    assert second["title"] == "forced after “x”" and second["nodes"] == 1 and second["hypotheses"] == []


def test_a_token_travels_once_with_what_it_needs() -> None:
    header, arrays = sent(pieces={7: " he", 9: "<b>"})
    assert arrays["token"][0] == arrays["token"][4]
    assert header["tokens"] == [
        {"label": "he", "piece": " he"},
        {"label": "antidisestabl…", "title": "antidisestablishment"},
        {"label": "<b>", "piece": "<b>"},
        {"label": "</s>", "special": True},
    ]
    assert all("piece" not in token for token in sent()[0]["tokens"])


@pytest.mark.parametrize(
    "view",
    [BeamView(), BeamView(2, "expand", (0, 3), pruned=False), BeamView(0), BeamView(99)],
)
def test_the_view_goes_there_and_back(view: BeamView) -> None:
    header, _ = sent(view=view, start_id="7")
    assert header["start_id"] == "7"
    assert BeamView.of(header["start"] | {"start_id": "7"}) == view


def test_a_phase_that_there_is_not_is_refused() -> None:
    with pytest.raises(ValueError, match="choose among expand, keep"):
        BeamView.of({"step": 1, "phase": "prune", "node": None, "pruned": True})
    with pytest.raises(ValueError, match="choose among expand, keep"):
        sent(view=BeamView(phase="prune"))  # type: ignore[arg-type]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_theme_scale_and_names_travel(theme: Any) -> None:
    header, _ = sent(theme=theme, scale=1.5, controls="none", file_name="my tree")
    assert header["theme"]["background"] == theme.background and header["scale"] == 1.5
    assert header["controls"] == "none" and header["file_name"] == "my tree"


def test_finished_ones_are_green_and_lighter_on_a_dark_page() -> None:
    assert sent(theme=LIGHT)[0]["finished"] == HEAD_COLOURS[4] == "#007833"
    assert sent(theme=DARK)[0]["finished"] == "#58a679"  # 0.65 of each channel and 0.35 of the text's 250


def test_a_large_search_stays_small() -> None:
    tree = grown(10, 60)
    assert len(tree.nodes) == 1200
    assert len(beam_data([tree], BeamView())) <= 150_000


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        beam_data([], BeamView())


@pytest.mark.parametrize("node", [(1, 0), (-1, 0), (0, 5), (0, -1)])
def test_a_chosen_node_that_is_not_there_is_refused(node: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="counted from 0"):
        sent(view=BeamView(node=node))


@pytest.mark.parametrize(
    ("at", "change", "message"),
    [
        (0, {"parent": 0}, "parents before their children"),
        (0, {"parent": 3}, "parents before their children"),
        (3, {"parent": -2}, "parents before their children"),
        (3, {"step": 3}, "follows step 1"),
        (1, {"step": 2}, "follows step 0"),
    ],
)
def test_nodes_out_of_order_are_refused(at: int, change: dict[str, int], message: str) -> None:
    nodes = list(NODES)
    nodes[at] = dataclasses.replace(nodes[at], **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        sent(dataclasses.replace(TREE, nodes=tuple(nodes)))


@pytest.mark.parametrize("change", [{"greedy": (5,)}, {"hypotheses": (Hypothesis(9, "", 1, 0.0, 0.0, 0),)}])
def test_a_path_that_ends_nowhere_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="there is no node"):
        sent(dataclasses.replace(TREE, **change))


def test_too_many_nodes_are_refused() -> None:
    many = dataclasses.replace(TREE, nodes=NODES[:1] * 65_535, hypotheses=(), greedy=())
    with pytest.raises(ValueError, match="at most 65,534"):
        sent(many)


def test_a_tree_without_nodes_is_drawn_empty() -> None:
    header, arrays = sent(dataclasses.replace(TREE, nodes=(), hypotheses=(), greedy=()))
    assert header["trees"][0]["nodes"] == 0 and all(array.size == 0 for array in arrays.values())


def test_the_page_of_its_own_holds_script_style_and_escaped_text() -> None:
    page = standalone_html("beam", beam_data([TREE], BeamView()), title="<i>t</i>", note="n", theme=LIGHT)
    assert "class Beam extends BeamFigure" in page and ".beam {" in page
    assert "<i>t</i>" not in page and "&lt;i&gt;t&lt;/i&gt;" in page
    assert 'src="' not in page and "https://" not in page
