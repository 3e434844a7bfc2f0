"""The recurrent encoder-decoder, with one of three attention scores or with none.

Sources: Cho et al. 2014, "Learning Phrase Representations using RNN Encoder-Decoder"; Bahdanau et al. 2015, "Neural
Machine Translation by Jointly Learning to Align and Translate"; Luong et al. 2015, "Effective Approaches to
Attention-based Neural Machine Translation".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.models.bidirectional import BidirectionalLayer
from engine.models.recurrent import Cell, RecurrentStack
from engine.models.scores import score_of
from engine.models.taps import NO_TAPS, UNTAPPED, Change, Place, Tap, Taps
from engine.types import Kind

AttentionKind = Literal["none", "additive", "dot", "general"]
ATTENTIONS: tuple[AttentionKind, ...] = get_args(AttentionKind)
CROSS: Place = ("cross", 0)  # the one place of attention


@dataclass(frozen=True, slots=True)
class Seq2SeqConfig:
    """Shape of an encoder-decoder of gated recurrent units.

    Attributes:
        vocabulary: number of pieces; source and target share one embedding, which is also the output matrix.
        attention: "none" (one vector for the whole source, read at every step), or the score: "additive", "dot" or
            "general".
        embedding: width of a token's vector.
        layers: of the encoder, each with a network in either direction.
        encoder_width: of either direction.
        width: of the decoder's state, to which keys are projected.
        pad, unknown, start, end: special ids; decoding starts by reading `start`.
    """

    vocabulary: int
    attention: AttentionKind
    embedding: int = 256
    layers: int = 2
    encoder_width: int = 192
    width: int = 320
    pad: int = 0
    unknown: int = 1
    start: int = 2
    end: int = 3

    def __post_init__(self) -> None:
        if self.attention not in ATTENTIONS:
            raise ConfigError(f"attention {self.attention!r}: choose one of {', '.join(ATTENTIONS)}.")
        sizes = (self.vocabulary, self.embedding, self.layers, self.encoder_width, self.width)
        if min(sizes) < 1:
            raise ConfigError("vocabulary, embedding, layers, encoder_width and width are at least 1.")

    @property
    def heads(self) -> int:
        """The one head of the one place of attention; 0 without attention."""
        return int(self.attention != "none")

    @property
    def context(self) -> int:
        """Width of what the decoder reads of the source at each step: both directions of the last layer."""
        return 2 * self.encoder_width

    @property
    def head_width(self) -> int:
        """Width of what a head gives: the context."""
        return self.context

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention: one over the source, if any."""
        return self.heads if kind == "cross" else 0

    def attention_head_width(self, kind: Kind) -> int:
        """Width of what a head of a kind of attention gives."""
        return self.head_width

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer of a kind of attention: one."""
        return self.heads


class TokenVectors(nn.Module):
    """Token vectors, scaled by the root of their width."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.scale = math.sqrt(width)
        self.tokens = nn.Embedding(vocabulary, width)
        nn.init.normal_(self.tokens.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (B, T, E) of ids (B, T): what gradients are taken against."""
        return self.tokens(ids) * self.scale


@dataclass(frozen=True, slots=True)
class Source:
    """A source as the decoder sees it. Rows are those of a batch, or one that all of them share.

    Attributes:
        annotations: (B, S, 2·H) of the last encoder layer, 0 at padding.
        keys: (B, S, H), their projection to the decoder's width; None without attention.
        summary: (B, 2·H): the forward network after the last token, the backward one after the first.
        mask: bool (B, S), False at padding; None where nothing is padded.
    """

    annotations: Tensor
    keys: Tensor | None
    summary: Tensor
    mask: Tensor | None

    def select(self, rows: Tensor) -> Source:
        if len(self.summary) == 1:
            return self
        keys, mask = self.keys, self.mask
        return Source(
            self.annotations.index_select(0, rows),
            None if keys is None else keys.index_select(0, rows),
            self.summary.index_select(0, rows),
            None if mask is None else mask.index_select(0, rows),
        )

    def expand(self, batch: int) -> Source:
        """The same for `batch` rows."""
        if len(self.summary) == batch:
            return self
        keys, mask = self.keys, self.mask
        return Source(
            self.annotations.expand(batch, -1, -1),
            None if keys is None else keys.expand(batch, -1, -1),
            self.summary.expand(batch, -1),
            None if mask is None else mask.expand(batch, -1),
        )


def _no_taps(position: int) -> Taps:
    return {}


@dataclass(frozen=True, slots=True)
class Seq2SeqState:
    """The decoder between two steps.

    Attributes:
        source: what it looks at.
        hidden: (B, H), its state.
        length: number of tokens read.
        taps: those of the step at a position, from 0; they hold for every row.
    """

    source: Source
    hidden: Tensor
    length: int = 0
    taps: Callable[[int], Taps] = _no_taps

    def select(self, rows: Tensor) -> Seq2SeqState:
        return replace(self, source=self.source.select(rows), hidden=self.hidden.index_select(0, rows))


@dataclass(frozen=True, slots=True)
class Seq2SeqMaps:
    """One forward pass with every attention weight.

    Attributes:
        logits: (B, T, vocabulary).
        cross: float32 (1, B, 1, T, S); no layer, (0, B, 0, T, S), without attention.
    """

    logits: Tensor
    cross: Tensor

    @property
    def by_kind(self) -> dict[Kind, Tensor]:
        """The maps by what they are; none without attention."""
        return {"cross": self.cross} if len(self.cross) else {}


class Seq2Seq(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it.

    One wiring for all four kinds: the state before a step is the query of its attention, and the step reads the token
    and the context (Bahdanau et al. 2015, section 3.1), so that only the score differs. Without attention the context
    is the source's summary, the same at every step (Cho et al. 2014, section 2.2).
    """

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.config = config
        wide = config.context
        self.embedding = TokenVectors(config.vocabulary, config.embedding)
        widths = [config.embedding] + [wide] * (config.layers - 1)
        self.encoder = nn.ModuleList(BidirectionalLayer(width, config.encoder_width) for width in widths)
        self.bridge = nn.Linear(wide, config.width)
        self.decoder = RecurrentStack("gru", config.embedding + wide, config.width)
        self.readout = nn.Linear(config.width + wide + config.embedding, config.embedding)
        attends = config.attention != "none"
        self.keys = nn.Linear(wide, config.width, bias=False) if attends else None
        self.score = score_of(config.attention, config.width) if attends else None

    @property
    def target_embedding(self) -> nn.Module:
        """What gives the decoder's token vectors: one matrix serves source, target and output."""
        return self.embedding

    # --- The source ---------------------------------------------------------------------------------------------------

    def source_mask(self, source: Tensor) -> Tensor | None:
        """Bool (B, S), False at padding of source ids (B, S); None if nothing is padded."""
        keep = source != self.config.pad
        return None if bool(keep.all()) else keep

    def read_source(self, vectors: Tensor, mask: Tensor | None) -> Source:
        """Token vectors (B, S, E) through the encoder."""
        lengths = None if mask is None else mask.sum(1)
        *_, x = self.encoder_layers(vectors, lengths)
        if mask is not None:
            x = x * mask[:, :, None]
        half = self.config.encoder_width
        last = x[:, -1] if lengths is None else x[torch.arange(len(x), device=x.device), lengths - 1]
        summary = torch.cat([last[:, :half], x[:, 0, half:]], dim=-1)
        return Source(x, None if self.keys is None else self.keys(x), summary, mask)

    def encoder_layers(self, vectors: Tensor, lengths: Tensor | None) -> Iterator[Tensor]:
        """The outputs (B, S, 2·H) of each encoder layer, forward half first, for token vectors (B, S, E).

        Args:
            vectors: the token vectors.
            lengths: int64 (B,), of the rows without padding; None where nothing is padded.
        """
        x = vectors
        for layer in self.encoder:
            x = layer(x, lengths)
            yield x

    def start(self, source: Source) -> Tensor:
        """The decoder's state (B, H) before its first step."""
        return torch.tanh(self.bridge(source.summary))

    # --- One step of the decoder --------------------------------------------------------------------------------------

    def attend(self, hidden: Tensor, source: Source) -> tuple[Tensor, Tensor]:
        """Where a state (B, H) looks: scores (B, S), −∞ at padding, and their softmax, exactly 0 there; float32, or
        float64 as the model is.
        """
        assert self.score is not None and source.keys is not None
        scores = self.score(hidden, source.keys)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        if source.mask is not None:
            scores = scores.masked_fill(~source.mask, -math.inf)
        return scores, scores.softmax(-1)

    def _look(self, hidden: Tensor, source: Source, step: _Step) -> Tensor:
        """The context (B, 2·H) of a step."""
        if self.score is None:
            return source.summary
        weights = step.used(self.attend(hidden, source)[1])
        context = torch.bmm(weights.to(source.annotations.dtype)[:, None], source.annotations)[:, 0]
        return step.given(context)

    def _advance(self, cell: Cell, token: Tensor, context: Tensor, hidden: Tensor) -> Tensor:
        """The state after reading a token, whose share of the gates is projected already, and its context."""
        projected = token + F.linear(context, cell.weight_ih[:, self.config.embedding :])
        return cell.advance(projected, (hidden,))[0][0]

    def _project_tokens(self, cell: Cell, vectors: Tensor) -> Tensor:
        """The tokens' share of the gates, for all steps in one matrix product: (B, T, E) to (B, T, 3·H)."""
        return F.linear(vectors, cell.weight_ih[:, : self.config.embedding], cell.bias_ih)

    def _read_out(self, states: Tensor, contexts: Tensor, vectors: Tensor) -> Tensor:
        """What the output matrix sees: (..., H), (..., 2·H) and (..., E) to (..., E).

        Source: Luong et al. 2015, equation 5, with the token read beside state and context as in Bahdanau et al. 2015.
        """
        return torch.tanh(self.readout(torch.cat([states, contexts, vectors], dim=-1)))

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., E) to (..., vocabulary): the embedding matrix, transposed."""
        return F.linear(hidden, self.embedding.tokens.weight)

    # --- Whole sequences ----------------------------------------------------------------------------------------------

    def run_decoder(self, vectors: Tensor, source: Source, taps: Taps = NO_TAPS) -> Tensor:
        """Teacher-forced token vectors (B, T, E) to what the output matrix sees, (B, T, E)."""
        return self._read_out(*self.unroll(vectors, source, taps), vectors)

    def unroll(self, vectors: Tensor, source: Source, taps: Taps = NO_TAPS) -> tuple[Tensor, Tensor]:
        """The decoder's states (B, T, H) after each step and the contexts (B, T, 2·H) that they read."""
        (cell,) = self.decoder.cells()
        tap, steps = taps.get(CROSS, UNTAPPED), vectors.shape[1]
        _note_values(tap, source)
        hidden, states, contexts = self.start(source), [], []
        for index, token in enumerate(self._project_tokens(cell, vectors).unbind(1)):
            context = self._look(hidden, source, _Step(tap, index, steps))
            hidden = self._advance(cell, token, context, hidden)
            states.append(hidden)
            contexts.append(context)
        return torch.stack(states, dim=1), torch.stack(contexts, dim=1)

    def forward(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Teacher-forced logits (B, T, vocabulary) of ids (B, S) and (B, T).

        Position i reads target[:, i] and predicts the next token. Padding of the target needs no mask, being last.
        """
        mask = self.source_mask(source)
        return self.forward_from_embeddings(self.embedding(source), self.embedding(target), mask, taps)

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        """The same from scaled token vectors (B, S, E) and (B, T, E), as `embedding` gives them."""
        return self.logits(self.run_decoder(target, self.read_source(source, mask), taps))

    def forward_with_maps(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> Seq2SeqMaps:
        """The same with every attention weight; `taps` may change or watch more."""
        heads, (batch, long) = self.config.heads, source.shape
        weights = torch.empty(heads, batch, heads, target.shape[1], long, dtype=torch.float32, device=source.device)
        watched: Taps = {}
        if heads:
            watched = {CROSS: replace(taps.get(CROSS, UNTAPPED), weights=weights[0])}
        return Seq2SeqMaps(self(source, target, watched), weights)

    # --- Step by step -------------------------------------------------------------------------------------------------

    def encode(self, source: Tensor, taps: Callable[[int], Taps] = _no_taps) -> Seq2SeqState:
        """Step protocol: source ids (B, S) to the state before the first step; `taps` are those of a position."""
        seen = self.read_source(self.embedding(source), self.source_mask(source))
        return Seq2SeqState(seen, self.start(seen), taps=taps)

    def step(self, state: Seq2SeqState, tokens: Tensor, taps: Taps | None = None) -> tuple[Tensor, Seq2SeqState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, vocabulary) and the next
        state. Given taps take the place of the state's own.
        """
        (cell,) = self.decoder.cells()
        tap = (state.taps(state.length) if taps is None else taps).get(CROSS, UNTAPPED)
        vectors, source = self.embedding(tokens), state.source.expand(len(tokens))
        _note_values(tap, source)
        hidden = state.hidden.expand(len(tokens), -1)
        context = self._look(hidden, source, _Step(tap, 0, 1))
        hidden = self._advance(cell, self._project_tokens(cell, vectors), context, hidden)
        logits = self.logits(self._read_out(hidden, context, vectors))
        return logits.float().log_softmax(-1), replace(state, hidden=hidden, length=state.length + 1)

    def step_with_cross(self, state: Seq2SeqState, tokens: Tensor) -> tuple[Tensor, Seq2SeqState, Tensor]:
        """`step`, and where each row looks in the source: float32 (B, layers, heads, S), empty without attention."""
        heads, wide = self.config.heads, state.source.annotations.shape[1]
        weights = torch.empty(len(tokens), heads, 1, wide, dtype=torch.float32, device=tokens.device)
        own = state.taps(state.length)
        watched: Taps = {CROSS: replace(own.get(CROSS, UNTAPPED), weights=weights)} if heads else {}
        logprobs, state = self.step(state, tokens, {**own, **watched})
        return logprobs, state, weights.transpose(1, 2)[:, :heads]


def _note_values(tap: Tap, source: Source) -> None:
    """Write what attention averages, the annotations, into the tap's buffer."""
    if tap.values is not None:
        tap.values[:, 0] = source.annotations.detach()


@dataclass(frozen=True, slots=True)
class _Step:
    """The tap of a whole forward as one of its steps sees it.

    A change takes and gives all rows at once; a step shows it its own row among zeros, and takes that row back.
    """

    tap: Tap
    index: int
    steps: int

    def used(self, weights: Tensor) -> Tensor:
        """The weights (B, S) that the step uses, noted in the tap's buffer."""
        if self.tap.change_weights is not None:
            weights = self._changed(self.tap.change_weights, weights)
        if self.tap.weights is not None:
            self.tap.weights[:, 0, self.index] = weights.detach()
        return weights

    def given(self, context: Tensor) -> Tensor:
        """The context (B, D) that the step reads, noted in the tap's buffer."""
        if self.tap.change_outputs is not None:
            context = self._changed(self.tap.change_outputs, context)
        if self.tap.outputs is not None:
            self.tap.outputs[:, 0, self.index] = context.detach()
        return context

    def _changed(self, change: Change, row: Tensor) -> Tensor:
        before, after = self.index, self.steps - self.index - 1
        whole = F.pad(row[:, None, None], (0, 0, before, after))  # (B, 1, T, ·)
        return change(whole)[:, 0, self.index]
