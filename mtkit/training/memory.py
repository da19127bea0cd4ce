"""How much memory a training needs, and how much there is. What to do about it is `choosing.py`'s business.

Weights, gradients, optimiser and average are counted. What a micro-batch keeps for its backward pass is
measured on small micro-batches and is a polynomial of its shape, so that any shape can be foretold exactly.
"""

import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtkit.batches.batch import Batch, make_batch
from mtkit.config.training import TrainSettings
from mtkit.model.count import count_parameters
from mtkit.model.dropout import seeded
from mtkit.model.products import prefers_onednn
from mtkit.model.transformer import Transformer
from mtkit.training.loss import positions_at_once
from mtkit.training.optimizer import layer_matrices

FLOAT = 4  # bytes of a float32
SLICE_COPIES = 3  # logits, probabilities and gradient of a slice of the output layer
PROBE_ROWS, PROBE_LENGTHS = (2, 3), (3, 5, 8)  # enough different shapes to tell the polynomial's terms apart
# On a CPU the allocator of the system keeps pieces that do not fit what is asked for next, and the libraries
# take some memory with their first product. Measured with glibc: 1.2 to 1.5 times what is kept, and 60 MB
# (tests/agreement/test_training_memory.py).
KEPT_BY_ALLOCATOR, LIBRARIES = 1.45, 60_000_000
# oneDNN compiles kernels for every shape of a product in bfloat16, and keeps those of the last 1024: with
# micro-batches of many shapes it grew by 0.92 to 0.94 GB, at width 128 and 256 (docs/log.md, 2026-11-23).
COMPILED = 950_000_000
# On AMD's processors it multiplies float32, too, rows being rounded (products.py): 150 MB for width 192, 400
# for 256, of which some are what the allocator keeps (docs/log.md, 2026-11-29).
COMPILED_FLOAT32 = 300_000_000
LIMIT_NAME = 26  # columns of /proc/self/limits that hold the name
FIRST_ID = 4  # the first that no special piece has


class Shape(NamedTuple):
    """Of a micro-batch: pairs, positions of the longest source and target, and target tokens."""

    rows: int
    source: int
    target: int
    tokens: int


class Memory(NamedTuple):
    """Bytes of a device: all that a program may ever use, and what of it is free now."""

    total: int
    free: int


