import pytest

from mtkit.translation.scripts import is_wrong_script, scripts_of, written_in


@pytest.mark.parametrize(
    ("language", "scripts"),
    [
        ("de", {"LATIN"}),
        ("pt-BR", {"LATIN"}),
        ("ru", {"CYRILLIC"}),
        ("sr", {"CYRILLIC", "LATIN"}),
        ("sr-Latn", {"LATIN"}),
        ("zho_Hans", {"CJK", "BOPOMOFO"}),
        ("ja", {"CJK", "HIRAGANA", "KATAKANA"}),
        ("digits", set()),
        ("", set()),
    ],
)
def test_a_language_is_written_in_its_scripts(language: str, scripts: set[str]) -> None:
    assert scripts_of(language) == scripts


@pytest.mark.parametrize(
    ("source", "text", "language"),
    [
        ("Licht", "свет", "en"),
        ("light", "light on", "ru"),
        ("光", "这是光", "en"),
        ("light", "光です", "ko"),
        ("licht", "x свет да", "de"),
    ],
)
def test_a_translation_in_another_script_is_seen(source: str, text: str, language: str) -> None:
    assert is_wrong_script(source, text, language)


@pytest.mark.parametrize(
    ("source", "text", "language"),
    [
        ("light", "свет", "ru"),
        ("Open iPhone", "iPhone öffnen", "de"),
        ("iPhone Pro Max", "iPhone Pro Max", "zh"),
        ("光です", "光", "ja"),
        ("light", "ＬＩＧＨＴ", "en"),
        ("x² + y", "𝑥² + 𝑦", "en"),
        ("5 €", "5 € 😀", "en"),
        ("Licht", "свет", "tlh"),
        ("Licht", "", "en"),
        ("Licht", "é", "fr"),
        ("light", "빛 光", "ko"),
    ],
)
def test_what_belongs_there_or_has_no_script_is_not(source: str, text: str, language: str) -> None:
    assert not is_wrong_script(source, text, language)


@pytest.mark.parametrize(
    ("lines", "language", "scripts"),
    [
        (["свет", "Открыть Firefox", "42 %", ""] * 8 + ["Firefox"] * 7, "ru", ["CYRILLIC"]),
        (["свет"] * 6 + ["svet"] * 4, "ru", ["CYRILLIC", "LATIN"]),
        (["свет"] * 8 + ["svetlo"] * 2, "sr", ["CYRILLIC", "LATIN"]),
        (["свет"] * 10 + ["svetlo"], "sr", ["CYRILLIC"]),
        (["svet"], "ru", ["LATIN"]),
        (["光です", "これはランプです"], "ja", ["CJK", "HIRAGANA", "KATAKANA"]),
        (["빛", "파일 열기"], "", ["CJK", "HANGUL"]),
        (["这是光"], "zh", ["CJK"]),
        (["42 %", ""], "en", []),
        ([], "en", []),
    ],
)
def test_a_text_is_written_in_the_scripts_of_its_lines(
    lines: list[str], language: str, scripts: list[str]
) -> None:
    assert written_in(lines, language) == scripts


def test_what_a_model_has_learnt_stands_above_its_languages_code() -> None:
    assert not is_wrong_script("light", "svetlo", "sr")
    assert is_wrong_script("light", "svetlo", "sr", frozenset({"CYRILLIC"}))
    assert not is_wrong_script("light", "svetlo", "ru", frozenset({"LATIN"}))
    assert is_wrong_script("light", "свет", "tlh", frozenset({"LATIN"}))
