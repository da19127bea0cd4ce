"""`mtkit run`: every stage of a recipe that is not stored yet; what all commands that run a recipe share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mtkit.cli.options import (
    RUNS,
    device_option,
    processes_option,
    quiet_option,
    runs_option,
    set_option,
    threads_option,
)
from mtkit.pipeline.kinds import KINDS

if TYPE_CHECKING:
    from mtkit.pipeline.runner import RunResult
    from mtkit.training.place import Place

FEW_PROCESSES = 8  # as many GPUs as large machines have
MOST_PROCESSES_PER_CORE = 4

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.argument("recipe", type=click.Path(path_type=Path)),
    click.option("--dry-run", is_flag=True, help="Only print what would run, and why."),
    set_option,
    runs_option,
    device_option,
    threads_option,
    processes_option,
    quiet_option,
)


def recipe_options(command: Command) -> Command:
    """The argument and options of every command that runs a recipe."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@recipe_options
@click.option("--goal", metavar="STAGE", help="Stop after this stage.  [default: the whole recipe]")
def run(recipe: Path, goal: str | None, **options: Any) -> None:
    """Run a recipe: every stage that is not stored yet.

    Stages are stored under the fingerprint of everything their result depends on; what is stored is not made
    again. Stopped at any moment (Ctrl-C, kill, a full disk), the same command goes on from there.

    \b
    Examples:
      mtkit run recipes/demo.yaml
      mtkit run recipes/demo.yaml --dry-run
      mtkit run recipes/demo.yaml --set stages.train.model.dropout=0.2
    """
    run_recipe(recipe, RunOptions(**options), goal=goal)


@dataclass(frozen=True)
class RunOptions:
    """What the commands that run a recipe can be told.

    Attributes:
        overrides: `PATH=VALUE`, as `--set` takes them.
        runs: folder of the store and of the runs.
        dry_run: print the plan on stdout and run nothing.
        device: `cpu`, `cuda`, `cuda:1` or `auto`.
        threads: CPU threads, or None to choose.
        processes: that train together on this machine, or None to run in this one.
        quiet: say nothing but errors.
    """

    overrides: tuple[str, ...] = ()
    runs: Path = RUNS
    dry_run: bool = False
    device: str = "auto"
    threads: int | None = None
    processes: int | None = None
    quiet: bool = False


def run_recipe_to_kind(recipe: Path, kind: str, **options: Any) -> "RunResult":
    """Run a recipe up to and including all its stages of a kind.

    Args:
        options: the fields of `RunOptions`.

    Raises:
        MtkitError: the recipe is wrong or has no stage of that kind, or a stage failed.
    """
    return run_recipe(recipe, RunOptions(**options), kind=kind)


def run_recipe(
    path: Path, options: RunOptions, *, goal: str | None = None, kind: str | None = None
) -> "RunResult":
    """Read a recipe and run it up to a stage, or to all stages of a kind, or to its end.

    Raises:
        MtkitError: the recipe is wrong, or a stage failed.
        SystemExit: several processes ran it; or this one only followed another.
    """
    from mtkit.config.recipe import read_recipe
    from mtkit.log import RunContext
    from mtkit.pipeline.graph import of_kind
    from mtkit.pipeline.orders import dismiss
    from mtkit.pipeline.runner import forecasts
    from mtkit.pipeline.runner import run as run_stages
    from mtkit.pipeline.runs import STORE
    from mtkit.pipeline.store import Store
    from mtkit.pipeline.together import follow, together
    from mtkit.training.openmp import quiet_openmp

    quiet_openmp()  # before any stage imports torch
    recipe = read_recipe(path, KINDS, options.overrides)
    goals = of_kind(recipe, kind) if kind else [goal] if goal else None
    store = Store(options.runs / STORE)
    context = RunContext(
        seed=recipe.seed, device=options.device, threads=options.threads, quiet=options.quiet
    )
    place = _place(options)
    if options.dry_run:
        result = run_stages(recipe, goals, store, context, dry_run=True)
        if place.is_first:
            told = forecasts(recipe, goals or [], store, context, place) if kind else ()
            for line in [*result.lines, *told]:  # nothing at all if a stage could not run
                click.echo(line)
        return result
    with together(place, context) as context:
        if not place.is_first:
            follow(context)
            raise SystemExit(0)
        result = run_stages(recipe, goals, store, context)
        context.say(f"report: {result.folder / 'report.md'}")
        dismiss(context)
    return result


def _place(options: RunOptions) -> "Place":
    """Which of several processes this one is; starts them if it was asked to, and then does not come back.

    In a dry run it is the first of those that would be started.
    """
    from mtkit.errors import RecipeError
    from mtkit.pipeline.launcher import launch
    from mtkit.training.place import Place, read_place

    place = read_place()
    wanted = options.processes
    if wanted is None or wanted == place.count:
        return place
    if place.count > 1:
        raise RecipeError(
            f"--processes {wanted}, but a launcher has started {place.count} processes",
            expected="one of them to say how many",
            advice="Leave --processes out: torchrun and srun say how many.",
        )
    _check_cores(wanted)
    if options.dry_run:
        return Place(count=wanted, local_count=wanted)
    raise SystemExit(launch(wanted))


def _check_cores(processes: int) -> None:
    """Each process loads torch: hundreds of them take a machine's memory before one can say a word."""
    from mtkit.errors import RunError

    if processes <= FEW_PROCESSES:  # nobody's mistake, and torch need not be loaded here to count cores
        return
    from mtkit.model.cores import available_cores

    cores = available_cores()
    if processes <= MOST_PROCESSES_PER_CORE * cores:
        return
    raise RunError(
        f"--processes {processes:,}, on a machine with {cores} {'core' if cores == 1 else 'cores'} for them",
        expected="a process for each GPU, or for each core",
        advice=f"Use `--processes {cores}`, or leave it out: one process uses all cores.",
    )
