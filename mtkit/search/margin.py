"""By how little a search was decided: what rounding could have turned, and what it could not."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mtkit.config.search import SearchSettings
from mtkit.model.evaluating import evaluating
from mtkit.search.batching import Ids, padded
from mtkit.search.constraints import Constraints
from mtkit.search.demands import NO_DEMANDS
from mtkit.search.ensemble import Model, Reader
from mtkit.search.hypothesis import Hypothesis, best_first, most_ended
from mtkit.search.length import length_limit
from mtkit.search.state import Beams
from mtkit.search.step import Candidates, best_candidates
from mtkit.subword.vocabulary import EOS


@torch.inference_mode()
def margin(model: Model, source: Ids, settings: SearchSettings) -> float:
    """The closest of all decisions that a plain beam search for one sentence rests on, in nats.

    Whoever computes the same log probabilities to within half of it finds the same translations. A decision
    is which continuations go on, which end, which of too many ended ones are kept, and in which order they
    come. What happens once the n best are safe decides nothing.

    Args:
        model: the model.
        source: ids of the sentence, without EOS.
        settings: of a plain beam.
    """
    with evaluating(model):
        text, is_token = padded([[*source, EOS]], model.device)
        reader = Reader(model, text, is_token)
        reader.expand(settings.beam_size)
        limits = [length_limit(len(source), settings, model.max_tokens)]
        beams = Beams(limits, settings, model.device)
        shape = Constraints([len(source)], limits, settings, NO_DEMANDS, model.device).shape(beams)
        closest = math.inf
        while beams.running:
            # at most N end, and N + 1 others are needed: who goes on, and who all but did
            logits = reader.step(beams.newest())  # [N, V]
            found = best_candidates(logits, beams.totals, 2 * settings.beam_size + 1, shape)
            last = beams.tokens + 1 >= beams.limits[0]
            closest = min([closest, *_of_step(found, settings.beam_size, last)])
            reader.select(beams.advance(found))
    return min([closest, *_of_results(beams.ended[0], settings)])


def _of_step(found: Candidates, size: int, last: bool) -> list[float]:
    """How far the candidates of a sentence are from changing places across a line that matters."""
    totals, ends = found.totals[0].double(), found.ids[0] == EOS
    lines = [_gap(totals[~ends], size)]  # who goes on
    if last:
        lines = [_gap(totals, size)]  # all of the first N are returned, whether they end or not
    elif len(totals) > size:
        inside, outside = totals[size - 1], totals[size]
        lines += [float(total - outside) for total in totals[:size][ends[:size]]]
        lines += [float(inside - total) for total in totals[size:][ends[size:]]]
    return [line for line in lines if not math.isnan(line)]


def _gap(totals: Tensor, size: int) -> float:
    """Between the last that is taken and the first that is not."""
    return float(totals[size - 1] - totals[size]) if len(totals) > size else math.inf


def _of_results(ended: Sequence[Hypothesis], settings: SearchSettings) -> list[float]:
    """How far the ended hypotheses are from other n best, or another order."""
    probable = sorted(ended, key=lambda one: -one.log_probability)
    most = most_ended(settings)
    kept = pairwise(probable[most - 1 : most + 1])
    lines = [one.log_probability - other.log_probability for one, other in kept]
    ranked = best_first(probable[:most])[: settings.n_best + 1]
    lines += [one.score - other.score for one, other in pairwise(ranked) if one.finished == other.finished]
    return lines
