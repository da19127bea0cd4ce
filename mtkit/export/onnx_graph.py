"""Our Transformer as two ONNX graphs, written node by node. The only file that knows ONNX's operators.

`encoder` reads sources and gives the keys and values that the decoder attends to; `step` reads one more
target id of every hypothesis, with the keys and values of those before it. Names of inputs and outputs stand
in docs/exporting.md. Nothing is traced: what a graph holds is what is written here.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from mtkit.config.model import ModelSettings
from mtkit.model.attention import CrossAttention, SelfAttention
from mtkit.model.layers import RMS_NORM_EPSILON, DecoderLayer, EncoderLayer, FeedForward
from mtkit.model.positions import rotations, sinusoids
from mtkit.model.transformer import Stack, Transformer

OPSET = 17  # the first with LayerNormalization
IR_VERSION = 8  # what that opset came with: old programs read it too
NEVER = float("-inf")


def encoder(model: Transformer, positions: int) -> onnx.ModelProto:
    """Sources to keys and values of all decoder layers.

    Args:
        model: on any device.
        positions: rows of position tables; a longer source is an error when it is read.
    """
    graph = _Graph(model.settings, positions)
    graph.takes("source", TensorProto.INT64, ["sentences", "source_tokens"])
    graph.takes("source_is_token", TensorProto.BOOL, ["sentences", "source_tokens"])
    embedding = model.source_embedding or model.target_embedding
    states = graph.embedded(embedding.weight, "source")
    turns = None
    if model.settings.positions.kind == "rotary":
        turns = tuple(graph.sliced(table, "source") for table in graph.turns)
    elif (table := graph.table(model.encoder)) is not None:
        states = graph.op("Add", states, graph.sliced(table, "source"))
    mask = graph.mask()
    for layer in model.encoder.layers:
        assert isinstance(layer, EncoderLayer)
        states = graph.encoder_layer(states, layer, mask, turns)
    states = graph.norm(states, model.encoder.norm)
    for number, layer in enumerate(model.decoder.layers):
        assert isinstance(layer, DecoderLayer)
        found = graph.keys_values(states, layer.cross_attention)
        for name, value in zip((f"source_keys.{number}", f"source_values.{number}"), found, strict=True):
            graph.gives(name, value, ["sentences", graph.groups, "source_tokens", graph.head_dim])
    return graph.model("encoder")


def step(model: Transformer, positions: int) -> onnx.ModelProto:
    """One more target id of every hypothesis to the logits of the next.

    Args:
        model: on any device.
        positions: rows of position tables; a longer target is an error when it is read.
    """
    graph = _Graph(model.settings, positions)
    graph.takes("ids", TensorProto.INT64, ["hypotheses"])
    graph.takes("source_is_token", TensorProto.BOOL, ["sentences", "source_tokens"])
    layers = range(len(model.decoder.layers))
    for number in layers:
        for name in (f"keys.{number}", f"values.{number}"):
            shape: list[str | int] = ["hypotheses", graph.groups, "past", graph.head_dim]
            graph.takes(f"past_{name}", TensorProto.FLOAT, shape)
            shape = ["sentences", graph.groups, "source_tokens", graph.head_dim]
            graph.takes(f"source_{name}", TensorProto.FLOAT, shape)
    ids = graph.op("Unsqueeze", "ids", graph.whole([1]))
    states = graph.embedded(model.target_embedding.weight, ids)  # [R, 1, D]
    position = graph.size("past_keys.0", 2)  # [1]
    turns = None
    if model.settings.positions.kind == "rotary":
        turns = tuple(graph.op("Gather", table, position) for table in graph.turns)
    elif (table := graph.table(model.decoder)) is not None:
        states = graph.op("Add", states, graph.op("Gather", table, position))
    mask = graph.mask()
    for number, layer in enumerate(model.decoder.layers):
        assert isinstance(layer, DecoderLayer)
        states = graph.decoder_layer(states, layer, number, mask, turns)
    hidden = graph.op("Reshape", graph.norm(states, model.decoder.norm), graph.whole([-1, graph.dim]))
    graph.gives("logits", graph.logits(hidden, model), ["hypotheses", model.target_size])
    return graph.model("step")


class _Graph:
    """A graph on its way; values are known by their names.

    Args:
        settings: the architecture.
        positions: rows of position tables.
    """

    def __init__(self, settings: ModelSettings, positions: int) -> None:
        self.settings, self.positions = settings, positions
        self.dim, self.heads = settings.dim, settings.heads
        self.groups = settings.kv_heads or settings.heads  # G
        self.head_dim = settings.dim // settings.heads  # K
        self._nodes: list[Any] = []
        self._weights: dict[str, Any] = {}
        self._known: dict[int, str] = {}  # tensors that are used twice are written once
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []

    def takes(self, name: str, kind: int, shape: Sequence[str | int]) -> None:
        """An input of the graph."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def gives(self, name: str, value: str, shape: Sequence[str | int]) -> None:
        """An output of the graph, under a name of its own."""
        self._nodes.append(helper.make_node("Identity", [value], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def op(self, kind: str, *inputs: str, outputs: int = 0, **attributes: Any) -> Any:
        """A node; its output's name, or their names if `outputs` says how many."""
        number = len(self._nodes)
        names = [f"{kind}.{number}" + (f".{one}" if outputs else "") for one in range(outputs or 1)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}.{number}", **attributes))
        return names if outputs else names[0]

    def model(self, name: str) -> onnx.ModelProto:
        """The whole of it, checked."""
        graph = helper.make_graph(
            self._nodes, name, self._inputs, self._outputs, initializer=list(self._weights.values())
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="mtkit")
        made.ir_version = IR_VERSION
        onnx.checker.check_model(made)
        return made

    def weight(self, tensor: Tensor, *, turned: bool = False) -> str:
        """A constant; `turned`: the transpose of a matrix."""
        key = id(tensor) if not turned else -id(tensor)
        if key not in self._known:
            value = tensor.detach().to("cpu", torch.float32)
            self._known[key] = self._constant((value.T if turned else value).contiguous().numpy())
        return self._known[key]

    def whole(self, numbers: Sequence[int]) -> str:
        """A constant list of whole numbers."""
        return self._constant(np.array(numbers, dtype=np.int64))

    def real(self, number: float) -> str:
        """A constant number."""
        return self._constant(np.array(number, dtype=np.float32))

    def _constant(self, value: NDArray[Any]) -> str:
        name = f"constant.{len(self._weights)}"
        self._weights[name] = numpy_helper.from_array(value, name)
        return name

    def size(self, value: str, axis: int) -> str:
        """How long a value is along an axis, [1]."""
        return str(self.op("Gather", self.op("Shape", value), self.whole([axis])))

    def table(self, stack: Stack) -> str | None:
        """The vectors that tell positions, [positions, D]; None: positions are told otherwise."""
        if self.settings.positions.kind == "sinusoidal":
            return self._constant(sinusoids(self.positions, self.dim).numpy())
        if self.settings.positions.kind == "learned":
            assert isinstance(stack.positions.weight, Tensor)
            return self.weight(stack.positions.weight)
        return None

    @property
    def turns(self) -> tuple[str, str]:
        """Cosines and sines of rotary positions, both [positions, K/2]."""
        assert self.settings.positions.kind == "rotary"
        table = rotations(self.positions, self.head_dim, self.settings.positions.base)
        cosine, sine = (one.contiguous().numpy() for one in table.unbind(-1))
        return self._constant(cosine), self._constant(sine)

    def sliced(self, table: str, tokens: str) -> str:
        """The rows of the first positions, as many as there are tokens in `tokens` [B, T]."""
        none, one = (self._constant(np.array(number, dtype=np.int64)) for number in (0, 1))
        reached = self.op("Range", none, self.op("Squeeze", self.size(tokens, 1)), one)
        return str(self.op("Gather", table, reached))

    def embedded(self, weight: Tensor, ids: str) -> str:
        """Vectors of ids, times √D."""
        vectors = self.op("Gather", self.weight(weight), ids)
        return str(self.op("Mul", vectors, self.real(math.sqrt(self.dim))))

    def mask(self) -> str:
        """What is added to scores of the source: 0 at tokens, minus infinity at padding, [B, 1, 1, S]."""
        may = self.op("Unsqueeze", "source_is_token", self.whole([1, 2]))
        return str(self.op("Where", may, self.real(0.0), self.real(NEVER)))

    def linear(self, states: str, layer: nn.Linear) -> str:
        """A matrix product with its bias, if it has one."""
        found = self.op("MatMul", states, self.weight(layer.weight, turned=True))
        return str(found if layer.bias is None else self.op("Add", found, self.weight(layer.bias)))

    def norm(self, states: str, norm: nn.Module) -> str:
        """A norm over the last axis; none if there is none."""
        if isinstance(norm, nn.Identity):
            return states
        if isinstance(norm, nn.LayerNorm):
            values = states, self.weight(norm.weight), self.weight(norm.bias)
            return str(self.op("LayerNormalization", *values, axis=-1, epsilon=norm.eps))
        assert isinstance(norm.weight, Tensor)
        mean = self.op("ReduceMean", self.op("Mul", states, states), axes=[-1], keepdims=1)
        root = self.op("Sqrt", self.op("Add", mean, self.real(RMS_NORM_EPSILON)))
        return str(self.op("Mul", self.op("Div", states, root), self.weight(norm.weight)))

    def feed_forward(self, states: str, block: FeedForward) -> str:
        """The feed-forward block."""
        inner = self.linear(states, block.up)
        if block.gated:
            gate, inner = self.op("Split", inner, outputs=2, axis=-1)
            inner = self.op("Mul", self.swish(gate), inner)
        elif self.settings.activation == "relu":
            inner = self.op("Relu", inner)
        elif self.settings.activation == "swish":
            inner = self.swish(inner)
        else:
            error = self.op("Erf", self.op("Div", inner, self.real(math.sqrt(2.0))))
            half = self.op("Mul", inner, self.real(0.5))
            inner = self.op("Mul", half, self.op("Add", error, self.real(1.0)))
        return self.linear(inner, block.down)

    def swish(self, value: str) -> str:
        """x · sigmoid(x)."""
        return str(self.op("Mul", value, self.op("Sigmoid", value)))

    def keys_values(self, states: str, block: CrossAttention) -> tuple[str, str]:
        """Keys and values of the source, both [B, G, S, K]."""
        both = self.linear(states, block.key_value)
        both = self.op("Reshape", both, self.whole([0, 0, 2 * self.groups, self.head_dim]))
        key, value = self.op("Split", both, outputs=2, axis=2)
        return self.beside(key), self.beside(value)

    def beside(self, heads: str) -> str:
        """[B, T, G, K] to [B, G, T, K]."""
        return str(self.op("Transpose", heads, perm=[0, 2, 1, 3]))

    def project(self, states: str, block: SelfAttention, turns: Any) -> tuple[str, str, str]:
        """Queries [B, G, T · H/G, K], keys and values [B, G, T, K] of the sentence itself."""
        count = self.heads + 2 * self.groups
        every = self.linear(states, block.query_key_value)
        every = self.op("Reshape", every, self.whole([0, 0, count, self.head_dim]))
        sizes = [self.heads + self.groups, self.groups]
        query_key, value = self.op("Split", every, self.whole(sizes), outputs=2, axis=2)
        if turns is not None:
            query_key = self.turned(query_key, *turns)
        query, key = self.op("Split", query_key, self.whole([self.heads, self.groups]), outputs=2, axis=2)
        return self.grouped(query), self.beside(key), self.beside(value)

    def turned(self, heads: str, cosine: str, sine: str) -> str:
        """Heads [B, T, H + G, K] turned by their positions; cosine and sine [T, K/2]."""
        pairs = self.op("Reshape", heads, self.whole([0, 0, 0, self.head_dim // 2, 2]))
        even, odd = (
            self.op("Squeeze", one, self.whole([4])) for one in self.op("Split", pairs, outputs=2, axis=4)
        )
        cosine, sine = (self.op("Unsqueeze", one, self.whole([1])) for one in (cosine, sine))  # [T, 1, K/2]
        real = self.op("Sub", self.op("Mul", even, cosine), self.op("Mul", odd, sine))
        imaginary = self.op("Add", self.op("Mul", even, sine), self.op("Mul", odd, cosine))
        parts = [self.op("Unsqueeze", one, self.whole([4])) for one in (real, imaginary)]
        return str(self.op("Reshape", self.op("Concat", *parts, axis=4), self.whole([0, 0, 0, -1])))

    def grouped(self, query: str) -> str:
        """Queries [B, T, H, K] to [B, G, T · H/G, K]: those of a group stand where positions would stand."""
        shape = [0, 0, self.groups, self.heads // self.groups, self.head_dim]
        split = self.op("Reshape", query, self.whole(shape))
        split = self.op("Transpose", split, perm=[0, 2, 1, 3, 4])
        return str(self.op("Reshape", split, self.whole([0, self.groups, -1, self.head_dim])))

    def attend(self, query: str, key: str, value: str, mask: str | None) -> str:
        """Attention of queries [B, G, T · H/G, K], their heads side by side, [B, T, D]."""
        turned = self.op("Transpose", key, perm=[0, 1, 3, 2])
        scores = self.op("Mul", self.op("MatMul", query, turned), self.real(self.head_dim**-0.5))
        if mask is not None:
            scores = self.op("Add", scores, mask)
        found = self.op("MatMul", self.op("Softmax", scores, axis=-1), value)
        shape = [0, self.groups, -1, self.heads // self.groups, self.head_dim]
        found = self.op("Transpose", self.op("Reshape", found, self.whole(shape)), perm=[0, 2, 1, 3, 4])
        return str(self.op("Reshape", found, self.whole([0, 0, self.dim])))

    def add(self, states: str, norm: nn.Module, block: Any) -> str:
        """The residual sum of a block, normalised before or after."""
        if self.settings.norm_order == "pre":
            return str(self.op("Add", states, block(self.norm(states, norm))))
        return self.norm(self.op("Add", states, block(states)), norm)

    def encoder_layer(self, states: str, layer: EncoderLayer, mask: str, turns: Any) -> str:
        """States [B, S, D] to states."""

        def over_itself(states: str) -> str:
            query, key, value = self.project(states, layer.self_attention, turns)
            return self.linear(self.attend(query, key, value, mask), layer.self_attention.out)

        states = self.add(states, layer.self_attention_norm, over_itself)
        return self.add(states, layer.feed_forward_norm, lambda x: self.feed_forward(x, layer.feed_forward))

    def decoder_layer(self, states: str, layer: DecoderLayer, number: int, mask: str, turns: Any) -> str:
        """States [R, 1, D] to states; the layer's keys and values with those of this position are given."""

        def over_itself(states: str) -> str:
            query, key, value = self.project(states, layer.self_attention, turns)
            shape: list[str | int] = ["hypotheses", self.groups, "positions", self.head_dim]
            key = self.op("Concat", f"past_keys.{number}", key, axis=2)
            value = self.op("Concat", f"past_values.{number}", value, axis=2)
            self.gives(f"keys.{number}", key, shape)
            self.gives(f"values.{number}", value, shape)
            return self.linear(self.attend(query, key, value, None), layer.self_attention.out)

        def over_source(states: str) -> str:
            # the hypotheses of a sentence see the same source: they stand where positions would stand
            count = self.size(f"source_keys.{number}", 0)
            shape = self.op("Concat", count, self.whole([-1, self.dim]), axis=0)
            by_sentence = self.op("Reshape", states, shape)  # [B, N, D]
            query = self.linear(by_sentence, layer.cross_attention.query)
            query = self.op("Reshape", query, self.whole([0, 0, self.heads, self.head_dim]))
            key, value = f"source_keys.{number}", f"source_values.{number}"
            found = self.linear(self.attend(self.grouped(query), key, value, mask), layer.cross_attention.out)
            return str(self.op("Reshape", found, self.whole([-1, 1, self.dim])))

        states = self.add(states, layer.self_attention_norm, over_itself)
        states = self.add(states, layer.cross_attention_norm, over_source)
        return self.add(states, layer.feed_forward_norm, lambda x: self.feed_forward(x, layer.feed_forward))

    def logits(self, hidden: str, model: Transformer) -> str:
        """Hidden states [R, D] to logits [R, V]."""
        values = [hidden, self.weight(model.output_weight)]
        if model.output_bias is not None:
            values.append(self.weight(model.output_bias))
        return str(self.op("Gemm", *values, transB=1))
