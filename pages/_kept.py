"""Results that are kept in memory up to a number of bytes: those that were asked for longest ago go first."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import fields, is_dataclass
from threading import Lock
from typing import Any


class Kept:
    """A cache that threads can share."""

    def __init__(self, most: int) -> None:
        """Args:
        most: bytes of all results together, as `bytes_of` counts them. A larger one is not kept at all.
        """
        self.most = most
        self._found: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
        self._held = 0
        self._lock = Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._found

    def get(self, key: Hashable) -> Any:
        """What was put there; None if nothing is."""
        with self._lock:
            if key not in self._found:
                return None
            self._found.move_to_end(key)
            return self._found[key][0]

    def put(self, key: Hashable, result: Any) -> None:
        """Keep a result; others go where there is no room."""
        size = bytes_of(result)
        with self._lock:
            self._held -= self._found.pop(key, (None, 0))[1]
            if size > self.most:
                return
            self._found[key] = result, size
            self._held += size
            while self._held > self.most:
                self._held -= self._found.popitem(last=False)[1][1]


def bytes_of(result: Any) -> int:
    """About how much memory a result takes: that of its arrays, and of what else it is made of."""
    size = getattr(result, "nbytes", None)
    if isinstance(size, int):
        return size
    if is_dataclass(result):
        return sum(bytes_of(getattr(result, field.name)) for field in fields(result))
    parts = result.values() if isinstance(result, Mapping) else result if isinstance(result, list | tuple) else ()
    return sys.getsizeof(result) + sum(map(bytes_of, parts))
