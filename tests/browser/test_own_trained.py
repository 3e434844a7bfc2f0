"""A trained encoder (all-MiniLM-L6-v2, from a package) in a real browser: its figures are transformers' own."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from bench.browser import running_app
from bench.trained import all_minilm

pytestmark = pytest.mark.browser
PATIENCE = 120_000  # milliseconds: a busy two-core machine, not a goal
TEXT = "The animal didn't cross the street because it was too tired."
LAYER, HEAD = 4, 9


@pytest.fixture(scope="module")
def checkpoint() -> Iterator[Path]:
    with all_minilm() as folder:
        yield folder


@pytest.fixture(scope="module")
def trained_app(checkpoint: Path) -> Iterator[str]:
    """`saccade run --model` with it."""
    with running_app() as address:
        yield address


@pytest.fixture(scope="module")
def maps(checkpoint: Path) -> tuple[list[str], np.ndarray]:
    """Its pieces of the sentence and its maps (layer, head, query, key) by transformers alone."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    model = AutoModel.from_pretrained(checkpoint, local_files_only=True, attn_implementation="eager").eval()
    inputs = tokenizer(TEXT, return_tensors="pt")
    with torch.inference_mode():
        found = torch.cat(model(**inputs, output_attentions=True).attentions)
    return tokenizer.convert_ids_to_tokens(inputs["input_ids"][0].tolist()), found.numpy()


@pytest.fixture
def opened(browser: Browser, trained_app: str, requested: list[str]) -> Iterator[Callable[..., Page]]:
    """Opens a section with the sentence; at the end nothing may have failed or asked another machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 1200}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: requested.append(request.url))

    def start(**view: str | int) -> Page:
        page.goto(f"{trained_app}/your_model?{urlencode({'text': TEXT, **view})}")
        return page

    yield start
    assert not re.search("Traceback|should not have", page.locator(".stApp").inner_text())
    assert requested and {urlsplit(url).hostname for url in requested} <= {"127.0.0.1", None, ""}
    context.close()


def test_it_is_open_at_the_first_visit_and_its_weights_are_its_own(
    opened: Callable[..., Page], maps: tuple[list[str], np.ndarray], tmp_path: Path
) -> None:
    pieces, weights = maps
    page = opened(section="attention", look=f"tokens.pieces~layer.{LAYER + 1}~heads.{HEAD + 1}")
    tokens = page.locator(".st-key-lines .column.key .token")
    expect(tokens).to_have_count(len(pieces), timeout=PATIENCE)
    assert [label.lower() for label in tokens.all_inner_texts()] == [piece.lower() for piece in pieces]
    page.get_by_role("button", name="Save & share").click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Shown map, CSV").click()
    waiting.value.save_as(tmp_path / "map.csv")
    rows = list(csv.DictReader((tmp_path / "map.csv").open(encoding="utf-8", newline="")))
    found = np.zeros_like(weights[LAYER, HEAD])
    for row in rows:
        assert row["head"] == str(HEAD)
        found[int(row["query_index"]), int(row["key_index"])] = row["weight"]
    np.testing.assert_allclose(found, weights[LAYER, HEAD], atol=1e-5)


def test_the_neurons_of_a_head_add_up_to_its_weights(
    opened: Callable[..., Page], maps: tuple[list[str], np.ndarray]
) -> None:
    pieces, weights = maps
    row = pieces.index("it")
    page = opened(section="neurons", kind="encoder", layer=LAYER + 1, head=HEAD + 1, query=row + 1)
    keys = page.get_by_role("listbox").get_by_role("option")
    expect(keys).to_have_count(len(pieces), timeout=PATIENCE)
    said = [re.search(r"weight ([\d.]+) %", key.get_attribute("aria-label") or "") for key in keys.all()]
    found = [float(weight[1]) / 100 for weight in said if weight]
    np.testing.assert_allclose(found, weights[LAYER, HEAD, row], rtol=0.05)  # two digits


def test_it_reads_a_long_text(opened: Callable[..., Page]) -> None:
    page = opened(section="long")
    page.get_by_role("button", name="Compute").click()
    grid = page.get_by_role("grid")
    expect(grid).to_be_visible(timeout=PATIENCE)
    expect(grid).to_have_attribute("aria-rowcount", "6")
