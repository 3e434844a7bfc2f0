"""The models of people's own that this server has opened: loaded once for all, the least recently used dropped first.

A dropped model keeps its entry and is loaded again from its folder when somebody uses it; one that is unloaded is gone.
No model that is in use is ever dropped.
"""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from engine.errors import DeviceError, InputError, UnknownModel
from engine.huggingface.memory import shown_bytes
from engine.model_card import ModelCard

if TYPE_CHECKING:
    from engine.huggingface.source import Located


class Loaded(Protocol):
    """A model with its card: a Runner, a Generator, a Cloze or a Reader."""

    @property
    def card(self) -> ModelCard: ...


Report = Callable[[float, str], None]
"""Told the share of a load that is done, in [0, 1], and what is done now; it may raise to end the load."""

Loader = Callable[[Report], Any]
"""Gives a `Loaded`; called again when a model that was dropped is used."""

Measure = Callable[[Any], int]
"""The bytes that a model takes."""


@dataclass(frozen=True, slots=True)
class Opened:
    """One opened model, for a screen.

    Attributes:
        card: of the model.
        size: bytes of its parameters and buffers.
        loaded: whether it is in memory now; else it is loaded again when it is used.
        uses: how many computations use it now.
        idle: seconds since it was last used.
    """

    card: ModelCard
    size: int
    loaded: bool
    uses: int
    idle: float


@dataclass(slots=True)
class _Entry:
    """What the store knows of one model; changed only under the store's guard."""

    located: Located
    loader: Loader
    card: ModelCard
    size: int
    model: Any
    turn: int
    used: float
    uses: int = 0


