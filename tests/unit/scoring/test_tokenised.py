from mtkit.scoring.tokenised import looks_tokenised


def test_separated_punctuation_looks_tokenised() -> None:
    assert looks_tokenised(["Hello , world .", "It is on .", "Save"])
    assert looks_tokenised(["a lower@@ case", "semi @-@ automatic"])


def test_plain_text_does_not_even_in_french() -> None:
    assert not looks_tokenised(["Hello, world.", "It is on.", "Version .5 of it", "Save"])
    assert not looks_tokenised(["Êtes-vous sûr ?", "Attention : « oui » !", "Oui ; non"])


def test_one_odd_line_proves_nothing() -> None:
    assert not looks_tokenised(["Hello , world ."] + ["Fine."] * 5)
    assert not looks_tokenised([])
