"""Hidden units of a recurrent language model while it reads a text, as in Karpathy et al. 2016, "Visualizing and
Understanding Recurrent Networks".
"""

from __future__ import annotations

import torch

from engine.completion_inside import CellRecord
from engine.errors import EmptyInput, InputTooLong, Unsupported
from engine.generator import Generator
from engine.models.char_lm import CharLM
from engine.prose import normalise_prose
from engine.runner import guard_memory

LONGEST = 2_000  # characters: every state and gate is kept


@torch.inference_mode()
def unit_record(generator: Generator, text: str) -> CellRecord:
    """States and gates of every layer after each character of a text.

    The line break that is read in front of the text leaves no entry.

    Args:
        generator: a recurrent network over characters.
        text: any; it is normalised. Characters that the network does not know stay in it, and are read as unknown.

    Raises:
        Unsupported: the model is no recurrent network.
        EmptyInput, InputTooLong: a text that cannot be used.
        DeviceError: out of memory.
    """
    model = generator.model
    if not isinstance(model, CharLM):
        raise Unsupported(f"{generator.card.name} has no recurrent units to look at: choose char-lm.")
    prose = normalise_prose(text)
    if not prose:
        raise EmptyInput("There is no text to read. Enter a sentence.")
    if len(prose) > LONGEST:
        raise InputTooLong(f"This text has {len(prose):,} characters and {LONGEST:,} is the most. Shorten it.")
    with guard_memory(generator.device):
        recording = model.record(generator.tensor((generator.front, *generator.tokenizer.encode(prose).ids)))
    states, gates = (
        tuple({name: values[0, 1:].float().cpu().numpy() for name, values in layer.items()} for layer in part)
        for part in (recording.states, recording.gates)
    )
    return CellRecord(prose, states, gates)
