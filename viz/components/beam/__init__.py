"""A beam search, or samples, as a tree in the browser: step by step, with what was kept, pruned and finished.

Source: the tree of hypotheses with which beam search is taught, e.g. Manning et al., CS224n, lecture "Machine
Translation": compute the scores of the best words after each prefix, keep the k best, backtrack at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np

from engine.types import BeamNode, BeamTree, NodeState
from viz.components.inline import register
from viz.components.maps import theme_header
from viz.components.packing import pack
from viz.labels import shorten, visible
from viz.theme import HEAD_COLOURS, LIGHT, Theme

Phase = Literal["expand", "keep"]
Controls = Literal["all", "none"]
STATES: tuple[NodeState, ...] = get_args(NodeState)
SPECIAL = ("<s>", "</s>", "<pad>", "<unk>")
GREEN, OCHRE = HEAD_COLOURS[4], HEAD_COLOURS[1]  # at least 3:1 on both backgrounds
LIGHTER = 0.35  # of the text's colour in the green on a dark page, where thin lines need more contrast
MOST_NODES = 65_534  # indices travel as 16 bits

_mount = register("beam")


@dataclass(frozen=True, slots=True)
class BeamView:
    """What of the search is shown.

    Attributes:
        step: how many steps are shown; 0 only the beginning, -1 all of them and the backtracking.
        phase: of the last shown step: its candidates just computed, or k of them kept.
        node: tree and node that is chosen, both counted from 0; None for none.
        pruned: whether pruned candidates are drawn.
    """

    step: int = -1
    phase: Phase = "keep"
    node: tuple[int, int] | None = None
    pruned: bool = True

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> BeamView:
        """The view that the browser sent.

        Raises:
            ValueError: when it has a phase that there is not.
        """
        node = values["node"]
        return cls(
            step=int(values["step"]),
            phase=_phase(values["phase"]),
            node=None if node is None else (int(node[0]), int(node[1])),
            pruned=bool(values["pruned"]),
        )


def beam_data(
    trees: Sequence[BeamTree],
    view: BeamView,
    *,
    theme: Theme = LIGHT,
    scale: float = 1.0,
    start_id: str = "",
    controls: Controls = "all",
    file_name: str = "beam",
    pieces: Mapping[int, str] | None = None,
) -> bytes:
    """What the component receives.

    Args:
        trees: drawn one below the other, each headed by its title.
        view: what is shown first; a step too high stands for the last.
        theme: colours and type sizes.
        scale: of type and boxes; above 1 for a projector.
        start_id: the browser takes `view` over only when this changes, else it keeps what the reader did.
        controls: "all"; "none": the tree and what is said of it alone.
        file_name: of saved pictures, without suffix.
        pieces: for each token id its text, with a space where a word begins: then the text so far can be written out.
            Without it, or without one of its tokens, the text so far is a list of labels.

    Raises:
        ValueError: when there is no tree, the view's phase or node is not there, a node comes before its parent or does
            not follow its parent's step, a hypothesis ends in no node, or there are too many nodes.
    """
    if not trees:
        raise ValueError("trees: give at least one")
    for number, tree in enumerate(trees):
        _check(number, tree)
    nodes = [node for tree in trees for node in tree.nodes]
    if len(nodes) > MOST_NODES:
        raise ValueError(f"trees: {len(nodes):,} nodes, at most {MOST_NODES:,} can be drawn; record fewer candidates")
    _phase(view.phase)
    _check_node(trees, view.node)
    tokens = list(dict.fromkeys((node.token, node.label) for node in nodes))
    reasons = list(dict.fromkeys(node.reason for node in nodes))
    header = {
        **theme_header(theme, scale),
        "finished": _mixed(GREEN, theme.text, LIGHTER) if theme.name == "dark" else GREEN,
        "greedy": OCHRE,
        "states": STATES,
        "tokens": [_token(token, label, pieces or {}) for token, label in tokens],
        "reasons": reasons,
        "trees": [_described(tree) for tree in trees],
        "controls": controls,
        "file_name": file_name,
        "start": asdict(view),
        "start_id": start_id,
    }
    return pack(header, _columns(nodes, tokens, reasons))


def beam(data: bytes, *, key: str, on_change: Callable[[], None] = lambda: None) -> BeamView | None:
    """Mount the tree.

    Args:
        data: from `beam_data`.
        key: its name on the page.
        on_change: called when the reader has chosen a node, or has changed the view and settled; not while it plays.

    Returns:
        What the reader made of the view; None until it is changed for the first time.
    """
    result = _mount(key=key, data=data, on_view_change=on_change)
    return BeamView.of(result.view) if result.view else None


def _mixed(colour: str, other: str, share: float) -> str:
    """A colour, "#rrggbb", with a share of another one."""
    pairs = ((int(colour[at : at + 2], 16), int(other[at : at + 2], 16)) for at in (1, 3, 5))
    return "#" + "".join(f"{round(own + (mixed - own) * share):02x}" for own, mixed in pairs)


def _phase(name: str) -> Phase:
    for phase in get_args(Phase):
        if name == phase:
            return phase
    raise ValueError(f"phase is {name!r}: choose among {', '.join(get_args(Phase))}")


def _check(number: int, tree: BeamTree) -> None:
    """Raises ValueError where a tree cannot be drawn."""
    for index, node in enumerate(tree.nodes):
        if not -1 <= node.parent < index:
            raise ValueError(
                f"tree {number}: node {index} has parent {node.parent}; list parents before their children"
            )
        expected = 1 if node.parent < 0 else tree.nodes[node.parent].step + 1
        if node.step != expected:
            raise ValueError(f"tree {number}: node {index} is of step {node.step}, but follows step {expected - 1}")
    for end in (*(one.node for one in tree.hypotheses), *tree.greedy):
        if not 0 <= end < len(tree.nodes):
            raise ValueError(f"tree {number}: there is no node {end}, it has {len(tree.nodes)}, counted from 0")


def _check_node(trees: Sequence[BeamTree], node: tuple[int, int] | None) -> None:
    """Raises ValueError where the chosen node is not there."""
    if node is None:
        return
    tree, index = node
    if not 0 <= tree < len(trees):
        raise ValueError(f"node: there is no tree {tree}, choose one of {len(trees)}, counted from 0")
    if not 0 <= index < len(trees[tree].nodes):
        size = len(trees[tree].nodes)
        raise ValueError(f"node: tree {tree} has no node {index}, choose one of {size}, counted from 0")


def _token(token: int, label: str, pieces: Mapping[int, str]) -> dict[str, Any]:
    """A token as its boxes show it; what says nothing new is left out."""
    short, full = shorten(label), visible(label)
    entry: dict[str, Any] = {"label": short}
    if full != short:
        entry["title"] = full
    if label in SPECIAL:
        entry["special"] = True
    elif token in pieces:
        entry["piece"] = pieces[token]
    return entry


def _described(tree: BeamTree) -> dict[str, Any]:
    """The part of the header that is this tree's."""
    return {
        "title": tree.title,
        "nodes": len(tree.nodes),
        "hypotheses": [
            {"node": one.node, "text": one.text, "final": round(one.final, 6), "rank": one.rank}
            for one in tree.hypotheses
        ],
        "greedy": tree.greedy,
        "left": tree.left,
        "stopped": tree.stopped,
    }


def _columns(
    nodes: Sequence[BeamNode], tokens: Sequence[tuple[int, str]], reasons: Sequence[str]
) -> dict[str, np.ndarray]:
    """One array for each fact of the nodes, all trees' one after the other; a parent counts from 1 in its own tree."""
    places = {token: place for place, token in enumerate(tokens)}
    causes = {reason: place for place, reason in enumerate(reasons)}
    small = {
        "parent": [node.parent + 1 for node in nodes],
        "step": [node.step for node in nodes],
        "token": [places[node.token, node.label] for node in nodes],
        "reason": [causes[node.reason] for node in nodes],
        "count": [node.count for node in nodes],
    }
    fine = {
        "logprob": [node.logprob for node in nodes],
        "score": [node.score for node in nodes],
        "rank": [node.rank for node in nodes],  # of a forced token among the whole vocabulary, which may be large
    }
    states = np.array([STATES.index(node.state) for node in nodes], dtype=np.uint8)
    return {
        **{name: np.array(values, dtype=np.uint16) for name, values in small.items()},
        **{name: np.array(values, dtype=np.float32) for name, values in fine.items()},
        "state": states,
    }
