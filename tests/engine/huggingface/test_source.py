"""Where models may come from: what the operator allows, and references that try to get elsewhere."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from huggingface_hub import constants

from engine.errors import ConfigError, EmptyInput, InputError, ModelError, SaccadeError, UnknownModel
from engine.huggingface import memory, source
from engine.huggingface.hub import parse
from engine.huggingface.source import Located, Policy, is_loopback, kind_of, listed, locate
from tests.engine.huggingface.files import write_model

COMMIT = "a" * 40


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hugging Face cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Two models, one of them in a folder of its own, beside a secret one that is not allowed."""
    write_model(tmp_path / "models" / "tiny")
    write_model(tmp_path / "models" / "group" / "small")
    write_model(tmp_path / "secret")
    return tmp_path / "models"


@pytest.fixture
def policy(models: Path) -> Policy:
    return Policy(folders=(models,))


def write_cached(cache: Path, identifier: str, revision: str = "main") -> Path:
    """A model as the cache of the library keeps it."""
    place = cache / f"models--{identifier.replace('/', '--')}"
    (place / "refs").mkdir(parents=True, exist_ok=True)
    (place / "refs" / revision).write_text(COMMIT)
    return write_model(place / "snapshots" / COMMIT)


# --- Policy -----------------------------------------------------------------------------------------------------------


def test_nothing_set_allows_nothing():
    policy = Policy.from_environment({})
    assert (policy.folders, policy.ids, policy.downloads, policy.empty) == ((), (), False, True)
    assert policy.limit == pytest.approx(0.6 * memory.total(), rel=0.01)


def test_the_environment_is_read_whole(models, tmp_path):
    given = {
        "SACCADE_MODEL_FOLDERS": f"{models}{os.pathsep}{tmp_path / 'x' / '..'}{os.pathsep}",
        "SACCADE_MODEL_IDS": "gpt2, owner/name@v1",
        "SACCADE_DOWNLOADS": "1",
        "SACCADE_MODEL_MEMORY": "8GB",
    }
    policy = Policy.from_environment(given)
    assert policy == Policy((models, tmp_path), ("gpt2", "owner/name@v1"), True, 8_000_000_000)
    assert not policy.empty
    assert Policy.from_environment({"SACCADE_MODEL_IDS": "*"}).ids is None


def test_the_model_of_the_start_is_allowed_by_being_named(models):
    assert Policy.from_environment({"SACCADE_MODEL": str(models / "tiny")}).folders == (models / "tiny",)
    assert Policy.from_environment({"SACCADE_MODEL": "owner/name"}).ids == ("owner/name",)
    policy = Policy.from_environment({"SACCADE_MODEL": str(models / "tiny")})
    assert locate(str(models / "tiny"), policy).name == "tiny" == locate("tiny", policy).name
    with pytest.raises(UnknownModel):
        locate(str(models / "group" / "small"), policy)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"SACCADE_MODEL_MEMORY": "plenty"}, ConfigError),
        ({"SACCADE_MODEL_MEMORY": "-8GB"}, ConfigError),
        ({"SACCADE_MODEL_MEMORY": "0"}, ConfigError),
        ({"SACCADE_MODEL_IDS": "../x"}, InputError),
        ({"SACCADE_MODEL_IDS": "a/b/c"}, InputError),
    ],
)
def test_settings_that_mean_nothing_are_refused(given, error):
    with pytest.raises(error):
        Policy.from_environment(given)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("8GB", 8e9),
        ("8 gib", 8 * 2**30),
        ("1.5G", 1.5e9),
        ("512MB", 512e6),
        ("123", 123),
        ("2kB", 2000),
        ("1TiB", 2**40),
    ],
)
def test_amounts_of_memory(text, amount):
    assert memory.parse_bytes(text, "X") == amount


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0 bytes"), (999, "999 bytes"), (1500, "1.5 kB"), (999_600, "1.0 MB"), (24e9, "24 GB")]
)
def test_amounts_for_people(amount, text):
    assert memory.shown_bytes(amount) == text


def test_what_holds_the_process_in_bounds_its_memory(tmp_path, monkeypatch):
    limit, used = tmp_path / "max", tmp_path / "current"
    monkeypatch.setattr(memory, "CONTROL_GROUPS", ((limit, used),))
    free, whole = memory.available(), memory.total()
    assert 0 < free <= whole
    limit.write_text("5000\n")
    used.write_text("4000\n")
    assert (memory.available(), memory.total()) == (1000, 5000)
    limit.write_text("max\n")
    assert memory.total() == whole


def test_addresses_that_only_this_machine_reaches():
    assert all(map(is_loopback, ["127.0.0.1", "127.3.2.1", "localhost", "::1", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "192.168.1.5", "example.org", ""]))


