"""What is refused of a model's files before any library opens them, and what is not."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import ConfigError, SaccadeError, Unsupported, WeightsDamaged, WeightsMissing
from engine.huggingface import checks, headers
from engine.huggingface.checks import check_folder
from engine.huggingface.headers import Stored, read_header
from engine.huggingface.hub import chosen
from tests.engine.huggingface.families import saved
from tests.engine.huggingface.files import BERT, TENSORS, header_of, packed, write_model, write_shards

GOOD = header_of(TENSORS)


# --- Headers ----------------------------------------------------------------------------------------------------------


def test_a_header_gives_dtypes_and_shapes(tmp_path):
    path = write_model(tmp_path) / "model.safetensors"
    assert read_header(path) == {
        "a": Stored("F32", (2, 3)),
        "b": Stored("F16", (4,)),
        "c": Stored("I64", ()),
    }
    assert [tensor.bytes for tensor in read_header(path).values()] == [24, 8, 8]


def test_what_the_library_writes_is_read_alike(tmp_path):
    arrays = {"x": np.zeros((3, 0, 2), np.float32), "y": np.ones((5,), np.uint8), "z": np.ones((2, 2), np.float64)}
    safetensors.numpy.save_file(arrays, tmp_path / "x.safetensors", metadata={"format": "np"})
    found = read_header(tmp_path / "x.safetensors")
    assert {name: tensor.shape for name, tensor in found.items()} == {n: a.shape for n, a in arrays.items()}
    assert {name: tensor.bytes for name, tensor in found.items()} == {n: a.nbytes for n, a in arrays.items()}


def entry(**changes: object) -> dict[str, object]:
    """The good header with the entry of `a` changed."""
    return {**GOOD, "a": {**GOOD["a"], **changes}}


HOSTILE = {
    "empty": (b"", "0 bytes long"),
    "shorter than a length": (b"\x01\x02", "2 bytes long"),
    "only a length": (packed(b"", 0), "no JSON object"),
    "length 2^63": (packed(b"{}", 0, 1 << 63), "claims 9223372036854775808 bytes"),
    "length past the end": (packed(b"{}", 10, 13), "it is cut short"),
    "length over the limit": (packed(b"{}", 0, headers.LONGEST_HEADER + 1), "is the most"),
    "cut inside the data": (packed(GOOD)[:-1], "it is cut short"),
    "bytes too many": (packed(GOOD) + b"\0", "was changed"),
    "not UTF-8": (packed(b'{"\xff": 1}', 0), "not valid JSON"),
    "a list": (packed(b"[]", 0), "no JSON object"),
    "not JSON": (packed(b'{"a": ', 0), "not valid JSON"),
    "nested": (packed(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 0), "not valid JSON"),
    "a digit too many": (packed(b'{"a":' + b"1" * 10_000 + b"}", 0), "not valid JSON"),
    "a key twice": (packed(b'{"a": 1, "a": 2}', 0), "not valid JSON"),
    "metadata of numbers": (packed({**GOOD, "__metadata__": {"x": 1}}), "metadata is not text"),
    "an entry that is no object": (packed({**GOOD, "a": 1}, 40), "entry of 'a'"),
    "an entry with more": (packed(entry(code="x")), "entry of 'a'"),
    "unknown dtype": (packed(entry(dtype="F128")), "dtype that is not known"),
    "dtype of a list": (packed(entry(dtype=["F32"])), "dtype that is not known"),
    "negative side": (packed(entry(shape=[-2, -3])), "shape of 'a'"),
    "side of a float": (packed(entry(shape=[2.0, 3])), "shape of 'a'"),
    "side of true": (packed(entry(shape=[True, 6])), "shape of 'a'"),
    "a thousand sides": (packed(entry(shape=[1] * 1000)), "shape of 'a'"),
    "sides that overflow": (packed(entry(shape=[1 << 62, 1 << 62])), "shape and dtype need"),
    "shape too large": (packed(entry(shape=[2, 4])), "shape and dtype need"),
    "offsets reversed": (packed(entry(data_offsets=[24, 0])), "range of bytes"),
    "offsets of three": (packed(entry(data_offsets=[0, 24, 30])), "range of bytes"),
    "offsets below zero": (packed(entry(data_offsets=[-24, 0])), "range of bytes"),
    "offsets outside": (packed(entry(data_offsets=[1000, 1024]), 40), "overlap others or leave a gap"),
    "overlapping": (packed({**GOOD, "b": {**GOOD["b"], "data_offsets": [16, 24]}}), "overlap others or leave a gap"),
    "a gap": (packed({**GOOD, "c": {**GOOD["c"], "data_offsets": [40, 48]}}), "overlap others or leave a gap"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_and_says_why(tmp_path, case):
    content, reason = HOSTILE[case]
    folder = write_model(tmp_path / "m", content)
    with pytest.raises(WeightsDamaged, match=re.escape(reason)) as refused:
        check_folder(folder)
    assert "Download or copy the file again." in str(refused.value)
    assert len(str(refused.value)) < 400


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_passes_the_library_reads_too(tmp_path_factory, data):
    """Bytes of a good file are changed: a file that is let through is one that the library takes, with its shapes."""
    content = bytearray(packed(GOOD))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("changed") / "x.safetensors"
    path.write_bytes(bytes(content))
    try:
        found = read_header(path)
    except WeightsDamaged:
        return
    with safetensors.safe_open(path, "np") as file:
        assert {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()} == {  # noqa: SIM118
            name: tensor.shape for name, tensor in found.items()
        }


def test_more_tensors_than_any_model_has_are_refused(tmp_path, monkeypatch):
    """Each takes time to look at, even where it holds nothing."""
    entry = '"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}'
    many = "{" + ",".join(entry % number for number in range(200_000)) + "}"
    with pytest.raises(WeightsDamaged, match="10000000 is the most"):
        check_folder(write_model(tmp_path / "m", packed(many.encode(), 0)))
    one = TENSORS["a"]
    shards = {"s.safetensors": {"a": one}, "t.safetensors": {"b": one}}
    folder = write_shards(tmp_path / "s", {"a": "s.safetensors", "b": "t.safetensors"}, shards)
    monkeypatch.setattr(checks, "MOST_TENSORS", 2)
    assert check_folder(folder).parameters == 12
    monkeypatch.setattr(checks, "MOST_TENSORS", 1)
    with pytest.raises(WeightsDamaged, match="more than 1 tensors"):
        check_folder(folder)


# --- Folders ----------------------------------------------------------------------------------------------------------


def test_a_good_folder_is_described(tmp_path):
    checked = check_folder(write_model(tmp_path / "mine"))
    assert (checked.name, checked.kind, checked.bytes, checked.parameters) == ("mine", "huggingface", 40, 10)
    assert checked.dtypes == ("F32", "F16", "I64")
    assert checked.weights == (tmp_path / "mine" / "model.safetensors",)
    assert checked.quantised is None


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5", "marian"])
def test_what_transformers_saves_passes(tmp_path, name):
    checked = check_folder(saved(name, tmp_path / name))
    assert checked.bytes == sum(tensor.bytes for tensor in checked.tensors.values()) > 1000


def test_shards_are_read_by_their_index(tmp_path):
    homes = {"a": "x-1.safetensors", "b": "x-2.safetensors", "c": "x-2.safetensors"}
    first, second = {"a": TENSORS["a"]}, {"b": TENSORS["b"], "c": TENSORS["c"]}
    folder = write_shards(tmp_path / "m", homes, {"x-1.safetensors": first, "x-2.safetensors": second})
    checked = check_folder(folder)
    assert [path.name for path in checked.weights] == ["x-1.safetensors", "x-2.safetensors"]
    assert set(checked.tensors) == {"a", "b", "c"} and checked.bytes == 40
    (folder / "x-2.safetensors").unlink()
    with pytest.raises(WeightsMissing, match=r"x-2\.safetensors, which is not there"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("homes", "shards", "reason"),
    [
        ({"a": "s.safetensors", "z": "s.safetensors"}, {"s.safetensors": {"a": TENSORS["a"]}}, "does not hold 'z'"),
        (
            {"a": "s.safetensors", "b": "t.safetensors"},
            {"s.safetensors": {"a": TENSORS["a"]}, "t.safetensors": {"a": TENSORS["a"], "b": TENSORS["b"]}},
            "'a' is in s.safetensors and in t.safetensors",
        ),
        ({}, {}, "no map of its tensors"),
        ({"a": "../other/model.safetensors"}, {}, "no safetensors file of its own folder"),
        ({"a": "/etc/passwd"}, {}, "no safetensors file of its own folder"),
        ({"a": "..\\x.safetensors"}, {}, "no safetensors file of its own folder"),
        ({"a": "pytorch_model.bin"}, {}, "no safetensors file of its own folder"),
        ({"a": ".safetensors"}, {}, "no safetensors file of its own folder"),
        ({"a": "x" * 5000 + ".safetensors"}, {}, "no safetensors file of its own folder"),
        ({"a": 3}, {}, "no map of its tensors"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path, homes, shards, reason):
    with pytest.raises(WeightsDamaged, match=re.escape(reason)) as refused:
        check_folder(write_shards(tmp_path / "m", homes, shards))
    assert re.search(r"\. (Copy|Download) [^.]+", str(refused.value))


@pytest.mark.parametrize("more", [{}, {"metadata": None}, {"metadata": [1]}])
def test_an_index_without_metadata_is_refused_here_and_not_by_the_library(tmp_path, more):
    folder = write_shards(tmp_path / "m", {"a": "s.safetensors"}, {"s.safetensors": {"a": TENSORS["a"]}})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "s.safetensors"}, **more}))
    with pytest.raises(WeightsDamaged, match=r"has no metadata.*Copy the model's own model\.safetensors\.index\.json"):
        check_folder(folder)


BINS = ("pytorch_model.bin", "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json")


@pytest.mark.parametrize("file", BINS)
def test_pickled_weights_are_refused_with_the_line_that_converts_them(tmp_path, file):
    folder = write_model(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / file)
    with pytest.raises(Unsupported, match=r"can run code when they are read.*: saccade convert owner/mine$"):
        check_folder(folder, "owner/mine")


@pytest.mark.parametrize("file", ["tf_model.h5", "model.pt", "model.pkl", "flax_model.msgpack"])
def test_weights_that_cannot_be_converted_are_refused_with_what_can_be_done(tmp_path, file):
    folder = write_model(tmp_path / "mine")
    (folder / "model.safetensors").rename(folder / file)
    with pytest.raises(Unsupported, match=rf"'{file}' alone.*save_pretrained"):
        check_folder(folder, "owner/mine")
    with pytest.raises(Unsupported, match=rf"'{file}' alone"):
        chosen(["config.json", file], "owner/mine")


def test_what_is_missing_is_named(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(WeightsMissing, match="m has no tokenizer files"):
        check_folder(folder)
    write_model(folder)
    (folder / "model.safetensors").rename(folder / "model.fp16.safetensors")
    with pytest.raises(WeightsMissing, match=r"'model\.fp16\.safetensors' and no model\.safetensors"):
        check_folder(folder)
    (folder / "model.fp16.safetensors").unlink()
    with pytest.raises(WeightsMissing, match="has no weights"):
        check_folder(folder)
    (folder / "config.json").unlink()
    with pytest.raises(WeightsMissing, match=r"config\.json is missing"):
        check_folder(folder)
    with pytest.raises(WeightsMissing, match="cannot be read"):
        check_folder(tmp_path / "nowhere")


# --- Configurations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        ("[]", ConfigError, "should hold a JSON object"),
        ("null", ConfigError, "should hold a JSON object"),
        ("{", ConfigError, "not valid JSON"),
        ("", ConfigError, "not valid JSON"),
        ('{"a":' * 60_000 + "1" + "}" * 60_000, ConfigError, "not valid JSON"),
        ("[" * 400_000, ConfigError, "not valid JSON"),
        (" " * 1_000_001, ConfigError, "1000001 bytes long"),
        ("{}", ConfigError, "has no model_type"),
        ('{"model_type": 3}', ConfigError, "has no model_type"),
        ('{"model_type": "my-own-net"}', Unsupported, "'my-own-net', which the installed transformers does not have"),
        (
            '{"model_type": "my-own-net", "auto_map": {"AutoModel": "modeling.Mine"}}',
            Unsupported,
            "such code is never run here",
        ),
        ('{"auto_map": {"AutoModel": "elsewhere/repo--modeling.Mine"}}', Unsupported, "such code is never run here"),
        (json.dumps({**BERT, "num_hidden_layers": 10**9}), ConfigError, "num_hidden_layers to an impossible value"),
        (json.dumps({**BERT, "num_labels": 10**9}), ConfigError, "num_labels to an impossible value"),
        (json.dumps({**BERT, "text_config": {"n_layer": 10**9}}), ConfigError, "n_layer to an impossible value"),
        (json.dumps({**BERT, "x": [{"decoder_layers": -(10**9)}]}), ConfigError, "decoder_layers to an impossible"),
        (json.dumps({**BERT, "hidden_size": 10**15}), ConfigError, "hidden_size to an impossible value"),
        (json.dumps({**BERT, "architectures": 3}), ConfigError, "architectures that are no list of names. Copy"),
        (json.dumps({**BERT, "architectures": "BertModel"}), ConfigError, "architectures that are no list of names"),
        (json.dumps({**BERT, "architectures": [["BertModel"]]}), ConfigError, "architectures that are no list"),
        (json.dumps({**BERT, "transformers_weights": "../x.safetensors"}), Unsupported, "which is not followed"),
        (json.dumps({**BERT, "_attn_implementation": "someone/kernel"}), Unsupported, "code from elsewhere"),
    ],
)
def test_a_hostile_config_is_refused(tmp_path, content, error, reason):
    folder = write_model(tmp_path / "m")
    (folder / "config.json").write_text(content)
    with pytest.raises(error, match=re.escape(reason)) as refused:
        check_folder(folder)
    assert len(str(refused.value)) < 400


def test_code_beside_a_known_architecture_is_left_alone(tmp_path):
    """Its weights load with the library's own code; the file that would be imported is not."""
    folder = write_model(tmp_path / "m", config={**BERT, "auto_map": {"AutoModel": "modeling.Mine"}})
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    assert check_folder(folder).parameters == 10


