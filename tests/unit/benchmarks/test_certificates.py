from pathlib import Path
from typing import Any

import pytest

from benchmarks.certificates import read_noted, record, table
from mtkit.config.export import ExportSettings
from mtkit.config.recipe import read_recipe
from mtkit.errors import RunError
from mtkit.pipeline.kinds import KINDS

RECIPES = {path.stem: path for path in (Path(__file__).parents[3] / "recipes").glob("*.yaml")}


def noted(quantization: str = "float32", *refused: str) -> dict[str, Any]:
    return {
        "quantization": quantization,
        "attempts": [{"quantization": one, "finer": []} for one in (*refused, quantization)],
        "probe": {"valid": 1200, "nasty": 24},
        "alike": 1223,
        "ties": 1,
        "scores": {
            "bleu": {"torch": 31.456, "converted": 31.0},
            "chrf": {"torch": 50.0, "converted": 49.996},
        },
        "bytes": 1_234_567,
        "original_bytes": 4_900_000,
    }


def test_a_row_says_what_was_compared_and_what_was_found() -> None:
    rows = table({"toy": noted(), "a": noted("int16", "int8")}).splitlines()
    assert rows[0].startswith("| recipe | stored in |")
    assert rows[2:] == [
        "| a | int16 (int8 over budget) | 1.23 of 4.90 | 1,224 | 1,223 |  | 31.46 | 31.00 | 50.00 | 50.00 |",
        "| toy | float32 | 1.23 of 4.90 | 1,224 | 1,223 | 1 | 31.46 | 31.00 | 50.00 | 50.00 |",
    ]


def test_what_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run"):
        record(tmp_path)


def test_every_shipped_recipe_has_a_certificate_for_what_it_asks() -> None:
    records = read_noted()
    assert sorted(records) == sorted(RECIPES), "run the recipe, then `python -m benchmarks.certificates RUN`"
    for name, path in RECIPES.items():
        settings = read_recipe(path, KINDS).stages["export"].settings
        assert isinstance(settings, ExportSettings)
        assert records[name]["asked"] == settings.quantization, name
