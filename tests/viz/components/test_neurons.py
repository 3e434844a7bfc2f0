"""What the neurons send to the browser: which keys are listed, what is said of a row, and what is read back."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from engine.types import Kind, Tokens
from viz.components.inline import FOLDER, script
from viz.components.neurons import (
    listed_keys,
    neurons_data,
    neurons_html,
    row_title,
    row_tokens,
    shared_key_head,
)
from viz.components.packing import unpack
from viz.theme import DARK, LIGHT


def tokens(labels: tuple[str, ...]) -> Tokens:
    count = len(labels)
    return Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, (False,) * (count - 1) + (True,))


@dataclass(frozen=True)
class ARow:
    """As the engine gives one."""

    query: np.ndarray
    keys: np.ndarray
    bias: np.ndarray
    capped: np.ndarray
    logits: np.ndarray
    weights: np.ndarray
    allowed: np.ndarray
    query_tokens: Tokens
    key_tokens: Tokens
    predicted_tokens: Tokens | None = None
    kind: Kind = "decoder"
    layer: int = 1
    head: int = 3
    key_head: int = 3
    shared_by: tuple[int, ...] = (3,)
    row: int = 1
    scaling: float = 0.5
    cap: float | None = None
    sink: float | None = None
    sink_weight: float = 0.0


def a_row(weights: tuple[float, ...] = (0.2, 0.5, 0.3, 0.0), width: int = 3, **changed: Any) -> ARow:
    count = len(weights)
    shares = np.array(weights, np.float32)
    with np.errstate(divide="ignore"):
        logits = np.log(shares)
    keys = np.arange(count * width, dtype=np.float32).reshape(count, width)
    nothing = np.zeros(count, np.float32)
    labels = ("<s>", "the\n", "<b>", "شارع", *(f"t{n}" for n in range(4, count)))[:count]
    given = ARow(
        np.ones(width, np.float32), keys, nothing, nothing, logits, shares, shares > 0, tokens(labels), tokens(labels)
    )
    return replace(given, **changed)


def sent(found: ARow, **options: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(neurons_data(found, **options))


def test_a_row_travels_with_its_numbers() -> None:
    found = a_row()
    header, arrays = sent(found, theme=DARK, scale=1.4, file_name="x", key=2)
    assert header["name"] == "Decoder attention, layer 2, head 4"
    assert [key["label"] for key in header["keys"]] == ["<s>", "the⏎", "<b>", "شارع"]
    assert [key["position"] for key in header["keys"]] == [0, 1, 2, 3] and header["keys"][3]["special"]
    assert header["keys"][3]["title"] == "\u2068شارع\u2069"
    assert header["weights"] == ["20.0 %", "50.0 %", "30.0 %", "0 %"]
    assert (header["reach"], header["reach_text"], header["key"], header["scale"]) == (0.5, "50 %", 2, 1.4)
    assert header["query"] == {"label": "the⏎", "title": "the⏎", "predicts": False}
    assert header["theme"]["name"] == "dark" and header["diverging"] == list(DARK.diverging)
    np.testing.assert_array_equal(arrays["keys"].reshape(4, 3), found.keys)
    np.testing.assert_array_equal(arrays["query"], found.query)
    np.testing.assert_array_equal(arrays["logits"], found.logits)
    np.testing.assert_allclose(arrays["shares"], [0.4, 1, 0.6, 0])
    assert arrays["allowed"].tolist() == [1, 1, 1, 0]


def test_the_key_with_the_most_weight_is_looked_into_first() -> None:
    assert sent(a_row())[0]["key"] == 1
    assert sent(a_row(), key=0)[0]["key"] == 0
    for key in (-2, 4):
        with pytest.raises(ValueError, match=f"no key {key}: there are 4"):
            neurons_data(a_row(), key=key)


def test_of_many_keys_those_with_the_most_weight_are_listed() -> None:
    found = a_row((0.05, 0.3, 0.0, 0.25, 0.3, 0.1))
    assert listed_keys(found) == tuple(range(6))
    assert listed_keys(found, most=3) == (1, 3, 4)
    assert listed_keys(found, 2, most=3) == (1, 2, 4)  # the chosen one in place of the least
    assert listed_keys(found, 3, most=3) == (1, 3, 4)
    assert listed_keys(found, 0, most=1) == (0,)
    header, arrays = sent(found, most=3, key=2)
    assert [key["position"] for key in header["keys"]] == [1, 2, 4] and header["key"] == 1
    assert header["note"].startswith("3 of 6 keys: those with the most weight, together 60.0 %. Masked keys: 1 of 6")
    np.testing.assert_array_equal(arrays["keys"].reshape(3, 3), found.keys[[1, 2, 4]])
    np.testing.assert_array_equal(arrays["allowed"], [1, 0, 1])


def test_what_is_special_of_a_row_is_said() -> None:
    assert sent(a_row((0.5, 0.5)))[0]["note"] == ""
    assert sent(a_row())[0]["note"] == "Masked keys: 1 of 4, this position may not look at them."
    capped = sent(a_row((0.5, 0.5), cap=50.0))[0]
    assert capped["note"] == "Logits are pressed into ±50 by 50·tanh(x/50)." and capped["has"]["cap"]
    sunk = a_row((0.25, 0.25), sink=0.6931, sink_weight=0.5)
    assert "A learned sink with logit 0.69 takes 50.0 % of the weight and gives nothing." in sent(sunk)[0]["note"]
    grouped = a_row((0.5, 0.5), key_head=1, shared_by=(2, 3))
    assert shared_key_head(grouped) in sent(grouped)[0]["note"]
    assert shared_key_head(grouped).startswith("Heads 3 to 4 share key head 2:") and shared_key_head(a_row()) == ""
    assert sent(a_row((0.5, 0.5), bias=np.array([0, 0.1], np.float32)))[0]["has"] == {"bias": True, "cap": False}


def test_rows_are_named_as_everywhere() -> None:
    predicted = tokens(("a", "b", "c", "d"))
    found = a_row(predicted_tokens=predicted)
    assert row_tokens(found).labels[1] == "the\n" and row_title(found, 1) == "reads the\n → predicts b"
    assert sent(found)[0]["query"] == {"label": "the⏎", "title": "reads the⏎ → predicts b", "predicts": True}
    cross = replace(found, kind="cross")
    assert row_tokens(cross) is predicted and sent(cross)[0]["query"]["label"] == "b"
    assert row_title(replace(found, predicted_tokens=None), 1) == "the\n"


def test_the_start_has_another_name_for_another_row_and_not_for_other_numbers() -> None:
    first = sent(a_row(), start_id="1")[0]["start_id"]
    assert sent(a_row((0.5, 0.2, 0.3, 0.0)), start_id="1", theme=DARK)[0]["start_id"] == first
    others = [a_row(row=0), a_row(layer=0), a_row(head=0), a_row(kind="cross"), a_row((0.5, 0.5))]
    assert (
        len(
            {first, sent(a_row(), start_id="2")[0]["start_id"], *(sent(o, start_id="1")[0]["start_id"] for o in others)}
        )
        == 7
    )


def test_512_keys_of_128_dimensions_are_small() -> None:
    assert len(neurons_data(a_row((1 / 600,) * 600, 128))) < 400_000


def test_a_page_of_its_own_holds_no_text_as_html() -> None:
    page = neurons_html(neurons_data(a_row()), title="</script><b>", note="<i>", theme=LIGHT)
    assert "<b>" not in page and "<i>" not in page and "&lt;b&gt;" in page and "class Neurons" in page


def a_page() -> None:
    from types import SimpleNamespace

    import streamlit as st

    from tests.viz.components.test_neurons import a_row, sent
    from viz.components.neurons import neurons, neurons_data, picked_in

    found = a_row()
    neurons(neurons_data(found), key="mounted")
    start = sent(found, start_id="here")[0]["start_id"]
    answers = []
    for place in (3, 0.0, 4, -1, 0.5, True, "0", None):
        st.session_state["row"] = SimpleNamespace(picked={"picked": place, "start_id": start, "nonce": 5})
        answers.append(picked_in("row", found, start_id="here"))
    st.text(f"{answers}")
    st.text(f"{picked_in('row', a_row(row=0), start_id='here')} {picked_in('never mounted', found)}")


def test_what_the_browser_sends_is_read_and_doubted() -> None:
    page = AppTest.from_function(a_page, default_timeout=60).run()
    assert not page.exception
    assert [one.value for one in page.text] == [str([3, 0, *[None] * 6]), "None None"]


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = "".join((FOLDER / "neurons" / part).read_text("utf-8") for part in ("weights.js", "figure.js", "index.js"))
    own = own.replace('"http://www.w3.org/2000/svg"', "")  # the name of SVG's elements
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?:", own)
    assert script("neurons").count("export default") == 1
