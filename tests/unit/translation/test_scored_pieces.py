from collections.abc import Sequence

from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import EOS, Side
from mtkit.translation.scored_pieces import ScoredPieces, scored_pieces


class Numbers:
    def pieces(self, ids: Sequence[int], side: Side) -> list[str]:
        return ["</s>" if one == EOS else str(one) for one in ids]


def of_parts(parts: int, tokens: int) -> ScoredPieces:
    """Parts alike, each translated into as many tokens; the token of a place attends to that place."""
    rows = tuple(tuple(float(at == place) for at in range(tokens + 1)) for place in range(tokens + 1))
    ids = [[7] * tokens] * parts
    scores = [TokenScores((-0.5,) * (tokens + 1), rows)] * parts
    return scored_pieces(ids, ids, scores, Numbers(), attention=True)


def test_a_piece_of_a_later_part_attends_to_that_part_alone() -> None:
    record = of_parts(2, 1).record()
    assert record["source_pieces"] == record["pieces"] == ["7", "</s>", "7", "</s>"]
    assert record["attention"] == [[float(row == at) for at in range(4)] for row in range(4)]
    assert record["alignment"] == [0, None, 2, None]


def test_a_line_without_a_part_says_so_in_the_same_words() -> None:
    record = scored_pieces([], [], [], Numbers(), attention=True).record()
    assert record.keys() == of_parts(1, 1).record().keys()
    assert not any(record.values())
    assert "attention" not in scored_pieces([], [], [], Numbers()).record()


def test_the_attention_of_a_very_long_line_takes_no_square_of_its_length() -> None:
    found = of_parts(120, 9)
    assert found.attention is not None
    assert sum(len(row.weights) for row in found.attention) == 120 * 10 * 10
    record = found.record()
    assert record["attention"] is None
    assert len(record["alignment"]) == len(record["pieces"]) == 1200
    assert of_parts(100, 9).record()["attention"] is not None
