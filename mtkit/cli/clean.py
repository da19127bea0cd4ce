"""`mtkit clean`: what of the store no run needs, and its removal."""

import time
from contextlib import nullcontext
from pathlib import Path

import click

from mtkit.cli.options import runs_option


@click.command()
@runs_option
@click.option("--yes", is_flag=True, help="Remove what is listed.")
def clean(runs: Path, yes: bool) -> None:
    """Remove stored stages that no run uses; without --yes only list them.

    Kept are the results of every run, what an interrupted run would go on with, and what is running now.

    \b
    Examples:
      mtkit clean
      mtkit clean --yes
    """
    from mtkit.pipeline.at_work import deciding
    from mtkit.pipeline.runs import STORE
    from mtkit.pipeline.status import describe, size, unneeded
    from mtkit.pipeline.store import Store

    store, now = Store(runs / STORE), time.time()
    with deciding(store.root) if yes and store.root.is_dir() else nullcontext():
        entries = unneeded(runs)
        for entry in entries:
            click.echo(f"{entry.name}  {describe(entry, now)}")
            if yes:
                store.remove(entry)
    total = size(sum(entry.size_bytes for entry in entries))
    if not entries:
        click.echo(f"nothing to remove in {runs}")
    elif yes:
        click.echo(f"removed {len(entries)} folders, {total} freed")
    else:
        click.echo(f"{len(entries)} folders, {total}; `mtkit clean --yes` removes them")
