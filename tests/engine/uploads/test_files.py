"""Hostile and damaged uploads: refused in a sentence, before anything large is unpacked, and nothing ever runs."""

from __future__ import annotations

import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from engine.errors import InputError
from engine.huggingface.memory import shown_bytes
from engine.uploads import checks
from engine.uploads.files import read_upload
from engine.uploads.npz import MOST_RATIO, UNPACKED_FREELY
from engine.uploads.tokens import LONGEST_TOKEN, MOST_TOKENS
from tests.engine.uploads.made import archive, attention, npy, npy_header, npz, read, refused

TOKENS = np.array(["a", "b", "c"])
MAP = npy(attention(3, 3))
NAMES = ("tokens.npy", npy(TOKENS))


class Payload:
    """Unpickled, it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# ---- code ----


def test_a_pickled_array_is_refused_and_never_runs(tmp_path):
    place = tmp_path / "ran"
    loaded = npy(np.array([Payload(place)], dtype=object), allow_pickle=True)
    refused("“encoder” holds Python objects", content=archive(("encoder.npy", loaded), NAMES))
    refused("“tokens” holds Python objects", content=archive(("encoder.npy", MAP), ("tokens.npy", loaded)))
    refused("“json” holds Python objects", content=archive(("encoder.npy", MAP), ("json.npy", loaded)))
    for name in ("maps.pkl", "maps.npz", "tokens.json"):
        with pytest.raises(InputError, match="never reads pickled files"):
            read_upload({name: pickle.dumps(Payload(place))})
    assert not place.exists()
    pickle.loads(pickle.dumps(Payload(place)))  # the payload would have worked
    assert place.exists()


def test_a_file_of_torch_save_is_named(tmp_path):
    torch.save({"encoder": torch.ones(1)}, tmp_path / "maps.pt")
    refused("torch.save", "never reads pickled files", content=(tmp_path / "maps.pt").read_bytes())


# ---- archives ----


def test_a_bomb_is_refused_before_it_is_unpacked():
    zeros = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 1, 4000, 4000), }") + bytes(64_000_000)
    content = archive(("encoder.npy", zeros), NAMES)
    assert len(content) < 100_000
    tracemalloc.start()
    refused("times its size", content=content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_more_than_the_limit_is_refused_by_what_the_directory_says():
    content = bytearray(archive(("encoder.npy", MAP), NAMES))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", 2**31)  # the size when unpacked
    refused("2.1 GB", "500 MB", content=bytes(content))


def test_a_directory_that_lies_gives_nothing_away():
    content = bytearray(archive(("encoder.npy", MAP), NAMES))
    place = content.index(b"PK\x01\x02")
    content[place + 24 : place + 28] = struct.pack("<I", len(MAP) - 36)  # smaller: the rest is never read
    refused("damaged", content=bytes(content))
    content[place + 24 : place + 28] = struct.pack("<I", len(MAP) + 36)
    refused("72 bytes", "36", content=bytes(content))


def test_many_entries_are_counted_before_they_are_read():
    refused("65 arrays", "64", content=archive(*[(f"encoder.{i}.npy", MAP) for i in range(64)], NAMES))
    assert len(read(archive(*[(f"encoder.{i}.npy", MAP) for i in range(63)], NAMES)).maps["encoder"].weights) == 63


@pytest.mark.parametrize(
    "name", ["a/encoder.npy", "../encoder.npy", "/etc/encoder.npy", "a\\encoder.npy", "inner.zip", ".npy", "encoder"]
)
def test_paths_and_other_files_in_it(name):
    refused("which is no array", content=archive((name, MAP), NAMES))


def test_an_archive_in_an_array_is_no_array():
    refused("which is no array", content=archive(("encoder.npy", archive(("encoder.npy", MAP))), NAMES))


def test_unusual_archives(tmp_path):
    sound = archive(("encoder.npy", MAP), NAMES)
    assert read(sound).maps
    refused("unusual way", content=archive(("encoder.npy", MAP), NAMES, packed=zipfile.ZIP_BZIP2))
    refused("unusual way", content=archive(("encoder.npy", MAP), NAMES, packed=zipfile.ZIP_LZMA))
    refused("behind its end", content=sound + b"more")
    refused("no file that numpy.savez wrote", content=sound[:4] + b"more" + sound[4:])
    end = len(sound) - 22
    refused("no file that numpy.savez wrote", content=sound[:end] + b"PK\x06\x07" + bytes(16) + sound[end:])
    encrypted = bytearray(sound)
    place = encrypted.index(b"PK\x01\x02")
    encrypted[place + 8] |= 1
    refused("encrypted", content=bytes(encrypted))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive(("encoder.npy", MAP), ("encoder.npy", MAP), NAMES)
    refused("two arrays called “encoder”", content=twice)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_file_cut_anywhere_is_refused(data):
    for whole in (
        npz(encoder=attention(3, 3), tokens=TOKENS),
        save({"encoder": attention(3, 3)}, {"tokens": '["a","b","c"]'}),
    ):
        length = data.draw(st.integers(0, len(whole) - 1))
        refused(content=whole[:length])


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0), value=st.integers(0, 255), which=st.integers(0, 1))
def test_a_changed_byte_gives_a_trace_or_a_sentence(place, value, which):
    whole = (
        npz(encoder=attention(3, 3), tokens=TOKENS),
        save({"encoder": attention(3, 3)}, {"tokens": '["a","b","c"]'}),
    )
    content = bytearray(whole[which])
    content[place % len(content)] = value
    try:
        trace = read(bytes(content))
    except InputError as error:
        assert str(error).endswith((".", "”", "…"))
    else:
        assert next(iter(trace.maps.values())).weights.shape == (1, 1, 3, 3)


# ---- headers of arrays ----


@pytest.mark.parametrize(
    "shape",
    ["(-1, 3)", "(3, -3)", "(10**9,)", "(99999999999999999999, 3)", "(True, 3)", "(3.0, 3)", "(3, 3, 3)", "3", "()"],
)
def test_impossible_shapes(shape):
    header = npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}")
    refused(content=archive(("encoder.npy", header + bytes(36)), NAMES))


@pytest.mark.parametrize(
    "descr",
    ["'<i8'", "'|b1'", "'<c8'", "'<M8[s]'", "'|V4'", "'|S4'", "'<f16'", "[('a', '<f4')]", "('<f4', (2,))", "'|O'"],
)
def test_other_types_are_refused(descr):
    header = npy_header(f"{{'descr': {descr}, 'fortran_order': False, 'shape': (3, 3), }}")
    refused("“encoder”", content=archive(("encoder.npy", header + bytes(36)), NAMES))


def test_whole_numbers_are_no_attention():
    refused("float16, float32 or float64", encoder=np.eye(3, dtype=np.int64), tokens=TOKENS)
    refused("astype(numpy.float32)", encoder=np.eye(3, dtype=np.uint8), tokens=TOKENS)


def test_a_header_that_claims_two_gigabytes():
    claim = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{'descr': "
    refused("2,147,483,648 bytes", content=archive(("encoder.npy", claim), NAMES))


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 3000, "__import__('os').mkdir('x')", "{'descr': '<f4'}", "\xff\x00", "{1: 2}"]
)
def test_headers_that_say_nothing(text):
    refused(content=archive(("encoder.npy", npy_header(text) + bytes(36)), NAMES))


def test_strings_of_no_length_and_of_any_number():
    many = npy_header("{'descr': '<U0', 'fortran_order': False, 'shape': (500000000,), }")
    refused("without room", content=archive(("encoder.npy", MAP), ("tokens.npy", many)))


def test_too_many_strings_are_refused_by_their_header():
    refused("100,001 strings", encoder=attention(3, 3), tokens=np.full(100_001, "a"))


def test_too_many_weights_are_refused_by_the_headers(monkeypatch):
    monkeypatch.setattr(checks, "MOST_CELLS", 8)
    refused("9 weights", "8 is the most", encoder=attention(3, 3), tokens=TOKENS)
    refused("9 weights", content=save({"encoder": attention(3, 3)}))


def test_characters_that_are_none():
    wrong = np.array([0x110000, 0xD800, 0x61], dtype="<u4").view("<U1")
    refused(content=archive(("encoder.npy", MAP), ("tokens.npy", npy(wrong))))


# ---- safetensors and JSON ----


def safetensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("length", [2**31, 2**63, 2**64 - 1])
def test_a_header_longer_than_the_file(length):
    refused(f"{length:,} bytes", content=safetensors({"encoder": {}}, length=length))


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 40]},
        {"dtype": "F32", "shape": [-3, 3], "data_offsets": [0, 36]},
        {"dtype": "F32", "shape": [3, 3], "data_offsets": [-4, 32]},
        {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 36]},
        {"dtype": "F32", "shape": "3", "data_offsets": [0, 36]},
        {"dtype": "I64", "shape": [3, 3], "data_offsets": [0, 72]},
        {"dtype": "F32", "shape": [3, 3]},
        {"shape": [3, 3], "data_offsets": [0, 36]},
        {},
    ],
)
def test_tensors_that_cannot_be(tensor):
    refused(content=safetensors({"encoder": tensor}, bytes(36)))


def test_tensors_that_overlap():
    one = {"dtype": "F32", "shape": [3, 3], "data_offsets": [0, 36]}
    refused("damaged", content=safetensors({"encoder.0": one, "encoder.1": one}, bytes(36)))


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b'{"tokens": }', b"\xff\xfe{", b'{"a": ' * 5_000, b'{"tokens": 1e999999}', b"{" + b'"a":1,' * 9],
)
def test_json_that_cannot_be_read(text):
    with pytest.raises(InputError) as error:
        read_upload({"maps.npz": npz(encoder=attention(3, 3)), "tokens.json": text})
    assert str(error.value).endswith((".", "}."))


def test_names_that_stand_twice():
    with pytest.raises(InputError, match="names “tokens” twice"):
        read_upload({"m": npz(encoder=attention(3, 3)), "t": b'{"tokens": ["a"], "tokens": ["a", "b", "c"]}'})


def test_what_people_might_well_try():
    refused("single array", content=MAP)
    refused("is empty", content=b"")
    refused("no NPZ, safetensors or JSON file", content=b"\x89PNG\r\n\x1a\n" + bytes(99))
    refused("no NPZ, safetensors or JSON file", content=b"token,weight\n")


def test_the_file_itself_may_be_too_large(monkeypatch):
    from engine.uploads import arrays

    monkeypatch.setattr(arrays, "MOST_BYTES", 100)
    refused("100 bytes is the most", encoder=attention(3, 3), tokens=TOKENS)


def test_the_document_states_the_limits():
    document = Path(__file__).resolve().parents[3] / "docs" / "uploaded-attention.md"
    limits = document.read_text("utf-8").split("## Limits")[1]
    for limit in (
        f"unpacked | {shown_bytes(checks.MOST_BYTES)},",
        f"maps | {checks.MOST_CELLS:,}: 5 maps of 5,000 × 5,000",
        f"file | {checks.MOST_ARRAYS}:",
        f"text | {MOST_TOKENS:,} |",
        f"token | {LONGEST_TOKEN};",
        f"{MOST_RATIO} times, beyond {shown_bytes(UNPACKED_FREELY)}",
    ):
        assert limit in limits
    assert checks.MOST_CELLS == 5 * 5_000**2 and shown_bytes(4 * checks.MOST_CELLS) == "500 MB"


def test_messages_name_files_without_their_length():
    with pytest.raises(InputError) as error:
        read_upload({"x" * 5_000 + "<b>.npz": b""})
    assert len(str(error.value)) < 200
