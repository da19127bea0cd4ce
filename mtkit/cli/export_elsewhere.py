"""`mtkit export huggingface` and `mtkit export onnx`: a model for programs other than mtkit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from mtkit.cli.opening import find_model
from mtkit.cli.options import quiet_option, threads_option
from mtkit.config.export import ExportSettings
from mtkit.log import say

if TYPE_CHECKING:
    from mtkit.export.probe import ProbeLine
    from mtkit.export.proof import Proof

probe_option = click.option(
    "--probe",
    type=click.Path(path_type=Path),
    metavar="STEM",
    help="Text to compare on: STEM.SOURCE and STEM.TARGET.  [default: the run's valid and test]",
)
probe_lines_option = click.option(
    "--probe-lines",
    type=click.IntRange(min=1),
    metavar="N",
    default=ExportSettings.model_fields["probe_lines"].default,
    show_default=True,
    help="Lines of each text to compare on.",
)


def arguments(command: Callable[..., None]) -> Callable[..., None]:
    """What both commands are given."""
    for one in (
        quiet_option,
        threads_option,
        probe_lines_option,
        probe_option,
        click.argument("out", type=click.Path(path_type=Path)),
        click.argument("model", type=click.Path(path_type=Path)),
    ):
        command = one(command)
    return command


@click.command()
@arguments
def onnx(model: Path, out: Path, **options: Any) -> None:
    """Write a model as ONNX graphs.

    OUT is a folder with encoder.onnx, step.onnx (one target token, with a key/value cache), the vocabularies
    and model.json; docs/exporting.md says how a program runs them. Held-out lines of the run and a fixed list
    of odd ones are translated by torch and by onnxruntime; they must agree token for token, or nothing is
    written. What was found is in certificate.json. Needs `pip install 'mtkit[onnx]'`.

    MODEL is a run or a model folder.

    \b
    Examples:
      mtkit export onnx runs/demo demo-onnx
      mtkit export onnx model/ model-onnx --probe data/test
    """
    _export("onnx", model, out, **options)


@click.command()
@arguments
def huggingface(model: Path, out: Path, **options: Any) -> None:
    """Write a model as transformers loads it.

    OUT is a folder for `from_pretrained`: config, weights, tokenizer, and how `generate` searches. A model of
    the shape of Vaswani et al. 2017 becomes a MarianMTModel; any other comes with modeling_mtkit.py, which
    transformers runs if it is told `trust_remote_code=True`. Held-out lines of the run and a fixed list of
    odd ones are translated by torch and by `generate`, greedily; they must agree token for token, or nothing
    is written. What was found is in certificate.json. Needs `pip install 'mtkit[huggingface]'`.

    MODEL is a run or a model folder.

    \b
    Examples:
      mtkit export huggingface runs/demo demo-hf
      mtkit export huggingface model/ model-hf --probe data/test
    """
    _export("huggingface", model, out, **options)


def _export(
    to: Literal["huggingface", "onnx"],
    model: Path,
    out: Path,
    *,
    probe: Path | None,
    probe_lines: int,
    threads: int | None,
    quiet: bool,
) -> None:
    from mtkit.training.openmp import quiet_openmp

    folder = find_model(model, quiet=quiet)
    quiet_openmp()
    from mtkit.export.proof import check_place, missing

    check_place(out)
    try:
        export = _exporter(to)
    except ImportError as error:
        raise missing(to, error) from error
    lines = probe_of(folder, probe, probe_lines, quiet=quiet)
    proof: Proof = export(folder, out, lines, threads=threads, say=partial(say, quiet=quiet))
    say(proof.line(), quiet=quiet)
    say(str(out), quiet=quiet)


def _exporter(to: str) -> Callable[..., Any]:
    if to == "onnx":
        from mtkit.export.onnx_export import export_onnx

        return export_onnx
    from mtkit.export.huggingface_export import export_huggingface

    return export_huggingface


def probe_of(folder: Path, stem: Path | None, most: int, *, quiet: bool) -> "list[ProbeLine]":
    """The lines to compare on: of a text that was named, or of the corpus behind a run's model; and odd ones.

    Args:
        folder: the model folder.
        stem: of the text; None: none was named.
        most: lines of each text.
        quiet: say nothing.
    """
    from mtkit.export.probe import corpus_lines, nasty_lines, stem_lines
    from mtkit.model.folder import read_card
    from mtkit.pipeline.run_model import corpus_behind

    if stem is not None:
        card = read_card(folder)
        return stem_lines(stem, card.source_language, card.target_language, most) + nasty_lines()
    corpus = corpus_behind(folder)
    if corpus is None:
        say("no corpus of a run beside this model: compared on odd lines alone", quiet=quiet)
        return nasty_lines()
    return corpus_lines(corpus, most) + nasty_lines()
