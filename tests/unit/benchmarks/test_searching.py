import json
import os
import sys
from pathlib import Path

import pytest

from benchmarks.decoding import Texts, chosen_lines
from benchmarks.measuring import BenchmarkError, Spent, spent
from benchmarks.peers.all import all_peers
from benchmarks.peers.peer import CHECKPOINTS, Search, Shape
from benchmarks.pieces import Pieces
from benchmarks.searching.figures import Row, blocks, limit, limit_seconds, table, text_table
from benchmarks.searching.systems import ByHand, Order, Way, model_settings, ways
from mtkit.model.count import count_parameters, model_flops
from mtkit.model.transformer import Transformer

FIXED = Search(beam_size=5, tokens=16, sentences=64)


def test_loading_is_taken_off_and_every_so_many_th_line_stands_for_all() -> None:
    row = Row("slow", "1", every=5)
    row.add("beam 5", Spent(2.0, 3.0, 100.0), Spent(12.0, 15.0, 400.4), threads=1)
    row.add("beam 5", Spent(2.0, 3.0, 100.0), Spent(12.0, 15.0, 500.0), threads=2)
    assert row.cpu_seconds == {"beam 5": [50.0]}
    assert row.whole_cpu_seconds == {"beam 5": [52.0]}
    assert row.seconds == {"beam 5": [60.0]}
    assert row.whole_seconds == {"beam 5": [63.0]}
    assert row.peak_megabytes == [400]


def test_the_limit_counts_the_source_once_and_the_target_for_each_hypothesis() -> None:
    shape = Shape(layers=2, dim=8, ffn_dim=12, heads=2)
    settings = model_settings(shape)
    first, second = (model_flops(settings, 31, length, 4) for length in (3, 7))
    found = limit(shape, 31, [3, 7], 4, beam_size=5)
    assert found["multiply_adds"] == first.source + second.source + 5 * (first.target + second.target)


def test_the_weights_of_a_step_are_those_of_decoder_and_output_layer() -> None:
    shape = Shape(layers=2, dim=8, ffn_dim=12, heads=2)
    model = Transformer(model_settings(shape), 31, 31)
    names = [f"layers.{number}.cross_attention.key_value.weight" for number in range(2)]
    unread = sum(model.decoder.get_parameter(name).numel() for name in names)
    matrices = sum(weight.numel() for weight in model.decoder.parameters() if weight.dim() == 2)
    wanted = matrices - unread + model.output_weight.numel()
    assert limit(shape, 31, [3], 4, 5)["step_multiply_adds"] == wanted
    assert count_parameters(model) > wanted


def result() -> dict[str, object]:
    fast, slow = Row("mtkit, torch", "2"), Row("fairseq", "1")
    for row, seconds in ((fast, 8.0), (slow, 16.0)):
        for more in (0.0, 2.0):
            row.add("beam 5", Spent(1.0, 1.0, 90.0), Spent(1.0 + seconds + more, 9.0, 300.0), threads=1)
            row.add("greedy", Spent(1.0, 1.0, 90.0), Spent(3.0, 9.0, 300.0), threads=1)
    fast.add("beam 5", Spent(1.0, 0.5, 90.0), Spent(9.0, 4.5, 310.0), threads=2)
    return {
        "date": "2026-11-24",
        "machine": {"processor": "P", "cores": 2, "instructions": ["avx2"], "torch": "2"},
        "rounds": 2,
        "lines": 1000,
        "source_tokens": 17000,
        "tokens": 16,
        "beam_size": 5,
        "batch_sentences": 64,
        "note": "",
        "peak_gflops": [90.0, 110.0, 100.0],
        "limits": {"beam 5": {"multiply_adds": 2.25e11, "step_bytes": 2e7, "step_multiply_adds": 5e6}},
        "searches": ["beam 5", "greedy"],
        "rows": [vars(slow), vars(fast)],
        "text_about": "As text:",
        "text_rows": [],
    }


def test_the_table_has_the_fastest_first_with_its_spread_and_its_share_of_the_limit() -> None:
    assert limit_seconds(result(), "beam 5") == pytest.approx(4.5)
    lines = table(result()).splitlines()
    cells = ("9.0 (8.0 to 10.0)", "1.89", "2.0 (2.0 to 2.0)", "10.0", "4.0 (4.0 to 4.0)", "50%", "300")
    assert lines[2] == f"| mtkit, torch 2 | {' | '.join(cells)} |"
    assert lines[3].startswith("| fairseq 1 | 17.0 (16.0 to 18.0) | 1.00 |")


