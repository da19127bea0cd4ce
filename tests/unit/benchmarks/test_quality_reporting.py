from pathlib import Path

from benchmarks.quality.points import Point, Record
from benchmarks.quality.reporting import report


def test_a_report_has_machine_date_versions_table_conclusion_and_signatures() -> None:
    conditions = {
        "languages": "en-de",
        "cores": 2,
        "corpus": {"train": [{"dataset": "homeassistant", "stem": None}, {"dataset": None, "stem": None}]},
    }
    about = {"machine": {"processor": "Slow 3000"}, "versions": {"mtkit": "1.0", "fairseq": "0.12"}}
    signatures = {"bleu": "BLEU|x", "chrf": "chrF2|y"}
    ours, theirs = {"bleu": 30.0, "chrf": 50.0}, {"bleu": 20.0, "chrf": 55.0}
    points = [
        Point("mtkit", False, 5.0, 5.0, 9, ours, signatures, "", "", "2026-11-24T01"),
        Point("fairseq", True, 20.0, 21.0, None, theirs, signatures, "", "", "2026-11-23T09"),
    ]
    lines = report(Record(Path("curves.json"), conditions, about, points))
    assert lines == [
        "homeassistant en-de, 2 cores of Slow 3000; 2026-11-23 to 2026-11-24; mtkit 1.0, fairseq 0.12.",
        "",
        "| system | BLEU 5 min | chrF 5 min | BLEU 20 min | chrF 20 min |",
        "|---|---:|---:|---:|---:|",
        "| mtkit | 30.00 | 50.00 | – | – |",
        "| fairseq | – | – | 20.00 | 55.00 |",
        "",
        "- BLEU 20.00, the best peer's (fairseq) after 21.0 minutes:"
        " mtkit reached it after at most 5.0 minutes, 0.24 of the time",
        "- chrF 55.00, the best peer's (fairseq) after 21.0 minutes: mtkit did not reach it",
        "- fairseq at 20 minutes had 21.00 (+5.0%); to be compared with care",
        "- `BLEU|x`, `chrF2|y`",
    ]
