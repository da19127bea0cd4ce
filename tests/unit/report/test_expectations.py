from mtkit.report.expectations import compare, table


def test_each_expectation_gets_its_verdict() -> None:
    expect = {"test.bleu": "32.0 to 34.5", "minutes": "at most 15", "valid.chrf": "at least 50"}
    outcomes = compare(expect, {"test.bleu": 33.0, "minutes": 16.0})
    assert [outcome.verdict for outcome in outcomes] == ["met", "not met", "not measured"]


def test_the_table_lines_up() -> None:
    outcomes = compare(
        {"test.bleu": "at least 30", "minutes": "at most 15"}, {"test.bleu": 30.0, "minutes": 2.5}
    )
    assert table(outcomes) == [
        "test.bleu  expected at least 30  measured 30.00  met",
        "minutes    expected at most 15   measured 2.50   met",
    ]


def test_without_expectations_there_is_no_table() -> None:
    assert table(compare({}, {"minutes": 3.0})) == []
