"""An encoder-only transformers model that restores masked tokens, as a Cloze: what its tokenizer makes of blanks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_tokens import MASK, TYPED_MASK, Part, Special
from engine.errors import Unsupported
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.tokens import HostedTokenizer
from engine.pieces import dense, labels_of, spelled
from engine.text import BOUNDARY
from engine.types import Tokens

CONTINUES = "##"  # WordPiece: the piece goes on with a word
_SPACED = (BOUNDARY, "Ġ", " ")  # marks of a space that vocabularies write


class HostedClozeTokenizer:
    """A hosted tokenizer as `engine.cloze_tokens.ClozeTokenizer`: what a reader sees as [MASK] is its own mask token.

    A mask is read where it stands, by the tokenizer's own rules: RoBERTa's takes the space before it along, so that
    "The [MASK] sat" is the same to the model as "The<mask> sat".
    """

    unreadable = (
        "The model's vocabulary has none of these characters. Type a text in a language that it was trained on."
    )

    def __init__(self, tokenizer: HostedTokenizer, mask: str) -> None:
        """Args:
        tokenizer: of the model.
        mask: its mask token, as it writes it.
        """
        self.hosted, self.name = tokenizer, mask
        self.mask, self.unknown = tokenizer.id_of(mask), tokenizer.unknown
        self.specials = tokenizer.specials | frozenset(tokenizer.banned)
        self._typed = re.compile(f"{TYPED_MASK.pattern}|{re.escape(mask)}", re.IGNORECASE)

    def __len__(self) -> int:
        return len(self.hosted)

    def normalise(self, text: str) -> str:
        """All of a text that can be shown, its line breaks and other spaces single spaces."""
        return " ".join(self.hosted.normalise(text).split())

    def frame(self, texts: int) -> tuple[tuple[Special, ...], ...]:
        """The special tokens that the model expects around one text or between two: <s> a </s></s> b </s>."""
        return self._frames[texts - 1]

    @cached_property
    def _frames(self) -> tuple[tuple[tuple[Special, ...], ...], ...]:
        one = self.hosted.encode(self.name, specials=(self.name,))
        two, _ = self.hosted.encode_pair(self.name, self.name, specials=(self.name,))
        return _around(one), _around(two)

    def parts(self, text: str) -> list[Part]:
        """The pieces of a text; [MASK] and the model's own mask token in it are masks."""
        written = self._typed.sub(lambda found: self.name, text)
        return self._read(self.hosted.encode(written, end=False, specials=(self.name,)))

    def pieces_of(self, word: str, *, first: bool, glued: bool) -> list[Part]:
        """The pieces of a word, read behind a mask where it is not the first."""
        if first or self.name in word:
            return self._read(self.hosted.plain(word))
        behind = f"{self.name}{'' if glued else ' '}{word}"
        found = self._read(self.hosted.encode(behind, end=False, specials=(self.name,)))[1:]
        return [self._continuing(found[0]), *found[1:]] if glued and found else found

    def _continuing(self, part: Part) -> Part:
        """The piece that goes on with a word, where a vocabulary has one."""
        token = self.hosted.id_of(CONTINUES + self.hosted.piece_of(part.token))
        return part if token == self.unknown else Part(token, part.text, part.lead, part.word, part.label)

    def spelled(self, tokens: Sequence[int]) -> list[Part]:
        """The text of ids in a row: pieces of bytes make characters together."""
        written = [self._written(token) for token in tokens]
        text, spans = spelled(written)
        bare = [(a + (b - a > 1 and text[a] == " "), b) for a, b in spans]
        labels = labels_of(text, bare, lambda index: self.hosted.label_of(tokens[index]))
        words = tuple(range(len(tokens)))
        found = Tokens(text, labels, tuple(tokens), words, tuple(bare), (False,) * len(tokens))
        return self._read(found, lead=text.startswith(" "))

    def piece_of(self, token: int) -> str:
        """The text of an id, with `BOUNDARY` for the space before it; bytes that are no character as numbers."""
        try:
            text = self._written(token).decode()
        except UnicodeDecodeError:
            return self.hosted.label_of(token)
        if token in self.specials or not text.strip():
            return BOUNDARY if text.startswith(" ") else self.hosted.label_of(token)
        return BOUNDARY + text[1:] if text.startswith(" ") else text

    def begins(self, token: int, *, first: bool) -> bool:
        """Whether a piece begins a word: it has a space before it, or nothing stands before it; Chinese has none."""
        written = self._written(token)
        text = written.decode("utf-8", "replace")
        continues = self.hosted.piece_of(token).startswith(CONTINUES)
        return text.startswith(" ") or (first and not continues) or dense(text)

    def _written(self, token: int) -> bytes:
        """What an id adds to a text; before Chinese no space is meant where a vocabulary has no marks of spaces."""
        added, piece = self.hosted.bytes_of(token), self.hosted.piece_of(token)
        if added.startswith(b" ") and not piece.startswith(_SPACED):
            bare = added[1:].decode("utf-8", "replace")
            return added[1:] if dense(bare) else added
        return added

    def _read(self, tokens: Tokens, *, lead: bool = True) -> list[Part]:
        """Tokens of a text as parts, all of whose characters but spaces are of some part.

        Args:
            tokens: of a text without special tokens around it; masks are labelled as the tokenizer writes them.
            lead: whether a space stands, or is meant, before the first.
        """
        parts: list[Part] = []
        end = 0  # of the text that parts have by now
        for index, (a, b) in enumerate(tokens.spans):
            token, label = tokens.ids[index], tokens.labels[index]
            mask = token == self.mask and tokens.text[a:b] == self.name
            if a < b <= end:
                parts.append(Part(token, "", False, tokens.words[index], label, shares=True))
                continue
            new = tokens.text[end : max(a, b)]
            spaced = new[:1].isspace() or (not index and lead)
            text = MASK if mask else tokens.text[end:b].lstrip()
            label = MASK if mask else label if text else ""
            parts.append(Part(token, text, spaced, tokens.words[index], label, mask, shares=a < min(end, b)))
            end = max(end, b)
        return parts


def cloze_of_hosted(card: ModelCard, model: HostedEncoder, tokenizer: HostedTokenizer, device: str) -> Cloze:
    """A transformers model behind texts with blanks.

    Args:
        card: of the model.
        model: one that restores tokens.
        tokenizer: its own.
        device: where it runs.

    Raises:
        Unsupported: it restores nothing, or its tokenizer has no mask token.
    """
    if not model.restores:
        raise Unsupported(
            f"{card.name} was saved without the head that restores words. Read a text with it on the page “Your model”."
        )
    mask = tokenizer.mask
    if mask is None:
        raise Unsupported(
            f"The tokenizer of {card.name} has no mask token, so no word can be left out. Read a text with it on the "
            "page “Your model”."
        )
    return Cloze(card, model, HostedClozeTokenizer(tokenizer, mask), device)


def _around(tokens: Tokens) -> tuple[tuple[Special, ...], ...]:
    """The special tokens before, between and behind the texts of which each is one token."""
    found: list[list[Special]] = [[]]
    for token, label, special in zip(tokens.ids, tokens.labels, tokens.special, strict=True):
        if special:
            found[-1].append((token, label))
        else:
            found.append([])
    return tuple(map(tuple, found))
