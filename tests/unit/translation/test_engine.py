"""Which engine is taken, and what is said where it is not the quicker one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.model.folder import ModelCard, write_card
from mtkit.translation import engine
from mtkit.translation.converted import CERTIFICATE, CONVERTED
from mtkit.translation.engine import Choice, choose_engine

SETTINGS = SearchSettings()


class Newer(SearchSettings):
    temper: float = 0.0


@pytest.fixture
def converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks converted, on a machine without a GPU."""
    (tmp_path / CONVERTED).mkdir()
    (tmp_path / CONVERTED / CERTIFICATE).touch()
    monkeypatch.setattr("mtkit.translation.ctranslate2_loading.graphics_cards", lambda: 0)

    class Float32:
        compared_in = "float32"
        max_tokens: int | None = None

    monkeypatch.setattr(engine, "read_certificate", lambda _: Float32())
    return tmp_path


def without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None if name == package else object())


def test_a_model_that_is_not_converted_takes_torch_and_says_nothing(tmp_path: Path) -> None:
    assert choose_engine(tmp_path, SETTINGS) == Choice("torch")


def test_a_converted_model_without_its_certificate_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtkit.translation.ctranslate2_loading.graphics_cards", lambda: 0)
    (tmp_path / CONVERTED).mkdir()
    for wish in ("auto", "ctranslate2"):
        with pytest.raises(ModelError, match="certificate of the converted model is missing"):
            choose_engine(tmp_path, SETTINGS, wish=wish)
    assert choose_engine(tmp_path, SETTINGS, wish="torch") == Choice("torch")


def test_a_converted_model_takes_ctranslate2_on_a_cpu(converted: Path) -> None:
    assert choose_engine(converted, SETTINGS) == Choice("ctranslate2")
    assert choose_engine(converted, SETTINGS, "cpu") == Choice("ctranslate2")
    assert choose_engine(converted, SETTINGS, wish="torch") == Choice("torch")


def test_what_stands_against_it_is_said(converted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = choose_engine(converted, Newer(temper=1.0))
    assert chosen.engine == "torch" and "temper: 1.0" in chosen.because
    assert "sees 0 GPUs" in choose_engine(converted, SETTINGS, "cuda").because
    monkeypatch.setattr("mtkit.translation.ctranslate2_loading.graphics_cards", lambda: 2)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert "has a GPU" in choose_engine(converted, SETTINGS).because
    assert choose_engine(converted, SETTINGS, "cpu") == Choice("ctranslate2")
    assert choose_engine(converted, SETTINGS, wish="ctranslate2") == Choice("ctranslate2")
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda *_: {"float32"})
    assert "has a GPU" in choose_engine(converted, SETTINGS, "cuda:1").because
    assert choose_engine(converted, SETTINGS, "cuda:1", wish="ctranslate2") == Choice("ctranslate2")
    with pytest.raises(ModelError, match="sees 2 GPUs"):
        choose_engine(converted, SETTINGS, "cuda:2", wish="ctranslate2")
    without("torch", monkeypatch)
    assert choose_engine(converted, SETTINGS) == Choice("ctranslate2")
    assert choose_engine(converted, SETTINGS, "cuda") == Choice("ctranslate2")


def test_a_gpu_that_torch_does_not_compute_on_is_no_reason_for_torch(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtkit.translation.ctranslate2_loading.graphics_cards", lambda: 1)
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda *_: {"float32"})
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for device in ("auto", "cuda"):
        assert choose_engine(converted, SETTINGS, device) == Choice("ctranslate2")


@pytest.mark.parametrize(("positions", "engine"), [(59, "torch"), (60, "ctranslate2")])
def test_what_a_converted_model_has_no_positions_for_is_left_to_torch(
    converted: Path, monkeypatch: pytest.MonkeyPatch, positions: int, engine: Literal["torch", "ctranslate2"]
) -> None:
    write_card(
        converted,
        ModelCard(
            architecture=ModelSettings(),
            source_language="en",
            target_language="de",
            normalize="nfc",
            source_size=9,
            target_size=9,
            max_tokens=20,
        ),
    )
    certificate = SimpleNamespace(compared_in="float32", max_tokens=positions)
    monkeypatch.setattr("mtkit.translation.engine.read_certificate", lambda _: certificate)
    long = SearchSettings(max_length_factor=3, max_length_extra=3)  # of 19 pieces, 60
    chosen = choose_engine(converted, long)
    assert chosen.engine == engine
    assert ("60 tokens, and the converted model has 59 positions" in chosen.because) == (engine == "torch")
    assert choose_engine(converted, long, wish="ctranslate2") == Choice("ctranslate2")
    without("torch", monkeypatch)
    assert choose_engine(converted, long) == Choice("ctranslate2")


def test_an_engine_that_must_be_taken_and_cannot_is_an_error(converted: Path) -> None:
    with pytest.raises(ModelError, match="`temper"):
        choose_engine(converted, Newer(temper=1.0), wish="ctranslate2")


def test_a_model_that_must_be_converted_and_is_not_says_how(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mtkit export ctranslate2"):
        choose_engine(tmp_path, SETTINGS, wish="ctranslate2")


def test_without_torch_a_message_says_what_to_install(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("torch", monkeypatch)
    assert choose_engine(converted, SETTINGS) == Choice("ctranslate2")
    with pytest.raises(ModelError, match="pip install torch"):
        choose_engine(tmp_path / "other", SETTINGS)
    with pytest.raises(ModelError, match="pip install torch"):
        choose_engine(converted, Newer(temper=1.0))


def test_without_ctranslate2_torch_is_taken_and_it_is_said(
    converted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without("ctranslate2", monkeypatch)
    assert choose_engine(converted, SETTINGS) == Choice("torch", "the package ctranslate2 is not installed")
