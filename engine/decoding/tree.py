"""The record of a search as a tree for screens: labels, texts, the greedy output's path.

Nothing here is computed anew but the greedy output, which is a search with a beam of 1 beside the other.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import torch

from engine.decoding.beam import most_likely, search_side_by_side
from engine.decoding.options import BeamOptions, SampleOptions
from engine.decoding.sampling import sample_tree
from engine.errors import InputError
from engine.models.translator import head_names
from engine.runner import Runner
from engine.text import BOUNDARY
from engine.types import AttentionMap, BeamNode, BeamTree, Hypothesis


@dataclass(frozen=True, slots=True)
class SearchRequest:
    """Everything a search depends on: cache key, permalink and record.

    Attributes:
        model: "name@sha256[:8]" of the weights.
        text: the normalised source.
        options: of a beam search, or of samples.
        prefix: ids that the output is forced to begin with.
    """

    model: str
    text: str
    options: BeamOptions | SampleOptions
    prefix: tuple[int, ...] = ()


def search(runner: Runner, request: SearchRequest, report: Callable[[int], None] = lambda step: None) -> BeamTree:
    """Run a search and keep its record.

    Args:
        runner: the model.
        request: what is searched, and how.
        report: called after each step with the number of steps done; what it raises ends the search.

    Raises:
        InputError: a text or a beginning that cannot be used.
    """
    source = runner.encode(request.text)
    options = replace(request.options, max_length=min(request.options.max_length, runner.longest_output))
    prefix = tuple(request.prefix)
    check_prefix(runner, prefix)
    if isinstance(options, SampleOptions):
        found = sample_tree(runner.steps, source.ids, runner.vocabulary, options, runner.device, prefix, report)
        counts: Sequence[int] = found.counts
        record, title = found.record, f"{options.samples} samples"
        greedy: tuple[int, ...] = ()
    else:
        alone = BeamOptions(beams=1, max_length=options.max_length, no_repeat=options.no_repeat)
        record, beside = search_side_by_side(
            runner.steps, source.ids, runner.vocabulary, (options, alone), runner.device, prefix, report
        )
        counts, title = [1] * len(record.nodes), _title(options)
        greedy = beside.tokens(beside.found[0].node) if beside.found else ()
    if prefix:
        title += f", forced to begin “{runner.tokenizer.decode(prefix)}”"
    nodes = tuple(
        BeamNode(
            node.parent, node.step, node.token, runner.tokenizer.label_of(node.token), node.logprob, node.score,
            node.rank, node.state, node.reason, node.row, count,
        )
        for node, count in zip(record.nodes, counts, strict=True)
    )  # fmt: skip
    hypotheses = tuple(
        Hypothesis(
            one.node, runner.tokenizer.decode(record.tokens(one.node)), one.length, one.score, one.final, one.place
        )
        for one in record.found
    )
    path = _path(nodes, greedy)
    best = record.tokens(record.found[0].node) if record.found else ()
    return BeamTree(
        title=title,
        source=source,
        nodes=nodes,
        hypotheses=hypotheses,
        greedy=path,
        left=_left(best, greedy),
        stopped=record.stopped,
        cross=tuple(step.numpy() for step in record.cross),
        likely=tuple(
            tuple(tuple((runner.tokenizer.label_of(token), value) for token, value in row) for row in step)
            for step in record.likely
        ),
    )


def _title(options: BeamOptions) -> str:
    name = "Shrinking beam" if options.shrinking else "Beam search" if options.beams > 1 else "Greedy search"
    return f"{name}, k = {options.beams}"


def _path(nodes: Sequence[BeamNode], tokens: Sequence[int]) -> tuple[int, ...]:
    """The nodes along some tokens, as far as they were recorded."""
    children = {(node.parent, node.token): index for index, node in enumerate(nodes)}
    path, at = [], -1
    for token in tokens:
        if (at, token) not in children:
            break
        at = children[at, token]
        path.append(at)
    return tuple(path)


def _left(best: Sequence[int], greedy: Sequence[int]) -> int:
    """The first step, from 1, at which two outputs differ; 0 where they are equal or one of them is not there.

    No output is the beginning of another: it ends with </s>, or both are as long as the limit.
    """
    pairs = enumerate(zip(best, greedy, strict=False), 1)
    return next((step for step, (one, other) in pairs if one != other), 0)


def check_prefix(runner: Runner, prefix: Sequence[int]) -> None:
    """Raises InputError where a forced beginning holds a token that an output cannot have."""
    size = len(runner.tokenizer)
    for token in prefix:
        if not 0 <= token < size or token in runner.vocabulary.banned or token == runner.vocabulary.end:
            raise InputError("The forced beginning holds a token that no output can go on from. Force another one.")


def prefix_of(runner: Runner, text: str) -> tuple[int, ...]:
    """The ids of a beginning that was typed.

    Raises:
        InputError: nothing was typed, or the tokenizer cannot make it: it has characters the model does not know.
    """
    tokenizer = runner.tokenizer
    tokens = tokenizer.encode_output(tokenizer.normalise_output(text), end=False)
    if tokenizer.unknown in tokens.ids:
        unknown = ", ".join(
            f"“{label}”" for label, token in zip(tokens.labels, tokens.ids, strict=True) if token == tokenizer.unknown
        )
        raise InputError(f"The tokenizer cannot make {unknown}: the model has no piece for it. Type another beginning.")
    return tokens.ids


def token_of(runner: Runner, label: str, prefix: Sequence[int]) -> int:
    """The token that was typed to follow a prefix: as a new word, or joined on where that is usual or the only way.

    Raises:
        InputError: it is not one piece of the vocabulary; the message says which pieces it would be.
    """
    wanted = runner.tokenizer.normalise(label).strip()
    if not wanted:
        raise InputError("Type a token, for example one of those listed.")
    beginning = runner.tokenizer.decode(prefix)
    forms = [BOUNDARY + wanted]
    if beginning:
        joins = beginning[-1] in "'-(" or wanted[0] in "'-.,)"
        forms.insert(0 if joins else 1, wanted)
    for piece in forms:
        token = runner.tokenizer.id_of(piece)
        if token != runner.vocabulary.end and token not in runner.vocabulary.banned:  # UNKNOWN is banned
            return token
    if wanted == runner.tokenizer.label_of(runner.vocabulary.end):
        raise InputError(f"Nothing can follow {wanted}: choose the node after which it should stand and read its row.")
    tokens = runner.tokenizer.encode_output(wanted, end=False)
    labels = [label for label, special in zip(tokens.labels, tokens.special, strict=True) if not special]
    pieces = " + ".join(f"“{label}”" for label in labels if label != BOUNDARY)
    raise InputError(
        f"“{wanted}” is no single token after “{beginning}”: the tokenizer makes {pieces} of it. Type the first of "
        "them, or force a whole beginning."
    )


def rescored(tree: BeamTree, options: BeamOptions) -> tuple[Hypothesis, ...]:
    """The same finished hypotheses under another length penalty, best first: no new search.

    Hypotheses that better ones had pushed out take part: under another penalty they may come back. A search run under
    that penalty may still stop elsewhere and find others.
    """
    scored = sorted(
        ((one.score / options.divisor(one.length), index, one) for index, one in enumerate(tree.hypotheses)),
        key=lambda item: (-item[0], item[1]),
    )
    return tuple(
        Hypothesis(one.node, one.text, one.length, one.score, final, rank)
        for rank, (final, _, one) in enumerate(scored)
    )


@dataclass(frozen=True, slots=True)
class Look:
    """One node of a tree, closely.

    Attributes:
        text: what has been said with this token.
        attention: where each step on the way looked in the source, as the search itself recorded it; None of a model
            without attention.
        following: the most probable tokens after it as (label, log-probability), best first; none after </s>.
        asked: whether `following` was computed anew, since the search did not go on from here.
    """

    text: str
    attention: AttentionMap | None
    following: tuple[tuple[str, float], ...]
    asked: bool


def look_at(runner: Runner, tree: BeamTree, node: int) -> Look:
    """A node's prefix, its cross-attention, and what may follow it.

    Args:
        runner: the model that was searched.
        tree: the record.
        node: one of its nodes.
    """
    path = tree.path(node)
    ids = tuple(tree.nodes[index].token for index in path)
    predicted = runner.tokenizer.decode_tokens(ids)
    rows = [tree.cross[tree.nodes[index].step - 1][tree.nodes[index].row] for index in path]
    weights = np.stack(rows, axis=2).astype(np.float32)  # (layer, head, step, source)
    read = runner.read_for(predicted)
    names = head_names(runner.model.config, "cross")
    attention = AttentionMap("cross", weights, read, tree.source, predicted, head_names=names) if weights.size else None
    last = tree.nodes[node]
    following: tuple[tuple[str, float], ...] = ()
    asked = False
    if last.token != runner.vocabulary.end:
        recorded = _row_after(tree, node)
        if recorded is not None:
            following = tree.likely[last.step][recorded]
        else:
            following, asked = _most_likely(runner, tree.source.ids, ids), True
    return Look(predicted.text, attention, following, asked)


def _row_after(tree: BeamTree, node: int) -> int | None:
    """Which live prefix of the next step a node is; None where the search did not go on from it."""
    step = tree.nodes[node].step
    if step >= len(tree.likely):
        return None
    lives = [i for i, one in enumerate(tree.nodes) if one.step == step and one.state in ("kept", "forced")]
    return lives.index(node) if node in lives else None


@torch.inference_mode()
def _most_likely(runner: Runner, source: Sequence[int], prefix: Sequence[int]) -> tuple[tuple[str, float], ...]:
    read = runner.tensor((runner.vocabulary.start, *prefix))
    logprobs = runner.model(runner.tensor(source), read)[:, -1].float().log_softmax(-1)
    return tuple((runner.tokenizer.label_of(token), value) for token, value in most_likely(logprobs)[0])


HYPOTHESES = ("rank", "text", "length", "sum", "divided by", "final score")


def hypotheses_csv(tree: BeamTree, options: BeamOptions | SampleOptions) -> str:
    """The finished hypotheses as CSV (RFC 4180), with `HYPOTHESES` as columns; ranks from 1, empty if pushed out."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(HYPOTHESES)
    for one in tree.hypotheses:
        divisor = options.divisor(one.length) if isinstance(options, BeamOptions) else 1.0
        rank = one.rank + 1 if one.rank >= 0 else ""
        writer.writerow((rank, one.text, one.length, *(round(v, 6) for v in (one.score, divisor, one.final))))
    return text.getvalue()


def tree_json(request: SearchRequest, tree: BeamTree) -> str:
    """The request and every recorded expansion as JSON, for other programs; maps are left out."""
    content = {
        "saccade": 1,
        "request": asdict(request),
        "title": tree.title,
        "source": list(tree.source.labels),
        "nodes": [asdict(node) for node in tree.nodes],
        "hypotheses": [asdict(one) for one in tree.hypotheses],
        "greedy": list(tree.greedy),
        "greedy_leaves_at": tree.left,
        "stopped": tree.stopped,
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"
