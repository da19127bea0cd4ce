"""Search with wishes, and the same found by going through everything, or by plain Python."""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model import few_rows
from mtkit.model.few_rows import lay_out_for_few_rows
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.search.batching import padded
from mtkit.search.beam import search
from mtkit.search.constraints import Constraints
from mtkit.search.demands import Banned, Demands
from mtkit.search.ensemble import Reader
from mtkit.search.forced import log_probabilities
from mtkit.search.greedy import search_greedily
from mtkit.search.length import length_limit, score_of
from mtkit.search.sampling import uniforms
from mtkit.search.state import Beams
from mtkit.search.step import best_candidates
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED

SHAPE = {"dim": 16, "heads": 2, "ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 2}
SIZE, LIMIT = 7, 5  # three ids besides EOS: 1 + 3 + 9 + 27 + 81 = 121 translations of at most 5 tokens
SOURCE = [4, 5, 6, 4]
SPELT = (b"", b"", b"", b"", b" a", b"b", b" ab")


class Ending(Transformer):
    """A random model that likes to end, as a trained one does, and whose choices rounding cannot turn."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = 3.0 * super().output(hidden)
        return logits + 4.0 * torch.nn.functional.one_hot(torch.tensor(EOS), logits.size(-1))


def make(seed: int, size: int = SIZE) -> Transformer:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({**SHAPE, "tied_embeddings": "none"})
    return Ending(settings, size, size).eval()


def wide(**changes: Any) -> SearchSettings:
    values = {"beam_size": 100, "n_best": 8, "max_length_factor": 1e-9, "max_length_extra": LIMIT}
    return SearchSettings.model_validate({**values, **changes})


def every() -> list[tuple[int, ...]]:
    return [ids for length in range(LIMIT) for ids in itertools.product((4, 5, 6), repeat=length)]


def ranked(model: Transformer, kept: Iterable[tuple[int, ...]], settings: SearchSettings) -> list[Any]:
    """What exhaustive search says: scores and ids, best first."""
    left = list(kept)
    values = log_probabilities(model, [SOURCE] * len(left), left)
    scored = [(score_of(v, len(ids) + 1, settings), ids) for v, ids in zip(values, left, strict=True)]
    return sorted(scored, key=lambda pair: (-pair[0], pair[1]))[: settings.n_best]


def check(model: Transformer, settings: SearchSettings, kept: Sequence[Any], demands: Demands) -> None:
    found = [h for h in search(model, [SOURCE], settings, demands=demands)[0] if h.finished]
    wanted = ranked(model, kept, settings)
    assert len(wanted) > 1
    assert [h.ids for h in found] == [ids for _, ids in wanted]
    assert [h.score for h in found] == pytest.approx([score for score, _ in wanted], abs=1e-5)


def has_repeat(ids: tuple[int, ...], length: int) -> bool:
    runs = [ids[at : at + length] for at in range(len(ids) - length + 1)]
    return len(set(runs)) < len(runs)


@pytest.mark.parametrize("laid_out", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"min_length_extra": 4, "max_length_extra": 6},
        {"no_repeat_ngram": 2, "max_length_extra": 12},
        {"length_penalty_form": "reward", "length_penalty": 2.0},
    ],
)
@pytest.mark.parametrize("wishes", ["nothing", "prefixes", "bans"])
def test_greedy_search_finds_what_a_beam_of_one_does(
    changes: dict[str, Any], wishes: str, laid_out: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, size = make(4, 70), 70
    if laid_out:
        monkeypatch.setattr(few_rows, "is_made_for_mkl", lambda: False)
        lay_out_for_few_rows(model)  # so that rows are filled up
    draw = torch.Generator().manual_seed(1)
    texts = [
        torch.randint(4, size, (length,), generator=draw).tolist()
        for length in torch.randint(0, 12, (21,), generator=draw).tolist()
    ]
    settings = SearchSettings.model_validate({"beam_size": 1, **changes})
    prefixes = {0: (5, 6, 7), 3: (9,), 20: (4, 4)} if wishes == "prefixes" else {}
    banned = Banned(tuple(range(8, size, 3))) if wishes == "bans" else None
    demands = Demands(prefixes=tuple(prefixes.get(n, ()) for n in range(21)), banned=banned)
    with torch.inference_mode():
        source, is_token = padded([[*ids, EOS] for ids in texts], model.device)
        limits = [length_limit(len(ids), settings) for ids in texts]
        constraints = Constraints(list(map(len, texts)), limits, settings, demands, model.device)
        found = search_greedily(Reader(model, source, is_token, fills_up=True), limits, settings, constraints)
        reader, beams = Reader(model, source, is_token), Beams(limits, settings, model.device)
        while beams.running:
            logits = reader.step(beams.newest())
            candidates = best_candidates(logits, beams.totals, 2, constraints.shape(beams))
            reader.select(beams.advance(candidates))
    for [one], [wanted] in zip(found, beams.results(), strict=True):
        assert (one.ids, one.finished) == (wanted.ids, wanted.finished)
        assert one.log_probability == pytest.approx(wanted.log_probability, abs=1e-4)
        assert one.score == pytest.approx(wanted.score, abs=1e-4)
    assert len({one.ids for [one] in found}) > 10
    assert any(one.finished for [one] in found)


@pytest.mark.parametrize("form", ["wu", "average", "reward"])
@pytest.mark.parametrize("strength", [0.3, 1.0, 2.5])
def test_a_full_width_beam_ranks_by_each_length_penalty_as_exhaustive_search_does(
    form: str, strength: float
) -> None:
    check(make(1), wide(length_penalty=strength, length_penalty_form=form), every(), Demands())


@pytest.mark.parametrize("least", [2, 3, 5])
def test_least_lengths_leave_what_is_long_enough(least: int) -> None:
    kept = [ids for ids in every() if len(ids) + 1 >= least]
    check(make(2), wide(min_length_extra=least), kept, Demands())


@pytest.mark.parametrize("length", [1, 2, 3])
def test_blocked_repetitions_leave_what_does_not_repeat(length: int) -> None:
    kept = [ids for ids in every() if not has_repeat(ids, length)]
    assert len(kept) < len(every())
    check(make(3), wide(no_repeat_ngram=length), kept, Demands())


@pytest.mark.parametrize("prefix", [(4,), (6, 4), (5, 5, 6)])
def test_a_prefix_leaves_what_begins_with_it(prefix: tuple[int, ...]) -> None:
    kept = [ids for ids in every() if ids[: len(prefix)] == prefix]
    check(make(4), wide(), kept, Demands(prefixes=(prefix,)))


def text_of(ids: Sequence[int]) -> bytes:
    return b"".join(SPELT[one] for one in ids)


@pytest.mark.parametrize("texts", [(b"ab",), (b"bb", b"a a"), (b"b ",), (b" ab ",), (b" a a",)])
def test_banned_texts_leave_what_does_not_contain_them_however_it_is_cut(texts: tuple[bytes, ...]) -> None:
    kept = [ids for ids in every() if not any(text in text_of(ids) + b" " for text in texts)]
    assert 5 <= len(kept) < len(every())
    check(make(5), wide(), kept, Demands(banned=Banned((), texts, SPELT)))


def test_banned_pieces_leave_what_is_without_them() -> None:
    kept = [ids for ids in every() if 5 not in ids]
    check(make(6), wide(), kept, Demands(banned=Banned((5,))))


def test_where_nothing_else_may_come_a_translation_ends() -> None:
    found = search(make(6), [SOURCE], wide(min_length_extra=4), demands=Demands(banned=Banned((4, 5, 6))))[0]
    assert [h.ids for h in found] == [()]


def test_all_wishes_hold_together() -> None:
    prefix = (5, 5)
    kept = [
        ids
        for ids in every()
        if ids[:2] == prefix and len(ids) >= 3 and not has_repeat(ids[1:], 1) and b"ab" not in text_of(ids)
    ]
    settings = wide(min_length_extra=4, no_repeat_ngram=2, length_penalty=1.0, length_penalty_form="average")
    demands = Demands((prefix,), Banned((), (b"ab",), SPELT))
    kept = [
        ids
        for ids in every()
        if ids[:2] == prefix and len(ids) >= 3 and not has_repeat(ids, 2) and b"ab" not in text_of(ids)
    ]
    check(make(7), settings, kept, demands)


def sources(count: int, size: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, 9, (count,), generator=draw).tolist()
    return [torch.randint(4, size, (length,), generator=draw).tolist() for length in lengths]


WISHES: dict[str, dict[str, Any]] = {
    "no repetition": {"no_repeat_ngram": 2, "min_length_factor": 0.5},
    "sampling": {"sampling": {"temperature": 0.9, "top_k": 9, "top_p": 0.95}, "n_best": 3},
    "groups": {"diversity": {"groups": 2, "strength": 0.7}, "n_best": 4},
}


@pytest.mark.parametrize("wish", list(WISHES))
def test_neighbours_and_batches_and_workers_change_nothing(wish: str) -> None:
    model, size = make(8, 23), 23
    settings = SearchSettings.model_validate({"beam_size": 4, "max_length_extra": 5, **WISHES[wish]})
    texts = sources(14, size)
    demands = Demands(tuple(tuple(text[:1]) if number % 3 else () for number, text in enumerate(texts)))
    together = search(model, texts, settings, demands=demands)
    assert all(h[0].ids[:1] == demands.prefix(n) for n, h in enumerate(together) if n % 3)
    with Workers(2) as workers:
        apart = search(model, texts, settings, 17, workers, demands)
    for left, right in zip(together, apart, strict=True):
        assert [h.ids for h in left] == [h.ids for h in right]
        assert [h.score for h in left] == pytest.approx([h.score for h in right], abs=1e-5)
    backwards = search(model, texts[::-1], settings, demands=Demands(demands.prefixes[::-1]))
    assert [[h.ids for h in found] for found in backwards[::-1]] == [[h.ids for h in f] for f in together]


def plain_sample(model: Transformer, source: list[int], settings: SearchSettings, number: int) -> list[int]:
    """One sample, token by token, with Python's own sums."""
    sampling = settings.sampling
    assert sampling is not None
    limit = int(settings.max_length_factor * len(source)) + settings.max_length_extra
    randoms = uniforms(limit, sampling.seed, number, source)
    ids = [BOS]
    text = torch.tensor([[*source, EOS]])
    for random in randoms:
        with torch.no_grad():
            logits = model(text, torch.ones_like(text, dtype=torch.bool), torch.tensor([ids]))[0, -1].tolist()
        chances = {
            one: math.exp(value / sampling.temperature)
            for one, value in enumerate(logits)
            if one not in NEVER_PRODUCED
        }
        best = sorted(chances, key=lambda one: (-chances[one], one))[: sampling.top_k]
        total = sum(chances[one] for one in best)
        kept, mass = [], 0.0
        for one in best:
            if sampling.top_p is not None and mass >= sampling.top_p * total:
                break
            kept.append(one)
            mass += chances[one]
        reached = 0.0
        for one in sorted(kept):
            reached += chances[one]
            if reached > random * mass:
                break
        ids.append(one)
        if one == EOS:
            break
    return ids[1:]


@pytest.mark.parametrize("limits", [{}, {"top_k": 3}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.8}])
def test_samples_are_those_of_plain_python(limits: dict[str, Any]) -> None:
    model, size = make(9, 23), 23
    sampling = {"temperature": 1.3, "seed": 7, **limits}
    settings = SearchSettings.model_validate({"sampling": sampling, "n_best": 2, "max_length_extra": 4})
    for source, found in zip(sources(6, size), search(model, sources(6, size), settings), strict=True):
        wanted = sorted(
            tuple(one for one in plain_sample(model, source, settings, number) if one != EOS)
            for number in range(2)
        )
        assert sorted(h.ids for h in found) == wanted


