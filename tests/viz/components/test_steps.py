"""What the step scrubber sends to the browser, what it takes back, and what its script may not do."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from engine.types import DecoderSteps, Tokens
from viz.components.inline import FOLDER, script
from viz.components.packing import unpack
from viz.components.steps import (
    CELLS,
    FORMULAS,
    _gone_to,
    steps_data,
    steps_html,
)
from viz.theme import DARK, LIGHT

HOSTILE = "</script><script>alert(1)</script>"


def tokens(*labels: str) -> Tokens:
    count = len(labels)
    special = tuple(label in ("<s>", "</s>") for label in labels)
    return Tokens("".join(labels), labels, (), tuple(range(count)), ((0, 0),) * count, special)


def two_steps(attention: str = "additive", **changed: Any) -> DecoderSteps:
    """Two words of three source tokens; annotations of four numbers, states of two."""
    scores = np.array([[1.0, -3.0, 0.0], [0.5, 2.0, -1.0]], np.float32)
    exponents = np.exp(scores)
    weights = (exponents / exponents.sum(axis=1, keepdims=True)).astype(np.float32)
    annotations = np.array([[0.5, -0.5, 0, 0.25], [0, 0, 0, 0], [-0.25, 0.25, 0.5, 0]], np.float32)
    if attention == "none":
        scores = weights = np.zeros((0, 3), np.float32)
    parts: dict[str, Any] = {
        "attention": attention,
        "source": tokens("the", "internationalisation", "</s>"),
        "read": tokens("<s>", "chat"),
        "predicted": tokens("chat", "</s>"),
        "scores": scores,
        "weights": weights,
        "annotations": annotations,
        "contexts": weights @ annotations if len(weights) else annotations[[0, 0]],
        "states": np.array([[0, 0.1], [0.2, -0.4], [0.1, 0.3]], np.float32),
        "alternatives": (
            (("chat", np.log(0.5)), ("\n", np.log(0.25))),
            tuple((f"mot{n}", np.log(0.1)) for n in range(7)),
        ),
    }
    return DecoderSteps(**{**parts, **changed})


def sent(steps: DecoderSteps, **options: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    return unpack(steps_data(steps, **options))


def test_scores_and_weights_travel_as_they_are() -> None:
    steps = two_steps()
    header, arrays = sent(steps, theme=DARK, scale=1.5, numbers=True, step=1, file_name="cat")
    assert np.array_equal(arrays["scores"].reshape(2, 3), steps.scores)
    assert np.array_equal(arrays["weights"].reshape(2, 3), steps.weights)
    assert header["range"] == [-3.0, 2.0]
    told = {name: header[name] for name in ("attention", "formula", "scale", "numbers", "step", "file_name")}
    assert told == {
        "attention": "additive",
        "formula": "e = v·tanh(W s + k)",
        "scale": 1.5,
        "numbers": True,
        "step": 1,
        "file_name": "cat",
    }
    assert header["theme"]["background"] == DARK.background and header["diverging"] == list(DARK.diverging)
    assert [token["label"] for token in header["source"]] == ["the", "international…", "</s>"]
    assert [token["special"] for token in header["read"]] == [True, False]


def test_the_scores_room_holds_zero_and_only_finite_scores() -> None:
    cut = two_steps(scores=np.array([[1, 2, -np.inf], [3, 4, np.nan]], np.float32))
    assert sent(cut)[0]["range"] == [0.0, 4.0]


def test_five_outputs_and_which_one_was_taken() -> None:
    header, _ = sent(two_steps())
    assert header["alternatives"][0] == [["chat", 0.5], ["⏎", 0.25]]
    assert [label for label, _ in header["alternatives"][1]] == [f"mot{n}" for n in range(5)]
    assert header["chosen"] == [0, -1]  # </s> was given: it is none of the five
    twice = ((("le", -1.0), ("chat", -1.5), ("chat", -2.0)), (("</s>", -0.1),))
    assert sent(two_steps(alternatives=twice))[0]["chosen"] == [1, 0]
    unseen = ((*((f"mot{n}", -1.0) for n in range(5)), ("chat", -3.0)), (("</s>", -0.1),))
    assert sent(two_steps(alternatives=unseen))[0]["chosen"] == [-1, 0]


def test_cells_are_signed_and_the_largest_is_the_end_of_the_scale() -> None:
    header, arrays = sent(two_steps("none"))
    # 127 (1 + v / 0.5): 0 is 127, 0.5 is 254, -0.5 is 0, 0.25 is 190.5, as near to 191
    assert arrays["annotations"].tolist() == [254, 0, 127, 191, 127, 127, 127, 127, 63, 191, 254, 127]
    assert arrays["contexts"].tolist() == [254, 0, 127, 191] * 2
    assert header["strips"]["source"] == {"width": 4, "cells": 4, "largest": 0.5}
    assert header["strips"]["states"] == {"width": 2, "cells": 2, "largest": 0.4}
    assert arrays["states"].dtype == np.uint8 and arrays["states"].tolist()[3] == 0  # -0.4 of 0.4


def test_wide_vectors_become_means_and_a_sum_stays_a_sum() -> None:
    rng = np.random.default_rng(0)
    annotations = rng.uniform(-1, 1, (3, 50)).astype(np.float32)
    steps = two_steps()
    header, arrays = sent(replace(steps, annotations=annotations, contexts=steps.weights @ annotations))
    assert header["strips"]["source"]["cells"] == CELLS and arrays["annotations"].size == 3 * CELLS
    largest = header["strips"]["source"]["largest"]
    received, context = ((arrays[name] - 127.0) * largest / 127 for name in ("annotations", "contexts"))
    ends = annotations[0, :2].mean(), annotations[0, 47:].mean()  # 50 = 22 · 2 + 2 · 3: blocks of 2 and of 3
    step = largest / 254 + 1e-4  # half a level, and the rounding of "largest"
    assert np.abs(received.reshape(3, CELLS)[0, [0, -1]] - ends).max() <= step
    weighted = steps.weights @ received.reshape(3, CELLS)
    assert np.abs(weighted - context.reshape(2, CELLS)).max() <= 2 * step


def test_vectors_of_zeros_and_numbers_that_are_none_are_the_middle() -> None:
    nothing = two_steps(
        annotations=np.array([[0, np.nan], [np.inf, 0], [0, -np.inf]], np.float32),
        contexts=np.zeros((2, 2), np.float32),
    )
    header, arrays = sent(nothing)
    assert arrays["annotations"].tolist() == [127] * 6
    assert header["strips"]["source"]["largest"] == 0


def test_without_attention_no_score_travels() -> None:
    header, arrays = sent(two_steps("none"))
    assert arrays["scores"].size == arrays["weights"].size == 0
    assert (header["formula"], header["range"]) == ("", [0.0, 0.0])


@pytest.mark.parametrize(("step", "shown"), [(0, 0), (1, 1), (7, 1), (-3, 0)])
def test_a_step_that_is_not_there_is_the_nearest(step: int, shown: int) -> None:
    assert sent(two_steps(), step=step)[0]["step"] == shown


def test_what_cannot_be_drawn() -> None:
    empty = two_steps(
        read=tokens(),
        predicted=tokens(),
        scores=np.zeros((0, 3), np.float32),
        weights=np.zeros((0, 3), np.float32),
        contexts=np.zeros((0, 4), np.float32),
        states=np.zeros((1, 2), np.float32),
        alternatives=(),
    )
    with pytest.raises(ValueError, match="give at least one"):
        steps_data(empty)
    with pytest.raises(ValueError, match="attention 'cosine': choose one of additive, dot, general, none"):
        steps_data(two_steps("cosine"))


def test_the_longest_sentence_is_small() -> None:
    rng = np.random.default_rng(1)
    count, length = 192, 128
    weights = rng.dirichlet(np.ones(length), count).astype(np.float32)
    words = tuple(f"mot{n}" for n in range(count))
    steps = DecoderSteps(
        "dot",
        tokens(*(f"word{n}" for n in range(length))),
        tokens("<s>", *words[1:]),
        tokens(*words),
        np.log(weights),
        weights,
        rng.normal(size=(length, 384)).astype(np.float32),
        rng.normal(size=(count, 384)).astype(np.float32),
        rng.normal(size=(count + 1, 320)).astype(np.float32),
        tuple(((word, -0.5),) * 5 for word in words),
    )
    assert len(steps_data(steps)) < 300_000


def test_a_step_is_told_of_one_sentence() -> None:
    header, _ = sent(two_steps())
    assert _gone_to({"step": 1, "id": header["id"]}, header) == 1
    assert _gone_to({"step": 1.0, "id": header["id"]}, header) == 1
    assert _gone_to(None, header) is None
    for other in (two_steps("dot"), two_steps(predicted=tokens("chien", "</s>"))):
        assert _gone_to({"step": 1, "id": sent(other)[0]["id"]}, header) is None
    assert sent(two_steps(), theme=DARK, step=1)[0]["id"] == header["id"]  # another look is the same sentence


@pytest.mark.parametrize("step", [None, True, "1", 2, -1, 0.5, float("nan"), float("inf"), [1]])
def test_what_no_slider_sends_is_no_step(step: object) -> None:
    header, _ = sent(two_steps())
    assert _gone_to({"step": step, "id": header["id"]}, header) is None
    assert _gone_to([step], header) is None


def a_page() -> None:
    import numpy as np
    import streamlit as st

    from engine.types import DecoderSteps, Tokens
    from viz.components.steps import steps, steps_data

    one = Tokens("a", ("a",), (), (0,), ((0, 0),), (False,))
    ones = np.ones((1, 1), np.float32)
    decoder = DecoderSteps("dot", one, one, one, ones, ones, ones, ones, np.ones((2, 1), np.float32), ((("a", 0.0),),))
    st.text(f"{steps(steps_data(decoder), key='steps')}")


def test_a_page_opens_before_anybody_has_gone_anywhere() -> None:
    page = AppTest.from_function(a_page, default_timeout=60).run()
    assert not page.exception
    assert page.text[0].value == "None"
    assert [one.proto.component_name for one in page.main if one.type == "bidi_component"] == ["saccade_steps"]


@pytest.mark.parametrize("attention", FORMULAS)
def test_a_page_of_its_own_holds_no_text_that_could_end_its_script(attention: str) -> None:
    hostile = two_steps(attention, source=tokens(HOSTILE, "x", "</s>"), predicted=tokens(HOSTILE, "</s>"))
    page = steps_html(steps_data(hostile), title=HOSTILE, note=HOSTILE, theme=LIGHT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "https://" not in page and "http://" not in page.replace("http://www.w3.org/", "")
    assert "export default function render(" in page


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = "".join(path.read_text("utf-8") for path in sorted((FOLDER / "steps").glob("*.js")))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b|https?:", own)
    assert script("steps").count("export default") == 1
