"""Every architecture that the settings allow says the same in CTranslate2's Transformer specification.

The weights are written into that specification here; docs/decisions/0002-ctranslate2.md says it in words.
"""

from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.layers import LAYER_NORM_EPSILON, RMS_NORM_EPSILON, FeedForward
from mtkit.model.positions import sinusoids
from mtkit.model.transformer import Stack, Transformer
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities
from mtkit.search.hypothesis import Hypothesis
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED

ctranslate2 = pytest.importorskip("ctranslate2")
common_spec = pytest.importorskip("ctranslate2.specs.common_spec")
transformer_spec = pytest.importorskip("ctranslate2.specs.transformer_spec")

SOURCE_SIZE, TARGET_SIZE = 31, 29
POSITIONS = 41  # rows of position tables; no sentence here is longer
LIMIT = 17  # most target tokens of a search
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "swiglu": "SWISH"}
GREEDY = SearchSettings(beam_size=1, max_length_factor=1e-9, max_length_extra=LIMIT)
TOLERANCE = 1e-4  # nats a sentence; measured: 2.4e-5 at most; the wrong GELU: 6e-4

VALUES: dict[str, list[Any]] = {
    "activation": ["relu", "gelu", "swiglu"],
    "positions": [
        {"kind": "sinusoidal"},
        {"kind": "learned", "max": POSITIONS},
        {"kind": "rotary", "base": 100.0},
    ],
    "kv_heads": [None, 1, 2],
    "tied_embeddings": ["none", "target", "all"],
    "norm_order": ["pre", "post"],
    "norm": ["layer_norm", "rms_norm"],
    "bias": [True, False],
    "encoder_layers": [1, 2],
    "decoder_layers": [2, 1],
}


def variant(a: int, b: int, k: int) -> dict[str, Any]:
    """One of 18 architectures in which every value of every setting meets every value of every other.

    The settings of three values follow an orthogonal array of nine rows; each row comes twice (`k`), with
    the settings of two values turned round.
    """
    places = [a, b, (a + b) % 3, (a + 2 * b) % 3, k, (a + k) % 2, (b + k) % 2, k, k]
    return {name: VALUES[name][place] for name, place in zip(VALUES, places, strict=True)}


VARIANTS = [variant(a, b, k) for a, b, k in product(range(3), range(3), range(2))]


RANDOM = torch.Generator().manual_seed(3)
SOURCES, TARGETS = (
    [torch.randint(len(SPECIAL), TARGET_SIZE, (length,), generator=RANDOM).tolist() for length in lengths]
    for lengths in ((3, 7, 1, 23, 5, 11, 2, 13), (4, 1, 9, 2, 0, 30, 6, 17))
)


def converted(model: Transformer) -> Any:
    s = model.settings
    shape: dict[str, Any] = {
        "pre_norm": s.norm_order == "pre",
        "activation": common_spec.Activation[ACTIVATIONS[s.activation]],
        "ffn_glu": s.activation == "swiglu",
        "rms_norm": s.norm == "rms_norm",
        "num_heads_kv": s.kv_heads,
    }
    if s.positions.kind == "rotary":
        shape |= {"rotary_dim": 0, "rotary_interleave": True, "rotary_base": s.positions.base}
    encoder = transformer_spec.TransformerEncoderSpec(s.encoder_layers, s.heads, **shape)
    decoder = transformer_spec.TransformerDecoderSpec(s.decoder_layers, s.heads, **shape)
    encoder.scale_embeddings = decoder.scale_embeddings = True
    write(encoder.embeddings[0], model.source_embedding or model.target_embedding)
    write(decoder.embeddings, model.target_embedding)
    decoder.projection.weight = model.output_weight.detach().numpy()
    write_stack(encoder, model.encoder, s)
    write_stack(decoder, model.decoder, s)
    spec = transformer_spec.TransformerSpec(encoder, decoder)
    spec.register_source_vocabulary(vocabulary(model.source_size))
    spec.register_target_vocabulary(vocabulary(model.target_size))
    spec.config.unk_token, spec.config.bos_token, spec.config.eos_token = SPECIAL[1:]
    spec.config.decoder_start_token = spec.config.bos_token
    spec.config.add_source_eos = True
    spec.config.layer_norm_epsilon = LAYER_NORM_EPSILON if s.norm == "layer_norm" else RMS_NORM_EPSILON
    return spec


def vocabulary(size: int) -> list[str]:
    return SPECIAL + [f"piece{number}" for number in range(len(SPECIAL), size)]


def write(spec: Any, module: torch.nn.Module, rows: slice = slice(None)) -> None:
    spec.weight = module.weight[rows].detach().numpy()  # type: ignore[index]
    if getattr(module, "bias", None) is not None:
        spec.bias = module.bias[rows].detach().numpy()  # type: ignore[index]


def write_norm(spec: Any, norm: Any) -> None:
    spec.gamma = norm.weight.detach().numpy()
    if isinstance(norm, torch.nn.LayerNorm):
        spec.beta = norm.bias.detach().numpy()


