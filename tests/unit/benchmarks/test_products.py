import pytest

from benchmarks import products
from mtkit.model.products import has_onednn


def test_both_libraries_are_measured_for_every_size(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if not has_onednn():
        pytest.skip("this torch has no oneDNN")
    monkeypatch.setattr(products, "SIZES", ((5, 6, 7), (64, 32, 80)))
    monkeypatch.setattr(products, "SECONDS", 0.001)
    products.main()
    who, head, _, *rows = capsys.readouterr().out.splitlines()
    assert "for float32" in who and "oneDNN, packed" in head
    assert [row.split(" | ")[0] for row in rows] == ["| 5 x 6 x 7", "| 64 x 32 x 80"]
    for row in rows:
        assert len([float(cell) for cell in row.strip("| ").split(" | ")[1:]]) == 6


def test_a_torch_without_onednn_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    products.main()
    assert capsys.readouterr().out == "this torch has no oneDNN\n"
