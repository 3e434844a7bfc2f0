"""What pages share: cached models and traces, the model menu, safe text, and errors as sentences."""

from __future__ import annotations

import gc
import html
import json
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar, TypeVarTuple, cast

import altair as alt

# Imported whole before a session draws: altair looks for it in memory, where another thread may still be importing it.
import pandas  # type: ignore[import-untyped]  # noqa: F401
import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.runtime.pages_manager import PagesManager

import viz
from engine.cards import CURVE
from engine.catalogue import MODELS, Capability, ModelCard, cards
from engine.catalogue import card as card_of
from engine.cloze import Cloze
from engine.completion import Completer
from engine.errors import SaccadeError
from engine.generation import Generator
from engine.huggingface.memory import total as memory_of_machine
from engine.loading import Model, load_any
from engine.opened import STORE
from engine.runner import Runner, limit_threads
from engine.types import Trace
from engine.weights import WEIGHTS
from pages._cards import name_in
from pages._kept import Kept

SWITCH = 2e-4  # seconds
RESULTS = 256  # of single computations kept in memory; most are a few kilobytes
REPORTS = 50  # of progress in one computation that tells shares
MOMENT = 0.4  # seconds without a progress bar
TURN = 1e-3  # seconds in which a waiting session can begin
M = TypeVar("M")  # the model of a card: a Runner, a Completer, a Generator or a Cloze
R = TypeVar("R")
Values = TypeVarTuple("Values")
MOST_KEPT, OF_MEMORY = 2**31, 1 / 8  # bytes of maps and of long computations, and their share of the memory there is
_MARKDOWN = re.compile(r"[\\`*_{}\[\]()#+!|<>$~:^&.-]")
log = logging.getLogger("saccade")
_computing = threading.Lock()


def device() -> str:
    """The device asked for at start (`saccade run --device`, or SACCADE_DEVICE)."""
    return os.environ.get("SACCADE_DEVICE", "auto")


@st.cache_resource(show_spinner="Loading the model…")
def _model(identity: str, name: str, where: str) -> Model:
    model = load_any(name, where)
    tune_process()
    return model


def tune_process() -> None:
    """Settings for many sessions in one process; what each is worth stands in docs/benchmarks.md.

    Streamlit collects all garbage after every run, with every thread waiting: what is loaded by now (torch, the model)
    is frozen, so that it is not searched each time. A forward gives the interpreter's lock away at every operation and
    waits for its turn, so turns are made short.
    """
    limit_threads(1)
    sys.setswitchinterval(SWITCH)
    gc.collect()
    gc.freeze()


def _loaded(card: ModelCard) -> Model:
    """A model, loaded: those that ship stay, those that were opened are the store's, which may drop them again."""
    if card.path is None:
        return _model(card.identity, card.name, device())
    model: Model = STORE.get(card.name)
    return model


@contextmanager
def using(card: ModelCard) -> Iterator[Any]:
    """A model, loaded, that nobody can drop before this ends: computations run with it inside."""
    if card.path is None:
        yield _model(card.identity, card.name, device())
        return
    with STORE.using(card.name) as model:
        yield model


def runner(card: ModelCard) -> Runner:
    """The loaded translation model, one for all sessions."""
    model = _loaded(card)
    assert isinstance(model, Runner), f"{card.name} does not translate"
    return model


def completer(card: ModelCard) -> Completer:
    """The loaded network that completes words, one for all sessions."""
    model = _loaded(card)
    assert isinstance(model, Completer), f"{card.name} does not complete words"
    return model


def generator(card: ModelCard) -> Generator:
    """The loaded model that continues texts, one for all sessions."""
    model = _loaded(card)
    assert isinstance(model, Generator), f"{card.name} does not continue texts"
    return model


def cloze(card: ModelCard) -> Cloze:
    """The loaded model that restores masked words, one for all sessions."""
    model = _loaded(card)
    assert isinstance(model, Cloze), f"{card.name} does not restore words"
    return model


@st.cache_resource(show_spinner=False)
def _kept() -> Kept:
    """Maps and the results of long computations, of all sessions: at 128 tokens one trace of en-fr is 7 MB."""
    return Kept(min(MOST_KEPT, int(OF_MEMORY * memory_of_machine())))


