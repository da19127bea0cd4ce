"""The score stage: `hypotheses` and `reference` of a translate stage → `scores.json`."""

from dataclasses import asdict, dataclass
from pathlib import Path

from mtkit.config.scoring import ScoreSettings
from mtkit.files import read_json, read_lines, write_json
from mtkit.log import RunContext
from mtkit.scoring.metrics import score
from mtkit.scoring.tokenised import looks_tokenised


@dataclass(frozen=True)
class ScoreInputs:
    """What the stage reads.

    Attributes:
        translate: folder of a finished translate stage.
        language: of the translations; empty: not known, as for `metrics.score`.
    """

    translate: Path
    language: str = ""


def score_translations(settings: ScoreSettings, inputs: ScoreInputs, out: Path, run: RunContext) -> None:
    """Score a test set's translations; each number is said with its signature.

    Raises:
        DataError: the sides differ in length, or are empty.
        RunError: the tokenizer of the language is not installed.
    """
    hypotheses = list(read_lines(inputs.translate / "hypotheses"))
    reference = list(read_lines(inputs.translate / "reference"))
    split = read_json(inputs.translate / "translate.json")["split"]
    if looks_tokenised(hypotheses):
        run.say("note: the translations look tokenised; these scores compare with no published ones")
    records = []
    for metric in settings.metrics:
        result = score(hypotheses, reference, metric, settings.confidence, language=inputs.language)
        run.say(f"{split}: {result.line()}")
        run.events.write("score", split=split, **asdict(result))
        records.append({**asdict(result), "split": split, "sentences": len(reference)})
    write_json(out / "scores.json", records)
