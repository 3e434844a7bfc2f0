"""The opened models of a server: loaded once, dropped by age, never while in use, and unharmed by loads that fail."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from engine import opened
from engine.errors import DeviceError, InputError, UnknownModel
from engine.model_card import ModelCard
from engine.opened import Report, Store, size_of

PATIENCE = 20  # seconds: for threads on a busy machine, not a goal


@dataclass(frozen=True)
class Place:
    """Stands for `Located`."""

    name: str
    folder: Path


@dataclass(eq=False)
class Model:
    """A model of so many bytes."""

    card: ModelCard
    size: int


@dataclass
class Loads:
    """Loads models and counts how often."""

    size: int
    name: str = "mine"
    exact: int | None = None
    count: int = 0
    fails: BaseException | None = None
    shares: list[float] = field(default_factory=list)

    def __call__(self, report: Report) -> Model:
        self.count += 1
        report(0.5, "Reading the weights")
        if self.fails is not None:
            raise self.fails
        return Model(card_of(self.name), self.size if self.exact is None else self.exact)


def card_of(name: str) -> ModelCard:
    sums = {"weights.safetensors": "0123456789abcdef"}
    return ModelCard(name, "huggingface", name, "", sums, frozenset({"read"}), 0, (), "", ())


def place(name: str = "mine", folder: str = "") -> Any:
    return Place(name, Path(folder or f"/models/{name}"))


def store(limit: int = 100) -> Store:
    return Store(limit, lambda model: model.size)


def put(kept: Store, name: str, size: int) -> Loads:
    """Open a model of so many bytes."""
    loads = Loads(size, name)
    kept.open(place(name), loads, size)
    return loads


def loaded(kept: Store) -> list[str]:
    return [one.card.name for one in kept.opened() if one.loaded]


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Collecting garbage takes a moment in a process as large as this one: only the test of it waits for that."""
    if "gone" not in request.node.name:
        monkeypatch.setattr(opened, "_give_back", lambda: None)


def test_a_model_is_loaded_once_and_then_found():
    kept, loads, shares = store(), Loads(40), []
    card = kept.open(place(), loads, 40, lambda share, what: shares.append(share))
    assert kept.open(place(), loads, 40) == card == card_of("mine")
    assert loads.count == 1 and shares == [0.5] and kept.held == 40
    assert kept.cards() == [card] and "mine" in kept and "other" not in kept
    with kept.using("mine") as model:
        assert model is kept.get("mine") and model.card == card
        assert [one.uses for one in kept.opened()] == [1]
    assert [one.uses for one in kept.opened()] == [0] and kept.opened()[0].idle >= 0


def test_the_least_recently_used_is_dropped_until_there_is_room_and_comes_back():
    kept = store(100)
    loads = {name: put(kept, name, 30) for name in "abc"}
    kept.get("a")
    put(kept, "d", 40)  # 90 + 40: one has to go, and b is the one that nobody asked for
    assert loaded(kept) == ["a", "c", "d"] and kept.held == 100
    assert [card.name for card in kept.cards()] == ["a", "b", "c", "d"], "a dropped model can still be chosen"
    with kept.using("b") as model:  # in place of c, the oldest by now
        assert model.card.name == "b" and loads["b"].count == 2
        assert loaded(kept) == ["a", "b", "d"]


def test_what_is_in_use_is_never_dropped():
    kept = store(100)
    put(kept, "a", 60)
    put(kept, "b", 30)
    with kept.using("a"):
        loads = Loads(50, "c")
        with pytest.raises(DeviceError, match=r"c needs .* in use take a part: a\. Try again"):
            kept.open(place("c"), loads, 50)
        assert loads.count == 0 and loaded(kept) == ["a", "b"], "and b was not dropped in vain"
        put(kept, "d", 40)
        assert loaded(kept) == ["a", "d"]
    put(kept, "c", 100)
    assert loaded(kept) == ["c"]


def test_a_model_over_the_limit_is_refused_before_it_is_loaded():
    kept, loads = store(100), Loads(101)
    put(kept, "a", 100)
    with pytest.raises(DeviceError, match=r"mine needs .* Open a smaller one, or start Saccade with a higher"):
        kept.open(place(), loads, 101)
    assert loads.count == 0 and loaded(kept) == ["a"]


