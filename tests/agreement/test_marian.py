"""A Marian model that transformers made and one that was imported from its folder say the same."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
import sentencepiece
import torch
from safetensors.torch import load_file, save_file

from mtkit.cli.main import mtkit
from mtkit.config.export import ExportSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError, RunError
from mtkit.export.convert import convert
from mtkit.export.huggingface_export import export_huggingface
from mtkit.export.marian_import import import_marian
from mtkit.export.probe import nasty_lines
from mtkit.files import write_json
from mtkit.model.folder import read_card, subword_folder
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES
from mtkit.translation.torch_engine import TorchEngine

transformers = pytest.importorskip("transformers", reason="pip install 'mtkit[huggingface]'")
# what transformers and its tokenizer warn of is not our business
pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = {
    "source": "ein kleiner Hund bellt laut im Garten und die alte Katze schläft unter dem großen Baum",
    "target": "a little dog barks loudly in the garden and the old cat sleeps under the big tree",
}
LINES = [
    "ein Hund",
    "die alte Katze schläft im Garten",
    "Baum",
    "laut, laut und laut!",
    "ein ﬁnes  Wort — zum Beispiel?",
    "unter dem großen Baum und im Garten und unter dem Baum",
]
LIMIT = 12  # most target tokens
EXACT = 2e-4  # nats a sentence, by rounding; measured: 3e-5


def learn_pieces(folder: Path) -> dict[str, int]:
    """Two SentencePiece models, as Marian has them, and the list of ids that serves both."""
    found: dict[str, None] = {"</s>": None, "<unk>": None, ">>de<<": None}
    for side in SIDES:
        words = TEXT[side].split()
        lines = [" ".join(words[at : at + 4]) for at in range(len(words) - 3)] * 3
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_prefix=str(folder / side),
            vocab_size=52,
            hard_vocab_limit=False,
            model_type="unigram",
            normalization_rule_name="nmt_nfkc",
            minloglevel=4,
        )
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{side}.model"))
        (folder / f"{side}.model").rename(folder / f"{side}.spm")
        found.update(dict.fromkeys(model.id_to_piece(number) for number in range(3, len(model))))
    found["<pad>"] = None
    return {piece: number for number, piece in enumerate(found)}


def make_marian(folder: Path, *, separate: bool = False, **changes: Any) -> Any:
    """A random model in which every weight matters, saved as transformers saves it.

    With `separate` a piece has another id on the target side, and another embedding.
    """
    raw = folder / "raw"
    raw.mkdir(parents=True)
    pieces = learn_pieces(raw)
    (raw / "vocab.json").write_text(json.dumps(pieces))
    pad = pieces["<pad>"]
    of_target = pieces
    if separate:
        end, unknown, *between, padding = pieces
        names = [end, unknown, *reversed(between), padding]
        of_target = {piece: number for number, piece in enumerate(names)}
        changes |= {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": len(names)}
    (raw / "target_vocab.json").write_text(json.dumps(of_target))
    values = {
        "vocab_size": len(pieces), "d_model": 16, "encoder_layers": 2, "decoder_layers": 3,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4,
        "encoder_ffn_dim": 23, "decoder_ffn_dim": 23,
        "activation_function": "swish", "scale_embedding": True, "max_position_embeddings": 64,
        "decoder_start_token_id": pad, "pad_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": None,
    }  # fmt: skip
    model = transformers.MarianMTModel(transformers.MarianConfig(**{**values, **changes})).eval()
    torch.manual_seed(4)  # one that gives translations of several lengths
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embed_positions" not in name:
                scale = 0.1 if weight.dim() == 1 else 0.3 if "layers" in name else 0.25
                weight.copy_(torch.randn_like(weight) * scale + name.endswith("norm.weight"))
        model.model.decoder.embed_tokens.weight[0] *= (
            4  # how likely the end is varies more than what else comes
        )
        model.final_logits_bias.normal_()
    model.save_pretrained(folder / "theirs")
    tokenizer = transformers.MarianTokenizer(
        source_spm=str(raw / "source.spm"),
        target_spm=str(raw / "target.spm"),
        vocab=str(raw / "vocab.json"),
        target_vocab_file=str(raw / "target_vocab.json") if separate else None,
        separate_vocabs=separate,
        source_lang="de",
        target_lang="en",
    )
    tokenizer.save_pretrained(folder / "theirs")
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marian")


@pytest.fixture(scope="module")
def theirs(folder: Path) -> Any:
    return make_marian(folder)


@pytest.fixture(scope="module")
def tokenizer(theirs: Any, folder: Path) -> Any:
    return transformers.MarianTokenizer.from_pretrained(folder / "theirs")


@pytest.fixture(scope="module")
def imported(theirs: Any, folder: Path) -> Path:
    import_marian(folder / "theirs", folder / "ours", (None, None), print)
    return folder / "ours"


@pytest.fixture(scope="module")
def codec(imported: Path) -> Subword:
    return Subword.load(subword_folder(imported))


@pytest.fixture
def engine(imported: Path) -> Iterator[TorchEngine]:
    threads = torch.get_num_threads()
    yield TorchEngine.load(imported, "cpu", threads=1, batch_tokens=500)
    torch.set_num_threads(threads)


def generated(theirs: Any, tokenizer: Any, **settings: Any) -> list[list[str]]:
    """Pieces of their translation of each line, without end and padding."""
    silent = {"<pad>", "</s>"}
    return [
        [piece for piece in tokenizer.convert_ids_to_tokens(ids) if piece not in silent]
        for ids in generated_ids(theirs, tokenizer, **settings)
    ]


def generated_ids(theirs: Any, tokenizer: Any, **settings: Any) -> Any:
    """Their translation of each line."""
    given = tokenizer(LINES, return_tensors="pt", padding=True)
    never = [tokenizer.pad_token_id, tokenizer.unk_token_id]  # ours are never produced either
    settings |= {"max_length": LIMIT + 1, "suppress_tokens": never, "renormalize_logits": True}
    return theirs.generate(**given, do_sample=False, **settings)


def searched(engine: TorchEngine, codec: Subword, **settings: Any) -> list[list[str]]:
    search = SearchSettings(max_length_factor=1e-9, max_length_extra=LIMIT, **settings)
    found = engine.search(codec.encode(LINES, "source"), search)
    return [codec.pieces(best.ids, "target") for best, *_ in found]


def test_text_is_cut_into_the_same_pieces(codec: Subword, tokenizer: Any) -> None:
    for line in [*LINES, ">>de<< ein Hund", ">>xx<< ein Hund", "漢字 und x", ""]:
        theirs = tokenizer.convert_ids_to_tokens(tokenizer(line).input_ids)[:-1]
        if line.startswith(">>xx<<"):  # a code that the model does not know is text here
            assert codec.encode([line], "source")[0]
        else:
            assert codec.pieces(codec.encode([line], "source")[0], "source") == theirs, line
    ids = codec.encode(["the little dog"], "target")[0]
    assert codec.decode(ids, "target").strip() == "the little dog"


def test_any_translation_has_the_same_probability(
    theirs: Any, tokenizer: Any, engine: TorchEngine, codec: Subword
) -> None:
    targets = ["a dog", "the old cat sleeps", "", "tree tree tree", "loudly", "the big garden"]
    ours = engine.log_probabilities(codec.encode(LINES, "source"), codec.encode(targets, "target"))
    for line, target, value in zip(LINES, targets, ours, strict=True):
        wanted = torch.tensor([tokenizer(text_target=target).input_ids])
        start = torch.tensor([[theirs.config.decoder_start_token_id]])
        with torch.no_grad():
            logits = theirs(
                **tokenizer(line, return_tensors="pt"),
                decoder_input_ids=torch.cat([start, wanted[:, :-1]], 1),
            ).logits
        logits[..., [tokenizer.pad_token_id, tokenizer.unk_token_id]] = -torch.inf  # as of all our models
        each = logits.log_softmax(-1).gather(2, wanted.unsqueeze(-1))
        assert value == pytest.approx(each.sum().item(), abs=EXACT)


def test_greedy_search_finds_the_same(
    theirs: Any, tokenizer: Any, engine: TorchEngine, codec: Subword
) -> None:
    found = generated(theirs, tokenizer, num_beams=1)
    assert searched(engine, codec, beam_size=1) == found
    assert len({len(pieces) for pieces in found}) > 2


def test_beam_search_finds_the_same(theirs: Any, tokenizer: Any, engine: TorchEngine, codec: Subword) -> None:
    ours = searched(engine, codec, beam_size=4, length_penalty=1.0, length_penalty_form="average")
    found = generated(theirs, tokenizer, num_beams=4, length_penalty=1.0, early_stopping="never")
    differing = [(one, other) for one, other in zip(ours, found, strict=True) if one != other]
    # what reaches the limit without an end is worth less than what has ended here, not there
    assert all(len(one) < len(other) == LIMIT for one, other in differing)
    assert len(differing) <= 1


def test_what_the_card_says_is_what_the_folder_says(imported: Path) -> None:
    card = read_card(imported)
    assert (card.source_language, card.target_language, card.max_tokens) == ("de", "en", 64)
    assert (card.architecture.activation, card.architecture.norm_order) == ("swish", "post")
    assert card.provenance["imported"]["from"] == "marian"


def test_the_command_makes_a_folder_that_translates_and_converts(
    theirs: Any, tokenizer: Any, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    out.mkdir()
    result = click.testing.CliRunner().invoke(mtkit, ["import", "marian", str(folder / "theirs"), str(out)])
    assert result.exit_code == 0, result.exception
    assert "de to en: 2 + 3 layers of 16" in result.stderr
    certificate = convert(out, out / "ctranslate2", ExportSettings(), nasty_lines(), threads=1, say=print)
    assert certificate.quantization == "float32"
    command = ["translate", "--model", str(out), "--quiet", "--set", f"max_length_extra={LIMIT}"]
    # blocked here and there: else what goes in circles would be searched again here alone
    command += ["--set", "max_length_factor=0.000000001", "--set", "no_repeat_ngram=3"]
    text = click.testing.CliRunner().invoke(mtkit, command, input="\n".join(LINES) + "\n")
    assert text.exit_code == 0, text.exception
    pieces = generated(theirs, tokenizer, num_beams=1, no_repeat_ngram_size=3)
    wanted = [tokenizer.convert_tokens_to_string(some) for some in pieces]
    assert text.stdout.splitlines() == [" ".join(line.split()) for line in wanted]
    again = ["import", "marian", str(folder / "theirs"), str(out)]
    assert click.testing.CliRunner().invoke(mtkit, again).exit_code == 0
    trained_here = read_card(out).model_copy(update={"provenance": {}})
    write_json(out / "model.json", trained_here.written())
    refused = click.testing.CliRunner().invoke(mtkit, again)
    assert isinstance(refused.exception, RunError) and "was not imported" in str(refused.exception)


@pytest.mark.parametrize("separate", [False, True])
def test_an_imported_model_goes_back_to_where_it_came_from(tmp_path: Path, separate: bool) -> None:
    theirs = make_marian(tmp_path, separate=separate)
    tokenizer = transformers.MarianTokenizer.from_pretrained(tmp_path / "theirs")
    import_marian(tmp_path / "theirs", tmp_path / "ours", (None, None), print)
    settings = ExportSettings(to="huggingface")
    proof = export_huggingface(
        tmp_path / "ours", tmp_path / "back", settings, nasty_lines(), threads=1, say=print
    )
    assert proof.remarks["class"] == "MarianMTModel"
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "back")
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").eval()
    assert (again.source_lang, again.target_lang) == ("de", "en")
    for line in [*LINES, ">>de<< ein Hund"]:
        cut = [tokens.convert_ids_to_tokens(tokens(line).input_ids) for tokens in (again, tokenizer)]
        assert cut[0] == cut[1]
    given = again(LINES, return_tensors="pt", padding=True)
    ours = model.generate(**given, num_beams=1, max_length=None, max_new_tokens=LIMIT)
    before = generated_ids(theirs, tokenizer, num_beams=1)
    wanted = tokenizer.batch_decode(before, skip_special_tokens=True)
    assert again.batch_decode(ours, skip_special_tokens=True) == wanted
    assert len(set(wanted)) > 2


def edited(folder: Path, copy: Path, **changes: Any) -> Path:
    """The folder with another config."""
    shutil.copytree(folder / "theirs", copy)
    path = copy / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return copy


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"model_type": "bart"}, "`model_type` is 'bart'"),
        (
            {"activation_function": "gelu_new"},
            "`activation_function` is 'gelu_new', but there are relu",
        ),
        ({"decoder_attention_heads": 2}, "`encoder_attention_heads` is 4, `decoder_attention_heads` 2"),
        ({"decoder_ffn_dim": 9}, "`encoder_ffn_dim` is 23, `decoder_ffn_dim` 9"),
        ({"scale_embedding": False}, "`scale_embedding` is False, but ours is True"),
        ({"normalize_before": True}, "`normalize_before` is True"),
        ({"vocab_size": 7}, "source pieces, but 7 ids"),
        (
            {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16},
            r"'model.encoder.layers.0.fc1.weight' of shape \(23, 16\), wanted \(16, 16\)",
        ),
        (
            {"d_model": 10**12},
            "`d_model` is 1,000,000,000,000, but no weight in model.safetensors has a side",
        ),
        ({"decoder_layers": 10**9}, "`decoder_layers` is 1,000,000,000, but model.safetensors has"),
        ({"max_position_embeddings": 10**9}, "not a number of tokens from 2 to 1,000,000"),
        ({"decoder_layers": 2}, "a weight 'model.decoder.layers.2"),
        ({"decoder_start_token_id": -4}, "`decoder_start_token_id` is -4"),
        ({"pad_token_id": True}, "`pad_token_id` is True"),
        ({"encoder_layers": True}, "`encoder_layers` is True, not a size"),
        ({"d_model": "16"}, "`d_model` is '16', not a size"),
        ({"dropout": 7}, "`dropout` is 7, not a probability below 1"),
        ({"attention_dropout": "0.1"}, "`attention_dropout` is '0.1', not a probability"),
        ({"activation_dropout": None}, "`activation_dropout` is None, not a probability"),
        ({"activation_function": ["relu"]}, r"`activation_function` is \['relu'\]"),
        ({"max_position_embeddings": 1}, "`max_position_embeddings` is 1, not a number of tokens from 2"),
    ],
)
def test_what_our_model_cannot_be_is_named_and_nothing_is_written(
    theirs: Any, folder: Path, tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    bad = edited(folder, tmp_path / "bad", **changes)
    with pytest.raises(ModelError, match=told):
        import_marian(bad, tmp_path / "out", ("de", "en"), print)
    assert not (tmp_path / "out").exists()


def test_how_it_searches_is_said_here_or_told(theirs: Any, folder: Path, tmp_path: Path) -> None:
    odd = edited(folder, tmp_path / "odd")
    write_json(odd / "generation_config.json", {"num_beams": 4, "length_penalty": None})
    import_marian(odd, tmp_path / "out", ("de", "en"), print)
    assert read_card(tmp_path / "out").decoding.length_penalty == 1.0
    said: list[str] = []
    pad, end = (theirs.config.pad_token_id, theirs.config.eos_token_id)
    beyond = {"suppress_tokens": [pad, end + 7], "forced_bos_token_id": 5, "min_new_tokens": 3}
    write_json(odd / "generation_config.json", beyond)
    import_marian(odd, tmp_path / "out", ("de", "en"), said.append)
    assert said == [
        "import: left out of the search: min_new_tokens: 3, forced_bos_token_id: 5,"
        f" suppress_tokens: [{end + 7}]"
    ]
    for given in ({"num_beams": 200}, {"num_beams": "4"}, {"num_beams": 4, "length_penalty": -1.0}):
        write_json(odd / "generation_config.json", given)
        with pytest.raises(ModelError, match="a way that cannot be said here"):
            import_marian(odd, tmp_path / "none", ("de", "en"), print)


def test_all_that_is_wrong_is_told_at_once(theirs: Any, folder: Path, tmp_path: Path) -> None:
    changes = {"activation_function": "mish", "scale_embedding": False, "dropout": 7}
    bad = edited(folder, tmp_path / "bad", **changes)
    with pytest.raises(ModelError, match=r"`dropout` is 7.*'mish'.*`scale_embedding`"):
        import_marian(bad, tmp_path / "out", ("de", "en"), print)


@pytest.mark.parametrize("name", ["model.encoder.embed_tokens.weight", "lm_head.weight"])
def test_vectors_that_are_shared_by_name_alone_are_told(
    theirs: Any, folder: Path, tmp_path: Path, name: str
) -> None:
    bad = edited(folder, tmp_path / "bad")
    tensors = load_file(bad / "model.safetensors")
    tensors[name] = tensors["model.shared.weight"] + 1
    save_file(tensors, bad / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=f"'{name}' differs from 'model.shared.weight'"):
        import_marian(bad, tmp_path / "out", ("de", "en"), print)


@pytest.mark.parametrize("separate", [False, True])
def test_a_matrix_that_is_tied_may_be_stored_as_the_output_layer(tmp_path: Path, separate: bool) -> None:
    make_marian(tmp_path, separate=separate)
    import_marian(tmp_path / "theirs", tmp_path / "ours", (None, None), print)
    path = tmp_path / "theirs" / "model.safetensors"
    tensors = load_file(path)
    stored = "model.decoder.embed_tokens.weight" if separate else "model.shared.weight"
    tensors["lm_head.weight"] = tensors.pop(stored)
    save_file(tensors, path, metadata={"format": "pt"})
    import_marian(tmp_path / "theirs", tmp_path / "again", (None, None), print)
    one, other = (read_card(tmp_path / name).files["model.safetensors"] for name in ("ours", "again"))
    assert one == other


@pytest.mark.parametrize("content", [b"", b"no model"])
def test_a_text_cutter_that_is_none_is_told_with_its_own_path(
    theirs: Any, folder: Path, tmp_path: Path, content: bytes
) -> None:
    bad = edited(folder, tmp_path / "bad")
    (bad / "source.spm").write_bytes(content)
    with pytest.raises(ModelError, match="not a SentencePiece model") as told:
        import_marian(bad, tmp_path / "out", ("de", "en"), print)
    assert told.value.where == str(bad / "source.spm")
    assert told.value.advice == "Fetch the model again."
    assert not (tmp_path / "out").exists()


def test_a_pickle_is_not_read(theirs: Any, folder: Path, tmp_path: Path) -> None:
    bad = edited(folder, tmp_path / "bad")
    (bad / "model.safetensors").rename(bad / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle"):
        import_marian(bad, tmp_path / "out", ("de", "en"), print)


def test_a_weight_that_is_missing_is_named(theirs: Any, folder: Path, tmp_path: Path) -> None:
    bad = edited(folder, tmp_path / "bad")
    tensors = load_file(bad / "model.safetensors")
    del tensors["model.decoder.layers.1.fc1.bias"]
    save_file(tensors, bad / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"no weight 'model\.decoder\.layers\.1\.fc1\.bias'"):
        import_marian(bad, tmp_path / "out", ("de", "en"), print)
