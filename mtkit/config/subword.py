"""Settings of the subword stage."""

from collections.abc import Iterator
from typing import Literal

from mtkit.config.settings import Field, Finding, Settings


class SubwordSettings(Settings):
    """Subword: how text becomes pieces (SentencePiece; Kudo and Richardson 2018)."""

    algorithm: Literal["bpe", "unigram"] = Field(
        "bpe", description="bpe (Sennrich et al. 2016) or unigram (Kudo 2018)"
    )
    pieces: int = Field(8000, ge=8, description="size of the vocabulary, special pieces included")
    share: Literal["source-and-target", "none"] = Field(
        "source-and-target", description="one vocabulary for both sides, or one each"
    )
    byte_fallback: bool = Field(
        True, description="spell characters outside the vocabulary as bytes, so that nothing is unknown"
    )
    character_coverage: float = Field(
        0.9999,
        gt=0.9,
        le=1.0,
        description="share of the corpus' characters that get a piece of their own",
    )
    split_digits: bool = Field(True, description="every digit is a piece of its own")
    user_defined: list[str] = Field(
        default_factory=list, description="pieces that are never split, e.g. tags or placeholders"
    )
    sentences: int | None = Field(
        1_000_000, ge=1, description="most sentences to learn from, drawn by the seed; null: all"
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
