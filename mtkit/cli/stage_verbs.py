"""`mtkit corpus`, `subword`, `train`: a recipe up to and including its stages of one kind."""

from pathlib import Path
from typing import Any

import click

from mtkit.cli.run import recipe_options, run_recipe_to_kind
from mtkit.pipeline.kinds import KINDS


def stage_verb(kind: str) -> click.Command:
    """The command that runs a recipe up to a kind."""

    @click.command(kind, help=_help(kind))
    @recipe_options
    def command(recipe: Path, **options: Any) -> None:
        run_recipe_to_kind(recipe, kind, **options)

    return command


def _help(kind: str) -> str:
    again = "What is stored is not made again; stopped at any moment, the same command goes on from there."
    return f"""Run a recipe up to its {kind} stage: {KINDS[kind].purpose}.

    {again}{_dry_run(kind)}

    \b
    Examples:
      mtkit {kind} recipes/demo.yaml
      mtkit {kind} recipes/demo.yaml --dry-run
    """


def _dry_run(kind: str) -> str:
    if not KINDS[kind].forecast:
        return ""
    return """

    --dry-run also says what running would take: memory, speed, time, with --processes of so many. That is
    measured, for a few seconds, on sentences as long as those of the corpus. What training would refuse is
    refused here, too. Before the subword stage is stored, lengths are assumed, and what hangs on them is
    refused later."""


corpus = stage_verb("corpus")
subword = stage_verb("subword")
train = stage_verb("train")
