import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from mtkit.scoring.mbr import expected_utilities

TEXTS = ["the lamp is on", "the lamp is off", "the lamp is on", "a dog"]


@pytest.mark.parametrize(("utility", "metric"), [("chrf", CHRF()), ("bleu", BLEU(effective_order=True))])
def test_it_is_the_mean_over_all_texts_as_references(utility: str, metric: BLEU | CHRF) -> None:
    wanted = [
        sum(metric.sentence_score(text, [reference]).score for reference in TEXTS) / len(TEXTS)
        for text in TEXTS
    ]
    assert expected_utilities(utility)(TEXTS) == pytest.approx(wanted)


def test_what_is_most_like_the_others_wins() -> None:
    values = expected_utilities("chrf")(TEXTS)
    assert values[0] == values[2] == max(values)
    assert values[3] == min(values)


def test_empty_texts_have_a_utility_too() -> None:
    assert expected_utilities("chrf")(["", "a"])[0] >= 0.0


@pytest.mark.parametrize("utility", ["chrf", "bleu"])
def test_empty_texts_are_alike(utility: str) -> None:
    values = expected_utilities(utility)(["", "", "", "a dog"])
    assert values == pytest.approx([75.0, 75.0, 75.0, 25.0])
