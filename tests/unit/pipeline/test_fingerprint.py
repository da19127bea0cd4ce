from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mtkit.config.corpus import CorpusSettings
from mtkit.config.recipe import Recipe
from mtkit.config.search import TranslateSettings
from mtkit.config.training import TrainSettings
from mtkit.files import write_text
from mtkit.pipeline.fingerprint import fingerprint, ingredients, result_settings

Read = Callable[..., Recipe]


def text_print(recipe: Recipe) -> str:
    return fingerprint(recipe.stages["text"], recipe, {})


def repeat_print(recipe: Recipe, text: str = "f") -> str:
    return fingerprint(recipe.stages["repeat"], recipe, {"text": text})


def test_equal_recipes_have_equal_fingerprints(read: Read) -> None:
    assert text_print(read()) == text_print(read())


def test_a_default_written_out_changes_nothing(read: Read) -> None:
    assert text_print(read()) == text_print(read("stages.text.case=upper"))


def test_every_ingredient_changes_the_fingerprint(read: Read) -> None:
    recipe = read()
    stage = recipe.stages["repeat"]
    prints = {
        repeat_print(recipe),
        repeat_print(recipe, text="g"),
        repeat_print(read("stages.repeat.times=3")),
        repeat_print(read("seed=2")),
        fingerprint(replace(stage, kind=replace(stage.kind, version=2)), recipe, {"text": "f"}),
        fingerprint(replace(stage, kind=replace(stage.kind, name="other")), recipe, {"text": "f"}),
        fingerprint(replace(stage, kind=replace(stage.kind, uses_languages=True)), recipe, {"text": "f"}),
    }
    assert len(prints) == 7


def test_languages_count_only_where_they_are_used(read: Read) -> None:
    assert text_print(read()) != text_print(read("target=fr"))
    assert repeat_print(read()) == repeat_print(read("target=fr"))


def test_the_seed_counts_only_where_it_is_used(read: Read) -> None:
    assert text_print(read()) == text_print(read("seed=2"))


def test_the_content_of_data_counts_and_its_path_does_not(read: Read, toy_recipe: Path) -> None:
    before = text_print(read())
    write_text(toy_recipe.parent / "other.txt", "Ein Satz\n")
    assert text_print(read("stages.text.file=other.txt")) == before
    write_text(toy_recipe.parent / "text.txt", "Ein anderer Satz\n")
    assert text_print(read()) != before


def test_settings_of_speed_stay_outside(read: Read) -> None:
    assert text_print(read()) == text_print(read("stages.text.buffer_bytes=99"))
    assert "buffer_bytes" not in ingredients(read().stages["text"], read(), {}).settings


def test_translating_in_other_batches_is_the_same_result() -> None:
    small, large = TranslateSettings(batch_tokens=10), TranslateSettings(batch_tokens=10_000)
    assert result_settings(small) == result_settings(large)
    assert result_settings(small) != result_settings(TranslateSettings(beam_size=2))


def test_paths_of_a_corpus_stay_outside() -> None:
    one = CorpusSettings.model_validate({"train": "a/train", "valid": {"tsv": "x"}, "test": {"tmx": "y"}})
    two = CorpusSettings.model_validate({"train": "b/train", "valid": {"tsv": "u"}, "test": {"tmx": "v"}})
    assert result_settings(one) == result_settings(two)
    limited = CorpusSettings.model_validate({"train": {"stem": "a/train"}, "limit": 3})
    assert result_settings(limited)["limit"] == 3


def test_settings_have_the_names_a_recipe_uses() -> None:
    settings = result_settings(TrainSettings.model_validate({"until": {"updates": 10_000}}))
    assert settings["validate"]["every"] == "500 updates"
    assert settings["optimizer"]["kind"] == "adamw"
    assert "validate_" not in settings
