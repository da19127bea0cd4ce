"""A model that transformers loads from an exported folder translates as ours does."""

import json
import shutil
import unicodedata
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.stand_ins import learn, write_model
from mtkit.config.export import ExportSettings
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.config.subword import SubwordSettings
from mtkit.errors import RunError
from mtkit.export.huggingface_engine import HuggingFaceEngine
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.export.proof import Proof
from mtkit.files import read_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.subword.vocabulary import BOS, SIDES, UNK

transformers = pytest.importorskip("transformers", reason="pip install 'mtkit[huggingface]'")
pytestmark = pytest.mark.filterwarnings("ignore")  # what transformers warns of is not our business

SHAPES: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "modern": {
        "norm": "rms_norm", "positions": {"kind": "rotary"}, "bias": False,
        "activation": "swiglu", "kv_heads": 2,
    },
    "learned": {"positions": {"kind": "learned", "max": 64}, "activation": "gelu", "tied_embeddings": "none"},
    "sinusoidal": {"tied_embeddings": "target"},
}  # fmt: skip


QUICK = ("classic", "modern")  # one for each class
Exported = Callable[[str], tuple[Proof, Path]]


@pytest.fixture(scope="module")
def exported(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The certificate and the folder of a model of a shape, exported once."""

    @cache
    def now(name: str) -> tuple[Proof, Path]:
        folder = tmp_path_factory.mktemp(name)
        model = make(folder / "model", toy / "corpus", toy / "subword", SHAPES[name])
        return export(model, toy, folder / "out"), folder / "out"

    return now


def make(folder: Path, corpus: Path, subword: Path, of_shape: dict[str, Any]) -> Path:
    codec = Subword.load(subword)
    sources, targets = (codec.encode(list(read_lines(corpus / f"train.{side}")), side) for side in SIDES)
    shape = {"dim": 16, "ffn_dim": 24, "heads": 4, "encoder_layers": 1, "decoder_layers": 2, **of_shape}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return write_model(
            folder,
            subword,
            seed=1,
            shape=ModelSettings.model_validate({**shape, "dropout": 0.0}),
            teach=lambda model: learn(model, sources, targets, updates=20),
            source_language="letters",
            target_language="reversed",
            normalize="nfkc",
            max_tokens=16,
            decoding=SearchSettings(beam_size=3),
        )
    finally:
        torch.set_num_threads(threads)


def export(model: Path, toy: Path, out: Path) -> Proof:
    from mtkit.export.huggingface_export import export_huggingface

    threads = torch.get_num_threads()
    try:
        lines = corpus_lines(toy / "corpus", 10) + nasty_lines()
        return export_huggingface(model, out, ExportSettings(to="huggingface"), lines, threads=1, say=print)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize(
    "name",
    [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in SHAPES if name not in QUICK)],
)
def test_generate_finds_the_same_tokens_in_any_shape(exported: Exported, name: str) -> None:
    proof, _ = exported(name)
    assert proof.alike + len(proof.differences) == 20 + len(nasty_lines())
    assert {one.because for one in proof.differences} <= {"tie", "rounding"}
    assert proof.largest_gap < 1e-3
    assert proof.remarks["class"] == (
        "MarianMTModel" if name == "classic" else "MtkitForConditionalGeneration"
    )
    assert proof.remarks["texts alike"]["otherwise"] == []
    assert proof.remarks["texts alike"]["lines"] >= 20
    assert proof.remarks["beam of 3"]["alike with their length penalty"] == proof.alike


def test_it_is_loaded_by_the_names_that_everybody_uses(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    _, out = exported("modern")
    tokens = transformers.AutoTokenizer.from_pretrained(out, trust_remote_code=True)
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(out, trust_remote_code=True)
    given = tokens(["abc", "fed </s> a"], return_tensors="pt", padding=True)
    assert given.input_ids[0, -1] == 0 and (given.input_ids == 3).sum() == 2  # "</s>" in a text is text
    found = tokens.decode(model.generate(**given)[0], skip_special_tokens=True)
    assert set(found) <= set("abcdef ")
    loss = model(**given, labels=given.input_ids).loss
    assert torch.isfinite(loss)


def test_nobody_is_asked_whether_the_code_may_run_that_mtkit_wrote(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda *asked: pytest.fail(f"asked {asked}"))
    export(make(tmp_path / "model", toy / "corpus", toy / "subword", SHAPES["modern"]), toy, tmp_path / "out")


@pytest.mark.parametrize("norm_order", ["post", "pre"])  # one for each class
def test_sides_with_vocabularies_of_their_own_have_a_tokenizer_each(
    toy: Path, tmp_path: Path, norm_order: str
) -> None:
    corpus = tmp_path / "corpus"
    shutil.copytree(toy / "corpus", corpus)
    for path in corpus.glob("*.target"):  # so that no piece has an id of the other side
        path.write_text(path.read_text("utf-8").upper(), "utf-8")
    settings = SubwordSettings(pieces=20, byte_fallback=False, share="none")
    learn_subword(settings, SubwordInputs(corpus), tmp_path / "subword", RunContext(quiet=True))
    shape = {"tied_embeddings": "target", "norm_order": norm_order}
    folder = make(tmp_path / "model", corpus, tmp_path / "subword", shape)
    proof = export(folder, toy, tmp_path / "out")
    assert {one.because for one in proof.differences} <= {"tie", "rounding"}
    assert proof.remarks["texts alike"]["otherwise"] == []
    assert proof.remarks["tokenizers"] == {"source": ".", "target": "target_tokenizer"}
    load = transformers.AutoTokenizer.from_pretrained
    tokens, of_target = load(tmp_path / "out"), load(tmp_path / "out", subfolder="target_tokenizer")
    cut = tokens("abc", return_tensors="pt")
    assert tokens.decode(cut.input_ids[0], skip_special_tokens=True) == "abc"
    codec = Subword.load(tmp_path / "subword")
    (ids,) = codec.encode(["ABC"], "target")
    assert of_target.decode(ids) == codec.decode(ids, "target") == "ABC"


WHOLE = ["<t>", "er"]  # pieces that a user has defined


@pytest.mark.parametrize(
    ("algorithm", "pieces", "whole"),
    [
        ("bpe", 330, []),
        ("unigram", 290, []),
        ("unigram", 37, []),
        ("bpe", 333, [*WHOLE, "<t><t>"]),
        ("unigram", 292, WHOLE),
    ],
)
def test_text_is_cut_and_joined_alike(tmp_path: Path, algorithm: Any, pieces: int, whole: list[str]) -> None:
    from mtkit.corpus.normalize import normalize
    from mtkit.export.huggingface_tokenizer import tokenizer

    line = "the theatre there, thereof! other otters utter 1234 ﬁne Ärger ▁ naïve"
    words = line.split()
    text = [" ".join(words[at:] + words[:at]) for at in range(len(words))] * 5
    for side in SIDES:
        (tmp_path / "corpus").mkdir(exist_ok=True)
        lines = [normalize(line, "nfkc") for line in text]
        (tmp_path / "corpus" / f"train.{side}").write_text("\n".join(lines) + "\n")
    settings = SubwordSettings(
        pieces=pieces, algorithm=algorithm, byte_fallback=pieces > 256, user_defined=whole
    )
    learn_subword(settings, SubwordInputs(tmp_path / "corpus"), tmp_path / "subword", RunContext(quiet=True))
    codec = Subword.load(tmp_path / "subword")
    tokens = tokenizer(codec, "nfkc")
    tokens.encode_special_tokens = True
    odd = [" two  spaces ", "\x1c\x85x\x1a", "<t>a there<t> <t> <t><t><t>er", "<t"]
    if algorithm == "bpe":  # what looks like a special token in a text is text; not so of unigram
        odd.append("</s> <pad>")
    for line in [*text[:5], *(one.source for one in nasty_lines()), *odd]:
        (ours,) = codec.encode([normalize(line, "nfkc")], "source")
        assert tokens.encode(line).ids == [*ours, 3], line
        if UNK not in ours:  # which is never written
            joined = codec.decode(ours, "source").strip()
            assert str(tokens.decode(ours, skip_special_tokens=True)).strip() == joined


def test_a_tokenizer_that_finds_no_room_is_told_in_words(toy: Path) -> None:
    from mtkit.export.huggingface_tokenizer import write_tokenizers

    if not Path("/proc/self").exists():
        pytest.skip("no /proc on this system")
    card: Any = SimpleNamespace(normalize="nfc")
    with pytest.raises(RunError, match="nothing can be written here"):
        write_tokenizers(Subword.load(toy / "subword"), card, Path("/proc/self"), 16)


def test_thousands_of_pieces_may_be_defined() -> None:
    from mtkit.export.huggingface_tokenizer import _stand_ins

    pieces = [*"abcd", *(f"<{number}>" for number in range(3000))]
    stand_ins = _stand_ins(pieces, [0.0] * len(pieces))
    assert len(set(stand_ins.values())) == 3000
    assert {unicodedata.category(one) for one in stand_ins.values()} == {"Co"}  # for private use


def test_what_was_cut_off_is_not_read_to_its_last_token() -> None:
    read: list[list[list[int]]] = []

    def model(decoder_input_ids: torch.Tensor, **_: object) -> SimpleNamespace:
        read.append(decoder_input_ids.tolist())
        return SimpleNamespace(logits=torch.zeros(*decoder_input_ids.shape, 8))

    engine = HuggingFaceEngine(model, 100, max_tokens=2)
    engine._totals([[4], [5]], [([6, 7], False), ([6], True)])
    assert read == [[[BOS, 6], [BOS, 6]]]


def test_settings_of_generate_are_those_of_the_card(exported: Exported) -> None:
    _, out = exported("classic")
    settings = json.loads((out / "generation_config.json").read_text())
    assert (settings["num_beams"], settings["length_penalty"]) == (3, 0.6)
    assert settings["suppress_tokens"] == [0, 1, 2] and settings["renormalize_logits"]
    assert settings["early_stopping"] == "never"
