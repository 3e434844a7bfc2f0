"""A view and its address, both ways: what stands behind the "?" restores model, text and everything that is chosen.

Layers, heads and positions count from 1 in an address, as they do on the screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args
from urllib.parse import urlencode

from engine.types import Kind

Figure = Literal["lines", "playback", "grid", "heatmap"]
Unit = Literal["words", "pieces"]
Special = Literal["shown", "hidden", "renormalised"]
Over = Literal["each", "mean", "max"]
Compare = Literal["one", "pair", "difference"]
Head = tuple[int, int]

LONGEST_ADDRESS = 2_000  # characters behind the "?"; longer ones are cut by mail programs, chats and proxies
LARGEST = 100_000  # no position, layer or step is higher


@dataclass(frozen=True, slots=True)
class View:
    """Everything that the Translate page shows. None stands for the page's own choice.

    Attributes:
        model: `name@sha256[:8]` of the weights the view was made with.
        text: the source.
        target: an output that is forced; None for the model's own.
        map: which attention.
        view: which figure.
        tokens: whole words or the model's pieces.
        special: whether special tokens are shown, hidden, or hidden with the rest renormalised.
        over_heads: each head, or their mean or maximum.
        over_layers: each layer, or their mean or maximum.
        layer: counted from 0.
        heads: counted from 0, in rising order.
        pins: pinned positions that look, counted from 0.
        at: pinned positions looked at, counted from 0.
        least: the least weight of a line; None where lines are chosen by mass.
        mass: the share of each row that lines carry; None where they are chosen by weight.
        compare: one head as heatmap, two side by side, or their difference.
        other: layer and head of the second heatmap.
        step: of the playback.
        presenter: larger type and fewer controls.
    """

    model: str = ""
    text: str = ""
    target: str | None = None
    map: Kind = "encoder"
    view: Figure = "lines"
    tokens: Unit = "words"
    special: Special = "shown"
    over_heads: Over = "each"
    over_layers: Over = "each"
    layer: int | None = None
    heads: tuple[int, ...] | None = None
    pins: tuple[int, ...] = ()
    at: tuple[int, ...] = ()
    least: float | None = None
    mass: float | None = None
    compare: Compare = "one"
    other: Head | None = None
    step: int = 0
    presenter: bool = False


class _Invalid(ValueError):
    """Why a value cannot be used; the message completes "heads=x: "."""


def _choice(options: Any) -> Callable[[str], str]:
    names = get_args(options)

    def read(text: str) -> str:
        if text not in names:
            raise _Invalid(f"give one of {', '.join(names)}")
        return text

    return read


def _number(text: str) -> int:
    digits = text.lstrip("0")
    if not text.isascii() or not text.isdigit() or not 1 <= len(digits) <= len(str(LARGEST)) or int(digits) > LARGEST:
        raise _Invalid("give whole numbers from 1")
    return int(digits) - 1


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_number(part) for part in text.split(".")})) if text != "none" else ()


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise _Invalid("give a number from 0 to 1")
    return share


def _head(text: str) -> Head:
    parts = text.split(".")
    if len(parts) != 2:
        raise _Invalid("give layer and head, such as 2.4")
    return _number(parts[0]), _number(parts[1])


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise _Invalid("give 0 or 1")
    return text == "1"


READERS: dict[str, Callable[[str], Any]] = {
    "model": str,
    "text": str,
    "target": str,
    "map": _choice(Kind),
    "view": _choice(Figure),
    "tokens": _choice(Unit),
    "special": _choice(Special),
    "over_heads": _choice(Over),
    "over_layers": _choice(Over),
    "layer": _number,
    "heads": _numbers,
    "pins": _numbers,
    "at": _numbers,
    "least": _share,
    "mass": _share,
    "compare": _choice(Compare),
    "other": _head,
    "step": _number,
    "presenter": _switch,
}
"""One reader for each field of `View`, from the text in an address."""


def encode(view: View) -> dict[str, str]:
    """The parameters of the view's address: what differs from a fresh page, and always the model."""
    fresh = View()
    found = {field.name: getattr(view, field.name) for field in fields(View)}
    return {
        name: _written(name, value)
        for name, value in found.items()
        if value != getattr(fresh, name) and value is not None
    }


def _written(name: str, value: Any) -> str:
    reader = READERS[name]
    if reader is _number:
        return str(value + 1)
    if reader in (_numbers, _head):
        return ".".join(str(number + 1) for number in value) or "none"
    if reader is _switch:
        return "1" if value else "0"
    return f"{value:g}" if reader is _share else str(value)


def decode(parameters: Mapping[str, str]) -> tuple[View, list[str]]:
    """The view of an address, and one sentence for each parameter that could not be used; the rest still counts."""
    values, problems = {}, []
    for name, given in parameters.items():
        text = given.encode("utf-8", "replace").decode()  # half a surrogate pair cannot be shown
        if name not in READERS:
            problems.append(f"“{name}” in the address means nothing here; it was left out.")
            continue
        try:
            values[name] = READERS[name](text)
        except _Invalid as reason:
            problems.append(f"“{name}={text[:40]}” in the address could not be used: {reason}.")
    return replace(View(), **values), problems


def fits(parameters: Mapping[str, str]) -> bool:
    """Whether an address with these parameters is short enough to be passed on."""
    return len(urlencode(parameters)) <= LONGEST_ADDRESS


def without_text(parameters: Mapping[str, str]) -> dict[str, str]:
    """What still fits an address where the text does not: everything that does not depend on it."""
    return {name: text for name, text in parameters.items() if name not in ("text", "target", "pins", "at", "step")}


def to_file(view: View) -> str:
    """The view as a request file: JSON, for what is too long for an address."""
    return json.dumps({"saccade": 1, **encode(view)}, ensure_ascii=False, indent=1) + "\n"


def from_file(content: bytes) -> tuple[View, list[str]]:
    """The view of a request file, and what of it could not be used.

    Raises:
        ValueError: it is no such file.
    """
    try:
        values = json.loads(content.decode("utf-8"))
        if values.pop("saccade") != 1:
            raise ValueError("another version")
        parameters = {name: text if isinstance(text, str) else json.dumps(text) for name, text in values.items()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("This is no request file of Saccade. Choose one that “Save & share” has written.") from error
    return decode(parameters)


assert set(READERS) == set(asdict(View())), "every field of View has a reader"
