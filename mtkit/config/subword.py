"""Settings of the subword stage."""

import re
from collections.abc import Iterator
from typing import Literal

from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings

# What SentencePiece calls its special and byte pieces, and what it would cut a piece at.
_NEVER_A_PIECE = re.compile(r"|<pad>|<unk>|<s>|</s>|<0x[0-9A-Fa-f]{2}>|.*[\s\x00-\x1f\x7f-\x9f].*", re.DOTALL)


class SubwordSettings(Settings):
    """Subword: how text becomes pieces (SentencePiece; Kudo and Richardson 2018)."""

    algorithm: Literal["bpe", "unigram"] = Field(
        default="bpe", description="bpe (Sennrich et al. 2016) or unigram (Kudo 2018)"
    )
    pieces: int = Field(default=8000, ge=8, description="size of the vocabulary, special pieces included")
    share: Literal["source-and-target", "none"] = Field(
        default="source-and-target", description="one vocabulary for both sides, or one each"
    )
    byte_fallback: bool = Field(
        default=True,
        description="spell characters outside the vocabulary as bytes, so that nothing is unknown",
    )
    character_coverage: float = Field(
        default=0.9999,
        gt=0.9,
        le=1.0,
        description="share of the corpus' characters that get a piece of their own",
    )
    split_digits: bool = Field(default=True, description="every digit is a piece of its own")
    user_defined: list[str] = Field(
        default_factory=list, description="pieces that are never split, e.g. tags or placeholders"
    )
    sentences: int | None = Field(
        default=1_000_000, ge=1, description="most sentences to learn from, drawn by the seed; null: all"
    )

    def findings(self) -> Iterator[Finding]:
        least = 4 + (256 if self.byte_fallback else 0) + len(self.user_defined)
        if self.pieces <= least:
            yield Finding(
                ("pieces",),
                f"{self.pieces} pieces, of which {least} are taken before learning starts"
                " (4 special" + (", 256 bytes" if self.byte_fallback else "") + ", user-defined)",
                f"more than {least}",
                "Raise `pieces`" + (", or set `byte_fallback: false`." if self.byte_fallback else "."),
            )
        if len(set(self.user_defined)) != len(self.user_defined):
            yield Finding(("user_defined",), "a piece is named twice", "each piece once")
        for index, piece in enumerate(self.user_defined):
            if _NEVER_A_PIECE.fullmatch(piece):
                yield Finding(
                    ("user_defined", index),
                    f"{piece!r} cannot be a piece",
                    "text without white space and control characters, other than <pad>, <unk>, <s>, </s> and"
                    " <0x00> to <0xFF>",
                    "Write it otherwise, for example with `_` for a space.",
                )