def write_stack(spec: Any, stack: Stack, settings: ModelSettings) -> None:
    if settings.positions.kind == "sinusoidal":  # without a table it would make one of another layout
        spec.position_encodings.encodings = sinusoids(POSITIONS, settings.dim).numpy()
    elif settings.positions.kind == "learned":
        spec.position_encodings.encodings = stack.positions.weight.detach().numpy()  # type: ignore[operator]
    if settings.norm_order == "pre":
        write_norm(spec.layer_norm, stack.norm)
    layer: Any
    for part, layer in zip(spec.layer, stack.layers, strict=True):
        write_norm(part.self_attention.layer_norm, layer.self_attention_norm)
        write(part.self_attention.linear[0], layer.self_attention.query_key_value)
        write(part.self_attention.linear[1], layer.self_attention.out)
        if hasattr(part, "attention"):
            write_norm(part.attention.layer_norm, layer.cross_attention_norm)
            write(part.attention.linear[0], layer.cross_attention.query)
            write(part.attention.linear[1], layer.cross_attention.key_value)
            write(part.attention.linear[2], layer.cross_attention.out)
        write_norm(part.ffn.layer_norm, layer.feed_forward_norm)
        write_feed_forward(part.ffn, layer.feed_forward)


def write_feed_forward(spec: Any, block: FeedForward) -> None:
    inner = block.down.in_features  # F
    write(spec.linear_0, block.up, slice(inner))  # the whole matrix, or the gate
    if block.gated:
        write(spec.linear_0_noact, block.up, slice(inner, None))
    write(spec.linear_1, block.down)


def random_model(settings: dict[str, Any], seed: int = 0) -> Transformer:
    """A model whose every weight matters."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    shape = {"dim": 24, "heads": 4, "ffn_dim": 37}
    source_size = TARGET_SIZE if settings["tied_embeddings"] == "all" else SOURCE_SIZE
    model = Transformer(ModelSettings.model_validate({**shape, **settings}), source_size, TARGET_SIZE).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                weight.add_(torch.randn_like(weight), alpha=0.2)  # not 0 and 1, as they start
        model.output_weight[EOS] *= 4  # its logit varies more than others do: sentences end
    return model


def talkative_model(settings: dict[str, Any]) -> tuple[Transformer, list[Hypothesis]]:
    """The first random model whose translations have three lengths or more."""
    for seed in range(20):
        model = random_model(settings, seed)
        found = [hypotheses[0] for hypotheses in search(model, SOURCES, GREEDY)]
        if len({one.tokens for one in found}) > 2:  # what does not end is LIMIT long
            return model, found
    raise AssertionError("no seed gives translations of different lengths")


def pieces(sentences: Sequence[Sequence[int]]) -> list[list[str]]:
    names = vocabulary(SOURCE_SIZE)
    return [[names[number] for number in sentence] for sentence in sentences]


def translator(model: Transformer, folder: Path) -> Any:
    spec = converted(model)
    spec.validate()
    spec.optimize()
    spec.save(str(folder))
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1)


def their_probabilities(engine: Any) -> list[float]:
    return [sum(result.log_probs) for result in engine.score_batch(pieces(SOURCES), pieces(TARGETS))]


def their_translations(engine: Any) -> Any:
    never = [[SPECIAL[number]] for number in NEVER_PRODUCED]
    return engine.translate_batch(
        pieces(SOURCES),
        beam_size=1,
        max_decoding_length=LIMIT,
        min_decoding_length=0,
        suppress_sequences=never,
        length_penalty=0,
        return_scores=True,
    )


def test_every_value_of_a_setting_meets_every_value_of_every_other() -> None:
    for one, other in combinations(list(VALUES)[:-2], 2):
        met = [(settings[one], settings[other]) for settings in VARIANTS]
        for pair in product(VALUES[one], VALUES[other]):
            assert pair in met, (one, other, pair)


@pytest.mark.parametrize("settings", VARIANTS, ids=lambda settings: " ".join(map(str, settings.values())))
def test_both_find_the_same_translation_and_give_any_the_same_probability(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    model, found = talkative_model(settings)
    engine = translator(model, tmp_path)
    theirs = [result.hypotheses[0] for result in their_translations(engine)]
    assert theirs == pieces([one.ids for one in found])
    ours = log_probabilities(model, SOURCES, TARGETS)
    assert their_probabilities(engine) == pytest.approx(ours, abs=TOLERANCE)


@pytest.mark.parametrize("norm", VALUES["norm"])
def test_both_add_the_same_epsilon_to_a_small_variance(norm: str, tmp_path: Path) -> None:
    model = random_model({**variant(2, 2, 0), "tied_embeddings": "none", "norm": norm})
    assert model.settings.positions.kind == "rotary" and model.source_embedding is not None
    with torch.no_grad():
        for embedding in (model.source_embedding, model.target_embedding):
            embedding.weight.mul_(1e-3)  # variance 1e-6: the epsilons stand out
    ours = log_probabilities(model, SOURCES, TARGETS)
    assert their_probabilities(translator(model, tmp_path)) == pytest.approx(ours, abs=TOLERANCE)


def test_its_own_score_gives_the_rest_what_is_never_produced(
    tmp_path: Path,
) -> None:
    model, found = talkative_model(VARIANTS[0])
    results = their_translations(translator(model, tmp_path))
    for source, one, result in zip(SOURCES, found, results, strict=True):
        assert result.scores[0] > one.log_probability + 100 * TOLERANCE
        assert result.scores[0] == pytest.approx(renormalised(model, source, one), abs=TOLERANCE)


def renormalised(model: Transformer, source: list[int], one: Hypothesis) -> float:
    """The log probability of a hypothesis if PAD, UNK and BOS had none."""
    read, written = torch.tensor([[*source, EOS]]), [*one.ids, EOS][: one.tokens]
    with torch.no_grad():
        logits = model(read, torch.ones_like(read, dtype=torch.bool), torch.tensor([[BOS, *written[:-1]]]))
    logits[..., NEVER_PRODUCED] = -torch.inf
    return float(logits[0].log_softmax(-1)[range(len(written)), written].sum())
