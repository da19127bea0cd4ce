from mtkit.config.dataset import GeneratorReader
from mtkit.corpus.reverse import reverse_pairs

READER = GeneratorReader(pairs={"train": 2000, "valid": 100, "test": 100}, min_length=1, max_length=10)


def test_the_target_is_the_source_backwards() -> None:
    pairs = list(reverse_pairs(READER, "train"))
    assert len(pairs) == 2000
    assert all(pair.source.split() == pair.target.split()[::-1] for pair in pairs)
    assert {len(pair.source.split()) for pair in pairs} == set(range(1, 11))


def test_held_out_rows_are_never_in_training_in_either_direction() -> None:
    train = {side for pair in reverse_pairs(READER, "train") for side in pair}
    test = {side for pair in reverse_pairs(READER, "test") for side in pair}
    valid = {side for pair in reverse_pairs(READER, "valid") for side in pair}
    assert not train & test
    assert not train & valid
    assert not test & valid


def test_pairs_are_the_same_everywhere() -> None:
    assert next(reverse_pairs(READER, "train")).source == "2 1 4 9 4 3 5 7 2"
