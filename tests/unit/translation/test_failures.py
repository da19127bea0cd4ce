"""What cannot be computed is told in words, with what to do."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.translation import torch_engine
from mtkit.translation.ctranslate2_engine import CTranslate2Engine
from mtkit.translation.failures import waited
from mtkit.translation.torch_engine import TorchEngine

SHAPE = ModelSettings(dim=8, heads=2, ffn_dim=8, encoder_layers=1, decoder_layers=1)


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*_: object, **__: object) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    ("error", "found", "advice"),
    [
        (
            RuntimeError("Library libcublas.so.12 is not found or cannot be loaded"),
            "the GPU's library libcublas.so.12 is not installed",
            "pip install nvidia-cublas-cu12",
        ),
        (RuntimeError("Library libcudnn.so.9 is not found"), "libcudnn.so.9", "nvidia-cudnn-cu12"),
        (RuntimeError("CUDA failed with error out of memory"), "the memory is full: CUDA", "--beam-size"),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), "memory is full", "--device"),
        (MemoryError("std::bad_alloc"), "the memory is full: std::bad_alloc", "End other programs"),
        (RuntimeError("CUDA failed with error no kernel image"), "no kernel image", "--engine torch"),
    ],
)
def test_why_ctranslate2_could_not_compute_is_told(error: Exception, found: str, advice: str) -> None:
    with pytest.raises(RunError, match=found) as told:
        waited(SimpleNamespace(result=failing(error)))
    assert advice in told.value.advice
    assert told.value.where == "CTranslate2" and told.value.expected


def test_neither_searching_nor_scoring_ends_in_ctranslate2s_own_error() -> None:
    def asynchronous(words: list[list[str]], *_: object, **__: object) -> list[SimpleNamespace]:
        return [SimpleNamespace(result=failing(RuntimeError("CUDA failed: out of memory"))) for _ in words]

    engine = CTranslate2Engine(
        SimpleNamespace(device="cuda", translate_batch=asynchronous, score_batch=asynchronous),
        (["a"], ["a"]),
        architecture=SHAPE,
        max_tokens=None,
        batch_tokens=9,
    )
    search = engine.begin([[0]], SearchSettings())
    for work in (search, lambda: engine.log_probabilities([[0]], [[0]])):
        with pytest.raises(RunError, match="the memory is full"):
            work()


def test_a_gpu_that_is_full_is_told_unless_somebody_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    full = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    for name in ("search", "log_probabilities", "token_scores"):
        monkeypatch.setattr(torch_engine, name, failing(full))
    model = Transformer(SHAPE, 9, 9)
    engine, trying = TorchEngine(model, 9), TorchEngine(model, 9, tells=False)
    asked: list[Callable[[TorchEngine], object]] = [
        lambda one: one.search([[5]], SearchSettings()),
        lambda one: one.log_probabilities([[5]], [[5]]),
        lambda one: one.token_scores([[5]], [[5]], [True]),
    ]
    for ask in asked:
        with pytest.raises(RunError, match=r"cpu: the memory is full: CUDA out of memory\. Tried"):
            ask(engine)
        with pytest.raises(torch.OutOfMemoryError):
            ask(trying)


# what torch 2.13 says of a CPU's memory: it has no exception of its own for it
NO_ROOM = RuntimeError(
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 320000000000 bytes."
)


@pytest.mark.parametrize("full", [NO_ROOM, MemoryError()])
def test_a_computer_whose_memory_is_full_is_told_so(monkeypatch: pytest.MonkeyPatch, full: Exception) -> None:
    monkeypatch.setattr(torch_engine, "search", failing(full))
    engine = TorchEngine(Transformer(SHAPE, 9, 9), 9)
    with pytest.raises(RunError, match="cpu: the memory is full") as told:
        engine.search([[5]], SearchSettings())
    assert "`mbr.candidates`" in told.value.advice


def test_what_is_no_matter_of_memory_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_engine, "search", failing(RuntimeError("a mistake of ours")))
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        TorchEngine(Transformer(SHAPE, 9, 9), 9).search([[5]], SearchSettings())
