"""From a model folder to one that onnxruntime runs, with its certificate, or to nothing and the reasons."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx

from mtkit.errors import ModelError
from mtkit.export import onnx_graph
from mtkit.export.comparing import plain_beam
from mtkit.export.onnx_model import ENCODER, STEP, OnnxModel
from mtkit.export.opened import Opened, positions_in
from mtkit.export.probe import ProbeLine
from mtkit.export.proof import Proof, fresh_folder, prove, settle
from mtkit.files import user_errors, write_json
from mtkit.model.count import count_parameters
from mtkit.model.folder import subword_folder
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED, PAD, UNK
from mtkit.translation.torch_engine import TorchEngine
from mtkit.translation.translator import BATCH_TOKENS

ABOUT = "model.json"  # what else a program has to know
MOST_BYTES = 2**31 - 1  # of one file, which is one message of protobuf


def export_onnx(
    model_folder: Path,
    out: Path,
    probe: Sequence[ProbeLine],
    *,
    threads: int | None = None,
    say: Callable[[str], None],
) -> Proof:
    """Write a model as ONNX graphs and prove that onnxruntime translates alike with them.

    Args:
        model_folder: the model.
        out: the folder to be; written whole or not at all.
        probe: the lines that both translate.
        threads: CPU threads.
        say: hears how large the graphs are.

    Raises:
        ModelError: the two do not translate alike, or the model is too large for the format.
    """
    opened = Opened(model_folder, threads)
    if 4 * count_parameters(opened.model) > MOST_BYTES:
        raise ModelError(
            f"{count_parameters(opened.model):,} weights",
            where=str(model_folder),
            expected="less than 2 GB, which a file of ONNX may have",
            advice="Export it to CTranslate2.",
        )
    settings = plain_beam(opened.card.decoding)
    comparison = opened.comparison(probe, settings)
    positions = positions_in(opened)
    with fresh_folder(out) as fresh, user_errors(out):
        onnx.save(onnx_graph.encoder(opened.model, positions), fresh / ENCODER)
        onnx.save(onnx_graph.step(opened.model, positions), fresh / STEP)
        shutil.copytree(subword_folder(model_folder), fresh / "subword")
        write_json(fresh / ABOUT, about(opened, positions))
        sizes = [f"{name} {(fresh / name).stat().st_size / 1e6:.1f} MB" for name in (ENCODER, STEP)]
        say(f"onnx: {', '.join(sizes)}")
        model = OnnxModel(fresh, opened.threads, positions).as_model()
        other = comparison.translated(TorchEngine(model, BATCH_TOKENS))
        return settle(fresh, out, prove("onnx", opened.card, comparison, other, settings))


def about(opened: Opened, positions: int) -> dict[str, object]:
    """What a program that runs the graphs has to know, as JSON."""
    card = opened.card
    return {
        "source_language": card.source_language,
        "target_language": card.target_language,
        "normalize": card.normalize,
        "ids": {"padding": PAD, "unknown": UNK, "begin": BOS, "end": EOS, "never_produced": NEVER_PRODUCED},
        "sizes": {"source": card.source_size, "target": card.target_size},
        "positions": positions,
        "decoding": card.decoding.written(),
    }
