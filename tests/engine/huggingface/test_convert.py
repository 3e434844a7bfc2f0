"""Pickled weights to safetensors: the same tensors, and nothing of a hostile pickle is ever run."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from engine.errors import ConfigError, InputError, ModelError, SaccadeError, Unsupported, WeightsDamaged, WeightsMissing
from engine.huggingface import convert as conversion
from engine.huggingface import files
from engine.huggingface.checks import check_folder
from engine.huggingface.convert import convert, pickles_of, source_of, tensors_of
from tests.engine.huggingface.families import saved
from tests.engine.huggingface.files import write_model


class Bomb:
    """What a hostile pickle holds: reading it without care runs a command."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def pickled(folder: Path, tensors: object, name: str = "pytorch_model.bin", **options: Any) -> Path:
    """A folder with a config, a tokenizer and pickled weights alone."""
    write_model(folder)
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / name, **options)
    return folder


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_model_that_is_converted_is_the_same_model(tmp_path):
    import transformers

    folder = saved("gpt2", tmp_path / "m")
    before = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    (folder / "model.safetensors").unlink()
    torch.save(before.state_dict(), folder / "pytorch_model.bin")
    (folder / "modeling.py").write_text("raise SystemExit('run')")
    with pytest.raises(Unsupported, match=r"saccade convert m$"):
        check_folder(folder)
    made = convert(folder, tmp_path / "out", "m")
    assert left(tmp_path) == ["m", "out"]
    assert not {"pytorch_model.bin", "modeling.py"} & set(left(made))
    check_folder(made)
    after = transformers.AutoModelForCausalLM.from_pretrained(made).eval()
    ids = torch.tensor([[1, 5, 9]])
    assert torch.equal(before(ids).logits, after(ids).logits)
    assert (made / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_tensors_that_share_memory_and_views_come_out_whole(tmp_path):
    whole = torch.arange(12.0)
    tensors = {"a": whole, "b": whole, "c": whole[3:6], "d": whole.view(3, 4).T, "e": torch.nn.Parameter(torch.ones(2))}
    tensors |= {"f": torch.ones(2, dtype=torch.bfloat16), "g": torch.tensor(3), "h": torch.zeros(0, 2)}
    folder = pickled(tmp_path / "m", tensors)
    found = safetensors.torch.load_file(convert(folder, tmp_path / "out", "m") / "model.safetensors")
    assert set(found) == set(tensors)
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype and torch.equal(found[name], tensor.detach())


def test_files_of_old_versions_of_torch_are_read_too(tmp_path):
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)}, _use_new_zipfile_serialization=False)
    found = safetensors.torch.load_file(convert(folder, tmp_path / "out", "m") / "model.safetensors")
    assert torch.equal(found["a"], torch.ones(3))


def test_shards_become_shards_with_an_index(tmp_path):
    first, second = "pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)}, first)
    torch.save({"b": torch.zeros(2)}, folder / second)
    (folder / conversion.BIN_INDEX).write_text(json.dumps({"weight_map": {"a": first, "b": second}}))
    checked = check_folder(convert(folder, tmp_path / "out", "m"))
    assert [path.name for path in checked.weights] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]
    assert {name: tensor.shape for name, tensor in checked.tensors.items()} == {"a": (3,), "b": (2,)}


def test_a_hostile_pickle_would_run_and_does_not(tmp_path):
    """The file is a real one: an ordinary reader runs its command. The conversion refuses it and leaves nothing."""
    mark = tmp_path / "mark"
    folder = pickled(tmp_path / "m", {"a": torch.ones(3), "b": Bomb(mark)})
    torch.load(folder / "pytorch_model.bin", weights_only=False)
    assert mark.exists()
    mark.unlink()
    with pytest.raises(Unsupported, match=r"m was not converted: pytorch_model\.bin .* more than tensors"):
        convert(folder, tmp_path / "out", "m")
    assert not mark.exists()
    assert left(tmp_path) == ["m"]


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_bare_pickle_is_not_run_either(tmp_path, protocol):
    mark = tmp_path / "mark"
    (tmp_path / "x.bin").write_bytes(pickle.dumps(Bomb(mark), protocol))
    with pytest.raises(Unsupported, match="more than tensors"):
        tensors_of(tmp_path / "x.bin")
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a": torch.ones(2), "step": 7}, "'step', which is no tensor"),
        ({"state": {"a": torch.ones(2)}}, "'state', which is no tensor"),
        ({1: torch.ones(2)}, "'1', which is no tensor"),
        ([torch.ones(2)], "no table of tensors"),
        ({}, "no table of tensors"),
        ({"a": torch.eye(3).to_sparse()}, "a tensor that safetensors cannot"),
    ],
)
def test_what_is_more_or_less_than_tensors_is_refused(tmp_path, content, reason):
    folder = pickled(tmp_path / "m", content)
    with pytest.raises(Unsupported, match=reason):
        tensors_of(folder / "pytorch_model.bin")


