import pytest

from mtkit.config.scoring import Confidence
from mtkit.errors import DataError
from mtkit.scoring.metrics import score
from mtkit.scoring.significance import compare

REFERENCE = [f"Sentence number {n} has a few words, and then {n * 7} more." for n in range(60)]
GOOD = [line.replace("few", "couple") if n % 9 == 0 else line for n, line in enumerate(REFERENCE)]
BAD = [line.replace("has a few words", "have words few") for line in REFERENCE]
RESAMPLES = Confidence(resamples=100)


def test_a_clear_difference_is_significant_and_none_is_not() -> None:
    result = compare({"good": GOOD, "bad": BAD, "same": list(GOOD)}, REFERENCE, ["bleu"], RESAMPLES)
    first, bad, same = result.of("bleu")
    assert first.system == result.baseline == "good"
    assert first.p_value is None and not first.significant
    assert bad.p_value is not None and bad.p_value < 0.05 and bad.significant
    assert same.p_value is not None and same.p_value > 0.5 and not same.significant


def test_compared_scores_are_the_scores_of_each_system_alone() -> None:
    result = compare({"good": GOOD, "bad": BAD}, REFERENCE, ["bleu", "chrf", "ter"], RESAMPLES)
    for metric in result.metrics:
        alone = score(BAD, REFERENCE, metric, RESAMPLES)
        together = result.of(metric)[1].score
        assert together.value == alone.value
        assert together.confidence == pytest.approx(alone.confidence)
        assert "|bs:100|seed:12345|" in together.signature


def test_the_table_says_systems_scores_signatures_and_seed() -> None:
    result = compare({"good.txt": GOOD, "bad.txt": BAD}, REFERENCE, ["bleu"], RESAMPLES)
    table = result.table()
    row = next(line for line in table.splitlines() if line.startswith("bad.txt"))
    assert f"{result.of('bleu')[1].score.value:.2f}" in row
    assert row.endswith("*")
    assert result.of("bleu")[0].score.signature in table
    assert "100 resamples, seed 12345" in table


def test_a_system_of_another_length_is_named() -> None:
    with pytest.raises(DataError, match=r"bad\.txt: 59 sentences, but the reference has 60"):
        compare({"good.txt": GOOD, "bad.txt": BAD[1:]}, REFERENCE, ["bleu"], RESAMPLES)


def test_one_system_cannot_be_compared() -> None:
    with pytest.raises(DataError, match="two systems or more"):
        compare({"good": GOOD}, REFERENCE, ["bleu"])


def test_systems_are_compared_with_the_tokenizer_of_their_language() -> None:
    systems = {"one": ["我爱你。", "你好。"], "two": ["我爱他。", "他好。"]}
    compared = compare(systems, systems["one"], ["bleu"], Confidence(resamples=10), language="zh")
    assert all("|tok:zh|" in row.score.signature for row in compared.scores)
