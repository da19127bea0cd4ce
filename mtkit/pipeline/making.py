"""Making one stage: its partial folder, its log and events, its errors told with its name."""

import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from mtkit.config.recipe import Recipe, Stage
from mtkit.errors import DataError, MtkitError, RunError
from mtkit.files import told_by_system
from mtkit.log import EventWriter, RunContext, copy_talk, duration, say
from mtkit.pipeline.fingerprint import data_of, load
from mtkit.pipeline.plan import Planned
from mtkit.pipeline.store import Partial, Store

LOG = "log.txt"
EVENTS = "events.jsonl"


def make(item: Planned, reads: dict[str, Path], recipe: Recipe, store: Store, context: RunContext) -> bool:
    """Make one stage and store it.

    Args:
        reads: role → folder of the finished stage that fills it.

    Returns:
        False if another process finished it while this one waited.

    Raises:
        MtkitError: the stage failed; what it had done stays in its partial folder if it can go on.
    """
    kind = item.stage.kind
    with store.partial(kind.name, item.fingerprint, resumes=kind.resumes, say=context.say) as partial:
        if partial is None:
            context.say(f"{item.stage.name}: finished meanwhile by another process")
            return False
        with _named_errors(item.stage, partial):
            _call(item, reads, partial, recipe, context)
            _check_data(item, recipe)
            store.seal(partial, item.ingredients)
        context.say(f"{item.stage.name}: done in {duration(sum(s['seconds'] for s in partial.sessions()))}")
        return True


def _check_data(item: Planned, recipe: Recipe) -> None:
    """Make sure that what was read is what the stage's fingerprint names.

    Raises:
        DataError: it was changed after the run had been planned.
    """
    planned, now = item.ingredients.data, data_of(item.stage, recipe)
    changed = sorted(name for name in {*planned, *now} if planned.get(name) != now.get(name))
    if changed:
        raise DataError(
            f"the data of {', '.join(changed)} changed after this run had begun",
            where=str(recipe.path),
            expected="files that stay as they are until they have been read",
            advice="Run the same command again: it goes by the files as they are then.",
        )


def _call(
    item: Planned, reads: dict[str, Path], partial: Partial, recipe: Recipe, context: RunContext
) -> None:
    """Run the kind's function with talk and events kept beside its result."""
    name = item.stage.name
    with copy_talk(partial.path / LOG), closing(EventWriter(partial.path / EVENTS)) as events:
        context.say(f"{name}: {'goes on' if partial.is_resumed else 'begins'}")
        events.write("stage_begins", stage=name, kind=item.stage.kind.name, resumed=partial.is_resumed)
        function = load(item.stage.kind.function)
        inner = replace(context, seed=recipe.seed, events=events)
        function(item.stage.settings, reads, partial.path, inner, recipe)
        events.write("stage_ends", stage=name)


@contextmanager
def settings_named(stage: Stage) -> Iterator[None]:
    """Let an error within the block call settings by this stage's name.

    Those who raise it know the kind alone, whose name a stage bears unless it says otherwise.
    """
    try:
        yield
    except MtkitError as error:
        for part in ("found", "where", "expected", "advice"):
            said = getattr(error, part).replace(f"stages.{stage.kind.name}.", f"stages.{stage.name}.")
            setattr(error, part, said)
        raise


@contextmanager
def _named_errors(stage: Stage, partial: Partial) -> Iterator[None]:
    """Give every error within the block the stage's name, and the operating system's a way out.

    Of a stage that cannot go on where it was stopped only the log stays.
    """
    name, resumes = stage.name, stage.kind.resumes
    try:
        with settings_named(stage):
            yield
    except KeyboardInterrupt:
        kept = f"what it had done is kept in {partial.path}"
        begins_anew = "it begins anew when the same command runs again"
        say(f"\n{name}: stopped; {kept if resumes else begins_anew}")
        raise
    except MtkitError as error:
        error.where = f"stage {name}: {error.where}" if error.where else f"stage {name}"
        _log(partial, str(error))
        raise
    except OSError as error:
        _log(partial, traceback.format_exc())
        raise _told(name, partial, error) from error
    except Exception:
        _log(partial, traceback.format_exc())
        raise
    finally:
        if not resumes:
            partial.clear(keep=(LOG, EVENTS))


def _told(name: str, partial: Partial, error: OSError) -> RunError:
    """An operating system's error that no room has put into words."""
    place = error.filename if isinstance(error.filename, str) else partial.path
    return told_by_system(error, f"stage {name}: {place}")


def _log(partial: Partial, text: str) -> None:
    """Keep an error in the stage's log, if the disk lets us."""
    try:
        with (partial.path / LOG).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError:
        return
