import json

from mtkit.translation.translation import Candidate, Translation, one_line

FOUND = Translation(
    "a\u2028b", (Candidate("x\u0085y", -0.5, -1.23456789, 3), Candidate("z", -1.0, -2.0, 1)), ("truncated",)
)


def test_json_is_one_line_for_every_reader() -> None:
    line = FOUND.to_json(7)
    assert line.splitlines() == [line]
    assert json.loads(line) == {
        "line": 7,
        "source": "a\u2028b",
        "translation": "x\u0085y",
        "score": -0.5,
        "log_probability": -1.234568,
        "tokens": 3,
        "flags": ["truncated"],
    }


def test_json_can_hold_the_n_best() -> None:
    n_best = json.loads(FOUND.to_json(1, with_n_best=True))["n_best"]
    assert [found["translation"] for found in n_best] == ["x\u0085y", "z"]
    assert n_best[1] == {"translation": "z", "score": -1.0, "log_probability": -2.0, "tokens": 1}


def test_one_line_has_no_line_break_of_any_kind() -> None:
    every = "".join(map(chr, range(0x3000)))
    assert len(one_line(every).splitlines()) == 1
    assert len(one_line(every)) == len(every)
