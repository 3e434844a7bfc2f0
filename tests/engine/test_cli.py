"""The `saccade` command: what it prints, what it writes, and one sentence on standard error when something is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import catalogue, cli
from engine.cards import TRAINING, markdown, scores_of
from engine.catalogue import MODELS
from engine.record import load_trace
from engine.training import beam
from engine.training import evaluate as measures
from engine.weights import CONFIG, write_json

ROOT = Path(__file__).resolve().parents[2]
ENGLISH = "The cat sleeps on the red chair."


# --- Help and errors --------------------------------------------------------------------------------------------------


def test_help_lists_every_command(saccade):
    done = saccade("--help")
    assert done.status == 0
    for name in ("run", "models", "translate", "trace", "evaluate", "train", "export", "fetch-data"):
        assert f" {name} " in done.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("translate", "en-de", "Hello."),
        ("trace", "en-de", "Hello.", "--out", "x.npz"),
        ("models", "en-de"),
        ("evaluate", "en-de"),
    ],
)
def test_an_unknown_model_is_one_line_that_lists_the_models(saccade, tiny_card, arguments):
    saccade(*arguments).assert_refused("There is no model 'en-de'. Choose one of: tiny.")


def test_an_error_leaves_the_process_with_one_line_and_status_1(saccade_process):
    saccade_process("translate", "en-de", "Hello.").assert_refused(*MODELS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("translate", "tiny", ""), "There is no text yet"),
        (("translate", "tiny", ENGLISH, "你好"), "knows none of these characters"),
        (("translate", "tiny", "the " * 100), "has 101 tokens and tiny takes 64 at most"),
        (("translate", "tiny", ENGLISH, "--device", "tpu"), "There is no device 'tpu'"),
        (("evaluate", "tiny", "--set", "wmt"), "There is no evaluation set 'wmt'. Choose one of: tatoeba"),
        (("evaluate", "tiny", "--set", "tatoeba"), "--data DIR"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(saccade, tiny_card, arguments, words):
    saccade(*arguments).assert_refused(words)


def test_a_missing_data_folder_is_named_with_how_to_get_it(saccade, tiny_card, tmp_path):
    done = saccade("evaluate", "tiny", "--set", "tatoeba", "--data", tmp_path / "nowhere")
    done.assert_refused(str(tmp_path / "nowhere" / "en-fr" / "test.tsv"), "saccade fetch-data DIR")
    done = saccade("train", "en-fr", "--data", tmp_path / "nowhere", "--minutes", 1, "--out", tmp_path / "run")
    done.assert_refused(str(tmp_path / "nowhere" / "en-fr" / "train.tsv"), "saccade fetch-data DIR")


def test_a_damaged_model_is_one_sentence(saccade, tiny_card):
    (tiny_card.folder / CONFIG).write_text("{}", "utf-8")
    saccade("translate", "tiny", ENGLISH).assert_refused("assets/tiny/config.json", "git checkout")


def test_the_device_comes_from_the_environment_too(saccade, tiny_card, monkeypatch):
    monkeypatch.setenv("SACCADE_DEVICE", "tpu")
    saccade("translate", "tiny", ENGLISH).assert_refused("There is no device 'tpu'")
    assert saccade("translate", "tiny", ENGLISH, "--device", "cpu").status == 0
    monkeypatch.setenv("SACCADE_DEVICE", "")
    assert saccade("translate", "tiny", ENGLISH).status == 0


def test_a_wrong_option_is_a_usage_error(saccade, tiny_card):
    done = saccade("train", "en-fr", "--data", ".", "--minutes", 0)
    assert done.status == 2 and "--minutes" in done.err


# --- Models, translations, traces -------------------------------------------------------------------------------------


def test_models_lists_names_identities_and_titles(saccade, tiny_card):
    done = saccade("models")
    assert done.status == 0
    assert " ".join(done.out.split()) == f"tiny {tiny_card.identity} Tiny Transformer. Thirty sentences by heart."


def test_a_models_card_is_printed_whole(saccade, tiny_card):
    rounding = {"sentences": 3, "outputs_changed": 0.0, "bleu_before": 1.0, "bleu_after": 1.0}
    record = {"command": "c", "minutes": 1, "hardware": "h", "torch": "t", "steps": 1, "tokens": 1, "parameters": 1}
    write_json(tiny_card.folder / TRAINING, record | {"rounding": rounding, "settings": {"mixture": {"tatoeba": 1}}})
    done = saccade("models", "tiny")
    assert (done.status, done.out) == (0, markdown(tiny_card))


def test_translate_prints_one_line_a_text_in_order(saccade, tiny_card, tiny_runner):
    texts = [ENGLISH, "The animal didn't cross the street.", "Who has broken the blue glass?"]
    done = saccade("translate", "tiny", *texts)
    assert done.status == 0
    assert done.out.splitlines() == tiny_runner.translate(texts)
    assert "Qui a cassé le verre bleu ?" in done.out


@pytest.mark.parametrize("target", [None, "Le chat est rouge."])
def test_trace_writes_a_file_that_reads_back(saccade, tiny_card, tiny_runner, tmp_path, target):
    path = tmp_path / "maps.npz"
    done = saccade("trace", "tiny", ENGLISH, "--out", path, *(["--target", target] if target else []))
    expected, loaded = tiny_runner.trace(ENGLISH, target), load_trace(path)
    assert done.status == 0
    assert done.out.splitlines()[0] == loaded.translation == expected.translation
    assert loaded.request == expected.request
    for kind, attention in expected.maps.items():
        assert np.array_equal(loaded.maps[kind].weights, attention.weights)
        assert f"{kind} {'x'.join(map(str, attention.weights.shape))}" in done.out
    assert str(path) in done.out and "ms on cpu" in done.out


def test_what_a_trace_notes_goes_to_standard_error(saccade, tiny_card, tmp_path):
    done = saccade("trace", "tiny", "The cat 🙂 sleeps.", "--out", tmp_path / "x.npz")
    assert done.status == 0
    assert load_trace(tmp_path / "x.npz").notes == tuple(done.err.splitlines())
    assert "does not know 1 of the source's tokens" in done.err


def test_trace_into_a_folder_that_is_not_there_is_one_sentence(saccade, tiny_card, tmp_path):
    done = saccade("trace", "tiny", ENGLISH, "--out", tmp_path / "nowhere" / "x.npz")
    done.assert_refused(f"The folder {tmp_path / 'nowhere'} does not exist.")


def test_trace_onto_a_folder_is_one_sentence(saccade, tiny_card, tmp_path):
    saccade("trace", "tiny", ENGLISH, "--out", tmp_path).assert_refused(str(tmp_path), "--out")


def test_what_the_system_refuses_is_one_sentence(saccade, tiny_card, tmp_path):
    """A full disk, a file of somebody else: here a name that no file system takes."""
    saccade("trace", "tiny", ENGLISH, "--out", tmp_path / ("x" * 300)).assert_refused("File name too long")


# --- Evaluating -------------------------------------------------------------------------------------------------------


@pytest.fixture
def few(tiny_card: catalogue.ModelCard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pronoun sets of eight sentences, which the tiny model takes although its tokenizer splits them into many pieces.

    And no baselines, which take seconds (test_synthetic has them).
    """
    monkeypatch.setattr(measures, "HALF", 8)
    monkeypatch.setattr(measures, "baselines", lambda examples: {"majority": 0.5})
    monkeypatch.setitem(catalogue.MODELS, "tiny", replace(tiny_card, longest=200))


