"""Uploaded attention on the page "Your model": maps from a file, in every view, with no model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import streamlit as st

import viz
from engine.catalogue import ModelCard, cards
from engine.errors import InputError
from engine.runner import Runner
from engine.text import quoted
from engine.types import Trace
from engine.uploads.files import can_play, read_upload, upload_bytes, upload_card
from engine.uploads.window import Window, window_of
from pages import _shared, _state, _views
from pages._host import host_of
from pages._own import VIEW
from pages._permalink import View
from viz.components.choices import percentage

MAPS = {"encoder": "Source → source", "decoder": "Output → output", "cross": "Output → source"}
ALONE = {"encoder": "Text → text", "decoder": "Text → text before"}
EXPORT = Path(__file__).parent.parent / "docs" / "export_attention.py"
EXAMPLE = "The animal didn't cross the street because it was too tired."
FILE = "attention-example.npz"
TITLE = 80  # characters of what a file is called
SIZES = (128, 256, 512)  # tokens at once: a heatmap of 256 × 256 takes two seconds
SIZE = "own upload size"
UPLOADER, READ, TRACE, PROBLEM = "own upload", "own upload read", "own upload trace", "own upload problem"
WANTED, EMPTIED = "own upload example", "own upload emptied"
"""Where the session keeps the uploader, which files it has read, what came of them, what went wrong, a wish, and how
often the uploader was emptied."""

ABOUT = (
    "Maps that another program saved: an **NPZ** file, or **safetensors** with the tokens in its metadata or in a "
    "second file, JSON. Arrays called `encoder`, `decoder` and `cross` hold (layer, head, query, key); `tokens` are "
    "the strings they are between, of a translation `source`, `target` and `predicted`. Files are checked and never "
    "run; yours stays in this session, which nobody else sees, and is gone with it."
)
SHORTEST = "np.savez('attention.npz', encoder=maps, tokens=tokens)"
NO_LINK = "A link cannot carry an uploaded file: pass on the file itself, and open it here."


def draw(theme: viz.Theme) -> None:
    """The section, its address and its menu included."""
    _take()
    if not VIEW.current().presenter:
        _controls()
    if problem := st.session_state.get(PROBLEM):
        st.error(_shared.literal(problem))
    trace: Trace | None = st.session_state.get(TRACE)
    if trace is None:
        st.info("There is nothing to look at yet. Choose a file, or try it with the example. " + NO_LINK)
        VIEW.remember()
        return
    if not VIEW.current().presenter:
        _said_of(trace)
    _state.follow(VIEW)
    _state.ready()
    _state.meet(trace.request.model)  # layers and pins of one file mean nothing in another
    maps = {kind: name for kind, name in (ALONE if len(trace.maps) == 1 else MAPS).items() if kind in trace.maps}
    if "cross" in trace.maps:
        maps = {kind: name for kind, name in MAPS.items() if kind in trace.maps}
    host = host_of(VIEW, menu, maps, playback=can_play(trace), prepare=part_of)
    _views.explore(upload_card(trace), trace, theme, partial(below, trace), host)


def _controls() -> None:
    """What can be uploaded, how it is made, and an example."""
    st.markdown(ABOUT)
    st.file_uploader(
        "Attention file (and its tokens.json)",
        type=["npz", "safetensors", "json"],
        accept_multiple_files=True,
        key=_uploader(),
        help="One file of maps, and a JSON file where it has no tokens itself.",
    )
    card = _example_card()
    with st.container(horizontal=True, vertical_alignment="center"):
        if card is not None:
            st.button("Try it with an example", icon=":material/science:", on_click=_want_example)
            st.download_button(
                "Example file",
                partial(example_file, card),
                FILE,
                "application/octet-stream",
                icon=":material/download:",
                help=f"“{_shared.literal(EXAMPLE)}” in {card.title}: NPZ with three maps, tokens and probabilities.",
                on_click="ignore",
            )
        if st.session_state.get(TRACE) is not None:
            st.button("Close the file", icon=":material/close:", on_click=_close)
    with st.expander("Export it from a notebook"):
        st.markdown("With maps and tokens at hand, one line is enough:")
        st.code(SHORTEST, language="python")
        st.markdown("From any transformers model, whatever its family:")
        st.code(EXPORT.read_text("utf-8"), language="python")
        st.caption("All that a file may say stands in docs/uploaded-attention.md.")


def _example_card() -> ModelCard | None:
    """A model that has every kind of map; None where there is none."""
    needs = {"translate", "encoder", "decoder", "cross"}
    return next((card for card in cards() if card.family == "transformer" and card.supports >= needs), None)


def example_file(card: ModelCard) -> bytes:
    """An upload, made by a model that ships."""
    return _shared.computed(card, _example_bytes)


def _example_bytes(runner: Runner) -> bytes:
    return upload_bytes(runner.trace(EXAMPLE))


def _uploader() -> str:
    """The uploader's key: each is a new one, that lists no files."""
    return f"{UPLOADER} {st.session_state.get(EMPTIED, 0)}"


