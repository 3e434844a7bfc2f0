"""Addresses of views, both ways: how each kind of choice is written behind the "?", and how it is read again.

Layers, heads and positions count from 1 in an address, as they do on the screen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, NamedTuple, TypeVar, get_args
from urllib.parse import unquote, urlencode

LONGEST_ADDRESS = 2_000  # characters behind the "?"; longer ones are cut by mail programs, chats and proxies
NAMED = 5  # parameters that mean nothing; of more only the number is said
LARGEST = 100_000  # no position, layer or step is higher


class Invalid(ValueError):
    """Why a value cannot be used; the message completes "heads=x: "."""


class Form(NamedTuple):
    """How the value of a field is read from an address, and written there."""

    read: Callable[[str], Any]
    write: Callable[[Any], str] = str


def choice(options: Any) -> Form:
    """One of the names of a `Literal`."""
    names = get_args(options)

    def read(text: str) -> str:
        if text not in names:
            raise Invalid(f"give one of {', '.join(names)}")
        return text

    return Form(read)


def _number(text: str) -> int:
    digits = text.lstrip("0")
    if not text.isascii() or not text.isdigit() or not 1 <= len(digits) <= len(str(LARGEST)) or int(digits) > LARGEST:
        raise Invalid("give whole numbers from 1")
    return int(digits) - 1


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted({_number(part) for part in text.split(".")})) if text != "none" else ()


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise Invalid("give a number from 0 to 1")
    return share


def _head(text: str) -> tuple[int, int]:
    parts = text.split(".")
    if len(parts) != 2:
        raise Invalid("give layer and head, such as 2.4")
    return _number(parts[0]), _number(parts[1])


def _switch(text: str) -> bool:
    if text not in ("0", "1"):
        raise Invalid("give 0 or 1")
    return text == "1"


def _none_or_number(text: str) -> int:
    return -1 if text == "none" else _number(text)


def written(numbers: tuple[int, ...]) -> str:
    """Numbers from 0 as an address has them: from 1, with points between."""
    return ".".join(str(number + 1) for number in numbers) or "none"


TEXT = Form(str)
POSITION = Form(_none_or_number, lambda value: "none" if value < 0 else str(value + 1))  # −1 for none
IDENTITIES = Form(
    lambda text: tuple(unquote(part) for part in text.split("_") if part),
    lambda values: "_".join(value.replace("%", "%25").replace("_", "%5F") for value in values),
)  # of models, whose names may have an underscore
NUMBER = Form(_number, lambda value: str(value + 1))
NUMBERS = Form(_numbers, written)
SHARE = Form(_share, lambda value: f"{value:g}")
HEAD = Form(_head, written)
SWITCH = Form(_switch, lambda value: "1" if value else "0")

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Codec(Generic[V]):
    """The addresses of one page's views.

    Attributes:
        page: its name, for request files.
        fresh: the view of a page that nobody has touched, a frozen dataclass.
        forms: one for each of its fields.
        of_text: the fields that mean nothing without the text.
    """

    page: str
    fresh: V
    forms: Mapping[str, Form]
    of_text: tuple[str, ...]

    def __post_init__(self) -> None:
        names = {field.name for field in fields(self.fresh)}  # type: ignore[arg-type]
        assert names == set(self.forms) and names >= set(self.of_text), "every field of a view has a form"

    def encode(self, view: V) -> dict[str, str]:
        """The parameters of the view's address: what differs from a fresh page."""
        found = {name: getattr(view, name) for name in self.forms}
        return {
            name: self.forms[name].write(value)
            for name, value in found.items()
            if value != getattr(self.fresh, name) and value is not None
        }

    def decode(self, parameters: Mapping[str, str]) -> tuple[V, list[str]]:
        """The view of an address, and one sentence for each parameter that could not be used; the rest still counts."""
        values, problems = {}, []
        unknown = [name for name in parameters if name not in self.forms]
        for name, given in parameters.items():
            text = _shown(given)
            if name not in self.forms:
                if name in unknown[:NAMED]:
                    problems.append(f"“{_shown(name)[:40]}” in the address means nothing here; it was left out.")
                continue
            try:
                values[name] = self.forms[name].read(text)
            except Invalid as reason:
                problems.append(f"“{name}={text[:40]}” in the address could not be used: {reason}.")
        if more := len(unknown[NAMED:]):
            said = "name in the address means" if more == 1 else "names in the address mean"
            problems.append(f"{more:,} more {said} nothing here and {'was' if more == 1 else 'were'} left out.")
        return replace(self.fresh, **values), problems  # type: ignore[type-var]

    def without_text(self, parameters: Mapping[str, str]) -> dict[str, str]:
        """What still fits an address where the text does not: everything that does not depend on it."""
        return {name: text for name, text in parameters.items() if name not in self.of_text}

    def to_file(self, view: V) -> str:
        """The view as a request file: JSON, for what is too long for an address."""
        return json.dumps({"saccade": 1, "page": self.page, **self.encode(view)}, ensure_ascii=False, indent=1) + "\n"

    def from_file(self, content: bytes) -> tuple[V, list[str]]:
        """The view of a request file, and what of it could not be used.

        Raises:
            ValueError: it is no such file, or one of another page.
        """
        try:
            values = json.loads(content.decode("utf-8"))
            if values.pop("saccade") != 1:
                raise ValueError("another version")
            page = values.pop("page", "translate")  # the first files did not say
            parameters = {name: text if isinstance(text, str) else json.dumps(text) for name, text in values.items()}
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
            raise ValueError(
                "This is no request file of Saccade. Choose one that “Save & share” has written."
            ) from error
        if page != self.page:
            raise ValueError(f"This request file is of the page {_shown(str(page))[:40].capitalize()}. Open it there.")
        return self.decode(parameters)


def _shown(text: str) -> str:
    """Text with "?" for each half of a surrogate pair, which no screen can be sent."""
    return text.encode("utf-8", "replace").decode()


def fits(parameters: Mapping[str, str]) -> bool:
    """Whether an address with these parameters is short enough to be passed on."""
    return len(urlencode(parameters)) <= LONGEST_ADDRESS