def test_evaluate_prints_json_and_nothing_else(saccade, tiny_card, few):
    done = saccade("evaluate", "tiny", "--set", "lecture", "--set", "pronouns-a", "--json")
    assert done.status == 0
    found = json.loads(done.out)
    assert found["model"] == tiny_card.identity
    assert list(found["scores"]) == ["lecture", "pronouns-a"]
    assert found["scores"]["pronouns-a"]["sentences"] == 8
    assert scores_of(tiny_card) == {}, "nothing is saved unless asked"


def test_evaluate_prints_a_line_for_each_set_and_saves_when_asked(saccade, tiny_card, few):
    done = saccade("evaluate", "tiny", "--set", "lecture", "--set", "pronouns-a", "--save")
    assert done.status == 0
    lines = dict(line.split(": ", 1) for line in done.out.splitlines())
    assert {name: json.loads(values) for name, values in lines.items()} == scores_of(tiny_card)
    assert "best_encoder_head" in scores_of(tiny_card)["pronouns-a"]


def test_evaluate_without_texts_measures_the_rest_and_says_so(saccade, tiny_card, few, monkeypatch):
    monkeypatch.setattr(measures, "set_b", lambda: measures.set_a("valid", 4))
    monkeypatch.setattr(beam, "load_sentences", lambda: (("She sleeps in the garden.", "Elle dort dans le jardin."),))
    done = saccade("evaluate", "tiny", "--json")
    assert done.status == 0
    assert list(json.loads(done.out)["scores"]) == [
        "beam", "pronouns-a", "pronouns-b", "coreference", "lecture",
    ]  # fmt: skip
    for name in ("tatoeba", "europarl"):
        assert f"{name} is left out: it reads texts from disk, give their folder with --data DIR." in done.err