def test_a_config_may_leave_its_architectures_out(tmp_path):
    for value in (None, [], ["BertModel", "BertForMaskedLM"]):
        assert check_folder(write_model(tmp_path / "m", config={**BERT, "architectures": value})).parameters == 10


# --- Tokenizers -------------------------------------------------------------------------------------------------------


def replace(content: str, **pattern: str) -> dict[str, Any]:
    """A step of a tokenizer that puts `content` wherever String or Regex matches."""
    return {"type": "Replace", "pattern": pattern, "content": content}


def sequence(*steps: object) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


def with_tokenizer(folder: Path, part: str, steps: object, file: str = "tokenizer.json") -> Path:
    (write_model(folder) / file).write_text(json.dumps({part: steps}))
    return folder


GROWING = {
    "long": replace("a" * 17, String="a"),
    "by a thousand, three times": sequence(*[replace("a" * 1000, String="a")] * 3),
    "by four, ten times": sequence(*[replace("a" * 4, String="a")] * 10),
    "where nothing is": sequence(*[replace("a", Regex="")] * 10),
    "of an older form": sequence(*[{"pattern": {"String": "a"}, "content": "a" * 16}] * 3),
    "in the depth": sequence(sequence(sequence(*[replace("a" * 16, String="a")] * 3))),
    "by bytes": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}] * 10},
    "65 steps": sequence(*[{"type": "NFC"}] * 65),
}


