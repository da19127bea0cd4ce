"""A model is converted with a certificate, or nothing is kept and the lines are told."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.export import ExportSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError, RunError
from mtkit.export import comparing, mixing, needs, shortlist, specification
from mtkit.export import convert as module
from mtkit.export.comparing import Comparison
from mtkit.export.convert import convert
from mtkit.export.probe import ProbeLine, corpus_lines, nasty_lines
from mtkit.export.shortlist import ALWAYS, FILE, Aligned, corpus_pairs
from mtkit.model.folder import WEIGHTS, read_card
from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.converted import Certificate, read_certificate
from mtkit.translation.ctranslate2_engine import CTranslate2Engine
from mtkit.translation.ctranslate2_loading import uncomputable
from mtkit.translation.torch_engine import TorchEngine

Convert = Callable[..., Certificate]
HAS_INT16 = "import ctranslate2; assert 'int16' in ctranslate2.get_supported_compute_types('cpu')"


@pytest.fixture
def probe(toy: Path) -> list[ProbeLine]:
    return corpus_lines(toy / "corpus", 10) + nasty_lines()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def run(reversing_model: Path, toy: Path, probe: list[ProbeLine], tmp_path: Path, said: list[str]) -> Convert:
    aligned = partial(corpus_pairs, toy / "corpus")

    def now(lines: list[ProbeLine] = probe, text: Aligned | None = aligned, **settings: Any) -> Certificate:
        chosen, out = ExportSettings(**settings), tmp_path / "model" / "ctranslate2"
        return convert(reversing_model, out, chosen, lines, threads=1, say=said.append, aligned=text)

    return now


def spoil(monkeypatch: pytest.MonkeyPatch, *, only: str = "") -> None:
    """Let conversions lose sight of the source: all, or those of one quantization."""

    def save(spec: Any, folder: Path, quantization: str, finer: tuple[str, ...] = ()) -> None:
        for number, layer in enumerate(spec.decoder.layer):
            if not only or (only == quantization and f"decoder/layer_{number}/attention" not in finer):
                layer.attention.linear[2].weight[:] *= 1e-4
        specification.save(spec, folder, quantization, finer)

    monkeypatch.setattr(comparing, "margin", lambda *_: 2e-4)  # more than a tie, and quicker than to search

    monkeypatch.setattr(module, "save", save)


def test_float32_agrees_token_for_token_on_odd_lines_too(run: Convert, tmp_path: Path) -> None:
    certificate = run()
    assert certificate.probe == {"valid": 10, "test": 10, "nasty": len(nasty_lines())}
    assert [one for one in certificate.differences if one.because != "tie"] == []
    assert certificate.alike + len(certificate.differences) == sum(certificate.probe.values())
    assert certificate.scores["bleu"]["torch"] == certificate.scores["bleu"]["converted"]
    assert certificate.attempts[0].largest_gap < 1e-3
    assert read_certificate(tmp_path / "model") == certificate


def test_a_conversion_that_translates_differently_is_told_line_by_line_and_not_kept(
    run: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    with pytest.raises(ModelError, match="probe lines are translated differently") as told:
        run()
    assert "    line 1: " in str(told.value) and "nothing was kept" in str(told.value)
    assert list((tmp_path / "model").iterdir()) == []


def test_what_stood_there_before_stays_if_the_new_one_fails(
    run: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run()
    spoil(monkeypatch)
    with pytest.raises(ModelError):
        run()
    assert read_certificate(tmp_path / "model") == before


def test_weights_in_eight_bits_stay_within_the_budget(run: Convert, reversing_model: Path) -> None:
    certificate = run(quantization="int8", most_bleu_loss=100.0, most_chrf_loss=100.0)
    assert (certificate.asked, certificate.quantization) == ("int8", "int8")
    assert certificate.attempts[0].bleu_loss is not None
    assert certificate.weights == read_card(reversing_model).files[WEIGHTS]
    assert {one.because for one in certificate.differences} <= {"quantization"}


def test_bfloat16_takes_half_the_room_and_is_computed_in_what_has_all_its_values(
    run: Convert, reversing_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "model" / "ctranslate2" / "model.bin"
    run()
    whole = binary.stat().st_size
    certificate = run(quantization="bfloat16", most_bleu_loss=100.0, most_chrf_loss=100.0)
    assert binary.stat().st_size < 0.55 * whole
    assert (certificate.quantization, certificate.computed) == ("bfloat16", "float32")
    assert 0 < certificate.attempts[0].largest_gap < 0.5
    assert certificate.line().startswith("bfloat16, computed in float32: ")
    # where it was proved in float32, a machine that computes in bfloat16 does so in float32, too
    known = {"float32", "bfloat16"}
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda *_: known)
    copy = tmp_path / "copy"
    shutil.copytree(reversing_model, copy)
    shutil.copytree(binary.parent, copy / "ctranslate2", dirs_exist_ok=True)
    engine = CTranslate2Engine.load(copy, read_card(copy), threads=1, batch_tokens=99)
    assert engine._translator.compute_type == "float32"
    assert len(engine.search([[5, 6, 7]], SearchSettings())) == 1


def pass_with_mkl(test: str) -> None:
    """Run a test of this file in a process in which CTranslate2 multiplies by MKL, as it does by itself on
    Intel's processors alone: only MKL computes in int16."""
    environment = {**os.environ, "CT2_USE_MKL": "1"}
    environment.pop("PYTEST_ADDOPTS", None)
    if subprocess.run([sys.executable, "-c", HAS_INT16], env=environment, capture_output=True).returncode:
        pytest.skip("needs a CPU that computes in int16")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"{__file__}::{test}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("finer", ["int16", "float32"])
