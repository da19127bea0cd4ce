"""Settings of the train stage: updates, loss, schedule, optimiser, validation, what is kept."""

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from mtkit.config.model import ModelSettings
from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings
from mtkit.config.subword import SubwordSettings
from mtkit.config.values import Interval, Patience, Probability, Share, amount, unit

FIRST_MOMENTUM = 0.85  # where a momentum that warms up begins, as in Jordan et al. 2024


class Until(Settings):
    """When training stops: at whichever comes first."""

    updates: int | None = Field(default=None, ge=1, description="number of optimiser updates")
    epochs: int | None = Field(default=None, ge=1, description="passes over the training pairs")
    patience: Patience | None = Field(
        default=None, description="validations without a better score before stopping early"
    )

    def findings(self) -> Iterator[Finding]:
        if self.updates is None and self.epochs is None:
            yield Finding((), "no end is given", "`updates` or `epochs`", "Add for example `updates: 6000`.")


class Validate(Settings):
    """How the model is measured while it learns."""

    every: Interval = Field(default="500 updates", description="how often: `N updates` or `N epochs`")
    by: Literal["loss", "bleu", "chrf"] = Field(
        default="loss", description="the score that decides best and patience; bleu and chrf translate"
    )
    pairs: int = Field(
        default=500, ge=1, description="most validation pairs translated each time; the loss uses all"
    )
    beam_size: int = Field(default=1, ge=1, description="beam size of the validation translation")
    samples: int = Field(default=2, ge=0, description="translations shown each time")

    def findings(self) -> Iterator[Finding]:
        if self.by == "loss" and self.samples == 0:
            for name in ("pairs", "beam_size"):
                if name in self.model_fields_set:
                    yield Finding(
                        (name,),
                        f"`{name}` has no effect: `by: loss` with `samples: 0` translates nothing",
                        "a setting with an effect",
                        f"Remove `{name}`, or validate by bleu or chrf.",
                        idle=True,
                    )


class Keep(Settings):
    """Which checkpoints stay, and from which the final model is made."""

    best: int = Field(default=1, ge=0, description="checkpoints with the best validation score")
    last: int = Field(default=1, ge=1, description="latest checkpoints, from which training resumes")
    average: int = Field(
        default=1,
        ge=1,
        description="final model = average of the weights of this many last validations; 1: best",
    )


class InverseSqrt(Settings):
    """Linear warm-up, then the rate falls with 1/sqrt(update) (Vaswani et al. 2017, equation 3)."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_updates: int = Field(default=4000, ge=1, description="updates until the peak")


class Cosine(Settings):
    """Linear warm-up, then half a cosine down to `floor` at the last update (Loshchilov and Hutter 2017)."""

    kind: Literal["cosine"] = "cosine"
    warmup_updates: int = Field(default=500, ge=1, description="updates until the peak")
    floor: Share = Field(default=0.0, description="last rate as a share of the peak")


class WarmupStableDecay(Settings):
    """Linear warm-up, a plateau, then linear decay to `floor` at the last update (Hu et al. 2024)."""

    kind: Literal["warmup_stable_decay"] = "warmup_stable_decay"
    warmup_updates: int = Field(default=500, ge=1, description="updates until the peak")
    decay_share: Share = Field(default=0.3, description="share of all updates that decay")
    floor: Share = Field(default=0.0, description="last rate as a share of the peak")


Schedule = Annotated[InverseSqrt | Cosine | WarmupStableDecay, Field(discriminator="kind")]


class AdamW(Settings):
    """AdamW (Loshchilov and Hutter 2019), fused; weight decay on matrices only."""

    kind: Literal["adamw"] = "adamw"
    learning_rate: float = Field(default=1e-3, gt=0, description="peak learning rate")
    beta1: Probability = Field(default=0.9, description="decay of the first moment")
    beta2: Probability = Field(default=0.98, description="decay of the second moment")
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled decay of matrices")


class Muon(Settings):
    """Muon (Jordan et al. 2024) for the layers' matrices, AdamW for embeddings, norms and biases."""

    kind: Literal["muon"] = "muon"
    learning_rate: float = Field(
        default=0.02, gt=0, description="peak rate of matrices, scaled by sqrt(max(1, rows/columns))"
    )
    momentum: Probability = Field(default=0.95, description="Nesterov momentum")
    momentum_warmup_updates: int = Field(
        default=0,
        ge=0,
        description="updates over which momentum rises from 0.85 to `momentum`; 0: it is there at once",
    )
    weight_decay: float = Field(default=0.0, ge=0, description="decoupled decay of matrices")
    adamw: AdamW = Field(
        default_factory=lambda: AdamW(learning_rate=3e-3), description="for all other parameters"
    )

    def findings(self) -> Iterator[Finding]:
        if self.momentum_warmup_updates and self.momentum <= FIRST_MOMENTUM:
            yield Finding(
                ("momentum_warmup_updates",),
                f"a momentum of {self.momentum:g} cannot rise: its warm-up begins at {FIRST_MOMENTUM:g}",
                f"a momentum above {FIRST_MOMENTUM:g}, or no warm-up of it",
                "Remove `momentum_warmup_updates`.",
            )


