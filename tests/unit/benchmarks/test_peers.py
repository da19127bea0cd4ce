from pathlib import Path

import pytest

from benchmarks.peers.all import all_peers, chosen_peers
from benchmarks.peers.peer import PEERS
from benchmarks.pieces import to_text

PINS = Path(__file__).parents[3] / "benchmarks" / "peers"


def test_every_toolkit_with_an_environment_has_its_pins() -> None:
    own = {name for name, peer in all_peers().items() if peer.python.startswith(str(PEERS))}
    assert own == {path.stem for path in PINS.glob("*.txt")}


def test_an_unknown_toolkit_is_answered_with_those_there_are() -> None:
    with pytest.raises(SystemExit, match=r"no toolkit fairsec\n  Expected: some of mtkit, "):
        chosen_peers("mtkit,fairsec")


def test_pieces_become_text_again() -> None:
    assert to_text("▁The ▁de vice ▁is ▁on .") == "The device is on."