def test_over_budget_the_next_finer_rounding_is_tried_and_it_is_said(
    run: Convert,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    finer: str,
) -> None:
    if uncomputable(finer):
        pass_with_mkl(request.node.name)
        return
    spoil(monkeypatch, only="int8")
    monkeypatch.setattr(module, "MIXABLE", frozenset())
    known = {"int8", "float32", finer}
    monkeypatch.setattr(module, "uncomputable", lambda one: None if one in known else f"no {one} here")
    certificate = run(quantization="int8", most_bleu_loss=5.0, most_chrf_loss=5.0)
    assert (certificate.asked, certificate.quantization) == ("int8", finer)
    assert [(one.quantization, one.kept) for one in certificate.attempts] == [
        ("int8", False),
        (finer, True),
    ]
    assert len(said) == 1 and "5 allowed" in said[0] and said[0].startswith("int8: ")


def test_over_budget_the_layers_that_hurt_are_left_in_float32(
    run: Convert, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch, only="int8")
    monkeypatch.setattr(mixing, "MOST_KEPT", 0.5)
    certificate = run(quantization="int8", most_bleu_loss=5.0, most_chrf_loss=5.0)
    assert certificate.quantization == "int8"
    hurt = {f"decoder/layer_{number}/attention" for number in range(2)}
    assert hurt & set(certificate.finer) and len(certificate.finer) <= 4
    assert certificate.attempts[0].finer == [] and certificate.attempts[-1].finer == certificate.finer
    assert said[0].startswith("int8: ")
    assert f"with {len(certificate.finer)} of the layers in float32" in certificate.line()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["ctranslate2"]


