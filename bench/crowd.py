"""Many visitors at once: what they ask, when, and whether they got it."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urlencode

from streamlit.proto.Element_pb2 import Element

from bench.sentences import SENTENCES
from bench.websocket import ProtocolError, Tab, open_tab

LOADING = 120.0  # seconds for all visitors' first page, the model's loading included
RELOADS = 3  # of a first page that shows an error
WHO = (
    "The old man", "My sister", "A young teacher", "Tom", "The doctor", "Our neighbour", "The king", "Mary",
    "My best friend", "The little girl", "Her brother", "The driver",
)  # fmt: skip
DID = (
    "bought a new coat", "lost the key of the house", "wanted to see the sea", "opened the door of the church",
    "forgot to call his mother", "read the first page of the book", "could not find the train station",
    "left a letter on the table", "decided to sell the old car", "found a hundred euros", "asked for a glass of water",
    "saw the dog behind the garden wall",
)  # fmt: skip
WHEN = (
    "", "yesterday morning", "in the quiet village", "before the shops were open", "on the last day of winter",
    "without saying a word to anybody", "after two hours of heavy rain", "near the bridge", "when the war was over",
)  # fmt: skip
WHY = (
    "", "because it was too late", "but nobody in the room believed it", "and we were all very happy",
    "because the weather was so bad", "so the children had to wait", "and then everybody went home",
    "but the police came and asked many questions",
)  # fmt: skip
WORDS = range(8, 21)  # of a sentence
_DRAWINGS = ("vega_lite_chart", "plotly_chart", "bidi_component", "component_instance")
_FRENCH = re.compile(rb'lang="fr"[^>]*>\s*[^<\s]')


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who comes.

    Attributes:
        clients: visitors, each with a connection of its own.
        think: mean seconds between an answer and the next question, exponentially distributed.
        seconds: how long questions are asked; those on their way then are waited for.
        timeout: seconds after which a question counts as an error.
        seed: of think times and sentences.
    """

    clients: int = 40
    think: float = 8.0
    seconds: float = 45.0
    timeout: float = 30.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Action:
    """One question.

    Attributes:
        client: who asked, from 0.
        sent: seconds since the first could be sent.
        seconds: to the end of the run, or until it was given up.
        size: bytes of the answer; 0 if there was none.
        error: what went wrong; empty if nothing.
    """

    client: int
    sent: float
    seconds: float
    size: int
    error: str


@dataclass(frozen=True, slots=True)
class Visit:
    """What came of a crowd on a page.

    Attributes:
        loading: seconds until all had loaded the page, which they ask for at once.
        refused: what visitors saw who had to load the page again.
        actions: the questions, in the order in which they were sent.
    """

    loading: float
    refused: list[str]
    actions: list[Action]

    @property
    def errors(self) -> list[str]:
        return [*self.refused, *(action.error for action in self.actions if action.error)]


Check = Callable[[str, Sequence[Element], Sequence[Element]], str]


def query_of(sentence: str) -> str:
    """The query of the link that opens the Translate page with a sentence."""
    return urlencode({"text": sentence})


def sentences(seed: int) -> list[str]:
    """Some ten thousand different sentences of 8 to 20 words, the twelve of the other benchmarks among them."""
    parts = itertools.product(WHO, DID, WHEN, WHY)
    composed = (" ".join(part for part in chosen if part) + "." for chosen in parts)
    found = [sentence for sentence in composed if len(sentence.split()) in WORDS]
    random.Random(seed).shuffle(found)
    return [*SENTENCES, *found]


def think_times(crowd: Crowd, client: int) -> Iterator[float]:
    """Seconds before each of a client's questions."""
    chance = random.Random(f"{crowd.seed} {client}")
    while True:
        yield chance.expovariate(1 / crowd.think)


def not_translated(sentence: str, shown: Sequence[Element], before: Sequence[Element]) -> str:
    """What a page lacks of being the translation of a sentence; empty if nothing.

    The French must be there, and drawings that name the sentence's words: at least half of those that no drawing named
    before, since a token that is a piece of a word does not spell it.

    Args:
        sentence: what was asked.
        shown: the page's elements.
        before: those of the page on which the question was asked.
    """
    if not any(_FRENCH.search(element.SerializeToString()) for element in shown):
        return "the page has no French"
    old, new = _drawn(before), _drawn(shown)
    if not new:
        return "the page has no drawing"
    words = {word for word in re.findall(rb"[a-z]{3,}", sentence.lower().encode()) if word not in old}
    if new == old or sum(word in new for word in words) * 2 < len(words):
        return "the page shows another sentence"
    return ""


