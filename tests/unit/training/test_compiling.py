import shutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtkit.batches.batch import Batch, make_batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings, Until
from mtkit.model import layers as layers_module
from mtkit.model.dropout import seeded
from mtkit.model.positions import FIRST_ROWS, Rotary, Sinusoidal
from mtkit.model.transformer import Transformer
from mtkit.training import compiling, loss, packing
from mtkit.training.compiling import CompiledLayers
from mtkit.training.loss import gradients
from mtkit.training.packing import compiled, example

SIZE, LONGEST = 23, 40
KINDS = 3  # encoder layer, decoder layer, loss
# the compiler that is used on a GPU; on a CPU it needs one of C++, and loads modules that warn
INDUCTOR = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++"),
    pytest.mark.filterwarnings("ignore"),
]
SHAPE = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, "dropout": 0.0}
MODERN = {"positions": {"kind": "rotary"}, "activation": "swiglu", "norm": "rms_norm", "kv_heads": 1}


@pytest.fixture(autouse=True)
def _short_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU attention over rows takes their square."""
    monkeypatch.setattr(packing, "EXAMPLE_TOKENS", 2)


def model_of(changes: dict[str, object]) -> Transformer:
    torch.manual_seed(5)
    return Transformer(ModelSettings.model_validate(SHAPE | changes), SIZE, SIZE).train()


def batch_of(pairs: int, seed: int) -> Batch:
    draw = torch.Generator().manual_seed(seed)

    def sentences() -> list[list[int]]:
        lengths = torch.randint(0, LONGEST, (pairs,), generator=draw).tolist()
        return [torch.randint(4, SIZE, (length,), generator=draw).tolist() for length in lengths]

    return make_batch(sentences(), sentences(), range(pairs)).pack(LONGEST)


def settings_of(model: Transformer, **changes: object) -> FixedTrainSettings:
    return FixedTrainSettings.model_validate(
        {"until": Until(updates=9000), "max_tokens": LONGEST, "model": model.settings, **changes}
    )


def assert_as_eager(model: Transformer, batch: Batch) -> None:
    through = model.encoder.through
    sums, found = gradients(model, batch, 100, 0.1)
    del model.encoder.through, model.decoder.through
    wanted_sums, wanted = gradients(model, batch, 100, 0.1)
    model.encoder.through = model.decoder.through = through
    torch.testing.assert_close(sums, wanted_sums)
    for (name, _), gradient, expected in zip(model.named_parameters(), found, wanted, strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=2e-6, msg=name)


def compiled_by(backend: str, model: Transformer, say: Callable[[str], None] = print) -> CompiledLayers:
    layers = compiled(settings_of(model), model, say, backend)
    assert layers is not None
    return layers


@pytest.mark.parametrize(
    ("backend", "changes"),
    [
        ("eager", {"norm_order": "post"}),
        ("eager", MODERN),
        pytest.param("aot_eager", MODERN, marks=pytest.mark.slow),
        pytest.param("inductor", {}, marks=INDUCTOR),
        pytest.param("inductor", MODERN, marks=INDUCTOR),
    ],
)
def test_compiled_layers_are_made_once_a_kind_and_compute_what_layers_compute(
    backend: str, changes: dict[str, object]
) -> None:
    model = model_of(changes)
    layers = compiled_by(backend, model)
    assert layers.compilations == KINDS
    for pairs, seed in ((1, 1), (2, 2), (7, 3), (12, 4), (33, 5)):
        assert_as_eager(model, batch_of(pairs, seed))
    assert layers.compilations == KINDS


def test_a_slice_of_one_position_makes_no_compilation_more(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = model_of({}), batch_of(7, 3)
    layers = compiled_by("eager", model)
    monkeypatch.setattr(loss, "POSITIONS_AT_ONCE", batch.target_tokens - 1)
    assert_as_eager(model, batch)
    assert layers.compilations == KINDS


@pytest.mark.parametrize("positions", ["rotary", "sinusoidal"])
def test_positions_are_there_before_the_compiler_looks(positions: str) -> None:
    model = model_of(MODERN | {"positions": {"kind": positions}})
    longest = 2 * FIRST_ROWS
    layers = compiled(settings_of(model, max_tokens=longest), model, print, "eager")
    assert layers is not None and layers.compilations == KINDS
    tables = [module for module in model.modules() if isinstance(module, Rotary | Sinusoidal)]
    assert tables
    for module in tables:
        table = module.turns if isinstance(module, Rotary) else module.table
        assert table.size(0) >= longest


def test_beyond_the_limit_new_kinds_of_layers_are_computed_without_the_compiler_and_it_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    model = model_of({})
    layers = compiled_by("eager", model, said.append)
    monkeypatch.setattr(compiling, "MOST_COMPILATIONS", KINDS)
    other = model_of(MODERN)
    other.encoder.through = other.decoder.through = layers
    for seed in (1, 2):
        assert_as_eager(other, batch_of(3, seed))
    assert layers.compilations == KINDS
    assert said[1:] == ["nothing new is compiled any more: 3 layers and functions have been"]
    assert said[0].startswith("packed batches, layers compiled in ")


@pytest.mark.parametrize("changes", [{"norm_order": "post", "dropout": 0.1}, MODERN | {"dropout": 0.1}])
def test_the_way_of_a_gpu_is_one_graph_a_layer_attention_of_variable_length_and_dropout_included(
    changes: dict[str, object],
) -> None:
    model = model_of(changes).to("meta")
    layers = CompiledLayers(print, "eager")
    model.encoder.through = model.decoder.through = layers
    for batch in (example(LONGEST), batch_of(1, 1), batch_of(33, 2)):
        gradients(model, batch.to("meta"), 100, 0.1)
    assert layers.compilations == KINDS


@pytest.mark.parametrize("backend", ["eager", pytest.param("inductor", marks=INDUCTOR)])
def test_what_compiled_layers_drop_out_depends_on_the_seed_and_on_no_history(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU, where torch draws: a CPU's own dropout draws from the thread."""

    def add(states: Tensor, values: Tensor, share: float, training: bool) -> Tensor:
        return states + F.dropout(values, share, training)

    monkeypatch.setattr(layers_module, "dropout", F.dropout)
    monkeypatch.setattr(layers_module, "add_with_dropout", add)
    model = model_of({"dropout": 0.3})
    compiled_by(backend, model)

    def nats(seed: int) -> Tensor:
        with seeded(1, model.device):  # what is dropped of embeddings
            torch.manual_seed(seed)
            return gradients(model, batch_of(9, 1), 100, 0.1)[0].nats

    first = nats(1)
    assert not torch.equal(nats(2), first)
    assert torch.equal(nats(1), first)


@pytest.mark.parametrize("longest", [2, 3, 24, 30, 256])
def test_the_example_has_sides_of_unlike_size_whatever_the_longest_sentence(
    longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    packed = example(longest).packed
    assert packed is not None
    assert len(packed.source) != len(packed.target_in)
    assert packed.of_source.longest == packed.of_target.longest == max(128, longest)
