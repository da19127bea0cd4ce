from mtkit.config.corpus import CorpusSettings, Filter, TextSource
from mtkit.config.fields import accepts_text, fields_of, is_choice, leaves, tree
from mtkit.config.search import TranslateSettings
from mtkit.config.settings import tag_of
from mtkit.config.training import Cosine, Muon, TrainSettings
from mtkit.config.words import expected_words


def words(settings_class: type, *path: str) -> str:
    field = None
    for part in path:
        field = fields_of(settings_class)[part]
        inner = field.shape.item or field.shape
        settings_class = next(iter(inner.classes.values()), settings_class)
    assert field is not None
    return expected_words(field.shape)


def test_keys_are_those_of_recipes_not_of_attributes() -> None:
    assert "validate" in fields_of(TrainSettings)
    assert "validate_" not in fields_of(TrainSettings)


def test_types_and_ranges_are_said_in_words() -> None:
    assert words(TrainSettings, "model", "heads") == "a whole number of at least 1"
    assert words(TrainSettings, "model", "kv_heads") == "a whole number of at least 1, or null"
    assert words(TrainSettings, "model", "dropout") == "a number of at least 0 and below 1"
    assert words(TrainSettings, "model", "bias") == "true or false"
    assert words(TrainSettings, "optimizer") == "a mapping of kind adamw or muon"
    assert words(TrainSettings, "validate", "every") == "'N updates' or 'N epochs' with N of at least 1"
    assert words(CorpusSettings, "filters", "length", "unit") == "words or characters"
    assert words(TranslateSettings, "split") == "valid or test"
    assert words(TrainSettings, "accumulate") == "a whole number of at least 1, or auto"
    assert words(TrainSettings, "precision") == "float32, bfloat16 or auto"


def test_kinds_of_a_union_are_known_by_their_tags() -> None:
    assert list(fields_of(TrainSettings)["schedule"].shape.classes) == [
        "inverse_sqrt",
        "cosine",
        "warmup_stable_decay",
    ]
    assert (tag_of(Cosine), tag_of(TrainSettings)) == ("cosine", "")


def test_a_text_may_stand_for_a_source_but_not_for_a_filter() -> None:
    assert accepts_text(TextSource)
    assert not accepts_text(Filter)


def test_a_choice_shows_only_what_is_given() -> None:
    assert is_choice(Filter)
    assert tree(CorpusSettings.model_validate({"train": ["a"], "filters": [{"copies": {}}]}))["filters"] == [
        {"copies": {"fold": True}}
    ]


def test_leaves_are_every_value_once() -> None:
    found = dict(leaves({"a": {"b": 1, "c": []}, "d": [{"e": 2}, {"f": {}}], "g": [1, 2]}))
    assert found == {("a", "b"): 1, ("a", "c"): [], ("d", 0, "e"): 2, ("d", 1, "f"): {}, ("g",): [1, 2]}


def test_a_nested_default_is_that_of_its_place() -> None:
    assert fields_of(Muon)["adamw"].default.learning_rate == 3e-3
