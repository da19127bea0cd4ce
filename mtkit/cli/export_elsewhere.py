"""`mtkit export huggingface`, `onnx` and `safetensors`: a model for programs other than mtkit."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mtkit.cli.export_options import budget_options, probe_lines_option, probe_of, probe_option, settings_of
from mtkit.cli.opening import find_model
from mtkit.cli.options import quiet_option, threads_option
from mtkit.config.export import ROUNDINGS
from mtkit.log import say

if TYPE_CHECKING:
    from mtkit.export.needs import Elsewhere


def arguments(command: Callable[..., None]) -> Callable[..., None]:
    """What all these commands are given."""
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
@click.option(
    "--quantization",
    type=click.Choice(ROUNDINGS["onnx"]),
    default="float32",
    show_default=True,
    help="What weights are rounded to.",
)
@budget_options
@arguments
def onnx(model: Path, out: Path, **options: Any) -> None:
    """Write a model as ONNX graphs.

    OUT is a folder with encoder.onnx, step.onnx (one target token, with a key/value cache), the vocabularies
    and model.json; docs/exporting.md says how a program runs them. Held-out lines of the run and a fixed list
    of odd ones are translated by torch and by onnxruntime. In float32 they must agree token for token, in
    int8 the loss of BLEU and chrF must stay within bounds; or nothing is written. What was found is in
    certificate.json. Needs `pip install 'mtkit[onnx]'`.

    MODEL is a run or a model folder.

    \b
    Examples:
      mtkit export onnx runs/demo demo-onnx
      mtkit export onnx runs/demo demo-onnx --quantization int8
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


@click.command()
@arguments
def safetensors(model: Path, out: Path, **options: Any) -> None:
    """Write a model folder of its own, with its weights as safetensors.

    OUT is a copy of the model without what other exports left in it: model.safetensors, model.json, the
    vocabularies. `mtkit translate --model OUT` reads it, and so does whatever reads safetensors;
    docs/exporting.md names the weights. The copy translates held-out lines of the run and a fixed list of odd
    ones; they must be the same token for token, or nothing is written. Hashes are in certificate.json.

    MODEL is a run or a model folder.

    \b
    Examples:
      mtkit export safetensors runs/demo demo-model
    """
    _export("safetensors", model, out, **options)


def _export(
    to: "Elsewhere",
    model: Path,
    out: Path,
    *,
    probe: Path | None,
    threads: int | None,
    quiet: bool,
    **settings: Any,
) -> None:
    from mtkit.training.openmp import quiet_openmp

    chosen = settings_of(to, settings)
    folder = find_model(model, quiet=quiet)
    quiet_openmp()
    from mtkit.export.formats import check_writable, exporter
    from mtkit.export.proof import check_place

    check_place(out, folder)
    export = exporter(to)
    check_writable(chosen, folder)
    lines = probe_of(folder, probe, chosen.probe_lines, quiet=quiet)
    proof = export(folder, out.absolute(), chosen, lines, threads=threads, say=partial(say, quiet=quiet))
    say(proof.line(), quiet=quiet)
    say(str(out), quiet=quiet)