Optimizer = Annotated[AdamW | Muon, Field(discriminator="kind")]


class Loss(Settings):
    """What is minimised: cross-entropy in nats per target token, plus optional weight penalties."""

    label_smoothing: Probability = Field(default=0.1, description="Szegedy et al. 2016, section 7")
    l1: float = Field(default=0.0, ge=0, description="times the sum of absolute weights of matrices")
    l2: float = Field(default=0.0, ge=0, description="times half the sum of squared weights of matrices")


class Stop(Settings):
    """Training ends with a message: the update, its lines, the last good checkpoint."""

    kind: Literal["stop"] = "stop"


class RollBack(Settings):
    """Training goes back to the last good validation and on from there at a lower learning rate.

    The same pairs come again. After `times` it stops all the same.
    """

    kind: Literal["roll_back"] = "roll_back"
    rate_factor: float = Field(
        default=0.5,
        gt=0,
        lt=1,
        description="each time the learning rate is multiplied by it, to the end of training",
    )
    times: int = Field(default=3, ge=1, description="most times in one training")


OnDivergence = Annotated[Stop | RollBack, Field(discriminator="kind")]


class SubwordSampling(Settings):
    """Another segmentation of each sentence each time it is seen."""

    probability: Probability = Field(
        default=0.1, description="bpe: merges left out (BPE-dropout, Provilkov et al. 2020); unigram: unused"
    )
    sides: Literal["source", "target", "both"] = Field(default="both", description="which sides are sampled")
    temperature: float = Field(
        default=0.2, gt=0, description="unigram: smoothing alpha (Kudo 2018); bpe: unused"
    )


# What `batch_tokens: auto` never goes above: the batch of Vaswani et al. 2017, section 5.1. More seldom helps
# learning, and each update takes longer.
MOST_BATCH_TOKENS = 25_000
LEAST_UPDATES_PER_EPOCH = 100  # what `auto` leaves a small corpus: it needs many updates, not large ones

BatchTokens = Annotated[int, Field(ge=8)]
Accumulate = Annotated[int, Field(ge=1)]
Precision = Literal["float32", "bfloat16"]