def test_fewer_samples_are_the_first_of_more() -> None:
    model, size = make(9, 23), 23
    few, more = (
        search(model, sources(5, size), SearchSettings.model_validate({"sampling": {}, "n_best": count}))
        for count in (2, 6)
    )
    for some, others in zip(few, more, strict=True):
        assert {h.ids for h in some} <= {h.ids for h in others}


def plain_groups(model: Transformer, groups: int, strength: float, size: int) -> list[tuple[int, ...]]:
    """Diverse beam search in plain Python over the whole distribution; what all groups ended with."""
    text = torch.tensor([[*SOURCE, EOS]])

    def following(ids: tuple[int, ...]) -> list[float]:
        with torch.no_grad():
            logits = model(text, torch.ones_like(text, dtype=torch.bool), torch.tensor([[BOS, *ids]]))
        logits[..., NEVER_PRODUCED] = -torch.inf
        values: list[float] = logits[0, -1].log_softmax(-1).tolist()
        return values

    running: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(groups)]
    ended: list[list[tuple[float, tuple[int, ...]]]] = [[] for _ in range(groups)]
    for _ in range(LIMIT):
        taken = [0] * SIZE
        for group in range(groups):
            options = [
                (total + value - strength * taken[one], total + value, (*ids, one))
                for total, ids in running[group]
                for one, value in enumerate(following(ids))
                if one not in NEVER_PRODUCED
            ]
            best = sorted(options, key=lambda option: -option[0])[: 2 * size]
            over = [(total, ids) for _, total, ids in best[:size] if ids[-1] == EOS]
            running[group] = [(total, ids) for _, total, ids in best if ids[-1] != EOS][:size]
            for _, ids in [*over, *running[group]]:
                taken[ids[-1]] += 1
            ended[group] = sorted([*ended[group], *((total, ids[:-1]) for total, ids in over)], reverse=True)
            bound = max((total for total, _ in running[group]), default=-math.inf)
            if len(ended[group]) >= size and (
                len(ended[group]) >= 2 * size or bound <= ended[group][size - 1][0]
            ):
                running[group] = []
    return [ids for some in ended for _, ids in some[:size]]


