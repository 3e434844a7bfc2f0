"""What travels to a component comes out as it went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viz.components.maps import FINE_UP_TO, quantised
from viz.components.packing import ALIGNMENT, pack, unpack

arrays = st.dictionaries(
    st.text(min_size=1, max_size=5),
    st.tuples(st.sampled_from(["uint8", "uint16", "float32"]), st.lists(st.integers(0, 200), max_size=9)),
    max_size=4,
)


@given(arrays, st.dictionaries(st.text(max_size=5), st.text(max_size=20), max_size=3))
def test_header_and_arrays_come_back(given_arrays, texts):
    made = {name: np.array(values, dtype) for name, (dtype, values) in given_arrays.items()}
    header, found = unpack(pack({"texts": texts}, made))
    assert header["texts"] == texts
    assert {name: array.tolist() for name, array in found.items()} == {n: a.tolist() for n, a in made.items()}
    assert all(place["offset"] % ALIGNMENT == 0 for place in header["arrays"].values())


def test_the_version_changes_with_header_and_arrays_and_with_nothing_else():
    def version(name: str, value: int) -> str:
        return unpack(pack({"name": name}, {"x": np.array([value], np.uint8)}))[0]["version"]

    assert version("a", 1) == version("a", 1)
    assert len({version("a", 1), version("b", 1), version("a", 2)}) == 3


@pytest.mark.parametrize(("size", "levels"), [(FINE_UP_TO, 65_535), (FINE_UP_TO + 1, 255)])
def test_weights_are_off_by_half_a_step_at_most(size, levels):
    weights = np.random.default_rng(0).random(size, dtype=np.float32)
    numbers, found = quantised(weights)
    assert found == levels
    assert np.abs(numbers / levels - weights).max() <= 0.5 / levels + 1e-7  # the quotient's own rounding


def test_what_is_no_weight_stays_inside_the_scale():
    numbers, levels = quantised(np.array([0, 1, np.nan, 1.5, -0.5], np.float32))
    assert numbers.tolist() == [0, levels, 0, levels, 0]
