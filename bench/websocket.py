"""Streamlit's websocket protocol: as much of it as a browser needs to open a page and to ask it something.

The browser's script opens `/_stcore/stream` with the subprotocols "streamlit" and a token, sends one `BackMsg` with
`rerun_script` for each run, and reads `ForwardMsg`s: `new_session`, a delta for each element, `script_finished`. It
keeps large elements and names their hashes with its next request; the server then sends a hash in place of the element.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

STREAM = "_stcore/stream"
# The second is what a browser sends before it has the cookie against forged requests; a token matters to logins only.
SUBPROTOCOLS = ("streamlit", "PLACEHOLDER_AUTH_TOKEN")
OPENING = 60  # seconds that a connection may take
_DONE, _BROKEN, _AGAIN = (
    ForwardMsg.FINISHED_SUCCESSFULLY,
    ForwardMsg.FINISHED_WITH_COMPILE_ERROR,
    ForwardMsg.FINISHED_EARLY_FOR_RERUN,
)


class ProtocolError(RuntimeError):
    """The server sent what a browser could not use."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one run sent.

    Attributes:
        elements: the page as it stands at the end of the run, elements that the browser kept included.
        problem: what a user would see as an error; empty if nothing.
        size: bytes of all its messages.
        seconds: from sending the request to `script_finished`.
    """

    elements: tuple[Element, ...]
    problem: str
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Form:
    """Ids of a form's first text box and of its button."""

    box: str
    button: str

    def filled(self, text: str) -> dict[str, str | None]:
        """The widgets' states after `text` is typed and the button pressed."""
        return {self.box: text, self.button: None}


@dataclass(slots=True)
class _Kept:
    element: Element
    used: int  # the run that sent it, or referred to it, last


class Page:
    """What a browser's script remembers of an open page from one run to the next. It does no input or output."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._script = ""  # the page's hash, told by its first run
        self._kept: dict[str, _Kept] = {}
        self._most_age = 0
        self._runs = 0
        self._elements: dict[tuple[int, ...], Element] = {}
        self._problem = ""
        self._running = False

    @property
    def elements(self) -> tuple[Element, ...]:
        return tuple(self._elements.values())

    @property
    def problem(self) -> str:
        """What a user would see as an error; empty if nothing."""
        return self._problem or next((found for found in map(error_of, self.elements) if found), "")

    def form(self) -> Form | None:
        """The first form with a text box, if the page has one: ids are the server's, so they are read, not known."""
        kinds = {element.WhichOneof("type"): element for element in reversed(self.elements)}
        boxes = [getattr(kinds[kind], kind) for kind in ("text_input", "text_area") if kind in kinds]
        buttons = [e.button for e in self.elements if e.WhichOneof("type") == "button" and e.button.is_form_submitter]
        pairs = ((box, button) for box in boxes for button in buttons if box.form_id == button.form_id != "")
        return next((Form(box.id, button.id) for box, button in pairs), None)

    def request(self, query: str = "", widgets: Mapping[str, str | None] | None = None) -> bytes:
        """The message that runs the page.

        Args:
            query: of the address, without its question mark.
            widgets: states by id; a text of a box, None for a button that is pressed.
        """
        message = BackMsg()
        state = message.rerun_script
        state.query_string = query
        state.cached_message_hashes.extend(self._kept)
        if self._script:
            state.page_script_hash = self._script
            state.is_history_navigation = not widgets  # another address in the same tab: a step back or forward
        else:
            state.page_name = urlsplit(self._url).path.strip("/")
        state.context_info.url = self._url
        state.context_info.timezone, state.context_info.locale = "Europe/Berlin", "en-US"
        state.context_info.color_scheme = "light"
        state.widget_states.SetInParent()
        for name, text in (widgets or {}).items():
            widget = state.widget_states.widgets.add(id=name)
            if text is None:
                widget.trigger_value = True
            else:
                widget.string_value = text
        self._running = False
        encoded: bytes = message.SerializeToString()
        return encoded

    def receive(self, payload: bytes) -> bool:
        """Take one of the server's messages; True if it ends the run.

        Raises:
            ProtocolError: it refers to an element that this browser never kept.
        """
        message = ForwardMsg.FromString(payload)
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self._begin(message)
        elif kind == "navigation":  # several pages: the one that was asked for, where a new session says the first
            self._script = message.navigation.page_script_hash
        elif kind == "ref_hash" or (kind == "delta" and message.delta.WhichOneof("type") == "new_element"):
            self._elements[tuple(message.metadata.delta_path)] = self._element(message)
        elif kind == "page_not_found":
            self._problem = "there is no such page"
        elif kind == "session_event" and message.session_event.HasField("script_compilation_exception"):
            self._problem = message.session_event.script_compilation_exception.message or "the script does not compile"
        elif kind == "script_finished" and self._running:
            return self._end(message.script_finished)
        return False

    def _begin(self, message: ForwardMsg) -> None:
        self._running, self._problem = True, ""
        self._script = message.new_session.page_script_hash
        self._most_age = message.new_session.config.max_cached_message_age
        self._elements.clear()

    def _element(self, message: ForwardMsg) -> Element:
        """The element that was sent, or that was kept and is referred to."""
        name = message.ref_hash or message.hash
        if message.WhichOneof("type") == "ref_hash":
            if name not in self._kept:
                raise ProtocolError(f"the server refers to an element never sent: {name}")
        elif not message.metadata.cacheable:
            return message.delta.new_element
        else:
            self._kept.setdefault(name, _Kept(message.delta.new_element, self._runs))
        self._kept[name].used = self._runs
        return self._kept[name].element

    def _end(self, status: int) -> bool:
        """Whether this was the last run of the request: a script that calls `st.rerun` runs once more."""
        self._running = False
        if status == _AGAIN:
            return False
        if status == _BROKEN and not self._problem:
            self._problem = "the script does not compile"
        self._runs += 1
        self._kept = {name: kept for name, kept in self._kept.items() if self._runs - kept.used <= self._most_age}
        return True