@pytest.mark.parametrize("strength", [0.2, 2.0, 1e9, 1e39])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_groups_are_those_of_plain_python(seed: int, strength: float) -> None:
    model = make(seed)
    settings = wide(beam_size=6, n_best=6, length_penalty=0.0, diversity={"groups": 3, "strength": strength})
    found = search(model, [SOURCE], settings)[0]
    ended = {h.ids for h in found if h.finished}
    assert len(ended) > 1
    assert ended == set(plain_groups(model, 3, min(strength, 1e6), 2))  # in more, Python's sums would drown
    values = log_probabilities(model, [SOURCE] * len(found), [h.ids for h in found])
    for hypothesis, value in zip(found, values, strict=True):
        if hypothesis.finished:
            assert hypothesis.log_probability == pytest.approx(value, abs=1e-4)


def test_one_group_would_be_a_beam_and_strong_groups_differ_more() -> None:
    model, size = make(8, 23), 23
    texts = sources(14, size)
    counts = []
    for strength in (1e-9, 3.0):
        settings = SearchSettings.model_validate(
            {"beam_size": 4, "n_best": 4, "diversity": {"groups": 4, "strength": strength}}
        )
        counts.append(sum(len(found) for found in search(model, texts, settings)))
    assert counts[0] == 14  # all groups find the same
    assert counts[1] > 28
