"""Prompts without, with one and with several examples: does the model take up the task?"""

from __future__ import annotations

import math
from dataclasses import replace

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.errors import SaccadeError
from engine.generator import Generator
from engine.surprise import logprobs_along
from pages import _gen_controls, _gen_sample, _shared
from pages._cards import file_name
from pages._gen import VIEW, GenView, options_of
from pages._gen_examples import TASKS, Shots
from pages._gen_save import File, csv_of
from pages._gen_text import following, habit, note, paragraphs, rows
from viz.components.choices import percentage

ANSWERS = 20  # tokens of a sample: an answer is short
FIELDS = {"zero": "No example", "one": "One example", "few": "Several examples"}
HONEST = (
    "GPT-3 (Brown et al. 2020) learned tasks from a few examples in its prompt, with 175 billion parameters. The "
    "models that ship here have a few million: examples make the form of an answer likelier, and hardly ever the right "
    "one. See whether the probability of the answer rises from left to right, and whether it does with a wrong answer, "
    "too."
)


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        card = _gen_controls.pick_model()
        if not VIEW.current().presenter:
            _gen_controls.sampling()
            with st.popover("Tasks", icon=":material/lightbulb:"):
                for task in TASKS:
                    st.button(task.title, on_click=_open, args=(task,), width="stretch")
    st.info(HONEST)
    habit(_shared.generator(card))
    view = VIEW.current()
    answer = _answer(view)
    lines = []
    for (field, title), column in zip(FIELDS.items(), st.columns(3, gap="medium"), strict=True):
        with column:
            try:
                lines.append((title, *_shot(card, view, field, title, answer, theme)))
            except SaccadeError as reason:  # of one prompt: the others can still be read and changed
                st.warning(_shared.literal(str(reason)))
    return [
        File(
            "Prompts, CSV",
            f"{file_name(card.name)}-prompts.csv",
            lambda: csv_of(("examples", "prompt", "answer", "probability of the answer", "sample"), lines),
            "One line for each prompt.",
        )
    ]


def _open(task: Shots) -> None:
    VIEW.change(zero=task.zero, one=task.one, few=task.few, answer=task.answer)
    for name in (*FIELDS, "answer"):
        st.session_state.pop(f"gen shot {name}", None)


def _answer(view: GenView) -> str:
    key = "gen shot answer"
    st.session_state[key] = TASKS[0].answer if view.answer is None else view.answer
    st.text_input(
        "The answer whose probability is shown",
        key=key,
        width=320,
        on_change=lambda: VIEW.change(answer=st.session_state[key]),
    )
    answer: str = st.session_state[key]
    return answer.strip()


def _shot(
    card: ModelCard, view: GenView, field: str, title: str, answer: str, theme: viz.Theme
) -> tuple[str, str, float | str, str]:
    """One prompt with its answer's probability, what may come next, and a sample."""
    key = f"gen shot {field}"
    given = getattr(view, field)
    st.session_state[key] = getattr(TASKS[0], field) if given is None else given
    st.text_area(title, key=key, height=160, on_change=lambda: VIEW.change(**{field: st.session_state[key]}))
    prompt: str = st.session_state[key]
    note(_shared.generator(card).prompt(prompt).notes)
    probability: float | str = ""
    if answer:
        probability = _shared.computed(card, answer_probability, prompt, answer)
        st.markdown(f"“{_shared.literal(answer)}” has **{percentage(float(probability))}**")
    found = following(card, view, prompt)
    rows(found, theme, f"gen choices {field}", place=prompt, name=f"Next token, {title}")
    drawn = _gen_sample.sampled(card, prompt, (), replace(options_of(view), max_length=ANSWERS))
    said = "".join(one.text for one in drawn)
    with st.container(border=True):
        paragraphs(f"…{said}")
    return prompt, answer, probability, said


def answer_probability(generator: Generator, prompt: str, answer: str) -> float:
    """The probability that a text goes on with an answer, all of its tokens, in [0, 1].

    It is that of prompt and answer as the tokenizer cuts them, over that of the prompt: all of it, whatever the model
    sees of it at once.

    Raises:
        InputTooLong: together they are too long.
    """
    whole, begun = (
        float(logprobs_along(generator, generator.whole(text).ids).sum())
        for text in (f"{prompt.rstrip()} {answer}", prompt.rstrip())
    )
    return math.exp(min(0.0, whole - begun))
