"""What the certificates of finished runs say, as the table of recipes/README.md shows it.

    python -m benchmarks.certificates runs/demo runs/starter

notes the certificates of these runs in benchmarks/results/certificates.json, beside those of other recipes;
`make docs` then writes the table.
"""

import json
import sys
from pathlib import Path
from typing import Any

from mtkit.errors import RunError
from mtkit.export.mixing import Rounding
from mtkit.files import read_json, write_json
from mtkit.model.folder import WEIGHTS
from mtkit.translation.converted import BINARY, CONVERTED, read_certificate

NOTED = Path(__file__).parent / "results" / "certificates.json"
COLUMNS = (
    "recipe", "stored in", "MB", "probe lines", "alike", "ties", "BLEU torch", "BLEU stored", "chrF torch",
    "chrF stored",
)  # fmt: skip

Record = dict[str, Any]


def record(run: Path) -> tuple[str, Record]:
    """The recipe of a finished run, and what is worth telling of its certificate.

    Raises:
        ModelError: its model was not converted.
        RunError: this is no run.
    """
    if not (run / "manifest.json").is_file():
        raise RunError(
            "not a run",
            where=str(run),
            expected="a folder that `mtkit run` made",
            advice="Run the recipe first.",
        )
    model = run / "model"
    found = read_certificate(model)
    return run.resolve().name, {
        "asked": found.asked,
        "attempts": [one.model_dump(mode="json") for one in found.attempts],
        "quantization": found.quantization,
        "probe": found.probe,
        "alike": found.alike,
        "ties": sum(one.because == "tie" for one in found.differences),
        "differences": len(found.differences),
        "scores": found.scores,
        "bytes": (model / CONVERTED / BINARY).stat().st_size,
        "original_bytes": (model / WEIGHTS).stat().st_size,
        "ctranslate2": found.ctranslate2,
    }


def read_noted() -> dict[str, Record]:
    """What is noted, by recipe."""
    noted: dict[str, Record] = read_json(NOTED)
    return noted


def table(records: dict[str, Record]) -> str:
    """The certificates of all recipes, a row each."""
    rows = [list(COLUMNS), ["---", "---"] + ["---:"] * (len(COLUMNS) - 2)]
    rows += [_row(name, one) for name, one in sorted(records.items())]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _row(name: str, one: Record) -> list[str]:
    figures = [
        f"{one['scores'][metric][engine]:.2f}"
        for metric in ("bleu", "chrf")
        for engine in ("torch", "converted")
    ]
    size = f"{one['bytes'] / 1e6:.2f} of {one['original_bytes'] / 1e6:.2f}"
    lines = sum(one["probe"].values())
    # a difference is called a tie only where nothing was rounded
    ties = f"{one['ties']:,}" if one["quantization"] == "float32" else ""
    return [name, _stored_in(one), size, f"{lines:,}", f"{one['alike']:,}", ties, *figures]


def _stored_in(one: Record) -> str:
    *refused, kept = [
        str(Rounding(attempt["quantization"], tuple(attempt["finer"]))) for attempt in one["attempts"]
    ]
    return kept if not refused else f"{kept} ({', '.join(refused)} over budget)"


def main(runs: list[str]) -> None:
    """Note the certificates of some runs."""
    noted = read_noted()
    for run in runs:
        name, found = record(Path(run))
        noted[name] = found
        sys.stderr.write(f"{name}: {json.dumps(found['attempts'])}\n")
    write_json(NOTED, dict(sorted(noted.items())))


if __name__ == "__main__":
    main(sys.argv[1:])
