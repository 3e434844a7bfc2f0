"""A page that explores a trace: what of the exploring is its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.catalogue import ModelCard
from engine.connectivity_blocks import Mode
from engine.saliency import Saliency, Side
from engine.types import Trace
from pages._permalink import View, look_only
from pages._session import PageView

Gradients = Callable[[ModelCard, Trace, Mode], Saliency]
Files = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Host:
    """What a page gives `_views.explore`.

    Attributes:
        remember: writes the view that is shown into the address.
        save: draws the menu "Save & share" for a view; it is given what draws the files of the figure.
        maps: what a screen calls each kind of map that a trace of the page can have; one needs no choice.
        special: what a screen calls the choice of special tokens.
        gradients: makes a trace's gradients; None where there are none to be shown.
        sides: the maps that gradients have, the first one to begin with.
        playback: whether there is something to play: a text that was written token by token.
        arriving: whether a request file was opened that the whole page has still to show.
        prepare: gives the trace that is drawn, after controls of the page's own.
        page: the page's view, whose field `look` is what is explored; None for the Translate page.
    """

    remember: Callable[[View], None]
    save: Callable[[View, Files], None]
    maps: Mapping[str, str]
    special: str
    gradients: Gradients | None = None
    sides: Sequence[Side] = ()
    playback: bool = True
    arriving: Callable[[], bool] = lambda: False
    prepare: Callable[[Trace], Trace] = lambda trace: trace
    page: PageView[Any] | None = None


def host_of(
    page: PageView[Any],
    save: Callable[[Files], None],
    maps: Mapping[str, str],
    *,
    special: str = "Special tokens",
    gradients: Gradients | None = None,
    sides: Sequence[Side] = (),
    playback: bool = False,
    prepare: Callable[[Trace], Trace] = lambda trace: trace,
    **made: Any,
) -> Host:
    """A page other than Translate, whose view keeps in its field `look` what is explored.

    Args:
        page: its view, with the fields `look` (a `View`, its form is `_permalink.LOOK`) and `presenter`.
        save: draws its menu "Save & share"; it is given what draws the files of the figure.
        maps: see `Host`.
        special: see `Host`.
        gradients: see `Host`.
        sides: see `Host`.
        playback: see `Host`.
        prepare: see `Host`.
        made: fields of its view that the page itself knows, such as the model.
    """
    return Host(
        remember=lambda view: page.remember(look=look_only(view), **made),
        save=lambda view, files: save(files),
        maps=maps,
        special=special,
        gradients=gradients,
        sides=sides,
        playback=playback,
        arriving=page.arriving,
        prepare=prepare,
        page=page,
    )
