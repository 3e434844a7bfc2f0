"""A trace as a file: it comes back equal in every field, and nothing else is taken for one."""

from __future__ import annotations

import io
import json
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import InputError
from engine.interventions import Force, Head, KnockOut, Patch
from engine.record import load_trace, save_trace
from engine.types import AttentionMap, Tokens, Trace, TraceRequest


def assert_same(one: Any, other: Any, where: str = "trace") -> None:
    """Equal in every field of every dataclass, types and dtypes included."""
    assert type(one) is type(other), where
    if isinstance(one, np.ndarray):
        assert one.dtype == other.dtype and one.shape == other.shape, where
        assert one.tobytes() == other.tobytes(), where
    elif is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name), f"{where}.{field.name}")
    elif isinstance(one, dict):
        assert list(one) == list(other), where
        for key in one:
            assert_same(one[key], other[key], f"{where}[{key!r}]")
    elif isinstance(one, tuple):
        assert len(one) == len(other), where
        for place, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{place}]")
    else:
        assert one == other, where


@pytest.fixture(scope="module")
def trace(tiny_runner) -> Trace:
    return tiny_runner.trace("The cat 🙂 didn't cross <b>the</b> street.", "Le chat n'a pas traversé la rue 🙂.")


@pytest.fixture(scope="module")
def content(trace, tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("content") / "trace.npz"
    save_trace(trace, path)
    return path.read_bytes()


def test_a_models_trace_comes_back_equal(trace, tmp_path):
    assert trace.notes and trace.alternatives and set(trace.maps) == {"encoder", "decoder", "cross"}
    save_trace(trace, tmp_path / "trace.npz")
    loaded = load_trace(tmp_path / "trace.npz")
    assert_same(trace, loaded)
    assert loaded.maps["cross"].row_title(0) == trace.maps["cross"].row_title(0)
    assert not loaded.maps["cross"].weights.flags.writeable


def test_a_trace_of_a_traces_request_says_the_same(tiny_runner, trace, tmp_path):
    """The file is a reproducible record: the request in it, run again, gives the maps in it."""
    save_trace(trace, tmp_path / "trace.npz")
    again = tiny_runner.run(load_trace(tmp_path / "trace.npz").request)
    assert again.translation == trace.translation
    assert np.array_equal(again.maps["cross"].weights, trace.maps["cross"].weights)  # same shapes, same kernels


def test_other_programs_can_read_the_arrays(content):
    """The file is documented as NPZ: numpy alone reads it, without pickle."""
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        assert sorted(file) == ["map.cross", "map.decoder", "map.encoder", "record", "token_logprobs"]
        assert file["map.cross"].dtype == np.float32
        assert json.loads(str(file["record"]))["format"] == 1


def test_a_file_open_for_writing_gets_the_same_arrays_and_stays_open(trace, content):
    file = io.BytesIO()
    save_trace(trace, file)
    assert not file.closed
    file.seek(0)
    with np.load(file) as found, np.load(io.BytesIO(content)) as expected:
        assert sorted(found) == sorted(expected)
        assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)


# --- Any trace --------------------------------------------------------------------------------------------------------

words = st.text(max_size=6)
floats = st.floats(allow_nan=False)


@st.composite
def some_tokens(draw: st.DrawFn, length: int) -> Tokens:
    def several(values: st.SearchStrategy[Any]) -> tuple[Any, ...]:
        return tuple(draw(st.lists(values, min_size=length, max_size=length)))

    places = st.integers(0, 10**6)
    ids = several(places) if draw(st.booleans()) else ()
    return Tokens(draw(words), several(words), ids, several(places), several(st.tuples(places, places)),
                  several(st.booleans()))  # fmt: skip


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    long, wide = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    source, read, predicted = draw(some_tokens(long)), draw(some_tokens(wide)), draw(some_tokens(wide))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    axes = {
        "encoder": (source, source, None),
        "decoder": (read, read, predicted),
        "cross": (read, source, predicted),
    }
    kinds = draw(st.lists(st.sampled_from(list(axes)), unique=True))
    maps = {}
    for kind in kinds:
        query, key, said = axes[kind]
        maps[kind] = AttentionMap(kind, rng.random((2, 3, len(query), len(key)), dtype=np.float32), query, key, said)
    step = st.lists(st.tuples(words, floats), max_size=3).map(tuple)
    request = TraceRequest(draw(words), draw(words), draw(st.none() | words), draw(st.integers(1, 500)))
    return Trace(
        request, source, read, predicted, draw(words), maps, -rng.random(wide, dtype=np.float32),
        draw(st.lists(step, max_size=3).map(tuple)), draw(words), draw(floats),
        draw(st.lists(words, max_size=2).map(tuple)),
    )  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(traces())
def test_any_trace_comes_back_equal(tmp_path_factory, made):
    path = tmp_path_factory.mktemp("any") / "trace.npz"
    save_trace(made, path)
    assert_same(made, load_trace(path))


@pytest.mark.parametrize("label", ["", "\x00", "a\x00", "\n", '"', "\\", "\ud800", "👩🏽‍🚀", "e\u0301", "\u202eabc"])
def test_strange_labels_come_back_equal(tmp_path, label):
    """A lone surrogate and a trailing NUL included, which numpy's own strings would lose."""
    one = Tokens(label, (label,), (), (0,), ((0, 0),), (False,))
    made = Trace(
        TraceRequest("m@0", label, None, 192), one, one, one, label, {}, np.zeros(1, np.float32), (((label, -1.0),),)
    )
    save_trace(made, tmp_path / "x.npz")
    assert_same(made, load_trace(tmp_path / "x.npz"))


