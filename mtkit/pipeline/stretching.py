"""The process that `verifying.py` starts and kills: trains a stretch of one stage, or goes on with it.

What to do is in a JSON file, whose path is the only argument.
"""

import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.config.recipe import read_recipe
from mtkit.config.training import TrainSettings
from mtkit.errors import MtkitError
from mtkit.files import read_json, write_json
from mtkit.log import RunContext, say
from mtkit.pipeline.kinds import KINDS

if TYPE_CHECKING:
    from mtkit.training.place import Place
    from mtkit.training.stretch import Stretch

CHECKPOINTS, EVENTS, TRACE = "checkpoints", "events.jsonl", "trace.jsonl"
VALIDATIONS = 3  # in a stretch
PAIRS_TRANSLATED = 8  # at most, in each of them


@dataclass(frozen=True)
class Task:
    """What to train.

    Attributes:
        recipe: its path.
        overrides: `PATH=VALUE`, as `--set` takes them.
        stage: name of the train stage.
        reads: role → folder of the finished stage that fills it.
        out: folder of this training.
        updates: the last one.
        device: `cpu`, `cuda`, `cuda:1` or `auto`.
        threads: CPU threads, or None to choose.
        processes: that train together.
        waits_at: the update behind which it waits to be killed, or None.
    """

    recipe: str
    overrides: tuple[str, ...]
    stage: str
    reads: dict[str, str]
    out: str
    updates: int
    device: str
    threads: int | None
    processes: int
    waits_at: int | None = None

    def write(self, path: Path) -> None:
        """Leave it for the process that is to do it."""
        write_json(path, asdict(self))

    @classmethod
    def read(cls, path: Path) -> "Task":
        """What `write` left."""
        values: dict[str, Any] = read_json(path)
        return cls(**{**values, "overrides": tuple(values["overrides"])})

    @property
    def stretch(self) -> "Stretch":
        """What is watched; checkpoints are rarely where a kill comes, and validations fall between them."""
        from mtkit.training.stretch import Stretch

        return Stretch(self.updates, max(1, self.updates // 7), Path(self.out) / TRACE, self.waits_at)


def shortened(settings: TrainSettings, updates: int) -> TrainSettings:
    """Settings with a few short validations within so many updates; the schedule stays what it is."""
    validate = settings.validate_
    every = f"{max(1, updates // VALIDATIONS)} updates"
    pairs = min(validate.pairs, PAIRS_TRANSLATED)
    return settings.model_copy(
        update={"validate_": validate.model_copy(update={"every": every, "pairs": pairs})}
    )


def main(path: Path) -> None:
    """Do the task in a file; an error is said, and becomes the exit code."""
    from mtkit.pipeline.launcher import Launcher
    from mtkit.training.openmp import quiet_openmp
    from mtkit.training.place import read_place

    quiet_openmp()
    try:
        task, place = Task.read(path), read_place()
        if place.count == 1 and task.processes > 1:
            sys.exit(Launcher(task.processes, [sys.executable, *sys.orig_argv[1:]]).wait())
        _train(task, place)
    except MtkitError as error:
        say(f"{error.prefix}{error}")
        sys.exit(error.exit_code)


def _train(task: Task, place: "Place") -> None:
    from mtkit.pipeline.stages import train_along
    from mtkit.pipeline.together import together

    recipe = read_recipe(Path(task.recipe), KINDS, task.overrides)
    settings = recipe.stages[task.stage].settings
    assert isinstance(settings, TrainSettings), "the stage is of kind train"
    reads = {role: Path(folder) for role, folder in task.reads.items()}
    context = RunContext(seed=recipe.seed, device=task.device, threads=task.threads, quiet=True)
    with together(place, context) as run:
        train_along(shortened(settings, task.updates), reads, Path(task.out), run, task.stretch)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
