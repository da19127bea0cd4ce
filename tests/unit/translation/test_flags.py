import pytest

from mtkit.translation.flags import FLAGS, HARMLESS_FLAGS, Known, find_flags, is_repeated, longest_loop


def test_an_ordinary_translation_has_no_flags() -> None:
    assert find_flags("Das Licht ist an.", "The light is on.") == ()


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Das Licht ist an.", "The light is is is is is on."),
        ("Das Licht ist an.", "the light of the light of the light of the light of"),
        ("Licht", "lalalalalalala"),
        ("Licht", "iiiiiiiiii"),
        ("Geräte", "设备设备设备设备设备设备"),
        (
            "Wählen Sie ein Gerät.",
            "Choose a device to add, or choose a device to open, choose a device to go,"
            " choose a device to do, choose a device to x",
        ),
    ],
)
def test_loops_are_repeated(source: str, text: str) -> None:
    assert find_flags(source, text) == ("repeated",)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Nein nein nein nein nein", "No no no no no"),
        ("Das ist sehr, sehr gut.", "That is very, very good."),
        ("----------------", "----------------"),
        ("1000000000 Euro", "1000000000 euros"),
        ("Hahahahahaha", "hahahahahaha!"),
        ("Kuckuck", "bye bye"),
        ("a b c d " * 6, "e f g h " * 6),
    ],
)
def test_repetition_that_the_source_has_too_is_no_loop(source: str, text: str) -> None:
    assert not is_repeated(source, text)


def test_a_blank_source_is_only_empty() -> None:
    assert find_flags("", "") == ("empty",)
    assert find_flags(" \t", "", Known(parts=0, finished=False)) == ("empty",)
    assert find_flags("\u200d\u2060", "") == ("empty",)


def test_facts_of_search_become_flags_in_a_fixed_order() -> None:
    flags = find_flags("same text", "Same  text", Known(split=True, finished=False, unknown=True))
    assert flags == ("split", "truncated", "copied", "unknown")
    assert list(flags) == [name for name in FLAGS if name in flags]


def test_numbers_may_be_copied_and_a_lost_translation_is_seen() -> None:
    assert find_flags("42 %", "42 %") == ()
    assert find_flags("Licht", " ") == ("vanished",)


@pytest.mark.parametrize("source", ["\U0001f44d", "\u2764\U0001f601", "…", "\ufffd", "♪ -"])
def test_words_for_what_has_no_letter_are_invented(source: str) -> None:
    assert find_flags(source, "Verschiebung") == ("invented",)
    assert "invented" not in find_flags(source, "–")
    assert "invented" not in find_flags("7" + source, "sieben")


def test_bytes_that_are_no_text_are_told_unless_the_source_has_them() -> None:
    assert find_flags("choose—", "Koose\ufffd -") == ("broken",)
    assert find_flags("a \ufffd b", "a \ufffd c") == ()


def test_the_longest_loop_is_counted_in_times() -> None:
    assert longest_loop(["a", "b", "c"]) == 1
    assert longest_loop(["x", "a", "b", "a", "b", "a", "b", "y"]) == 3
    assert longest_loop(["a", "a", "a", "a"]) == 4
    assert longest_loop(["a", "a", "a", "a"], shortest=2) == 2
    assert longest_loop([]) == 1


def test_a_length_is_odd_where_one_side_has_thrice_the_tokens_of_the_other_and_some() -> None:
    for tokens in ((101, 30), (3, 25), (60, 3), (1, 14)):
        assert find_flags("a", "b", Known(source_tokens=tokens[0], target_tokens=tokens[1])) == (
            "length_ratio",
        )
    for tokens in ((100, 30), (1, 13), (13, 1), (30, 90)):
        assert find_flags("a", "b", Known(source_tokens=tokens[0], target_tokens=tokens[1])) == ()


def test_confidence_is_the_mean_over_the_tokens_of_all_parts() -> None:
    assert find_flags("a", "b", Known(target_tokens=9, log_probability=-15.1)) == ("low_confidence",)
    assert find_flags("a", "b", Known(target_tokens=9, log_probability=-14.9)) == ()
    assert "low_confidence" not in find_flags(
        "a", "b", Known(parts=3, target_tokens=9, log_probability=-17.9)
    )


def test_another_script_and_invalid_bytes_are_told() -> None:
    assert find_flags("Licht", "свет", Known(language="en")) == ("wrong_script",)
    assert find_flags("Licht", "light", Known(language="en", invalid=True)) == ("invalid_utf8",)
    assert find_flags("Licht", "свет", Known(language="en", scripts=frozenset({"CYRILLIC"}))) == ()


def test_a_retried_translation_is_told_but_does_no_harm() -> None:
    assert find_flags("Licht", "light", Known(retried=True)) == ("retried",)
    assert "retried" in HARMLESS_FLAGS
    assert set(HARMLESS_FLAGS) < set(FLAGS)
