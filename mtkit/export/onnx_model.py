"""A model that onnxruntime runs, behind the interface that search asks a Transformer by.

So that one search finds translations with either, and a certificate can say that both models are the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import onnxruntime
import torch
from torch import Tensor, nn

from mtkit.model.transformer import as_many
from mtkit.search.ensemble import Model

ENCODER, STEP = "encoder.onnx", "step.onnx"


@dataclass
class Read:
    """What was read so far: the source once a sentence, the target once a hypothesis.

    Attributes:
        source: keys and values of the decoder's layers by their names, [B, G, S, K].
        source_is_token: [B, S].
        past: keys and values by the names of the inputs they become, [R, G, T, K].
    """

    source: dict[str, Tensor]
    source_is_token: Tensor
    past: dict[str, Tensor]

    def expand(self, count: int) -> None:
        """Turn each row into `count` rows side by side."""
        self.past = {name: value.repeat_interleave(count, 0) for name, value in self.past.items()}

    def select(self, rows: Tensor) -> None:
        """Keep these rows, in this order; the rows of a sentence stay side by side."""
        first = next(iter(self.past.values()))
        count = first.size(0) // max(1, self.source_is_token.size(0))
        sentences = rows[::count] // count
        self.past = {name: value.index_select(0, rows) for name, value in self.past.items()}
        self.source = {name: value.index_select(0, sentences) for name, value in self.source.items()}
        self.source_is_token = self.source_is_token.index_select(0, sentences)


class OnnxModel(nn.Module):
    """The two graphs of an exported model.

    Args:
        folder: where they are.
        threads: CPU threads of one product.
        max_tokens: most tokens of a side that the graphs have positions for.
    """

    def __init__(self, folder: Path, threads: int, max_tokens: int) -> None:
        super().__init__()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors
        self._encoder, self._step = (
            onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in (ENCODER, STEP)
        )
        self.max_tokens = max_tokens
        self.rows_for_search = as_many
        [logits] = [one for one in self._step.get_outputs() if one.name == "logits"]
        self.target_size: int = logits.shape[1]
        self.device = torch.device("cpu")
        self._past = {one.name: one.shape for one in self._step.get_inputs() if one.name.startswith("past_")}

    def as_model(self) -> Model:
        """Itself, as what search takes."""
        return cast(Model, self)

    def encode(self, source: Tensor, source_is_token: Tensor) -> Tensor:
        """Keys and values of all layers, one behind the other, [B, 2L, G, S, K]."""
        found = _run(self._encoder, {"source": source, "source_is_token": source_is_token})
        return torch.stack(list(found.values()), dim=1)

    def start(self, memory: Tensor, source_is_token: Tensor) -> Read:
        """Nothing of the target read yet, one hypothesis a sentence."""
        names = [one.name for one in self._encoder.get_outputs()]
        source = dict(zip(names, memory.unbind(1), strict=True))
        sentences = memory.size(0)
        past = {name: torch.empty(sentences, shape[1], 0, shape[3]) for name, shape in self._past.items()}
        return Read(source, source_is_token, past)

    def step(self, ids: Tensor, read: Read) -> Tensor:
        """Read one more target id of every hypothesis; logits [R, V] of the ids that follow."""
        given = {"ids": ids, "source_is_token": read.source_is_token, **read.source, **read.past}
        found = _run(self._step, given)
        read.past = {name: found[name.removeprefix("past_")] for name in read.past}
        return found["logits"]

    def decode(self, target_in: Tensor, memory: Tensor, source_is_token: Tensor) -> Tensor:
        """Logits of every next target id, [B, T, V], one position after the other."""
        read = self.start(memory, source_is_token)
        return torch.stack([self.step(ids, read) for ids in target_in.unbind(1)], dim=1)

    def output(self, logits: Tensor) -> Tensor:
        """The logits, which `decode` has found already."""
        return logits


def _run(session: Any, given: dict[str, Tensor]) -> dict[str, Tensor]:
    values = {name: value.contiguous().numpy() for name, value in given.items()}
    names: Sequence[str] = [one.name for one in session.get_outputs()]
    return dict(zip(names, map(torch.from_numpy, session.run(names, values)), strict=True))
