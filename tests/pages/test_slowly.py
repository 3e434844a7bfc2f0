"""Long computations: the progress bar, the memory, and the lock that other sessions wait for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from pages import _shared
from pages._kept import bytes_of


@pytest.fixture(autouse=True)
def caches() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def page() -> None:
    """Computes what the session asks for, in three steps, and notes what it did."""
    import streamlit as st

    from engine.catalogue import MODELS
    from engine.errors import InputError
    from pages import _shared

    asked = st.session_state["asked"]
    seen: list[str] = st.session_state.setdefault("seen", [])

    def compute(model: object, report: object) -> str:
        for step in range(3):
            if asked["fails"] and step == 1:
                raise InputError("It was too much. Ask for less.")
            assert _shared._computing.locked()
            report(1)  # type: ignore[operator]
        seen.append("computed")
        return f"result of {asked['key']}"

    with _shared.errors_as_sentences():
        st.text(_shared.computed_slowly(MODELS["en-fr"], "Counting", 3, compute, key=asked["key"]))


def opened(key: Any = None, fails: bool = False) -> AppTest:
    app = AppTest.from_function(page, default_timeout=60)
    app.session_state["navigated"] = True
    app.session_state["asked"] = {"key": key, "fails": fails}
    return app.run()


def test_with_a_key_the_result_comes_from_memory_in_every_session() -> None:
    first, again, other = opened(("a", 1)), opened(("a", 1)), opened(("a", 2))
    assert [app.text[0].value for app in (first, again, other)] == [
        "result of ('a', 1)",
        "result of ('a', 1)",
        "result of ('a', 2)",
    ]
    assert [app.session_state["seen"] for app in (first, again, other)] == [["computed"], [], ["computed"]]


def test_without_a_key_nothing_is_kept() -> None:
    assert [opened().session_state["seen"] for _ in range(2)] == [["computed"], ["computed"]]


def test_memory_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared._kept(), "most", int(2.5 * bytes_of("result of a")))
    for key in ("a", "b", "c"):
        opened(key)
    assert opened("c").session_state["seen"] == [] and opened("a").session_state["seen"] == ["computed"]


@pytest.mark.parametrize("moment", [0.0, 60.0])
def test_the_bar_comes_after_a_moment_and_goes_with_the_result(moment: float, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[float, str]] = []
    progress = st.delta_generator.DeltaGenerator.progress

    def noted(self: Any, value: float, text: str) -> Any:
        shown.append((value, text))
        return progress(self, value, text)

    monkeypatch.setattr(st.delta_generator.DeltaGenerator, "progress", noted)
    monkeypatch.setattr(_shared, "MOMENT", moment)
    app = opened()
    steps = [(1 / 3, "Counting: 1 of 3"), (2 / 3, "Counting: 2 of 3"), (1.0, "Counting: 3 of 3")]
    assert shown == (steps if moment == 0 else [])
    assert not app.exception and not app.get("progress")


def test_a_computation_that_fails_gives_the_lock_back_and_keeps_nothing() -> None:
    failed = opened("x", fails=True)
    assert not failed.exception and "too much" in failed.error[0].value
    assert not _shared._computing.locked()
    assert opened("x").session_state["seen"] == ["computed"]


def test_between_two_steps_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    free: list[bool] = []
    sleep = _shared.time.sleep

    def noted(seconds: float) -> None:
        if seconds == 0.003:  # others sleep too
            free.append(not _shared._computing.locked())
        sleep(seconds)

    monkeypatch.setattr(_shared, "TURN", 0.003)
    monkeypatch.setattr(_shared.time, "sleep", noted)
    opened()
    assert free == [True] * 3
    assert not _shared._computing.locked()