@pytest.mark.parametrize("part", ["normalizer", "pre_tokenizer", "decoder"])
@pytest.mark.parametrize("case", GROWING)
def test_a_tokenizer_that_multiplies_the_text_is_refused(tmp_path, case, part):
    for file in ("tokenizer.json", "tokenizer.4.0.json"):
        folder = with_tokenizer(tmp_path / file, part, GROWING[case], file)
        with pytest.raises(ConfigError, match=rf"The {part} in {file} .*Copy the model's own {file}"):
            check_folder(folder)


@pytest.mark.parametrize(
    "steps",
    [
        None,
        {"type": "BertNormalizer", "lowercase": True},
        sequence({"type": "Prepend", "prepend": "▁"}, replace("▁", String=" ")),
        sequence({"type": "Precompiled", "precompiled_charsmap": "ALQ="}, replace(" ", Regex=" {2,}")),
        sequence(replace('"', String="``"), replace('"', String="''"), {"type": "NFKD"}, {"type": "StripAccents"}),
        sequence({"type": "NFC"}, replace(" ", Regex=r"\s+"), {"type": "Lowercase"}),
        sequence(*[replace("", Regex="[!?]"), replace("b", String="a")] * 30),
        {"type": "Sequence", "pretokenizers": [{"type": "Digits"}, {"type": "ByteLevel"}]},
    ],
)
def test_what_tokenizers_of_known_models_do_is_left_alone(tmp_path, steps):
    for part in ("normalizer", "pre_tokenizer"):
        check_folder(with_tokenizer(tmp_path / "m", part, steps))