def not_greeted(sentence: str, shown: Sequence[Element], before: Sequence[Element]) -> str:
    """What a page lacks of saying hello, whatever it was asked; empty if nothing."""
    return "" if any("hello" in element.markdown.body for element in shown) else "the page does not say hello"


def _drawn(elements: Sequence[Element]) -> bytes:
    """Charts and components as they were sent, in lower case."""
    return b"".join(e.SerializeToString().lower() for e in elements if e.WhichOneof("type") in _DRAWINGS)


def visit(address: str, path: str, crowd: Crowd, check: Check, observe: Callable[[], None]) -> Visit:
    """Let a crowd ask a page.

    Args:
        address: of the server.
        path: of the page.
        crowd: who comes.
        check: finds what an answer lacks.
        observe: called when all have loaded the page, and again after the last answer, all still connected.

    Raises:
        ProtocolError: somebody could not load the page, tried several times.
    """
    return asyncio.run(_visit(address, path, crowd, check, observe))


async def _visit(address: str, path: str, crowd: Crowd, check: Check, observe: Callable[[], None]) -> Visit:
    supply = sentences(crowd.seed)
    start, refused = time.perf_counter(), []
    tabs = await asyncio.gather(*(_load(address, path, refused) for _ in range(crowd.clients)))
    loading = time.perf_counter() - start
    observe()
    start = time.perf_counter()
    visitors = [
        _Visitor(number, tab, supply[number :: crowd.clients], crowd, check, start) for number, tab in enumerate(tabs)
    ]
    await asyncio.gather(*(visitor.ask_all(address, path) for visitor in visitors))
    observe()
    await asyncio.gather(*(visitor.tab.close() for visitor in visitors))
    actions = sorted((action for visitor in visitors for action in visitor.actions), key=lambda action: action.sent)
    return Visit(loading, refused, actions)


async def _load(address: str, path: str, refused: list[str]) -> Tab:
    """Open the page, again if it shows an error."""
    for _ in range(RELOADS):
        try:
            return await open_tab(address, path, LOADING)
        except ProtocolError as error:
            refused.append(str(error))
    return await open_tab(address, path, LOADING)


class _Visitor:
    """One client: thinks, asks, waits for the answer, and so on."""

    def __init__(self, number: int, tab: Tab, supply: Sequence[str], crowd: Crowd, check: Check, start: float) -> None:
        self.tab = tab
        self.actions: list[Action] = []
        self._number, self._supply, self._crowd, self._check, self._start = number, supply, crowd, check, start

    async def ask_all(self, address: str, path: str) -> None:
        """Ask until the time is over; after a question without an answer, open the page anew."""
        for sentence, pause in zip(self._supply, think_times(self._crowd, self._number), strict=False):
            await asyncio.sleep(pause)
            if self._now() >= self._crowd.seconds:
                return
            answered = await self._ask(sentence)
            if not answered:
                await self.tab.close()
                with suppress(ProtocolError):  # then the next question will be an error too
                    self.tab = await open_tab(address, path, self._crowd.timeout)
        raise AssertionError("a client ran out of sentences")

    async def _ask(self, sentence: str) -> bool:
        """Ask and note what came of it; False if no answer came."""
        sent, before, form = self._now(), self.tab.page.elements, self.tab.page.form()
        running = self.tab.run(query_of(sentence), form.filled(sentence) if form else None)
        try:
            answer = await asyncio.wait_for(running, self._crowd.timeout)
        except (TimeoutError, ProtocolError) as error:
            why = str(error) or f"no answer within {self._crowd.timeout:g} s"
            self.actions.append(Action(self._number, sent, self._now() - sent, 0, why))
            return False
        error = answer.problem or self._check(sentence, answer.elements, before)
        self.actions.append(Action(self._number, sent, answer.seconds, answer.size, error))
        return True

    def _now(self) -> float:
        """Seconds since all have loaded the page."""
        return time.perf_counter() - self._start
