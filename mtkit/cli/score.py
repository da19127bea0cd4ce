"""`mtkit score`: translations against references; or a recipe up to its scores."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtkit.cli.opening import given_on_command_line, lines_of, refuse_text
from mtkit.config.scoring import METRICS
from mtkit.errors import RecipeError
from mtkit.files import read_json
from mtkit.log import say

if TYPE_CHECKING:
    from mtkit.config.scoring import Confidence


FILE_OPTIONS = ("references", "systems", "metrics", "confidence", "target_language")  # not for recipes


@dataclass(frozen=True)
class Measures:
    """What is computed of translations in files.

    Attributes:
        metrics: each once, in the order asked for.
        resamples: for 95 % intervals and comparisons; None: the metric alone, or as many as is usual.
        language: of the translations; empty: not known.
    """

    metrics: tuple[str, ...]
    resamples: int | None
    language: str

    @property
    def confidence(self) -> "Confidence | None":
        """The resamples as the scoring room takes them."""
        from mtkit.config.scoring import Confidence

        return Confidence(resamples=self.resamples) if self.resamples else None


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option(
    "--reference",
    "references",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Correct translations, one a line; may be repeated for more references.",
)
@click.option(
    "--system",
    "systems",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Translations of one system, one a line; repeated: the others are compared with the first.",
)
@click.option(
    "--metric",
    "metrics",
    multiple=True,
    type=click.Choice(METRICS),
    default=["bleu", "chrf"],
    show_default=True,
    help="What to compute; may be repeated.",
)
@click.option(
    "--confidence",
    type=click.IntRange(min=2),
    metavar="RESAMPLES",
    help="Resampled test sets for 95 % intervals.  [default: none; 1000 to compare systems]",
)
@click.option(
    "--target-language",
    default="",
    metavar="CODE",
    help="Language of the translations: zh, ja and ko have a tokenizer of their own.  [default: not known]",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def score(
    recipe: Path | None,
    references: tuple[Path, ...],
    systems: tuple[Path, ...],
    metrics: tuple[str, ...],
    confidence: int | None,
    target_language: str,
    as_json: bool,
) -> None:
    """Score translations: BLEU, chrF, TER with signatures.

    Numbers are sacreBLEU's and carry its full signature. Several systems are compared with the first by
    paired bootstrap resampling with a fixed seed. All files must have the same number of lines.

    With a RECIPE, runs it up to its scores instead; `mtkit run RECIPE --goal score` does so with --set and
    --dry-run.

    \b
    Examples:
      mtkit score --reference test.en --system hypotheses.txt
      mtkit score --reference test.en --system hypotheses.txt --metric ter --confidence 1000
      mtkit score --reference test.en --system old.txt --system new.txt
      mtkit score --reference test.zh --system hypotheses.txt --target-language zh
      mtkit score recipes/demo.yaml
    """
    if recipe is not None:
        _score_recipe(recipe, as_json)
        return
    if not references or not systems:
        raise click.UsageError("--reference and --system are needed, or a recipe.")
    measures = Measures(tuple(dict.fromkeys(metrics)), confidence, target_language)
    _score_files(references, systems, measures, as_json)


def _score_recipe(recipe: Path, as_json: bool) -> None:
    from mtkit.cli.run import run_recipe_to_kind

    refuse_text(recipe, f"To score a text: `mtkit score --reference FILE --system {recipe}`.")
    if any(given_on_command_line(name) for name in FILE_OPTIONS):
        raise RecipeError(
            "options for files together with a recipe",
            where=str(recipe),
            expected="a recipe alone, or --reference and --system",
            advice="Write metrics and confidence into the recipe's score stage.",
        )
    result = run_recipe_to_kind(recipe, "score")
    scores = {
        stage.name: read_json(stage.folder / "scores.json")
        for stage in result.stages
        if stage.kind == "score"
    }
    if as_json:
        _write_json(scores)
    else:
        for name, records in scores.items():
            _show(name, records)


def _show(stage: str, records: Sequence[Mapping[str, Any]]) -> None:
    """A stage's stored scores, each in a line."""
    from mtkit.scoring.metrics import Score

    for record in records:
        low_high = record["confidence"] and tuple(record["confidence"])
        stored = Score(record["metric"], record["value"], record["signature"], low_high)
        click.echo(f"{stage}, {record['split']}: {stored.line()}")


def _score_files(
    references: Sequence[Path], systems: Sequence[Path], measures: Measures, as_json: bool
) -> None:
    from mtkit.scoring.tokenised import looks_tokenised

    streams = [list(lines_of(path)) for path in references]
    texts = {name: list(lines_of(path)) for name, path in _names(systems).items()}
    named_references = {str(path): stream for path, stream in zip(references, streams, strict=True)}
    for name, lines in (texts | named_references).items():
        if looks_tokenised(lines):
            say(f"note: {name} looks tokenised; its scores compare with no others. Detokenise it first.")
    if len(texts) > 1:
        _compare(texts, streams, measures, as_json)
    else:
        _score_one(texts, streams, measures, as_json)


def _names(systems: Sequence[Path]) -> dict[str, Path]:
    """A name for each system: its path, which must not be given twice."""
    names = {str(path): path for path in systems}
    if len(names) < len(systems):
        raise RecipeError(
            "a system is named twice",
            where="--system",
            expected="each file once",
            advice="Remove the repeated one.",
        )
    return names


def _score_one(
    texts: Mapping[str, Sequence[str]],
    streams: Sequence[Sequence[str]],
    measures: Measures,
    as_json: bool,
) -> None:
    from mtkit.scoring.metrics import check_counts
    from mtkit.scoring.metrics import score as score_text

    check_counts(dict(texts), streams)
    (lines,) = texts.values()
    results = [
        score_text(lines, streams, metric, measures.confidence, language=measures.language)
        for metric in measures.metrics
    ]
    if as_json:
        _write_json([{**asdict(result), "sentences": len(lines)} for result in results])
    else:
        for result in results:
            click.echo(result.line())


def _compare(
    texts: Mapping[str, Sequence[str]],
    streams: Sequence[Sequence[str]],
    measures: Measures,
    as_json: bool,
) -> None:
    from mtkit.scoring.significance import compare

    comparison = compare(texts, streams, measures.metrics, measures.confidence, language=measures.language)
    if as_json:
        _write_json(asdict(comparison))
    else:
        click.echo(comparison.table())


def _write_json(value: Any) -> None:
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))
