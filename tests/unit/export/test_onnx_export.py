"""What onnxruntime makes of an exported model is what torch makes of it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.stand_ins import write_model
from mtkit.config.export import ExportSettings
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError, RunError
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.export.proof import CERTIFICATE, Proof, check_place, fresh_folder
from mtkit.model.folder import CARD
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities

pytest.importorskip("onnx", reason="pip install 'mtkit[onnx]'")
pytest.importorskip("onnxruntime", reason="pip install 'mtkit[onnx]'")

SOURCE_SIZE, TARGET_SIZE = 23, 19
POSITIONS = 41
SOURCES = [[4, 5, 6], [7, 8, 9, 10, 11, 12, 13], [14], [5, 17, 6, 4, 4]]
TARGETS = [[4, 9], [], [5, 6, 7, 8, 9, 10], [18]]
SHAPES: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "modern": {
        "norm": "rms_norm", "positions": {"kind": "rotary", "base": 100.0}, "bias": False, "kv_heads": 2,
        "activation": "swiglu", "encoder_layers": 2,
    },
    "learned": {
        "positions": {"kind": "learned", "max": POSITIONS}, "activation": "gelu", "tied_embeddings": "none",
        "decoder_layers": 2,
    },
    "swish": {"activation": "swish", "tied_embeddings": "target", "kv_heads": 1, "norm_order": "post"},
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_both_find_the_same_and_give_any_translation_the_same_probability(
    shape: dict[str, Any], one_seed: None, tmp_path: Path
) -> None:
    import onnx

    from mtkit.export import onnx_graph
    from mtkit.export.onnx_model import ENCODER, STEP, OnnxModel

    whole = {"dim": 24, "heads": 4, "ffn_dim": 37, "encoder_layers": 1, "decoder_layers": 1, **shape}
    settings = ModelSettings.model_validate(whole)
    source_size = TARGET_SIZE if settings.tied_embeddings == "all" else SOURCE_SIZE
    model = Transformer(settings, source_size, TARGET_SIZE, output_bias="swish" in shape.values()).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(torch.randn_like(weight), alpha=0.2)
    onnx.save(onnx_graph.encoder(model, POSITIONS), tmp_path / ENCODER)
    onnx.save(onnx_graph.step(model, POSITIONS), tmp_path / STEP)
    other = OnnxModel(tmp_path, 1, POSITIONS).as_model()
    beam = SearchSettings(beam_size=3, n_best=2, max_length_extra=5)
    ours, theirs = search(model, SOURCES, beam), search(other, SOURCES, beam)
    assert [[one.ids for one in best] for best in ours] == [[one.ids for one in best] for best in theirs]
    greedy = SearchSettings(beam_size=1, max_length_extra=5)
    ours, theirs = search(model, SOURCES, greedy), search(other, SOURCES, greedy)
    assert [best.ids for best, *_ in ours] == [best.ids for best, *_ in theirs]
    given = log_probabilities(model, SOURCES, TARGETS)
    assert log_probabilities(other, SOURCES, TARGETS) == pytest.approx(given, abs=1e-4)


@pytest.fixture
def run(reversing_model: Path, toy: Path, tmp_path: Path) -> Callable[..., Proof]:
    def now(held_out: int = 10, odd: int | None = None, **settings: Any) -> Proof:
        from mtkit.export.onnx_export import export_onnx

        lines = (corpus_lines(toy / "corpus", held_out) if held_out else []) + nasty_lines()[:odd]
        chosen = ExportSettings(to="onnx", **settings)
        return export_onnx(reversing_model, tmp_path / "out", chosen, lines, threads=1, say=print)

    return now


def test_the_folder_has_all_that_a_program_needs_and_a_certificate(
    run: Callable[..., Proof], tmp_path: Path
) -> None:
    proof = run()
    assert proof.alike == sum(proof.probe.values()) == 20 + len(nasty_lines())
    assert proof.largest_gap < 1e-3
    written = json.loads((tmp_path / "out" / CERTIFICATE).read_text())
    assert written["to"] == "onnx" and written["files"] == proof.files
    assert {"encoder.onnx", "step.onnx", "model.json", "subword/subword.json"} < set(proof.files)
    about = json.loads((tmp_path / "out" / "model.json").read_text())
    assert (about["ids"]["begin"], about["ids"]["end"]) == (2, 3)
    check_place(tmp_path / "out", tmp_path / "model")  # an earlier export may be replaced


def test_a_model_that_translates_otherwise_is_told_line_by_line_and_not_kept(
    run: Callable[..., Proof], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtkit.export import onnx_graph

    monkeypatch.setattr(onnx_graph, "sinusoids", lambda length, dim: torch.zeros(length, dim))
    with pytest.raises(ModelError, match="probe lines are translated differently\n    line 1: "):
        run(held_out=1, odd=0)
    assert list(tmp_path.iterdir()) == []


def test_eight_bits_are_kept_where_they_cost_little(run: Callable[..., Proof], tmp_path: Path) -> None:
    run()
    whole = (tmp_path / "out" / "step.onnx").stat().st_size
    proof = run(quantization="int8", most_bleu_loss=100, most_chrf_loss=100)
    assert proof.quantization == "int8" and set(proof.scores) == {"bleu", "chrf"}
    assert sorted(path.name for path in (tmp_path / "out").glob("*.onnx*")) == ["encoder.onnx", "step.onnx"]
    assert (tmp_path / "out" / "step.onnx").stat().st_size < 0.6 * whole


def test_eight_bits_that_cost_too_much_are_not_kept(
    run: Callable[..., Proof], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtkit.export import onnx_export

    def spoilt(path: Path) -> None:
        import onnx

        graph = onnx.load(path)
        for one in graph.graph.initializer:
            if one.data_type == onnx.TensorProto.FLOAT and len(one.dims) == 2:
                one.raw_data = bytes(len(one.raw_data))
        onnx.save(graph, path)

    monkeypatch.setattr(onnx_export, "_round", spoilt)
    with pytest.raises(ModelError, match=r"chrf lost, 0\.3 allowed\n    line 1: ") as caught:
        run(quantization="int8")
    assert "Choose float32, or allow more loss" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_what_rounding_costs_is_not_guessed(run: Callable[..., Proof], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no text with references to measure what int8 costs"):
        run(held_out=0, quantization="int8")
    assert list(tmp_path.iterdir()) == []


def test_what_no_export_is_stays_where_it_stands(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear")
    with pytest.raises(RunError, match="something stands here"):
        check_place(tmp_path, tmp_path.parent / "elsewhere")
    check_place(tmp_path / "new", tmp_path)


def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("Dear")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        check_place(tmp_path / "letter/inside/out", tmp_path / "model")
    check_place(tmp_path / "new/inside/out", tmp_path / "model")
    assert [path.name for path in tmp_path.rglob("*")] == ["letter"]  # which left nothing behind


def test_no_export_takes_the_place_of_its_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "bundle/model"
    model.mkdir(parents=True)
    for folder in (model, model.parent):
        (folder / CERTIFICATE).write_text("{}")  # both were exported themselves
        with pytest.raises(RunError, match="the model that is exported lies here"):
            check_place(folder, model)
    monkeypatch.chdir(model.parent)
    with pytest.raises(RunError, match="lies here"):
        check_place(Path("model"), model)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(RunError, match="cannot be put in its place"):
        check_place(Path(), model)


def test_neither_a_stored_stage_nor_what_ctranslate2_reads_is_an_earlier_export(tmp_path: Path) -> None:
    stored, model = tmp_path / "store/export-1/onnx", tmp_path / "model"
    converted = model / "ctranslate2"
    for folder in (stored, converted):
        folder.mkdir(parents=True)
        (folder / CERTIFICATE).write_text("{}")
    (stored.parent / "stage.json").write_text("{}")
    (model / CARD).write_text("{}")
    (tmp_path / "graphs").symlink_to(stored.parent)  # as a run has it
    with pytest.raises(RunError, match="part of a stored stage, which is never changed"):
        check_place(tmp_path / "graphs/onnx", model)
    with pytest.raises(RunError, match="what CTranslate2 reads of a model lies here"):
        check_place(converted, model)
    with pytest.raises(RunError, match="what CTranslate2 reads of a model lies here"):
        check_place(converted, tmp_path / "another")


def test_what_stepped_aside_for_an_export_that_was_killed_is_put_back(tmp_path: Path) -> None:
    (tmp_path / ".out.abc_1234.old").mkdir()
    (tmp_path / ".out.abc_1234.old" / CERTIFICATE).write_text("{}")
    with fresh_folder(tmp_path / "out"):
        assert (tmp_path / "out" / CERTIFICATE).is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_model_too_large_for_one_file_is_refused(
    run: Callable[..., Proof], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mtkit.export import onnx_export

    monkeypatch.setattr(onnx_export, "MOST_BYTES", 1000)
    with pytest.raises(ModelError, match="less than 2 GB"):
        run()


def test_stand_ins_are_written_as_ever(toy: Path, tmp_path: Path) -> None:
    folder = write_model(
        tmp_path / "model", toy / "subword", seed=1, source_language="a", target_language="b", normalize="nfc"
    )
    assert "output_bias" not in json.loads((folder / "model.json").read_text())
