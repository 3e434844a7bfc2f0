"""A page's view between its runs: one value in the session, taken over from an address and written back into it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

import streamlit as st

from pages._address import Codec, fits

V = TypeVar("V")
OF_MODELS = frozenset({"model", "models", "networks"})
"""What addresses call the models that are shown: a link that only opens a page with one holds nothing else."""


class PageView(Generic[V]):
    """The view of one page. Widgets begin with what it holds and change it; components learn of changes by `epoch`."""

    def __init__(self, codec: Codec[V], name: str | None = None) -> None:
        """Args:
        codec: of the page's addresses.
        name: of the view in the session, and what its widgets' keys begin with; None for the page's own.
        """
        self.codec = codec
        self.name = name or codec.page

    def current(self) -> V:
        """The view as the session has it."""
        view: V = st.session_state.get(self.name, self.codec.fresh)
        return view

    def change(self, **values: Any) -> None:
        """The reader chose something: the address of the view before no longer counts."""
        st.session_state["acted"] = True
        st.session_state[self.name] = replace(self.current(), **values)  # type: ignore[type-var]

    def open(self, view: V) -> None:
        """Take over a whole view: an address, an example or a request file was opened."""
        st.session_state[self.name] = view
        self.touch()

    def touch(self) -> None:
        """Components take over what Python holds, not what the reader did before."""
        key = f"{self.name} epoch"
        st.session_state[key] = st.session_state.get(key, 0) + 1

    def epoch(self) -> str:
        """The name of what components begin with."""
        return str(st.session_state.get(f"{self.name} epoch", 0))

    def widget(self, field: str) -> dict[str, Any]:
        """The key of a field's widget and what a change of it does; the widget begins with what the view holds."""
        key = self.key(field)
        st.session_state[key] = getattr(self.current(), field)
        return {"key": key, "on_change": self._take, "args": (field,)}

    def key(self, field: str) -> str:
        """Under which key the session holds a field's widget."""
        return f"{self.name} {field}"

    def _take(self, field: str) -> None:
        self.change(**{field: st.session_state[self.key(field)]})

    def arrive(self, complete: Callable[[V, bool], tuple[V, list[str]]]) -> list[str]:
        """Take over the address, if the reader has come by one; returns what of it could not be used.

        A run that a button caused still carries the address of the view before, and a run without an address has
        nothing to say: both leave the session as it is.

        Args:
            complete: fills what a view cannot be without, and says what it filled; it is told whether there was an
                address that asked for more than models.
        """
        state, address = st.session_state, st.query_params.to_dict()
        acted = state.pop("acted", False)
        opened: list[str] | None = state.pop(f"{self.name} problems", None)
        if opened is not None:  # a request file
            state[f"{self.name} address"] = address
            return opened
        if self.name in state and (acted or not address or address == state.get(f"{self.name} address")):
            return []
        view, problems = self.codec.decode(address)
        view, more = complete(view, not address.keys() <= OF_MODELS)
        state[f"{self.name} address"] = address
        self.open(view)
        return [*problems, *more]

    def meet(self, model: str, **fresh: Any) -> str:
        """Another model is shown than before: one was chosen in the menu, or the one before is open no longer.

        Args:
            model: identity of the one that is shown now.
            fresh: the fields of a view with a `model` that mean nothing to another one, as they are then.

        Returns:
            The identity of the one before; "" where it is the same, or the view is not the one that was shown with it.
        """
        state, key = st.session_state, f"{self.name} met"
        before, state[key] = state.get(key, model), model
        if before == model or self.current().model != before:  # type: ignore[attr-defined]
            return ""
        self.change(model=model, **fresh)
        self.touch()
        return str(before)

    def arriving(self) -> bool:
        """Whether a request file was opened that the whole page has still to show."""
        return f"{self.name} problems" in st.session_state

    def remember(self, **made: Any) -> None:
        """Write the view into the address, so that reloading, going back and copying it work.

        Args:
            made: fields that the page itself knows, such as the model.
        """
        view = replace(self.current(), **made)  # type: ignore[type-var]
        address = self.codec.encode(view)
        if not fits(address):
            address = self.codec.without_text(address)
            st.info(
                "This text is too long for the address. “Save & share” has a request file that opens the same view."
            )
        if st.query_params.to_dict() != address:
            st.query_params.from_dict(address)
        st.session_state[self.name], st.session_state[f"{self.name} address"] = view, address
        st.session_state.pop("acted", None)

    def open_file(self, content: bytes, complete: Callable[[V, bool], tuple[V, list[str]]]) -> None:
        """Take over a request file; what of it could not be used is said on the page's next run.

        Raises:
            ValueError: it is no such file, or one of another page.
        """
        view, problems = self.codec.from_file(content)
        view, more = complete(view, True)
        self.open(view)
        st.session_state[f"{self.name} problems"] = [*problems, *more]
