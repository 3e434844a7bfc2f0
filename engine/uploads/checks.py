"""What uploaded files may hold: the most of everything, shapes that can be, and JSON that is an object."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from engine.errors import InputError
from engine.huggingface.memory import shown_bytes
from engine.text import quoted

MOST_ARRAYS = 64  # in one file
MOST_BYTES = 500_000_000  # of a file, and of all that it holds when unpacked
MOST_CELLS = 125_000_000  # of all maps together: 500 MB of float32
MOST_JSON = 16_000_000  # bytes of a description
LONGEST_TITLE = 2_000  # characters
PICKLE = (
    "Saccade never reads pickled files, which can run code. Save the arrays with numpy.savez or safetensors instead."
)
LESS = "Save fewer layers, or a shorter text."


def check_shape(name: str, shape: Sequence[Any]) -> None:
    """Check that an array can have this shape: at most eight whole numbers from 0.

    Raises:
        InputError: it cannot.
    """
    if any(type(count) is not int or not 0 <= count <= MOST_BYTES for count in shape) or len(shape) > 8:
        raise InputError(f"The array {quoted(name)} has the impossible shape {shape_text(shape)}. Save it again.")


def shape_text(shape: Sequence[Any]) -> str:
    """A shape for a sentence: “6 × 8 × 12 × 12”."""
    return quoted(" × ".join(map(str, shape[:8])) or "()", 80)


def check_cells(shown: str, shapes: Sequence[Sequence[int]]) -> None:
    """Check how many numbers arrays hold together, before they are read.

    Raises:
        InputError: more than `MOST_CELLS`.
    """
    cells = sum(map(math.prod, shapes))
    if cells > MOST_CELLS:
        raise InputError(f"{shown} holds {cells:,} weights; {MOST_CELLS:,} is the most. {LESS}")


def json_object(shown: str, content: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8.

    Raises:
        InputError: it is none, is too long, or names something twice.
    """
    if len(content) > MOST_JSON:
        raise InputError(f"The JSON of {shown} has {shown_bytes(len(content))}; {shown_bytes(MOST_JSON)} is the most.")
    try:
        values = parsed(shown, content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"The JSON of {shown} is not in UTF-8. Write it with json.dumps.") from error
    if not isinstance(values, dict):
        raise InputError(f'The JSON of {shown} should be an object, such as {{"tokens": ["[CLS]", "a", "cat"]}}.')
    return values


def parsed(shown: str, text: str) -> Any:
    """What a JSON text says.

    Raises:
        InputError: it is no JSON, is nested too deeply, or names something twice.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) < len(items):
            twice = Counter(name for name, _ in items).most_common(1)[0][0]
            raise InputError(f"{shown} names {quoted(twice)} twice. Give each its own name.")
        return found

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The JSON of {shown} cannot be read. Write it with json.dumps.") from error
