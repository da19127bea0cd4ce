from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.config.kind import Kind
from mtkit.config.model import LearnedPositions
from mtkit.config.problems import RecipeProblemsError
from mtkit.config.recipe import Recipe, read_recipe
from mtkit.config.search import TranslateSettings
from mtkit.config.training import AdamW, Muon, TrainSettings
from mtkit.errors import RecipeError

Kinds = dict[str, Kind]
Write = Callable[..., Path]


def train(recipe: Recipe, stage: str = "train") -> TrainSettings:
    settings = recipe.stages[stage].settings
    assert isinstance(settings, TrainSettings)
    return settings


def problems(path: Path, kinds: Kinds, *overrides: str) -> list[tuple[str, str]]:
    with pytest.raises(RecipeProblemsError) as caught:
        read_recipe(path, kinds, overrides)
    return [(problem.path, problem.found) for problem in caught.value.problems]


def edited(old: str, new: str) -> str:
    from_conftest = (
        "recipe: tiny\nsource: de\ntarget: en\nstages:\n  corpus: {train: {dataset: texts}}\n"
        "  subword: {pieces: 300}\n  train:\n    until: {updates: 9000}\n    model: {dim: 64, heads: 4}\n"
        "  translate: {beam_size: 4}\n  score: {}\n"
    )
    assert old in from_conftest
    return from_conftest.replace(old, new)


def test_a_recipe_is_complete_after_reading(write: Write, kinds: Kinds) -> None:
    recipe = read_recipe(write(), kinds)
    assert (recipe.name, recipe.source, recipe.target, recipe.seed) == ("tiny", "de", "en", 1)
    assert recipe.folder == Path()
    assert train(recipe).model.dim == 64
    assert train(recipe).batch_tokens == 4096
    assert recipe.stages["translate"].reads == {"corpus": "corpus", "train": "train"}


def test_every_value_knows_where_it_comes_from(write: Write, kinds: Kinds) -> None:
    origins = read_recipe(write(), kinds, ["stages.train.model.heads=8"]).stages["train"].origins
    assert origins["model.dim"] == "recipe.yaml:9"
    assert origins["model.heads"] == "--set"
    assert origins["model.ffn_dim"] == "default"
    assert origins["kind"] == "default"


def test_the_name_is_the_files_where_none_is_given(write: Write, kinds: Kinds) -> None:
    path = write(edited("recipe: tiny\n", ""), "folder/other.yaml")
    recipe = read_recipe(path, kinds)
    assert (recipe.name, recipe.folder) == ("other", Path("folder"))


def test_a_recipe_is_laid_over_its_bases_the_later_ones_first(write: Write, kinds: Kinds) -> None:
    write("seed: 5\nstages: {train: {batch_tokens: 1000, max_tokens: 100}}", "bases/a.yaml")
    write(
        "recipe: not-inherited\nexpect: {minutes: at most 1}\nstages: {train: {batch_tokens: 2000}}",
        "bases/b.yaml",
    )
    path = write(edited("recipe: tiny\n", "recipe: tiny\nbase: [bases/a.yaml, bases/b.yaml]\n"))
    recipe = read_recipe(path, kinds)
    assert (recipe.seed, train(recipe).batch_tokens, train(recipe).max_tokens) == (5, 2000, 100)
    assert (recipe.name, dict(recipe.expect)) == ("tiny", {})
    assert recipe.origins["seed"] == "bases/a.yaml:1"
    assert recipe.stages["train"].origins["batch_tokens"] == "bases/b.yaml:3"


def test_a_base_of_a_base_is_found_beside_it(write: Write, kinds: Kinds) -> None:
    write("seed: 7", "bases/deep/two.yaml")
    write("base: deep/two.yaml", "bases/one.yaml")
    path = write(edited("recipe: tiny\n", "recipe: tiny\nbase: bases/one.yaml\n"))
    recipe = read_recipe(path, kinds)
    assert (recipe.seed, recipe.origins["seed"]) == (7, "bases/deep/two.yaml:1")


