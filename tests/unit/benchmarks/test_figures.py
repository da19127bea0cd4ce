from collections import Counter

import pytest

from benchmarks.figures import flops_per_token, row, table
from benchmarks.measuring import Observation, Reading
from benchmarks.peers.peer import Shape
from mtkit.config.model import ModelSettings
from mtkit.model.count import model_flops

FIRST = Reading(update=3, wall=100.0, cpu_seconds=40.0, tokens=3000, positions=5000)
LAST = Reading(update=9, wall=112.0, cpu_seconds=46.0, tokens=9000, positions=13000)
SEEN = Observation(FIRST, LAST, start_seconds=4.2, peak_megabytes=512.4)


def test_rates_and_padding_are_those_between_two_readings() -> None:
    assert SEEN.tokens_per_cpu_second == 1000.0
    assert SEEN.tokens_per_second == 500.0
    assert SEEN.padding_share == 0.25


def test_operations_per_token_are_the_means_over_all_pairs() -> None:
    shape = Shape(layers=2, dim=8, ffn_dim=12, heads=2)
    settings = ModelSettings(dim=8, ffn_dim=12, heads=2, encoder_layers=2, decoder_layers=2)
    lengths = Counter({(3, 5): 2, (7, 2): 1})
    wanted = 6 * (2 * sum(model_flops(settings, 31, 3, 5)) + sum(model_flops(settings, 31, 7, 2))) / 25
    assert flops_per_token(shape, 31, lengths) == pytest.approx(wanted)


def test_the_table_has_the_fastest_first_and_compares_with_fairseq() -> None:
    slow = Observation(FIRST, Reading(9, 112.0, 52.0, 9000, 13000), 6.0, 700.0)
    result = {
        "peak_gflops": {"1 thread": [100.0]},
        "flops_per_token": 2e7,
        "rows": [
            vars(row("fairseq", "1", [slow, slow], [])),
            vars(row("mtkit", "2", [SEEN, SEEN], [SEEN])),
        ],
    }
    lines = table(result).splitlines()
    assert lines[2] == "| mtkit 2 | 1,000 (1,000 to 1,000) | 2.00 | 20% | 500 | 25.0% | 512 | 4.2 |"
    assert lines[3] == "| fairseq 1 | 500 (500 to 500) | 1.00 | 10% | – | 25.0% | 700 | 6.0 |"
