from dataclasses import replace

import numpy as np
import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.training import MOST_BATCH_TOKENS, TrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training.fitting import FREE_SHARE, Fitting, Work
from mtkit.training.memory import Memory

PLENTY = 10**12


def work(
    free: int = PLENTY, *, workers: int = 1, processes: int = 1, local: int = 1, pairs: int = 4000
) -> Work:
    """Pairs of 3 to 20 tokens a side on a machine of so much memory."""
    model = Transformer(
        ModelSettings(dim=16, ffn_dim=32, heads=2, encoder_layers=1, decoder_layers=1), 23, 23
    )
    draw = np.random.default_rng(1)
    source, target = draw.integers(3, 21, (2, pairs))
    made = Work(model, source, target, workers=workers, processes=processes, local_processes=local)
    made.__dict__["memory"] = Memory(2 * free, free)
    return made


def fitting(of: Work, **settings: object) -> Fitting:
    values = {"until": {"updates": 9000}, "max_tokens": 20, "batch_tokens": "auto", **settings}
    return Fitting(TrainSettings.model_validate(values), of, "float32")


def test_with_plenty_of_memory_an_update_is_one_piece_for_each_worker() -> None:
    assert fitting(work()).accumulate(2000)[0] == 1
    assert fitting(work(workers=3)).accumulate(2000)[0] == 3
    assert fitting(work(workers=3, processes=2)).accumulate(2000)[0] == 6


def test_the_memory_of_a_machine_is_shared_by_the_processes_on_it_alone() -> None:
    needed = fitting(work(processes=2)).expected(2000, 2)
    free = int(needed.more / FREE_SHARE * 1.1)
    assert fitting(work(free, processes=2, local=1)).fits(needed)
    assert not fitting(work(free, processes=2, local=2)).fits(needed)


def test_processes_that_are_more_than_the_micro_batches_asked_for_have_smaller_ones() -> None:
    four = fitting(work(processes=4))
    asked, cut = four.expected(4000, 1), four.expected(4000, 4)
    assert asked == cut
    assert asked.activations < fitting(work()).expected(4000, 1).activations


def test_pieces_are_never_too_small_for_the_longest_pair() -> None:
    assert fitting(work(workers=64)).accumulate(100)[0] == 5


def test_scarce_memory_makes_more_pieces_and_each_worker_gets_as_many() -> None:
    roomy = fitting(work(workers=2))
    needed = [roomy.expected(4000, parts).more for parts in (2, 8)]
    tight = fitting(work(int((needed[0] * 0.4 + needed[1] * 0.6) / 0.8), workers=2))
    parts, reason = tight.accumulate(4000)
    assert 2 < parts <= 8
    assert parts % 2 == 0
    assert "memory" in reason
    assert tight.fits(tight.expected(4000, parts))
    assert not tight.fits(tight.expected(4000, parts - 2))


def test_the_largest_update_is_bounded_by_its_limit_and_by_the_corpus() -> None:
    large = fitting(work(pairs=300_000))
    assert large.batch_tokens() == (MOST_BATCH_TOKENS, "the most it may be, 25,000")
    small = work(pairs=10_000)
    tokens, reason = fitting(small).batch_tokens()
    assert tokens == small.tokens // 100
    assert "100 updates" in reason


def test_pairs_that_are_made_up_bound_no_update() -> None:
    tokens, reason = fitting(replace(work(pairs=10_000), is_whole=False)).batch_tokens()
    assert tokens == MOST_BATCH_TOKENS
    assert reason == "the most it may be, 25,000; fewer if an epoch had less than 100 updates"


def test_the_largest_update_is_bounded_by_the_memory() -> None:
    free = int(fitting(work(pairs=40_000)).expected(2000, 1).more / 0.8)
    tight = fitting(work(free, pairs=40_000))
    tokens, reason = tight.batch_tokens()
    assert 1200 < tokens <= 2000
    assert reason == "the memory holds no more"


def test_a_given_number_of_micro_batches_makes_the_largest_update_larger() -> None:
    free = int(fitting(work(pairs=40_000)).expected(1000, 1).more / 0.8)
    one, four = (fitting(work(free, pairs=40_000), accumulate=n).batch_tokens()[0] for n in (1, 4))
    assert four > 2 * one


def test_a_tiny_corpus_gets_an_update_that_holds_its_longest_pair() -> None:
    tiny = work(pairs=20)
    assert fitting(tiny).batch_tokens()[0] == tiny.longest


def test_a_model_that_does_not_fit_whatever_the_batch_is_an_error() -> None:
    with pytest.raises(RunError, match="gradients, optimiser and checkpoints of this model need") as caught:
        fitting(work(1000)).accumulate(2000)
    assert "model.dim" in caught.value.advice


def test_the_largest_micro_batches_are_those_of_the_longest_pairs() -> None:
    source, target = np.full(50_000, 5), np.full(50_000, 5)
    source[17] = target[17] = 90
    of = Work(work().model, source, target)
    assert max(shape.target for shape in of.shapes(200, 1)) == 90
