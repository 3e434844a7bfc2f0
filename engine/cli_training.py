"""The `saccade` commands that make a model: fetch-data, train, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from engine import catalogue
from engine.catalogue import Family, ModelCard
from engine.cli_progress import bar, counter
from engine.errors import ConfigError, InputError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from engine.models.autocomplete import AutocompleteConfig
    from engine.models.translator import TranslatorConfig
    from engine.training.run import Start

MOST_CHANGED, MOST_BLEU_LOST = 0.02, 0.2  # of what rounding to float16 may do
# What only their shapes have, the first that is found; a BERT's names its norm beside the context.
_MARKS: dict[str, Family] = {"cell": "autocomplete", "attention": "seq2seq", "characters": "char-lm", "context": "gpt"}
_LANGUAGE: tuple[Family, ...] = ("gpt", "char-lm", "bert")
COUNTS = "trigram"  # the configuration that needs no file: words are counted
FOLDERS = ("en-fr", "english")  # of what fetch-data writes

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", envvar="SACCADE_DEVICE")]


def train(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a .json file.")],
    data: Annotated[Path, typer.Option(help="Folder with the texts, as `saccade fetch-data` writes it.")],
    minutes: Annotated[
        float, typer.Option(help="Wall-clock length of the whole schedule, at most; trigram only counts.", min=0.05)
    ] = 60.0,
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run there goes on.")] = None,
    init: Annotated[str | None, typer.Option(help="Continue from this shipped model's weights.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a model from nothing, or go on from a shipped one."""
    command = f"saccade train {config} --data DIR --minutes {minutes:g}" + (f" --init {init}" if init else "")
    family = family_of(config)
    if family == "trigram":
        if init:
            raise InputError("trigram counts its text anew and starts from nothing. Leave out --init.")
        folder, name = _count(data, out)
    else:
        start = {"autocomplete": _train_completion}.get(family, _train_translation)
        folder, name = (_train_language if family in _LANGUAGE else start)(
            config, data, minutes, out, init, device, command
        )
    print(f"To ship it: saccade export {folder} {name} --data {data}")


def family_of(config: str) -> Family:
    """Which family a configuration is for: by the folder that it ships in, or by what its file says.

    Raises:
        ConfigError: no such file, and none of that name ships.
    """
    from engine.training.autocomplete.config import CONFIGS as COMPLETION
    from engine.training.config import CONFIGS as TRANSLATION
    from engine.training.language.config import CONFIGS as LANGUAGE

    if config.endswith(".json"):
        try:
            model = json.loads(Path(config).read_text("utf-8"))["model"]
        except (OSError, ValueError, LookupError, TypeError):
            model = None  # whoever reads it says what is wrong
        keys = model if isinstance(model, dict) else {}
        found: Family = next((family for key, family in _MARKS.items() if key in keys), "transformer")
        return "bert" if found == "gpt" and "norm" in keys else found
    if config == COUNTS:
        return "trigram"
    folders = (TRANSLATION, COMPLETION, LANGUAGE)
    for folder in folders:
        if (folder / f"{config}.json").is_file():
            return family_of(str(folder / f"{config}.json"))
    shipped = sorted([COUNTS, *(path.stem for folder in folders for path in folder.glob("*.json"))])
    raise ConfigError(f"There is no configuration {config!r}. Give a .json file or one of: {', '.join(shipped)}.")


def _train_translation(
    config: str, data: Path, minutes: float, out: Path | None, init: str | None, device: str, command: str
) -> tuple[Path, str]:
    """The run's folder and the model's name."""
    from engine.runner import pick_device
    from engine.training.config import read_config
    from engine.training.loop import Progress as Step
    from engine.training.run import run_training

    settings = read_config(config)
    folder = out or default_folder(settings.name, init)
    initial = initial_model(init, config, settings.model) if init else None
    where, done = pick_device(device), 0.0
    with bar(f"training {settings.name}", 1.0) as advance:

        def report(step: Step) -> None:
            nonlocal done
            advance(step.share - done)
            done = step.share
            print(
                f"step {step.step}  tokens {step.tokens}  loss {step.loss:.3f}  antecedent {step.antecedent_loss:.3f}"
            )

        path = run_training(
            settings, data, folder, minutes, initial=initial, device=where, command=command, report=report
        )
    print(path)
    return folder, settings.name


