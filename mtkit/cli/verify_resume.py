"""`mtkit verify-resume`: kill a training at random updates, resume it, and prove that nothing differs."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mtkit.cli.options import (
    device_option,
    processes_option,
    quiet_option,
    runs_option,
    set_option,
    threads_option,
)
from mtkit.pipeline.kinds import KINDS

if TYPE_CHECKING:
    from mtkit.pipeline.verifying import Verdict

DIFFERS = 4  # exit code: what was resumed cannot be used


@click.command("verify-resume")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--updates",
    type=click.IntRange(min=2),
    default=30,
    show_default=True,
    metavar="N",
    help="How many are made.",
)
@click.option(
    "--kills",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    metavar="N",
    help="How often it is killed.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, metavar="N", help="Decides when it is killed."
)
@click.option("--stage", metavar="STAGE", help="Which training.  [default: the only one]")
@set_option
@runs_option
@device_option
@threads_option
@processes_option
@quiet_option
def verify_resume(  # noqa: PLR0913  # one argument an option
    recipe: Path,
    updates: int,
    kills: int,
    seed: int,
    stage: str | None,
    overrides: tuple[str, ...],
    runs: Path,
    device: str,
    threads: int | None,
    processes: int | None,
    quiet: bool,
) -> None:
    """Kill and resume a training; prove that it is the same.

    The first updates of the recipe's training are made twice: once undisturbed, and once killed with SIGKILL
    at random moments and resumed each time. Weights, optimiser, average, state and the pairs of every update
    must be equal to the last bit. Nothing of the runs is changed. Exit code 4 if something differs; then the
    first difference is named and both trainings are kept.

    \b
    Examples:
      mtkit verify-resume recipes/demo.yaml
      mtkit verify-resume recipes/demo.yaml --updates 100 --kills 10
    """
    from mtkit.config.recipe import read_recipe
    from mtkit.log import RunContext
    from mtkit.pipeline.runs import STORE
    from mtkit.pipeline.store import Store
    from mtkit.pipeline.verifying import Asked, verify_resume
    from mtkit.training.openmp import quiet_openmp

    quiet_openmp()
    read = read_recipe(recipe, KINDS, overrides)
    context = RunContext(seed=read.seed, device=device, threads=threads, quiet=quiet)
    asked = Asked(updates, kills, seed, stage, overrides, processes or 1)
    verdict = verify_resume(read, asked, Store(runs / STORE), context)
    for line in lines(verdict):
        click.echo(line)
    if verdict.first_difference:
        click.get_current_context().exit(DIFFERS)


def lines(verdict: "Verdict") -> list[str]:
    """The table of what was compared, and the verdict."""
    head = ("what", "compared", "undisturbed", "resumed", "")
    rows = [head] + [
        (item.what, item.extent, item.whole, item.resumed, "differs" if item.difference else "same")
        for item in verdict.compared
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    table = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    kills = ", ".join(
        f"{made} (resumed from {start})"
        for made, start in zip(verdict.killed_at, verdict.resumed_from, strict=True)
    )
    said = "every bit is the same"
    if verdict.first_difference:
        said = f"NOT the same: {verdict.first_difference}; both trainings are kept in {verdict.folder}"
    return [*table, f"killed after updates {kills}: {said}"]
