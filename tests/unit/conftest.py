"""A chain of toy stages that copy text, so that pipeline and commands are tested without any real work."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import ClassVar, Literal

import pytest
import torch

from benchmarks.stand_ins import learn, write_model
from mtkit.config.kind import Kind
from mtkit.config.model import ModelSettings
from mtkit.config.recipe import Recipe
from mtkit.config.rules import Field
from mtkit.config.search import SearchSettings
from mtkit.config.settings import Settings
from mtkit.errors import DataError
from mtkit.files import read_lines, read_text, sha256, write_text
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES

MODULE = "toy_stages"


class TextSettings(Settings):
    outside_fingerprint: ClassVar[frozenset[str]] = frozenset({"file", "buffer_bytes"})

    file: str
    case: Literal["upper", "lower"] = "upper"
    buffer_bytes: int = 10


class RepeatSettings(Settings):
    times: int = 2
    glue: list[str] = Field(default_factory=lambda: ["-"])


class CountSettings(Settings):
    what: Literal["letters", "lines"] = "letters"


TOYS: Mapping[str, Kind] = {
    "text": Kind(
        "text",
        1,
        TextSettings,
        f"{MODULE}:text",
        "a text",
        identity=f"{MODULE}:identity",
        uses_languages=True,
    ),
    "repeat": Kind(
        "repeat",
        1,
        RepeatSettings,
        f"{MODULE}:repeat",
        "a text, repeated",
        reads={"text": "text"},
        uses_seed=True,
        resumes=True,
    ),
    "count": Kind("count", 1, CountSettings, f"{MODULE}:count", "a number", reads={"repeat": "repeat"}),
}

RECIPE = """\
recipe: toy
about: a toy
source: de
target: en
seed: 1
stages:
  text: {file: text.txt}
  repeat: {times: 2}
  count: {what: letters}
"""


def nothing(name: str, out: Path) -> None:
    """What happens inside a toy stage, unless a test says otherwise."""


class Toys(ModuleType):
    """The module of the toy stages; `calls` tells which ran, `before` is called inside each."""

    def __init__(self) -> None:
        super().__init__(MODULE)
        self.calls: list[str] = []
        self.before: Callable[[str, Path], None] = nothing

    def identity(self, settings: TextSettings, recipe: Recipe) -> dict[str, str]:
        path = recipe.folder / settings.file
        if not path.exists():
            raise DataError("no such file", where=str(path))
        return {"file": sha256(path)}

    def text(
        self, settings: TextSettings, reads: dict[str, Path], out: Path, run: RunContext, recipe: Recipe
    ) -> None:
        self.calls.append("text")
        self.before("text", out)
        text = read_text(recipe.folder / settings.file)
        write_text(out / "text", text.upper() if settings.case == "upper" else text.lower())

    def repeat(
        self, settings: RepeatSettings, reads: dict[str, Path], out: Path, run: RunContext, recipe: Recipe
    ) -> None:
        self.calls.append("repeat")
        run.say(f"repeating with seed {run.seed}")
        run.events.write("repeat", times=settings.times)
        self.before("repeat", out)
        write_text(out / "deep/text", read_text(reads["text"] / "text") * settings.times + str(run.seed))

    def count(
        self, settings: CountSettings, reads: dict[str, Path], out: Path, run: RunContext, recipe: Recipe
    ) -> None:
        self.calls.append("count")
        self.before("count", out)
        write_text(out / "count", str(len(read_text(reads["repeat"] / "deep/text"))))


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> Iterator[Toys]:
    module = Toys()
    monkeypatch.setitem(sys.modules, MODULE, module)
    yield module


@pytest.fixture
def toy_kinds(toys: Toys) -> Mapping[str, Kind]:
    return TOYS


@pytest.fixture
def toy_recipe(tmp_path: Path, toys: Toys) -> Path:
    write_text(tmp_path / "text.txt", "Ein Satz\n")
    write_text(tmp_path / "toy.yaml", RECIPE)
    return tmp_path / "toy.yaml"


@pytest.fixture
def unwritable() -> Path:
    """A place that no file can take, not even by root, and of which the system says that it is not there."""
    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    return Path("/proc/mtkit")


@pytest.fixture
def one_seed() -> Iterator[None]:
    """The same random numbers in every test, and one thread of torch."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(20260101)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def reversing_model(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder that has learnt to reverse a few letters, as well as two seconds teach it; not to be
    written to. Unlike a random model it all but never wants an id that stands for no text."""
    codec = Subword.load(toy / "subword")
    sources, targets = (
        codec.encode(list(read_lines(toy / "corpus" / f"train.{side}")), side) for side in SIDES
    )
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = write_model(
        tmp_path_factory.mktemp("reversing") / "model",
        toy / "subword",
        seed=4,
        shape=ModelSettings(dim=32, ffn_dim=64, heads=4, encoder_layers=1, decoder_layers=2, dropout=0.0),
        teach=lambda model: learn(model, sources, targets, updates=120),
        source_language="letters",
        target_language="reversed",
        normalize="nfc",
        max_tokens=16,
        decoding=SearchSettings(beam_size=3),
    )
    torch.set_num_threads(threads)
    return folder
