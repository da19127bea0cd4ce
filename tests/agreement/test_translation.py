import math
from pathlib import Path

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.scoring import ScoreSettings
from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.config.subword import SubwordSettings
from mtkit.files import read_json, read_lines, write_lines
from mtkit.log import RunContext
from mtkit.model.folder import ModelCard
from mtkit.model.transformer import Transformer
from mtkit.model.weights import save_model
from mtkit.scoring.metrics import score
from mtkit.scoring.stage import ScoreInputs, score_translations
from mtkit.search.batching import padded
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword
from mtkit.subword.vocabulary import BOS, EOS
from mtkit.translation.given import score_given
from mtkit.translation.stage import TranslateInputs, translate_corpus
from mtkit.translation.translator import Translator

WORDS = "light lamp door window password wrong right open close device sensor home add remove is on off the a"
QUIET = RunContext(quiet=True, device="cpu")
LIMIT = 24


def sentences(count: int) -> list[str]:
    words = WORDS.split()
    return [
        " ".join(words[(7 * number + 3 * place) % len(words)] for place in range(1 + number % 9)) + "."
        for number in range(count)
    ]


def learn_to_end(model: Transformer, subword: Subword) -> None:
    """A few updates on short targets, so that search finds translations that end."""
    lines = sentences(64)
    source, source_is_token = padded([[*ids, EOS] for ids in subword.encode(lines, "source")], model.device)
    short = [ids[:4] for ids in subword.encode([line.upper() for line in lines], "target")]
    target_in, _ = padded([[BOS, *ids] for ids in short], model.device)
    target_out, is_token = padded([[*ids, EOS] for ids in short], model.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        logits = model(source, source_is_token, target_in)
        loss = torch.nn.functional.cross_entropy(logits[is_token], target_out[is_token])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chain")
    for split, count in (("train", 200), ("test", 40)):
        write_lines(folder / "corpus" / f"{split}.source", sentences(count))
        write_lines(folder / "corpus" / f"{split}.target", [line.upper() for line in sentences(count)])
    learn_subword(SubwordSettings(pieces=330), SubwordInputs(folder / "corpus"), folder / "subword", QUIET)
    subword = Subword.load(folder / "subword")
    sizes = subword.size("source"), subword.size("target")
    shape = ModelSettings(dim=16, ffn_dim=24, heads=2, encoder_layers=1, decoder_layers=1)
    torch.manual_seed(3)
    model = Transformer(shape, *sizes)
    card = ModelCard(
        architecture=shape,
        source_language="en",
        target_language="en-upper",
        normalize="nfc",
        source_size=sizes[0],
        target_size=sizes[1],
        max_tokens=LIMIT,
        decoding=SearchSettings(beam_size=2),
    )
    learn_to_end(model, subword)
    save_model(folder / "train" / "model", model, card, folder / "subword")
    return folder


@pytest.fixture(scope="module")
def translator(chain: Path) -> Translator:
    return Translator.open(chain / "train" / "model", device="cpu")


def test_the_stage_and_the_translator_give_the_same_text_and_score(
    chain: Path, translator: Translator, tmp_path: Path
) -> None:
    inputs = TranslateInputs(chain / "corpus", chain / "train")
    translate_corpus(TranslateSettings(beam_size=2, batch_tokens=100), inputs, tmp_path / "translate", QUIET)
    score_translations(
        ScoreSettings(metrics=["chrf"]), ScoreInputs(tmp_path / "translate"), tmp_path / "score", QUIET
    )
    texts = [found.text for found in translator.translate(sentences(40))]
    assert list(read_lines(tmp_path / "translate" / "hypotheses")) == texts
    reference = [line.upper() for line in sentences(40)]
    (record,) = read_json(tmp_path / "score" / "scores.json")
    assert record["value"] == score(texts, reference, "chrf").value


def test_lines_together_and_one_by_one_are_translated_alike(translator: Translator) -> None:
    lines = [*sentences(12), "", "  ", " ".join(sentences(9))]
    together = list(translator.translate(lines))
    alone = [found for line in lines for found in translator.translate([line])]
    live = list(translator.translate(iter(lines)))
    assert [found.text for found in together] == [found.text for found in alone]
    assert [found.text for found in together] == [found.text for found in live]
    assert [found.flags for found in together] == [found.flags for found in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
    assert "split" in together[-1].flags


def test_forced_decoding_finds_what_search_reported(translator: Translator) -> None:
    sources = translator.codec.encode(sentences(12), "source")
    n_best = translator.engine.search(sources, SearchSettings(beam_size=4, n_best=4))
    found = [
        (source, one) for source, best in zip(sources, n_best, strict=True) for one in best if one.finished
    ]
    assert len(found) >= 40  # of 48: the model has learnt to end
    forced = translator.engine.log_probabilities([s for s, _ in found], [h.ids for _, h in found])
    for value, (_, hypothesis) in zip(forced, found, strict=True):
        assert value == pytest.approx(hypothesis.log_probability, abs=1e-3)


def test_the_probability_of_a_text_is_the_product_over_its_tokens(translator: Translator) -> None:
    (given,) = score_given(translator, [("the door is open.", "DOOR")])
    source = translator.codec.encode(["the door is open."], "source")[0]
    target = translator.codec.encode(["DOOR"], "target")[0]
    (ids,) = translator.engine.log_probabilities([source], [target])
    assert given.log_probability == pytest.approx(ids)
    assert given.tokens == len(target) + 1
    assert given.log_probability is not None and math.exp(given.log_probability) < 1


def test_no_part_of_a_long_line_is_longer_than_the_model_learnt(translator: Translator) -> None:
    prepared = translator.prepare(" ".join(sentences(50)))
    assert len(prepared.parts) > 10
    assert all(len(ids) + 1 <= LIMIT for ids in prepared.ids)
