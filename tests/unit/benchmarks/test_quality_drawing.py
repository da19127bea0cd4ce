from pathlib import Path

import pytest

from benchmarks.quality.drawing import draw
from benchmarks.quality.points import Point

PNG = b"\x89PNG\r\n\x1a\n"


def test_the_curves_are_drawn_to_a_png(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [
        Point(system, system != "mtkit", at, at, None, {"bleu": at, "chrf": 2 * at}, {}, "", "", "")
        for system in ("mtkit", "fairseq")
        for at in (5.0, 10.0)
    ]
    draw(points, tmp_path / "folder" / "curves.png", "en-de, a machine")
    one_system = tmp_path / "one.png"
    draw(points[:2], one_system, "en-de, a machine")
    drawn = (tmp_path / "folder" / "curves.png").read_bytes()
    assert drawn.startswith(PNG)
    assert drawn != one_system.read_bytes()
