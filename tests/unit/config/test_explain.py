import pytest

from mtkit.config.explain import explain
from mtkit.config.kind import Kind
from mtkit.errors import RecipeError

Kinds = dict[str, Kind]


def test_a_setting_has_meaning_type_and_default(kinds: Kinds) -> None:
    assert explain("stages.train.model.heads", kinds) == (
        "stages.train.model.heads\n  H, attention heads of D/H dimensions each\n\n"
        "  type      a whole number of at least 1\n  default   4\n"
    )


def test_stages_may_be_left_out(kinds: Kinds) -> None:
    assert explain("train.model.heads", kinds) == explain("stages.train.model.heads", kinds)


def test_a_mapping_lists_all_its_settings(kinds: Kinds) -> None:
    text = explain("train", kinds)
    for key in (
        "batch_tokens: 4096",
        "warmup_updates: 4000",
        "kind: muon",
        "kv_heads: null",
        "updates: null",
    ):
        assert key in text


def test_a_default_is_that_of_its_place(kinds: Kinds) -> None:
    assert "default   0.003" in explain("train.optimizer.adamw.learning_rate", kinds)
    assert "learning_rate: 0.003" in explain("train.optimizer.muon", kinds)


def test_kinds_and_items_of_lists_can_be_named(kinds: Kinds) -> None:
    assert "longest wavelength" in explain("train.model.positions.rotary", kinds)
    assert "longest side kept" in explain("corpus.filters.0.length.max", kinds)


def test_without_a_path_all_kinds_are_listed(kinds: Kinds) -> None:
    text = explain("", kinds)
    assert all(f"the {name} stage" in text for name in kinds)
    assert "seed: 1" in text
    assert "like " in explain("stages", kinds)


def test_structure_is_explained_too(kinds: Kinds) -> None:
    assert "the stage or stages it reads" in explain("train.from", kinds)


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("train.hedas", "Did you mean 'stages.train.model.heads'?"),
        ("train.heads", "`heads` is a setting of stages.train.model."),
        ("trian", "Did you mean 'train'?"),
        ("seeed", "Did you mean 'seed'?"),
        ("heads", "`heads` is a setting of stages.train.model."),
        ("train.model.heads.zzzzz", "`mtkit recipe explain` without a path lists everything."),
    ],
)
def test_an_unknown_path_is_answered_with_a_suggestion(path: str, advice: str, kinds: Kinds) -> None:
    with pytest.raises(RecipeError, match="no such setting") as caught:
        explain(path, kinds)
    assert caught.value.advice == advice
