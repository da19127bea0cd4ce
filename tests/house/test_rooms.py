"""The rules of docs/architecture.md as tests: arrows, doors, names, sizes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "mtkit"
MODULES = sorted(PACKAGE.rglob("*.py"))

ROOMS = [
    "config",
    "corpus",
    "subword",
    "batches",
    "model",
    "training",
    "search",
    "translation",
    "scoring",
    "report",
    "export",
    "pipeline",
    "cli",
]
FOR_ALL = {"errors", "files", "log", "config", "__init__"}
# rooms that must not see each other although the order would allow it
CUT = {
    ("search", "training"),
    ("translation", "training"),
    ("scoring", "translation"),
    ("report", "model"),
    ("export", "training"),
}
DOORS = {
    "torch": {"batches", "model", "training", "search", "translation", "export", "pipeline"},
    "ctranslate2": {"translation", "export"},
    "onnx": {"export"},
    "onnxruntime": {"export"},
    "tokenizers": {"export"},
    "transformers": {"export"},
    "safetensors": {"model", "training"},
    "yaml": {"config"},
    "pydantic": {"config"},
    "pydantic_core": {"config"},
    "polars": {"corpus"},
    "polib": {"corpus"},
    "defusedxml": {"corpus"},
    "sentencepiece": {"subword"},
    "sentencex": {"translation"},
    "sacrebleu": {"scoring"},
    "click": {"cli"},
    "rich": {"log"},
    "filelock": {"pipeline", "corpus", "training"},
}
NO_TORCH_AT_IMPORT = {"config", "corpus", "subword", "scoring", "report", "pipeline", "cli"}
HOMELESS = {"utils", "util", "helpers", "helper", "common", "misc", "base", "tools"}
LONGEST_FILE = 400
LONGEST_FUNCTION = 60  # lines, docstring included; most are under 30


def room_of(path: Path) -> str:
    """The room a module stands in; a file at the top of the package is its own room."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else path.stem


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Every imported module's full name with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module, node.lineno


def top_level_imports(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """The imports that run when the module is imported (none under a function or TYPE_CHECKING)."""
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield from imports(node)


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_to_its_left(path: Path) -> None:
    room = room_of(path)
    for name, line in imports(parse(path)):
        if not name.startswith("mtkit."):
            continue
        other = name.split(".")[1]
        where = f"{path.relative_to(ROOT)}:{line}: {room} imports {name}"
        if room not in ROOMS:
            assert room == "__main__" or other in FOR_ALL, where
            continue
        if other == room or other in FOR_ALL:
            continue
        assert other in ROOMS, where
        assert ROOMS.index(other) < ROOMS.index(room), where
        assert (room, other) not in CUT, where


def test_training_never_imports_search_or_scoring() -> None:
    for path in (PACKAGE / "training").glob("*.py"):
        names = {name for name, _ in imports(parse(path))}
        assert not {n for n in names if n.startswith(("mtkit.search", "mtkit.scoring"))}, path


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_library_has_one_door(path: Path) -> None:
    room = room_of(path)
    for name, line in imports(parse(path)):
        library = name.split(".")[0]
        if library in DOORS:
            assert room in DOORS[library], f"{path.relative_to(ROOT)}:{line}: {room} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_light_rooms_import_no_torch_when_imported(path: Path) -> None:
    light = room_of(path) in NO_TORCH_AT_IMPORT or (
        room_of(path) == "translation" and path.stem != "torch_engine"
    )
    if light:
        for name, line in top_level_imports(parse(path)):
            assert name.split(".")[0] != "torch", f"{path.relative_to(ROOT)}:{line}"


def test_no_module_is_named_after_nothing() -> None:
    assert not [path for path in PACKAGE.rglob("*") if path.stem in HOMELESS]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_fit_on_a_page(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    for node in ast.walk(parse(path)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= LONGEST_FUNCTION, f"{path.relative_to(ROOT)}:{node.lineno}: {node.name}: {lines}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_lives_in_it(path: Path) -> None:
    assert ast.get_docstring(parse(path)), path


def test_nothing_that_is_loaded_can_be_a_pickle() -> None:
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        names = {name.split(".")[0] for name, _ in imports(ast.parse(text))}
        assert not names & {"pickle", "dill", "shelve", "joblib"}, path
        assert not re.search(r"(?<!safetensors\.)\btorch\.(load|save)\(", text), path


def test_most_functions_are_short() -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(parse(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    ]
    assert sum(length <= 30 for length in lengths) / len(lengths) >= 0.9


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in MODULES
    }
    below = {
        name: {other for other, _ in imports(parse(path)) if other in names} for name, path in names.items()
    }
    while leaves := [name for name, others in below.items() if not others]:
        below = {name: others.difference(leaves) for name, others in below.items() if name not in leaves}
    assert not below, sorted(below)