# --- What is no trace -------------------------------------------------------------------------------------------------


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def edited(content: bytes, edit: Any) -> bytes:
    """The same file with its record changed."""
    with np.load(io.BytesIO(content)) as file:
        arrays = dict(file)
    record = json.loads(str(arrays["record"]))
    return npz(**arrays | {"record": np.array(json.dumps(edit(record)))})


LOGPROBS = np.zeros(1, np.float32)
WRONG = {
    "empty": b"",
    "text": b"The cat sleeps.",
    "html": b"<!doctype html><title>trace</title>",
    "zip start": b"PK\x03\x04",
    "one array": npy(np.zeros(3)),
    "other arrays": npz(a=np.zeros(3)),
    "no JSON": npz(record=np.array("{"), token_logprobs=LOGPROBS),
    "JSON list": npz(record=np.array("[1]"), token_logprobs=LOGPROBS),
    "empty record": npz(record=np.array("{}"), token_logprobs=LOGPROBS),
    "objects": npz(record=np.array([{}], dtype=object)),
}


def assert_refused(path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_trace(path)
    assert path.name in str(error.value)
    assert "saccade trace" in str(error.value)
    assert "can read ()" not in str(error.value), "it gives a reason"


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_refused(tmp_path, name):
    (tmp_path / "wrong.npz").write_bytes(WRONG[name])
    assert_refused(tmp_path / "wrong.npz")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path, content, share):
    (tmp_path / "cut.npz").write_bytes(content[: int(len(content) * share)])
    assert_refused(tmp_path / "cut.npz")


@pytest.mark.parametrize(
    "edit",
    [
        lambda record: record | {"format": 2},
        lambda record: {key: value for key, value in record.items() if key != "format"},
        lambda record: {key: value for key, value in record.items() if key != "translation"},
        lambda record: record | {"tokens": []},
        lambda record: record | {"tokens": record["tokens"] | {"source": [1]}},
        lambda record: record | {"tokens": record["tokens"] | {"source": record["tokens"]["read"]}},
        lambda record: record | {"request": {"model": "m", "text": "t", "temperature": 1}},
        lambda record: record | {"alternatives": [[["label"]]]},
        lambda record: record | {"notes": None},
    ],
)
def test_a_record_that_does_not_fit_is_refused(tmp_path, content, edit):
    (tmp_path / "edited.npz").write_bytes(edited(content, edit))
    assert_refused(tmp_path / "edited.npz")


def test_a_record_left_as_it_was_is_read(tmp_path, content, trace):
    """Otherwise the edits above would prove nothing."""
    (tmp_path / "edited.npz").write_bytes(edited(content, lambda record: record))
    assert_same(trace, load_trace(tmp_path / "edited.npz"))


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert_refused(tmp_path / "missing.npz")
    assert_refused(tmp_path)


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_a_damaged_byte_is_refused_or_harmless(tmp_path_factory, content, trace, place, change):
    """Zip archives hold bytes that mean nothing (dates); any other damage must end in a sentence, never in a crash."""
    index = int(place * len(content))
    path = tmp_path_factory.mktemp("damaged") / "trace.npz"
    path.write_bytes(content[:index] + bytes([content[index] ^ change]) + content[index + 1 :])
    try:
        loaded = load_trace(path)
    except InputError as error:
        assert path.name in str(error)
    else:
        assert_same(trace.request, loaded.request)
        for kind, attention in loaded.maps.items():
            assert_same(trace.maps[kind], attention)


# --- Interventions ----------------------------------------------------------------------------------------------------

HEADS = (Head("encoder", 1, 3), Head("cross", 0, 2))
INTERVENTIONS = {
    "knock out": KnockOut(HEADS),
    "patch": Patch(HEADS, "The dog sleeps.", "Le chien dort.", ((0, 1), (2, 2))),
    "patch without an output": Patch(HEADS[:1], "The dog sleeps.", None, ((1, 1),)),
    "force": Force(HEADS, (1, 2), (0,), (3, 4)),
}


@pytest.mark.parametrize("names", [*((name,) for name in INTERVENTIONS), tuple(INTERVENTIONS)], ids="+".join)
def test_a_trace_with_interventions_comes_back_equal(tiny_runner, trace, tmp_path, names):
    made = tuple(INTERVENTIONS[name] for name in names)
    changed = tiny_runner.trace(trace.request.text, trace.request.target, made)
    save_trace(changed, tmp_path / "trace.npz")
    loaded = load_trace(tmp_path / "trace.npz")
    assert_same(changed, loaded)
    assert loaded.request.interventions == made and hash(loaded.request) == hash(changed.request)
    assert not np.array_equal(loaded.token_logprobs, trace.token_logprobs), "they did something"
    again = tiny_runner.run(loaded.request)
    assert np.array_equal(again.token_logprobs, changed.token_logprobs)  # same shapes, same kernels


def test_a_file_from_before_there_were_interventions_is_read(tmp_path, content, trace):
    def before(record: dict[str, Any]) -> dict[str, Any]:
        request = {name: value for name, value in record["request"].items() if name != "interventions"}
        assert len(request) == len(record["request"]) - 1
        return record | {"request": request}

    (tmp_path / "old.npz").write_bytes(edited(content, before))
    loaded = load_trace(tmp_path / "old.npz")
    assert_same(trace, loaded)
    assert loaded.request.interventions == ()


@pytest.mark.parametrize(
    "made",
    [None, [{}], [{"do": "silence", "heads": []}], [{"do": "knock out", "heads": [["encoder", 0]]}], "knock out"],
)
def test_a_record_with_no_such_intervention_is_refused(tmp_path, content, made):
    edit = edited(content, lambda record: record | {"request": record["request"] | {"interventions": made}})
    (tmp_path / "edited.npz").write_bytes(edit)
    assert_refused(tmp_path / "edited.npz")