def error_of(element: Element) -> str:
    """What an error element says; empty for any other."""
    kind = element.WhichOneof("type")
    if kind == "exception":
        if not element.exception.type:
            return "an exception; with STREAMLIT_CLIENT_SHOW_ERROR_DETAILS=full it is told"
        return f"{element.exception.type}: {element.exception.message}"
    if kind == "alert" and element.alert.format == Alert.ERROR:
        return element.alert.body or "an error without a text"
    return ""


class Tab:
    """An open page with its connection."""

    def __init__(self, connection: ClientConnection, url: str) -> None:
        self.page = Page(url)
        self._connection = connection

    async def run(self, query: str = "", widgets: Mapping[str, str | None] | None = None) -> Answer:
        """Send a request and read to the end of its run.

        Raises:
            ProtocolError: the connection ended, or a message could not be used.
        """
        request = self.page.request(query, widgets)
        size = 0
        start = time.perf_counter()
        try:
            await self._connection.send(request)
            while True:
                payload = await self._connection.recv(decode=False)
                size += len(payload)
                if self.page.receive(payload):
                    break
        except WebSocketException as error:
            raise ProtocolError(f"the connection ended: {error}") from error
        seconds = time.perf_counter() - start
        return Answer(self.page.elements, self.page.problem, size, seconds)

    async def close(self) -> None:
        await self._connection.close()


async def open_tab(address: str, path: str, timeout: float) -> Tab:
    """Connect as a browser does, and load the page.

    Args:
        address: of the server, `http://host:port`.
        path: of the page.
        timeout: seconds that the page's first run may take.

    Raises:
        ProtocolError: no connection, no page within the time, or one that shows an error.
    """
    stream = f"{address.replace('http', 'ws', 1)}/{STREAM}"
    try:
        connection = await connect(
            stream, subprotocols=SUBPROTOCOLS, origin=address, max_size=None, open_timeout=OPENING
        )
    except (WebSocketException, OSError, TimeoutError) as error:
        raise ProtocolError(f"no connection to {stream}: {error!r}") from error
    tab = Tab(connection, f"{address}/{path}")
    try:
        answer = await asyncio.wait_for(tab.run(), timeout)
        if answer.problem:
            raise ProtocolError(f"/{path} shows an error: {answer.problem}")
    except TimeoutError:
        await tab.close()
        raise ProtocolError(f"/{path} did not load within {timeout:g} s") from None
    except ProtocolError:
        await tab.close()
        raise
    return tab
