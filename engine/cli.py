"""The `saccade` command."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

# Spinning OpenMP threads cost a busy machine far more than they gain a free one; read once, when torch is first
# imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from engine import catalogue
from engine.errors import InputError, SaccadeError

ROOT = Path(__file__).parent.parent
CARDS = ROOT / "docs" / "models"

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


@app.command()
def run(
    port: Annotated[int, typer.Option(help="Port of the web page.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    device: DeviceOption = "auto",
) -> None:
    """Start the web app."""
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    command += ["--server.address", address]
    environment = os.environ | {"SACCADE_DEVICE": device}
    try:
        raise typer.Exit(subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


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
    result = load(model, device).trace(text, target)
    save_trace(result, out)
    shapes = ", ".join(f"{kind} {'x'.join(map(str, m.weights.shape))}" for kind, m in result.maps.items())
    print(f"{result.translation}\n{out}: {shapes} in {result.milliseconds:.0f} ms on {result.device}")


@app.command()
def evaluate(
    model: str,
    data: DataOption = None,
    chosen: Annotated[
        list[str] | None, typer.Option("--set", help="A set to measure; all without this option.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    save: Annotated[bool, typer.Option(help="Write the scores beside the weights, for the model's card.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Measure a shipped model."""
    from engine.cards import save_scores
    from engine.runner import load
    from engine.training.evaluate import SETS
    from engine.training.evaluate import evaluate as measure

    runner = load(model, device)
    scores: dict[str, Any] = {}
    for name in chosen or list(SETS):
        with bar(name, None) as advance:
            scores[name] = measure(runner, name, data, advance)
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
    folder = out or Path("runs") / settings.name
    initial = catalogue.card(init).folder if init else None
    where, done = pick_device(device), 0.0
    with bar(f"training {settings.name}", 1.0) as advance:

        def report(step: Step) -> None:
            nonlocal done
            advance(step.share - done)
            done = step.share
            print(
                f"step {step.step}  tokens {step.tokens}  loss {step.loss:.3f}  antecedent {step.antecedent_loss:.3f}"
            )

        path = run_training(settings, data, folder, minutes, initial=initial, device=where, report=report)
    print(f"{path}\nTo ship it: saccade export {config} {folder} --data {data}")


@app.command()
def export(
    config: Annotated[str, typer.Argument(help="The configuration of the run.")],
    run_folder: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[
        Path, typer.Option(help="Folder with the texts; 500 sentences compare outputs before and after rounding.")
    ],
    command: Annotated[str, typer.Option(help="The command that made the run, for the card.")] = "",
) -> None:
    """Write a finished run into assets/ and print the checksums for the catalogue."""
    from engine.training.config import read_config
    from engine.training.data import read_pairs
    from engine.training.export import export as write

    settings = read_config(config)
    pairs = read_pairs(data / "en-fr" / "valid.tsv")[:500]
    for name, checksum in write(settings, run_folder, catalogue.card(settings.name), command, pairs).items():
        print(f'"{name}": "{checksum}",')


@app.command("fetch-data")
def fetch_data(folder: Annotated[Path, typer.Argument(help="Where the texts go.")]) -> None:
    """Download public training and evaluation texts (Tatoeba, Europarl) from their own sites."""
    from engine.training.fetch import SOURCES, fetch

    for name, source in SOURCES.items():
        print(f"{name}: {source.url} ({source.licence})")
    with bar("downloading", None) as advance:
        for path in fetch(folder, report=lambda name, done, total: advance(0)):
            print(path)


def main() -> None:
    """Run the command; errors meant for a user are one line on standard error, and the exit status is 1."""
    logging.basicConfig(format="%(message)s")
    try:
        app()
    except SaccadeError as error:
        print(f"saccade: {error}", file=sys.stderr)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
