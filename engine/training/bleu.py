"""How near translations come to references: BLEU and chrF by sacrebleu."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence

from engine.errors import InputError


def has_sacrebleu() -> bool:
    """Whether sacrebleu is installed, which only training and evaluation need."""
    return importlib.util.find_spec("sacrebleu") is not None


def require_sacrebleu() -> None:
    """Raises InputError where sacrebleu is not installed."""
    if not has_sacrebleu():
        raise InputError("BLEU is computed by sacrebleu, which is not installed. Run: pip install sacrebleu")


def bleu(outputs: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Corpus BLEU and chrF by sacrebleu with its default settings (13a tokenizer, case kept)."""
    import sacrebleu

    return {
        "bleu": round(sacrebleu.corpus_bleu(list(outputs), [list(references)]).score, 2),
        "chrf": round(sacrebleu.corpus_chrf(list(outputs), [list(references)]).score, 2),
    }


def sentence_chrf(output: str, reference: str) -> float:
    """One output's chrF, in [0, 100], by sacrebleu with its default settings. Source: Popović 2015."""
    import sacrebleu

    return float(sacrebleu.sentence_chrf(output, [reference]).score)
