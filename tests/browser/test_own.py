"""The page "Your model" in a real browser: a model is looked at, opened, seen on other pages, and unloaded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect

from bench.browser import running_app
from tests.engine.huggingface.families import saved

pytestmark = pytest.mark.browser
PATIENCE = 90_000  # milliseconds: a busy two-core machine, not a goal
READING = 240_000  # milliseconds for the model and the first run, likewise
TEXT = "The old man sat by the river."


@dataclass
class Reader:
    """The page in a tab, and what it complained about since."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    @property
    def address(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def settled(self) -> None:
        """Wait until Streamlit has finished the run."""
        self.page.wait_for_timeout(700)  # a component says where it is some 400 ms after the last change
        state = "document.querySelector('.stApp')?.dataset.testScriptState === 'notRunning'"
        self.page.wait_for_function(state, timeout=READING)

    def section(self, name: str) -> None:
        self.page.locator(".st-key-own-section").get_by_role("radio", name=name, exact=True).click()
        self.settled()

    def open_model(self, name: str) -> None:
        box = self.page.get_by_label("Hugging Face id or folder")
        box.fill(name)
        box.press("Enter")
        expect(self.page.locator(".st-key-own-estimate")).to_contain_text("layers × heads", timeout=PATIENCE)
        self.page.locator(".st-key-own-open-button button").click()
        expect(self.page.locator(f".st-key-own-model-{name}")).to_be_visible(timeout=PATIENCE)
        self.settled()

    def overflow(self) -> float:
        """By how many pixels the page is wider than the window."""
        wider: float = self.page.evaluate(
            """() => Math.max(...[...document.querySelectorAll('[data-testid=stMain], .stMainBlockContainer')]
                .map((element) => element.scrollWidth - element.clientWidth))"""
        )
        return wider


def complains(said: ConsoleMessage) -> bool:
    """Whether the console has an error; Streamlit looks for its server below a page's own address first."""
    return said.type == "error" and "/_stcore/" not in said.location["url"]


@pytest.fixture(scope="module")
def own_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`saccade run` whose operator allows a folder with tiny models."""
    folder = tmp_path_factory.mktemp("models")
    for family in ("bert", "llama"):
        saved(family, folder / f"my-{family}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SACCADE_MODEL_FOLDERS", str(folder))
        patch.delenv("SACCADE_MODEL", raising=False)
        with running_app() as address:
            yield address


@pytest.fixture
def opened(browser: Browser, own_app: str, requested: list[str]) -> Iterator[Callable[..., Reader]]:
    """Opens the page at an address; at the end nothing may have failed or asked another machine."""
    with ExitStack() as stack:
        tabs: list[Reader] = []

        def start(*, width: int = 1280, scheme: str = "light", **address: str) -> Reader:
            context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)  # type: ignore[arg-type]
            stack.callback(context.close)
            tab = Reader(context.new_page())
            tabs.append(tab)
            tab.page.set_default_timeout(PATIENCE)
            tab.page.on("request", lambda request: requested.append(request.url))
            tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
            tab.page.on("console", lambda said: tab.complaints.append(said.text) if complains(said) else None)
            tab.page.goto(f"{own_app}/your_model?{urlencode(address)}", timeout=READING)
            expect(tab.page.get_by_role("heading", name="Your model", level=1)).to_be_visible(timeout=READING)
            tab.settled()
            return tab

        yield start
        assert [complaint for tab in tabs for complaint in tab.complaints] == []
        for tab in tabs:
            assert not re.search("Traceback|should not have", tab.page.locator(".stApp").inner_text())
        outside = [url for url in requested if urlsplit(url).hostname not in ("127.0.0.1", None, "")]
        assert requested and outside == []


def test_a_model_is_opened_shown_in_every_menu_and_unloaded(opened: Callable[..., Reader]) -> None:
    tab = opened(width=390, scheme="dark")
    tab.open_model("my-bert")
    assert tab.overflow() <= 0
    other = opened()  # another session has it too
    expect(other.page.locator(".st-key-own-model-my-bert")).to_be_visible()
    other.page.locator(".st-key-own-model-my-bert").get_by_role("link", name="Cloze").click()
    expect(other.page.get_by_role("heading", name="Cloze", level=1)).to_be_visible(timeout=PATIENCE)
    other.settled()
    assert other.address["model"].startswith("my-bert@")
    expect(other.page.get_by_role("combobox").first).to_have_value(re.compile("my-bert"))
    tab.page.locator(".st-key-own-unload-my-bert button").click()
    expect(tab.page.locator(".st-key-own-model-my-bert")).to_have_count(0, timeout=PATIENCE)


def test_shared_key_heads_and_the_first_token_that_is_hidden(opened: Callable[..., Reader]) -> None:
    tab = opened(text=TEXT)
    tab.open_model("my-llama")
    tab.section("Attention")
    patches = tab.page.locator(".st-key-lines button.head")
    expect(patches).to_have_text(["1", "2", "3", "4"])
    expect(patches.nth(2)).to_have_attribute("aria-label", "head 3 (key head 2)")
    assert tab.overflow() <= 0
    tokens = tab.page.locator(".st-key-lines .column.key .token")
    first = tokens.first.inner_text()
    tab.page.get_by_role("button", name="Tokens & heads").click()
    tab.page.locator(".st-key-sink").get_by_role("radio", name="Hidden", exact=True).click()
    expect(tab.page.get_by_text("The first word is hidden: it took")).to_be_visible(timeout=PATIENCE)
    tab.settled()
    assert tokens.first.inner_text() != first and "sink.hidden" in tab.address["look"]
    tab.page.keyboard.press("Escape")
    tab.page.locator(".st-key-view").get_by_role("radio", name="All heads").click()
    labels = tab.page.locator(".st-key-grid .heads .label")
    expect(labels).to_have_text(["1 · k1", "2 · k1", "3 · k2", "4 · k2"], timeout=PATIENCE)


def test_a_refusal_stands_where_it_was_asked(opened: Callable[..., Reader]) -> None:
    tab = opened()
    box = tab.page.get_by_label("Hugging Face id or folder")
    box.fill("<img src=x onerror=alert(1)>")
    box.press("Enter")
    expect(tab.page.get_by_role("alert")).to_contain_text("<img src=x", timeout=PATIENCE)
    assert tab.page.locator("img[src=x]").count() == 0
