from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mtkit.cli import stage_verbs
from mtkit.cli.main import mtkit


@pytest.mark.parametrize("kind", ["corpus", "subword", "train"])
def test_each_verb_runs_to_its_kind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Path, str, dict[str, Any]]] = []
    monkeypatch.setattr(
        stage_verbs,
        "run_recipe_to_kind",
        lambda recipe, kind, **options: calls.append((recipe, kind, options)),
    )
    result = CliRunner().invoke(mtkit, [kind, "a.yaml", "--dry-run", "--threads", "2"])
    assert result.exit_code == 0, result.output
    ((recipe, called, options),) = calls
    assert (recipe, called) == (Path("a.yaml"), kind)
    assert (options["dry_run"], options["threads"], options["overrides"]) == (True, 2, ())


@pytest.mark.parametrize("kind", ["corpus", "subword", "train"])
def test_each_verb_has_a_help_with_examples(kind: str) -> None:
    result = CliRunner().invoke(mtkit, [kind, "--help"])
    assert result.output.startswith(f"Usage: mtkit {kind} [OPTIONS] RECIPE\n")
    assert f"mtkit {kind} recipes/demo.yaml" in result.output