def _once(card: ModelCard, key: Hashable, compute: Callable[[Any], R]) -> R:
    """What a function makes of a model; asked again, by this session or another, it comes from memory."""
    known, name = _kept(), (card.identity, device(), key)
    found: R | None = known.get(name)
    if found is None:
        with using(card) as model, _computing:
            found = known.get(name)  # another session may just have put it there
            if found is None:
                found = compute(model)
                known.put(name, found)
    return found


def trace(card: ModelCard, text: str, target: str | None = None) -> Trace:
    """The trace of a text; asked again, by this session or another, it comes from memory."""
    request = runner(card).request(text, target)
    return _once(card, request, lambda model: cast("Trace", model.run(request)))


def computed_arrays(card: ModelCard, compute: Callable[[M, *Values], R], *arguments: *Values) -> R:
    """`computed` for maps and other arrays, which are large: they are kept up to a number of bytes."""
    what = f"{compute.__module__}.{compute.__qualname__}"
    return _once(card, (what, arguments), lambda model: compute(model, *arguments))


@st.cache_resource(max_entries=RESULTS, show_spinner=False)
def _computed(
    identity: str, name: str, where: str, what: str, arguments: tuple[Any, ...], _compute: Callable[..., Any]
) -> Any:
    with using(card_of(name)) as model, _computing:
        return _compute(model, *arguments)


def computed(card: ModelCard, compute: Callable[[M, *Values], R], *arguments: *Values) -> R:
    """What a function of the engine makes of a model and plain values; asked again, it comes from memory.

    Args:
        card: of the model.
        compute: takes the runner first.
        arguments: strings, numbers, and tuples or frozen dataclasses of them: what the result depends on.
    """
    what = f"{compute.__module__}.{compute.__qualname__}"
    result: R = _computed(card.identity, card.name, device(), what, arguments, compute)
    return result


def computed_slowly(
    card: ModelCard,
    title: str,
    total: int,
    compute: Callable[[Any, Callable[[int], None]], R],
    key: Hashable | None = None,
    stop: Callable[[], None] | None = None,
) -> R:
    """A long computation under a progress bar; other sessions have their turn after each step, and leaving ends it.

    Args:
        card: of the model.
        title: beside the bar, which comes when it takes longer than a moment.
        total: the number of steps.
        compute: takes the runner, and what to call with the number of steps done since the last call.
        key: what the result depends on besides the model; asked again, it comes from memory. None keeps nothing.
        stop: with it, a button "Stop" stands beside the bar: it calls this, and the page runs again.
    """
    known, name = _kept(), (card.identity, device(), key)
    kept: R | None = known.get(name) if key is not None else None
    if kept is not None:
        return kept
    place, done, started = st.empty(), 0, time.monotonic()
    progress = _Progress(place, stop, f"stop {card.name}")

    def report(steps: int) -> None:
        nonlocal done
        done += steps
        if time.monotonic() - started > MOMENT:
            progress.show(min(done / max(total, 1), 1.0), f"{title}: {done:,} of {total:,}")
        _computing.release()
        time.sleep(TURN)
        _computing.acquire()

    try:
        with using(card) as model, _computing:
            result = compute(model, report)
    finally:
        place.empty()
    if key is not None:
        known.put(name, result)
    return result


