"""From a model folder to one that onnxruntime runs, with its certificate, or to nothing and the reasons."""

import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

from mtkit.config.export import ExportSettings
from mtkit.errors import ModelError
from mtkit.export import onnx_graph
from mtkit.export.comparing import check_measurable, plain_beam
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
ROUNDED = ["MatMul", "Gemm", "Gather"]  # operators with matrices
MOST_BYTES = 2**31 - 1  # of one file, which is one message of protobuf


def export_onnx(
    model_folder: Path,
    out: Path,
    settings: ExportSettings,
    probe: Sequence[ProbeLine],
    *,
    threads: int | None = None,
    say: Callable[[str], None],
) -> Proof:
    """Write a model as ONNX graphs and prove that onnxruntime translates alike with them.

    Args:
        model_folder: the model.
        out: the folder to be; written whole or not at all.
        settings: float32 or int8, and what the latter may cost.
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
    check_measurable(settings, probe)
    search = plain_beam(opened.card.decoding)
    comparison = opened.comparison(probe, search)
    positions = positions_in(opened)
    with fresh_folder(out) as fresh, user_errors(out):
        for graph, name in ((onnx_graph.encoder, ENCODER), (onnx_graph.step, STEP)):
            onnx.save(graph(opened.model, positions), fresh / name)
            if settings.quantization == "int8":
                _round(fresh / name)
        shutil.copytree(subword_folder(model_folder), fresh / "subword")
        write_json(fresh / ABOUT, about(opened, positions))
        sizes = [f"{name} {(fresh / name).stat().st_size / 1e6:.1f} MB" for name in (ENCODER, STEP)]
        say(f"onnx: {', '.join(sizes)}")
        model = OnnxModel(fresh, opened.threads, positions).as_model()
        other = comparison.translated(TorchEngine(model, BATCH_TOKENS))
        return settle(fresh, out, prove(settings, opened.card, comparison, other, search))


def _round(path: Path) -> None:
    """Round the matrices of a graph to eight bits, each column by itself; what they meet, as it comes.

    Without a sign: with one, CPUs that lack VNNI would saturate sums, and translate unlike what was proved.
    """
    whole = path.with_suffix(".float32")
    path.rename(whole)
    logger = logging.getLogger()  # onnxruntime warns here of a preparation that our graphs have no need of
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        quantize_dynamic(
            whole, path, weight_type=QuantType.QUInt8, per_channel=True, op_types_to_quantize=ROUNDED
        )
    finally:
        logger.setLevel(level)
    whole.unlink()


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