def test_a_tokenizer_that_is_damaged_is_named(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer.json").write_text('{"normalizer": ')
    with pytest.raises(ConfigError, match=r"tokenizer\.json is not valid JSON\. Copy the file again"):
        check_folder(folder)


# --- Files beside -----------------------------------------------------------------------------------------------------


def test_adapters_and_files_from_elsewhere_are_refused(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "tokenizer_config.json").write_text('{"fast_tokenizer_files": ["tokenizer.1/../../../x.json"]}')
    with pytest.raises(ConfigError, match="names files outside its folder"):
        check_folder(folder)
    (folder / "tokenizer_config.json").write_text("[]")
    with pytest.raises(ConfigError, match=r"tokenizer_config\.json should hold a JSON object"):
        check_folder(folder)
    (folder / "tokenizer_config.json").unlink()
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "/etc"}')
    with pytest.raises(Unsupported, match="an adapter on top of another model"):
        check_folder(folder)


def test_quantised_weights_are_counted_as_stored(tmp_path):
    config = {**BERT, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    checked = check_folder(write_model(tmp_path / "m", config=config))
    assert (checked.quantised, checked.bytes) == ("gptq", 40)


# --- Links, pipes, folders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "merges.txt"])
def test_a_link_that_leads_out_is_refused(tmp_path, file):
    outside = tmp_path / "secret"
    outside.write_text("{}")
    folder = write_model(tmp_path / "m")
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(outside)
    with pytest.raises(WeightsDamaged, match=f"{file} is a link that leads out"):
        check_folder(folder)
    (folder / file).unlink()
    (folder / file).symlink_to(tmp_path / "nothing")
    with pytest.raises(WeightsDamaged, match=f"{file} is a link that leads out"):
        check_folder(folder)
    (folder / file).unlink()
    (folder / file).symlink_to(folder / file)
    with pytest.raises(WeightsDamaged, match=f"{file} is a link that leads out"):
        check_folder(folder)


def test_links_of_the_cache_are_followed_and_no_further(tmp_path):
    model = tmp_path / "models--owner--name"
    folder = write_model(model / "snapshots" / "abc")
    (model / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.rename(model / "blobs" / path.name)
        path.symlink_to(Path("../../blobs") / path.name)
    checked = check_folder(folder)
    assert (checked.name, checked.bytes) == ("owner/name", 40)
    other = tmp_path / "models--other--name" / "blobs"
    other.mkdir(parents=True)
    (other / "secret").write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(other / "secret")
    with pytest.raises(WeightsDamaged, match="leads out"):
        check_folder(folder)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("what", ["pipe", "folder", "socket", "device"])
def test_what_is_no_file_is_refused_and_never_waited_for(tmp_path, monkeypatch, file, what):
    folder = write_model(tmp_path / "m")
    path = folder / file
    path.unlink(missing_ok=True)
    monkeypatch.chdir(folder)  # the path of a socket must be short
    if what == "pipe":
        os.mkfifo(path)
    elif what == "folder":
        path.mkdir()
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(file)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(SaccadeError, match=f"{file} is (no regular file|a link that leads out)"):
        check_folder(folder)
