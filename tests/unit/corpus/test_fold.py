import numpy as np

from mtkit.corpus.fold import BLOCK_CHARACTERS, fold, keys_of


def test_light_folding_ignores_case_punctuation_and_spaces() -> None:
    first, second = keys_of(["Guten Tag, Welt!", "guten  tag welt"], "light")
    assert first == second
    assert fold("Guten Tag, Welt 7!", "light") == "gutentagwelt7"


def test_hard_folding_also_ignores_digits_and_placeholders() -> None:
    lines = ["Button {number} pressed 3 times", "button {count} pressed 45 times", "Button %s pressed times"]
    assert len(set(keys_of(lines, "hard").tolist())) == 1
    assert len(set(keys_of(lines, "light").tolist())) == 3


def test_no_folding_tells_case_apart() -> None:
    assert len(set(keys_of(["a", "A", "a."], "none").tolist())) == 3


def test_keys_depend_on_the_order_of_characters() -> None:
    assert len(set(keys_of(["abc", "acb", "bca", "", "a"], "light").tolist())) == 5


def test_a_key_is_the_same_alone_and_among_many_blocks() -> None:
    lines = [f"line {number} " + "x" * (number % 90) for number in range(3000)]
    assert sum(map(len, lines)) > 2 * BLOCK_CHARACTERS
    alone = np.concatenate([keys_of([line], "light") for line in lines[::37]])
    assert (keys_of(lines, "light")[::37] == alone).all()


def test_keys_never_change_because_splits_hang_on_them() -> None:
    assert [hex(int(key)) for key in keys_of(["Guten Tag!", ""], "light")] == [
        "0x237ec428944e814c",
        "0xe220a8397b1dcdaf",
    ]
