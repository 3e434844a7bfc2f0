"""The `saccade` command."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

# Spinning OpenMP threads cost a busy machine far more than they gain a free one; read once, when torch is first
# imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from engine import catalogue
from engine.errors import ConfigError, InputError, SaccadeError

if TYPE_CHECKING:
    from engine.models.transformer import TransformerConfig
    from engine.training.run import Start

ROOT = Path(__file__).parent.parent
DEVICES = ("auto", "cpu", "cuda", "mps")
MOST_CHANGED, MOST_BLEU_LOST = 0.02, 0.2  # of what rounding to float16 may do

app = typer.Typer(
    help="See what a trained network looks at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", envvar="SACCADE_DEVICE")]
DataOption = Annotated[Path | None, typer.Option(help="Folder with the texts, as `saccade fetch-data` writes it.")]


@contextmanager
def bar(title: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """A progress bar on standard error; the value is a function that moves it forward."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=total)
        yield lambda amount: progress.advance(task, amount)


@contextmanager
def counter(title: str) -> Iterator[Callable[[float], None]]:
    """Like `bar` where nobody knows how much there is: a count that runs."""
    columns = (SpinnerColumn(), TextColumn("{task.description}: {task.completed:.0f} done"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(title, total=None)
        yield lambda amount: progress.advance(task, amount)


@app.command()
def run(
    port: Annotated[int, typer.Option(help="Port of the web page.", min=1, max=65535)] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    device: DeviceOption = "auto",
) -> None:
    """Start the web app."""
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    command += ["--server.address", address]
    if device not in DEVICES:
        raise InputError(f"There is no device {device!r}. Choose one of: {', '.join(DEVICES)}.")
    environment = os.environ | {"SACCADE_DEVICE": device}
    # an exception in subprocess.run ends the server: so does whoever stops this process
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        raise typer.Exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@app.command()
def models(name: Annotated[str | None, typer.Argument(help="Print this model's whole card.")] = None) -> None:
    """List the models, or print one's card in Markdown."""
    if name is not None:
        from engine.cards import markdown

        print(markdown(catalogue.card(name)), end="")
        return
    for card in catalogue.MODELS.values():
        print(f"{card.name:<10} {card.identity:<24} {card.title}. {card.summary}")


@app.command()
def translate(
    model: str, text: Annotated[list[str], typer.Argument(help="One text each.")], device: DeviceOption = "auto"
) -> None:
    """Translate texts, one line each."""
    from engine.runner import load

    runner = load(model, device)
    with bar("translating", len(text)) as advance:
        outputs = runner.translate(text, advance)
    print("\n".join(outputs))


@app.command()
def trace(
    model: str,
    text: str,
    out: Annotated[Path, typer.Option(help="The .npz file to write.")],
    target: Annotated[str | None, typer.Option(help="Force this translation instead of the model's own.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Save every attention map of one sentence, with its tokens, as NPZ."""
    from engine.record import save_trace
    from engine.runner import load

    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist. Create it, or give another --out.")
    if target is not None and not target.strip():
        raise InputError("--target is empty. Give a translation to force, or leave the option out.")
    if out.is_dir():
        raise InputError(f"{out} is a folder. Give --out the name of a file, for example {out / 'trace.npz'}.")
    result = load(model, device).trace(text, target)
    save_trace(result, out)
    shapes = ", ".join(f"{kind} {'x'.join(map(str, m.weights.shape))}" for kind, m in result.maps.items())
    print(f"{result.translation}\n{out}: {shapes} in {result.milliseconds:.0f} ms on {result.device}")
    for note in result.notes:
        print(note, file=sys.stderr)


@app.command()
def evaluate(
    model: str,
    data: DataOption = None,
    chosen: Annotated[
        list[str] | None, typer.Option("--set", help="A set to measure; all without this option.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    save: Annotated[
        bool, typer.Option("--save", help="Write the scores beside the weights, for the model's card.")
    ] = False,
    device: DeviceOption = "auto",
) -> None:
    """Measure a shipped model. Without --data, only what needs no texts from disk."""
    from engine.cards import save_scores, scores_of
    from engine.runner import load
    from engine.training.bleu import has_sacrebleu
    from engine.training.evaluate import evaluate as measure
    from engine.training.evaluate import find_sets, required_data

    found = find_sets(chosen)
    runner = load(model, device)
    if not chosen and data is None:
        for name in required_data(found):
            print(f"{name} is left out: it reads texts from disk, give their folder with --data DIR.", file=sys.stderr)
            del found[name]
    if not chosen and not has_sacrebleu():
        for name in [name for name, kind in found.items() if kind.needs_bleu]:
            print(f"{name} is left out: BLEU needs sacrebleu, run: pip install sacrebleu", file=sys.stderr)
            del found[name]
    known = scores_of(runner.card)
    scores: dict[str, Any] = {}
    for name, kind in found.items():
        with counter(kind.description) as advance:
            scores[name] = measure(runner, name, data, advance)
        if known.get(name, scores[name]).get("file_sha256") != scores[name].get("file_sha256"):
            print(f"{name}: not the text of the model's card; the model may have seen some of it.", file=sys.stderr)
        if not as_json:
            print(f"{name}: {json.dumps(scores[name], ensure_ascii=False)}")
    if as_json:
        print(json.dumps({"model": runner.card.identity, "scores": scores}, ensure_ascii=False, indent=2))
    if save:
        save_scores(runner.card, scores)


@app.command()
def train(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a .json file.")],
    data: Annotated[Path, typer.Option(help="Folder with the texts, as `saccade fetch-data` writes it.")],
    minutes: Annotated[float, typer.Option(help="Wall-clock length of the whole schedule.", min=0.05)],
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run there goes on.")] = None,
    init: Annotated[str | None, typer.Option(help="Continue from this shipped model's weights.")] = None,
    device: DeviceOption = "auto",
) -> None:
    """Train a model from nothing, or go on from a shipped one."""
    from engine.runner import pick_device
    from engine.training.config import read_config
    from engine.training.loop import Progress as Step
    from engine.training.run import run_training

    settings = read_config(config)
    folder = out or Path("runs") / (f"{settings.name}-from-{init}" if init else settings.name)
    initial = initial_model(init, config, settings.model) if init else None
    where, done = pick_device(device), 0.0
    command = f"saccade train {config} --data DIR --minutes {minutes:g}" + (f" --init {init}" if init else "")
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
    print(f"{path}\nTo ship it: saccade export {folder} {settings.name} --data {data}")


def initial_model(name: str, config: str, wanted: TransformerConfig) -> Start:
    """A shipped model to go on from, verified to be whole and of the shape that a run wants.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, ConfigError: each says what to do.
    """
    from engine.models.transformer import TransformerConfig
    from engine.training.run import Start
    from engine.weights import CONFIG, from_json, read_json, verify

    card = catalogue.card(name)
    verify(card)
    given, other = asdict(from_json(TransformerConfig, read_json(card.folder / CONFIG), CONFIG)), asdict(wanted)
    for key in given:
        if key != "max_length" and given[key] != other[key]:  # positions are no weights
            raise ConfigError(
                f"{config} cannot go on from model {name}: {key} is {other[key]} in the configuration and {given[key]} "
                f"in the model. Give both the same shape."
            )
    return Start(card.identity, card.folder)


@app.command()
def export(
    run_folder: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    model: Annotated[str, typer.Argument(help="The catalogue's name of the model that it becomes.")],
    data: Annotated[
        Path, typer.Option(help="Folder with the texts; 500 sentences compare outputs before and after rounding.")
    ],
) -> None:
    """Write a finished run into assets/ and print the checksums for the catalogue."""
    from engine.training.data import read_pairs
    from engine.training.export import export as write

    card = catalogue.card(model)
    with counter("comparing outputs before and after rounding"):
        result = write(run_folder, card, read_pairs(data / "en-fr" / "valid.tsv")[:500])
    for name, checksum in result["sha256"].items():
        print(f'"{name}": "{checksum}",')
    print(json.dumps(result["rounding"]))
    loss = result["rounding"]["bleu_before"] - result["rounding"]["bleu_after"]
    if result["rounding"]["outputs_changed"] > MOST_CHANGED or abs(loss) > MOST_BLEU_LOST:
        print(f"Rounding changed more than {MOST_CHANGED:.0%} of outputs or {MOST_BLEU_LOST} BLEU.", file=sys.stderr)
        raise typer.Exit(1)


@app.command("fetch-data")
def fetch_data(folder: Annotated[Path, typer.Argument(help="Where the texts go.")]) -> None:
    """Download public training and evaluation texts (Tatoeba, Europarl) from their own sites."""
    from engine.training.fetch import SOURCES, fetch

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Give the name of a folder.")
    for name, source in SOURCES.items():
        print(f"{name}: {source.url} ({source.licence})")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        tasks = {name: progress.add_task(name, total=None) for name in SOURCES}
        for path in fetch(
            folder, report=lambda name, done, total: progress.update(tasks[name], completed=done, total=total or None)
        ):
            print(path)


def main() -> None:
    """Run the command; errors that a user can mend are one line on standard error, and the exit status is 1."""
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except (SaccadeError, OSError) as error:
        print(f"saccade: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