# --- References -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpt2", ("gpt2", None)),
        ("owner/name", ("owner/name", None)),
        ("owner/Name-1.5_b@v1.0", ("owner/Name-1.5_b", "v1.0")),
        (f"{'x' * 96}/{'y' * 96}", (f"{'x' * 96}/{'y' * 96}", None)),
    ],
)
def test_ids(text, found):
    assert parse(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "a/", "/a", "a//b", "a/b/c", "..", "../a", "a/..", "a..b", "owner/na..me", ".a", "a.", "-a", "a-",
        "a b", "a\n", "a\0", "a@", "a@@b", "a@../x", "a@b/c", "@v1", "x" * 97, "a/" + "x" * 97, "a@" + "x" * 97, "a--b",
        "a.git", "café", "ｇｐｔ2", "gpt２", "а/b", "a\u2044b", "a\u200bb", "a%2fb", "a\\b", "~a", "http://a/b", "a:b",
        "a?b", "a*", "$a", "owner/name@main@x",
    ],
)  # fmt: skip
def test_what_is_no_id(text):
    assert parse(text) is None


def test_folders_are_found_by_name_and_by_path(models, policy):
    expected = Located("tiny", models / "tiny", "huggingface")
    for reference in ("tiny", " tiny ", "models/tiny", str(models / "tiny"), f"{models}/tiny/", f"{models}//./tiny"):
        assert locate(reference, policy) == expected
    assert locate("group/small", policy).folder == models / "group" / "small"


def test_names_lead_back_to_their_folders(models, tmp_path):
    """Two allowed folders with models of one name, one named as a shipped model, and one that is a model itself."""
    write_model(tmp_path / "other" / "tiny")
    write_model(tmp_path / "other" / "bert")
    policy = Policy(folders=(models, tmp_path / "other", tmp_path / "secret"))
    names = listed(policy)
    assert names == ("tiny", "group/small", "other/bert", "other/tiny", "secret")
    found = [locate(name, policy) for name in names]
    assert [model.name for model in found] == list(names)
    assert len({model.folder for model in found}) == len(names)


def test_a_saccade_checkpoint_is_told_from_others(tmp_path):
    folder = write_model(tmp_path / "m")
    assert kind_of(folder) == "huggingface"
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    assert kind_of(folder) == "saccade"