def test_bases_and_recipes_are_also_looked_up_among_the_shipped_ones(
    write: Write, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("seed: 9", "shipped/base/small.yaml")
    write(edited("recipe: tiny\n", "recipe: tiny\nbase: base/small.yaml\n"), "shipped/known.yaml")
    monkeypatch.setattr("mtkit.config.sources.shipped", lambda _: Path.cwd() / "shipped")
    path = write(edited("recipe: tiny\n", "recipe: tiny\nbase: base/small.yaml\n"), "mine/recipe.yaml")
    assert read_recipe(path, kinds).origins["seed"] == "shipped/base/small.yaml:1"
    assert read_recipe("known", kinds).seed == 9
    with pytest.raises(RecipeError, match="no recipe 'knwon'") as caught:
        read_recipe("knwon", kinds)
    assert caught.value.advice == "Did you mean 'known'?"


def test_a_folder_hides_no_shipped_recipe_of_its_name(
    write: Write, kinds: Kinds, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(edited("recipe: tiny\n", ""), "shipped/known.yaml")
    monkeypatch.setattr("mtkit.config.sources.shipped", lambda _: Path.cwd() / "shipped")
    Path("known").mkdir()
    assert read_recipe("known", kinds).path == Path("shipped/known.yaml")
    with pytest.raises(RecipeError, match="shipped: this is a directory"):
        read_recipe("shipped", kinds)
    write(edited("source: de", "source: nl"), "other/known.yaml")
    Path("known").rmdir()
    Path("known").symlink_to("other/known.yaml")
    assert read_recipe("known", kinds).source == "nl"


def test_like_copies_kind_settings_and_from(write: Write, kinds: Kinds) -> None:
    text = edited("  score: {}\n", "  score: {}\n  more: {like: corpus, limit: 5}\n")
    text += "  student: {like: train, from: more, model: {dim: 32}}\n  again: {like: student}\n"
    recipe = read_recipe(write(text), kinds)
    assert recipe.stages["again"].kind.name == "train"
    assert recipe.stages["again"].reads == {"corpus": "more", "subword": "subword"}
    assert (train(recipe, "again").model.dim, train(recipe, "again").model.heads) == (32, 4)
    assert recipe.stages["again"].origins["model.heads"] == "recipe.yaml:9"
    assert train(recipe).model.dim == 64


def test_stages_come_after_what_they_read(write: Write, kinds: Kinds) -> None:
    lines = edited("", "").split("\n")
    head, stages = lines[:4], ["  score: {}", "  translate: {}", "  train: {until: {updates: 9000}}"]
    text = "\n".join([*head, *stages, "  subword: {}", "  corpus: {train: {dataset: texts}}", ""])
    assert list(read_recipe(write(text), kinds).stages) == [
        "corpus",
        "subword",
        "train",
        "translate",
        "score",
    ]


def test_stages_that_read_each_other_are_a_circle(write: Write, kinds: Kinds) -> None:
    circular = kinds | {"a": Kind("a", 1, TranslateSettings, "", "", {"b": "b"})}
    circular |= {"b": Kind("b", 1, TranslateSettings, "", "", {"a": "a"})}
    path = write("source: de\ntarget: en\nstages:\n  a: {}\n  b: {}\n")
    assert problems(path, circular) == [("stages.b.from", "stages read each other in a circle: a → b → a")]


def test_two_roles_of_one_kind_are_filled_in_order(write: Write, kinds: Kinds) -> None:
    pair = kinds | {
        "compare": Kind("compare", 1, TranslateSettings, "", "", {"left": "train", "right": "train"})
    }
    text = edited("  score: {}\n", "  score: {}\n  other: {like: train}\n  compare: {from: [other, train]}\n")
    assert read_recipe(write(text), pair).stages["compare"].reads == {"left": "other", "right": "train"}


def test_a_mapping_given_in_part_keeps_the_rest_of_the_default_it_replaces(
    write: Write, kinds: Kinds
) -> None:
    overrides = ["stages.train.optimizer={kind: muon, adamw: {beta2: 0.95}}"]
    optimizer = train(read_recipe(write(), kinds, overrides)).optimizer
    assert isinstance(optimizer, Muon)
    assert optimizer.adamw == AdamW(learning_rate=3e-3, beta2=0.95)


def test_a_mapping_without_kind_is_of_the_defaults_kind(write: Write, kinds: Kinds) -> None:
    settings = train(read_recipe(write(), kinds, ["stages.train.optimizer.learning_rate=0.5"]))
    assert settings.optimizer == AdamW(learning_rate=0.5)


def test_another_kind_drops_the_settings_of_the_base(write: Write, kinds: Kinds) -> None:
    write("stages: {train: {model: {positions: {kind: rotary, base: 500.0}}}}", "base.yaml")
    text = edited("dim: 64, heads: 4", "positions: {kind: learned, max: 300}")
    path = write(text.replace("recipe: tiny\n", "recipe: tiny\nbase: base.yaml\n"))
    assert train(read_recipe(path, kinds)).model.positions == LearnedPositions(max=300)


def test_set_reaches_into_lists_and_through_like(write: Write, kinds: Kinds) -> None:
    text = edited("train: {dataset: texts}", "train: {dataset: texts}, filters: [length: {max: 9}]")
    text += "  more: {like: corpus}\n"
    recipe = read_recipe(write(text), kinds, ["stages.corpus.filters.0.length.max=7"])
    for name in ("corpus", "more"):
        assert recipe.stages[name].settings.model_dump()["filters"][0]["length"]["max"] == 7
        assert recipe.stages[name].origins["filters.0.length.max"] == "--set"


def test_set_makes_stages_and_expectations(write: Write, kinds: Kinds) -> None:
    recipe = read_recipe(
        write(),
        kinds,
        ["stages.second.like=translate", "stages.second.split=valid", "expect.test.bleu=1 to 2"],
    )
    assert recipe.stages["second"].kind.name == "translate"
    assert recipe.expect["test.bleu"].met(1.5)
    assert recipe.origins["expect.test.bleu"] == "--set"


def test_expectations_may_name_a_stage(write: Write, kinds: Kinds) -> None:
    text = edited("stages:", "expect: {score.bleu: at least 20}\nstages:")
    assert read_recipe(write(text), kinds).expect["score.bleu"].low == 20


def test_findings_are_told_beside_wrong_values_elsewhere(write: Write, kinds: Kinds) -> None:
    text = edited("dim: 64, heads: 4", "dim: 64, heads: 3").replace("updates: 9000", "updates: many")
    assert [path for path, _ in problems(write(text), kinds)] == [
        "stages.train.until.updates",
        "stages.train.model.heads",
    ]


def test_a_misspelt_key_brings_no_false_findings(write: Write, kinds: Kinds) -> None:
    text = edited("updates: 9000", "updaets: 9000")
    assert problems(write(text), kinds) == [("stages.train.until.updaets", "no such setting")]


def test_a_problem_in_one_stage_hides_none_in_another(write: Write, kinds: Kinds) -> None:
    text = (
        edited("pieces: 300", "pieces: x")
        .replace("beam_size: 4", "beam_size: 0")
        .replace("source: de", "source: 5")
    )
    assert [path for path, _ in problems(write(text), kinds)] == [
        "source",
        "stages.subword.pieces",
        "stages.translate.beam_size",
    ]


def test_an_index_is_left_out_where_one_value_stands_for_a_list(write: Write, kinds: Kinds) -> None:
    path = write(edited("dataset: texts", "dataset: a, tsv: b"))
    assert [path for path, _ in problems(path, kinds)] == ["stages.corpus.train.tsv"]


def test_reading_a_recipe_changes_no_file(write: Write, kinds: Kinds, tmp_path: Path) -> None:
    path = write()
    before = sorted(tmp_path.rglob("*"))
    read_recipe(path, kinds)
    assert sorted(tmp_path.rglob("*")) == before


def test_pairs_to_validate_and_test_on_are_asked_for_when_the_recipe_is_read(
    write: Write, kinds: Kinds
) -> None:
    text = edited("{dataset: texts}", "data/train")
    assert problems(write(text), kinds) == [
        ("stages.corpus.valid", "`valid` and `test` are left out, and `train` names no dataset")
    ]
    text = edited("{dataset: texts}", "[{dataset: one}, {dataset: two}], valid: data/valid")
    assert problems(write(text), kinds) == [
        ("stages.corpus.test", "`test` is left out, and `train` names 2 datasets")
    ]


def test_splits_take_the_place_of_validation_and_test_pairs(write: Write, kinds: Kinds) -> None:
    both = edited("{dataset: texts}", "data/train, splits: {valid: 0.02, test: 0.02}")
    read_recipe(write(both), kinds)
    one = edited("{dataset: texts}", "data/train, splits: {valid: 0.02}")
    assert problems(write(one), kinds) == [
        ("stages.corpus.test", "`test` is left out, and `train` names no dataset")
    ]
    twice = edited("{dataset: texts}", "data/train, test: data/test, splits: {valid: 0.02, test: 0.02}")
    assert problems(write(twice), kinds) == [
        ("stages.corpus.splits.test", "`test` names pairs, and `splits` holds out others")
    ]
    none = edited("{dataset: texts}", "data/train, valid: v, test: t, splits: {by: target}")
    assert problems(write(none), kinds) == [("stages.corpus.splits", "no share is held out")]


def test_one_position_which_the_end_mark_takes_is_too_few(write: Write, kinds: Kinds) -> None:
    text = edited("dim: 64, heads: 4", "positions: {kind: learned, max: 1}")
    assert problems(write(text), kinds) == [("stages.train.model.positions.max", "found 1")]
    with pytest.raises(ValueError, match="greater than or equal to 2"):  # in a model's card, too
        LearnedPositions(max=1)


def test_learned_positions_hold_every_training_pair(write: Write, kinds: Kinds) -> None:
    text = edited("dim: 64, heads: 4", "positions: {kind: learned, max: 99}")
    assert problems(write(text), kinds) == [
        (
            "stages.train.model.positions.max",
            "99 positions, but a side of a pair may have 256 tokens (`max_tokens`)",
        )
    ]