def _train_completion(
    config: str, data: Path, minutes: float, out: Path | None, init: str | None, device: str, command: str
) -> tuple[Path, str]:
    """The run's folder and the model's name."""
    import torch

    from engine.runner import pick_device
    from engine.training.autocomplete.config import read_config
    from engine.training.autocomplete.loop import Progress as Step
    from engine.training.autocomplete.run import run_training
    from engine.weights import WEIGHTS

    settings = read_config(config)
    folder = out or default_folder(settings.name, init)
    initial = initial_completer(init, config, settings.model).folder if init else None
    where, done = pick_device(device), 0.0
    if where == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: products of float32 on tensor cores
    with bar(f"training {settings.name}", 1.0) as advance:

        def report(step: Step) -> None:
            nonlocal done
            advance(step.share - done)
            done = step.share
            print(f"step {step.step}  characters {step.characters}  loss {step.loss:.3f}  rate {step.rate:.2g}")

        scores = run_training(
            settings, folder, minutes, data=data, initial=initial, device=where, command=command, report=report
        )
    overall, table = (scores[name]["overall"][0] for name in ("accuracy", "table"))
    print(
        f"{folder / WEIGHTS}\ncross-entropy {scores['cross_entropy']:.3f} nats per character; the word is the first "
        f"suggestion at {overall:.1%} of the characters, the prefix table's at {table:.1%}"
    )
    return folder, settings.name


def _train_language(
    config: str, data: Path, minutes: float, out: Path | None, init: str | None, device: str, command: str
) -> tuple[Path, str]:
    """The run's folder and the model's name."""
    import torch

    from engine.runner import pick_device
    from engine.training.language.config import read_config
    from engine.training.language.loop import Progress as Step
    from engine.training.language.run import run_training
    from engine.weights import verify

    settings = read_config(config)
    folder = out or default_folder(settings.name, init)
    initial = catalogue.card(init) if init else None
    if initial:
        verify(initial)
    where, done = pick_device(device), 0.0
    if where == "cuda":
        torch.set_float32_matmul_precision("high")  # TF32: products of float32 on tensor cores
    with bar(f"training {settings.name}", 1.0) as advance:

        def report(step: Step) -> None:
            nonlocal done
            advance(step.share - done)
            done = step.share
            second = f"  second {step.second:.3f}" if step.second else ""
            print(f"step {step.step}  tokens {step.tokens}  loss {step.loss:.3f}{second}  rate {step.rate:.2g}")

        path = run_training(
            settings, folder, minutes, data=data, initial=initial.folder if initial else None, device=where,
            command=command, report=report,
        )  # fmt: skip
    print(path)
    return folder, settings.name


def _count(data: Path, out: Path | None) -> tuple[Path, str]:
    """Count words, pairs and triples: the run's folder and the model's name."""
    from engine.training.trigram import TrigramTraining, train_trigram

    settings = TrigramTraining()
    folder = out or default_folder(settings.name, None)
    with counter("counting"):
        train_trigram(settings, data, folder, print)
    return folder, settings.name


def default_folder(name: str, init: str | None) -> Path:
    """Where a run goes that nobody gave a folder."""
    return Path("runs") / (f"{name}-from-{init}" if init else name)


def initial_model(name: str, config: str, wanted: TranslatorConfig) -> Start:
    """A shipped model to go on from, verified to be whole and of the shape that a run wants.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, ConfigError: each says what to do.
    """
    from engine.models.translator import translator_config
    from engine.training.run import Start

    card = _same_shape(name, config, wanted, translator_config)
    return Start(card.identity, card.folder)


def initial_completer(name: str, config: str, wanted: AutocompleteConfig) -> ModelCard:
    """The same for a network that completes words: its card."""
    from engine.models.autocomplete import AutocompleteConfig
    from engine.weights import from_json

    return _same_shape(name, config, wanted, partial(from_json, AutocompleteConfig))


def _same_shape(
    name: str, config: str, wanted: Any, shape: Callable[[Mapping[str, Any], str], DataclassInstance]
) -> ModelCard:
    from engine.weights import CONFIG, read_json, verify

    card = catalogue.card(name)
    if card.family != family_of(config):
        raise ConfigError(
            f"{config} cannot go on from model {name}, which is of another kind. Give --init the name of a model of "
            "its own kind: see `saccade models`."
        )
    verify(card)
    given, other = asdict(shape(read_json(card.folder / CONFIG), CONFIG)), asdict(wanted)
    for key in given:
        if key != "max_length" and given[key] != other[key]:  # positions are no weights
            raise ConfigError(
                f"{config} cannot go on from model {name}: {key} is {other[key]} in the configuration and {given[key]} "
                f"in the model. Give both the same shape."
            )
    return card