HOSTILE = {
    "empty": "",
    "spaces": "   ", "upwards": "..", "upwards inside": "tiny/../../secret", "upwards in a path": "/a/../b",
    "home": "~", "home of root": "~root/x", "a null": "tiny\0", "a newline": "tiny\nx", "an escape": "\x1b[31mtiny",
    "right to left": "tiny\u202e", "very long": "x" * 5000, "long path": "/" + "x/" * 400, "long part": "/" + "x" * 600,
    "address": "https://example.org/owner/name", "file address": "file:///etc/passwd", "store": "s3://bucket/x",
    "no slashes": "data:text/plain,x", "windows": "C:\\models\\x", "windows slash": "C:/models", "share": "\\\\host\\x",
    "mixed": "owner\\name", "system": "/etc", "root": "/", "processes": "/proc/self/root", "device": "/dev/zero",
    "look-alike": "ｔｉｎｙ", "percent": "%2e%2e/secret", "dots": ".", "hidden": "./secret", "twice": "//etc",
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_references_are_refused_in_one_sentence_that_says_what_to_do(policy, case):
    with pytest.raises((InputError, UnknownModel)) as refused:
        locate(HOSTILE[case], policy)
    said = str(refused.value)
    assert said.isprintable() and len(said) < 400
    assert said.count(". ") >= 1 and any(word in said for word in ("Write", "Choose", "Separate", "saccade run")), said


def test_an_empty_reference_is_its_own_error(policy):
    with pytest.raises(EmptyInput):
        locate(" ", policy)


def test_outside_is_refused_in_the_same_words_whether_it_exists(policy, tmp_path):
    said = set()
    for name in ("secret", "secrex"):
        with pytest.raises(UnknownModel, match="saccade run --models DIR") as refused:
            locate(str(tmp_path / name), policy)
        said.add(str(refused.value).replace(name, "NAME"))
    assert len(said) == 1


def test_links_that_lead_out_are_refused_and_not_listed(models, policy, tmp_path):
    (models / "out").symlink_to(tmp_path / "secret")
    (models / "gone").symlink_to(tmp_path / "nothing")
    (models / "circle").symlink_to(models / "circle")
    (models / "up").symlink_to(tmp_path)
    (models / "again").symlink_to(models / "tiny")
    for name in ("out", "gone", "circle", "up/secret"):
        for reference in (name, str(models / name)):
            with pytest.raises((UnknownModel, ModelError)):
                locate(reference, policy)
    assert listed(policy) == ("tiny", "group/small")
    assert locate("again", policy) == locate("tiny", policy), "a link that stays inside is fine"
    said = set()
    for name in ("secret", "secrex"):
        with pytest.raises(UnknownModel) as refused:
            locate(str(models / "up" / name), policy)
        said.add(str(refused.value).replace(name, "NAME"))
    assert len(said) == 1


def test_an_allowed_folder_that_is_a_link_is_what_it_leads_to(models, tmp_path):
    (tmp_path / "link").symlink_to(models)
    policy = Policy.from_environment({"SACCADE_MODEL_FOLDERS": str(tmp_path / "link")})
    assert policy.folders == (models,)
    assert locate(str(tmp_path / "link" / "tiny"), policy).folder == models / "tiny"


def test_a_folder_beside_with_a_longer_name_is_outside(models, tmp_path, policy):
    write_model(tmp_path / "models-secret")
    with pytest.raises(UnknownModel, match="not inside the folders"):
        locate(str(tmp_path / "models-secret"), policy)


def test_a_folder_without_a_config_is_no_model(models, policy):
    with pytest.raises(UnknownModel, match=r"holds no config\.json"):
        locate("group", policy)
    with pytest.raises(UnknownModel, match="There is no folder"):
        locate(str(models / "nothing"), policy)
    with pytest.raises(UnknownModel, match=r"The folder '/' holds no config\.json.*Choose one that does"):
        locate("/", Policy(folders=(Path("/"),)))


def test_a_terminal_has_no_list_to_choose_from(models, policy):
    """The command says the same sentences as the page."""
    for name in ("no/such/folder", str(models / "nothing"), str(models), "../tiny"):
        with pytest.raises((InputError, UnknownModel)) as refused:
            locate(name, policy)
        assert "one of the list" not in str(refused.value)


# --- Lists and ids ----------------------------------------------------------------------------------------------------


def test_the_list_is_two_levels_deep_and_bounded(models, policy, monkeypatch):
    write_model(models / "a" / "b" / "c")
    write_model(models / ".hidden")
    (models / "file").write_text("x")
    os.mkfifo(models / "pipe")
    assert listed(policy) == ("tiny", "group/small")
    monkeypatch.setattr(source, "MOST", 1)
    assert listed(policy) == ("tiny",)
    assert listed(Policy(folders=(models / "nothing",))) == ()
    assert listed(Policy()) == ()


def test_ids_are_opened_from_the_cache_where_allowed(cache):
    folder = write_cached(cache, "owner/name")
    write_cached(cache, "gpt2", "v1")
    expected = Located("owner/name", folder, "huggingface")
    assert locate("owner/name", Policy(ids=None)) == expected == locate("owner/name", Policy(ids=("owner/name",)))
    assert locate("owner/name@main", Policy(ids=("owner/name",))).folder == folder
    assert locate("gpt2@v1", Policy(ids=None)).name == "gpt2@v1"
    assert listed(Policy(ids=None)) == ("owner/name",), "the cache has gpt2 at another revision alone"
    assert listed(Policy(ids=("owner/name", "gpt2@v1", "gpt2"))) == ("owner/name", "gpt2@v1")
    assert listed(Policy(ids=("else/where",), downloads=True)) == ("else/where",)
    with pytest.raises(UnknownModel, match=r"saccade run --allow gpt2@v1$"):
        locate("gpt2@v1", Policy(ids=("gpt2@v2", "owner/name")))


def test_an_id_that_is_not_here_says_the_same_whether_the_list_lacks_it_or_not(cache):
    write_cached(cache, "owner/name")
    said = set()
    for name in ("owner/name", "owner/nama"):
        with pytest.raises(UnknownModel) as refused:
            locate(name, Policy())
        said.add(str(refused.value).replace(name, "NAME"))
    assert len(said) == 1


def test_an_id_named_as_a_shipped_model_is_told_apart(cache):
    write_cached(cache, "gpt")
    assert listed(Policy(ids=None)) == ("gpt@main",)
    assert locate("gpt", Policy(ids=None)).name == "gpt@main"
    assert locate("gpt@main", Policy(ids=None)) == locate("gpt", Policy(ids=None))


def test_a_folder_comes_before_an_id(models, cache, policy):
    write_cached(cache, "tiny")
    assert locate("tiny", Policy(policy.folders, None)).folder == models / "tiny"


def test_without_the_library_ids_are_one_sentence_and_folders_open(policy, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "huggingface_hub"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(SaccadeError, match=r"pip install 'saccade\[hf\]'"):
        locate("owner/name", Policy(ids=None))
    assert listed(Policy(policy.folders, None)) == ("tiny", "group/small")
