"""How layers are computed on this device: packed or padded, compiled or not. Decided here and nowhere else.

What packed batches are: `batches/packed.py`; what compiling is: `compiling.py`.
"""

import inspect
import time
from collections.abc import Callable

import torch

from mtkit.batches.batch import Batch, make_batch
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import RunError
from mtkit.model.positions import Rotary, Sinusoidal
from mtkit.model.transformer import Transformer
from mtkit.subword.vocabulary import UNK
from mtkit.training.compiling import CompiledLayers
from mtkit.training.update import part_gradients

MOST_HEAD_DIM, HEAD_DIM_STEP = 256, 8  # that attention of variable length computes
EXAMPLE_PAIRS, EXAMPLE_TOKENS = 300, 31  # of the batch that layers are compiled on


def why_padded(settings: FixedTrainSettings, device: torch.device) -> str | None:
    """Why batches are padded; None if they are packed.

    Args:
        settings: with the precision that is computed in.
        device: where.
    """
    model, head_dim = settings.model, settings.model.dim // settings.model.heads
    if device.type == "cpu":
        return "a CPU computes padded batches"
    if settings.precision != "bfloat16":
        return "attention without padding computes in bfloat16 only (`precision: auto`)"
    if settings.shard:
        return "the weights are shared out (`shard`)"
    if model.attention_dropout:
        return "attention without padding knows no `attention_dropout`"
    if head_dim > MOST_HEAD_DIM or head_dim % HEAD_DIM_STEP:
        return (
            f"attention without padding wants heads of up to {MOST_HEAD_DIM} dimensions,"
            f" a multiple of {HEAD_DIM_STEP}, not of {head_dim}"
        )
    if not _has_attention_of_variable_length():
        return f"torch {torch.__version__} has no attention without padding"
    return None


def _has_attention_of_variable_length() -> bool:
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return False
    return {"window_size", "enable_gqa"} <= inspect.signature(varlen_attn).parameters.keys()


def check_compile(settings: TrainSettings, device: torch.device) -> None:
    """What a recipe promises of compiling, a device may not keep.

    Raises:
        RunError: `compile: true` on a CPU.
    """
    if settings.compile is True and device.type == "cpu":
        raise RunError(
            "`compile: true`, but this training computes on a CPU, where nothing is compiled: threads that"
            " compute micro-batches side by side are faster",
            where="stages.train.compile",
            expected="auto or false; or a GPU",
            advice="Remove `compile`, or train on a GPU (`--device cuda`).",
        )


def speed_up(
    settings: FixedTrainSettings,
    model: Transformer,
    say: Callable[[str], None],
    backend: str = "inductor",
) -> CompiledLayers | None:
    """Have the layers of a model compiled, if they are to be, before its first update.

    The kernels are made for one example, whatever the first batch is: a resumed training has the same.

    Args:
        settings: of the stage.
        model: on its device; what it computes changes by rounding only.
        say: is told what is compiled or why not, on a GPU.
        backend: of torch's compiler.

    Returns:
        What the layers go through now, or None.

    Raises:
        RunError: `compile: true`, and it cannot be.
    """
    if model.device.type == "cpu":
        return None
    padded = why_padded(settings, model.device)
    if padded is not None:
        say(f"batches are padded: {padded}")
        if settings.compile is True:
            raise _not_compiled(padded)
    if settings.compile is False or padded is not None:
        return None
    return compiled(settings, model, say, backend)


def compiled(
    settings: FixedTrainSettings, model: Transformer, say: Callable[[str], None], backend: str
) -> CompiledLayers | None:
    """Compile; None, and said why, if the compiler fails and nobody insists.

    Raises:
        RunError: it fails, and `compile: true`.
    """
    layers, began = CompiledLayers(say, backend), time.monotonic()
    stacks = (model.encoder, model.decoder)
    for stack in stacks:
        stack.through = layers
    batch = example(settings.max_tokens).to(model.device)
    assert batch.packed is not None
    for module in model.modules():
        if isinstance(module, Rotary | Sinusoidal):  # not while a compiler is looking
            module.reaching(batch.packed.of_source.longest)
    try:
        smoothing = settings.loss.label_smoothing
        part_gradients(model, batch, batch.target_tokens, smoothing, settings.precision, seed=0)
    except Exception as error:  # whatever a compiler and the compilers behind it raise
        for stack in stacks:
            del stack.through  # back to that of the class
        if settings.compile is True:
            raise _not_compiled(_in_short(error)) from error
        say(f"layers are not compiled: {_in_short(error)}")
        return None
    say(f"packed batches, layers compiled in {time.monotonic() - began:.0f} s")
    return layers


def example(longest: int) -> Batch:
    """The batch on which layers are compiled: the same in every session.

    Every second target is empty, so that the sides have unlike numbers of rows: what is equal in the example
    is taken to be equal always.
    """
    sentence = [UNK] * min(EXAMPLE_TOKENS, longest - 1)
    targets = [sentence if number % 2 else [] for number in range(EXAMPLE_PAIRS)]
    return make_batch([sentence] * EXAMPLE_PAIRS, targets, range(EXAMPLE_PAIRS)).pack(longest)


def _in_short(error: BaseException) -> str:
    """The name of an exception and two lines of it: the first may only name the compiler."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ": ".join([type(error).__name__, *(line.rstrip(":") for line in lines[:2])])


def _not_compiled(why: str) -> RunError:
    return RunError(
        f"`compile: true`, but the layers cannot be compiled: {why}",
        where="stages.train.compile",
        expected="a GPU, bfloat16, and a torch whose compiler works",
        advice="Set `compile: auto`, which trains without where it cannot be.",
    )