def export(
    run_folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    model: Annotated[str, typer.Argument(help="The catalogue's name of the model that it becomes.")],
    data: Annotated[
        Path, typer.Option(help="Folder with the texts; 500 sentences compare outputs before and after rounding.")
    ],
) -> None:
    """Write a finished run into assets/ and print the checksums for the catalogue."""
    card = catalogue.card(model)
    with counter("comparing outputs before and after rounding"):
        result = _exported(run_folder, card, data)
    for name, checksum in result["sha256"].items():
        print(f'"{name}": "{checksum}",')
    rounding = result["rounding"]
    print(json.dumps(rounding))
    loss = rounding.get("bleu_before", 0.0) - rounding.get("bleu_after", 0.0)
    if rounding.get("outputs_changed", 0.0) > MOST_CHANGED or abs(loss) > MOST_BLEU_LOST:
        most = f"{MOST_CHANGED:.0%} of outputs" + (f" or {MOST_BLEU_LOST} BLEU" if "bleu_before" in rounding else "")
        print(f"Rounding changed more than {most}.", file=sys.stderr)
        raise typer.Exit(1)


def _exported(run_folder: Path, card: ModelCard, data: Path) -> dict[str, Any]:
    """The run as the files that ship, by the model's family."""
    if card.family == "autocomplete":
        from engine.training.autocomplete.export import export as write_completer

        return write_completer(run_folder, card, data)
    if card.family in _LANGUAGE:
        from engine.training.language.export import export as write_language

        return write_language(run_folder, card, data)
    if card.family == "trigram":
        from engine.training.trigram_export import export as write_counts

        return write_counts(run_folder, card)
    from engine.training.data import read_pairs
    from engine.training.export import export as write

    return write(run_folder, card, read_pairs(data / "en-fr" / "valid.tsv")[:500])


def fetch_data(
    folder: Annotated[Path, typer.Argument(help="Where the texts go.")],
    only: Annotated[str | None, typer.Option(help="en-fr: the sentence pairs alone; english: the books alone.")] = None,
) -> None:
    """Download public training and evaluation texts (Tatoeba, Europarl, Project Gutenberg) from their own sites."""
    from engine.training import books
    from engine.training.fetch import SOURCES, fetch

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Give the name of a folder.")
    if only is not None and only not in FOLDERS:
        raise InputError(f"There is nothing called {only!r} to fetch. Choose one of: {', '.join(FOLDERS)}.")
    pairs, english = only in (None, "en-fr"), only in (None, "english")
    for name, source in SOURCES.items() if pairs else []:
        print(f"{name}: {source.url} ({source.licence})")
    if english:
        print(f"books: {len(books.BOOKS)} from {books.SITE} ({books.LICENCE})")
    if pairs:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            tasks = {name: progress.add_task(name, total=None) for name in SOURCES}

            def report(name: str, done: int, total: int) -> None:
                progress.update(tasks[name], completed=done, total=total or None)

            for path in fetch(folder, report=report):
                print(path)
    if english:
        with bar("books", len(books.BOOKS)) as advance:
            for path in books.fetch_books(folder, report=advance):
                print(path)


def bottleneck(
    data: Annotated[Path, typer.Option(help="Folder with the texts, as `saccade fetch-data` writes it.")],
    models: Annotated[str | None, typer.Option(help="Names with commas between; all translators without it.")] = None,
    save: Annotated[bool, typer.Option("--save", help="Write assets/bottleneck.json, which the app draws.")] = False,
    lines: Annotated[int | None, typer.Option(help="Measure so many lines only: a quick look.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Measure how good translations are by the length of their source: BLEU and token accuracy of every translator."""
    from engine.bottleneck import notes, table, translators, write_bottleneck
    from engine.runner import load
    from engine.training.bleu import require_sacrebleu
    from engine.training.bottleneck import bottleneck as summarise
    from engine.training.bottleneck import measure, read_lines

    if save and (lines is not None or models is not None):
        raise InputError("What is saved is measured on all lines and of all models. Leave out --lines and --models.")
    names = translators() if models is None else [name.strip() for name in models.split(",")]
    for name in names:
        if "translate" not in catalogue.card(name).supports:
            raise InputError(f"{name} does not translate. Choose of: {', '.join(translators())}.")
    require_sacrebleu()
    pairs = read_lines(data, lines)
    measured = []
    for name in dict.fromkeys(names):
        with bar(f"{name}: translating, then predicting {len(pairs)} lines", 2 * len(pairs)) as advance:
            measured.append(measure(load(name, device), pairs, advance))
    found = summarise(measured, pairs, data)
    print(table(found))
    if save:
        print(write_bottleneck(found))
        for note in notes(found):
            print(note, file=sys.stderr)
