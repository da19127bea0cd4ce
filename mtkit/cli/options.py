"""Options that several commands have, each described once."""

import math
from pathlib import Path
from typing import Any

import click

RUNS = Path("runs")
MODEL_VARIABLE = "MTKIT_MODEL"
MOST_THREADS = 4096  # above any machine's cores; where the system makes no more, libraries end the process


class FiniteRange(click.FloatRange):
    """A number within bounds; neither NaN, which click compares with none of them, nor infinite."""

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> float:
        """As click does it.

        Raises:
            BadParameter: it is no such number.
        """
        if not math.isfinite(click.FLOAT.convert(value, param, context)):
            self.fail(f"{value} is not a finite number.", param, context)
        return float(super().convert(value, param, context))


set_option = click.option(
    "--set", "overrides", multiple=True, metavar="PATH=VALUE", help="Change a setting; may be repeated."
)
runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default=RUNS,
    show_default=True,
    metavar="DIR",
    help="Folder of the store and of the runs.",
)
model_option = click.option(
    "--model",
    type=click.Path(path_type=Path),
    metavar="DIR",
    envvar=MODEL_VARIABLE,
    show_envvar=True,
    help="Model folder, or a run that has one.  [default: the run whose training finished last, under"
    f" ./{RUNS}]",
)
device_option = click.option(
    "--device", default="auto", show_default=True, metavar="DEVICE", help="cpu, cuda, cuda:N or auto."
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    metavar="N",
    help="CPU threads.  [default: OMP_NUM_THREADS, or all cores]",
)
processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that train together on this machine, one for each GPU, or each with a share of the"
    " cores.  [default: 1]",
)
quiet_option = click.option("--quiet", is_flag=True, help="Say nothing but errors.")
engine_option = click.option(
    "--engine",
    type=click.Choice(["auto", "torch", "ctranslate2"]),
    default="auto",
    show_default=True,
    help="auto: CTranslate2 on a CPU if the model was exported for it.",
)
