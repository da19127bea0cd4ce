from collections.abc import Callable
from pathlib import Path

from mtkit.report.run_report import expectations_of


def test_the_reverse_recipe_scores_as_it_expects(here: Callable[..., str], tmp_path: Path) -> None:
    here("run", "reverse", "--threads", "2")
    verdicts = {item.figure: item.verdict for item in expectations_of(tmp_path / "runs/reverse")}
    assert verdicts["test.bleu"] == "met"  # how many minutes it takes is the machine's affair
