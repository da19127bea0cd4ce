"""What a recipe inherits and what has no effect there is left out; what it says itself is told."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from mtkit.config.kind import Kind
from mtkit.config.problems import RecipeProblemsError
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.config.show import show

Read = Callable[..., Recipe]
HEAD = """\
recipe: mine
base: base.yaml
source: de
target: en
stages:
  corpus: {train: {dataset: texts}}
"""
BEAM = "  translate: {beam_size: 5, length_penalty: 0.6, diversity: {groups: 5}}\n"
SAMPLES = "  translate: {sampling: {top_k: 5}, mbr: {utility: bleu}}\n"


@pytest.fixture
def read(write: Callable[..., Path], kinds: Mapping[str, Kind]) -> Read:
    """Read a recipe of these stages whose base has those stages."""

    def make(own: str, base: str, overrides: Sequence[str] = ()) -> Recipe:
        train = "" if "  train:" in base else "  train: {until: {updates: 9000}}\n"
        write(f"stages:\n  subword: {{pieces: 300}}\n{base}{train}", "base.yaml")
        return read_recipe(write(HEAD + own), kinds, overrides)

    return make


def told(read: Read, *given: object) -> list[str]:
    with pytest.raises(RecipeProblemsError) as caught:
        read(*given)
    return [f"{problem.place.label}: {problem.path}" for problem in caught.value.problems]


def test_samples_need_no_base_without_a_beam(read: Read) -> None:
    recipe = read(SAMPLES, BEAM)
    settings = recipe.stages["translate"].settings
    assert settings == read(SAMPLES, "").stages["translate"].settings
    assert settings.model_fields_set == {"sampling", "mbr"}
    assert recipe.stages["translate"].origins["sampling.top_k"] == "recipe.yaml:7"


def test_they_may_be_set_on_the_command_line_too(read: Read) -> None:
    overrides = ["stages.translate.sampling.top_k=5", "stages.translate.mbr={}"]
    assert read("", BEAM, overrides).stages["translate"].origins["sampling.top_k"] == "--set"


def test_what_has_an_effect_is_inherited(read: Read) -> None:
    settings = read("  translate: {n_best: 2}\n", BEAM).stages["translate"].settings
    assert settings.model_fields_set == {"n_best", "beam_size", "length_penalty", "diversity"}


def test_show_shows_it_as_a_default_without_effect(read: Read) -> None:
    shown = show(read(SAMPLES, BEAM.replace("5", "7")))
    assert "# beam_size: 5 " in shown and "beam_size: 7" not in shown


def test_what_the_recipe_or_the_command_line_says_itself_is_told(read: Read) -> None:
    own = SAMPLES.replace("{s", "{beam_size: 4, s")
    assert told(read, own, BEAM) == ["recipe.yaml:7: stages.translate.beam_size"]
    by_set = ["stages.translate.length_penalty=0.5"]
    assert told(read, SAMPLES, BEAM, by_set) == ["--set: stages.translate.length_penalty"]


def test_a_base_that_is_itself_the_reason_is_told(read: Read) -> None:
    base = "  translate: {beam_size: 5, sampling: {top_k: 5}}\n"
    assert told(read, "  translate: {n_best: 3}\n", base) == ["base.yaml:3: stages.translate.beam_size"]


def test_what_one_base_makes_idle_in_another_is_left_out(
    read: Read, write: Callable[..., Path], kinds: Mapping[str, Kind]
) -> None:
    read("", BEAM)
    write(f"base: base.yaml\nstages:\n{SAMPLES}", "samples.yaml")
    recipe = read_recipe(write(HEAD.replace("base.yaml", "samples.yaml")), kinds)
    assert recipe.stages["translate"].settings.model_fields_set == {"sampling", "mbr"}


def test_a_part_of_a_mapping_is_left_out_alone(read: Read) -> None:
    base = "  train: {until: {updates: 9000}, validate: {every: 10 updates, pairs: 9}}\n"
    recipe = read("  train: {validate: {samples: 0}}\n", base)
    assert recipe.stages["train"].origins["validate.every"] == "base.yaml:3"
    assert recipe.stages["train"].origins["validate.pairs"] == "default"


def test_what_a_stage_is_like_may_have_settings_that_it_cannot_use(read: Read) -> None:
    own = "  translate: {beam_size: 5}\n  more: {like: translate, sampling: {top_k: 5}}\n"
    recipe = read(own, "")
    assert recipe.stages["translate"].settings.model_fields_set == {"beam_size"}
    assert recipe.stages["more"].settings.model_fields_set == {"sampling"}
    assert told(read, own.replace("}}", "}, beam_size: 3}"), "") == ["recipe.yaml:8: stages.more.beam_size"]


def test_what_the_stages_before_make_idle_is_left_out_too(read: Read) -> None:
    base = "  train: {until: {updates: 9000}, subword_sampling: {probability: 0.2, sides: source}}\n"
    recipe = read("  subword: {algorithm: unigram}\n", base)
    assert recipe.stages["train"].origins["subword_sampling.sides"] == "base.yaml:3"
    assert recipe.stages["train"].origins["subword_sampling.probability"] == "default"
    own = "  subword: {algorithm: unigram}\n  train: {subword_sampling: {probability: 0.3}}\n"
    assert told(read, own, base) == ["recipe.yaml:8: stages.train.subword_sampling.probability"]
