"""Opening a model under a progress bar: looked at first, then loaded for all sessions; and the one named at start."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.catalogue import ModelCard
from engine.errors import SaccadeError
from engine.huggingface.checks import check_folder
from engine.huggingface.estimate import Estimate, estimate
from engine.huggingface.source import FIRST, Located, Policy, locate
from engine.opened import STORE, Report
from pages import _shared


@dataclass(frozen=True, slots=True)
class Looked:
    """What is known of a model before it is loaded.

    Attributes:
        reference: as it was typed.
        located: its name and where it is.
        estimate: what it is and what it needs.
    """

    reference: str
    located: Located
    estimate: Estimate


def look(reference: str, place: DeltaGenerator) -> Looked:
    """Find a model and look at its files; one that is not on this machine is downloaded, where that is allowed.

    Args:
        reference: a Hugging Face id or a folder.
        place: for a progress bar.

    Raises:
        SaccadeError: it may not be opened, its files are not safe or not whole, or it has no attention.
    """
    report = bar(place)
    report(0.0, f"Looking for {reference[:80]}")
    try:
        located = locate(reference, Policy.from_environment(), report)
        report(1.0, "Looking at its files")
        return Looked(reference, located, estimate(check_folder(located.folder, located.name), _shared.device()))
    finally:
        place.empty()


def load(looked: Looked, place: DeltaGenerator) -> ModelCard:
    """Load a model, once for all sessions; who leaves meanwhile ends the load.

    Args:
        looked: of the model.
        place: for a progress bar.

    Raises:
        SaccadeError: it cannot be loaded, or does not fit beside the models that are in use.
    """
    located, where = looked.located, _shared.device()

    def loader(report: Report) -> object:
        from engine.huggingface.loading import open_model

        model = open_model(located, where, report=report)
        _shared.tune_process()
        return model

    show = bar(place)
    try:
        show(0.0, f"Loading {located.name}")
        return STORE.open(located, loader, looked.estimate.needed, show)
    finally:
        place.empty()


def bar(place: DeltaGenerator) -> Report:
    """A progress bar; Streamlit's signal that the reader has gone on comes out of it and ends what reports."""

    def report(share: float, what: str) -> None:
        place.progress(min(max(share, 0.0), 1.0), _shared.literal(what))

    return report


# ---- the model named at start ----


@dataclass(slots=True)
class _Start:
    """What became of the model that `saccade run --model` named, once for the whole server."""

    done: bool = False
    problem: str = ""


_START, _STARTING = _Start(), threading.Lock()


def named() -> str:
    """The model that was named at start; "" for none."""
    return os.environ.get(FIRST, "").strip()


def open_at_start() -> None:
    """`open_named`, on whichever page comes first; a problem is said once to each session."""
    said = st.session_state.setdefault("own start said", not named())
    if (problem := open_named()) and not said:
        st.warning(_shared.literal(f"The model named at start could not be opened. {problem}"))
    st.session_state["own start said"] = True


def open_named() -> str:
    """Open the model that was named at start, if nobody has done so yet; returns why it could not be opened.

    The first session that comes opens it; another that comes meanwhile waits.
    """
    if not named() or _START.done:
        return _START.problem
    place = st.empty()
    with _STARTING:  # a reader who leaves lets go of it, and the next one tries
        if not _START.done:
            try:
                st.session_state["model"] = load(look(named(), place), place).name
            except SaccadeError as reason:
                _START.problem = str(reason)
            except Exception:  # not Streamlit's own signals: those are no Exceptions
                _shared.log.exception("the model named at start could not be opened")
                _START.problem = "The terminal that runs Saccade has the details."
            _START.done = True
    return _START.problem
