"""Lines in → translations out, in order, each as soon as it can be.

normalise → split what is too long → pieces → search → text → rejoin → flags. Which model does the
search is the engine's business; where lines come from and go to is the caller's.
"""

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from mtkit.config.search import SearchSettings, TranslateSettings
from mtkit.corpus.normalize import normalize
from mtkit.files import NO_CHARACTER
from mtkit.model.folder import read_card, subword_folder
from mtkit.search.demands import Demands
from mtkit.search.hypothesis import Hypothesis
from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import UNK, Side
from mtkit.translation.arrivals import Arrivals
from mtkit.translation.asked import (
    NOTHING_ASKED,
    Asked,
    banned,
    check_together,
    prefix_ids,
    searched_with,
)
from mtkit.translation.asked import Codec as AskedCodec
from mtkit.translation.choosing import Candidates, ranked
from mtkit.translation.engine import (
    Engine,
    SearchesBeside,
    Wish,
    begun,
    choose_engine,
    open_engine,
    open_ensemble,
)
from mtkit.translation.flags import Known, find_flags, is_blank
from mtkit.translation.flow import Window, each_once, one_ahead, windows_of
from mtkit.translation.long_input import LIMIT_TOKENS, Part, rejoin, split_sentences
from mtkit.translation.long_input import source_limit as source_limit  # for other rooms too
from mtkit.translation.retrying import Again, Found, without_loops
from mtkit.translation.scored_pieces import scored_pieces
from mtkit.translation.translation import Candidate, Translation, one_line

BATCH_TOKENS: int = TranslateSettings.model_fields["batch_tokens"].default


class Codec(AskedCodec, Protocol):
    """What `subword.codec.Subword` does for a translator."""

    def decode(self, ids: Sequence[int], side: Side) -> str:
        """The text of one sentence's ids."""
        ...


@dataclass(frozen=True)
class Prepared:
    """A line on its way to the engine.

    Attributes:
        source: the line as it came; what is no character in it is replaced by U+FFFD.
        normal: normalised.
        parts: what is translated each for itself; one if the line fits, none if it is blank.
        ids: source ids of each part, without EOS.
        invalid: True if something was replaced.
        prefix: ids that the translation of the first part begins with.
        split: True if the line is too long for the model.
    """

    source: str
    normal: str
    parts: tuple[Part, ...]
    ids: tuple[list[int], ...]
    invalid: bool = False
    prefix: tuple[int, ...] = ()
    split: bool = False

    @property
    def tokens(self) -> int:
        """What the line costs: its tokens, EOS counted; 1 if it is blank."""
        return sum(len(ids) for ids in self.ids) + max(1, len(self.ids))


class Begun(NamedTuple):
    """Lines that are being searched: their parts, what waits for the search, and what searches some again."""

    window: Sequence[Prepared]
    sources: list[list[int]]
    texts: list[str]
    search: Callable[[], list[list[Hypothesis]]]
    again: Again


