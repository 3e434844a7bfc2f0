"""Which French pronoun the Coreference page compares where a translation has several."""

from __future__ import annotations

from pathlib import Path

from streamlit.testing.v1 import AppTest

from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
TIRED, WIDE = (
    f"He said that the animal didn't cross the street because it was too {word}." for word in ("tired", "wide")
)


def opened(**address: str) -> AppTest:
    """The page with these sentences."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in {"first": TIRED, "second": WIDE, **address}.items():
        app.query_params[name] = value
    page = app.switch_page("pages/coreference.py").run()
    assert not page.exception and not page.error and not page.warning
    return page


def captions(page: AppTest) -> str:
    return " ".join(element.proto.body for element in page.get("html"))


def test_of_two_il_the_one_that_looks_at_it_decides() -> None:
    page = opened()
    marks = [one.proto for one in page.get("bidi_component") if one.proto.component_name == "saccade_marks"]
    for translation in unpack(marks[0].bytes)[0]["texts"][1::2]:
        (at,) = translation["marks"]["pronoun"]
        assert translation["words"][0] == "Il" and at > translation["words"].index("que")
    assert "parce qu&#x27;…” the model says" in captions(page)


def test_the_pronoun_that_a_reader_marks_decides() -> None:
    assert "The model begins with" in captions(opened(french="1-none-none"))
