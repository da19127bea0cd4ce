"""`mtkit recipe`: check, show, compare and explain recipes without running anything."""

import sys
from collections.abc import Mapping, Sequence

import click

from mtkit.cli.options import set_option
from mtkit.config.kind import Kind
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.errors import MtkitError
from mtkit.log import say


@click.group()
def recipe() -> None:
    """Check, show, compare and explain recipes.

    A recipe is given as a file or by the name of a shipped one. Nothing is run, fetched or written.

    \b
    Examples:
      mtkit recipe check recipes/demo.yaml
      mtkit recipe explain train.optimizer
    """


def _kinds() -> Mapping[str, Kind]:
    from mtkit.pipeline.kinds import KINDS

    return KINDS


def _read(path: str, overrides: Sequence[str] = ()) -> Recipe:
    return read_recipe(path, _kinds(), overrides)


@recipe.command()
@click.argument("recipes", nargs=-1, required=True, metavar="RECIPE...")
@set_option
def check(recipes: tuple[str, ...], overrides: tuple[str, ...]) -> None:
    """Say whether recipes can run, with every problem of every one.

    Every key, type, range and connection between stages is checked, and so is every setting without
    an effect. Data files are not looked at. Exit code 2 if any recipe has a problem.

    \b
    Examples:
      mtkit recipe check recipes/demo.yaml
      mtkit recipe check recipes/*.yaml
    """
    failed = 0
    for path in recipes:
        try:
            checked = _read(path, overrides)
        except MtkitError as error:
            failed = max(failed, error.exit_code)
            say(f"{error.prefix}{error}")
        else:
            stages = " → ".join(checked.stages)
            click.echo(f"{checked.path}: no problems in {len(checked.stages)} stages: {stages}")
    if failed:
        sys.exit(failed)


@recipe.command()
@click.argument("path", metavar="RECIPE")
@set_option
def show(path: str, overrides: tuple[str, ...]) -> None:
    """Print a recipe with every value and where it comes from.

    Bases, `like` and defaults are written out; a comment names the file and line, `--set` or `default`.
    The output is a recipe itself: it has the same settings as the one shown.

    \b
    Examples:
      mtkit recipe show recipes/demo.yaml
      mtkit recipe show reverse --set seed=2
    """
    from mtkit.config.show import show as show_text

    click.echo(show_text(_read(path, overrides)), nl=False)


@recipe.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@set_option
def diff(first: str, second: str, overrides: tuple[str, ...]) -> None:
    """List the settings in which two recipes differ.

    Defaults count as what they are: a value written out and the same value left out do not differ.
    Both values and where they come from are shown. `--set` changes B only.

    \b
    Examples:
      mtkit recipe diff recipes/demo.yaml recipes/reverse.yaml
      mtkit recipe diff reverse reverse --set stages.train.model.dropout=0.2
    """
    from mtkit.config.diff import diff_text, differences

    found = differences(_read(first), _read(second, overrides))
    click.echo(diff_text(found) if found else "The settings are the same.\n", nl=False)


@recipe.command()
@click.argument("path", required=False, default="", metavar="[PATH]")
def explain(path: str) -> None:
    """Explain a setting, or list all that can be set in a mapping.

    Type, range, default and meaning are those that recipes are checked against. Without a path the
    recipe's own settings and the kinds of stages are listed.

    \b
    Examples:
      mtkit recipe explain train.model.heads
      mtkit recipe explain stages.translate
      mtkit recipe explain
    """
    from mtkit.config.explain import explain as explain_text

    click.echo(explain_text(path, _kinds()), nl=False)


@recipe.command()
def schema() -> None:
    """Print the JSON Schema of recipes, for editors.

    Made from the same description that recipes are checked against (draft 2020-12); an editor with a
    YAML language server completes keys and marks mistakes with it.

    \b
    Examples:
      mtkit recipe schema > recipes/recipe.schema.json
    """
    import json

    from mtkit.config.schema import recipe_schema

    click.echo(json.dumps(recipe_schema(_kinds()), ensure_ascii=False, indent=2))


@recipe.command(name="list")
def list_recipes() -> None:
    """List the shipped recipes.

    Each line has the name to use on the command line and what the recipe is about.

    \b
    Examples:
      mtkit recipe list
    """
    from mtkit.config.sources import recipe_summary, shipped_recipes

    recipes = shipped_recipes()
    width = max(map(len, recipes), default=0)
    for name, path in recipes.items():
        click.echo(f"{name:<{width}}  {recipe_summary(path)}".rstrip())
