"""`python -m bench`: every benchmark, or one by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Annotated

# Before torch is first imported, and for the processes started from here.
os.environ["OMP_NUM_THREADS"] = "1"

import typer

from bench.report import Report, about, as_json
from engine.errors import SaccadeError

app = typer.Typer(
    help="Speed beside the peers: one thread, CPU time, interleaved rounds, ratios within one run.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, with every single measurement.")]
RoundsOption = Annotated[int | None, typer.Option(help="Rounds to run; more give a narrower spread.", min=2)]


def _show(runs: Sequence[Callable[[], Report]], as_data: bool) -> None:
    """Print each report as soon as it is there, or all of them as JSON."""
    reports = []
    if not as_data:
        typer.echo(about())
    for run in runs:
        try:
            reports.append(run())
        except (SaccadeError, ImportError) as error:
            typer.echo(f"bench: {error}", err=True)
            raise typer.Exit(1) from None
        if not as_data:
            typer.echo(f"\n{reports[-1].markdown()}", nl=False)
    if as_data:
        typer.echo(as_json(reports))


@app.command()
def capture(
    as_data: JsonOption = False,
    rounds: RoundsOption = None,
    tokens: Annotated[list[int] | None, typer.Option(help="A length to measure; 16, 64, 128 and 512 if none.")] = None,
) -> None:
    """All attention maps of an encoder, against forwards that keep none and transformers' that keep them."""
    from bench.capture import LENGTHS, capture

    _show([lambda: capture(rounds or 15, tokens or LENGTHS)], as_data)


@app.command()
def latency(
    as_data: JsonOption = False,
    rounds: RoundsOption = None,
    browser: Annotated[bool, typer.Option("--browser", help="From Enter to painted lines instead.")] = False,
    model: Annotated[str, typer.Option(help="A shipped translation model.")] = "en-fr",
) -> None:
    """One sentence of twenty words, in the engine or in a browser."""
    if browser:
        from bench.paint import paint

        _show([paint], as_data)
    else:
        from bench.latency import latency

        _show([lambda: latency(model, rounds or 3)], as_data)


@app.command()
def knockout(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """Every head off in turn in one sweep, against one forward for each."""
    from bench.knockout import knockout

    _show([lambda: knockout(rounds or 5)], as_data)


@app.command()
def beam(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """A beam of five with its whole tree and cross maps, against transformers' generate without them."""
    from bench.beam import beam

    _show([lambda: beam(rounds or 9)], as_data)


@app.command()
def connectivity(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """Every output's dependence on every input, against one backward for each output."""
    from bench.connectivity import connectivity

    _show([lambda: connectivity(rounds)], as_data)


@app.command()
def imports(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """`import engine` against `import torch`."""
    from bench.imports import imports

    _show([lambda: imports(rounds or 7)], as_data)


@app.command()
def lines(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """The line diagram in a browser, beside BertViz's head view."""
    from bench.components import lines

    _show([lambda: lines(rounds or 5)], as_data)


@app.command()
def grid(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """The thumbnails of all heads in a browser, beside BertViz's model view."""
    from bench.components import grid

    _show([lambda: grid(rounds or 5)], as_data)


@app.command()
def memorization(as_data: JsonOption = False) -> None:
    """The Memorization page in a browser: panels painted, pointing, a letter typed."""
    from bench.memorization import memorization

    _show([memorization], as_data)


@app.command()
def alignment(as_data: JsonOption = False) -> None:
    """The Alignment page in a browser: five models' panels painted, pointing."""
    from bench.alignment import alignment

    _show([alignment], as_data)


@app.command()
def generation(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """Token after token from each language model, beside transformers' GPT-2 with the same weights."""
    from bench.generation import generation

    _show([lambda: generation(rounds or 5)], as_data)


@app.command()
def huggingface(as_data: JsonOption = False, rounds: RoundsOption = None) -> None:
    """Maps of Hugging Face models, all or one layer's, beside transformers' own eager path; memory of long texts."""
    from bench.huggingface import watching_memory, watching_time

    _show([lambda: watching_time(rounds or 7), watching_memory], as_data)


@app.command()
def load(
    as_data: JsonOption = False,
    clients: Annotated[int, typer.Option(help="Visitors at once.", min=1)] = 40,
    seconds: Annotated[float, typer.Option(help="How long they ask, on each page.", min=1)] = 45,
) -> None:
    """Many websocket clients on one process, on the Translate page and on a bare Streamlit page."""
    from bench.crowd import Crowd
    from bench.load import load

    _show([lambda: load(Crowd(clients=clients, seconds=seconds))], as_data)


@app.command("all")
def everything(as_data: JsonOption = False) -> None:
    """Each of them, browser included: about twenty minutes."""
    from bench.alignment import alignment
    from bench.beam import beam
    from bench.capture import capture
    from bench.components import grid, lines
    from bench.connectivity import connectivity
    from bench.generation import generation
    from bench.huggingface import watching_memory, watching_time
    from bench.imports import imports
    from bench.knockout import knockout
    from bench.latency import latency
    from bench.load import load
    from bench.memorization import memorization
    from bench.paint import paint

    in_browser = [paint, lines, grid, memorization, alignment, load]
    in_engine = [imports, capture, knockout, beam, connectivity, generation, watching_time, watching_memory, latency]
    _show([*in_engine, *in_browser], as_data)


if __name__ == "__main__":
    app()
