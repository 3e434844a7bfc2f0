"""A tokenizer and a model small enough to train while testing, with the options of the real ones."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from engine import catalogue, cli, model_card
from engine.catalogue import ModelCard
from engine.models.autocomplete import AutocompleteConfig
from engine.models.seq2seq import ATTENTIONS, Seq2Seq, Seq2SeqConfig
from engine.models.transformer import Transformer, TransformerConfig
from engine.runner import Runner, load
from engine.text import PAD, Subwords
from engine.training import books as gutenberg
from engine.training import fetch
from engine.training.autocomplete import loop
from engine.training.autocomplete.config import AutocompleteTraining
from engine.training.autocomplete.export import export
from engine.training.autocomplete.run import run_training
from engine.training.data import Example, Pair, collate, train_subwords
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, save_weights, sha256_of, write_json

VOCABULARY = 450  # enough for everyday words as single pieces, too few for all: rarer words fall apart
ENGLISH_FRENCH = """
The animal didn't cross the street because it was too tired. = L'animal n'a pas traversé la rue car il était fatigué.
The cat sleeps on the red chair. = Le chat dort sur la chaise rouge.
It is raining, and it is cold. = Il pleut et il fait froid.
I know that he is at home today. = Je sais qu'il est à la maison aujourd'hui.
She reads a book in the garden. = Elle lit un livre dans le jardin.
We don't have enough time! = Nous n'avons pas assez de temps !
Where is the station, please? = Où est la gare, s'il vous plaît ?
The children play with the dog. = Les enfants jouent avec le chien.
He is a well-known teacher. = C'est un professeur bien connu.
My sister can't find her key. = Ma sœur ne trouve pas sa clé.
The train was late because it stopped twice. = Le train était en retard parce qu'il s'est arrêté deux fois.
It was too wide, so the dog didn't jump. = Elle était trop large, alors le chien n'a pas sauté.
They drink water and eat bread. = Ils boivent de l'eau et mangent du pain.
I'd like two cups of coffee. = Je voudrais deux tasses de café.
The river is deep and the bridge is old. = La rivière est profonde et le pont est vieux.
It doesn't fit in the box. = Ça ne rentre pas dans la boîte.
Do you speak French? = Est-ce que vous parlez français ?
She said: "It is late." = Elle a dit : "Il est tard."
The horse carried the bag until it fell. = Le cheval a porté le sac jusqu'à ce qu'il tombe.
It was a long day. = C'était une longue journée.
Our house has 3 doors and 12 windows. = Notre maison a 3 portes et 12 fenêtres.
He writes a letter to his friend. = Il écrit une lettre à son ami.
Nobody knows where it came from. = Personne ne sait d'où il vient.
The window was open (it often is). = La fenêtre était ouverte (elle l'est souvent).
Tomorrow we will see the sea. = Demain nous verrons la mer.
I think that it was the bird. = Je pense que c'était l'oiseau.
The bird sang, then it flew away. = L'oiseau a chanté, puis il s'est envolé.
Who has broken the blue glass? = Qui a cassé le verre bleu ?
Give me the keys; the door is closed. = Donne-moi les clés ; la porte est fermée.
The quick brown fox jumps over a lazy dog. = Portez ce vieux whisky au juge blond qui fume.
"""
PAIRS: tuple[Pair, ...] = tuple(
    (english, french) for english, french in (line.split(" = ") for line in ENGLISH_FRENCH.strip().splitlines())
)


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    """A sentencepiece model of 60 English and French sentences."""
    return train_subwords([side for pair in PAIRS for side in pair], VOCABULARY)


@pytest.fixture(scope="session")
def subwords(model_bytes: bytes) -> Subwords:
    """The tokenizer that `model_bytes` is."""
    return Subwords(model_bytes)


@pytest.fixture(scope="session")
def pairs() -> tuple[Pair, ...]:
    """The thirty sentence pairs."""
    return PAIRS


# --- A model small enough to train while testing ----------------------------------------------------------------------

TINY_LONGEST = 64  # source tokens that the tiny model takes


def learnt_by_heart(tokenizer: Subwords) -> Transformer:
    """A Transformer after 40 steps on the thirty pairs (1 s): its outputs differ, and most of them end."""
    batch = collate([Example(*map(tokenizer.encode_ids, pair)) for pair in PAIRS])
    source, read, predicted = map(torch.from_numpy, (batch.source, batch.read, batch.predicted))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = TransformerConfig(
            len(tokenizer), width=32, heads=4, encoder_layers=2, decoder_layers=3, feedforward=64
        )
        model = Transformer(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        optimizer.zero_grad()
        logits = model(source, read)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), predicted.flatten(), ignore_index=PAD).backward()
        optimizer.step()
    return model


def tiny_model_card(files: Path) -> ModelCard:
    """The card of a model in a folder, with the files' own checksums."""
    return ModelCard(
        name="tiny",
        family="transformer",
        title="Tiny Transformer",
        summary="Thirty sentences by heart.",
        sha256={name: sha256_of(files / name) for name in (WEIGHTS, TOKENIZER, CONFIG)},
        supports=frozenset({"translate", "encoder", "decoder", "cross"}),
        longest=TINY_LONGEST,
        data=("Thirty pairs of this file, Apache-2.0",),
        licence="Apache-2.0",
        limits=("Everything else.",),
        notes=("Two encoder and three decoder layers: a shape that tells the two apart.",),
    )


@pytest.fixture(scope="session")
def tiny_assets(model_bytes: bytes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of assets with one model, "tiny", in the form in which models ship."""
    assets = tmp_path_factory.mktemp("assets")
    folder = assets / "tiny"
    folder.mkdir()
    model = learnt_by_heart(Subwords(model_bytes))
    (folder / TOKENIZER).write_bytes(model_bytes)
    write_json(folder / CONFIG, asdict(model.config))
    save_weights(model.state_dict(), folder / WEIGHTS)
    return assets


@pytest.fixture
def tiny_card(tiny_assets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """The card of a copy of the tiny model, the only one in the catalogue: its files are the test's own."""
    assets = tmp_path / "assets"
    shutil.copytree(tiny_assets, assets)
    card = tiny_model_card(assets / "tiny")
    monkeypatch.setattr(model_card, "ASSETS", assets)
    monkeypatch.setattr(catalogue, "MODELS", {"tiny": card})
    return card


@pytest.fixture(scope="session")
def tiny_runner(tiny_assets: Path) -> Runner:
    """The tiny model, loaded once on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_card, "ASSETS", tiny_assets)
        patch.setattr(catalogue, "MODELS", {"tiny": tiny_model_card(tiny_assets / "tiny")})
        return load("tiny", "cpu")


def tiny_recurrent(attention: str, tokenizer: Subwords) -> Seq2Seq:
    """A recurrent translator after 60 steps on the thirty pairs (1 s): its outputs differ, and most of them end."""
    batch = collate([Example(*map(tokenizer.encode_ids, pair)) for pair in PAIRS])
    source, read, predicted = map(torch.from_numpy, (batch.source, batch.read, batch.predicted))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Seq2Seq(Seq2SeqConfig(len(tokenizer), attention, embedding=32, layers=2, encoder_width=24, width=40))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        logits = model(source, read)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), predicted.flatten(), ignore_index=PAD).backward()
        optimizer.step()
    return model


def tiny_recurrent_card(attention: str, files: Path) -> ModelCard:
    """The card of one of them."""
    maps = frozenset() if attention == "none" else frozenset({"cross"})
    return replace(
        tiny_model_card(files),
        name=files.name,
        family="seq2seq",
        title=f"Tiny GRU: {attention}",
        supports=frozenset({"translate", "search", "states"}) | maps,
    )


@pytest.fixture(scope="session")
def recurrent_runners(model_bytes: bytes, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Runner]:
    """Four tiny recurrent translators by their attention, trained on the thirty pairs and loaded once on the CPU."""
    assets, cards = tmp_path_factory.mktemp("recurrent"), {}
    for attention in ATTENTIONS:
        folder = assets / f"tiny-{attention}"
        folder.mkdir()
        model = tiny_recurrent(attention, Subwords(model_bytes))
        (folder / TOKENIZER).write_bytes(model_bytes)
        write_json(folder / CONFIG, asdict(model.config))
        save_weights(model.state_dict(), folder / WEIGHTS)
        cards[attention] = tiny_recurrent_card(attention, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_card, "ASSETS", assets)
        patch.setattr(catalogue, "MODELS", {card.name: card for card in cards.values()})
        return {attention: load(card.name, "cpu") for attention, card in cards.items()}


# --- A network that completes words, as small -------------------------------------------------------------------------

SENTENCE = "the cat and the dog ran to the sea but the hen sat on a hat in the sun"


@pytest.fixture(scope="session")
def toy_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with two English texts of one sentence's words in random order."""
    folder = tmp_path_factory.mktemp("data") / "english"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for name, words in (("train", 800), ("valid", 400)):
        (folder / f"gutenberg.{name}.txt").write_text(f"{' '.join(rng.choice(SENTENCE.split(), words))}.", "utf-8")
    return folder.parent


@pytest.fixture
def books(toy_books: Path, tmp_path: Path) -> Path:
    """A copy of them that a test may change."""
    shutil.copytree(toy_books, tmp_path / "data")
    return tmp_path / "data"


TOY = AutocompleteTraining(
    "toy", AutocompleteConfig("gru", words=12, embedding=8, width=16, layers=1),
    batch=4, length=30, epochs=4, peak_rate=2e-2, averaged=0.2,
)  # fmt: skip


@pytest.fixture
def toy_settings() -> AutocompleteTraining:
    """The settings of `toy_run`."""
    return TOY


@pytest.fixture(scope="session")
def toy_run(toy_books: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of a GRU with twelve words (1 s)."""
    run = tmp_path_factory.mktemp("toy") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "keep_freed_memory", lambda: None)
        run_training(TOY, run, 60, data=toy_books, command="saccade train toy --data DIR --minutes 60")
    return run


def toy_model_card(sha256: dict[str, str]) -> ModelCard:
    """The card of the network, with its files' checksums."""
    return ModelCard(
        name="toy",
        family="autocomplete",
        title="Word completion: Toy",
        summary="Twelve words by heart.",
        sha256=sha256,
        supports=frozenset({"complete", "states"}),
        longest=100,
        data=("One sentence of this file, Apache-2.0",),
        licence="Apache-2.0",
        limits=("Every other word.",),
        notes=("One layer.",),
    )


@pytest.fixture
def toy_card(toy_run: Path, books: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelCard:
    """The card of a network that completes words, exported for the test and the only one in the catalogue."""
    monkeypatch.setattr(model_card, "ASSETS", tmp_path / "assets")
    card = toy_model_card(export(toy_run, toy_model_card({}), books)["sha256"])
    monkeypatch.setattr(catalogue, "MODELS", {"toy": card})
    return card


# --- Sites to download from -------------------------------------------------------------------------------------------

EVERYDAY = [(f"The cat number {i} sleeps.", f"Le chat numéro {i} dort.") for i in range(40)]
SPEECHES = [(f"Mister President, speech {i} was long indeed.", f"Le discours {i} fut long.") for i in range(60)]


def tatoeba_zip(pairs: list[Pair]) -> bytes:
    """An archive as manythings.org packs it."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.writestr("_about.txt", "About")
        files.writestr("fra.txt", "".join(f"{english}\t{french}\tCC-BY 2.0 (France)\n" for english, french in pairs))
    return archive.getvalue()


def europarl_tgz(pairs: list[Pair]) -> bytes:
    """An archive as statmt.org packs it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as files:
        for side, ending in ((1, "fr"), (0, "en")):
            content = "".join(f"{pair[side]}\n" for pair in pairs).encode()
            member = tarfile.TarInfo(f"europarl-v7.fr-en.{ending}")
            member.size = len(content)
            files.addfile(member, io.BytesIO(content))
    return archive.getvalue()


STORIES = (
    gutenberg.Book(1, "The First", "A. Writer", 1900),
    gutenberg.Book(2, "The Second", "B. Writer", 1901),
    gutenberg.Book(3, "The Third", "C. Writer", 1902, held_out=True),
)


def story(book: gutenberg.Book) -> bytes:
    """A book as gutenberg.org sends it, with what the site puts before and after it."""
    name = f"PROJECT GUTENBERG EBOOK {book.title.upper()}"
    return (
        f"\ufeffThe Project Gutenberg eBook of {book.title}\r\n\r\nTitle: {book.title}\r\n\r\n"
        f"*** START OF THE {name} ***\r\n\r\nProduced by Somebody\r\nand others\r\n\r\n"
        f"CHAPTER I\r\n\r\nOnce upon a time there was number {book.number}.\r\n\r\n\r\n\r\nIt ended.\r\n\r\n"
        f"End of the Project Gutenberg EBook of {book.title}\r\n\r\n*** END OF THE {name} ***\r\n\r\nThe licence.\r\n"
    ).encode()


class Site(ThreadingHTTPServer):
    """A web site on this machine: `pages` by path; a page in `cut` breaks off half-way; `asked` keeps the paths."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.pages: dict[str, bytes] = {}
        self.cut: set[str] = set()
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_address[1]}"


class Page(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        content = self.server.pages.get(self.path)
        if content is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if self.path in self.server.cut else content)

    def log_message(self, *arguments: object) -> None:
        """Keep quiet: what a command writes to standard error is under test."""


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A site with two small corpora and three books, which `saccade fetch-data` reads instead of the real ones."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Site() as server:
        server.pages = {"/fra.zip": tatoeba_zip(EVERYDAY), "/fr-en.tgz": europarl_tgz(SPEECHES)}
        urls = {"tatoeba": f"{server.address}/fra.zip", "europarl": f"{server.address}/fr-en.tgz"}
        local = {name: replace(source, url=urls[name]) for name, source in fetch.SOURCES.items()}
        monkeypatch.setattr(fetch, "SOURCES", local)
        monkeypatch.setattr(gutenberg, "SITE", server.address)
        monkeypatch.setattr(gutenberg, "BOOKS", STORIES)
        monkeypatch.setattr(gutenberg, "PAUSE", 0.0)
        server.pages |= {book.url.removeprefix(server.address): story(book) for book in STORIES}
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


# --- The command ------------------------------------------------------------------------------------------------------


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str

    def assert_refused(self, *parts: str) -> None:
        """Exit status 1, nothing on standard output, and one line, which has these parts."""
        assert (self.status, self.out) == (1, "")
        lines = self.err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("saccade: "), self.err
        for part in parts:
            assert part in lines[0]


@pytest.fixture
def saccade(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command in this process, as its entry point does."""
    monkeypatch.delenv("SACCADE_DEVICE", raising=False)

    def command(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["saccade", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.main()
        status = stop.value.code
        return Done(status if isinstance(status, int) else 0, *capsys.readouterr())

    return command


@pytest.fixture
def saccade_process() -> Callable[..., Done]:
    """Runs the command through the interpreter, as a user meets it: slower by the seconds that torch takes to load."""

    def command(*arguments: str) -> Done:
        root = Path(__file__).resolve().parents[2]
        whole = [sys.executable, "-m", "engine.cli", *arguments]
        done = subprocess.run(whole, cwd=root, capture_output=True, text=True, timeout=120, check=False)
        return Done(done.returncode, done.stdout, done.stderr)

    return command
