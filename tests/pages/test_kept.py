"""Results that are kept up to a number of bytes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pytest

from pages._kept import Kept, bytes_of

THOUSAND = np.zeros(250, dtype=np.float32)  # bytes


@dataclass(frozen=True, slots=True)
class Result:
    maps: MappingProxyType[str, np.ndarray]
    notes: tuple[str, ...] = ()


def test_arrays_count_wherever_they_are() -> None:
    import torch

    result = Result(MappingProxyType({"encoder": THOUSAND, "cross": np.zeros((2, 250))}), ("a note",))
    assert 5_000 < bytes_of(result) < 6_000
    assert bytes_of([torch.zeros(10, 10), "x" * 600]) == pytest.approx(1_000, abs=200)


def test_those_asked_for_longest_ago_go_first() -> None:
    kept = Kept(3_500)
    for name in "abc":
        kept.put(name, THOUSAND)
    assert kept.get("a") is THOUSAND
    kept.put("d", THOUSAND)
    assert [name in kept for name in "abcd"] == [True, False, True, True]
    assert kept.get("b") is None
    kept.put("e", np.zeros(3_400, dtype=np.uint8))  # has room when all others are gone
    assert [name in kept for name in "acde"] == [False, False, False, True]


def test_what_is_put_again_counts_once_and_what_is_too_large_is_not_kept() -> None:
    kept = Kept(2_500)
    for _ in range(5):
        kept.put("a", THOUSAND)
    kept.put("b", THOUSAND)
    assert "a" in kept and "b" in kept
    kept.put("c", np.zeros(2_600, dtype=np.uint8))
    assert [name in kept for name in "abc"] == [True, True, False]
    kept.put("b", np.zeros(2_600, dtype=np.uint8))  # another result of the same question
    assert [name in kept for name in "ab"] == [True, False]
