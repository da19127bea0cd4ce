"""Settings of the score stage."""

from typing import Literal

from mtkit.config.settings import Field, Settings


class Confidence(Settings):
    """Bootstrap confidence intervals of 95 % (Koehn 2004)."""

    resamples: int = Field(1000, ge=2, description="resampled test sets")


class ScoreSettings(Settings):
    """Score: numbers with signatures (sacreBLEU; Post 2018)."""

    metrics: list[Literal["bleu", "chrf", "ter"]] = Field(
        default=["bleu", "chrf"], min_length=1, description="which metrics, in this order"
    )
    confidence: Confidence | None = Field(None, description="confidence intervals; null: none")
