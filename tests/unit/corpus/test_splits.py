import numpy as np

from mtkit.config.dataset import HashSplits
from mtkit.corpus.chunk import Chunk
from mtkit.corpus.splits import deciding_side, split_masks

RULE = HashSplits(by="en", valid=0.2, test=0.1, min_words=3, max_words=5)


def chunk(count: int) -> Chunk:
    return Chunk([f"sentence number {n}" for n in range(count)], [f"Satz {n}" for n in range(count)])


def test_every_pair_has_exactly_one_split_and_sizes_follow_the_shares() -> None:
    masks = split_masks(chunk(4000), RULE, "source")
    assert (np.sum(list(masks.values()), axis=0) == 1).all()
    # shares of 4,000 by chance: a standard deviation is 19 for test and 25 for valid
    assert abs(masks["test"].sum() - 400) < 5 * 19
    assert abs(masks["valid"].sum() - 800) < 5 * 25


def test_both_directions_hold_out_the_same_pairs() -> None:
    forward = chunk(300)
    backward = Chunk(forward.texts["target"], forward.texts["source"])
    first = split_masks(forward, RULE, deciding_side(RULE, "en", "de"))
    second = split_masks(backward, RULE, deciding_side(RULE, "de", "en"))
    assert all((first[split] == second[split]).all() for split in first)
    assert first["test"].any()


def test_sentences_of_other_lengths_are_for_training() -> None:
    short = Chunk([f"word{n}" for n in range(500)], ["x"] * 500)
    assert split_masks(short, RULE, "source")["train"].all()


def test_without_a_rule_everything_is_for_training() -> None:
    assert split_masks(chunk(9), None, "source")["train"].all()


def test_the_source_decides_where_the_named_language_is_missing() -> None:
    assert deciding_side(RULE, "fr", "de") == "source"
    assert deciding_side(RULE, "de", "en") == "target"
