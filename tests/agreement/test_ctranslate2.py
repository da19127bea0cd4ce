"""Every architecture that the settings allow says the same in CTranslate2's Transformer specification.

docs/decisions/0002-ctranslate2.md says it in words, `export/specification.py` in code.
"""

from collections.abc import Callable, Sequence
from itertools import combinations, product
from pathlib import Path
from typing import Any

import ctranslate2
import pytest
import torch

from benchmarks.stand_ins import learn
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.export.specification import save, specification
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.margin import margin
from mtkit.subword.vocabulary import EOS
from mtkit.translation.ctranslate2_engine import CTranslate2Engine

SOURCE_SIZE, TARGET_SIZE = 31, 29
POSITIONS = 41  # rows of position tables; no sentence here is longer
LIMIT = 17  # most target tokens of a search
SPECIAL = ["<pad>", "<unk>", "<s>", "</s>"]
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


def name(settings: dict[str, Any]) -> str:
    return " ".join(map(str, settings.values()))


RANDOM = torch.Generator().manual_seed(3)
SOURCES, TARGETS = (
    [torch.randint(len(SPECIAL), TARGET_SIZE, (length,), generator=RANDOM).tolist() for length in lengths]
    for lengths in ((3, 7, 1, 23, 5, 11, 2, 13), (4, 1, 9, 2, 0, 30, 6, 17))
)


def vocabulary(size: int) -> list[str]:
    return SPECIAL + [f"piece{number}" for number in range(len(SPECIAL), size)]


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
    names = vocabulary(model.source_size), vocabulary(model.target_size)
    save(specification(model, *names, POSITIONS), folder, "float32")
    return ctranslate2.Translator(str(folder), device="cpu", compute_type="float32", intra_threads=1)


def their_probabilities(engine: Any) -> list[float]:
    return [sum(result.log_probs) for result in engine.score_batch(pieces(SOURCES), pieces(TARGETS))]


def their_translations(engine: Any) -> Any:
    return engine.translate_batch(
        pieces(SOURCES),
        beam_size=1,
        max_decoding_length=LIMIT,
        min_decoding_length=0,
        length_penalty=0,
        return_scores=True,
    )


def test_every_value_of_a_setting_meets_every_value_of_every_other() -> None:
    for one, other in combinations(list(VALUES)[:-2], 2):
        met = [(settings[one], settings[other]) for settings in VARIANTS]
        for pair in product(VALUES[one], VALUES[other]):
            assert pair in met, (one, other, pair)


@pytest.mark.parametrize("settings", VARIANTS, ids=name)
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


def test_its_own_score_is_ours(tmp_path: Path) -> None:
    model, found = talkative_model(VARIANTS[0])
    results = their_translations(translator(model, tmp_path))
    for one, result in zip(found, results, strict=True):
        assert result.scores[0] == pytest.approx(one.log_probability, abs=TOLERANCE)


BEAMS: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "all of a beam": {"beam_size": 2, "n_best": 2, "length_penalty": 1.0},
    "wide": {"beam_size": 5, "n_best": 3},
}


def flat_model(settings: dict[str, Any]) -> Transformer:
    """A model as training begins with it, with its first few updates: it prefers nothing, and what stands for
    no text as much as anything."""
    model = random_model(settings)
    with torch.no_grad():
        model.output_weight[EOS] /= 4
    learn(model.train(), SOURCES, [ids[::-1] for ids in SOURCES], updates=3)
    return model.eval()


@pytest.mark.parametrize("make", [random_model, flat_model])
@pytest.mark.parametrize("settings", VARIANTS[::4], ids=name)
def test_both_search_alike_even_what_knows_nothing(
    settings: dict[str, Any], make: Callable[[dict[str, Any]], Transformer], tmp_path: Path
) -> None:
    model = make(settings)
    names = vocabulary(model.source_size), vocabulary(model.target_size)
    engine = CTranslate2Engine(
        translator(model, tmp_path), names, architecture=model.settings, max_tokens=None, batch_tokens=60
    )
    alike = 0
    for wishes in BEAMS.values():
        beam = SearchSettings(max_length_factor=1.0, max_length_extra=5, **wishes)
        ours, theirs = search(model, SOURCES, beam), engine.search(SOURCES, beam)
        for source, one, other in zip(SOURCES, ours, theirs, strict=True):
            if [(h.ids, h.finished) for h in one] == [(h.ids, h.finished) for h in other]:
                assert [h.score for h in other] == pytest.approx([h.score for h in one], abs=TOLERANCE)
                alike += 1
            else:
                assert margin(model, source, beam) < TOLERANCE
    assert alike >= 0.9 * len(BEAMS) * len(SOURCES)
