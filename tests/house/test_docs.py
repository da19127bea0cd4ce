"""Documentation that cannot go stale: generated pages, README commands, recipes that are shipped."""

import re
import runpy
from pathlib import Path

import pytest

from mtkit.cli.main import COMMANDS
from mtkit.config.recipe import read_recipe
from mtkit.pipeline.kinds import KINDS

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "recipes").glob("*.yaml"))
BASES = sorted((ROOT / "recipes" / "base").glob("*.yaml"))
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/*.md"), *ROOT.glob("data/*.md")]


def test_generated_pages_are_fresh() -> None:
    pages = dict(runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]())
    stale = [path.name for path, text in pages.items() if path.read_text(encoding="utf-8") != text]
    assert not stale, f"run `make docs`: {stale}"


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_shipped_recipe_has_no_problem_and_says_how_it_is_run(path: Path) -> None:
    recipe = read_recipe(path, KINDS)
    text = path.read_text(encoding="utf-8")
    assert recipe.name == path.stem
    assert recipe.about
    assert recipe.expect, "a recipe says what it should reach"
    assert f"mtkit run recipes/{path.name}" in text
    assert re.search(r"#   needs   .*minute", text), "a recipe says what it needs, minutes included"


@pytest.mark.parametrize("path", [*RECIPES, *BASES], ids=lambda path: path.stem)
def test_a_recipe_begins_with_the_editors_schema_line(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match
    assert (path.parent / match[1]).resolve() == ROOT / "recipes" / "recipe.schema.json"


@pytest.mark.parametrize("path", BASES, ids=lambda path: path.stem)
def test_a_base_is_used_by_a_recipe(path: Path) -> None:
    users = [recipe for recipe in RECIPES if f"base/{path.name}" in recipe.read_text(encoding="utf-8")]
    assert users


def test_every_recipe_has_its_measured_line() -> None:
    page = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8")
    assert [path.stem for path in RECIPES if f"[{path.stem}]({path.name})" not in page] == []


def test_the_readme_fits_and_begins_with_the_two_commands() -> None:
    assert len(README.splitlines()) <= 150
    assert README.index("make demo") < README.index("make test") < 800


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_and_files_named_in_a_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    verbs = set(re.findall(r"(?:^ {4}|[`|] ?|\| )mtkit ([a-z][a-z-]*)", text, flags=re.MULTILINE))
    assert verbs <= set(COMMANDS), verbs - set(COMMANDS)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    used = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, flags=re.MULTILINE))
    assert used <= targets, used - targets
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []
