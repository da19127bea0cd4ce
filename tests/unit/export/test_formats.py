"""What a format cannot say is refused before anything is written."""

from pathlib import Path
from typing import get_args

import numpy
import pytest

from mtkit.config.export import ENGINES, ROUNDINGS, ExportSettings, Format, inexpressible
from mtkit.config.model import ModelSettings
from mtkit.errors import ModelError
from mtkit.export import formats, proof
from mtkit.export.formats import check_writable, exporter
from mtkit.export.needs import Elsewhere
from mtkit.export.safetensors_export import export_safetensors


def test_every_format_has_a_name_roundings_and_a_writer() -> None:
    assert set(ENGINES) == set(ROUNDINGS) == set(get_args(Format)) == {"ctranslate2", *get_args(Elsewhere)}
    assert exporter("safetensors") is export_safetensors


@pytest.mark.parametrize("to", get_args(Format))
def test_float32_is_everywhere_and_a_rounding_that_is_not_is_told(to: Format) -> None:
    assert not list(ExportSettings(to=to).findings())
    for rounding in set(ROUNDINGS["ctranslate2"]) - set(ROUNDINGS[to]):
        [finding] = ExportSettings(to=to, quantization=rounding).findings()
        assert finding.path == ("quantization",) and f"`{rounding}` for {to}" in finding.found


def test_a_setting_that_only_mtkit_knows_is_told_of_every_format_that_runs_a_model(
    monkeypatch: pytest.MonkeyPatch, reversing_model: Path
) -> None:
    from mtkit.config import export

    known = {name: values for name, values in export.EXPRESSIBLE.items() if name != "norm_order"}
    known["norm"] = frozenset({"rms_norm"})
    monkeypatch.setattr(export, "EXPRESSIBLE", known)
    other = ModelSettings(norm_order="post" if ModelSettings().norm_order == "pre" else "pre")
    for to in ("ctranslate2", "onnx", "huggingface"):
        assert [ENGINES[to] in reason for reason in inexpressible(other, to)] == [True, True]
    assert inexpressible(other, "safetensors") == []
    monkeypatch.setattr(formats, "inexpressible", lambda *_: ["ONNX has no `norm`"])
    with pytest.raises(ModelError, match="ONNX has no `norm`"):
        check_writable(ExportSettings(to="onnx"), reversing_model)


def test_a_package_that_was_installed_by_another_name_has_a_version() -> None:
    assert proof._version("numpy") == numpy.__version__
    assert proof._version("numpy.random") == "unknown"  # a module that no package is called