class Translator:
    """A model ready to translate text.

    Args:
        engine: what searches.
        codec: text to ids and back.
        form: normal form of the model's training text: none, nfc or nfkc.
        limit: most tokens of a source sentence that the model has learnt on, EOS counted.
        settings: how to search.
        batch_tokens: source tokens that the engine takes at once.
        languages: codes of source and target; empty: not known.
        asked: what users ask for beyond the settings.
        scripts: those that the model has learnt to write; none: those of the target language.
        positions: most tokens of a translation, where the model's positions are learned; None: any number.
    """

    def __init__(  # noqa: PLR0913
        self,
        engine: Engine,
        codec: Codec,
        *,
        form: str,
        limit: int = LIMIT_TOKENS,
        settings: SearchSettings | None = None,
        batch_tokens: int = BATCH_TOKENS,
        languages: tuple[str, str] = ("", ""),
        asked: Asked = NOTHING_ASKED,
        positions: int | None = None,
        scripts: frozenset[str] = frozenset(),
    ) -> None:
        self.engine = engine
        self.codec = codec
        self.form = form
        self.limit = limit
        self.settings = settings or SearchSettings()
        self.batch_tokens = batch_tokens
        self.languages = languages
        self.asked = asked
        self.positions = positions
        self.scripts = scripts
        self.banned = banned(self.settings, codec, form)
        searched_with(self.settings, asked)  # refused now, not at the first line

    @classmethod
    def open(  # noqa: PLR0913
        cls,
        folder: Path,
        settings: SearchSettings | None = None,
        device: str = "auto",
        *,
        threads: int | None = None,
        batch_tokens: int = BATCH_TOKENS,
        engine: Wish = "auto",
        say: Callable[[str], None] = lambda _: None,
        asked: Asked = NOTHING_ASKED,
    ) -> "Translator":
        """Open a model folder.

        Args:
            folder: the model folder.
            settings: how to search; None: as the model's card says.
            device: `cpu`, `cuda`, `cuda:1`, or `auto`.
            threads: CPU threads; None: all cores.
            batch_tokens: source tokens translated at once; changes speed and memory, not text.
            engine: which one must translate; `auto`: CTranslate2 where the model was converted for it.
            say: hears why `auto` does not take the quicker engine, and how that one shares out the threads.
            asked: what users ask for beyond the settings.

        Raises:
            ModelError: there is no model, the engine cannot, or it is damaged or of a newer version.
            RunError: there is no such device here.
        """
        cards = [read_card(one) for one in (folder, *asked.others)]
        card = cards[0]
        settings = settings or card.decoding
        check_together(folder, asked.others)
        choice = choose_engine(folder, settings, device, engine, asked.of_torch)
        if choice.because:
            say(f"engine: {choice.engine}, because {choice.because}")
        alone = partial(open_engine, say=say, every_score=asked.every_score)
        open_one = open_ensemble(asked.others, asked.average) if asked.others else alone
        opened = open_one(folder, device, threads=threads, batch_tokens=batch_tokens, choice=choice)
        from mtkit.subword.codec import Subword

        return cls(
            opened,
            Subword.load(subword_folder(folder)),
            form=card.normalize,
            limit=min(source_limit(one.architecture, one.max_tokens) for one in cards),
            settings=settings,
            batch_tokens=opened.window_tokens() if isinstance(opened, SearchesBeside) else batch_tokens,
            languages=(card.source_language, card.target_language),
            asked=asked,
            positions=min(filter(None, (one.architecture.most_positions for one in cards)), default=None),
            scripts=card.target_scripts,
        )

    def translate(
        self, lines: Iterable[str], *, live: bool | None = None, sentences: bool = False
    ) -> Generator[Translation, None, None]:
        """Translate lines; exactly one translation a line, in order.

        A blank line has an empty translation and never reaches the model. An error while reading
        is raised after the translations of every line before it.

        Args:
            lines: source lines without `\\n`; what is in them does not matter.
            live: True to translate what has arrived while further lines are awaited; False to wait for
                enough lines to be quick, in windows that depend on nothing but the text; None: live
                unless `lines` is a sequence. What is no sequence is read in a thread of its own.
            sentences: True to translate each sentence of a line by itself, even if the line fits.
        """
        windows = self.windows(lines, live=live, sentences=sentences)
        for done in one_ahead(windows, self.begin, lambda one, begun: begun or self.begin(one), self.finish):
            yield from done

    def windows(
        self,
        lines: Iterable[str],
        *,
        live: bool | None = None,
        sentences: bool = False,
        place: Callable[[int], str] = "line {}".format,
    ) -> Generator[Window[Prepared], None, None]:
        """Lines that `translate` searches together, for `begin` and `finish`; arguments as there.

        Args:
            place: how messages call the line of a number, from 1.

        Raises:
            DataError: a line cannot have the prefix that was asked for.
        """
        if isinstance(lines, str):
            raise TypeError("translate takes lines of text, not one string")

        def prepared(lines: Iterable[str]) -> Iterator[Prepared]:
            for number, line in enumerate(lines, start=1):
                yield self.prepare(line, sentences=sentences, place=partial(place, number))

        tokens = self.batch_tokens
        if isinstance(lines, Sequence) and not live:
            yield from windows_of(prepared(lines), lambda: False, tokens, live=False)
            return
        with Arrivals(lines) as arrivals:
            yield from windows_of(prepared(arrivals), arrivals.lull, tokens, live=live is not False)

    def prepare(
        self, line: str, *, sentences: bool = False, place: Callable[[], str] = lambda: "the line"
    ) -> Prepared:
        """Normalise, split and encode one line; `place` is how messages call it."""
        line, replaced = NO_CHARACTER.subn("\ufffd", line)
        source, prefix = self.asked.prefixes.split(line)
        normal = normalize(source, self.form)
        if is_blank(normal):
            return Prepared(source, "", (), (), bool(replaced))
        (ids,) = self.codec.encode([normal], "source")
        is_long = len(ids) >= self.limit
        if not is_long and not sentences:
            parts, encoded = [Part(normal, False)], [ids]
        else:
            parts = split_sentences(normal, self.limit - 1, self._count, self.languages[0], source)
            encoded = self.codec.encode([part.text for part in parts], "source")
        # a part without any piece has nothing that could be translated
        kept = [(part, some) for part, some in zip(parts, encoded, strict=True) if some]
        begins: tuple[int, ...] = ()
        if prefix and kept:
            first = kept[0][1]
            begins = prefix_ids(prefix, place(), first, self.settings, self.codec, self.form, self.positions)
        return Prepared(
            source,
            normal,
            tuple(part for part, _ in kept),
            tuple(some for _, some in kept),
            bool(replaced),
            begins,
            split=is_long and len(kept) > 1,
        )

    def _count(self, text: str) -> int:
        return len(self.codec.encode([text], "source")[0])

    def begin(self, window: Sequence[Prepared]) -> "Begun":
        """Begin to search all parts of some lines at once; an engine that can goes on with it by itself."""
        sources = [ids for one in window for ids in one.ids]
        texts = [part.text for one in window for part in one.parts]
        prefixes = [() if number else one.prefix for one in window for number in range(len(one.ids))]
        demands = Demands(tuple(prefixes) if any(prefixes) else (), self.banned)

        def begin(places: Sequence[int], settings: SearchSettings) -> Callable[[], list[list[Hypothesis]]]:
            def those(chosen: Sequence[int]) -> Callable[[], list[list[Hypothesis]]]:
                some = [places[number] for number in chosen]
                return begun(self.engine, [sources[one] for one in some], wishes, demands.of(some))

            wishes = searched_with(settings, self.asked)
            return each_once([(tuple(sources[place]), prefixes[place]) for place in places], those)

        def again(places: list[int], settings: SearchSettings) -> list[list[Hypothesis]]:
            return self._chosen(begin(places, settings)(), [texts[place] for place in places])

        search = begin(range(len(sources)), self.settings) if sources else list
        return Begun(window, sources, texts, search, again)

    def finish(self, begun: "Begun") -> list[Translation]:
        """Wait for a search that was begun, and put the lines together again."""
        window, sources, texts, search, again = begun
        found = without_loops(self._chosen(search(), texts), texts, self, again)
        scores = self._token_scores(sources, [part.n_best for part in found])
        done, translations = 0, []
        for prepared in window:
            own = slice(done, done + len(prepared.ids))
            translations.append(self._finish(prepared, found[own], scores[own]))
            done = own.stop
        return translations

    def _chosen(self, found: list[list[Hypothesis]], texts: Sequence[str]) -> list[list[Hypothesis]]:
        """What the engine found, the best by the chooser first if there is one."""
        if self.asked.chooser is None or not found:
            return found
        choices = [
            Candidates(text, tuple(best), tuple(map(self.target_text, best)))
            for text, best in zip(texts, found, strict=True)
        ]
        return ranked(choices, self.asked.chooser, self.settings.n_best)

    def _token_scores(
        self, sources: Sequence[Sequence[int]], found: Sequence[Sequence[Hypothesis]]
    ) -> list[list[TokenScores]]:
        """Of every hypothesis of every source; nothing where nobody asked."""
        if not self.asked.token_scores or not found:
            return [[] for _ in found]
        every = [(ids, hypothesis) for ids, best in zip(sources, found, strict=True) for hypothesis in best]
        scores = iter(
            self.engine.token_scores(
                [ids for ids, _ in every],
                [hypothesis.ids for _, hypothesis in every],
                [hypothesis.finished for _, hypothesis in every],
                attention=self.asked.attention,
            )
        )
        return [[next(scores) for _ in best] for best in found]

    def _finish(
        self, prepared: Prepared, found: Sequence[Found], scores: Sequence[Sequence[TokenScores]]
    ) -> Translation:
        n_best = tuple(
            self._candidate(
                prepared,
                [part.n_best[min(rank, len(part.n_best) - 1)] for part in found],
                [some[min(rank, len(some) - 1)] for some in scores if some],
            )
            for rank in range(max((len(part.n_best) for part in found), default=1))
        )
        known = Known(
            parts=len(prepared.parts),
            split=prepared.split,
            finished=all(part.n_best[0].finished for part in found),
            unknown=any(UNK in ids for ids in prepared.ids),
            invalid=prepared.invalid,
            retried=any(part.retried for part in found),
            source_tokens=sum(map(len, prepared.ids)),
            target_tokens=n_best[0].tokens,
            log_probability=n_best[0].log_probability,
            language=self.languages[1],
            scripts=self.scripts,
        )
        return Translation(prepared.source, n_best, find_flags(prepared.normal, n_best[0].text, known))

    def target_text(self, hypothesis: Hypothesis) -> str:
        """The text of a hypothesis, one line."""
        return one_line(self.codec.decode(hypothesis.ids, "target")).strip()

    def ids(self, lines: Sequence[str], side: Side) -> list[list[int]]:
        """Ids of normalised lines, without BOS and EOS."""
        return self.codec.encode(lines, side)

    def log_probabilities(
        self, sources: Sequence[Sequence[int]], targets: Sequence[Sequence[int]]
    ) -> list[float]:
        """log P(target | source) of each pair of ids, in nats, EOS included."""
        return self.engine.log_probabilities(sources, targets)

    def _candidate(
        self, prepared: Prepared, chosen: Sequence[Hypothesis], scores: Sequence[TokenScores]
    ) -> Candidate:
        """One translation of a line from one hypothesis for each of its parts."""
        ids = [hypothesis.ids for hypothesis in chosen]
        texts = [self.target_text(hypothesis) for hypothesis in chosen]
        scored = None
        if self.asked.token_scores:
            scored = scored_pieces(prepared.ids, ids, scores, self.codec, attention=self.asked.attention)
        return Candidate(
            text=rejoin(prepared.parts, texts),
            score=math.fsum(hypothesis.score for hypothesis in chosen),
            log_probability=math.fsum(hypothesis.log_probability for hypothesis in chosen),
            tokens=sum(map(len, ids)),
            scored=scored,
        )
