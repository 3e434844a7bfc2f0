"""Every shipped model by its name, whatever its family."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from engine.catalogue import card

if TYPE_CHECKING:
    from engine.cloze import Cloze
    from engine.completion import Completer
    from engine.generation import Generator
    from engine.runner import Runner

Model: TypeAlias = "Runner | Completer | Generator | Cloze"


def load_any(name: str, device: str = "auto") -> Model:
    """A shipped model, verified against the catalogue: what its family's own loader gives.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
    """
    match card(name).family:
        case "autocomplete":
            from engine.completion import load_completer

            return load_completer(name, device)
        case "gpt" | "char-lm" | "trigram":
            from engine.generation import load_generator

            return load_generator(name, device)
        case "bert":
            from engine.cloze import load_cloze

            return load_cloze(name, device)
        case "transformer" | "seq2seq":
            from engine.runner import load

            return load(name, device)
