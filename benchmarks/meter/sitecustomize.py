"""Counts what a training program does, whichever toolkit it is: Python imports this file at its start.

With METER set to a file, one line of JSON is appended to it after every update (optimiser step): `update`,
`wall` (seconds since 1970), `cpu_seconds` (of every process of the session), `tokens` (real ones of both
sides, one EOS a side) and `positions` (with padding), all of them totals. METER_SPECIALS names the ids of
padding, BOS and EOS, METER_PIECES the size of the vocabulary, METER_WATCHES what is looked at: `torch`
(embeddings), `sockeye` (its batches) or `mtkit` (its stream of batches, so that nothing is put between mtkit
and its kernels). Runs in the peers' own environments: only the standard library and, once the program
itself has imported it, torch.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
SLACK = 64  # a toolkit may round the vocabulary up, or count some special pieces more or fewer


class Meter:
    """Totals of this process since its start.

    Args:
        path: gets one line an update.
        specials: ids of padding, BOS and EOS.
        pieces: size of the vocabulary.
    """

    def __init__(self, path: Path, specials: list[int], pieces: int) -> None:
        self.specials, self.pieces = specials, pieces
        self._stream = path.open("a", encoding="utf-8")
        self._update = self._tokens = self._positions = 0

    def count(self, tokens: int, positions: int) -> None:
        """Some sentences of one side, or of both."""
        self._tokens += tokens
        self._positions += positions

    def count_ids(self, ids: Any) -> None:
        """Sentences of one side as a tensor of ids, [B, T]; special ids count as one EOS a sentence.

        Some toolkits give sources no EOS: it is counted for them, among the positions too.
        """
        pad, bos, eos = self.specials
        marks = (ids == bos) | (ids == eos)
        words = int(((ids != pad) & ~marks).sum())
        sentences = ids.shape[0]
        self.count(words + sentences, ids.numel() + (0 if bool(marks.any()) else sentences))

    def update(self) -> None:
        """An update has ended."""
        self._update += 1
        line = {
            "update": self._update,
            "wall": time.time(),
            "cpu_seconds": session_seconds(),
            "tokens": self._tokens,
            "positions": self._positions,
        }
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


def session_seconds() -> float:
    """CPU time of all processes of this session, those that have ended and were waited for too."""
    session, ticks = os.getsid(0), 0
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                stat = (process / "stat").read_text(encoding="utf-8")
            except OSError:  # it has ended meanwhile
                continue
            fields = stat.rpartition(")")[2].split()
            if int(fields[3]) == session:
                ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICK


def watch_steps(meter: Meter, _: ModuleType) -> None:
    """An update ends with a step of any optimiser."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    register_optimizer_step_post_hook(lambda *_: meter.update())


def watch_embeddings(meter: Meter, _: ModuleType) -> None:
    """Count the ids that are looked up in training."""
    import torch
    from torch.nn import functional

    plain = functional.embedding

    def embedding(ids: Any, weight: Any, *rest: Any, **named: Any) -> Any:
        if torch.is_grad_enabled() and ids.dim() == 2 and abs(weight.shape[0] - meter.pieces) < SLACK:
            meter.count_ids(ids)
        return plain(ids, weight, *rest, **named)

    functional.embedding = embedding  # type: ignore[assignment]


def watch_sockeye(meter: Meter, data: ModuleType) -> None:
    """Count Sockeye's batches when they are put to use: its traced model looks nothing up in Python."""
    plain = data.Batch.load

    def load(batch: Any, device: Any) -> Any:
        for ids in (batch.source, batch.target):
            meter.count_ids(ids[:, :, 0])
        return plain(batch, device)

    data.Batch.load = load


def watch_mtkit(meter: Meter, stream: ModuleType) -> None:
    """Count the batches that mtkit's loop asks for; the update before has ended when it asks again."""
    plain = stream.BatchStream.next_update
    asked = 0

    def next_update(self: Any) -> Any:
        nonlocal asked
        if asked:
            meter.update()
        asked += 1
        batches = plain(self)
        for batch in batches:
            meter.count(batch.source_tokens + batch.target_tokens, batch.positions)
        return batches

    stream.BatchStream.next_update = next_update


class Watcher(importlib.abc.MetaPathFinder):
    """Looks over the shoulder of the import system, and begins when what is to be watched arrives.

    Args:
        wanted: name of the module that is waited for.
        begin: called with it when it has been loaded.
    """

    def __init__(self, wanted: str, begin: Callable[[ModuleType], None]) -> None:
        self._wanted: str | None = wanted
        self._begin = begin

    def find_spec(self, name: str, *rest: Any) -> ModuleSpec | None:
        """The module's own spec, with a loader that tells when it has been loaded."""
        if name != self._wanted:
            return None
        self._wanted = None  # the search below comes by here again
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                self._begin(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


# what to watch → the modules that are waited for, each with what to do then
WATCHES = {
    "torch": (("torch.optim", watch_embeddings), ("torch.optim", watch_steps)),
    "sockeye": (("sockeye.data_io", watch_sockeye), ("torch.optim", watch_steps)),
    "mtkit": (("mtkit.batches.stream", watch_mtkit),),
}


def start() -> None:
    """Begin, if the environment asks for it."""
    path = os.environ.get("METER")
    if not path:
        return
    specials = [int(number) for number in os.environ["METER_SPECIALS"].split(",")]
    meter = Meter(Path(path), specials, int(os.environ["METER_PIECES"]))
    for module, watch in WATCHES[os.environ["METER_WATCHES"]]:
        sys.meta_path.insert(0, Watcher(module, partial(watch, meter)))


start()
