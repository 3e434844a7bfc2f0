"""`python -m engine.training.language CONFIG --data DIR --minutes N --out DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer

from engine.errors import SaccadeError
from engine.runner import pick_device
from engine.training.language.config import read_config
from engine.training.language.loop import Progress
from engine.training.language.run import run_training


def main(
    config: Annotated[str, typer.Argument(help="A shipped configuration's name, or a .json file.")],
    minutes: Annotated[float, typer.Option(help="The most that the whole schedule takes.", min=0.01)],
    data: Annotated[
        Path | None, typer.Option(help="Folder with english/gutenberg.train.txt and .valid.txt, plain or .xz.")
    ] = None,
    prepared: Annotated[Path | None, typer.Option(help="A folder of prepared text instead of --data.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; an unfinished run there goes on.")] = None,
    init: Annotated[Path | None, typer.Option(help="Start from the weights in this folder.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", envvar="SACCADE_DEVICE")] = "auto",
) -> None:
    """Train one of the language models."""
    try:
        settings = read_config(config)
        where = pick_device(device)
        if where == "cuda":
            torch.set_float32_matmul_precision("high")  # TF32: products of float32 on tensor cores
        command = f"python -m engine.training.language {config} --data DIR --minutes {minutes:g}"
        folder = out or Path("runs") / settings.name
        run_training(
            settings, folder, minutes, data=data, prepared=prepared, initial=init, device=where,
            command=command + (f" --init {init.name}" if init else ""), report=show,
        )  # fmt: skip
    except (SaccadeError, OSError) as error:
        typer.echo(f"saccade: {error}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{folder}: done")


def show(progress: Progress) -> None:
    """One line of a run's progress."""
    second = f"  second {progress.second:.3f}" if progress.second else ""
    typer.echo(
        f"{progress.share:.1%}  step {progress.step}  tokens {progress.tokens:,}  loss {progress.loss:.3f}{second}  "
        f"rate {progress.rate:.2g}"
    )


if __name__ == "__main__":
    typer.run(main)
