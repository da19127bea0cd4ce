"""A finished run as one page: `report.md`, from the run folder's manifest and the stages it links.

Reads files only; what is measured is measured by the stages.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtkit.files import read_json, write_text
from mtkit.report import sections
from mtkit.report.expectations import Outcome, compare
from mtkit.report.markdown import text

MANIFEST = "manifest.json"
STORE = "store"


def write_report(run_folder: Path) -> None:
    """Write `report.md` into the folder of a run (`runs/<recipe>`).

    Raises:
        DataError: a file that its stages wrote is missing or damaged.
    """
    manifest = read_json(run_folder / MANIFEST)
    stages = manifest["stages"]
    folders = _folders(run_folder, stages)
    licences = manifest.get("licences", {})  # a run of an earlier version noted none

    def corpus(name: str, folder: Path) -> list[str]:
        return sections.corpus_section(name, folder, licences.get(name))

    lines = [
        *_head(manifest),
        *sections.scores_section(of_kind(stages, folders, "score")),
        *sections.expectations_section(expectations_of(run_folder)),
        *sections.settings_section(stages),
        *_each(stages, folders, "corpus", corpus),
        *_each(stages, folders, "subword", sections.subword_section),
        *_each(stages, folders, "train", sections.train_section),
        *_each(stages, folders, "export", sections.export_section),
        *_each(stages, folders, "translate", sections.samples_section),
        *sections.stages_section(stages),
    ]
    write_text(run_folder / "report.md", "\n".join(lines))


def expectations_of(run_folder: Path) -> tuple[Outcome, ...]:
    """What the recipe of a run expects, beside what the run measured."""
    manifest = read_json(run_folder / MANIFEST)
    stages = manifest["stages"]
    return compare(manifest["expect"], figures(stages, _folders(run_folder, stages)))


def _folders(run_folder: Path, stages: Mapping[str, Any]) -> dict[str, Path]:
    return {name: run_folder.parent / STORE / noted["folder"] for name, noted in stages.items()}


def figures(stages: Mapping[str, Any], folders: Mapping[str, Path]) -> dict[str, float]:
    """What a run measured, under the names that `expect` uses.

    Returns:
        `SPLIT.METRIC` of the first score stage of a split and `STAGE.METRIC` of every one; `STAGE.minutes`
        and `minutes` of all stages together, as long as they took when they were made; for trainings
        `parameters`, `updates` and `tokens_per_second`, of several the first.
    """
    found: dict[str, float] = {}
    for name, folder in of_kind(stages, folders, "score").items():
        for item in read_json(folder / "scores.json"):
            found.setdefault(f"{item['split']}.{item['metric']}", item["value"])
            found[f"{name}.{item['metric']}"] = item["value"]
    for folder in of_kind(stages, folders, "train").values():
        facts = read_json(folder / "train.json")
        for fact in ("parameters", "updates", "tokens_per_second"):
            found.setdefault(fact, facts[fact])
    for name, noted in stages.items():
        found[f"{name}.minutes"] = noted["seconds"] / 60
    found["minutes"] = sum(noted["seconds"] for noted in stages.values()) / 60
    return found


def of_kind(stages: Mapping[str, Any], folders: Mapping[str, Path], kind: str) -> dict[str, Path]:
    """The folders of all stages of a kind."""
    return {name: folders[name] for name, noted in stages.items() if noted["kind"] == kind}


def _each(stages: Mapping[str, Any], folders: Mapping[str, Path], kind: str, write: Any) -> list[str]:
    return [line for name, folder in of_kind(stages, folders, kind).items() for line in write(name, folder)]


def _head(manifest: Mapping[str, Any]) -> list[str]:
    lines = [f"# {text(manifest['recipe'])}", ""]
    if manifest["about"]:
        lines += [text(manifest["about"]), ""]
    languages = f"{manifest['source']} → {manifest['target']}"
    when = f"finished {manifest['finished']}" if manifest["finished"] else "not finished"
    return [*lines, f"{languages}, seed {manifest['seed']}, mtkit {manifest['mtkit']}, {when}.", ""]
