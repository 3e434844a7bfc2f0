"""What every page's address has to keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages._address import NAMED, Codec


def assert_what_is_refused_is_named(codec: Codec[Any], address: Mapping[str, str]) -> None:
    """Each part as if it stood alone, but for meaningless names after the first few, of which the number is said."""
    _, problems = codec.decode(address)
    more = [name for name in address if name not in codec.forms][NAMED:]
    each = [said for name, text in address.items() if name not in more for said in codec.decode({name: text})[1]]
    assert problems[: len(each)] == each
    rest = problems[len(each) :]
    assert len(rest) == bool(more) and all(said.startswith(f"{len(more):,} more name") for said in rest)
