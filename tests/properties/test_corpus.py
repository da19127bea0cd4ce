from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from mtkit.config.corpus import CorpusSettings, Filter
from mtkit.config.dataset import HashSplits
from mtkit.corpus.build import CorpusInputs, build_corpus
from mtkit.corpus.chunk import Chunk
from mtkit.corpus.cleaning import Cleaner
from mtkit.corpus.fold import fold, keys_of
from mtkit.corpus.normalize import normalize
from mtkit.corpus.pairs import read_sides
from mtkit.corpus.splits import split_masks
from mtkit.files import read_json
from mtkit.log import RunContext

FEW = settings(max_examples=60, deadline=None)
odd = st.sampled_from(
    "ab \t\r\x0b\x0c\x1c\x1e\x85\u00a0\u2028\u2029\ufeff\u200b\u0308ﬁ\u0130ß\u1e9e漢\U0001f600"
)
line = st.text(st.one_of(odd, st.characters(exclude_characters="\n", exclude_categories=["Cs"])), max_size=30)
words = st.lists(st.sampled_from(["a", "B", "c!", "1", "22", "{x}", "%s", "ü"]), max_size=6).map(" ".join)
pairs = st.lists(st.tuples(words, words), max_size=40)
FILTERS = [
    {"letters": {"min": 1}},
    {"length": {"min": 1, "max": 5}},
    {"length_ratio": {"max": 2.0}},
    {"copies": {}},
    {"digits": {}},
    {"placeholders": {}},
    {"script": {"target": "Latin"}},
    {"duplicates": {"of": "source-or-target", "fold": True}},
]


@FEW
@given(st.lists(st.tuples(line, line), min_size=1, max_size=20))
def test_pairing_never_shifts_whatever_a_line_holds(rows: list[tuple[str, str]]) -> None:
    with TemporaryDirectory() as name:
        source, target = Path(name) / "s", Path(name) / "t"
        source.write_bytes("".join(a + "\n" for a, _ in rows).encode())
        target.write_bytes("".join(b + "\n" for _, b in rows).encode())
        read = [pair for texts in read_sides(source, target) for pair in zip(*texts, strict=True)]
    first = tuple(side.removeprefix("\ufeff") for side in rows[0])
    assert read == [first, *rows[1:]]


@FEW
@given(line, st.sampled_from(["none", "nfc", "nfkc"]))
def test_normalising_twice_is_normalising_once(text: str, form: str) -> None:
    once = normalize(text, form)
    assert normalize(once, form) == once
    assert "\n" not in once
    assert once == " ".join(once.split())


@FEW
@given(
    st.lists(line.map(lambda text: normalize(text, "nfc")), max_size=20),
    st.sampled_from(["none", "light", "hard"]),
)
def test_keys_are_equal_exactly_where_folded_texts_are(texts: list[str], folding: str) -> None:
    keys = keys_of(texts, folding).tolist()  # type: ignore[arg-type]
    folded = [fold(text, folding) for text in texts]  # type: ignore[arg-type]
    for one, first in zip(keys, folded, strict=True):
        for two, second in zip(keys, folded, strict=True):
            assert (one == two) == (first == second)


def cleaned(rows: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], Cleaner]:
    with TemporaryDirectory() as name:
        wash = Cleaner([Filter.model_validate(item) for item in FILTERS], Path(name))
        chunk = wash.clean(Chunk([a for a, _ in rows], [b for _, b in rows]))
        wash.close()
    return list(zip(chunk.texts["source"], chunk.texts["target"], strict=True)), wash


@FEW
@given(pairs)
def test_filters_remove_nothing_the_second_time(rows: list[tuple[str, str]]) -> None:
    once, _ = cleaned(rows)
    assert cleaned(once)[0] == once


@FEW
@given(pairs)
def test_each_pair_is_kept_or_counted_exactly_once(rows: list[tuple[str, str]]) -> None:
    kept, wash = cleaned(rows)
    assert len(kept) + sum(tally.removed for tally in wash.tallies) == len(rows)


@FEW
@given(pairs, pairs)
def test_a_pairs_split_depends_on_the_pair_alone(
    some: list[tuple[str, str]], more: list[tuple[str, str]]
) -> None:
    rule = HashSplits(valid=0.3, test=0.3, min_words=2)

    def splits(rows: list[tuple[str, str]]) -> dict[tuple[str, str], str]:
        masks = split_masks(Chunk([a for a, _ in rows], [b for _, b in rows]), rule, "source")
        return {row: name for n, row in enumerate(rows) for name, mask in masks.items() if mask[n]}

    alone, together = splits(some), splits(more + some)
    assert all(together[row] == name for row, name in alone.items())


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(words, words), min_size=1, max_size=30),
    st.tuples(words, words.filter(bool)),  # a validation pair without a reference is an error
    st.tuples(words, words),
)
def test_nothing_held_out_leaks_and_every_pair_is_accounted_for(
    rows: list[tuple[str, str]], valid: tuple[str, str], test: tuple[str, str]
) -> None:
    rows = [*rows, ("never held out", "niemals zurückgehalten")]
    with TemporaryDirectory() as name:
        folder = Path(name)
        for split, found in (("train", rows), ("valid", [valid]), ("test", [test])):
            for side, code in enumerate(("x", "y")):
                (folder / f"{split}.{code}").write_text("".join(row[side] + "\n" for row in found), "utf-8")
        given_settings = CorpusSettings.model_validate({"train": ["train"], "valid": "valid", "test": "test"})
        build_corpus(given_settings, CorpusInputs("x", "y", folder), folder / "out", RunContext(quiet=True))
        record = read_json(folder / "out" / "corpus.json")
        for side, end in enumerate(("source", "target")):
            train = {
                fold(text, "light")
                for text in (folder / "out" / f"train.{end}").read_text("utf-8").split("\n")[:-1]
            }
            assert not train & {fold(valid[side], "light"), fold(test[side], "light")}
    removed = sum(item["removed"] for item in record["filters"]) + record["held_out_removed"]
    assert removed + record["pairs"]["train"] == len(rows)