@dataclass(frozen=True)
class Expected:
    """Bytes that a training takes at its peak.

    Attributes:
        weights: of the model.
        gradients: of the update, and of each micro-batch that is computed at a time.
        optimizer: what the optimiser remembers.
        average: the exponential average of the weights.
        activations: what the micro-batches that are computed at a time keep for their backward passes.
        checkpoint: what is copied of a training on a CPU to be written beside the next updates.
        others: what the program takes before it trains.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int
    activations: int
    checkpoint: int
    others: int = 0

    @property
    def total(self) -> int:
        """All of it."""
        lasting = self.weights + self.optimizer + self.average + self.others
        return lasting + self.gradients + self.activations + self.checkpoint

    @property
    def more(self) -> int:
        """What will be taken beyond what is taken when the model is there and nothing has been computed."""
        return self.total - self.weights - self.others


class Activations:
    """What a micro-batch keeps for its backward pass, as a function of its shape.

    Every tensor that is kept has a size that is a product of rows, source and target positions and constants
    of the model, so a few small micro-batches tell all: counted by autograd's hooks, each storage once.

    Args:
        model: on its device; its weights are not changed.
        precision: of matrix products.
    """

    def __init__(self, model: Transformer, precision: str) -> None:
        shapes = [
            Shape(rows, source, target, rows * target)
            for rows, source, target in itertools.product(PROBE_ROWS, PROBE_LENGTHS, PROBE_LENGTHS)
        ]
        counted = [kept_bytes(model, probe(shape, model), precision) for shape in shapes]
        terms = np.array([_terms(shape) for shape in shapes])
        self._weights = np.linalg.lstsq(terms, np.array(counted, dtype=np.float64), rcond=None)[0]
        self._model, self._precision = model, precision

    def bytes(self, shape: Shape) -> int:
        """What is taken at most while the gradients of one micro-batch are computed."""
        size, dim = self._model.target_size, self._model.settings.dim
        slices = SLICE_COPIES * min(shape.tokens, positions_at_once(self._model.device)) * size
        hidden = SLICE_COPIES * shape.tokens * dim
        return self.kept(shape) + FLOAT * (slices + hidden + size * dim)

    def taken(self, shapes: Iterable[Shape], at_once: int) -> int:
        """What a program takes that computes so many of the largest of some micro-batches at a time."""
        size = at_once * max(map(self.bytes, shapes))
        if self._model.device.type != "cpu":
            return size
        float32 = COMPILED_FLOAT32 if prefers_onednn() else 0
        compiled = COMPILED if self._precision == "bfloat16" else float32
        return int(KEPT_BY_ALLOCATOR * size) + LIBRARIES + compiled

    def kept(self, shape: Shape) -> int:
        """What encoder and decoder keep for their backward pass."""
        return round(float(np.array(_terms(shape)) @ self._weights))


def _terms(shape: Shape) -> list[float]:
    rows, source, target, _ = shape
    sizes = (1, source, target, source * source, target * target, source * target)
    return [float(size * times) for times in (1, rows) for size in sizes]


def probe(shape: Shape, model: Transformer) -> Batch:
    """A micro-batch of a shape, random ids in it; one of its pairs is shorter, so that there is padding."""
    draw = np.random.Generator(np.random.PCG64(shape.rows))

    def side(length: int, size: int) -> list[NDArray[np.int64]]:
        lengths = [length - 1] * (shape.rows - 1) + [length - 1 - (shape.rows > 1 and length > 2)]
        return [draw.integers(FIRST_ID, size, count) for count in lengths]

    sources, targets = side(shape.source, model.source_size), side(shape.target, model.target_size)
    return make_batch(sources, targets, range(shape.rows)).to(model.device)


def kept_bytes(model: Transformer, batch: Batch, precision: str) -> int:
    """Bytes that a forward pass keeps for its backward pass, the model's own weights not counted."""
    own = {_storage(weight) for weight in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in own:
            kept[_storage(tensor)] = max(kept.get(_storage(tensor), 0), _reach(tensor))
        return tensor

    autocast = torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
    hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
    with _training(model), seeded(0, model.device), autocast, hooks:
        memory = model.encode(batch.source, batch.source_is_token)
        hidden = model.decode(batch.target_in, memory, batch.source_is_token)
        del hidden, memory
    return sum(kept.values())


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _reach(tensor: Tensor) -> int:
    """Bytes from the beginning of its storage to its last value.

    Behind it may lie rows that fill up for oneDNN (products.py): 63 at most, which are not foretold.
    """
    steps = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return int(tensor.storage_offset() + steps + 1) * tensor.element_size()


@contextmanager
def _training(model: nn.Module) -> Iterator[None]:
    """Training mode, and back."""
    mode = model.training
    model.train()
    try:
        yield
    finally:
        model.train(mode)


def expected(
    settings: TrainSettings,
    model: Transformer,
    activations: int,
    sums: int,
    at_once: int,
    taken: int = 0,
    shards: int = 1,
) -> Expected:
    """The memory of a training.

    Args:
        settings: uses the optimiser and the average.
        model: any device.
        activations: bytes that micro-batches take (`Activations.taken`).
        sums: copies of the gradients in which they are added up: over micro-batches, and over processes.
        at_once: how many micro-batches are computed at a time.
        taken: what the program takes already, the weights included.
        shards: among how many processes weights, gradients, optimiser and average are shared out.
    """
    weights = FLOAT * count_parameters(model)
    # Muon remembers one number for each weight of a matrix in the layers, AdamW two for each weight.
    single = FLOAT * _muon_weights(model) if settings.optimizer.kind == "muon" else 0
    optimizer = 2 * weights - single
    average = weights if settings.ema_decay else 0
    return Expected(
        weights=weights,
        gradients=_sharded(model, weights, shards) if shards > 1 else weights * (at_once + sums),
        optimizer=optimizer // shards,
        average=average // shards,
        activations=activations,
        others=max(0, taken - weights),
        checkpoint=weights + optimizer + average if model.device.type == "cpu" else 0,
    )


def _sharded(model: Transformer, weights: int, shards: int) -> int:
    """Beside a whole copy of the weights, for validation: a share of weights and gradients, and what is
    gathered of both for a pass, which is all that is outside the layers, a layer, and the next one."""
    layers = [*model.encoder.layers, *model.decoder.layers]
    sizes: list[int] = [FLOAT * sum(weight.numel() for weight in layer.parameters()) for layer in layers]
    return 2 * (weights // shards + weights - sum(sizes) + 2 * max(sizes))


def _muon_weights(model: Transformer) -> int:
    parameters = dict(model.named_parameters())
    return sum(parameters[name].numel() for name in layer_matrices(model))


def memory_of(device: torch.device) -> Memory | None:
    """The memory of a device; None where the system does not tell."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return Memory(total, free)
    return system_memory()


def system_memory(root: Path = Path("/")) -> Memory | None:
    """This machine's memory, or what a container or a limit of this process leaves of it.

    Args:
        root: where /proc and /sys are looked for.
    """
    try:
        facts = dict(line.split(":", 1) for line in (root / "proc/meminfo").read_text().splitlines())
    except OSError:
        return _physical_memory()
    total, free = (1024 * int(facts[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    for limit, used in (*_limits(root), *_of_process(root)):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Memory(total, free)


def _physical_memory() -> Memory | None:
    """Where nothing tells what is free, half of all memory is taken to be."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    return Memory(total, total // 2)


def _limits(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of each control group that this process is in, versions 1 and 2, up to the outermost."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, inner = line.split(":", 2)
        if controllers == "memory":
            top, names = root / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        elif not controllers:
            top, names = root / "sys/fs/cgroup", ("memory.max", "memory.current")
        else:
            continue
        place = top / inner.strip("/")
        for folder in (place, *place.parents):  # a container may see its own group as the outermost
            found = [_number(folder / name) for name in names]
            if found[0] is not None and found[1] is not None:
                yield found[0], found[1] - (_cached(folder / "memory.stat") or 0)
            if folder == top:
                break


def _of_process(root: Path) -> Iterator[tuple[int, int]]:
    """Limit and use of the addresses that this process may have (`ulimit -v`), if they are limited."""
    try:
        limits = (root / "proc/self/limits").read_text().splitlines()
        pages = int((root / "proc/self/statm").read_text().split()[0])
    except OSError:
        return
    for line in limits:
        name, limit = line[:LIMIT_NAME].strip(), line[LIMIT_NAME:].split()
        if name == "Max address space" and limit[0].isdigit():
            yield int(limit[0]), pages * os.sysconf("SC_PAGE_SIZE")


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None  # `max`: no limit


def _cached(path: Path) -> int | None:
    """Bytes of files that are given back when memory is short."""
    try:
        facts = dict(line.split(" ", 1) for line in path.read_text().splitlines())
    except (OSError, ValueError):
        return None
    return int(facts.get("total_inactive_file", facts.get("inactive_file", "0")))


def resident_bytes() -> int:
    """What this process takes of the memory now; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def taken_bytes(device: torch.device) -> int:
    """What this process takes of a device's memory now."""
    return resident_bytes() if device.type == "cpu" else torch.cuda.memory_reserved(device)


def human(size: float) -> str:
    """Bytes for people: `640 MB`, `1.2 GB`, powers of ten."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
