import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.learn import SubwordInputs, learn_subword

Golden = Callable[[Path, str], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


@pytest.fixture(scope="session", autouse=True)
def _no_memory_of_other_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What trainings remember of this machine stays among the tests of one session."""
    if "MTKIT_CACHE" in os.environ:
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MTKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compare a text with the one stored in a file, or store it under `--update-golden`."""

    def compare(path: Path, text: str) -> None:
        if request.config.getoption("--update-golden", default=False):
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden text {path}: run `pytest --update-golden`"
        assert text == path.read_text(encoding="utf-8")

    return compare


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus` (letters and the same letters reversed) and `subword`; not to be written to."""
    folder = tmp_path_factory.mktemp("toy")
    draw = random.Random(1)
    for split, pairs in (("train", 200), ("valid", 20), ("test", 20)):
        lines = ["".join(draw.choices("abcdef", k=draw.randint(1, 8))) for _ in range(pairs)]
        write_lines(folder / "corpus" / f"{split}.source", lines)
        write_lines(folder / "corpus" / f"{split}.target", [line[::-1] for line in lines])
    settings = SubwordSettings(pieces=20, byte_fallback=False)
    learn_subword(settings, SubwordInputs(folder / "corpus"), folder / "subword", RunContext(quiet=True))
    return folder
