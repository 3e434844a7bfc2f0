"""The documents: what they link to is there, and what commands wrote was written for the weights that ship."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.catalogue import MODELS

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", *sorted(f"docs/{f.name}" for f in ROOT.glob("docs/*.md")))
LINK = re.compile(r"\]\(([^()\s]+)\)")
OUTSIDE = re.compile(r"[a-z]+:")  # https:, mailto:
LARGEST = 300_000  # bytes of a picture


def anchors(text: str) -> set[str]:
    """Returns what "#..." may name in a document: its headings as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(name: str, text: str) -> list[str]:
    """Returns every link of a document, given by its path from the root and its text, to what is not there."""
    found = []
    for link in LINK.findall(text):
        if OUTSIDE.match(link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            found.append(link)
    return found


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_and_picture_is_there(name):
    assert broken_links(name, (ROOT / name).read_text(encoding="utf-8")) == []


def test_links_are_found():
    assert {"docs/guide.md", "docs/coreference.md"} <= set(LINK.findall((ROOT / "README.md").read_text("utf-8")))


@pytest.mark.parametrize("link", ["nowhere.md", "guide.md#nothing", "#nothing", "images/nothing.png"])
def test_a_broken_link_is_found(link):
    assert broken_links("docs/guide.md", f"[a]({link}) ![b]({link})") == [link, link]


@pytest.mark.parametrize("link", ["guide.md#home", "../README.md", "https://example.org/nothing", "models/"])
def test_a_good_link_passes(link):
    assert broken_links("docs/guide.md", f"[a]({link})") == []


def test_pictures_are_small_and_shown():
    texts = "".join((ROOT / name).read_text(encoding="utf-8") for name in DOCUMENTS)
    for picture in (ROOT / "docs" / "images").glob("*.png"):
        assert picture.stat().st_size < LARGEST, picture.name
        assert picture.name in texts, f"no document shows {picture.name}"


def test_the_coreference_document_is_of_the_weights_that_ship():
    first, *lines = (ROOT / "docs" / "coreference.md").read_text(encoding="utf-8").splitlines()
    assert "python docs/coreference.py" in first
    stated = re.findall(r"^Weights `([^`]+)`", "\n".join(lines), re.MULTILINE)
    assert stated == [MODELS["en-fr"].identity], "run: python docs/coreference.py"