def test_a_model_larger_than_expected_makes_more_room_or_is_given_up():
    kept = store(100)
    put(kept, "a", 50)
    kept.open(place("b"), Loads(20, "b", exact=60), 20)
    assert loaded(kept) == ["b"] and kept.held == 60
    with pytest.raises(DeviceError, match="c needs"):
        kept.open(place("c"), Loads(20, "c", exact=101), 20)
    assert loaded(kept) == ["b"] and kept.held == 60 and "c" not in kept


@pytest.mark.parametrize("reason", [InputError("It is damaged."), RuntimeError("boom"), KeyboardInterrupt()])
def test_a_load_that_fails_leaves_nothing_and_others_alive(reason):
    kept = store(100)
    put(kept, "a", 40)
    with pytest.raises(type(reason)):
        kept.open(place(), Loads(50, fails=reason), 50)
    assert kept.cards() == [card_of("a")] and kept.held == 40 and loaded(kept) == ["a"]
    put(kept, "mine", 60)  # its lock is free, and nothing is reserved
    assert loaded(kept) == ["a", "mine"]


def test_a_dropped_model_whose_folder_is_gone_stays_dropped():
    kept = store(100)
    loads = put(kept, "a", 60)
    put(kept, "b", 60)
    loads.fails = InputError("The folder is gone.")
    for _ in range(2):
        with pytest.raises(InputError, match="gone"):
            kept.get("a")
    assert [one.uses for one in kept.opened()] == [0, 0]
    loads.fails = None
    assert kept.get("a").card.name == "a"


def test_a_reader_who_leaves_ends_the_load():
    class Left(BaseException):
        pass

    def leave(share: float, what: str) -> None:
        raise Left

    kept = store()
    with pytest.raises(Left):
        kept.open(place(), Loads(10), 10, leave)
    assert kept.cards() == [] and kept.held == 0
    put(kept, "mine", 10)


def test_unloading_forgets_a_model_but_not_one_in_use():
    kept = store()
    put(kept, "a", 10)
    with kept.using("a"):
        with pytest.raises(DeviceError, match="a is in use"):
            kept.unload("a")
        assert loaded(kept) == ["a"]
    kept.unload("a")
    assert kept.cards() == [] and kept.held == 0
    for ask in (kept.unload, kept.get):
        with pytest.raises(UnknownModel, match=r"No model a is open here\. Open it"):
            ask("a")


def test_a_use_that_fails_ends():
    kept = store()
    put(kept, "a", 10)
    with pytest.raises(ValueError, match="no"), kept.using("a"):
        raise ValueError("no")
    kept.unload("a")


def test_the_memory_of_a_dropped_model_is_gone():
    kept = store()
    put(kept, "a", 60)
    model = kept.get("a")
    model.itself = model  # a cycle, as networks have
    gone = weakref.ref(model)
    del model
    gc.freeze()  # as the web app does
    try:
        put(kept, "b", 60)
        assert gone() is None and gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


def test_names_stand_for_one_model_each():
    kept = store()
    put(kept, "a", 10)
    with pytest.raises(InputError, match="Another model called a is open"):
        kept.open(place("a", "/elsewhere/a"), Loads(10, "a"), 10)
    with pytest.raises(InputError, match=r"A model that ships is called en-fr"):
        kept.open(place("en-fr"), Loads(10, "en-fr"), 10)
    assert kept.cards() == [card_of("a")]


# ---- threads ----


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def held_up(loads: Loads) -> tuple[Callable[[Report], Any], threading.Event, threading.Event]:
    """A loader that waits: it says when it has begun, and ends when it is told to."""
    begun, go = threading.Event(), threading.Event()

    def load(report: Report) -> Model:
        begun.set()
        assert go.wait(PATIENCE)
        return loads(report)

    return load, begun, go


def test_two_who_ask_at_once_load_once(threads):
    kept, loads = store(), Loads(40)
    load, begun, go = held_up(loads)
    asked = [threads.submit(kept.open, place(), load, 40) for _ in range(4)]
    assert begun.wait(PATIENCE)
    go.set()
    assert {one.result(PATIENCE).name for one in asked} == {"mine"} and loads.count == 1


