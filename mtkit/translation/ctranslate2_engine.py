"""The engine that runs converted models with CTranslate2, which needs no torch.

CTranslate2 searches as `search/state.py` does; what it says otherwise is put right here: scores by our
length penalty, a limit for each sentence. That PAD, UNK and BOS are never produced is in the converted model.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError, RunError
from mtkit.files import canonical_hash
from mtkit.model.folder import ModelCard
from mtkit.search.demands import NO_DEMANDS, Demands
from mtkit.search.hypothesis import Hypothesis, best_first, most_ended
from mtkit.search.length import length_limit, score_of
from mtkit.search.token_scores import TokenScores
from mtkit.subword.vocabulary import EOS, NEVER_PRODUCED
from mtkit.translation.batch_sizes import BatchSize
from mtkit.translation.converted import CONVERTED, check_converted
from mtkit.translation.ctranslate2_forced import with_end, without_end
from mtkit.translation.ctranslate2_loading import (
    CPU,
    VERSION,
    gpu_number,
    open_again,
    open_converted,
    read_pieces,
    unsupported,
)
from mtkit.translation.failures import waited
from mtkit.translation.replicas import Replicas, alike, begin_batches, finished_batches

Ids = Sequence[int]
Asked = Literal["everything", "doubtful"]

# Any exponent but 0 makes CTranslate2 look for as many translations as we do; with this one its score is the
# log probability itself, and hypotheses are ranked here.
NO_PENALTY = 1e-30
# What a converted model takes off the logits of PAD, UNK and BOS (`search/step.py` says why): exp(-256) is
# nothing beside any other id, and a power of two is added and taken off again with little rounding.
NEVER_BIAS = 256.0
NOTHING = -1e30  # less is what CTranslate2 gives hypotheses that do not run, where ours have minus infinity
_NEVER_PRODUCED = frozenset(NEVER_PRODUCED)
# With a shortlist, search thinks a translation more probable than the model does. Where a token has less than
# this on average (geometric mean), the model itself is asked, so that a low confidence is noticed.
DOUBTFUL_NATS = 1.0
ENOUGH_BATCHES = 8  # to measure with how many of them side by side


class CTranslate2Engine:
    """A converted model, searched in batches of sentences of similar length, side by side.

    Args:
        translator: the loaded model.
        pieces: source and target vocabulary by id.
        architecture: the model's; learned positions limit what can be written.
        max_tokens: most tokens of a side that it has positions for, EOS counted; None: any number.
        batch_tokens: most source tokens of a batch, EOS and padding counted; a CPU takes fewer if that is
            quicker.
        replicas: finds out how many batches are best searched side by side; None: that is settled.
        shortlist: look at the target pieces alone that the model's shortlist has for a batch, and ask the
            model itself how probable everything found is, or what is doubtful; None: look at all pieces.
    """

    def __init__(
        self,
        translator: Any,
        pieces: tuple[list[str], list[str]],
        *,
        architecture: ModelSettings,
        max_tokens: int | None,
        batch_tokens: int,
        replicas: Replicas | None = None,
        shortlist: Asked | None = None,
    ) -> None:
        self._translator, self._replicas = translator, replicas
        self._shortlist = shortlist
        self._source_pieces, self._target_pieces = pieces
        self._target_ids = {piece: number for number, piece in enumerate(self._target_pieces)}
        positions = architecture.positions
        self._cap = positions.max if isinstance(positions, LearnedPositions) else None
        self.max_tokens = max_tokens
        self.batch_tokens = batch_tokens
        self.certified, self._finer = "", frozenset[str]()
        self._begun: list[Any] = []  # results of the last search that was begun

    @classmethod
    def load(
        cls,
        folder: Path,
        card: ModelCard,
        *,
        device: str = CPU,
        threads: int,
        batch_tokens: int,
        say: Callable[[str], None] = lambda _: None,
        every_score: bool = False,
    ) -> "CTranslate2Engine":
        """Load the converted model of a model folder.

        Args:
            folder: the model folder.
            card: its card.
            device: `cuda`, `cuda:1`, …; any other name means the CPU.
            threads: of a CPU that compute: batches side by side, or fewer with several threads each.
            batch_tokens: most source tokens of a batch.
            say: hears which, once there is enough to choose by.
            every_score: with a shortlist, ask the model how probable everything found is.

        Raises:
            ModelError: it is missing, damaged, or CTranslate2 cannot load it.
        """
        certificate = check_converted(folder, card)
        inside = folder / CONVERTED
        asked: Asked = "everything" if every_score else "doubtful"
        replicas, on_cpu = None, gpu_number(device) is None
        if threads > 1 and on_cpu:
            key = {
                "version": VERSION,
                "model": card.architecture.model_dump(mode="json", by_alias=True),
                "quantization": certificate.quantization,
                "shortlist": certificate.shortlist and certificate.shortlist.pieces,
            }
            replicas = Replicas(partial(open_again, folder, card, certificate), threads, key, say)
        engine = cls(
            open_converted(inside, certificate.compared_in, threads if on_cpu else 1, device=device),
            read_pieces(inside),
            architecture=card.architecture,
            max_tokens=certificate.max_tokens,
            batch_tokens=batch_tokens,
            replicas=replicas,
            shortlist=asked if certificate.shortlist else None,
        )
        engine.certified, engine._finer = canonical_hash(certificate.files), frozenset(certificate.finer)
        return engine

    @property
    def device(self) -> str:
        """As the protocol says."""
        return str(self._translator.device)

    def search(
        self, sources: Sequence[Ids], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> list[list[Hypothesis]]:
        """Beam search, as the protocol says.

        Raises:
            RunError: the settings are not for this engine.
            ModelError: a source, or what may be written for it, is longer than the model's positions.
        """
        return self.begin(sources, settings, demands)()

    def begin(
        self, sources: Sequence[Ids], settings: SearchSettings, demands: Demands = NO_DEMANDS
    ) -> Callable[[], list[list[Hypothesis]]]:
        """Begin a search, as `SearchesBeside` says; errors as of `search`."""
        prefixed = "CTranslate2 is not asked for prefixes and banned texts" if demands.any else None
        if reason := prefixed or unsupported(settings):
            raise RunError(reason, expected="search settings of this engine", advice="Use `--engine torch`.")
        limits = [length_limit(len(ids), settings, self._cap) for ids in sources]
        self._check_lengths([max(len(ids) + 1, limit) for ids, limit in zip(sources, limits, strict=True)])
        return partial(self._found, sources, settings, limits, self._searched(sources, settings, limits))

    def _found(
        self,
        sources: Sequence[Ids],
        settings: SearchSettings,
        limits: Sequence[int],
        batches: Iterator[tuple[list[int], list[list[Hypothesis]]]],
    ) -> list[list[Hypothesis]]:
        """What search finds, sentence by sentence, each within its own limit."""
        found: dict[int, list[Hypothesis]] = {}
        again: list[int] = []
        for numbers, results in batches:
            limit = max(limits[number] for number in numbers)
            for number, hypotheses in zip(numbers, results, strict=True):
                found[number] = hypotheses
                if not _fits(hypotheses, limits[number], limit):
                    again.append(number)
        for number in again:
            [(_, [found[number]])] = self._searched([sources[number]], settings, [limits[number]])
        best = [best_first(found[number])[: settings.n_best] for number in range(len(sources))]
        return self._as_the_model_says(sources, best, settings) if self._shortlist else best

    def _as_the_model_says(
        self, sources: Sequence[Ids], found: list[list[Hypothesis]], settings: SearchSettings
    ) -> list[list[Hypothesis]]:
        """What a shortlisted search found, in its order, with the model's own probabilities where needed."""
        if settings.no_repeat_ngram:  # which have been asked for already
            return found
        everything = self._shortlist == "everything"
        asked = [number for number, best in enumerate(found) if everything or _is_doubtful(best[0])]
        exact = self._exact_scores(sources, asked, [found[number] for number in asked], settings)
        known = dict(zip(asked, exact, strict=True))
        return [known.get(number, best) for number, best in enumerate(found)]

    def log_probabilities(self, sources: Sequence[Ids], targets: Sequence[Ids]) -> list[float]:
        """Forced decoding, as the protocol says."""
        every = self._token_log_probabilities(sources, targets, [True] * len(targets))
        return [math.fsum(values) for values in every]

    def token_scores(
        self,
        sources: Sequence[Ids],
        targets: Sequence[Ids],
        finished: Sequence[bool],
        *,
        attention: bool = False,
    ) -> list[TokenScores]:
        """Forced decoding token by token, as the protocol says; of attention it knows nothing.

        Raises:
            RunError: attention is asked for.
        """
        if attention:
            raise RunError(
                "CTranslate2 is not asked for attention",
                expected="the torch engine",
                advice="Use `--engine torch`.",
            )
        every = self._token_log_probabilities(sources, targets, finished)
        return [TokenScores(tuple(values)) for values in every]

    def _token_log_probabilities(
        self, sources: Sequence[Ids], targets: Sequence[Ids], finished: Sequence[bool]
    ) -> list[Sequence[float]]:
        """Of each pair, the log probability of every target token, and last of EOS where it follows."""
        counts = [len(target) + ended for target, ended in zip(targets, finished, strict=True)]
        lengths = [max(len(ids) + 1, count) for ids, count in zip(sources, counts, strict=True)]
        self._check_lengths(lengths)
        pairs = [
            (self._words(source), [self._target_pieces[one] for one in target])
            for source, target in zip(sources, targets, strict=True)
        ]
        full = {number for number, ids in enumerate(targets) if len(ids) == self.max_tokens}
        rest = [number for number in range(len(pairs)) if number not in full]
        cut = self._size.cut([lengths[number] for number in rest])
        values = with_end(self._translator, pairs, [[rest[place] for place in batch] for batch in cut])
        values |= {number: without_end(self._translator, pairs[number], targets[number]) for number in full}
        return [_without_bias(values[n], targets[n])[:count] for n, count in enumerate(counts)]

    def _searched(
        self, sources: Sequence[Ids], settings: SearchSettings, limits: Sequence[int]
    ) -> Iterator[tuple[list[int], list[list[Hypothesis]]]]:
        """Batches of sentences with all that search finds for each; they are begun at once."""

        def begin(numbers: list[int], translator: Any = None) -> Any:
            return (translator or self._translator).translate_batch(
                [self._words(sources[number]) for number in numbers],
                beam_size=settings.beam_size,
                num_hypotheses=most_ended(settings),
                patience=settings.patience,
                length_penalty=NO_PENALTY,
                max_decoding_length=max(limits[number] for number in numbers),
                min_decoding_length=0,
                max_input_length=0,
                no_repeat_ngram_size=settings.no_repeat_ngram,
                use_vmap=self._shortlist is not None,
                return_scores=True,
                return_end_token=True,
                asynchronous=True,
            )

        batches = self._size.cut([len(ids) + 1 for ids in sources], settings.beam_size)
        self._settle(batches, begin)
        waiting = begin_batches(begin, batches)
        self._begun = [result for _, results in waiting for result in results]
        return (
            (numbers, self._of_batch(sources, numbers, results, settings))
            for numbers, results in finished_batches(waiting)
        )

    def _of_batch(
        self, sources: Sequence[Ids], numbers: Sequence[int], results: list[Any], settings: SearchSettings
    ) -> list[list[Hypothesis]]:
        found = [self._hypotheses(result, settings) for result in results]
        if settings.no_repeat_ngram:
            found = self._exact_scores(sources, numbers, found, settings)
        return found

    def window_tokens(self) -> int:
        """Source tokens that are best begun at once, as `SearchesBeside` says."""
        return min(self.batch_tokens, self._size.window_tokens)

    @property
    def _size(self) -> BatchSize:
        has_shortlist = self._shortlist is not None
        return BatchSize.of(
            self._translator, self.batch_tokens, has_shortlist=has_shortlist, finer=self._finer
        )

    def _settle(self, batches: Sequence[list[int]], begin: Callable[[list[int], Any], Any]) -> None:
        """Choose how many batches are searched side by side, unless that is settled or there are few."""
        if self._replicas is None or len(batches) < ENOUGH_BATCHES:
            return
        sample = alike(batches, self._replicas.threads)
        for result in self._begun:  # nothing else shall be computed meanwhile
            waited(result)

        def work(translator: Any) -> None:
            for results in [begin(numbers, translator) for numbers in sample]:
                for result in results:
                    waited(result)

        with suppress(ModelError):  # it was exported anew meanwhile: what is open stays
            self._translator = self._replicas.settled(self._translator, work)
        self._replicas = None

    def _exact_scores(
        self,
        sources: Sequence[Ids],
        numbers: Sequence[int],
        found: list[list[Hypothesis]],
        settings: SearchSettings,
    ) -> list[list[Hypothesis]]:
        """The same hypotheses with the model's own probabilities.

        What is blocked, or on no shortlist, leaves its share of probability to the rest; forced decoding
        knows the true one.
        """
        flat = [(number, one) for number, some in zip(numbers, found, strict=True) for one in some]
        values = iter(
            self._token_log_probabilities(
                [sources[n] for n, _ in flat],
                [one.ids for _, one in flat],
                [one.finished for _, one in flat],
            )
        )

        def exact(one: Hypothesis) -> Hypothesis:
            return _hypothesis(one.ids, math.fsum(next(values)), one.finished, settings)

        return [[exact(one) for one in some] for some in found]

    def _hypotheses(self, result: Any, settings: SearchSettings) -> list[Hypothesis]:
        found = []
        for tokens, total in zip(result.hypotheses, result.scores, strict=True):
            ids = [self._target_ids[token] for token in tokens]
            if total < NOTHING or _is_stopgap(ids, settings.no_repeat_ngram):
                continue
            finished = bool(ids) and ids[-1] == EOS
            found.append(_hypothesis(tuple(ids[:-1] if finished else ids), total, finished, settings))
        return found

    def _words(self, ids: Ids) -> list[str]:
        return [self._source_pieces[one] for one in ids]

    def _check_lengths(self, lengths: Sequence[int]) -> None:
        longest = max(lengths, default=0)
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ModelError(
                f"up to {longest:,} tokens a side, but the converted model has {self.max_tokens:,} positions",
                where=CONVERTED,
                expected=f"at most {self.max_tokens:,} tokens a side, end mark counted",
                advice="Split the text, lower `max_length_factor`, or use `--engine torch`.",
            )


