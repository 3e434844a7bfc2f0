"""Ids, pieces and the bytes that they are written for, of a tokenizer of Hugging Face."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from engine.errors import ModelError
from engine.huggingface.pieces import aligned
from engine.pieces import Span, byte_of, shown
from engine.text import BOUNDARY

NONE = -1
PROBES = ("a", "e", "1", "的", "ا", "а")  # one of them has a piece in any vocabulary
_TRIED = 5_000  # ids, where no probe tells
_SUFFIX = "</w>"  # what some pieces write at the end of a word, and others not
_UNKNOWN_TEXT = "\ufffd"


class HostedVocabulary:
    """The ids of a transformers tokenizer of any kind. Threads can share it.

    Attributes:
        pad, start, end, unknown: ids; −1 where there is none.
        specials: ids that no text has, the unknown one among them.
        banned: ids that are never generated: `specials` without `end` and `front`, and those that have no piece.
        front: ids that every output begins with.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        start: int,
        end: int,
        pad: int,
        size: int = 0,
        inputs: int = 0,
        front: tuple[int, ...] = (),
    ) -> None:
        """Args:
        tokenizer: as `transformers.AutoTokenizer` loads it.
        start: what a decoder reads first.
        end: what ends a text that is generated.
        pad: what fills a batch.
        size: tokens that the model can give, which may be more than the tokenizer has; 0 for as many.
        inputs: tokens that the model can read; 0 for as many.
        front: what every output begins with.
        """
        self._tokenizer = tokenizer
        self._lock = Lock()  # some slow tokenizers switch between two vocabularies
        self._backend = _backend(tokenizer)
        self._added: dict[int, Any] = dict(tokenizer.added_tokens_decoder)
        self.pad, self.start, self.end, self.front = pad, start, end, front
        unknown = tokenizer.unk_token_id
        self.unknown = NONE if unknown is None or unknown in (end, tokenizer.bos_token_id) else int(unknown)
        self._typed_specials = _special_ids(tokenizer)
        # Some decoders have a vocabulary of their own.
        output: dict[str, int] | None = getattr(tokenizer, "target_encoder", None)
        if output is None:
            self.specials, self._known = self._typed_specials, len(tokenizer)
        else:
            self.specials = frozenset(output[name] for name in tokenizer.all_special_tokens if name in output)
            self._known = len(output)
        self._size = size or self._known
        self._inputs = inputs or self._size
        self.banned = tuple(sorted((self.specials - {end, *front}) | set(range(self._known, self._size))))
        self._bytes: dict[int, bytes] = {}

    def __len__(self) -> int:
        return self._size

    @property
    def mask(self) -> str | None:
        """What stands for a word that is left out, as the vocabulary writes it; None where there is nothing."""
        mask = self._tokenizer.mask_token
        known = mask is not None and self.id_of(str(mask)) in self.specials - {self.unknown}
        return str(mask) if known else None

    def id_of(self, piece: str) -> int:
        """The id of a piece as the vocabulary writes it, special tokens included; `unknown` if there is none."""
        token = self._tokenizer.convert_tokens_to_ids(piece)
        return self.unknown if token is None else int(token)

    def piece_of(self, token: int) -> str:
        """The piece of an id as the vocabulary writes it; "#7" where there is none."""
        try:
            piece = self._tokenizer.convert_ids_to_tokens(token) if token >= 0 else None
        except (IndexError, KeyError, OverflowError):
            piece = None
        return f"#{token}" if piece is None else str(piece)

    def label_of(self, token: int) -> str:
        r"""What a screen shows of an id: its text without the space before it, "\xf0\x9f" for a part of a character.

        Special tokens are shown as they are.
        """
        if token in self.specials or not 0 <= token < self._known:
            return self.piece_of(token)
        return shown(self.bytes_of(token).decode("utf-8", "backslashreplace"))

    def text_of(self, token: int) -> str:
        """What an id adds within a text, a leading space included; nothing for special ids.

        A part of a character adds a replacement character: `added` knows what stands before it.
        """
        if token == self.unknown:
            return _UNKNOWN_TEXT
        return self.bytes_of(token).decode("utf-8", "replace")

    def bytes_of(self, token: int) -> bytes:
        """UTF-8 that an id adds within a text; nothing for special ids."""
        if token not in self._bytes:
            self._bytes[token] = self._spell(token)
        return self._bytes[token]

    def _spell(self, token: int) -> bytes:
        if token == self.unknown:
            return _UNKNOWN_TEXT.encode()
        if token in self.specials or not 0 <= token < self._known:
            return b""
        piece = self.piece_of(token)
        if token in self._added:
            return piece.encode()
        if self._letters is not None and all(c in self._letters for c in piece):
            return bytes(self._letters[c] for c in piece)
        if not piece.strip(BOUNDARY):  # decoders drop spaces at the end
            return b" " * len(piece)
        if self.piece_of(self._anchor).endswith(_SUFFIX):
            return piece.replace(_SUFFIX, " ").encode()
        before = self._decoded([self._anchor])
        both = self._decoded([self._anchor, token])
        text = both[len(before) :] if both.startswith(before) else piece.replace(BOUNDARY, " ")
        byte = byte_of(piece)
        return bytes([byte]) if byte is not None and piece not in text else text.encode("utf-8", "replace")

    def _decoded(self, ids: Sequence[int]) -> str:
        with self._lock:
            return str(self._tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    @cached_property
    def _letters(self) -> dict[str, int] | None:
        """The byte that each letter of a piece stands for, where pieces are written so; None where they are text."""
        if self._backend is not None:
            if self._backend.decoder is None or b'"ByteLevel"' not in self._backend.decoder.__getstate__():
                return None
            from transformers.convert_slow_tokenizer import bytes_to_unicode

            return {letter: byte for byte, letter in bytes_to_unicode().items()}
        spelt = "".join(self._pieces("é", output=False))
        return {chr(byte): byte for byte in range(256)} if spelt == "é".encode().decode("latin-1") else None

    @cached_property
    def _anchor(self) -> int:
        """An ordinary id, after which others are decoded."""
        tried = (token for probe in PROBES for token in self._ids_of(probe))
        ordinary = (token for token in tried if token not in self.specials and self._decoded([token]).strip())
        return next(ordinary, next((i for i in range(self._known) if i not in self.specials), 0))

    @cached_property
    def _strips(self) -> bool:
        """Whether the space of a text's first piece is not shown: as if a space stood before every text."""
        tried = [token for probe in PROBES for token in self._ids_of(f"{probe} {probe}")]
        for token in (*tried, *range(min(self._known, _TRIED))):
            if len(self.bytes_of(token)) > 1 and self.bytes_of(token).startswith(b" "):
                return not self._decoded([token]).startswith(" ")
        return False

    # ---- reading ----

    def _found(self, text: str, *, output: bool = False) -> list[tuple[int, Span]]:
        """Ids of a text as the tokenizer gives them, and where they stand in it."""
        if self._backend is not None:
            encoding = self._encoded(text, add_special_tokens=False)
            return list(zip(encoding.ids, encoding.offsets, strict=True))
        pieces = self._pieces(text, output=output)
        return list(zip(self._ids(pieces, output=output), aligned(text, pieces), strict=True))

    def _encoded(self, *texts: str | None, **options: bool) -> Any:
        """What the library's own tokenizer makes of texts.

        Raises:
            ModelError: it fails, by a panic (which is no Exception) or otherwise.
        """
        try:
            return self._backend.encode(*texts, **options)
        except BaseException as error:
            if isinstance(error, Exception) or type(error).__name__ == "PanicException":
                raise ModelError(
                    "The model's tokenizer fails at this text. Type another one, or save the model again with "
                    "save_pretrained, tokenizer included."
                ) from error
            raise

    def _ids_of(self, text: str) -> list[int]:
        """Ids that a decoder may give."""
        return [token for token, _ in self._found(text, output=True)]

    def _pieces(self, text: str, *, output: bool) -> list[str]:
        """Pieces of a slow tokenizer."""
        with self._lock:
            self._switch(output)
            pieces = list(self._tokenizer.tokenize(text, split_special_tokens=True))
            self._switch(False)
        return pieces

    def _ids(self, pieces: list[str], *, output: bool) -> list[int]:
        with self._lock:
            self._switch(output)
            ids = self._tokenizer.convert_tokens_to_ids(pieces)
            self._switch(False)
        return [NONE if token is None else int(token) for token in ids]

    def _switch(self, output: bool) -> None:
        """Choose the vocabulary of a slow tokenizer that has one for each side."""
        side = "_switch_to_target_mode" if output else "_switch_to_input_mode"
        if self._backend is None and hasattr(self._tokenizer, side):
            getattr(self._tokenizer, side)()


def _special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids that a tokenizer calls special, by name or by a flag."""
    flagged = {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    return frozenset(flagged | {int(i) for i in tokenizer.all_special_ids if i is not None})


def _backend(tokenizer: Any) -> Any:
    """A copy of a fast tokenizer's inside that reads typed specials as text and gives offsets; None for a slow one.

    A copy, since transformers changes settings of its own with each call, which threads would see.
    """
    own = getattr(tokenizer, "backend_tokenizer", None) if getattr(tokenizer, "is_fast", False) else None
    if own is None:
        return None
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(json.dumps(_untrimmed(json.loads(own.to_str()))))
    copy.no_truncation()
    copy.no_padding()
    copy.encode_special_tokens = True
    return copy


def _untrimmed(settings: Any) -> Any:
    """Settings of a tokenizer whose offsets keep the space in front: without it, a piece of spaces is nowhere."""
    if isinstance(settings, dict):
        return {key: False if key == "trim_offsets" else _untrimmed(value) for key, value in settings.items()}
    return [_untrimmed(value) for value in settings] if isinstance(settings, list) else settings
