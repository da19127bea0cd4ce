import pytest

from mtkit.translation.formats import Format
from mtkit.translation.translation import Candidate, Translation

FOUND = Translation(
    "source", (Candidate("best", -0.5, -1.0, 1), Candidate("next", -1.25, -2.0, 1)), ("split",)
)
FORMATS = [
    Format(),
    Format(scores=True),
    Format(n_best=2),
    Format(n_best=3),
    Format(as_json=True),
    Format(as_json=True, n_best=2),
]


def lines(output: Format, number: int = 7) -> list[str]:
    return output.written(FOUND, number)


def test_each_format_says_what_its_option_promises() -> None:
    assert lines(Format()) == ["best"]
    assert lines(Format(scores=True)) == ["-0.5000\tbest"]
    assert lines(Format(n_best=3)) == ["1\t-0.5000\tbest", "2\t-1.2500\tnext", "3\t\t"]
    assert lines(Format(as_json=True)) == [FOUND.to_json(7)]
    assert lines(Format(as_json=True, n_best=2)) == [FOUND.to_json(7, with_n_best=True)]


@pytest.mark.parametrize("output", FORMATS, ids=lambda output: output.name)
def test_what_is_written_fits_its_own_format_and_no_other(output: Format) -> None:
    written = lines(output)
    assert len(written) == output.lines_each
    for rank, line in enumerate(written, start=1):
        assert output.fits(line.encode(), 7, rank)
    others = {
        other.name
        for other in FORMATS
        if other.lines_each == len(written)
        and all(other.fits(line.encode(), 7, rank) for rank, line in enumerate(written, start=1))
    }
    # a plain text may begin with a number
    assert others - {"plain text"} == {output.name} - {"plain text"}
    assert ("plain text" in others) == (len(written) == 1 and not output.as_json)


def test_json_and_ranks_must_be_of_the_right_line() -> None:
    assert not Format(as_json=True).fits(FOUND.to_json(8).encode(), 7, 1)
    assert not Format(n_best=2).fits(b"2\t-1.0000\tx", 7, 1)
    assert not Format(scores=True).fits(b"best", 7, 1)


def test_a_tab_in_a_translation_is_no_other_column() -> None:
    found = Translation("a.\tb.", (Candidate("A.\tB.", -0.5, -1.0, 2),), ("split",))
    assert Format(scores=True).written(found, 1) == ["-0.5000\tA. B."]
    assert Format(n_best=2).written(found, 1) == ["1\t-0.5000\tA. B.", "2\t\t"]
    assert Format().written(found, 1) == ["A.\tB."]
    assert '"translation": "A.\\tB."' in Format(as_json=True).written(found, 1)[0]


def test_json_can_say_more() -> None:
    (line,) = Format(as_json=True).written(FOUND, 1, lines=3)
    assert line.endswith('"lines": 3}')
