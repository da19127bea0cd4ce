"""How a recipe translates with a model that it trains; a stored train stage knows nothing of that."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtkit.config.recipe import Recipe, Stage
from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.files import user_errors, write_json
from mtkit.model.folder import CARD, read_card

HOW_IT_TRANSLATES = "how the recipe translates"  # what a model's export depends on beside the model


def searches_of(recipe: Recipe, trained: str) -> dict[str, SearchSettings]:
    """Stage → how it searches, of those that translate with a model; the one that counts first.

    That is one of the test split, which is scored, if there is one.

    Args:
        recipe: the recipe.
        trained: the train stage.
    """
    stages = sorted(translations(recipe), key=lambda stage: _preference(stage, recipe))
    return {
        stage.name: stage.settings.search
        for stage in stages
        if stage.reads["train"] == trained and isinstance(stage.settings, TranslateSettings)
    }


def translations(recipe: Recipe) -> list[Stage]:
    """The stages that translate, in the recipe's order."""
    return [stage for stage in recipe.stages.values() if stage.kind.name == "translate"]


@contextmanager
def searching(train: Path, decoding: SearchSettings | None, place: Path) -> Iterator[Path]:
    """A train stage's folder whose model has these search settings in its card, for the block.

    Args:
        train: the stored folder, which stays as it is.
        decoding: the settings; None: those that it has.
        place: a folder where another may be made, of links to the model's files.
    """
    card = read_card(train / "model")
    if decoding is None or decoding == card.decoding:
        yield train
        return
    with user_errors(place), tempfile.TemporaryDirectory(prefix=".train.", dir=place) as other:
        model = Path(other) / "model"
        ignored = shutil.ignore_patterns(CARD)
        shutil.copytree(train / "model", model, copy_function=link_or_copy, ignore=ignored)
        write_json(model / CARD, card.model_copy(update={"decoding": decoding}).written())
        yield Path(other)


def link_or_copy(path: str | Path, place: str | Path) -> None:
    """A hard link where the file system has them, otherwise a copy with the same time."""
    try:
        os.link(path, place)
    except OSError:
        shutil.copy2(path, place)


def _preference(stage: Stage, recipe: Recipe) -> tuple[bool, bool]:
    """Sorts first what translates the test split, then what is scored, then by the recipe's order."""
    scored = {other.reads["translate"] for other in recipe.stages.values() if other.kind.name == "score"}
    split = stage.settings.split if isinstance(stage.settings, TranslateSettings) else ""
    return split != "test", stage.name not in scored
