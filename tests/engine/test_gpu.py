"""A CUDA device gives what the CPU gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import engine
from engine.catalogue import ModelCard
from engine.types import KINDS

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no CUDA device"),
]
# float32 sums of a few hundred products in another order; TF32 is off by default in torch's matrix products.
TOLERANCE = 1e-4
TEXTS = ["The cat sleeps on the red chair.", "I know that he is at home today."]


def test_a_trace_on_cuda_equals_the_one_on_the_cpu(tiny_card: ModelCard) -> None:
    here, there = engine.load(tiny_card.name, "cpu"), engine.load(tiny_card.name, "cuda")
    assert here.translate(TEXTS) == there.translate(TEXTS)
    for text in TEXTS:
        cpu, cuda = here.trace(text), there.trace(text)
        assert (cpu.device, cuda.device) == ("cpu", "cuda")
        for kind in KINDS:
            assert isinstance(cuda.maps[kind].weights, np.ndarray)
            np.testing.assert_allclose(cuda.maps[kind].weights, cpu.maps[kind].weights, atol=TOLERANCE)
        np.testing.assert_allclose(cuda.token_logprobs, cpu.token_logprobs, atol=TOLERANCE)
