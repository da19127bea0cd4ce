import pytest

from mtkit.config.expect import Expectation
from mtkit.config.scoring import METRICS


@pytest.mark.parametrize(
    ("text", "met", "missed"),
    [
        ("32.0 to 34.5", (32.0, 33, 34.5), (31.99, 34.51)),
        ("at most 15", (15, 0, -3), (15.01,)),
        ("at least  25", (25, 100), (24.9,)),
        ("-1 to 1", (-1, 0, 1), (-1.1, 2)),
    ],
)
def test_ends_are_included(text: str, met: tuple[float, ...], missed: tuple[float, ...]) -> None:
    expectation = Expectation.parse(text)
    assert all(expectation.met(value) for value in met)
    assert not any(expectation.met(value) for value in missed)


@pytest.mark.parametrize(
    "text", ["", "30", "about 30", "30 - 40", "at most", "40 to 30", "1 to 2 to 3", "at most 1e3"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Expectation.parse(text)


def test_an_expectation_is_written_as_it_was_read() -> None:
    assert str(Expectation.parse(" at  most 15 ")) == "at most 15"


def test_nan_meets_nothing() -> None:
    assert not Expectation.parse("at most 15").met(float("nan"))


def test_metrics_are_those_of_the_score_stage() -> None:
    assert "bleu" in METRICS
    assert "chrf" in METRICS