def test_if_nothing_stays_within_the_budget_all_that_was_tried_is_named(
    run: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(monkeypatch)
    with pytest.raises(ModelError, match=r"tried int8.*, then float32\): .* translated differently"):
        run(quantization="int8")
    assert list((tmp_path / "model").iterdir()) == []


def test_rounding_cannot_be_judged_without_references(run: Convert) -> None:
    with pytest.raises(ModelError, match="--probe STEM"):
        run(nasty_lines(), quantization="int8")
    assert run(nasty_lines()).scores == {}


def test_what_this_cpu_cannot_compute_is_refused_before_any_work(
    run: Convert, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "uncomputable", lambda quantization: f"no {quantization} here")
    monkeypatch.setattr(TorchEngine, "load", None)
    with pytest.raises(RunError, match="no bfloat16 here"):
        run(quantization="bfloat16")


def test_ties_are_listed_but_not_if_they_are_too_many(
    run: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = (5, 5, 5, 5, 5, 5, 5)
    monkeypatch.setattr(comparing, "margin", lambda *_: 3e-5)
    monkeypatch.setattr(Comparison, "largest_gap", lambda *_: 0.0)
    search = CTranslate2Engine.search

    def with_others(count: int) -> None:
        def found(*asked: Any) -> list[list[Hypothesis]]:
            every = search(*asked)
            return [[replace(one[0], ids=elsewhere)] for one in every[:count]] + every[count:]

        monkeypatch.setattr(CTranslate2Engine, "search", found)

    with_others(1)
    [difference] = run().differences
    assert (difference.because, difference.margin, difference.line) == ("tie", 3e-5, 1)
    with_others(10)
    with pytest.raises(ModelError, match="too many to be ties"):
        run()


def test_a_difference_is_no_tie_where_search_was_sure(run: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    spoil(monkeypatch)
    with pytest.raises(ModelError, match="probe lines are translated differently"):
        run()


def test_the_model_itself_is_not_touched(run: Convert, reversing_model: Path) -> None:
    before = (reversing_model / WEIGHTS).read_bytes()
    run(quantization="int8", most_bleu_loss=100.0, most_chrf_loss=100.0)
    assert (reversing_model / WEIGHTS).read_bytes() == before
    assert torch.get_num_threads() == 1


def test_a_shortlist_is_proved_and_is_one_of_the_certified_files(run: Convert, tmp_path: Path) -> None:
    certificate = run(shortlist=4, most_bleu_loss=100, most_chrf_loss=100)
    short = certificate.shortlist
    assert short is not None and (short.asked, short.pieces, short.always) == (4, 4, ALWAYS)
    assert short.pairs == 200
    assert certificate.attempts[0].differences == len(certificate.differences)  # without it, as ever
    assert FILE in certificate.files and (tmp_path / "model" / "ctranslate2" / FILE).is_file()
    assert read_certificate(tmp_path / "model") == certificate
    assert f"shortlist of 4: {short.bleu_loss:.2f} bleu" in certificate.line()


def narrow(monkeypatch: pytest.MonkeyPatch, good_from: int) -> None:
    """Let shortlists of fewer pieces cost a hundred BLEU; those that are good from a width on cost none."""
    narrowed: list[int] = []

    def write(folder: Path, lexicon: Any, codec: Any, most: int) -> None:
        shortlist.write_shortlist(folder, lexicon, codec, most)
        narrowed.append(most)

    def losses(scores: Any) -> dict[str, float]:
        return dict.fromkeys(scores, 100.0 if narrowed and narrowed[-1] < good_from else 0.0)

    monkeypatch.setattr(module, "write_shortlist", write)
    monkeypatch.setattr(module, "losses_of", losses)


def test_a_shortlist_that_costs_too_much_is_made_wider(
    run: Convert, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, good_from=4)
    certificate = run(shortlist=1)
    assert certificate.shortlist is not None
    assert (certificate.shortlist.asked, certificate.shortlist.pieces) == (1, 4)
    assert said == [
        f"shortlist of {n}: 100.00 bleu lost, 0.5 allowed; 100.00 chrf lost, 0.3 allowed" for n in (1, 2)
    ]


def test_if_none_is_good_enough_nothing_is_kept(
    run: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow(monkeypatch, good_from=1000)
    with pytest.raises(ModelError, match=r"no shortlist is good enough: 100\.00 bleu lost"):
        run(shortlist=4)
    assert list((tmp_path / "model").iterdir()) == []


def test_a_shortlist_that_leaves_nothing_out_is_refused_before_anything_is_done(run: Convert) -> None:
    with pytest.raises(ModelError, match=r"a shortlist of 5,000 pieces, but the target vocabulary has \d+"):
        run(shortlist=5000)


def test_a_shortlist_needs_text_and_references(run: Convert, probe: list[ProbeLine]) -> None:
    with pytest.raises(RunError, match="no text beside this model"):
        run(text=None, shortlist=4)
    with pytest.raises(ModelError, match="no text with references to measure what the shortlist costs"):
        run([replace(line, reference=None) for line in probe], shortlist=4)
