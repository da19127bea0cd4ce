from mtkit.config.search import SearchSettings
from mtkit.search.hypothesis import Hypothesis
from mtkit.translation.retrying import BLOCKED_NGRAM, blocked
from mtkit.translation.translator import Translator

LOOP = "la la la la la la la la"


class LoopsUnlessBlocked:
    """An engine that goes in circles over a word; blocked, it says `retry` or goes on in circles."""

    def __init__(self, helps: bool) -> None:
        self.helps = helps
        self.searched: list[tuple[int, int]] = []

    def search(self, sources: list[list[int]], settings: SearchSettings) -> list[list[Hypothesis]]:
        is_blocked = settings.no_repeat_ngram > 0
        self.searched.append((len(sources), int(is_blocked)))
        found = []
        for ids in sources:
            text = "".join(chr(one - 4) for one in ids)
            if text == "loop":
                text = "other" if is_blocked and self.helps else LOOP
            found.append([Hypothesis(tuple(ord(one) + 4 for one in text), -1.0, -1.0, True)])
        return found


def translate(translator: Translator, engine: LoopsUnlessBlocked, settings: SearchSettings) -> list[str]:
    translator.engine = engine  # type: ignore[assignment]
    translator.settings = settings
    found = list(translator.translate(["a", "loop", "", "b"]))
    return [f"{one.text} {' '.join(one.flags)}".strip() for one in found]


def test_a_loop_is_searched_once_more_with_repetition_blocked(translator: Translator) -> None:
    engine = LoopsUnlessBlocked(helps=True)
    assert translate(translator, engine, SearchSettings()) == [
        "a copied",
        "other retried",
        "empty",
        "b copied",
    ]
    assert engine.searched == [(3, 0), (1, 1)]


def test_a_loop_that_stays_one_is_told_as_it_was(translator: Translator) -> None:
    engine = LoopsUnlessBlocked(helps=False)
    assert translate(translator, engine, SearchSettings())[1] == f"{LOOP} repeated length_ratio"
    assert engine.searched == [(3, 0), (1, 1)]


def test_nothing_is_searched_twice_where_repetition_is_blocked_already(translator: Translator) -> None:
    engine = LoopsUnlessBlocked(helps=False)
    assert (
        translate(translator, engine, SearchSettings(no_repeat_ngram=2))[1] == f"{LOOP} repeated length_ratio"
    )
    assert engine.searched == [(3, 1)]


def test_blocking_changes_nothing_else() -> None:
    settings = SearchSettings(beam_size=3, length_penalty=0.1)
    again = blocked(settings)
    assert again == settings.model_copy(update={"no_repeat_ngram": BLOCKED_NGRAM})
