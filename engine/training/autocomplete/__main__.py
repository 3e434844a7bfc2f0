"""`python -m engine.training.autocomplete CONFIG --data DIR --minutes N --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from engine.errors import SaccadeError
from engine.runner import pick_device
from engine.training.autocomplete.config import read_config
from engine.training.autocomplete.loop import Progress
from engine.training.autocomplete.run import run_training


def main(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a .json file.")],
    minutes: Annotated[float, typer.Option(help="The most that the whole schedule takes.", min=0.01)],
    data: Annotated[
        Path | None, typer.Option(help="Folder with english/gutenberg.train.txt and .valid.txt, plain or .xz.")
    ] = None,
    prepared: Annotated[
        Path | None, typer.Option(help="A prepared text instead of --data: prepared.npz of another run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run there goes on.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from the weights in this folder.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", envvar="SACCADE_DEVICE")] = "auto",
) -> None:
    """Train one of the autocomplete models and measure it."""
    try:
        settings = read_config(config)
        where = pick_device(device)
        if where == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32: products of float32 on tensor cores
        command = f"python -m engine.training.autocomplete {config} --data DIR --minutes {minutes:g}"
        folder = out or Path("runs") / settings.name
        scores = run_training(
            settings, folder, minutes, data=data, prepared=prepared, initial=init, device=where,
            command=command + (" --init DIR" if init else ""), report=show,
        )  # fmt: skip
    except (SaccadeError, OSError) as error:
        typer.echo(f"saccade: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(
        f"{folder}: cross-entropy {scores['cross_entropy']:.3f}, "
        f"right at 0 to 4 known letters {first_right(scores['accuracy'])}"
    )
    typer.echo(f"the table of prefixes: {first_right(scores['table'])}")


def first_right(accuracies: dict[str, Any]) -> str:
    """Top-1 accuracy at 0 to 4 known letters, in words."""
    return " ".join("none" if share is None else f"{share:.3f}" for share in accuracies["by_known"][0][:5])


def show(progress: Progress) -> None:
    """One line of a run's progress."""
    typer.echo(
        f"{progress.share:.1%}  step {progress.step}  characters {progress.characters:,}  "
        f"loss {progress.loss:.3f}  rate {progress.rate:.2g}"
    )


if __name__ == "__main__":
    typer.run(main)