class TrainSettings(Settings):
    """Train: from ids to a model folder."""

    batch_tokens: BatchTokens | Literal["auto"] = Field(
        default=4096,
        description=f"target tokens per update; auto: as many as fit in memory, at most {MOST_BATCH_TOKENS:,}"
        f" (Vaswani et al. 2017, section 5.1), with at least {LEAST_UPDATES_PER_EPOCH} updates an epoch",
    )
    accumulate: Accumulate | Literal["auto"] = Field(
        default="auto",
        description="micro-batches an update is cut into, to save memory and to occupy the cores of a CPU;"
        " same result to rounding. auto: as few as fit in memory and occupy the cores, found when training"
        " begins and recorded; a number gives the same bits on fewer cores, and with `--threads` of that"
        " number on more",
    )
    max_tokens: int = Field(
        default=256,
        ge=2,
        description="longest side of a training pair in tokens; longer pairs are left out, counted",
    )
    until: Until = Field(description="when to stop")
    validate_: Validate = Field(
        default_factory=Validate, alias="validate", description="measuring while learning"
    )
    keep: Keep = Field(default_factory=Keep, description="checkpoints kept")
    schedule: Schedule = Field(default_factory=InverseSqrt, description="learning rate over time")
    optimizer: Optimizer = Field(default_factory=AdamW, description="how gradients become steps")
    loss: Loss = Field(default_factory=Loss, description="what is minimised")
    clip_norm: float | None = Field(
        default=1.0, gt=0, description="largest norm of the gradient; null: no clipping"
    )
    on_divergence: OnDivergence = Field(
        default_factory=Stop,
        description="what follows if numbers are not finite, or the loss went up and stays there",
    )
    ema_decay: Probability = Field(
        default=0.0, description="weights averaged exponentially over updates; 0: off (Polyak averaging)"
    )
    subword_sampling: SubwordSampling | None = Field(
        default=None, description="subword regularisation of training text; null: off"
    )
    precision: Literal["float32", "bfloat16", "auto"] = Field(
        default="float32",
        description="of matrix products in training; weights stay float32. auto: the faster one here",
    )
    compile: bool | Literal["auto"] = Field(
        default="auto",
        description="layers through torch's compiler, which changes rounding; auto: on a GPU that computes in"
        " bfloat16, else nothing is compiled; true: an error where that cannot be",
    )
    shard: bool = Field(
        default=False,
        description="share weights, gradients and optimiser out among processes, to save memory (FSDP2); same"
        " result to rounding, nothing changes in one process",
    )
    model: ModelSettings = Field(default_factory=ModelSettings, description="the architecture")

    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"shard", "compile"})

    def findings(self) -> Iterator[Finding]:
        if self.keep.average > 1 and self.ema_decay > 0:
            yield Finding(
                ("ema_decay",),
                "both `keep.average` and `ema_decay` decide the final weights",
                "one way of averaging",
                "Remove `ema_decay`, or set `keep.average: 1`.",
            )
        yield from self._too_small()
        yield from self._not_compiled()
        positions = self.model.positions
        if positions.kind == "learned" and positions.max < self.max_tokens:
            yield Finding(
                ("model", "positions", "max"),
                f"{positions.max} positions, but a side of a pair may have {self.max_tokens} tokens"
                " (`max_tokens`)",
                "at least max_tokens",
                "Raise it, or lower `max_tokens`.",
            )
        if self.schedule.kind in ("cosine", "warmup_stable_decay") and self.until.updates is None:
            yield Finding(
                ("schedule", "kind"),
                f"`{self.schedule.kind}` needs to know the last update",
                "`until.updates`",
                "Add `updates` to `until`, or use `inverse_sqrt`.",
            )
        if self.until.updates is not None and self.schedule.warmup_updates >= self.until.updates:
            yield Finding(
                ("schedule", "warmup_updates"),
                f"training ends at update {self.until.updates}, before warm-up does"
                f" ({self.schedule.warmup_updates})",
                "fewer warm-up updates than updates",
                f"Try `warmup_updates: {max(1, self.until.updates // 10)}`.",
            )
        if (
            self.until.patience is None
            and self.until.updates is not None
            and unit(self.validate_.every) == "updates"
            and amount(self.validate_.every) > self.until.updates
        ):
            yield Finding(
                ("validate", "every"),
                f"training ends at update {self.until.updates}, before the first validation",
                f"at most {self.until.updates} updates",
            )

    def _too_small(self) -> Iterator[Finding]:
        """Where the longest pair finds no room."""
        if isinstance(self.batch_tokens, str):
            return
        parts = 1 if isinstance(self.accumulate, str) else self.accumulate
        if self.batch_tokens < self.max_tokens:
            yield Finding(
                ("batch_tokens",),
                f"an update of {self.batch_tokens} tokens cannot hold a pair of {self.max_tokens} tokens"
                " (`max_tokens`)",
                "batch_tokens of at least max_tokens",
                "Raise `batch_tokens`, or lower `max_tokens`.",
            )
        elif self.batch_tokens // parts < self.max_tokens:
            yield Finding(
                ("accumulate",),
                f"a micro-batch of {self.batch_tokens // parts} tokens cannot hold a pair of"
                f" {self.max_tokens} tokens (`max_tokens`)",
                "batch_tokens / accumulate of at least max_tokens",
                f"Set `accumulate: {self.batch_tokens // self.max_tokens}` or less, or `auto`; or raise"
                " `batch_tokens`, or lower `max_tokens`.",
            )

    def _not_compiled(self) -> Iterator[Finding]:
        """What `compile: true` cannot be had with, on any device."""
        if self.compile is not True:
            return
        expected = "`auto`, which compiles where it can be, or false"
        if self.precision == "float32":
            yield Finding(
                ("compile",),
                "`compile: true` with `precision: float32`: layers are compiled for bfloat16 only",
                expected,
                "Set `precision: auto`, or remove `compile`.",
            )
        if self.model.attention_dropout:
            yield Finding(
                ("compile",),
                "`compile: true` with `model.attention_dropout`, which compiled layers do not know",
                expected,
                "Remove one of them.",
            )
        if self.shard:
            yield Finding(
                ("compile",),
                "`compile: true` with `shard`: layers whose weights are shared out are not compiled",
                expected,
                "Remove one of them.",
            )

    def findings_beside(self, reads: Mapping[str, Settings]) -> Iterator[Finding]:
        subword = reads.get("subword")
        if not isinstance(subword, SubwordSettings):
            return
        if subword.share == "none" and self.model.tied_embeddings == "all":
            yield Finding(
                ("model", "tied_embeddings"),
                "`tied_embeddings: all`, but each side has a vocabulary of its own (`share: none`)",
                "target or none, or one vocabulary for both sides",
                "Set `model.tied_embeddings: target`, or `share: source-and-target` in the subword stage.",
            )
        unused = "temperature" if subword.algorithm == "bpe" else "probability"
        if self.subword_sampling is not None and unused in self.subword_sampling.model_fields_set:
            yield Finding(
                ("subword_sampling", unused),
                f"`{unused}` has no effect on a vocabulary learnt by {subword.algorithm}",
                "`probability` for bpe, `temperature` for unigram",
                f"Remove `{unused}`, or choose the other algorithm in the subword stage.",
                idle=True,
            )


class FixedTrainSettings(TrainSettings):
    """What a training works with: the settings after everything `auto` has been chosen."""

    batch_tokens: BatchTokens = Field(default=4096, description="target tokens per update")
    accumulate: Accumulate = Field(default=1, description="micro-batches an update is cut into")
    precision: Precision = Field(default="float32", description="of matrix products in training")
