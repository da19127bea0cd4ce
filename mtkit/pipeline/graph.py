"""Which stages a goal needs, and which bear a kind. The recipe's order already puts what is read first."""

from mtkit.config.recipe import Recipe, Stage
from mtkit.errors import RecipeError


def needed(recipe: Recipe, goals: list[str]) -> list[Stage]:
    """The goals and everything they read, directly or not, in an order that can be run.

    Raises:
        RecipeError: a goal is not a stage of the recipe.
    """
    wanted: set[str] = set()
    waiting = list(goals)
    while waiting:
        name = waiting.pop()
        if name not in recipe.stages:
            raise RecipeError(
                f"no stage named {name!r}",
                where=str(recipe.path),
                expected=f"one of {', '.join(recipe.stages)}",
                advice="Name a stage of this recipe.",
            )
        if name not in wanted:
            wanted.add(name)
            waiting.extend(recipe.stages[name].reads.values())
    return [stage for name, stage in recipe.stages.items() if name in wanted]


def of_kind(recipe: Recipe, kind: str) -> list[str]:
    """The names of all stages of a kind.

    Raises:
        RecipeError: the recipe has none.
    """
    names = [name for name, stage in recipe.stages.items() if stage.kind.name == kind]
    if not names:
        raise RecipeError(
            f"the recipe has no stage of kind {kind}",
            where=str(recipe.path),
            expected=f"a stage of kind {kind}; it has {', '.join(recipe.stages)}",
            advice=f"Add `{kind}:` under `stages`.",
        )
    return names
