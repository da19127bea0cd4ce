from mtkit.export.mixing import Rounding, mixtures

WEIGHTS = {"a": 10, "b": 10, "c": 10, "d": 10, "e": 60, "f": 20}
HARM = {"a": 1.0, "b": 5.0, "c": 3.0, "d": 0.5, "e": 2.0, "f": 0.1}


def test_what_hurts_most_stays_finer_and_ever_more_of_it() -> None:
    found = [one.finer for one in mixtures("int8", WEIGHTS, HARM.__getitem__)]
    assert found == [("b",), ("b", "c")]  # with e and a it would be three quarters of the weights


def test_one_layer_leaves_nothing_to_choose_and_nothing_is_measured() -> None:
    assert list(mixtures("int8", {"a": 10}, HARM.__getitem__)) == []


def test_a_rounding_says_what_it_is() -> None:
    assert str(Rounding("int8")) == "int8"
    assert str(Rounding("int8", ("a", "b"))) == "int8 with 2 of the layers in float32"
