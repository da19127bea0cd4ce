"""Settings of the score stage."""

from typing import Literal, get_args

from mtkit.config.rules import Field
from mtkit.config.settings import Settings

Metric = Literal["bleu", "chrf", "ter"]
METRICS: tuple[Metric, ...] = get_args(Metric)


class Confidence(Settings):
    """Bootstrap confidence intervals of 95 % (Koehn 2004)."""

    resamples: int = Field(default=1000, ge=2, description="resampled test sets")


class ScoreSettings(Settings):
    """Score: numbers with signatures (sacreBLEU; Post 2018)."""

    metrics: list[Metric] = Field(
        default=["bleu", "chrf"], min_length=1, description="which metrics, in this order"
    )
    confidence: Confidence | None = Field(default=None, description="confidence intervals; null: none")
