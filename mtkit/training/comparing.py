"""Two trainings that should be one: their checkpoints tensor by tensor, their updates row by row."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtkit.files import canonical_hash
from mtkit.training.checkpoint import Checkpoint, first_difference, last_checkpoint
from mtkit.training.saving import under
from mtkit.training.tensor_file import Tensors
from mtkit.training.trace import read_trace

GROUPS = {"weights": "model/", "optimiser": "optimizer/", "exponential average": "average/"}
# How long it took, and how much memory happened to be free, is no part of what was learnt.
CHANCE = ("seconds", "update_seconds", "in_pieces")
SHOWN = 16  # digits of a hash

Trace = list[dict[str, Any]]


@dataclass(frozen=True)
class Compared:
    """One thing that two trainings should have in common.

    Attributes:
        what: its name.
        extent: how much was compared.
        whole: hash of the uninterrupted training's.
        resumed: hash of the other's.
        difference: the first difference, in words; empty if there is none.
    """

    what: str
    extent: str
    whole: str
    resumed: str
    difference: str


def compare(whole: Path, whole_trace: Path, resumed: Path, resumed_trace: Path) -> list[Compared]:
    """Everything that an uninterrupted training and a resumed one should have in common.

    Args:
        whole: checkpoints of the uninterrupted training.
        whole_trace: its notes.
        resumed: checkpoints of the other.
        resumed_trace: its notes; updates that were lost and made again are in it twice.

    Raises:
        ModelError: a training left no checkpoint that can be read.
    """
    one, other = last_checkpoint(whole), last_checkpoint(resumed)
    found = list(_updates(read_trace(whole_trace), read_trace(resumed_trace)))
    for what, prefix in GROUPS.items():
        tensors = [under(checkpoint.tensors, prefix) for checkpoint in (one, other)]
        if any(tensors):
            found.append(_tensors(what, *tensors))
    return [*found, _state(one, other)]


def _updates(whole: Trace, resumed: Trace) -> Iterator[Compared]:
    """What every update saw and found; those that were made twice count twice."""
    expected: dict[int, Trace] = defaultdict(list)
    for note in whole:
        expected[note["update"]].append(note)
    again = len(resumed) - len({note["update"] for note in resumed})
    extent = f"{len(expected)} updates" + (f", {again} of them made again" if again else "")
    for what, names in (
        ("order of data", ("rows", "target_tokens")),
        ("losses and gradients", ("nats", "gradient_norm")),
    ):
        difference = next(filter(None, (_note(expected, note, names) for note in resumed)), "")
        missing = sorted(expected.keys() - {note["update"] for note in resumed})
        if not difference and missing:
            difference = f"update {missing[0]} was never made"
        yield Compared(what, extent, _chain(whole, names), _chain(resumed, names), difference)


def _note(expected: dict[int, Trace], note: dict[str, Any], names: tuple[str, ...]) -> str:
    """The first difference between an update and the one that it should be."""
    update = note["update"]
    if update not in expected:
        return f"update {update} was made in the resumed training alone"
    # after a roll-back the uninterrupted training has made it more than once, too
    if any(all(note[name] == other[name] for name in names) for other in expected[update]):
        return ""
    for name in names:
        old, new = expected[update][-1][name], note[name]
        if name == "rows" and old != new:
            return f"update {update}: {_rows(old, new)}"
        if old != new:
            shown = (float.fromhex(value) if isinstance(value, str) else value for value in (old, new))
            return f"update {update}: {name} " + " and ".join(map(repr, shown))
    return ""


def _rows(old: list[int], new: list[int]) -> str:
    lost, more = sorted(set(old) - set(new)), sorted(set(new) - set(old))
    parts = [f"line {lost[0] + 1} of the training pairs is missing"] if lost else []
    parts += [f"line {more[0] + 1} of the training pairs is new"] if more else []
    return " and ".join(parts) or "the same pairs another number of times"


def _chain(trace: Trace, names: tuple[str, ...]) -> str:
    """Hash over all updates, each as it was made last."""
    last = {note["update"]: [note[name] for name in names] for note in trace}
    return canonical_hash(sorted(last.items()))[:SHOWN]


def _tensors(what: str, whole: Tensors, resumed: Tensors) -> Compared:
    difference = next(
        filter(None, (_tensor(name, whole, resumed) for name in sorted({*whole, *resumed}))), ""
    )
    return Compared(what, f"{len(whole)} tensors", _hash(whole), _hash(resumed), difference)


def _tensor(name: str, whole: Tensors, resumed: Tensors) -> str:
    """How a tensor differs, or nothing."""
    if name not in whole or name not in resumed:
        return f"{name} is in the {'uninterrupted' if name in whole else 'resumed'} training alone"
    one, other = whole[name], resumed[name]
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{name}: {one.dtype} {list(one.shape)} and {other.dtype} {list(other.shape)}"
    if _bytes(one) == _bytes(other):
        return ""
    apart = (one.double() - other.double()).abs()
    return (
        f"{name}: {int((one != other).sum()):,} of {one.numel():,} values, by up to {float(apart.max()):.3g}"
    )


def _hash(tensors: Tensors) -> str:
    digest = sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + _bytes(tensors[name]))
    return digest.hexdigest()[:SHOWN]


def _bytes(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _state(one: Checkpoint, other: Checkpoint) -> Compared:
    """All that a training remembers besides tensors, but for what is chance."""
    states = []
    for checkpoint in (one, other):
        values = checkpoint.state.to_json()
        states.append({name: value for name, value in values.items() if name not in CHANCE})
    whole, resumed = (canonical_hash(state)[:SHOWN] for state in states)
    name, old, new = first_difference(states[0], states[1])
    difference = f"{name}: {old} and {new}" if name else ""
    return Compared("state", f"{len(states[0])} values", whole, resumed, difference)