def in_steps(report: Callable[[int], None], total: int) -> Callable[[float], None]:
    """What takes shares that are done and reports whole numbers of `total`, about `REPORTS` times in all."""
    done = 0

    def tell(share: float) -> None:
        nonlocal done
        steps = int(share * total) - done
        if steps > 0 and (steps >= total // REPORTS or share >= 1):
            done += steps
            report(steps)

    return tell


def is_kept(card: ModelCard, key: Hashable) -> bool:
    """Whether `computed_slowly` has a result in memory."""
    return (card.identity, device(), key) in _kept()


class _Progress:
    """A bar, with a button to stop where one is wanted, that appears when it is first shown."""

    def __init__(self, place: DeltaGenerator, stop: Callable[[], None] | None, key: str) -> None:
        self._place, self._stop, self._key = place, stop, key
        self._bar: DeltaGenerator | None = None

    def show(self, share: float, text: str) -> None:
        """Move it to a share in [0, 1]; raises Streamlit's signal where the reader has gone on."""
        if self._bar is None and self._stop is not None:
            with self._place.container(horizontal=True, vertical_alignment="center"):
                self._bar = st.empty()
                st.button("Stop", icon=":material/stop_circle:", key=self._key, on_click=self._stop)
        (self._bar or self._place).progress(share, text)


@st.cache_data(show_spinner=False)
def _curve(identity: str, path: Path) -> Sequence[Mapping[str, float]]:
    lines = path.read_text("utf-8").splitlines() if path.is_file() else []
    return [json.loads(line) for line in lines]


def curve(card: ModelCard) -> Sequence[Mapping[str, float]]:
    """The log of the run that trained a model, one entry a line; empty where there is none."""
    return _curve(card.identity, card.folder / CURVE)


def megabytes(card: ModelCard) -> float:
    """What a model's weights take on disk, in units of 10⁶ bytes; 0 where they are missing."""
    path = card.folder / WEIGHTS
    return path.stat().st_size / 1e6 if path.is_file() else 0.0


def shipped(*needs: Capability) -> ModelCard:
    """The first model that ships and can do all of `needs`."""
    return next(card for card in MODELS.values() if card.supports.issuperset(needs))


def pick_model(*needs: Capability) -> ModelCard:
    """A menu of the models that can do all of `needs`; no menu where there is only one.

    An address that names one of them chooses it, once: the menu may change it again.
    """
    able = {card.name: card for card in cards() if card.supports.issuperset(needs)}
    if len(able) == 1:
        return next(iter(able.values()))
    state, asked = st.session_state, st.query_params.get("model", "")
    if asked != state.get("model asked"):
        state["model asked"] = asked
        if (name := name_in(asked)) in able:
            state["model"] = name
    if state.get("model") not in able:
        state["model"] = next(iter(able))
    titles = {name: card.title for name, card in able.items()}

    def changed() -> None:
        state["model asked"] = st.query_params.get("model", "")  # of the view before: it counts no longer

    return able[
        st.selectbox(
            "Model",
            titles,
            format_func=titles.__getitem__,
            key="model",
            persist_state="session",
            on_change=changed,
        )
    ]


def theme() -> viz.Theme:
    """Figure colours that fit the page, light or dark."""
    return viz.THEMES[st.context.theme.type or "light"]


def draw_chart(
    chart: alt.Chart | alt.LayerChart, key: str, description: str, width: int | Literal["stretch"] = "stretch"
) -> None:
    """Show an Altair chart in its own colours.

    It may become narrower than `width` on a small screen but keeps its height: by default Streamlit would press title,
    legend and axes into the height of the plot.
    """
    fitted = chart.properties(autosize=alt.AutoSizeParams(type="fit-x", contains="padding"))
    with st.container(key=key):  # a place that style sheets and tests can name
        st.altair_chart(fitted, theme=None, width=width, alt=description)


def literal(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\g<0>", text)


def plain_text(text: str, *, size: str = "1.5rem", lang: str = "") -> None:
    """Show text exactly as it is: no Markdown, no HTML, right-to-left where its letters are."""
    style = f"font-size:{size};line-height:1.35;margin:0;overflow-wrap:anywhere"
    st.html(f'<p dir="auto" lang="{html.escape(lang)}" style="{style}">{html.escape(text)}</p>')


def through_the_app() -> None:
    """Start again through app.py where Streamlit ran a page without it.

    A server that finds a folder called pages takes each file in it for a page of its own until `st.navigation` has been
    called once: a link that is the first thing a new server is asked for would open without style and menu.
    """
    if "navigated" not in st.session_state:
        st.session_state["navigated"] = False  # asked for once: a page may also be run by itself
        PagesManager.uses_pages_directory = False
        st.rerun()


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Show a user's mistake as its message and anything else as an apology; the log has the details."""
    through_the_app()
    try:
        yield
    except SaccadeError as error:
        st.error(literal(str(error)))
        st.stop()
    except Exception:  # not Streamlit's own signals to stop or rerun: those are no Exceptions
        log.exception("unexpected error on a page")
        st.error(
            "Something went wrong that should not have. Your text is still in the box: change it, or reload the page. "
            "The terminal that runs Saccade has the details.",
        )
        st.stop()
