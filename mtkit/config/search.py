"""Settings of search and of the translate stage."""

from collections.abc import Iterator
from typing import ClassVar

from mtkit.config.settings import Field, Finding, Settings


class SearchSettings(Settings):
    """Search: how a translation is looked for."""

    beam_size: int = Field(5, ge=1, le=100, description="hypotheses followed at once; 1: greedy")
    n_best: int = Field(1, ge=1, description="hypotheses returned; at most the beam size")
    length_penalty: float = Field(
        0.6, ge=0, description="alpha of ((5+T)/6)^alpha (Wu et al. 2016, equation 14); 0: none"
    )
    max_length_factor: float = Field(
        2.0, gt=0, description="a translation has at most factor times source tokens + extra tokens"
    )
    max_length_extra: int = Field(20, ge=1, description="see max_length_factor")

    def findings(self) -> Iterator[Finding]:
        if self.n_best > self.beam_size:
            yield Finding(
                ("n_best",),
                f"{self.n_best} best of a beam of {self.beam_size}",
                "n_best at most beam_size",
                "Raise `beam_size` or lower `n_best`.",
            )
        if self.beam_size == 1 and "length_penalty" in self.model_fields_set and self.length_penalty:
            yield Finding(
                ("length_penalty",),
                "`length_penalty` has no effect on greedy search (`beam_size: 1`)",
                "a setting with an effect",
                "Remove it, or set a `beam_size` above 1.",
            )


class TranslateSettings(SearchSettings):
    """Translate: which texts to translate with which search."""

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"batch_tokens"})

    split: str = Field(
        "test", pattern="^(valid|test)$", description="which split of the corpus: valid or test"
    )
    batch_tokens: int = Field(
        2000, ge=1, description="source tokens translated at once; changes speed and memory, not text"
    )

    @property
    def search(self) -> SearchSettings:
        """What search needs of these settings."""
        return SearchSettings(**{name: getattr(self, name) for name in SearchSettings.model_fields})
