"""CTranslate2 finds what the torch engine finds, sentence for sentence."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mtkit.config.model import LearnedPositions
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError, RunError
from mtkit.export.specification import save, specification
from mtkit.files import read_lines, write_lines
from mtkit.model.folder import read_card, subword_folder
from mtkit.model.positions import Learned
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.search.hypothesis import Hypothesis
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import EOS, NEVER_PRODUCED, UNK
from mtkit.translation import replicas
from mtkit.translation.batch_sizes import BatchSize
from mtkit.translation.ctranslate2_engine import (
    DOUBTFUL_NATS,
    NEVER_BIAS,
    Asked,
    CTranslate2Engine,
)
from mtkit.translation.ctranslate2_loading import (
    computed_in,
    gpu_number,
    open_converted,
    read_pieces,
    uncomputable,
    unreachable,
    unsupported,
)
from mtkit.translation.replicas import Replicas
from mtkit.translation.torch_engine import TorchEngine

TOLERANCE = 1e-4
POSITIONS = 60
Make = Callable[..., CTranslate2Engine]


@pytest.fixture(scope="module")
def model(reversing_model: Path) -> Transformer:
    torch.set_num_threads(1)
    return load_model(reversing_model)


@pytest.fixture(scope="module")
def sources(reversing_model: Path, toy: Path) -> list[list[int]]:
    lines = list(read_lines(toy / "corpus" / "test.source"))
    return Subword.load(subword_folder(reversing_model)).encode([*lines, "abcdef" * 2, "f"], "source")


@pytest.fixture
def make(reversing_model: Path, model: Transformer, tmp_path: Path) -> Make:
    """Converts a model, as it was learnt or another, and opens it."""
    codec = Subword.load(subword_folder(reversing_model))
    pieces = codec.pieces(range(codec.size("source")), "source")

    def engine(
        other: Transformer = model,
        *,
        threads: int = 1,
        replicas: Replicas | None = None,
        lists: Mapping[str, str] | None = None,
        asked: Asked = "doubtful",
    ) -> CTranslate2Engine:
        save(specification(other, pieces, pieces, POSITIONS), tmp_path / "converted", "float32")
        if lists is not None:
            lines = (f"{piece}\t{others}" for piece, others in lists.items())
            write_lines(tmp_path / "converted" / "vmap.txt", lines)
        return CTranslate2Engine(
            open_converted(tmp_path / "converted", "float32", threads),
            read_pieces(tmp_path / "converted"),
            architecture=other.settings,
            max_tokens=POSITIONS,
            batch_tokens=30,
            replicas=replicas,
            shortlist=None if lists is None else asked,
        )

    return engine


def plain(found: list[list[Hypothesis]]) -> list[list[tuple[tuple[int, ...], bool]]]:
    return [[(one.ids, one.finished) for one in hypotheses] for hypotheses in found]


SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {"beam_size": 1},
    "usual": {},
    "all of a beam": {"beam_size": 4, "n_best": 4, "length_penalty": 1.0},
    "soon content": {"beam_size": 3, "n_best": 3, "patience": 1.0},
    "content after one and a half": {"beam_size": 3, "n_best": 3, "patience": 1.5, "length_penalty": 1.0},
    "content after what single precision makes of 31.5": {"beam_size": 15, "n_best": 2, "patience": 2.1},
    "no penalty": {"beam_size": 3, "n_best": 2, "length_penalty": 0.0},
    "cut short": {"beam_size": 3, "max_length_factor": 0.5, "max_length_extra": 1},
    "wider than there is to say": {
        "beam_size": 40,
        "n_best": 40,
        "max_length_factor": 0.1,
        "max_length_extra": 2,
    },
}


@pytest.mark.parametrize("settings", SEARCHES.values(), ids=list(SEARCHES))
def test_both_engines_find_the_same(
    make: Make, model: Transformer, sources: list[list[int]], settings: dict[str, Any]
) -> None:
    wanted = TorchEngine(model, 30).search(sources, SearchSettings(**settings))
    found = make().search(sources, SearchSettings(**settings))
    assert plain(found) == plain(wanted)
    for left, right in zip(found, wanted, strict=True):
        assert [one.score for one in left] == pytest.approx([one.score for one in right], abs=TOLERANCE)


def all_pieces(engine: CTranslate2Engine) -> str:
    return " ".join(engine._target_pieces)


def test_a_shortlist_of_everything_changes_nothing(make: Make, sources: list[list[int]]) -> None:
    settings = SearchSettings(beam_size=3, n_best=2)
    wanted = make()
    found = make(lists={"": all_pieces(wanted)}).search(sources, settings)
    assert plain(found) == plain(wanted.search(sources, settings))


def test_what_is_on_no_list_is_never_written(
    make: Make, reversing_model: Path, sources: list[list[int]]
) -> None:
    codec = Subword.load(subword_folder(reversing_model))
    spelt = codec.pieces(range(codec.size("target")), "target")
    without = [piece for piece in spelt if "a" not in piece]
    found = make(lists={"": " ".join(without)}).search(sources, SearchSettings())
    texts = codec.decode_all([list(best[0].ids) for best in found], "target")
    assert any(texts) and not any("a" in text for text in texts)


def test_with_a_shortlist_the_model_itself_is_asked_for_scores_that_are_read(
    make: Make, model: Transformer, sources: list[list[int]]
) -> None:
    without = " ".join(piece for piece in make()._target_pieces if "a" not in piece)
    settings = SearchSettings(beam_size=3, n_best=2)
    guessed, exact = (
        make(lists={"": without}, asked=asked).search(sources, settings)
        for asked in ("doubtful", "everything")
    )
    assert plain(guessed) == plain(exact)  # who reads scores gets the same text
    flat = [(ids, one) for ids, best in zip(sources, exact, strict=True) for one in best if one.finished]
    wanted = TorchEngine(model, 30).log_probabilities([ids for ids, _ in flat], [one.ids for _, one in flat])
    assert [one.log_probability for _, one in flat] == pytest.approx(wanted, abs=TOLERANCE)
    for left, right in zip(guessed, exact, strict=True):
        is_asked = left[0].log_probability == pytest.approx(right[0].log_probability, abs=TOLERANCE)
        assert is_asked or -left[0].log_probability <= DOUBTFUL_NATS * left[0].tokens
    assert guessed != exact


def test_searches_that_were_begun_are_finished_in_any_order(make: Make, sources: list[list[int]]) -> None:
    engine, settings = make(threads=2), SearchSettings(beam_size=2)
    first, second = (engine.begin(some, settings) for some in (sources[:9], sources[9:]))
    found = [second(), first()]
    assert found == [make().search(some, settings) for some in (sources[9:], sources[:9])]


def test_how_many_are_searched_side_by_side_is_chosen_once_there_is_enough_to_measure(
    make: Make, sources: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    said: list[str] = []

    def opened(count: int, threads: int) -> Any:
        return open_converted(tmp_path / "converted", "float32", count, threads)

    engine = make(threads=2, replicas=Replicas(opened, 2, {}, said.append))
    settings = SearchSettings(beam_size=2)
    engine.search(sources[:3], settings)
    assert said == []
    many = sources * 4
    assert plain(engine.search(many, settings)) == plain(make().search(many, settings))
    assert len(said) == 1
    engine.search(many, settings)
    assert len(said) == 1


def test_a_model_that_was_exported_anew_meanwhile_is_searched_as_it_was(
    make: Make, sources: list[list[int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))
    asked = []

    def gone(count: int, threads: int) -> Any:
        asked.append(count)
        raise ModelError("the model was exported anew")

    monkeypatch.setattr(replicas, "BUSY_SHARE", 0.0)  # however busy the machine is, something is measured
    engine = make(threads=2, replicas=Replicas(gone, 2, {}, print))
    many, settings = sources * 4, SearchSettings(beam_size=2)
    assert plain(engine.search(many, settings)) == plain(make().search(many, settings))
    assert len(asked) == 1
    engine.search(many, settings)
    assert len(asked) == 1


def endless(model: Transformer) -> Transformer:
    """The same model, unable to end: EOS has the logit -60 in every state."""
    other = deepcopy(model)
    norm = other.decoder.norm
    assert isinstance(norm, torch.nn.LayerNorm)
    with torch.no_grad():
        # what a norm gives out sums to a constant once its gain is taken back
        other.target_embedding.weight[EOS] = -60 / (norm.bias / norm.weight).sum() / norm.weight
    return other


def test_a_short_sentence_keeps_its_own_limit_beside_long_ones(
    make: Make, model: Transformer, sources: list[list[int]]
) -> None:
    settings = SearchSettings(beam_size=2, max_length_factor=1.0, max_length_extra=1)
    found = make(endless(model)).search(sources, settings)
    for source, hypotheses in zip(sources, found, strict=True):
        assert (len(hypotheses[0].ids), hypotheses[0].finished) == (len(source) + 1, False)


def test_what_stands_for_no_text_is_never_produced(
    make: Make, model: Transformer, sources: list[list[int]]
) -> None:
    keen = keen_on_what_stands_for_no_text(model)
    settings = SearchSettings(beam_size=3, n_best=3)
    wanted, found = TorchEngine(keen, 30).search(sources, settings), make(keen).search(sources, settings)
    produced = {number for hypotheses in found for one in hypotheses for number in one.ids}
    assert produced and not produced.intersection(NEVER_PRODUCED)
    assert plain(found) == plain(wanted)


def keen_on_what_stands_for_no_text(model: Transformer) -> Transformer:
    """The same model, which would rather say PAD, UNK and BOS than some of its pieces."""
    keen = deepcopy(model)
    with torch.no_grad():
        for number in NEVER_PRODUCED:
            keen.target_embedding.weight[number] = keen.target_embedding.weight[5 + number] * 1.5
    return keen


def test_an_unknown_piece_in_a_given_translation_has_the_same_odds(
    make: Make, model: Transformer, sources: list[list[int]]
) -> None:
    targets = [[UNK, *ids, UNK] for ids in sources]
    keen = keen_on_what_stands_for_no_text(model)
    wanted = TorchEngine(keen, 30).log_probabilities(sources, targets)
    assert make(keen).log_probabilities(sources, targets) == pytest.approx(wanted, abs=TOLERANCE)
    assert min(wanted) > -NEVER_BIAS


def test_both_engines_give_a_translation_the_same_probability(
    make: Make, model: Transformer, sources: list[list[int]]
) -> None:
    targets = [ids[::-1] for ids in sources[:-1]] + [[]]
    wanted = TorchEngine(model, 30).log_probabilities(sources, targets)
    assert make().log_probabilities(sources, targets) == pytest.approx(wanted, abs=TOLERANCE)


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_what_was_cut_off_at_the_last_position_has_a_score(
    make: Make, model: Transformer, sources: list[list[int]], kind: str
) -> None:
    other, full = (
        endless(model),
        SearchSettings(beam_size=2, max_length_factor=0.01, max_length_extra=POSITIONS),
    )
    if kind == "learned":
        learned = LearnedPositions(max=POSITIONS)
        other.settings = other.settings.model_copy(update={"positions": learned})
        for stack in (other.encoder, other.decoder):
            stack.positions = Learned(learned, other.settings.dim)
            torch.nn.init.zeros_(stack.positions.weight)
        full = full.model_copy(update={"max_length_extra": POSITIONS + 9})
    some, blocked = sources[:3], full.model_copy(update={"no_repeat_ngram": 3})
    ours, theirs = TorchEngine(other, 30), make(other)
    assert plain(theirs.search(some, blocked)) == plain(ours.search(some, blocked))
    targets = [best[0].ids for best in ours.search(some, full)] + [(5, 6)]
    assert [len(ids) for ids in targets] == [POSITIONS] * 3 + [2]
    asked = [*some, some[0]], targets, [False, False, False, True]
    wanted, found = ours.token_scores(*asked), theirs.token_scores(*asked)
    for left, right in zip(found, wanted, strict=True):
        # a model that cannot end has weights so large that rounding shows
        assert left.log_probabilities == pytest.approx(right.log_probabilities, abs=10 * TOLERANCE)


def test_replicas_change_nothing(make: Make, sources: list[list[int]]) -> None:
    alone = make().search(sources, SearchSettings())
    assert plain(make(threads=2).search(sources, SearchSettings())) == plain(alone)


def test_a_text_beyond_the_table_of_positions_is_an_error(make: Make, sources: list[list[int]]) -> None:
    with pytest.raises(ModelError, match="the converted model has 60 positions"):
        make().search(sources, SearchSettings(max_length_extra=100))
    with pytest.raises(ModelError, match="at most 60 tokens a side"):
        make().log_probabilities([[5] * 70], [[5]])


class NewerSettings(SearchSettings):
    temper: float = 0.0


def test_a_setting_that_the_engine_does_not_know_is_refused(make: Make, sources: list[list[int]]) -> None:
    assert unsupported(SearchSettings(beam_size=9, n_best=2)) is None
    assert unsupported(NewerSettings()) is None
    assert unsupported(NewerSettings(temper=0.5)) == "CTranslate2 is not asked for `temper: 0.5`"
    asked = SearchSettings.model_validate({"sampling": {"top_k": 3}})
    assert unsupported(asked) == "CTranslate2 is not asked for `sampling`"
    assert unsupported(SearchSettings(suppress=["a", " b"])) == (
        'CTranslate2 is not asked for `suppress: [a, " b"]`'
    )
    with pytest.raises(RunError, match="--engine torch"):
        make().search(sources, NewerSettings(temper=0.5))


def test_what_holds_all_values_of_a_rounding_computes_with_it_where_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    types = {"cuda": {"float32", "bfloat16"}, "cpu": {"float32", "int8"}}
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda kind, _: types[kind])
    assert [computed_in("bfloat16", device) for device in ("cpu", "cuda:1")] == ["float32", "bfloat16"]
    assert [computed_in("int8", device) for device in ("cpu", "cuda")] == ["int8", "int8"]
    assert uncomputable("bfloat16") is None and uncomputable("int8") is None
    assert "this GPU does not compute in int8" in str(uncomputable("int8", "cuda"))


def test_what_this_cpu_does_not_compute_in_is_named() -> None:
    assert uncomputable("float32") is None
    assert "does not compute in float17; it does in" in str(uncomputable("float17"))


@pytest.mark.parametrize(
    ("device", "number"), [("cuda", 0), ("cuda:3", 3), ("cpu", None), ("auto", None), ("cuda:x", None)]
)
def test_a_device_is_a_gpu_or_it_is_not(device: str, number: int | None) -> None:
    assert gpu_number(device) == number


def test_gpus_that_ctranslate2_sees_can_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 2)
    assert [unreachable(device) for device in ("auto", "cpu", "cuda", "cuda:1")] == [None] * 4
    assert unreachable("cuda:2") == "device 'cuda:2': CTranslate2 sees 2 GPUs here"
    assert unreachable("mps") == "device 'mps': CTranslate2 computes on no such kind of device"


def test_on_a_gpu_a_model_is_opened_once_and_nothing_is_measured(
    reversing_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, object]] = []
    types = {"cuda": {"float32", "float16"}, "cpu": {"int8"}}
    monkeypatch.setattr("ctranslate2.get_supported_compute_types", lambda kind, _: types[kind])
    monkeypatch.setattr("ctranslate2.Translator", lambda _, **given: opened.append(given))
    module = "mtkit.translation.ctranslate2_engine"
    certificate = SimpleNamespace(
        quantization="float32", compared_in="float32", max_tokens=9, shortlist=None, files={}, finer=[]
    )
    monkeypatch.setattr(f"{module}.check_converted", lambda *_: certificate)
    monkeypatch.setattr(f"{module}.read_pieces", lambda _: ([], []))
    monkeypatch.setattr(f"{module}.Replicas", lambda *_: pytest.fail("measured"))
    card = read_card(reversing_model)
    CTranslate2Engine.load(reversing_model, card, device="cuda:1", threads=4, batch_tokens=30)
    (given,) = opened
    assert (given["device"], given["device_index"], given["inter_threads"]) == ("cuda", 1, 1)
    assert uncomputable("int8", "cuda") == "this GPU does not compute in int8; it does in float16, float32"
    with pytest.raises(RunError, match="this GPU does not compute in int8"):
        open_converted(reversing_model, "int8", 1, device="cuda")


@pytest.mark.parametrize(
    ("device", "quantization", "beam_size", "asked", "tokens", "sentences"),
    [
        ("cpu", "int8_float32", 5, None, 500, 64),
        ("cpu", "int8_float32", 1, None, 500, 320),
        ("cpu", "float32", 5, None, 2000, 64),
        ("cpu", "float32", 1, None, 2000, 320),
        ("cpu", "int8_float32", 5, "doubtful", 250, 64),
        ("cuda", "float32", 5, None, 3000, 3000),
    ],
)
def test_a_batch_is_as_large_as_is_quick_and_no_larger_than_asked(
    reversing_model: Path,
    device: str,
    quantization: str,
    beam_size: int,
    asked: Asked | None,
    tokens: int,
    sentences: int,
) -> None:
    batches: list[int] = []

    def translate_batch(words: list[list[str]], **_: object) -> list[SimpleNamespace]:
        batches.append(len(words))
        found = SimpleNamespace(hypotheses=[["a", "</s>"]], scores=[-0.1])
        return [SimpleNamespace(result=lambda: found) for _ in words]

    for most in (3000, 100):
        engine = CTranslate2Engine(
            SimpleNamespace(device=device, compute_type=quantization, translate_batch=translate_batch),
            (["a"], ["", "", "", "</s>", "a"]),
            architecture=read_card(reversing_model).architecture,
            max_tokens=None,
            batch_tokens=most,
            shortlist=asked,
        )
        for length in (1, 49):
            engine.search([[0] * length] * 1600, SearchSettings(beam_size=beam_size))
            assert max(batches) == min(sentences, min(tokens, most) // (length + 1))
            batches.clear()
        on_gpu = device == "cuda"
        assert engine.window_tokens() == min(most, 3000 if on_gpu else max(1000, 2 * tokens))


@pytest.mark.parametrize(
    ("finer", "tokens"),
    [((), 500), (("encoder/layer_0",), 500), (("embeddings",), 2000), (("decoder/projection",), 2000)],
)
def test_an_output_layer_in_float32_has_the_batches_of_float32(finer: tuple[str, ...], tokens: int) -> None:
    loaded = SimpleNamespace(device="cpu", compute_type="int8")
    assert BatchSize.of(loaded, 9000, has_shortlist=False, finer=finer).tokens == tokens
    assert BatchSize.of(loaded, 9000, has_shortlist=True, finer=finer).tokens == 250


@pytest.mark.parametrize("length", [1, 2, 3])
def test_both_engines_block_repetition_alike(
    make: Make, model: Transformer, sources: list[list[int]], length: int
) -> None:
    settings = SearchSettings(beam_size=3, n_best=2, no_repeat_ngram=length, max_length_extra=3)
    for one in (model, endless(model)):
        wanted = TorchEngine(one, 30).search(sources, settings)
        found = make(one).search(sources, settings)
        assert plain(found) == plain(wanted)
        for left, right in zip(found, wanted, strict=True):
            # a model that cannot end has weights so large that rounding shows; measured: 2.4e-4
            assert [h.score for h in left] == pytest.approx([h.score for h in right], abs=10 * TOLERANCE)
            for h in left:
                runs = [h.ids[at : at + length] for at in range(len(h.ids) - length + 1)]
                assert len(set(runs)) == len(runs)
