"""The sections of a run's report, each from the files of one kind of stage."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtkit.files import read_json, read_lines
from mtkit.log import duration
from mtkit.report.expectations import Outcome, shown
from mtkit.report.markdown import section, sparkline, table, text

FILTER_EXAMPLES = 2  # shown of what each filter removed
SAMPLES = 5  # translations shown
CURVE_ROWS = 20  # validations in the table; the line above it shows all
NOT_SCORES = ("update", "epoch", "samples")

Stages = Mapping[str, Mapping[str, Any]]


def stages_section(stages: Stages) -> list[str]:
    """What was made, when, and how long it took."""
    rows = [
        [name, noted["kind"], duration(noted["seconds"]), noted["finished"], f"`{noted['folder']}`"]
        for name, noted in stages.items()
    ]
    return section("Stages", table(["stage", "kind", "took", "finished", "in the store"], rows))


def settings_section(stages: Stages) -> list[str]:
    """What this recipe says itself; everything else is a base's or a default."""
    rows = [
        [f"`{given['path']}`", text(given["value"]), text(given["origin"])]
        for noted in stages.values()
        for given in noted["given"]
    ]
    note = [
        "All other settings are those of the base or the defaults; `recipe.resolved.yaml` has every value."
    ]
    return section("Settings", table(["setting", "value", "given in"], rows) if rows else [], note)


def expectations_section(expectations: tuple[Outcome, ...]) -> list[str]:
    """What the recipe expected, and whether it came so."""
    rows = [
        [f"`{item.figure}`", text(str(item.expected)), shown(item.measured), item.verdict]
        for item in expectations
    ]
    return section("Expectations", table(["figure", "expected", "measured", ""], rows, "llr") if rows else [])


def corpus_section(name: str, folder: Path, licences: Sequence[Mapping[str, Any]] | None) -> list[str]:
    """Pairs in each split, what each filter removed with examples, licences.

    Args:
        name: of the stage.
        folder: of the stage.
        licences: of its datasets as they are now; None: as they were when it was made.
    """
    facts = read_json(folder / "corpus.json")
    pairs = ", ".join(f"{split} {count:,}" for split, count in facts["pairs"].items())
    lines = [
        f"{facts['source_language']} → {facts['target_language']}, normalised {facts['normalize']}."
        f" Pairs: {pairs}. Removed because validation or test holds them: {facts['held_out_removed']:,}."
    ]
    rows = [
        [where, text(item["filter"]), f"{item['removed']:,}", _examples(item)]
        for where, item in _filtered(facts)
    ]
    filters = table(["where", "filter", "removed", "for example"], rows, "llr") if rows else []
    said = [
        f"- {text(item['dataset'])}: {text(item['licence'])}. {text(item['attribution'] or '')}".rstrip()
        for item in (facts["licences"] if licences is None else licences)
    ]
    return section(f"Corpus ({name})", lines, filters, said)


