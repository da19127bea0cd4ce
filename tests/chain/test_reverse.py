from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.files import read_json


@pytest.mark.slow
def test_the_reverse_recipe_learns_to_reverse_perfectly(here: Callable[..., str], recipe: Path) -> None:
    said = here("run", "reverse", "--threads", "2")
    assert "not met" not in said.replace("minutes", "")
    (bleu, *_) = read_json(recipe.parent / "runs/reverse/score/scores.json")
    assert (bleu["metric"], round(bleu["value"], 6)) == ("bleu", 100.0)
