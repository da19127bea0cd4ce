"""A record as text: what is printed at the end, and what `make docs` puts into docs/performance.md."""

from benchmarks.quality.curves import conclusions, deviations, table
from benchmarks.quality.points import Record


def report(record: Record) -> list[str]:
    """Lines of Markdown: where and when, the table, what follows from it, how scores were made."""
    points = record.points
    minutes = sorted({point.asked_minutes for point in points})
    signatures = sorted({text for point in points for text in point.signatures.values()})
    lines = [about(record), "", *table(points, minutes), ""]
    lines += [f"- {line}" for line in conclusions(points, minutes)]
    lines += [f"- {line}; to be compared with care" for line in deviations(points)]
    return [*lines, f"- {', '.join(f'`{signature}`' for signature in signatures)}"]


def about(record: Record) -> str:
    """Corpus, cores, machine, dates and versions, in a line."""
    dates = sorted(point.date[:10] for point in record.points)
    when = dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"
    versions = ", ".join(f"{name} {version}" for name, version in record.about["versions"].items())
    return f"{title(record)}; {when}; {versions}."


def title(record: Record) -> str:
    """Corpus, cores and processor, in a line."""
    parts = record.conditions["corpus"]["train"]
    data = ", ".join(name for part in parts if (name := part["dataset"] or part["stem"]))
    processor = record.about["machine"]["processor"]
    return f"{data} {record.conditions['languages']}, {record.conditions['cores']} cores of {processor}"