def test_damaged_files_and_zip_bombs_are_refused(tmp_path):
    folder = pickled(tmp_path / "m", {"a": torch.ones(1000)})
    path = folder / "pytorch_model.bin"
    whole = path.read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"\x80\x02}", bytes(range(256)) * 4):
        path.write_bytes(content)
        with pytest.raises(Unsupported, match="damaged or holds more than tensors"):
            tensors_of(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", bytes(300_000_000))
        archive.writestr("x/version", "3")
    with pytest.raises(SaccadeError, match="m was not converted"):
        convert(folder, tmp_path / "out", "m")
    assert left(tmp_path) == ["m"]


def test_a_reader_that_is_killed_leaves_nothing(tmp_path, monkeypatch):
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)})
    monkeypatch.setattr(conversion.sys, "executable", "/bin/false")
    with pytest.raises(ModelError, match=r"was stopped \(status 1\)"):
        convert(folder, tmp_path / "out", "m")

    def interrupted(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(conversion.subprocess, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        convert(folder, tmp_path / "out", "m")
    assert left(tmp_path) == ["m"]


def test_the_reader_is_given_no_secrets(tmp_path, monkeypatch):
    seen = {}
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    run = conversion.subprocess.run
    monkeypatch.setattr(conversion.subprocess, "run", lambda *a, **k: seen.update(k["env"]) or run(*a, **k))
    convert(pickled(tmp_path / "m", {"a": torch.ones(3)}), tmp_path / "out", "m")
    assert "HF_TOKEN" not in seen and seen["LANG"] == "C.UTF-8" and seen["HF_HUB_OFFLINE"] == "1"


def test_what_is_there_is_never_written_over(tmp_path):
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)})
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="exists already"):
        convert(folder, tmp_path / "out", "m")
    with pytest.raises(InputError, match="does not exist"):
        convert(folder, tmp_path / "nowhere" / "out", "m")
    with pytest.raises(Unsupported, match="nothing to convert"):
        convert(write_model(tmp_path / "fine"), tmp_path / "new", "fine")
    (folder / "config.json").write_text("[]")
    with pytest.raises(ConfigError):
        convert(folder, tmp_path / "new", "m")
    assert left(tmp_path) == ["fine", "m", "out"] and left(tmp_path / "out") == []


@pytest.mark.timeout(20)
def test_an_index_that_leads_out_and_pipes_are_refused(tmp_path):
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)})
    (folder / "pytorch_model.bin").unlink()
    for name, error in (("../x.bin", WeightsDamaged), ("/etc/passwd", WeightsDamaged), ("x.bin", WeightsMissing)):
        (folder / conversion.BIN_INDEX).write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(error, match=r"\. (Copy the model's own|Download the model)"):
            pickles_of(folder)
    os.mkfifo(folder / "pytorch_model.bin")
    with pytest.raises(WeightsDamaged, match="no regular file"):
        convert(folder, tmp_path / "out", "m")


@pytest.mark.parametrize("file", ["pytorch_model.bin", "x.bin"])
def test_a_link_that_leads_out_is_not_converted(tmp_path, file):
    folder = pickled(tmp_path / "m", {"a": torch.ones(3)})
    (folder / "pytorch_model.bin").rename(tmp_path / "secret.bin")
    (folder / file).symlink_to(tmp_path / "secret.bin")
    (folder / conversion.BIN_INDEX).write_text(json.dumps({"weight_map": {"a": file}}))
    with pytest.raises(WeightsDamaged, match=rf"{file} is a link that leads out .* Copy the file itself"):
        convert(folder, tmp_path / "out", "m")
    (folder / file).unlink()
    (folder / "blob").write_bytes((tmp_path / "secret.bin").read_bytes())
    (folder / file).symlink_to("blob")
    assert left(convert(folder, tmp_path / "out", "m")) == ["config.json", "model.safetensors", "tokenizer.json"]


def test_pickled_weights_may_be_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LARGEST_TOKENIZER", 100)
    folder = pickled(tmp_path / "m", {"a": torch.ones(300)})
    (folder / "config.json").write_text('{"model_type": "bert"}')
    assert convert(folder, tmp_path / "out", "m").is_dir()


def test_sources_are_folders_names_and_ids(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = pickled(tmp_path / "models" / "m", {"a": torch.ones(3)})
    assert source_of(str(folder), downloads=False) == folder
    monkeypatch.setenv("SACCADE_MODEL_FOLDERS", str(tmp_path / "models"))
    assert source_of("m", downloads=False) == folder
    with pytest.raises(InputError, match=r"not the form of a Hugging Face id\. Check the folder's name, or write"):
        source_of("no/such/folder", downloads=False)
    for nothing in ("", " "):
        with pytest.raises(InputError, match=r"no model to convert\. Give a folder"):
            source_of(nothing, downloads=False)
    with pytest.raises(ModelError, match="Leave out --no-downloads"):
        source_of("owner/name", downloads=False)