def test_evaluate_on_another_text_than_the_cards_says_so(saccade, tiny_card, site, tmp_path):
    assert saccade("fetch-data", tmp_path).status == 0
    arguments = ("evaluate", "tiny", "--set", "tatoeba", "--data", tmp_path)
    assert "not the text" not in saccade(*arguments, "--save").err, "there is none to compare with yet"
    assert "not the text" not in saccade(*arguments).err, "the same text"
    path = tmp_path / "en-fr" / "test.tsv"
    path.write_text(path.read_text("utf-8") + "One more.\tUn de plus.\n", "utf-8")
    assert "tatoeba: not the text of the model's card" in saccade(*arguments).err


# --- Fetching data ----------------------------------------------------------------------------------------------------


def test_fetch_data_names_its_sources_and_what_it_wrote(saccade, site, tmp_path):
    done = saccade("fetch-data", tmp_path / "texts")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == f"tatoeba: {site.address}/fra.zip (CC-BY 2.0 FR (tatoeba.org))"
    assert lines[1].startswith("europarl: ")
    assert lines[2].startswith(f"books: 3 from {site.address} (public domain")
    assert [Path(line).name for line in lines[3:]] == [
        "train.tsv", "valid.tsv", "test.tsv", "europarl-valid.tsv", "europarl-test.tsv",
        "gutenberg.train.txt", "gutenberg.valid.txt",
    ]  # fmt: skip
    assert all(Path(line).is_file() for line in lines[3:])


@pytest.mark.parametrize(("only", "there"), [("en-fr", {"en-fr"}), ("english", {"english"})])
def test_fetch_data_gets_one_part_alone(saccade, site, tmp_path, only, there):
    assert saccade("fetch-data", tmp_path / "texts", "--only", only).status == 0
    assert {path.name for path in (tmp_path / "texts").iterdir()} == there
    asked = {path.startswith("/cache/") for path in site.asked}
    assert asked == {only == "english"}, "nothing else was downloaded"


def test_fetch_data_of_a_part_that_is_not_there_is_one_sentence(saccade, site, tmp_path):
    saccade("fetch-data", tmp_path / "texts", "--only", "german").assert_refused("'german'", "en-fr, english")
    assert not site.asked


def test_what_was_fetched_is_what_evaluate_reads(saccade, site, tiny_card, tmp_path):
    assert saccade("fetch-data", tmp_path).status == 0
    done = saccade("evaluate", "tiny", "--set", "tatoeba", "--set", "europarl", "--data", tmp_path, "--json")
    scores = json.loads(done.out)["scores"]
    assert {name: values["sentences"] for name, values in scores.items()} == {"tatoeba": 4, "europarl": 6}


def test_a_site_that_fails_is_one_sentence(saccade, site, tmp_path):
    site.pages.clear()
    done = saccade("fetch-data", tmp_path)
    assert done.status == 1 and "Traceback" not in done.err
    assert (
        done.err.strip().splitlines()[-1].startswith(f"saccade: {site.address}/fra.zip could not be read (Not Found)")
    )


# --- The web app ------------------------------------------------------------------------------------------------------


def test_run_starts_streamlit_here_with_what_was_asked(saccade, monkeypatch):
    started = {}

    def start(command: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        started.update(options, command=command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr(cli.subprocess, "run", start)
    assert saccade("run", "--port", 8600, "--device", "cpu").status == 3, "the app's own status"
    command = started["command"]
    assert command[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert Path(command[4]) == ROOT / "app.py" and Path(command[4]).is_file()
    assert command[command.index("--server.port") + 1] == "8600"
    assert command[command.index("--server.address") + 1] == "127.0.0.1", "private unless asked otherwise"
    assert started["env"]["SACCADE_DEVICE"] == "cpu"


def test_evaluate_without_sacrebleu_leaves_out_what_needs_it_and_says_so(saccade, tiny_card, few, monkeypatch):
    monkeypatch.setattr(measures, "set_b", lambda: measures.set_a("valid", 4))
    monkeypatch.setattr("engine.training.bleu.has_sacrebleu", lambda: False)
    done = saccade("evaluate", "tiny", "--json")
    assert done.status == 0
    assert list(json.loads(done.out)["scores"]) == ["pronouns-a", "pronouns-b", "coreference", "lecture"]
    assert "beam is left out: BLEU needs sacrebleu" in done.err
