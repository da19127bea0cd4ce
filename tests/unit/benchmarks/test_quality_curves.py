import pytest

from benchmarks.quality.curves import (
    Reached,
    best_peer,
    conclusions,
    curve,
    deviations,
    reached_after,
    systems,
    table,
)
from benchmarks.quality.points import Point


def points(system: str, **bleu_at: float) -> list[Point]:
    """Points of a system; `at5=20` is BLEU 20 (and chrF 40) after 5 minutes."""
    return [
        Point(
            system=system,
            peer=not system.startswith("mtkit"),
            asked_minutes=float(name[2:]),
            minutes=float(name[2:]),
            updates=None,
            scores={"bleu": bleu, "chrf": bleu + 20},
            signatures={},
            how="",
            settings="",
            date="",
        )
        for name, bleu in bleu_at.items()
    ]


OURS = points("mtkit", at20=40.0, at5=24.0, at10=32.0)
THEIRS = points("fairseq", at5=5.0, at10=20.0, at20=28.0)
OTHERS = points("joeynmt", at20=14.0)


def test_a_curve_is_in_the_order_of_time() -> None:
    assert [point.asked_minutes for point in curve([*OURS, *THEIRS], "mtkit")] == [5, 10, 20]


def test_our_own_systems_come_first() -> None:
    assert systems([*THEIRS, *OTHERS, *OURS]) == ["mtkit", "fairseq", "joeynmt"]


@pytest.mark.parametrize(
    ("score", "reached"),
    [
        (24.0, Reached(5.0, "at most")),
        (10.0, Reached(5.0, "at most")),
        (28.0, Reached(7.5, "between")),
        (32.0, Reached(10.0, "between")),
        (36.0, Reached(15.0, "between")),
        (40.1, Reached(None, "not reached")),
    ],
)
def test_a_score_is_reached_on_the_line_between_two_points(score: float, reached: Reached) -> None:
    assert reached_after(curve(OURS, "mtkit"), score, "bleu") == reached


def test_where_a_curve_goes_down_again_the_first_time_counts() -> None:
    dented = points("mtkit", at5=10.0, at10=30.0, at15=20.0, at20=40.0)
    assert reached_after(dented, 25.0, "bleu") == Reached(8.75, "between")


def test_chrf_is_read_like_bleu() -> None:
    assert reached_after(curve(OURS, "mtkit"), 48.0, "chrf") == Reached(7.5, "between")


def test_the_best_peer_is_the_best_at_that_time_and_never_ours() -> None:
    everyone = [*OURS, *THEIRS, *OTHERS]
    best = best_peer(everyone, 20, "bleu")
    assert best is not None
    assert (best.system, best.scores["bleu"]) == ("fairseq", 28.0)
    assert best_peer(OURS, 20, "bleu") is None


def test_the_table_has_a_row_a_system_and_a_dash_where_nothing_was_measured() -> None:
    assert table([*OTHERS, *OURS], [5, 20]) == [
        "| system | BLEU 5 min | chrF 5 min | BLEU 20 min | chrF 20 min |",
        "|---|---:|---:|---:|---:|",
        "| mtkit | 24.00 | 44.00 | 40.00 | 60.00 |",
        "| joeynmt | – | – | 14.00 | 34.00 |",
    ]


def test_the_conclusion_says_when_the_best_peers_last_score_was_reached() -> None:
    assert conclusions([*OURS, *THEIRS, *OTHERS], [5, 10, 20]) == [
        "BLEU 28.00, the best peer's (fairseq) after 20.0 minutes:"
        " mtkit reached it after 7.5 minutes, 0.38 of the time",
        "chrF 48.00, the best peer's (fairseq) after 20.0 minutes:"
        " mtkit reached it after 7.5 minutes, 0.38 of the time",
    ]


def test_a_score_that_the_first_point_is_above_was_reached_after_at_most_its_time() -> None:
    (bleu, _) = conclusions([*OURS, *OTHERS], [5, 20])
    assert bleu.endswith("mtkit reached it after at most 5.0 minutes, 0.25 of the time")


def test_a_score_that_is_out_of_reach_is_said_not_to_be_reached() -> None:
    (bleu, _) = conclusions([*points("mtkit", at20=20.0), *THEIRS], [20])
    assert bleu.endswith("mtkit did not reach it")


def test_without_peers_there_is_no_conclusion() -> None:
    assert conclusions(OURS, [5, 10, 20]) == []


def test_only_minutes_that_were_missed_by_much_are_told() -> None:
    exact, late = points("mtkit", at5=1.0, at10=2.0)
    late = Point(**{**vars(late), "minutes": 11.0})
    assert deviations([exact, late]) == ["mtkit at 10 minutes had 11.00 (+10.0%)"]
