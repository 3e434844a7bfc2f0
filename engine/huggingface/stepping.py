"""Whether a decoder that reads token by token says what it says when it reads all at once."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import Unsupported
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.seq2seq import HostedSeq2Seq

READ = 4  # tokens
APART = 0.1  # of a probability: far more than half precision makes, less than a lost state does


@torch.inference_mode()
def check_steps(network: HostedDecoder | HostedSeq2Seq, start: int, name: str) -> None:
    """Read a few tokens both ways.

    Args:
        network: the model.
        start: id that an encoder-decoder's decoder reads first.
        name: what it is called.

    Raises:
        Unsupported: the steps fail, or end elsewhere: besides keys and values the model carries a state of its own.
    """
    rows = network.config.vocabulary
    ids = torch.arange(READ, device=network.hosted.device)[None] % rows
    try:
        whole, stepped = _both(network, ids, start)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a network makes of a cache without its own state
        raise Unsupported(_refused(name)) from error
    if whole.isfinite().all() and float((whole.exp() - stepped.exp()).abs().max()) > APART:
        raise Unsupported(_refused(name))


def _both(network: HostedDecoder | HostedSeq2Seq, ids: Tensor, start: int) -> tuple[Tensor, Tensor]:
    """Log-probabilities (vocabulary,) after the last token, by one pass and by steps."""
    if isinstance(network, HostedDecoder):
        whole = network(ids)[0, -1]
        state = network.encode(ids[:, :1])
        read = ids[:, 1:]
        for token in read.unbind(1):
            stepped, state = network.step(state, token)
    else:
        target = torch.cat([torch.full_like(ids[:, :1], start), ids[:, 1:]], dim=1)
        whole = network(ids, target)[0, -1]
        memory = network.encode(ids)
        for token in target.unbind(1):
            stepped, memory = network.step(memory, token)
    return whole.float().log_softmax(-1), stepped[0]


def _refused(name: str) -> str:
    return (
        f"{name} cannot be read token by token here: it carries more from one token to the next than keys and values. "
        "Export its maps with transformers (output_attentions) and upload the file instead."
    )