def test_a_load_stops_nobody_else(threads):
    kept = store()
    put(kept, "a", 30)
    load, begun, go = held_up(Loads(40, "b"))
    opening = threads.submit(kept.open, place("b"), load, 40)
    assert begun.wait(PATIENCE)
    with kept.using("a") as model:
        assert model.card.name == "a"
    assert kept.held == 70, "what is being loaded counts"
    put(kept, "c", 30)
    with pytest.raises(DeviceError, match=r"b \(being loaded\)"):
        put(kept, "d", 70)
    with pytest.raises(DeviceError, match="b is being loaded"):
        kept.unload("b")
    go.set()
    opening.result(PATIENCE)
    assert loaded(kept) == ["a", "c", "b"] and kept.held == 100


def test_the_second_loads_where_the_first_gave_up(threads):
    kept = store()
    failing = Loads(40, fails=RuntimeError("left"))
    load, begun, go = held_up(failing)
    first = threads.submit(kept.open, place(), load, 40)
    assert begun.wait(PATIENCE)
    second = threads.submit(kept.open, place(), Loads(40), 40)
    go.set()
    with pytest.raises(RuntimeError, match="left"):
        first.result(PATIENCE)
    assert second.result(PATIENCE).name == "mine" and kept.held == 40


def test_many_threads_use_and_drop_models_and_the_limit_holds(threads):
    kept, most = store(100), []
    for name in "abcde":
        put(kept, name, 30)

    def work(number: int) -> int:
        done = 0
        for step in range(40):
            name = "abcde"[(number * 7 + step) % 5]
            try:
                with kept.using(name) as model:
                    assert model.card.name == name
                    most.append(kept.held)
                    done += 1
            except DeviceError:  # the others use too much just now
                continue
        return done

    assert sum(one.result(PATIENCE) for one in [threads.submit(work, n) for n in range(8)]) > 0
    assert max(most) <= 100 and all(one.uses == 0 for one in kept.opened())


# ---- sizes ----


def test_the_size_of_a_model_is_that_of_its_parameters_and_buffers():
    network = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.BatchNorm1d(5))
    assert size_of(SimpleNamespace(model=network)) == 4 * (15 + 5 + 5 + 5 + 5 + 5) + 8  # the last counts batches
    hosted = SimpleNamespace(hosted=SimpleNamespace(model=network.half()))
    assert size_of(SimpleNamespace(model=hosted)) == 2 * 40 + 8
    tied = torch.nn.ModuleList([network[0], network[0]])
    assert size_of(SimpleNamespace(model=tied)) == 2 * 20
    assert size_of(SimpleNamespace()) == 0


# ---- any order of events ----


class Events(RuleBasedStateMachine):
    """Whatever is opened, used and unloaded in whatever order, the promises hold."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.kept = store(100)
        self.sizes: dict[str, int] = {}
        self.uses: list[tuple[str, Any]] = []

    @rule(target=names, name=st.sampled_from("abcdef"), size=st.integers(1, 110), fails=st.booleans())
    def open(self, name: str, size: int, fails: bool) -> str:
        known = name in self.sizes
        loads = Loads(self.sizes.get(name, size), name, fails=RuntimeError() if fails else None)
        try:
            self.kept.open(place(name), loads, loads.size)
        except (DeviceError, RuntimeError):
            assert (name in self.kept) == known
        else:
            self.sizes[name] = loads.size
        return name

    @rule(name=names)
    def begin(self, name: str) -> None:
        stack = ExitStack()
        try:
            model = stack.enter_context(self.kept.using(name))
        except UnknownModel:
            assert name not in self.sizes
        except DeviceError:
            assert name not in [used for used, _ in self.uses]
        else:
            assert model.card.name == name
            self.uses.append((name, stack))

    @rule(index=st.integers(0, 9))
    def end(self, index: int) -> None:
        if self.uses:
            self.uses.pop(index % len(self.uses))[1].close()

    @rule(name=names)
    def unload(self, name: str) -> None:
        try:
            self.kept.unload(name)
        except UnknownModel:
            assert name not in self.sizes
        except DeviceError:
            assert name in [used for used, _ in self.uses]
        else:
            del self.sizes[name]

    @invariant()
    def promises_hold(self) -> None:
        there = {one.card.name: one for one in self.kept.opened()}
        assert set(there) == set(self.sizes)
        assert self.kept.held == sum(one.size for one in there.values() if one.loaded) <= 100
        for name, one in there.items():
            assert one.uses == [used for used, _ in self.uses].count(name)
            assert one.loaded or not one.uses, "a model in use is there"


Events.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestEvents = Events.TestCase
