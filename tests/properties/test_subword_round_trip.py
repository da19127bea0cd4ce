import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.subword import SubwordSettings
from mtkit.config.training import SubwordSampling
from mtkit.corpus.normalize import normalize
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.subword.codec import Subword
from mtkit.subword.learn import SubwordInputs, learn_subword

TRICKY = [
    "▁",
    "▅",
    "⁇",
    "<s>",
    "<unk>",
    "<0x41>",
    "\x1a",
    "{x}",
    "\u200d",
    "\ufffd",
    "\u3000",
    "e\u0301",
    " ",
]
TEXTS = st.lists(st.one_of(st.text(max_size=12), st.sampled_from(TRICKY)), max_size=8).map("".join)
FORMS = st.sampled_from(["nfc", "nfkc", "none"])


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def subword(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subword:
    folder: Path = tmp_path_factory.mktemp("subword")
    for side in ("source", "target"):
        write_lines(
            folder / f"train.{side}",
            (
                f"▁der {chr(98 + row % 20)}und{row % 7}{{x}} {chr(98 + row * 7 % 20)}über ⁇ <0x41>"
                for row in range(200)
            ),
        )
    learned = SubwordSettings.model_validate(
        {"pieces": 300, "algorithm": request.param, "user_defined": ["{x}"]}
    )
    learn_subword(learned, SubwordInputs(folder), folder, RunContext(quiet=True))
    return Subword.load(folder)


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, form=FORMS)
def test_decoding_what_was_encoded_gives_the_normalised_text(subword: Subword, text: str, form: str) -> None:
    line = normalize(text, form)
    assert subword.decode(subword.encode([line], "source")[0], "source") == line


@settings(max_examples=75, deadline=None)
@given(text=TEXTS, seed=st.integers(0, 2**40))
def test_decoding_what_was_sampled_gives_the_normalised_text(subword: Subword, text: str, seed: int) -> None:
    line = normalize(text, "nfc")
    sampled = subword.sample([line, line], "target", SubwordSampling(), seed)
    assert subword.decode_all(sampled, "target") == [line, line]
    assert subword.sample([line, line], "target", SubwordSampling(), seed) == sampled


@settings(max_examples=75, deadline=None)
@given(ids=st.lists(st.integers(0, 299), max_size=30))
def test_whatever_ids_a_model_says_decode_to_one_line(subword: Subword, ids: list[int]) -> None:
    text = subword.decode(ids, "target")
    assert not any(unicodedata.category(character) == "Cc" for character in text)
