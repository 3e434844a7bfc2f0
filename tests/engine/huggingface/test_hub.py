"""Downloads from a hub on this machine: what is brought, what never is, and what a failure says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.errors import ModelError, UnknownModel, Unsupported
from engine.huggingface import hub as hubs
from engine.huggingface.checks import check_folder
from engine.huggingface.source import Policy, listed, locate
from tests.engine.huggingface.files import BERT, TENSORS, header_of, packed
from tests.engine.huggingface.site import COMMIT, Hub, serving

WEIGHTS = packed(header_of(TENSORS))
ANY = Policy(ids=None, downloads=True)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one model, and an empty cache."""
    with serving() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        template = found.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        found.files = {
            "config.json": json.dumps(BERT).encode(),
            "tokenizer.json": b"{}",
            "tokenizer_config.json": b"{}",
            "model.safetensors": WEIGHTS,
            "pytorch_model.bin": b"pickle",
            "modeling_mine.py": b"code",
            "tokenizer_mine.py": b"code",
            "consolidated.safetensors": WEIGHTS,
            "onnx/model.safetensors": WEIGHTS,
            "flax_model.msgpack": b"pickle",
            "README.md": b"words",
        }
        yield found


def test_a_download_brings_what_a_model_needs_and_no_code(hub):
    said: list[tuple[float, str]] = []
    located = locate("owner/name", ANY, lambda share, what: said.append((share, what)))
    assert (located.name, located.kind, located.folder.name) == ("owner/name", "huggingface", COMMIT)
    wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"}
    assert set(hub.asked) == wanted == {path.name for path in located.folder.iterdir()}
    assert check_folder(located.folder).name == "owner/name"
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and shares[-1] == 1.0
    assert said[-1][1].startswith("Downloading owner/name: ")


def test_what_is_here_is_not_asked_for_again(hub):
    first = locate("owner/name", ANY)
    before = hub.requests
    assert locate("owner/name", ANY) == first == locate("owner/name", Policy(ids=None))
    assert listed(Policy(ids=None)) == ("owner/name",)
    assert hub.requests == before


def test_a_download_that_was_cut_short_is_taken_up_again(hub):
    hub.broken = {"model.safetensors"}
    with pytest.raises(ModelError, match="could not be downloaded"):
        locate("owner/name", ANY)
    hub.broken = set()
    assert check_folder(locate("owner/name", ANY).folder).bytes == 40


def test_shards_are_brought_with_their_index(hub):
    del hub.files["model.safetensors"]
    shard = "model-00001-of-00001.safetensors"
    index = {"metadata": {}, "weight_map": dict.fromkeys(TENSORS, shard)}
    hub.files |= {shard: WEIGHTS, hubs.INDEX: json.dumps(index).encode()}
    assert check_folder(locate("owner/name", ANY).folder).weights[0].name == shard
    assert "consolidated.safetensors" not in hub.asked


def test_pickled_weights_are_never_brought_but_for_the_command(hub):
    del hub.files["model.safetensors"], hub.files["consolidated.safetensors"]
    with pytest.raises(Unsupported, match=r"saccade convert owner/name$"):
        locate("owner/name", ANY)
    assert hub.asked == [], "nothing was brought"
    folder = hubs.download("owner/name", pickled=True)
    assert (folder / "pytorch_model.bin").read_bytes() == b"pickle"
    assert not list(folder.glob("*.py"))


def test_without_leave_nothing_is_asked(hub):
    with pytest.raises(ModelError, match=r"downloads are off\. .*saccade run --downloads$"):
        locate("owner/name", Policy(ids=None))
    with pytest.raises(UnknownModel, match=r"not on the list .*saccade run --allow owner/name$"):
        locate("owner/name", Policy(ids=("other/name",), downloads=True))
    assert listed(Policy(ids=("owner/name",))) == listed(Policy(ids=None)) == ()
    assert hub.requests == 0


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (404, "RepoNotFound", "There is no model owner/name that this server can see"),
        (403, "GatedRepo", "owner/name is gated"),
        (404, "RevisionNotFound", "has no such revision"),
        (400, "", "could not be downloaded .* Check the network, then try again"),
    ],
)
def test_a_refusal_of_the_hub_is_one_sentence(hub, status, reason, words):
    hub.status, hub.reason = status, reason
    with pytest.raises(ModelError, match=words) as refused:
        locate("owner/name", ANY)
    assert "\n" not in str(refused.value) and hub.address not in str(refused.value)


def test_no_network_is_one_sentence(hub, monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    with pytest.raises(ModelError, match="Check the network"):
        locate("owner/name", ANY)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"HF_HUB_OFFLINE forbids downloads|Check the network"):
        locate("owner/name", ANY)


def test_a_full_disk_is_said_before_anything_is_brought(hub, monkeypatch):
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr(hubs.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ModelError, match="the disk of the cache has 10 bytes left"):
        locate("owner/name", ANY)
    assert hub.asked == []


def test_a_reference_of_the_cache_that_leads_out_of_it_is_not_followed(hub, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "config.json").write_text("{}")
    refs = tmp_path / "cache" / "models--owner--name" / "refs"
    refs.mkdir(parents=True)
    (refs.parent / "snapshots").mkdir()
    (refs / "main").write_text("../../../outside")
    assert hubs.cached("owner/name") is None
