"""The state of the runs and of the store, in lines for people; and what of the store nobody needs."""

from collections.abc import Iterator
from pathlib import Path

from mtkit.errors import DataError
from mtkit.log import duration, read_events
from mtkit.pipeline.at_work import needed_now
from mtkit.pipeline.making import EVENTS
from mtkit.pipeline.runs import STORE, RunFolder, all_runs
from mtkit.pipeline.store import DAMAGED, PARTIAL, Entry, Store, folder_damage


def run_lines(root: Path, name: str | None, *, verify: bool, now: float) -> Iterator[str]:
    """Every run with its stages.

    Args:
        root: the folder of runs.
        name: only this recipe's; None: all.
        verify: also compare the SHA-256 of every file.
        now: seconds since 1970, for ages.

    Raises:
        DataError: there is no such run.
    """
    found = [run for run in all_runs(root) if name in (None, run.name)]
    if not found and name is not None:
        names = ", ".join(run.name for run in all_runs(root)) or "none"
        raise DataError(
            f"no run named {name!r}",
            where=str(root),
            expected=f"one of: {names}",
            advice="Run the recipe first, or name the right folder with `--runs`.",
        )
    if not found:
        yield f"no runs in {root}"
    entries = {entry.name: entry for entry in Store(root / STORE).all()}
    for run in found:
        finished = run.manifest.get("finished")
        yield f"{run.name}: " + (f"finished {finished}" if finished else "not finished")
        for stage, folder in folders(run).items():
            yield f"    {stage:<12}  {_state(folder, entries, verify=verify, now=now)}"


def folders(run: RunFolder) -> dict[str, str]:
    """Stage name → name of its folder in the store, made or still planned."""
    planned: dict[str, str] = run.manifest.get("planned", {})
    return {**{name: noted["folder"] for name, noted in run.stages.items()}, **planned}


def _state(folder: str, entries: dict[str, Entry], *, verify: bool, now: float) -> str:
    entry = entries.get(folder)
    if entry is not None:
        damage = folder_damage(entry.path, verify=verify)
        state = f"damaged ({damage})" if damage else "stored"
        return f"{state:<8}  {describe(entry, now)}"
    partial = entries.get(folder + PARTIAL)
    return describe(partial, now) if partial is not None else "not made yet"


def store_lines(root: Path) -> Iterator[str]:
    """What the store holds for no run, in one line."""
    unused = unneeded(root)
    if unused:
        total = sum(entry.size_bytes for entry in unused)
        yield f"{len(unused)} folders of the store serve no run ({size(total)}): `mtkit clean` lists them"


def describe(entry: Entry, now: float) -> str:
    """A folder of the store in half a line: who runs it, its size, its age, how far training had come."""
    facts = [size(entry.size_bytes), f"{duration(max(0.0, now - entry.modified))} old"]
    if entry.state == "running":
        facts.insert(0, f"running ({entry.holder})")
    elif entry.state == "partial":
        facts.insert(0, "interrupted")
    if entry.state in ("running", "partial"):
        updates = [event["update"] for event in read_events(entry.path / EVENTS) if "update" in event]
        facts += [f"update {max(updates):,}"] if updates else []
    return ", ".join(facts)


def unneeded(root: Path) -> list[Entry]:
    """What of the store no run uses and no interrupted run would go on with; nothing that runs now."""
    used = {folder for run in all_runs(root) for folder in run.in_use} | needed_now(root / STORE)
    return [entry for entry in Store(root / STORE).all() if _is_unneeded(entry, used)]


def _is_unneeded(entry: Entry, used: set[str]) -> bool:
    if entry.state == "running":
        return False
    return entry.name.endswith(DAMAGED) or entry.name.removesuffix(PARTIAL) not in used


def size(count: int) -> str:
    """Bytes for people, in powers of ten."""
    if count < 1000:
        return f"{count} bytes"
    value, units = count / 1000, ["kB", "MB", "GB", "TB"]
    while value >= 1000 and len(units) > 1:
        value, units = value / 1000, units[1:]
    return f"{value:.1f} {units[0]}"