class Store:
    """Opened models by name. Every method may be called from any thread."""

    def __init__(self, limit: int | None = None, measure: Measure | None = None) -> None:
        """Args:
        limit: bytes of all loaded models together; None for what the operator's settings say.
        measure: the bytes that a model takes; None counts its parameters and buffers.
        """
        self._limit = limit
        self._measure = measure or size_of
        self._guard = threading.RLock()  # short: of what is below
        self._entries: dict[str, _Entry] = {}
        self._reserved: dict[str, int] = {}  # bytes of models that are being loaded
        self._names: dict[str, threading.Lock] = {}  # each held while its model loads
        self._turns = itertools.count()

    # ---- what there is ----

    @property
    def limit(self) -> int:
        """Bytes of all loaded models together."""
        if self._limit is None:
            from engine.huggingface.source import Policy

            self._limit = Policy.from_environment().limit
        return self._limit

    @property
    def held(self) -> int:
        """Bytes of the models that are loaded or being loaded."""
        with self._guard:
            return sum(entry.size for entry in self._entries.values() if entry.model is not None) + self._loading

    @property
    def _loading(self) -> int:
        return sum(self._reserved.values())

    def cards(self) -> list[ModelCard]:
        """The cards of all opened models, dropped ones too, in the order in which they were opened."""
        with self._guard:
            return [entry.card for entry in self._entries.values()]

    def opened(self) -> list[Opened]:
        """All opened models, in the order in which they were opened."""
        now = time.monotonic()
        with self._guard:
            return [
                Opened(one.card, one.size, one.model is not None, one.uses, now - one.used)
                for one in self._entries.values()
            ]

    def __contains__(self, name: object) -> bool:
        with self._guard:
            return name in self._entries

    # ---- opening and closing ----

    def open(
        self, located: Located, loader: Loader, size: int, report: Report = lambda share, what: None
    ) -> ModelCard:  # fmt: skip
        """Load a model, or find that it is loaded; where two ask at once it is loaded once, and the second waits.

        Args:
            located: the model's name and where it is.
            loader: loads it.
            size: the bytes it is expected to take.
            report: told how far the load is.

        Raises:
            InputError: another model has that name.
            DeviceError: it does not fit beside the models that are in use; nothing has changed then.
            Whatever the loader raises: the store is as it was then, but for models that were dropped to make room.
        """
        name = located.name
        self._check_name(located)
        with self._name(name):
            self._check_name(located)
            with self._guard:
                known = self._entries.get(name)
                if known is not None and known.model is not None:
                    self._touch(known)
                    return known.card
            with self._load(name, loader, size, report) as (model, exact):
                card: ModelCard = model.card
                turn, now = next(self._turns), time.monotonic()
                self._entries[name] = _Entry(located, loader, card, exact, model, turn, now)
                return card

    def unload(self, name: str) -> None:
        """Forget a model.

        Raises:
            UnknownModel: none of that name is open.
            DeviceError: it is in use, or being loaded.
        """
        lock = self._name(name)
        if not lock.acquire(blocking=False):
            raise DeviceError(f"{name} is being loaded. Wait until it is there, then unload it.")
        try:
            with self._guard:
                entry = self._entry(name)
                if entry.uses:
                    raise DeviceError(f"{name} is in use: a computation runs with it. Unload it when that has ended.")
                del self._entries[name]
                entry.model = None
        finally:
            lock.release()
        _give_back()

    # ---- using ----

    def get(self, name: str) -> Any:
        """A loaded model; one that was dropped is loaded again.

        Nothing keeps it in the store after this returns: a computation takes it by `using`.

        Raises:
            UnknownModel: none of that name is open.
            DeviceError: it was dropped, and does not fit beside the models that are in use.
        """
        with self.using(name) as model:
            return model

    @contextmanager
    def using(self, name: str) -> Iterator[Any]:
        """A loaded model that is not dropped and not unloaded before this ends; it may be used by many at once.

        Raises:
            UnknownModel, DeviceError: see `get`.
        """
        entry = self._taken(name)
        try:
            yield entry.model
        finally:
            with self._guard:
                entry.uses -= 1
                self._touch(entry)

    def _taken(self, name: str) -> _Entry:
        """The entry of a loaded model, with one more use."""
        with self._guard:
            entry = self._entry(name)
            if entry.model is not None:
                return self._use(entry)
        with self._name(name):
            with self._guard:
                entry = self._entry(name)
                if entry.model is not None:  # another thread has loaded it while this one waited
                    return self._use(entry)
            with self._load(name, entry.loader, entry.size, lambda share, what: None) as (model, exact):
                entry.model, entry.size, entry.card = model, exact, model.card
                return self._use(entry)

    def _use(self, entry: _Entry) -> _Entry:
        entry.uses += 1
        self._touch(entry)
        return entry

    def _touch(self, entry: _Entry) -> None:
        entry.turn, entry.used = next(self._turns), time.monotonic()

    def _entry(self, name: str) -> _Entry:
        if name not in self._entries:
            raise UnknownModel(f"No model {name} is open here. Open it on the page “Your model”.")
        return self._entries[name]

    def _check_name(self, located: Located) -> None:
        """Names stand for models in menus and addresses: there is one of each."""
        from engine.catalogue import MODELS

        name = located.name
        if name in MODELS:
            raise InputError(f"A model that ships is called {name}. Rename the folder, then open it again.")
        with self._guard:
            known = self._entries.get(name)
            if known is not None and known.located.folder != located.folder:
                raise InputError(f"Another model called {name} is open. Unload that one first, or rename this folder.")

    # ---- memory ----

    @contextmanager
    def _load(self, name: str, loader: Loader, size: int, report: Report) -> Iterator[tuple[Any, int]]:
        """The model and its bytes, to be put in its place under the guard, which is held meanwhile.

        Room is made before, and again where the model takes more than was expected. The name's own lock is held.
        Whatever goes wrong, nothing of it is left.
        """
        try:
            self._reserve(name, size)
            model = loader(report)
            exact = self._measure(model)
            self._reserve(name, exact)
            with self._guard:
                yield model, exact
                del self._reserved[name]
        except BaseException:
            with self._guard:
                self._reserved.pop(name, None)
            model = None
            _give_back()
            raise

    def _name(self, name: str) -> threading.Lock:
        with self._guard:
            return self._names.setdefault(name, threading.Lock())

    def _reserve(self, name: str, size: int) -> None:
        """Make room for a model: drop others, the least recently used first, and none that is in use.

        Raises:
            DeviceError: there is not enough even so; nothing is dropped then.
        """
        with self._guard:
            self._reserved.pop(name, None)
            loaded = [entry for entry in self._entries.values() if entry.model is not None]
            idle = sorted((entry for entry in loaded if not entry.uses), key=lambda entry: entry.turn)
            busy = self._loading + sum(entry.size for entry in loaded if entry.uses)
            if busy + size > self.limit:
                raise DeviceError(self._too_large(name, size, [entry.card.name for entry in loaded if entry.uses]))
            held, dropped = self.held, False
            for entry in idle:
                if held + size <= self.limit:
                    break
                held -= entry.size
                entry.model, dropped = None, True
            self._reserved[name] = size
        if dropped:
            _give_back()

    def _too_large(self, name: str, size: int, used: list[str]) -> str:
        needed = f"{name} needs {shown_bytes(size)}, and opened models may take {shown_bytes(self.limit)} together"
        in_use = [*used, *(f"{other} (being loaded)" for other in self._reserved)]
        if in_use:
            return f"{needed}, of which models in use take a part: {', '.join(in_use)}. Try again when they are done."
        return f"{needed}. Open a smaller one, or start Saccade with a higher --model-memory."


def size_of(model: Any) -> int:
    """The bytes of a model's parameters and buffers; memory that several share counts once.

    Args:
        model: has the network in `model` or `hosted`, which has `parameters()` and `buffers()` or has it in turn.
    """
    network = model
    while network is not None and not hasattr(network, "parameters"):
        network = getattr(network, "hosted", None) or getattr(network, "model", None)
    if network is None:
        return 0
    tensors = {id(tensor): tensor for tensor in itertools.chain(network.parameters(), network.buffers())}
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())


def _give_back() -> None:
    """Let the memory of dropped models go: of cycles too, also where all was frozen, and of the device's cache."""
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    gc.collect()
    if frozen:
        gc.freeze()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


STORE = Store()
