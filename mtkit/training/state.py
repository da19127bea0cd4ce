"""What training knows besides tensors: where it is, how it went, what it has kept. All of it is JSON."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mtkit.config.training import FixedTrainSettings, Until, Validate
from mtkit.config.values import amount, unit


@dataclass(frozen=True)
class Measured:
    """One validation.

    Attributes:
        update: after which update.
        epochs: whole epochs done by then.
        loss_nats_per_token: over all validation pairs, without smoothing and dropout.
        scores: of the translations, by metric.
    """

    update: int
    epochs: int
    loss_nats_per_token: float
    scores: dict[str, float]

    def rank(self, by: str) -> tuple[float, float]:
        """What decides, more is better: the score and, of equal scores (0 at first), the lower loss."""
        return (0.0 if by == "loss" else self.scores[by]), -self.loss_nats_per_token

    def flat(self) -> dict[str, float]:
        """The numbers side by side, for people and events."""
        return {
            "update": self.update,
            "loss_nats_per_token": round(self.loss_nats_per_token, 5),
            **{name: round(score, 3) for name, score in self.scores.items()},
        }


@dataclass
class GuardState:
    """What the guard against divergence remembers, see `guard.py`.

    Attributes:
        smoothed: recent loss in nats per token; None before the first update.
        best: the lowest that `smoothed` has been.
        updates_above: updates in a row far above it.
    """

    smoothed: float | None = None
    best: float = float("1e9")
    updates_above: int = 0


@dataclass(frozen=True)
class RollBack:
    """One time that training went back to an earlier checkpoint.

    Attributes:
        update: at which it had gone wrong.
        to: the update it went back to.
        found: what was wrong.
    """

    update: int
    to: int
    found: str


@dataclass
class TrainState:
    """Where a training is, at the boundary between two updates.

    Attributes:
        update: updates done.
        epoch: of the next batch, from 0; so also the number of whole epochs done.
        batch: position of the next update in its epoch.
        seconds: spent so far, validations and earlier sessions included.
        update_seconds: spent on updates alone.
        source_tokens: read so far, padding not counted.
        target_tokens: read so far, padding not counted.
        positions: of both sides so far, padding counted.
        order: hash of the pairs of every update so far, see `order.py`.
        validations: every validation, first to last.
        without_better: validations since the best one.
        snapshots: updates of the validations whose weights are kept.
        guard: of the divergence guard.
        anchor: the update whose checkpoint training goes back to if it diverges; None: it never does.
        in_pieces: batches, of updates and validations, that ran out of memory and were computed in pieces.
        roll_backs: how often it went back; each lowers the learning rate from there on.
        stopped_by: `updates`, `epochs` or `patience` once training is over.
    """

    update: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    update_seconds: float = 0.0
    source_tokens: int = 0
    target_tokens: int = 0
    positions: int = 0
    order: str = ""
    validations: list[Measured] = field(default_factory=list)
    without_better: int = 0
    snapshots: list[int] = field(default_factory=list)
    guard: GuardState = field(default_factory=GuardState)
    anchor: int | None = None
    in_pieces: int = 0
    roll_backs: list[RollBack] = field(default_factory=list)
    stopped_by: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON-like values."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "TrainState":
        """From what `to_json` gave."""
        return replace(
            cls(**value),
            validations=[Measured(**item) for item in value["validations"]],
            snapshots=list(value["snapshots"]),
            guard=GuardState(**value["guard"]),
            roll_backs=[RollBack(**item) for item in value["roll_backs"]],
        )

    @property
    def padding_share(self) -> float:
        """Share of positions of both sides that were padding."""
        return 1 - (self.source_tokens + self.target_tokens) / self.positions if self.positions else 0.0

    def best(self, by: str) -> Measured | None:
        """The best validation; of equal ones the first."""
        return max(self.validations, key=lambda measured: measured.rank(by), default=None)

    def record(self, measured: Measured, by: str) -> bool:
        """Add a validation; True if it is the best so far."""
        best = self.best(by)
        better = best is None or measured.rank(by) > best.rank(by)
        self.without_better = 0 if better else self.without_better + 1
        self.validations.append(measured)
        return better

    def wanted_snapshots(self, settings: FixedTrainSettings) -> list[int]:
        """The updates whose weights are to be kept: the best, and the last if they are averaged."""
        by = settings.validate_.by
        here = [measured for measured in self.validations if measured.update in self.snapshots]
        if settings.keep.average > 1:
            last = here[-settings.keep.average :]
            best = _best(here, by, settings.keep.best)
        else:
            last, best = [], _best(here, by, max(1, settings.keep.best))
        return sorted({measured.update for measured in [*last, *best]})

    @property
    def validated(self) -> bool:
        """True if the last validation measured these very weights."""
        return bool(self.validations) and self.validations[-1].update == self.update

    def validation_is_due(self, validate: Validate) -> bool:
        """True if the state stands at a validation that was not made yet."""
        every = amount(validate.every)
        if unit(validate.every) == "updates":
            return self.update > 0 and self.update % every == 0 and not self.validated
        last = self.validations[-1].epochs if self.validations else 0
        return self.epoch > last and self.epoch % every == 0

    def end(self, until: Until) -> str | None:
        """What ends training here: `updates`, `epochs` or `patience`; None: nothing yet."""
        if until.updates is not None and self.update >= until.updates:
            return "updates"
        if until.epochs is not None and self.epoch >= until.epochs:
            return "epochs"
        if until.patience is not None and self.without_better >= amount(until.patience):
            return "patience"
        return None


def _best(measured: list[Measured], by: str, count: int) -> list[Measured]:
    """The best few; of equal ones the first."""
    return sorted(measured, key=lambda item: item.rank(by), reverse=True)[:count]
