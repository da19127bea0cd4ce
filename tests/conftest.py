"""What holds for every test: the same surroundings wherever it runs, and what many rooms start from."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

# before torch is loaded: threads that wait for each other are slow where other programs compute
os.environ["OMP_NUM_THREADS"] = "1"

import hypothesis
import pytest

from mtkit.config.subword import SubwordSettings
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.learn import SubwordInputs, learn_subword

Golden = Callable[[Path, str], None]


# The default set asks the same examples every time, however slow the machine is; `--hypothesis-profile=new`
# (`make test-slow`) looks for others.
EXAMPLES: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, database=None, **EXAMPLES)
hypothesis.settings.register_profile("new", **EXAMPLES)
hypothesis.settings.load_profile("same")

# What a user's environment may hold and mtkit, click, torch or a launcher would heed.
SURROUNDINGS = ("MTKIT_", "OMP_", "MKL_", "SLURM_", "TORCHELASTIC_", "GLOO_", "NCCL_", "TORCH_")
SURROUNDING = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT"),
    *("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "LINES", "XDG_CACHE_HOME"),
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden texts anew")


@pytest.fixture(scope="session", autouse=True)
def _same_surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing of who runs the tests; what trainings remember of this machine stays among them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's `&` has programs ignore it
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name in SURROUNDING or name.startswith(SURROUNDINGS):
                patch.delenv(name)
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("COLUMNS", "80")
        patch.setenv("MTKIT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(params=["onednn", "mkl"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What multiplies matrices: each of torch's libraries in turn, whatever this processor prefers."""
    from mtkit.model import products

    if request.param == "onednn" and not products.has_onednn():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "prefers_onednn", lambda: request.param == "onednn")
    return str(request.param)


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
