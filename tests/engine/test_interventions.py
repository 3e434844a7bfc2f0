"""Interventions as plain values: there and back through JSON, and what is no intervention."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.interventions import Force, Head, KnockOut, Patch, from_json, to_json
from engine.types import KINDS

counts = st.integers(0, 200)
rows = st.lists(counts, max_size=4).map(tuple)
heads = st.lists(st.builds(Head, st.sampled_from(KINDS), counts, counts), max_size=4).map(tuple)
pairs = st.lists(st.tuples(counts, counts), max_size=4).map(tuple)
interventions = st.one_of(
    st.builds(KnockOut, heads, st.sampled_from(["zero", "mean"])),
    st.builds(Patch, heads, st.text(), st.none() | st.text(), pairs),
    st.builds(Force, heads, rows, rows, rows),
)


def test_json_by_hand():
    head = Head("cross", 1, 3)
    assert to_json(KnockOut((head,))) == {"do": "knock out", "heads": (("cross", 1, 3),), "by": "zero"}
    assert to_json(Force((head,), (4,), (1, 2), (3,))) == {
        "do": "force", "heads": (("cross", 1, 3),), "rows": (4,), "keys": (1, 2), "onto": (3,),
    }  # fmt: skip
    patch = to_json(Patch((head,), "The cat sleeps.", None, ((0, 1),)))
    assert patch["do"] == "patch" and patch["target"] is None and patch["positions"] == ((0, 1),)
    assert from_json({"do": "knock out", "heads": [["encoder", 0, 2]]}) == KnockOut((Head("encoder", 0, 2),))


def test_a_head_is_named_as_screens_count():
    assert Head("encoder", 1, 2).name == "encoder layer 2, head 3"


@settings(max_examples=150, deadline=None)
@given(interventions)
def test_any_intervention_comes_back_equal_and_hashable(made):
    found = from_json(json.loads(json.dumps(to_json(made))))
    assert found == made and type(found) is type(made)
    assert hash(found) == hash(made)  # a request is a cache key
    assert all(isinstance(head, Head) for head in found.heads)


KNOCK_OUT = to_json(KnockOut((Head("encoder", 0, 2),)))
PATCH = to_json(Patch((Head("cross", 0, 2),), "The cat sleeps.", "Le chat dort.", ((0, 1),)))
FORCE = to_json(Force((Head("cross", 0, 2),), (1,), (2,), (3,)))


@pytest.mark.parametrize("values", [KNOCK_OUT, PATCH, FORCE], ids=["knock out", "patch", "force"])
def test_what_the_edits_below_begin_with_is_sound(values):
    """Otherwise they would prove nothing."""
    assert to_json(from_json(values)) == values


@pytest.mark.parametrize(
    "values",
    [
        {},
        [],
        None,
        "knock out",
        {"do": "knock out"},
        KNOCK_OUT | {"do": "silence"},
        KNOCK_OUT | {"do": ["knock out"]},
        KNOCK_OUT | {"by": "median"},
        KNOCK_OUT | {"by": ["zero"]},
        KNOCK_OUT | {"strength": 1},
        KNOCK_OUT | {"heads": None},
        KNOCK_OUT | {"heads": "encoder"},
        KNOCK_OUT | {"heads": [["encoder", 0]]},
        KNOCK_OUT | {"heads": [["encoder", 0, 2, 3]]},
        KNOCK_OUT | {"heads": [["memory", 0, 2]]},
        KNOCK_OUT | {"heads": [["encoder", "0", 2]]},
        KNOCK_OUT | {"heads": [["encoder", 0, 1.5]]},
        KNOCK_OUT | {"heads": [["encoder", -1, 2]]},
        PATCH | {"text": 3},
        PATCH | {"target": ["Le chat dort."]},
        PATCH | {"positions": [[0]]},
        PATCH | {"positions": [[0, 1, 2]]},
        PATCH | {"positions": [0, 1]},
        PATCH | {"positions": [["0", "1"]]},
        {name: value for name, value in PATCH.items() if name != "text"},
        FORCE | {"rows": 1},
        FORCE | {"rows": "12"},
        FORCE | {"keys": [None]},
        FORCE | {"onto": [-1]},
        {name: value for name, value in FORCE.items() if name != "onto"},
    ],
)
def test_what_is_no_intervention_is_refused(values):
    with pytest.raises(ValueError, match="no intervention"):
        from_json(values)
