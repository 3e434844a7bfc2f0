"""Which texts the maps of an upload are between: the source, what each step has read, and what it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from engine.errors import InputError
from engine.reduce import select
from engine.text import quoted
from engine.types import NO_TOKENS, Kind, Tokens
from engine.uploads.tokens import FIELDS, tokens_of

START, UNKNOWN = "<s>", "?"  # what the first row has read, and what the last one predicts, where a file does not say


def texts_of(
    told: Mapping[str, Any], weights: Mapping[Kind, np.ndarray], *, forward: bool
) -> tuple[Tokens, Tokens, Tokens, list[str]]:
    """Source, what was read, what was predicted, and notes on them; empty where no map has them.

    Args:
        told: the description, under its own names.
        weights: (layer, head, query, key) by kind.
        forward: whether a decoder's map has become an encoder's, since it looks at later tokens.

    Raises:
        InputError: tokens that are missing, of another number than the maps', or of two texts at once.
    """
    special = _specials(told.get("special"))
    one = len(weights) == 1 and "cross" not in weights
    if one:
        told = _of_one_text(told, "target" if "decoder" in weights else "source", forward)
    elif found := [name for name in FIELDS if name in told and not (name == "special" and special is not None)]:
        raise InputError(
            f"The maps are of two texts, and {quoted(found[0])} does not say of which. Give “source” and “target”, "
            'each a list of tokens or an object: {"source": {"tokens": [...], "special": [...]}}.'
        )
    source = read = predicted = NO_TOKENS
    notes: list[str] = []
    if "encoder" in weights or "cross" in weights:
        count = next(weights[kind].shape[3] for kind in ("encoder", "cross") if kind in weights)
        source, said = tokens_of("text" if one else "source", _needed(told, "source", one), count, special)
        notes += said
    rows = next((weights[kind].shape[2] for kind in ("decoder", "cross") if kind in weights), 0)
    if rows:
        read, predicted, more = _steps(told, rows, special, one)
        notes += more
    elif "predicted" in told or (not one and "target" in told):
        notes.append("There is no decoder or cross map: the output's tokens were left out.")
    return source, read, predicted, notes


def _specials(given: Any) -> tuple[str, ...] | None:
    """Special tokens that hold for every text; None where the file does not name any, or marks positions."""
    named = isinstance(given, list) and all(isinstance(one, str) for one in given)
    return tuple(given) if named else None


def _of_one_text(told: Mapping[str, Any], name: str, forward: bool) -> dict[str, Any]:
    """The description with its one text under its own name."""
    kept = {key: value for key, value in told.items() if key not in FIELDS}
    given = [key for key in ("tokens", "target" if forward else name) if key in told]
    if len(given) > 1:
        raise InputError(f"The file has “tokens” and {quoted(given[1])}. The maps are of one text: give one of them.")
    if not given:
        return kept
    fields = {key: told[key] for key in FIELDS if key in told and key != "tokens"}
    if isinstance(fields.get("special"), list) and _specials(fields["special"]) is not None:
        del fields["special"]  # holds for all texts, `predicted` too
    text = told[given[0]]
    return kept | {name: text if isinstance(text, dict) else {"tokens": text, **fields}}


def _needed(told: Mapping[str, Any], name: str, one: bool) -> Any:
    if name not in told:
        raise InputError(
            f"The file does not say which tokens the maps are between: {quoted('tokens' if one else name)} is "
            "missing. Add "
            'the array or the JSON, {"tokens": ["[CLS]", "a", "cat", "[SEP]"]}; of a translation "source", and '
            '"target" or "predicted".'
        )
    return told[name]


def _steps(
    told: Mapping[str, Any], rows: int, special: Sequence[str] | None, one: bool
) -> tuple[Tokens, Tokens, list[str]]:
    """What each row has read and what it predicts; of one alone the other follows."""
    notes: list[str] = []
    if "target" in told or "predicted" not in told:
        name = "text" if one else "target"
        read, said = tokens_of(name, _needed(told, "target", one), rows, special)
        notes += said
    if "predicted" in told:
        predicted, said = tokens_of("output (“predicted”)", told["predicted"], rows, special)
        notes += said
    else:
        predicted = _shifted(read, 1)
        notes.append(f"The file does not say what the last row predicts: it is shown as {quoted(UNKNOWN)}.")
    if "target" not in told:
        read = _shifted(predicted, -1)
    return read, predicted, notes


def _shifted(tokens: Tokens, by: int) -> Tokens:
    """The same text one position later (1), with an unknown last token, or earlier (-1), with a start before it."""
    kept = select(tokens, range(1, len(tokens)) if by > 0 else range(len(tokens) - 1))
    spans, special = ((0, 0),), (True,)
    if by > 0:
        last = max(kept.words, default=-1) + 1
        labels, words = (*kept.labels, UNKNOWN), (*kept.words, last)
        return Tokens(tokens.text, labels, (), words, kept.spans + spans, kept.special + special)
    after = tuple(word + 1 for word in kept.words)
    return Tokens(tokens.text, (START, *kept.labels), (), (0, *after), spans + kept.spans, special + kept.special)
