"""“Mark V Shaney”: what came after two words, with counts, and texts drawn from nothing but these counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.errors import InputError, SaccadeError
from engine.generation import generator_of
from engine.generator import Generator
from engine.models.trigram import Continuations, RandomText, Trigram
from engine.prose_tokens import as_typed
from engine.training.trigram import MOST_CHARACTERS, count_text
from engine.trigram_notes import backed_off
from pages import _gen_controls, _shared
from pages._gen import VIEW, all_cards, scale
from pages._gen_examples import PAIR
from pages._gen_save import File, csv_of
from pages._gen_text import note, texts_of
from viz.components.choices import ChoiceRow, Columns, choices, choices_data, taken_in
from viz.components.shaded import shaded, shaded_data

LISTED = 12  # words after a pair
COMMON, RANKED = 24, 500  # pairs of words, among so many pairs of tokens: marks are tokens, too
WORDS = (20, 50, 100, 200, 400)
AFTER, OWN = "gen after", "gen own counts"
MOST_BYTES = 4 * MOST_CHARACTERS  # of a file: a character has four at most
HELP = (
    "The words that came after a pair of words, each as often as it did: Shaney picks one of them at random, and goes "
    "on with the last two words. Nothing is learned but these counts. Try the lecture's “based on”."
)


@dataclass(frozen=True, slots=True)
class After:
    """What came after two words.

    Attributes:
        pair: the two words as the model reads them.
        found: the counts.
        rows: the same for the screen, the most frequent first.
        texts: the pair that each row leads to.
        note: where the counts come from, where the pair was never seen; "" else.
    """

    pair: str
    found: Continuations
    rows: tuple[ChoiceRow, ...]
    texts: tuple[str, ...]
    note: str


def draw(theme: viz.Theme) -> list[File]:
    """The section; returns what can be saved of it."""
    card = next(card for card in all_cards() if "counts" in card.supports)
    own: tuple[str, Generator] | None = st.session_state.get(OWN)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        st.markdown("Counts of " + (f"**{_shared.literal(own[0])}**" if own else "the books"), width="content")
        if not VIEW.current().presenter:
            with st.popover("A text of your own", icon=":material/upload_file:"):
                _upload(card)
    generator = own[1] if own else _shared.generator(card)
    left, right = st.columns(2, gap="large")
    with left:
        after = _pair(generator, theme)
    with right:
        drawn = _random(generator, theme)
    _common(generator)
    return _files(generator, after, drawn)


# ---- a pair of words ----


def after_pair(generator: Generator, typed: str) -> After:
    """What came after the last two words of what was typed.

    Raises:
        InputError: there are no words.
    """
    model = generator.model
    assert isinstance(model, Trigram), "counts are asked for"
    tokens = generator.tokens_of(typed, ())
    if len(tokens) < 2:
        raise InputError("Type two words, such as “based on”.")
    first, second = tokens.ids[-2:]
    found = model.continuations(first, second, LISTED)
    text, label = generator.tokenizer.text_of, generator.tokenizer.label_of
    rows = tuple(ChoiceRow(label(token), text(token), count / found.total, None, count) for token, count in found.pairs)
    texts = tuple(f"{tokens.labels[-1]}{text(token)}" for token, _ in found.pairs)
    pair = f"{tokens.labels[-2]} {tokens.labels[-1]}"
    return After(pair, found, rows, texts, backed_off(model, tokens))


def _pair(generator: Generator, theme: viz.Theme) -> After:
    state, view = st.session_state, VIEW.current()
    typed = PAIR if view.pair is None else view.pair
    if state.get("gen pair asked") != typed or "gen pair box" not in state:
        state["gen pair box"] = state["gen pair asked"] = typed
    with st.form("gen pair", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input("Two words", key="gen pair box", help=HELP)
        st.form_submit_button("What came next?", type="primary", on_click=_ask)
    after = after_pair(generator, typed)
    found = after.found

    def changed() -> None:
        row = taken_in(AFTER, len(after.rows), start_id=after.pair)
        if row is not None:
            VIEW.change(pair=after.texts[row])

    data = choices_data(
        after.rows,
        columns=Columns(label=f"after “{after.pair}”", before="share"),
        total=f"{found.total:,} times in all, {found.different:,} different words listed in the table",
        places=LISTED // 2,
        name=f"After {after.pair}",
        theme=theme,
        scale=scale(),
        start_id=after.pair,
        file_name="after-pair",
    )
    with st.container(key="after"):
        choices(data, key=AFTER, on_change=changed)
    note(after.note)
    if not view.presenter:
        st.caption("Click a word to go on: the next pair is the second word and the one you clicked.")
    return after


def _ask() -> None:
    VIEW.change(pair=st.session_state["gen pair box"])


def _common(generator: Generator) -> None:
    """The pairs seen most often, to be clicked."""
    model, label = generator.model, generator.tokenizer.label_of
    assert isinstance(model, Trigram), "counts are asked for"
    found = [((label(first), label(second)), count) for (first, second), count in model.common_pairs(RANKED)]
    words = [(" ".join(pair), count) for pair, count in found if all(map(str.isalpha, pair))][:COMMON]
    place = st.expander("The most common pairs of words, and how often they came", expanded=True)
    with place, st.container(horizontal=True, gap="small"):
        for number, (pair, count) in enumerate(words):
            st.button(
                f"{_shared.literal(pair)} · {count:,}",
                key=f"gen pair {number}",
                on_click=VIEW.change,
                kwargs={"pair": pair},
                width="content",
            )


# ---- random text ----


def _random(generator: Generator, theme: viz.Theme) -> RandomText:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        _gen_controls.slide("Words at least", "words", WORDS, 190)
        st.number_input("Seed", 0, 99_999, width=130, **_gen_controls.anew("seed"))
        st.button("Another", icon=":material/casino:", on_click=_gen_controls.another)
    view = VIEW.current()
    if not 2 <= view.words <= WORDS[-1]:
        raise InputError(f"A text of {view.words:,} words cannot be drawn here. Choose 2 to {WORDS[-1]}.")
    model = generator.model
    assert isinstance(model, Trigram), "counts are asked for"
    drawn = model.random_text(view.seed, view.words)
    tokens = generator.tokenizer.encode(generator.tokenizer.decode(drawn.ids))
    data = shaded_data(
        tokens.labels,
        texts_of(tokens),
        pressed=drawn.backed_off if tokens.ids == drawn.ids else (),
        name="Random text",
        theme=theme,
        scale=1.15 * scale(),
        start_id=f"{view.seed} {view.words}",
        file_name="random-text",
    )
    with st.container(key="random"):
        shaded(data, key="gen random")
    how = "It begins as a sentence of the text began, drawn by count, and each word is drawn after the two before it."
    end = "It goes on to the next full stop." if drawn.ended else "No full stop came, so it was cut."
    st.caption(f"{how} {end}")
    if backed := len(drawn.backed_off):
        what = "word has an outline: its pair has" if backed == 1 else "words have an outline: their pairs have"
        them = "it" if backed == 1 else "them"
        st.caption(f"{backed} {what} nothing after {them} in the table, so the last word alone had to do.")
    return drawn


# ---- counts of one's own ----


def _upload(card: ModelCard) -> None:
    st.markdown(
        f"Count the words of a text file (.txt, UTF-8, 100 words to {MOST_CHARACTERS:,} characters). It stays on this "
        "machine, and is forgotten when you close the page; a link does not hold it."
    )
    st.file_uploader("A text file", type="txt", key="gen own file", on_change=_count, args=(card,))
    if problem := st.session_state.pop("gen own problem", None):
        st.error(_shared.literal(problem))
    st.button("Back to the books", on_click=_forget, disabled=OWN not in st.session_state)


def _count(card: ModelCard) -> None:
    """Count the uploaded file, or say why it cannot be."""
    uploaded, state = st.session_state["gen own file"], st.session_state
    if uploaded is None:
        return
    try:
        state[OWN] = uploaded.name, counted(card, uploaded.getvalue())
    except SaccadeError as reason:
        state["gen own problem"] = str(reason)
    VIEW.change()


def counted(card: ModelCard, content: bytes) -> Generator:
    """A model of the counts of a text file.

    Args:
        card: of the shipped counts.
        content: of the file.

    Raises:
        InputError: it is no UTF-8 text, or one that cannot be counted.
    """
    if len(content) > MOST_BYTES:
        raise InputError(f"The file has {len(content):,} bytes and {MOST_BYTES:,} is the most. Give a part of it.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("This file is no UTF-8 text. Save it as UTF-8 and try again.") from None
    words, model = count_text(text)
    return generator_of(replace(card, title="Generation: counts of your own"), model, words)


def _forget() -> None:
    st.session_state.pop(OWN, None)
    VIEW.change()


def _files(generator: Generator, after: After, drawn: RandomText) -> list[File]:
    text = as_typed(generator.tokenizer.decode(drawn.ids))
    return [
        File(
            "Counts, CSV",
            "trigrams.csv",
            lambda: csv_of(("pair", "next", "count"), ((after.pair, row.label, row.count) for row in after.rows)),
            "The listed words after the pair.",
        ),
        File("Random text, CSV", "random-text.csv", lambda: csv_of(("seed", "text"), [(VIEW.current().seed, text)])),
    ]
