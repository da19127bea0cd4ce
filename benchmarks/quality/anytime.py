"""mtkit's anytime curve: one long training, and from its plateau a short decay for every earlier time.

Until its decay begins, a training with a plateau is the same, bit for bit, however long it is to be. So a
training of 5 minutes is the first half of the plateau of one of 10, and a decay of its own: all points of a
curve cost the longest training and the decays of the others, and are those that separate trainings would
give, but for where decays may begin: at a validation, where the long training left a checkpoint.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.quality.own_runs import OwnRuns, last_of_each, run_recipe
from benchmarks.quality.points import Point
from mtkit.config.recipe import read_recipe
from mtkit.errors import RecipeError
from mtkit.files import read_json, write_json
from mtkit.log import RunContext
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.runner import run
from mtkit.pipeline.runs import STORE
from mtkit.pipeline.store import PARTIAL, Store
from mtkit.training.checkpoint import Checkpoints

CHECKPOINTS, SUMMARY = "checkpoints", "train.json"
STRIDES = 4  # validations, and so places where a decay may begin, on the plateau of the shortest training
KEPT = 1000  # checkpoints: all


@dataclass(frozen=True)
class Branch:
    """A training as a stretch of a longer one's plateau and a decay.

    Attributes:
        start: update at which its decay begins.
        end: its last update.
    """

    start: int
    end: int


def branch(updates: int, decay_share: float, stride: int) -> Branch:
    """The training nearest to a number of updates whose decay begins at a multiple of `stride`."""
    start = max(stride, stride * round((1 - decay_share) * updates / stride))
    end = start
    while end - round(decay_share * end) < start:  # as `warmup_stable_decay` counts
        end += 1
    return Branch(start, end)


class AnytimeRuns(OwnRuns):
    """Trains a recipe once, and decays from its plateau; see `OwnRuns` for the arguments."""

    def points(self, minutes: Sequence[float]) -> Iterator[Point]:
        """Train the longest, then the others' decays, and score them all.

        Raises:
            RecipeError: the schedule has no plateau and decay.
            RunError: mtkit failed.
        """
        share = self._decay_share()
        pace = self._pace(max(minutes))
        shortest = min(pace.updates_in(asked) for asked in minutes)
        stride = max(1, round((1 - share) * shortest / STRIDES))
        branches = {asked: branch(pace.updates_in(asked), share, stride) for asked in minutes}
        longest = max(minutes)
        trunk = self._folder(longest, f"trunk-{longest:g}")
        other_seconds = self._trunk(trunk, branches[longest], stride)
        for asked, planned in branches.items():
            folder = trunk if asked == longest else self._folder(longest, f"branch-{asked:g}")
            overrides = self._branch_overrides(branches[longest], planned, stride)
            if asked != longest:
                self._prepare(trunk, folder, overrides, planned)
            run_recipe(self.path, overrides, "score", folder, self._environment)
            seconds = read_json(self._link(folder, "train") / SUMMARY)["seconds"] + other_seconds
            how = f"a plateau of {planned.start:,} updates and a decay to {planned.end:,}"
            yield self._point(folder, asked, seconds / 60, planned.end, how)

    def _decay_share(self) -> float:
        schedule = self._recipe(None).stages["train"].settings.model_dump()["schedule"]
        if schedule["kind"] != "warmup_stable_decay" or not 0 < schedule["decay_share"] < 1:
            raise RecipeError(
                "its learning rate has no plateau from which a decay could begin",
                where=f"{self.path}: stages.train.schedule",
                expected="`kind: warmup_stable_decay` with a `decay_share` between 0 and 1",
                advice="Measure separate trainings: `--systems mtkit`.",
            )
        share: float = schedule["decay_share"]
        return share

    def _trunk(self, folder: Path, planned: Branch, stride: int) -> float:
        """Make the longest training; returns the seconds that its command took beside training."""
        noted = folder / "other_seconds.json"
        if not noted.exists():
            overrides = self._branch_overrides(planned, planned, stride)
            seconds = self._timed(folder, overrides)
            write_json(noted, max(0.0, seconds - read_json(self._link(folder, "train") / SUMMARY)["seconds"]))
        return float(read_json(noted))

    def _branch_overrides(self, trunk: Branch, planned: Branch, stride: int) -> tuple[str, ...]:
        """The trunk's settings, its warm-up too, but for the end."""
        lengths = {
            "until.updates": str(planned.end),
            "validate.every": f"{stride} updates",
            "keep.last": str(KEPT),
        }
        settings = (f"stages.train.{name}={value}" for name, value in lengths.items())
        return last_of_each([*self._overrides(None, trunk.end), *settings])

    def _prepare(self, trunk: Path, folder: Path, overrides: tuple[str, ...], planned: Branch) -> None:
        """Put the trunk's checkpoint where a training of that length looks for its own, to go on from it."""
        run_recipe(self.path, overrides, "subword", folder, self._environment)
        stage = stage_folder(self.path, overrides, folder)
        target = stage.with_name(stage.name + PARTIAL) / CHECKPOINTS
        if stage.exists() or target.exists():
            return
        source = self._link(trunk, "train") / CHECKPOINTS
        transplant(source, target, planned)


def stage_folder(recipe: Path, overrides: Sequence[str], folder: Path) -> Path:
    """Where the train stage of a recipe will lie in the store in `folder`."""
    read = read_recipe(recipe, KINDS, overrides)
    result = run(read, "train", Store(folder / "runs" / STORE), RunContext(quiet=True), dry_run=True)
    return result.stages[-1].folder


def transplant(source: Path, target: Path, planned: Branch) -> None:
    """Copy a checkpoint of the plateau to a training that ends elsewhere.

    Args:
        source: checkpoints of the long training.
        target: folder for those of the other one.
        planned: the other one.
    """
    identity: dict[str, Any] = read_json(source / f"{planned.start:08d}" / "checkpoint.json")["identity"]
    found = Checkpoints(source, identity, print).at(planned.start)
    settings = {**identity["settings"], "until": {**identity["settings"]["until"], "updates": planned.end}}
    state = replace(found.state, snapshots=[])  # weights of validations on the plateau: none will be the best
    Checkpoints(target, {**identity, "settings": settings}, print).save(state, found.tensors)
