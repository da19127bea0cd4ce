"""`mtkit status`: what is stored, what is running and by whom, what was interrupted."""

import time
from pathlib import Path

import click

from mtkit.cli.options import runs_option
from mtkit.pipeline.kinds import KINDS


@click.command()
@click.argument("recipe", required=False)
@runs_option
@click.option("--verify", is_flag=True, help="Read every stored file again and compare its SHA-256.")
def status(recipe: str | None, runs: Path, verify: bool) -> None:
    """Say what is stored, running or interrupted: every run with its stages, or those of one RECIPE.

    RECIPE is the recipe's name, its file or its run's folder. Nothing is changed; without --verify only sizes
    are compared.

    \b
    Examples:
      mtkit status
      mtkit status demo
      mtkit status runs/demo
      mtkit status --verify
    """
    from mtkit.pipeline.status import run_lines, store_lines

    runs, name = _run_of(recipe, runs) if recipe else (runs, None)
    for line in run_lines(runs, name, verify=verify, now=time.time()):
        click.echo(line)
    for line in store_lines(runs) if name is None else ():
        click.echo(line)


def _run_of(recipe: str, runs: Path) -> tuple[Path, str]:
    """The folder of runs, and the name in it, that a recipe's file or name or its run's folder means."""
    path = Path(recipe)
    if path.is_dir() and len(path.parts) > 1:
        return path.parent, path.name
    if not path.is_file():
        return runs, recipe
    from mtkit.config.recipe import read_recipe

    return runs, read_recipe(recipe, KINDS).name
