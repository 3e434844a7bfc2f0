"""Every shipped model by its name, whatever its family."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from engine.catalogue import ModelCard, card
from engine.errors import Unsupported
from engine.opened import STORE
from engine.weights import BUILDING

if TYPE_CHECKING:
    from engine.cloze import Cloze
    from engine.completion import Completer
    from engine.generation import Generator
    from engine.reader import Reader
    from engine.runner import Runner

Model: TypeAlias = "Runner | Completer | Generator | Cloze | Reader"


def load_any(name: str | ModelCard, device: str = "auto") -> Model:
    """A model by its name or card, its files verified: what its family's own loader gives.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
    """
    found = card(name)
    if found.path is not None and not isinstance(name, ModelCard):
        model: Model = STORE.get(name)
        return model
    with BUILDING:
        return _shipped(found, device)


def _shipped(found: ModelCard, device: str) -> Model:
    match found.family:
        case "autocomplete":
            from engine.completion import load_completer

            return load_completer(found, device)
        case "gpt" | "char-lm" | "trigram":
            from engine.generation import load_generator

            return load_generator(found, device)
        case "bert":
            from engine.cloze import load_cloze

            return load_cloze(found, device)
        case "transformer" | "seq2seq":
            from engine.runner import load

            return load(found, device)
        case "huggingface":
            raise Unsupported(f"{found.name} is no model that ships: open it first, by engine.open_model.")