def _fits(hypotheses: Sequence[Hypothesis], limit: int, batch_limit: int) -> bool:
    """True if search with the sentence's own limit, rather than its batch's, would have found the same.

    The last of them to end tells when search did; at its limit it would have kept what runs, too.
    """
    return limit == batch_limit or all(one.finished and one.tokens < limit for one in hypotheses)


def _is_doubtful(one: Hypothesis) -> bool:
    return -one.log_probability > DOUBTFUL_NATS * max(1, one.tokens)


def _is_stopgap(ids: Ids, ngram: int) -> bool:
    """True for what CTranslate2 fills its beam with where fewer things than that may be said."""
    if not _NEVER_PRODUCED.isdisjoint(ids):
        return True
    runs = [tuple(ids[at : at + ngram]) for at in range(len(ids) - ngram + 1)] if ngram else []
    return len(set(runs)) < len(runs)


def _without_bias(values: Sequence[float], target: Ids) -> Sequence[float]:
    """Log probabilities of a target's tokens, perhaps EOS, as if the converted model took nothing off."""
    if _NEVER_PRODUCED.isdisjoint(target):
        return values
    return [
        value + NEVER_BIAS if one in NEVER_PRODUCED else value
        for value, one in zip(values, (*target, EOS), strict=False)
    ]


def _hypothesis(
    ids: tuple[int, ...], log_probability: float, finished: bool, settings: SearchSettings
) -> Hypothesis:
    score = score_of(log_probability, len(ids) + finished, settings)
    return Hypothesis(ids, log_probability, score, finished)
