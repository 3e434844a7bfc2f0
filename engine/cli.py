"""The `saccade` command."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

# Spinning OpenMP threads cost a busy machine far more than they gain a free one; read once, when torch is first
# imported.
os.environ.setdefault("GOMP_SPINCOUNT", "2000")

import typer

from engine import catalogue, cli_models, cli_training
from engine.cli_progress import bar, counter
from engine.cli_training import DeviceOption
from engine.errors import InputError, SaccadeError

ROOT = Path(__file__).parent.parent
DEVICES = ("auto", "cpu", "cuda", "mps")

app = typer.Typer(
    help="See what a trained network looks at.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

DataOption = Annotated[Path | None, typer.Option(help="Folder with the texts, as `saccade fetch-data` writes it.")]


@app.command()
def run(
    port: Annotated[int, typer.Option(help="Port of the web page.", min=1, max=65535)] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 opens it to the network.")] = "127.0.0.1",
    device: DeviceOption = "auto",
    model: cli_models.ModelOption = None,
    models: cli_models.ModelsOption = None,
    allow: cli_models.AllowOption = None,
    downloads: cli_models.DownloadsOption = None,
    model_memory: cli_models.MemoryOption = None,
) -> None:
    """Start the web app, and say which models of your own it may open."""
    command = [sys.executable, "-m", "streamlit", "run", str(ROOT / "app.py"), "--server.port", str(port)]
    command += ["--server.address", address]
    if device not in DEVICES:
        raise InputError(f"There is no device {device!r}. Choose one of: {', '.join(DEVICES)}.")
    asked = cli_models.Asked(model, tuple(models or ()), tuple(allow or ()), downloads, model_memory)
    environment = cli_models.environment(os.environ | {"SACCADE_DEVICE": device}, address, asked)
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
        print(f"{card.name:<24} {card.identity:<33} {card.title}. {card.summary}")


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
    from engine.loading import load_any
    from engine.training.bleu import has_sacrebleu
    from engine.training.evaluate import evaluate as measure
    from engine.training.evaluate import find_sets, required_data

    found = find_sets(chosen, catalogue.card(model).family)
    runner = load_any(model, device)
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


app.command()(cli_models.convert)
app.command()(cli_training.train)
app.command()(cli_training.export)
app.command("fetch-data")(cli_training.fetch_data)
app.command()(cli_training.bottleneck)


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
