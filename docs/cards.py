"""Writes every model's card and training curve into docs/models: python docs/cards.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from engine.cards import CURVE, curve_unit, has_curve, markdown
from engine.catalogue import MODELS
from viz.curve import training_curve

FOLDER = Path(__file__).parent / "models"


def main() -> None:
    """Write the files."""
    FOLDER.mkdir(exist_ok=True)
    for card in MODELS.values():
        (FOLDER / f"{card.name}.md").write_text(markdown(card), "utf-8")
        if has_curve(card):
            log = [json.loads(line) for line in (card.folder / CURVE).read_text("utf-8").splitlines()]
            training_curve(log, unit=curve_unit(card)).save(FOLDER / f"{card.name}-curve.svg")
        print(f"docs/models/{card.name}.md")


if __name__ == "__main__":
    main()
