"""Every message about a bad recipe, as a user reads it.

`recipe_errors/NAME.yaml` is the recipe (lines `# --set a.b=c` at its top are given on the command line),
`recipe_errors/NAME.txt` the message.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.config.recipe import read_recipe
from mtkit.errors import RecipeError
from mtkit.pipeline.kinds import KINDS

FOLDER = Path(__file__).parent / "recipe_errors"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SET = "# --set "


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_recipe_is_answered_as_stored(
    name: str, golden: Callable[[Path, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(FOLDER)
    lines = Path(f"{name}.yaml").read_text(encoding="utf-8", errors="replace").split("\n")
    overrides = [line.removeprefix(SET) for line in lines if line.startswith(SET)]
    with pytest.raises(RecipeError) as caught:
        read_recipe(f"{name}.yaml", KINDS, overrides)
    assert caught.value.exit_code == 2
    golden(FOLDER / f"{name}.txt", f"{caught.value}\n")


def test_every_message_has_its_recipe_and_there_are_many() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == NAMES
    assert len(NAMES) >= 30
