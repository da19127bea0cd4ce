import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer, as_it_is
from mtkit.training import compiling, packing
from mtkit.training.packing import check_compile, compiled, speed_up, why_padded

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def settings_of(**changes: Any) -> FixedTrainSettings:
    return FixedTrainSettings.model_validate(
        {"until": {"updates": 9000}, "precision": "bfloat16", "max_tokens": 32, **changes}
    )


@pytest.fixture
def model() -> Transformer:
    shape = ModelSettings(dim=16, ffn_dim=24, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.0)
    return Transformer(shape, 23, 23).train()


@pytest.fixture(autouse=True)
def _known_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(packing, "_has_attention_of_variable_length", lambda: True)
    yield


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"model": {"positions": {"kind": "rotary"}, "kv_heads": 2, "norm_order": "post"}}, None),
        ({"precision": "float32"}, "bfloat16 only"),
        ({"shard": True}, "shared out"),
        ({"model": {"attention_dropout": 0.1}}, "attention_dropout"),
        ({"model": {"dim": 516, "heads": 1}}, "not of 516"),
        ({"model": {"dim": 40, "heads": 2}}, "not of 20"),
    ],
)
def test_batches_are_padded_for_a_reason(changes: dict[str, Any], why: str | None) -> None:
    found = why_padded(settings_of(**changes), GPU)
    assert found is None if why is None else why in str(found)
    assert why_padded(settings_of(**changes), CPU) == "a CPU computes padded batches"


def test_an_older_torch_pads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert f"torch {torch.__version__} has no attention" in str(why_padded(settings_of(), GPU))


def test_compile_on_a_cpu_is_refused_unless_it_is_left_to_the_machine() -> None:
    with pytest.raises(RunError, match=r"`compile: true`.*on a CPU") as caught:
        check_compile(settings_of(compile=True), CPU)
    assert caught.value.where == "stages.train.compile"
    for settings in (settings_of(), settings_of(compile=False)):
        check_compile(settings, CPU)
    check_compile(settings_of(compile=True), GPU)


@pytest.mark.parametrize(
    "changes",
    [{"precision": "float32"}, {"shard": True}, {"model": {"attention_dropout": 0.1}}],
    ids=["precision", "shard", "attention dropout"],
)
def test_compile_with_what_is_never_compiled_is_a_mistake_of_the_recipe(changes: dict[str, Any]) -> None:
    def of(compile_: object) -> list[str]:
        settings = {"until": {"updates": 9000}, "precision": "auto", "compile": compile_, **changes}
        return [finding.found for finding in TrainSettings.model_validate(settings).findings()]

    assert any("`compile: true` with" in found for found in of(True))
    assert of("auto") == of(False) == []


def test_on_a_cpu_nothing_is_compiled_and_nothing_is_said(model: Transformer) -> None:
    said: list[str] = []
    assert speed_up(settings_of(), model, said.append) is None
    assert said == []
    assert model.encoder.through is as_it_is


def test_on_a_gpu_it_is_said_why_batches_are_padded(model: Transformer) -> None:
    said: list[str] = []
    assert speed_up(settings_of(precision="float32"), model.to("meta"), said.append) is None
    assert len(said) == 1
    assert said[0].startswith("batches are padded: attention without padding computes in bfloat16 only")


def test_what_cannot_be_compiled_is_an_error_if_the_recipe_insists(model: Transformer) -> None:
    insisting = settings_of(compile=True, model={"dim": 20, "heads": 1})
    with pytest.raises(RunError, match=r"cannot be compiled.*not of 20"):
        speed_up(insisting, model.to("meta"), print)


class Broken:
    """A compiler that is not there."""

    def __init__(self, *_: object) -> None:
        pass

    def __call__(self, *_: object) -> None:
        raise ImportError("it was not found:\n\n  no compiler\nand a long story")


def test_without_a_working_compiler_training_goes_on_and_says_so(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "CompiledLayers", Broken)
    said: list[str] = []
    assert compiled(settings_of(), model, said.append, "eager") is None
    assert said == ["layers are not compiled: ImportError: it was not found: no compiler"]
    assert model.encoder.through is model.decoder.through is as_it_is
    with pytest.raises(RunError, match="cannot be compiled: ImportError: it was not found: no compiler"):
        compiled(settings_of(compile=True), model, said.append, "eager")


def test_there_are_fewer_compilations_than_torch_would_allow() -> None:
    """At its own limit torch raises, since no part of a layer may be left out."""
    import torch._dynamo.config as limits

    assert limits.recompile_limit > compiling.MOST_COMPILATIONS
