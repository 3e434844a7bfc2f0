"""The section "Over many sentences" of the Coreference page in Streamlit's own test runner."""

from __future__ import annotations

import csv
import html
import io
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from engine.evidence import cases_csv
from engine.pairs import load_pairs
from engine.runner import Runner
from pages import _lab_many, _shared

ROOT = Path(__file__).parents[2]
TIRED, WIDE = load_pairs()[0].sentences


def opened() -> AppTest:
    """The section, of the lecture's pair."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in {"section": "many", "first": TIRED, "second": WIDE}.items():
        app.query_params[name] = value
    return app.switch_page("pages/coreference.py").run()


def said(page: AppTest, kind: str) -> str:
    """All errors, warnings or texts of the page, without the backslashes that keep Markdown from reading them."""
    return "\n".join(re.sub(r"\\([^\w\s])", r"\1", element.value) for element in getattr(page, kind))


def components(page: AppTest) -> list[str]:
    return [element.proto.component_name for element in page.main if element.type == "bidi_component"]


def tables(page: AppTest) -> str:
    """The small tables, as text."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", element.proto.body) for element in page.get("html")))


def is_fine(page: AppTest) -> bool:
    return not page.exception and not page.error and not page.warning


def press(page: AppTest, label: str) -> AppTest:
    return next(button for button in page.button if button.label == label).click().run()


def of_file() -> AppTest:
    return opened().segmented_control(key="lab source").set_value("file").run()


def uploaded(content: bytes) -> AppTest:
    page = of_file()
    next(one for one in page.file_uploader if one.label.startswith("CSV")).set_value(("my.csv", content, "text/csv"))
    return press(page.run(), "Measure")


def test_many_sentences_give_a_matrix_and_the_switched_off_heads_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lab_many, "COUNTS", (4, 100))
    monkeypatch.setattr(_lab_many, "CHOSEN_ON", 4)
    page = opened()
    page.select_slider(key="lab count").set_value(4).run()
    press(page, "Measure")
    assert is_fine(page) and components(page) == ["saccade_marks", "saccade_matrix"]
    assert "of 4 (95 % interval" in said(page, "markdown")
    press(page, "Switch them off")
    assert is_fine(page)
    assert "all heads on" in tables(page) and "10 random sets off" in tables(page)
    assert "The drop is" in said(page, "markdown")


def test_a_file_of_one_s_own_shows_results_and_what_could_not_be_used() -> None:
    rows = _lab_many.EXAMPLE + "I love you.,it,dog,river,A,il\n=1+1,it,dog,river,C,<b>\n"
    page = uploaded(rows.encode())
    assert is_fine(page) and components(page) == ["saccade_marks", "saccade_matrix"]
    assert "right in **" in said(page, "markdown") and "of 2 (95 % interval" in said(page, "markdown")
    assert any(expander.label.endswith("not as a whole: 2") for expander in page.expander)
    assert "Line 4: the pronoun “it” is no word of the sentence." in said(page, "markdown")
    found = page.session_state["lab many"].found
    assert len(list(csv.DictReader(io.StringIO(cases_csv(found, ()))))) == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "This file is empty"),
        (b"\xff\xfe\x00", "no text in UTF-8"),
        (b"a,b\n1,2\n", "names no column sentence"),
        (_lab_many.EXAMPLE.splitlines()[0].encode(), "column names and no rows"),
        (b"sentence,pronoun,candidate A,candidate B,answer\nI am.,it,dog,cat,A\n", "None of the file's rows"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_a_reason(content: bytes, expected: str) -> None:
    if not content:  # the button is not there to be pressed for an empty file
        page = of_file()
        assert next(button for button in page.button if button.label == "Measure").disabled
        return
    page = uploaded(content)
    assert not page.exception and expected in said(page, "error")
    assert components(page) == ["saccade_marks"]


@pytest.mark.parametrize("error", [RuntimeError("secret"), ValueError("secret")])
def test_a_long_computation_that_fails_leaves_the_lock_free(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(runner: Runner, cases: Any, report: Callable[[int], None]) -> Any:
        report(1)
        raise error

    monkeypatch.setattr(_lab_many, "resolve_cases", fail)
    page = press(opened(), "Measure")
    assert not page.exception
    assert "should not have" in said(page, "error") and "secret" not in said(page, "error")
    free: list[bool] = []
    other = threading.Thread(target=lambda: free.append(_shared._computing.acquire(timeout=5)))
    other.start()
    other.join()
    assert free == [True]
    _shared._computing.release()