def _empty() -> None:
    st.session_state[EMPTIED] = st.session_state.get(EMPTIED, 0) + 1


def _want_example() -> None:
    st.session_state[WANTED] = True
    _empty()


def _close() -> None:
    for name in (TRACE, PROBLEM):
        st.session_state.pop(name, None)
    _empty()
    VIEW.change(look=View())


def _take() -> None:
    """Read what the uploader holds, once, or the example; what cannot be used leaves what is shown."""
    if st.session_state.pop(WANTED, False) and (card := _example_card()) is not None:
        _open({FILE: example_file(card)})
    files = st.session_state.get(_uploader()) or []
    names = [file.file_id for file in files]
    if names == st.session_state.get(READ, []):
        return
    st.session_state[READ] = names
    st.session_state.pop(PROBLEM, None)
    if files:
        with st.spinner("Reading the file…"):
            _open(_contents(files))


def _contents(files: list[st.runtime.uploaded_file_manager.UploadedFile]) -> dict[str, bytes]:
    """Content by name; two files of one name stay two."""
    found: dict[str, bytes] = {}
    for i, file in enumerate(files):
        before = sum(one.name == file.name for one in files[:i])
        found[f"{file.name} ({before + 1})" if before else file.name] = file.getvalue()
    return found


def _open(files: dict[str, bytes]) -> None:
    try:
        st.session_state[TRACE] = read_upload(files)
    except InputError as error:
        st.session_state[PROBLEM] = str(error)
    else:
        st.session_state.pop(PROBLEM, None)


def _said_of(trace: Trace) -> None:
    """What the file holds, and what was concluded of it."""
    held = " · ".join(
        f"{kind}: {one.layers} {_plural('layer', one.layers)} × {one.heads} {_plural('head', one.heads)}, "
        f"{len(one.query_tokens):,} × {len(one.key_tokens):,} tokens"
        for kind, one in trace.maps.items()
    )
    st.caption(f"{_shared.literal(quoted(trace.request.text, TITLE))} · {trace.request.model} · {held}.")
    for note in trace.notes:
        st.caption(_shared.literal(note))


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _window(trace: Trace) -> Window:
    """The part of a long text that the session has chosen; all of a short one."""
    view = VIEW.current()
    return window_of(trace, st.session_state.get(SIZE, SIZES[1]), source=max(view.column, 0), output=max(view.row, 0))


def part_of(trace: Trace) -> Trace:
    """The trace between as many tokens as figures can show, of texts that have more."""
    lengths = {"column": len(trace.source), "row": len(trace.read)}
    if max(lengths.values()) <= SIZES[0]:
        return trace
    if not VIEW.current().presenter:
        names = {"column": "Source from token", "row": "Output from token"} if all(lengths.values()) else {}
        with st.container(horizontal=True, vertical_alignment="bottom"):
            st.session_state.setdefault(SIZE, SIZES[1])
            st.segmented_control(
                "Tokens at once", SIZES, key=SIZE, required=True, on_change=_state.touch, persist_state="session"
            )
            for field, length in lengths.items():
                if length > st.session_state[SIZE]:
                    _pick_start(field, names.get(field, "From token"), length - st.session_state[SIZE] + 1)
    return _window(trace).trace


def _pick_start(field: str, label: str, last: int) -> None:
    """Where the part begins; tokens count from 1 on the screen."""
    key = VIEW.key(f"upload {field}")
    st.session_state[key] = min(max(getattr(VIEW.current(), field), 0) + 1, last)

    def changed() -> None:
        VIEW.change(**{field: st.session_state[key] - 1})
        _state.touch()

    st.number_input(label, 1, last, key=key, step=1, on_change=changed, width=180)


def below(trace: Trace, view: View) -> None:
    """What is outside a part that is shown, and how rows are to be read."""
    if view.presenter:
        return
    window = _window(trace)
    shown, whole = window.trace.maps[view.map].weights, trace.maps[view.map].weights
    if shown.shape != whole.shape:
        (rows, columns), (all_rows, all_columns) = shown.shape[2:], whole.shape[2:]
        st.caption(
            f"A part: {rows:,} × {columns:,} of {all_rows:,} × {all_columns:,} tokens. What is outside takes "
            f"{percentage(window.outside[view.map])} of each row that is shown, on average over all heads."
        )
    if view.map != "encoder" and view.view != "playback":
        st.caption("A row is the step that read its token and predicted the next one: point at it to see both.")


def menu(files: Callable[[], None]) -> None:
    """The menu "Save & share".

    Args:
        files: draws what can be saved of the figure.
    """
    with st.popover("Save & share", icon=":material/share:"):
        st.info(f"{NO_LINK} “All maps, NPZ” below can be opened here, too.")
        files()
