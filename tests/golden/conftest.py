"""Golden texts: stored output that is read in review.

`pytest tests/golden --update-golden` writes what the code says now; look at the difference before
committing it.
"""

from collections.abc import Callable
from pathlib import Path

import pytest

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with the one stored in a file, or store it under `--update-golden`."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden text {path}: run `pytest tests/golden --update-golden`"
        assert text == path.read_text(encoding="utf-8")

    return compare