def _filtered(facts: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What was removed: while each dataset was read, then by the recipe's own filters, by split."""
    for dataset in facts["datasets"]:
        for item in dataset["filters"]:
            yield f"{text(dataset['dataset'])}, {dataset['read']:,} pairs read", item
        for split, items in dataset["repeated_or_held_out"].items():
            yield from ((f"{text(dataset['dataset'])}, {split}", item) for item in items)
    for split, held_out in facts["splits"].items():
        where = f"recipe, {split}, {held_out['pairs_read']:,} pairs held out"
        yield from ((where, item) for item in held_out["filters"])
    for item in facts["filters"]:
        yield "recipe", item


def _examples(item: Mapping[str, Any]) -> str:
    return "<br>".join(
        f"{text(source)} ⇒ {text(target)}" for source, target in item["examples"][:FILTER_EXAMPLES]
    )


def subword_section(name: str, folder: Path) -> list[str]:
    """Algorithm and sizes."""
    facts = read_json(folder / "subword.json")
    rows = [
        [f"`{key}`", text(_flat(value))] for key, value in facts.items() if key not in ("files", "format")
    ]
    return section(f"Subword ({name})", table(["fact", "value"], rows))


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_flat(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else str(value)


def train_section(name: str, folder: Path) -> list[str]:
    """Size, length and speed of training, and the learning curve."""
    facts = read_json(folder / "train.json")
    lines = [
        f"{facts['parameters']:,} parameters, {facts['updates']:,} updates, {shown(facts['epochs'])} epochs,"
        f" {duration(facts['seconds'])}, {facts['target_tokens']:,} target tokens"
        f" ({facts['tokens_per_second']:,.0f} a second), {facts['padding_share']:.1%} padding."
        f" Stopped by {text(facts['stopped_by'])}; best at update {facts['best']['update']:,}."
    ]
    for setting, choice in facts.get("chosen", {}).items():  # absent in stages of earlier versions
        lines.append(f"`{setting}: auto` became {_flat(choice['value'])}: {text(choice['because'])}.")
    if facts.get("in_pieces"):
        lines.append(f"{facts['in_pieces']:,} batches ran out of memory and were computed in pieces.")
    validations = [read_json(path) for path in sorted((folder / "validations").glob("*.json"))]
    names = list(dict.fromkeys(name for item in validations for name in item if name not in NOT_SCORES))
    return section(
        f"Training ({name})",
        lines,
        _curves(validations, names) if len(validations) > 1 else [],
        _curve_table(validations, names) if validations else [],
    )


def _curves(validations: list[dict[str, Any]], names: list[str]) -> list[str]:
    """A line of bars for each score."""
    lines = []
    for name in names:
        items = [item for item in validations if name in item]
        curve = sparkline([item[name] for item in items])
        lines.append(f"- `{name}` `{curve}` {_score(name, items[0])} → {_score(name, items[-1])}")
    return lines


def _score(name: str, item: Mapping[str, Any]) -> str:
    """A loss to three places, a score to two."""
    if name not in item:
        return "–"
    return f"{item[name]:.3f}" if name.startswith("loss") else f"{item[name]:.2f}"


def _curve_table(validations: list[dict[str, Any]], names: list[str]) -> list[str]:
    thin = -(-len(validations) // CURVE_ROWS)
    kept = validations[::-1][::thin][::-1]  # the last one always
    rows = [[f"{item['update']:,}", *(_score(name, item) for name in names)] for item in kept]
    return table(["update", *(f"`{name}`" for name in names)], rows, "r" * (len(names) + 1))


def scores_section(folders: Mapping[str, Path]) -> list[str]:
    """Every score with its signature."""
    rows, signatures = [], []
    for name, folder in folders.items():
        for item in read_json(folder / "scores.json"):
            interval = "–".join(f"{end:.2f}" for end in item["confidence"]) if item["confidence"] else ""
            value = f"**{item['value']:.2f}**"
            rows.append([name, item["split"], item["metric"], value, interval, f"{item['sentences']:,}"])
            signatures.append(f"- {name}, {item['split']}: `{item['signature']}`")
    header = ["stage", "split", "metric", "score", "95 %", "sentences"]
    return section("Scores", table(header, rows, "lllrrr") if rows else [], signatures)


def export_section(name: str, folder: Path) -> list[str]:
    """What the converted model was compared on, and what it scores beside its original."""
    [path] = folder.glob("*/certificate.json")
    facts = read_json(path)
    engine = {"ctranslate2": "CTranslate2", "onnx": "ONNX"}.get(path.parent.name, path.parent.name)
    lines = sum(facts["probe"].values())
    said = (
        f"For {engine} in {text(facts['quantization'])}: {facts['alike']:,} of {lines:,} lines translated"
        f" alike, token for token, {len(facts['differences']):,} differently."
    )
    if short := facts.get("shortlist"):
        said += (
            f" With the shortlist of {short['pieces']:,} pieces {short['alike']:,} are alike;"
            f" {short['bleu_loss']:.2f} BLEU and {short['chrf_loss']:.2f} chrF are lost."
        )
    rows = [
        [text(metric), f"{found['torch']:.2f}", f"{found['converted']:.2f}", text(found["signature"])]
        for metric, found in facts["scores"].items()
    ]
    scores = table(["metric", "torch", engine, "signature"], rows, "lrrl") if rows else []
    return section(f"Export ({name})", [said], scores)


def samples_section(name: str, folder: Path) -> list[str]:
    """Some translations, spread evenly over the text."""
    facts = read_json(folder / "translate.json")
    count = facts["sentences"]
    most = min(SAMPLES, count)
    wanted = sorted({round(place * (count - 1) / max(1, most - 1)) for place in range(most)})
    sides = [_lines_at(folder / side, wanted) for side in ("source", "hypotheses", "reference")]
    rows = [
        [f"{number + 1:,}", *(text(side[place]) for side in sides)] for place, number in enumerate(wanted)
    ]
    flags = ", ".join(f"{flag} {number:,}" for flag, number in facts["flags"].items())
    lines = [f"{count:,} sentences of {facts['split']} in {duration(facts['seconds'])}. Flags: {flags}."]
    return section(
        f"Translations ({name})", lines, table(["line", "source", "translation", "reference"], rows, "r")
    )


def _lines_at(path: Path, wanted: list[int]) -> list[str]:
    chosen = set(wanted)
    return [line for number, line in enumerate(read_lines(path)) if number in chosen]
