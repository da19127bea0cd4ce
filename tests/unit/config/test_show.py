from collections.abc import Callable
from pathlib import Path

from mtkit.config.diff import diff_text, differences
from mtkit.config.kind import Kind
from mtkit.config.recipe import read_recipe
from mtkit.config.show import show

Kinds = dict[str, Kind]
Write = Callable[..., Path]


def test_every_value_is_shown_with_its_origin(write: Write, kinds: Kinds) -> None:
    lines = show(read_recipe(write(), kinds, ["seed=3"])).split("\n")
    said = {line.split("#")[0].rstrip(): line.split("# ")[-1] for line in lines if "#" in line}
    assert said["seed: 3"] == "--set"
    assert said["      dim: 64"] == "recipe.yaml:9"
    assert said["      ffn_dim: 1024"] == "default"
    assert said["    from: [corpus, subword]"] == "default"


def test_comments_stand_in_one_column(write: Write, kinds: Kinds) -> None:
    lines = show(read_recipe(write(), kinds)).split("\n")[1:]
    assert len({line.index("  # ") for line in lines if "  # " in line}) == 1


def test_what_is_shown_is_the_same_recipe(write: Write, kinds: Kinds) -> None:
    # each of these makes a default ineffective, which may not be written out
    overrides = ["stages.translate.beam_size=1", "stages.train.validate={by: loss, samples: 0}"]
    overrides += ["stages.corpus.filters=[{length: {max: 9}}, {placeholders: {}}, {copies: {fold: false}}]"]
    overrides += ["stages.train.subword_sampling={probability: 0.2}"]
    overrides += [
        "about='a: \"b\" # c'",
        "target=no",
        "expect.test.bleu=1 to 2",
        "stages.second.like=translate",
    ]
    first = read_recipe(write(), kinds, overrides)
    text = show(first)
    second = read_recipe(write(text, "shown.yaml"), kinds)
    assert "# length_penalty: 0.6" in text
    assert "# temperature: 0.2" in text
    assert (second.about, second.target, second.expect) == (first.about, first.target, first.expect)
    assert list(second.stages) == list(first.stages)
    for name, stage in first.stages.items():
        assert second.stages[name].settings == stage.settings
        assert second.stages[name].reads == stage.reads
    assert differences(first, second) == []


def test_differences_have_both_values_and_origins(write: Write, kinds: Kinds) -> None:
    path = write()
    found = differences(
        read_recipe(path, kinds),
        read_recipe(path, kinds, ["stages.train.model.heads=8", "stages.train.batch_tokens=4096"]),
    )
    assert diff_text(found) == "stages.train.model.heads  4 (recipe.yaml:9)  →  8 (--set)\n"


def test_a_stage_of_one_recipe_only_is_one_difference(write: Write, kinds: Kinds) -> None:
    path = write()
    found = differences(read_recipe(path, kinds), read_recipe(path, kinds, ["stages.second.like=score"]))
    assert [(each.path, each.left, each.right) for each in found] == [("stages.second", "–", "a score stage")]