def test_text_has_a_table_of_its_own_if_there_was_a_model() -> None:
    assert "As text:" not in blocks(result())
    with_text = {**result(), "text_rows": result()["rows"]}
    assert blocks(with_text).count("| fairseq 1 |") == 2
    assert blocks({**with_text, "rows": []}).count("| fairseq 1 |") == 1


def test_text_is_scored_in_its_table() -> None:
    row = Row("mtkit translate", "2", scores={"bleu": 42.5, "chrf": 64.25})
    row.add("beam 5", Spent(1.0, 1.0, 90.0), Spent(9.0, 9.0, 300.0), threads=1)
    lines = text_table({**result(), "text_rows": [vars(row)]}).splitlines()
    assert lines[2].endswith("| 300 | 42.50 | 64.25 |")


@pytest.mark.parametrize("name", ["fairseq", "opennmt", "eole", "sockeye", "joeynmt", "transformers"])
def test_every_toolkit_can_be_told_the_lengths_of_translations_and_of_batches(
    name: str, tmp_path: Path
) -> None:
    peer = all_peers()[name]
    (tmp_path / "config.yaml").write_text(json.dumps({"testing": {}}), "utf-8")

    def told(search: Search) -> str:
        checkpoint = tmp_path / CHECKPOINTS / "params.00001"
        command = peer.search_command(tmp_path, checkpoint, Path("in"), Path("out"), search)
        written = tmp_path / command[-1]
        text = written.read_text("utf-8") if written.is_file() else " ".join(command)
        return text.replace(str(tmp_path), "")  # which has numbers of its own

    fixed, free = told(FIXED), told(Search(beam_size=5))
    assert "64" in fixed
    assert "16" in fixed or "15" in fixed
    assert "16" not in free
    assert "15" not in free


def test_by_hand_every_split_of_the_threads_is_tried() -> None:
    assert {(way.inter_threads, way.intra_threads) for way in ways(4, 64)} == {(1, 4), (2, 2), (4, 1)}
    assert Way(1, 1, 64, "examples") in ways(1, 64)


def test_by_hand_the_best_way_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap = str(Way(1, 1, 1024, "tokens"))

    def measured(self: ByHand, way: Way, order: Order) -> list[str]:
        return [str(way)]

    def took(command: list[str], *_: object) -> Spent:
        return Spent(1.0 if command == [cheap] else 2.0, 3.0, 4.0)

    monkeypatch.setattr(ByHand, "command_by", measured)
    monkeypatch.setattr("benchmarks.searching.systems.spent", took)
    system = ByHand("float32", tmp_path)
    order = Order(Path("in"), Path("out"), FIXED)
    assert system.settle(order)[cheap] == 1.0
    assert system.command(order) == [cheap]


def test_lines_come_in_the_order_of_their_length_without_blank_and_very_long_ones(tmp_path: Path) -> None:
    lines = ["a b c", "", "a", "a " * 100, "b c", "d"]
    (tmp_path / "test.source").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    pieces = Pieces(tmp_path, tmp_path, tmp_path)
    assert chosen_lines(pieces, 10) == [2, 5, 4, 0]
    assert chosen_lines(pieces, 2) == [2, 0]


def test_a_slow_toolkit_has_every_so_many_th_line_and_loading_is_a_single_one(tmp_path: Path) -> None:
    texts = Texts([f"line {number}" for number in range(10)], tmp_path, [3] * 10)
    assert texts.file(5).read_text("utf-8") == "line 0\nline 5\n"
    assert texts.file(None).read_text("utf-8") == "line 5\n"


def test_a_program_that_fails_says_what_it_said(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import sys; sys.exit('no model here')"]
    with pytest.raises(BenchmarkError, match="no model here"):
        spent(program, tmp_path, os.environ, None)


def test_a_program_is_fed_and_what_it_prints_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_text("some words\n", "utf-8")
    program = [sys.executable, "-c", "print(input().upper())"]
    found = spent(program, tmp_path, os.environ, None, source)
    assert (tmp_path / "printed").read_text("utf-8") == "SOME WORDS\n"
    assert found.cpu_seconds > 0 and found.peak_megabytes > 1
