"""Run folders: `runs/<recipe>/` with its manifest, the recipe as given and resolved, links into the store.
Its model folder is written by `run_model.py`.

The manifest is the memory of a recipe: what its stages were made of the last time, and what it still needs.
"""

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtkit.errors import RecipeError, RunError
from mtkit.files import read_json, user_errors, write_json, write_text

if TYPE_CHECKING:  # the newest model is found without all that makes a plan
    from mtkit.pipeline.plan import Planned

MANIFEST = "manifest.json"
STORE = "store"
MODEL = "model"
NOTED = {"kind", "folder", "finished"}  # of a finished stage, at least
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)  # what file systems without links say


@dataclass(frozen=True)
class RunFolder:
    """One recipe's folder under `runs/`.

    Attributes:
        path: the folder; its name is the recipe's.
        manifest: what the last run noted; empty before the first.
        made: the stages that this process noted itself: another may run the recipe at the same time, and
            of what both note the later stands.
    """

    path: Path
    manifest: dict[str, Any]
    made: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.path.name

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Stage name → what was noted when it was last finished."""
        noted: dict[str, dict[str, Any]] = self.manifest.get("stages", {})
        return noted

    @property
    def earlier(self) -> dict[str, dict[str, Any]]:
        """As `stages`, with those that no longer fit the others: what a new plan is compared with."""
        return {**self.outdated, **self.stages}

    @property
    def outdated(self) -> dict[str, dict[str, Any]]:
        """As `stages`, those that no longer fit the others."""
        noted: dict[str, dict[str, Any]] = self.manifest.get("outdated", {})
        return noted

    @property
    def begun(self) -> dict[str, dict[str, Any]]:
        """Stage name → what the last run that was not finished was going to make."""
        noted: dict[str, dict[str, Any]] = self.manifest.get("begun", {})
        return noted

    @property
    def in_use(self) -> set[str]:
        """Names of the store's folders that this run's results or its next attempt need."""
        planned: dict[str, str] = self.manifest.get("planned", {})
        return {noted["folder"] for noted in self.stages.values()} | set(planned.values())


def open_run(root: Path, name: str) -> RunFolder:
    """The folder of a recipe's runs, existing or not.

    Raises:
        RecipeError: the store's own name.
        RunError: its manifest is damaged.
    """
    if name == STORE:
        raise RecipeError(
            f"a recipe cannot be named {name!r}",
            expected="a name other than that of the store's folder",
            advice="Change `recipe:`, or the file's name.",
        )
    path = root / name
    manifest = read_json(path / MANIFEST, error=RunError) if (path / MANIFEST).exists() else {}
    if not _is_manifest(manifest):
        raise RunError(
            "not a manifest as mtkit writes it",
            where=str(path / MANIFEST),
            expected="a mapping with stages",
            advice="Delete this file and run the recipe again; what is stored is found again.",
        )
    return RunFolder(path, manifest)


@contextmanager
def alone_in(run: RunFolder) -> Iterator[RunFolder]:
    """No other process changes a run's folder within the block.

    Returns:
        The folder as it is now.

    Raises:
        RunError: its manifest is damaged, or the lock cannot be written.
    """
    from mtkit.pipeline.at_work import holding  # locks are not loaded to translate one sentence

    with holding(run.path.parent / STORE, f"run.{run.name}"):
        yield open_run(run.path.parent, run.name)


def _is_manifest(value: Any) -> bool:
    """True for what `note_plan` and the others below write, and for nothing noted yet."""
    if not isinstance(value, dict):
        return False
    needed = {"stages": NOTED, "outdated": NOTED, "begun": {"kind", "fingerprint"}}
    return isinstance(value.get("planned", {}), dict) and all(
        isinstance(stages := value.get(key, {}), dict)
        and all(isinstance(stage, dict) and keys <= set(stage) for stage in stages.values())
        for key, keys in needed.items()
    )


def all_runs(root: Path) -> list[RunFolder]:
    """Every recipe that was run, by name."""
    if not root.is_dir():
        return []
    with user_errors(root):
        names = [path.parent.name for path in sorted(root.glob(f"*/{MANIFEST}"))]
    return [open_run(root, name) for name in names]


def newest_model(root: Path) -> tuple[str, Path] | None:
    """The recipe and model folder of the run whose training finished last, or None.

    Of runs that share a training, the one that was run last. A run's own model folder, which knows how the
    recipe translates, goes before the store's.
    """
    found: list[tuple[str, str, str, Path]] = []
    for run in all_runs(root):
        own = run.path / MODEL
        for noted in run.stages.values():
            stored = root / STORE / noted["folder"] / "model"
            if noted["kind"] == "train" and stored.is_dir():
                model = own if (own / "model.json").is_file() else stored
                found.append((noted["finished"], run.manifest.get("finished") or "", run.name, model))
    return max(found)[2:] if found else None


def note_plan(run: RunFolder, planned: "list[Planned]", about: dict[str, Any]) -> RunFolder:
    """Note what a run is going to need, so that nobody cleans it away meanwhile.

    Args:
        about: facts of the recipe that the report shows.
    """
    for item in planned:
        _check_link(run.path / item.stage.name, _linked(item.folder.name))
    folders = {item.stage.name: item.folder.name for item in planned}
    begun = {
        item.stage.name: {**asdict(item.ingredients), "fingerprint": item.fingerprint}
        for item in planned
        if not item.is_stored
    }
    with alone_in(run) as now:
        stages = {"stages": now.stages, "outdated": now.outdated}
        plan = {"planned": folders, "begun": begun, "finished": None}
        return _write(run, {**about, **stages, **plan}, {})


def note_stage(
    run: RunFolder, item: "Planned", record: dict[str, Any], given: list[dict[str, Any]]
) -> RunFolder:
    """Note a finished stage and link it.

    Args:
        record: its `stage.json`.
        given: its settings that the recipe or the command line gave, with their origins.
    """
    noted = {
        **asdict(item.ingredients),
        "fingerprint": item.fingerprint,
        "folder": item.folder.name,
        "reads": dict(item.stage.reads),
        "seconds": record["seconds"],
        "finished": record["finished"],
        "given": given,
    }
    made = {**run.made, item.stage.name: noted}
    with alone_in(run) as now:
        link(run.path / item.stage.name, _linked(item.folder.name))
        stages = {"stages": {**now.stages, **made}, "outdated": now.outdated}
        return _write(run, {**run.manifest, **stages}, made)


def note_end(run: RunFolder, order: Iterable[str], finished: str) -> RunFolder:
    """Note the end of a run: stages in the recipe's order, those that no longer fit set apart.

    Args:
        order: names of the recipe's stages.
        finished: when, as ISO 8601.
    """
    with alone_in(run) as now:
        every = {**now.stages, **run.made}
        kept = fitting(every, order)
        outdated = {name: noted for name, noted in {**now.outdated, **every}.items() if name not in kept}
        for name in outdated:
            (run.path / name).unlink(missing_ok=True)
        for name in kept.keys() & run.made:
            link(run.path / name, _linked(kept[name]["folder"]))
        stages = {"stages": kept, "outdated": outdated, "begun": {}}
        return _write(run, {**run.manifest, **stages, "finished": finished}, run.made)


def _write(run: RunFolder, manifest: dict[str, Any], made: dict[str, dict[str, Any]]) -> RunFolder:
    write_json(run.path / MANIFEST, manifest)
    return RunFolder(run.path, manifest, made)


def fitting(stages: dict[str, dict[str, Any]], order: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The stages that read what the others are now; a score of yesterday's model is not this run's."""
    kept: dict[str, dict[str, Any]] = {}
    for name in order:
        noted = stages.get(name)
        if noted and all(
            reads in kept and kept[reads]["fingerprint"] == noted["inputs"][role]
            for role, reads in noted["reads"].items()
        ):
            kept[name] = noted
    return kept


def write_recipe(run: RunFolder, given: str, resolved: str) -> None:
    """Keep the recipe as given and with every value filled in."""
    write_text(run.path / "recipe.yaml", given)
    write_text(run.path / "recipe.resolved.yaml", resolved)


def link(place: Path, target: Path) -> None:
    """Make or renew a symbolic link in one move; where links cannot be made, there is none.

    Raises:
        RunError: something else than a link stands there.
    """
    _check_link(place, target)
    fresh = place.with_name(f".{place.name}.{os.getpid()}.new")
    with user_errors(place):
        fresh.unlink(missing_ok=True)
        try:
            fresh.symlink_to(target, target_is_directory=True)
        except OSError as error:
            if error.errno in NO_LINKS:
                return
            raise
        fresh.replace(place)


def _linked(folder: str) -> Path:
    """What the link of a stage points to, from the run's folder; `folder`: its name in the store."""
    return Path("..") / STORE / folder


def _check_link(place: Path, target: Path) -> None:
    if place.exists() and not place.is_symlink():
        raise RunError(
            "this is not a link into the store",
            where=str(place),
            expected=f"nothing, or a link to {target}",
            advice="Move it away; mtkit keeps this place for a link.",
        )
