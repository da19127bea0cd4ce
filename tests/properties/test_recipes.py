from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.problems import RecipeProblemsError
from mtkit.config.recipe import read_recipe
from mtkit.config.show import show
from mtkit.pipeline.kinds import KINDS

RECIPE = """\
recipe: tiny
source: de
target: en
stages:
  corpus: {train: {dataset: texts}}
  subword: {pieces: 300}
  train: {until: {updates: 9000}}
  translate: {}
  score: {}
"""
SETTINGS = {
    "stages.corpus.normalize": ["none", "nfc", "nfkc", "nfd"],
    "stages.corpus.limit": ["null", "5", "0"],
    "stages.corpus.filters": [
        "[]",
        "[copies: {}]",
        "[length: {min: 5, max: 2}]",
        "[script: {source: Latin}]",
    ],
    "stages.subword.pieces": ["270", "9000", "many"],
    "stages.subword.user_defined": ["[]", '["a b", "#", "no"]', "[a, a]"],
    "stages.train.model.heads": ["1", "2", "3"],
    "stages.train.model.positions": ["{kind: rotary}", "{kind: learned, max: 3}", "{max: 3}"],
    "stages.train.optimizer": ["{kind: muon}", "{beta2: 0.5}", "{kind: muon, adamw: {beta1: 0.2}}"],
    "stages.train.validate": ["{by: loss, samples: 0}", "{by: bleu, pairs: 3}", "{every: 1 epoch}"],
    "stages.train.schedule": ["{kind: cosine}", "{warmup_updates: 3}"],
    "stages.train.ema_decay": ["0.5", "1.0"],
    "stages.translate.beam_size": ["1", "3", "200"],
    "stages.translate.length_penalty": ["0.0", "1"],
    "stages.second": ["{like: translate, split: valid}", "{like: score}", "{kind: subword, share: none}"],
    "seed": ["0", "7"],
    "about": ["'it''s: # a \"test\"'", "日本"],
}
ASSIGNMENTS = st.fixed_dictionaries(
    {}, optional={key: st.sampled_from(values) for key, values in SETTINGS.items()}
)


@settings(max_examples=60, deadline=None)
@given(ASSIGNMENTS)
def test_a_recipe_is_refused_with_reasons_or_shown_as_the_same_recipe(assignments: dict[str, str]) -> None:
    overrides = [f"{key}={value}" for key, value in assignments.items()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.yaml"
        path.write_text(RECIPE, encoding="utf-8")
        try:
            first = read_recipe(path, KINDS, overrides)
        except RecipeProblemsError as error:
            assert error.problems
            assert all(problem.place.file in ("--set", str(path)) for problem in error.problems)
            return
        shown = Path(folder) / "shown.yaml"
        shown.write_text(show(first), encoding="utf-8")
        second = read_recipe(shown, KINDS)
    assert (second.about, second.seed) == (first.about, first.seed)
    assert {n: (s.settings, s.reads) for n, s in second.stages.items()} == {
        n: (s.settings, s.reads) for n, s in first.stages.items()
    }
    assert show(second).count("\n") == show(first).count("\n")


PLACES = [
    *(
        *SETTINGS,
        "recipe",
        "source",
        "expect",
        "expect.test.bleu",
        "stages",
        "stages.train",
        "stages.train.kind",
    ),
    *(
        "stages.train.like",
        "stages.train.from",
        "stages.corpus.train",
        "stages.corpus.filters.0",
        "stages.score",
    ),
    *(
        "stages.train.until",
        "stages.train.optimizer.kind",
        "stages.train.optimizer.adamw",
        "stages.new",
        "extra",
    ),
    *("stages.train.validate.every", "stages.score.metrics", "stages.score.confidence", "stages.corpus.test"),
]
ANYTHING = st.recursive(
    st.sampled_from(
        ["null", "true", "no", "5", "-0.5", ".nan", "x", "''", "train", "muon", "learned", "1 to 2"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(
            st.sampled_from(
                ["kind", "like", "from", "adamw", "max", "length", "updates", "dataset", "stem", "zzz"]
            ),
            inner,
            max_size=3,
        ).map(lambda entries: "{" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}")
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(PLACES), ANYTHING, min_size=1, max_size=4))
def test_whatever_stands_anywhere_is_answered_with_problems_and_no_crash(values: dict[str, str]) -> None:
    overrides = [f"{key}={value}" for key, value in values.items()]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tiny.yaml"
        path.write_text(RECIPE, encoding="utf-8")
        try:
            recipe = read_recipe(path, KINDS, overrides)
        except RecipeProblemsError as error:
            assert str(error).endswith("Nothing was run.")
        else:
            assert show(recipe).startswith("# Every setting of ")
