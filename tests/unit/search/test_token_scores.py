from mtkit.search.token_scores import TokenScores


def test_the_sources_end_is_nobodys_partner_unless_there_is_nothing_else() -> None:
    scores = TokenScores((-1.0, -1.0, -1.0), ((0.1, 0.3, 0.6), (0.5, 0.1, 0.4), (0.2, 0.2, 0.6)))
    assert scores.aligned() == (1, 0, 0)
    assert TokenScores((-1.0,), ((1.0,),)).aligned() == (0,)


def test_nobody_asked_is_no_alignment() -> None:
    assert TokenScores((-1.0,)).aligned() == ()
