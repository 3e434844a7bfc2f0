"""An encoder without a head that restores anything: texts in, attention maps out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from engine.errors import InputTooLong
from engine.huggingface.encoder import HostedEncoder
from engine.map_checks import check_finite, check_maps
from engine.model_card import ModelCard
from engine.runner import guard_memory
from engine.types import NO_TOKENS, AttentionMap, Tokens, Trace, TraceRequest

if TYPE_CHECKING:
    from engine.huggingface.tokens import HostedTokenizer


@dataclass(frozen=True, slots=True)
class Reader:
    """An encoder ready to run. It keeps weights only; every result is returned and none is stored.

    Attributes:
        card: what is known of it.
        model: in evaluation mode.
        tokenizer: that of the model.
        device: where token ids go.
    """

    card: ModelCard
    model: HostedEncoder
    tokenizer: HostedTokenizer
    device: str

    def encode(self, text: str, second: str = "") -> tuple[Tokens, tuple[int, ...]]:
        """One text or two as the model reads them, special tokens included, and of each token which text it is of.

        Raises:
            EmptyInput: there is no text.
            InputTooLong: more tokens than the model takes; the message states both numbers.
        """
        if second.strip():
            tokens, segments = self.tokenizer.encode_pair(text, second)
        else:
            tokens = self.tokenizer.encode(text)
            segments = (0,) * len(tokens)
        if self.card.longest and len(tokens) > self.card.longest:
            raise InputTooLong(
                f"This text has {len(tokens):,} tokens and {self.card.name} takes {self.card.longest:,} at most. "
                "Shorten it."
            )
        return tokens, segments

    def length(self, text: str, second: str = "") -> int:
        """How many tokens a text has, special ones included, however many they are."""
        return len(self.tokenizer.encode_pair(text, second)[0] if second.strip() else self.tokenizer.encode(text))

    def inputs(self, tokens: Tokens, segments: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """A batch of one: ids and segments, int64 (1, T)."""
        return torch.tensor([tokens.ids], device=self.device), torch.tensor([segments], device=self.device)

    @torch.inference_mode()
    def trace(self, text: str, second: str = "") -> Trace:
        """Every attention map of one pass: all tokens look at all tokens, special ones included.

        Raises:
            EmptyInput, InputTooLong: a text that cannot be used.
            DeviceError: out of memory.
        """
        started = time.perf_counter()
        tokens, segments = self.encode(text, second)
        check_maps(self.model.config, {"encoder": (len(tokens), len(tokens))})
        with guard_memory(self.device):
            weights = self.model.forward_with_maps(*self.inputs(tokens, segments)).encoder[:, 0].cpu().numpy()
        check_finite(weights)
        names = self.model.config.head_names("encoder")
        return Trace(
            request=TraceRequest(self.card.identity, tokens.text, None, 0),
            source=tokens,
            read=NO_TOKENS,
            predicted=NO_TOKENS,
            translation="",
            maps={"encoder": AttentionMap("encoder", weights, tokens, tokens, source_name="", head_names=names)},
            token_logprobs=np.zeros(0, dtype=np.float32),
            device=self.device,
            milliseconds=1000 * (time.perf_counter() - started),
        )
