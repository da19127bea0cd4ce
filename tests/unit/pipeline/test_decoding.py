"""An export is proved with the search that its recipe translates by."""

from pathlib import Path

import pytest

from mtkit.config.recipe import Recipe, read_recipe
from mtkit.config.search import SearchSettings
from mtkit.files import read_json, write_text
from mtkit.log import RunContext
from mtkit.model.folder import CARD, WEIGHTS, check_folder, read_card
from mtkit.pipeline import stages
from mtkit.pipeline.decoding import HOW_IT_TRANSLATES, searching
from mtkit.pipeline.kinds import KINDS

RECIPE = """\
recipe: toy
about: a toy
source: letters
target: reversed
stages:
  corpus: {{train: text, valid: text, test: text}}
  subword: {{pieces: 300}}
  train: {{until: {{updates: 1000}}, schedule: {{warmup_updates: 1}}}}
  translate: {{{search}}}
  score: {{metrics: [bleu]}}
  export: {{quantization: float32, probe_lines: 3}}
  folder: {{kind: export, to: safetensors, probe_lines: 3}}
"""


def recipe_of(folder: Path, search: str) -> Recipe:
    write_text(folder / "toy.yaml", RECIPE.format(search=search))
    return read_recipe(folder / "toy.yaml", KINDS)


def identity(recipe: Recipe) -> dict[str, str]:
    return stages.export_identity(recipe.stages["export"].settings, recipe)  # type: ignore[arg-type]


def test_another_search_is_another_export_and_the_default_one_is_none(tmp_path: Path) -> None:
    assert identity(recipe_of(tmp_path, "beam_size: 5")) == {}
    one, other = (identity(recipe_of(tmp_path, f"length_penalty: {alpha}")) for alpha in ("1.0", "0.8"))
    assert list(one) == list(other) == [HOW_IT_TRANSLATES] and one != other


@pytest.mark.parametrize("name", ["export", "folder"])
def test_the_certificate_and_the_folder_have_the_recipes_search(
    name: str, reversing_model: Path, toy: Path, tmp_path: Path
) -> None:
    recipe, train, out = (
        recipe_of(tmp_path, "beam_size: 3, length_penalty: 0.9"),
        tmp_path / "train",
        tmp_path / "out",
    )
    train.mkdir()
    (train / "model").symlink_to(reversing_model)
    out.mkdir()
    settings = recipe.stages[name].settings
    reads = {"corpus": toy / "corpus", "train": train}
    stages.export(settings, reads, out, RunContext(quiet=True), recipe)  # type: ignore[arg-type]
    [made] = out.iterdir()
    search = read_json(made / "certificate.json")["search"]
    assert (search["beam_size"], search["length_penalty"]) == (3, 0.9)
    if name == "folder":
        assert read_card(made).decoding.length_penalty == 0.9


def test_the_stored_model_stays_as_it_is(reversing_model: Path, tmp_path: Path) -> None:
    train, place = tmp_path / "train", tmp_path / "place"
    train.mkdir()
    place.mkdir()
    (train / "model").symlink_to(reversing_model)
    before = (reversing_model / CARD).read_bytes()
    with searching(train, SearchSettings(beam_size=2), place) as other:
        assert check_folder(other / "model").decoding.beam_size == 2
        assert (other / "model" / WEIGHTS).read_bytes() == (reversing_model / WEIGHTS).read_bytes()
    assert (reversing_model / CARD).read_bytes() == before and not list(place.iterdir())
    with searching(train, None, place) as same:
        assert same == train
