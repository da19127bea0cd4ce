"""Every toolkit that a benchmark can compare, by name."""

import torch

from benchmarks.peers.eole import Eole
from benchmarks.peers.fairseq import Fairseq
from benchmarks.peers.joeynmt import Joeynmt
from benchmarks.peers.mtkit import Mtkit
from benchmarks.peers.opennmt import Opennmt
from benchmarks.peers.peer import Peer
from benchmarks.peers.plain import Plain
from benchmarks.peers.sockeye import Sockeye
from benchmarks.peers.transformers import Transformers
from mtkit.training.tuning import has_bfloat16

BFLOAT16 = ("stages.train.precision=bfloat16",)


def all_peers() -> dict[str, Peer]:
    """All of them, installed or not; mtkit and the plain reference first."""
    own = (Mtkit(), Mtkit("mtkit-bfloat16", BFLOAT16), Plain())
    peers: tuple[Peer, ...] = (*own, Fairseq(), Opennmt(), Eole(), Sockeye(), Transformers(), Joeynmt())
    return {peer.name: peer for peer in peers}


def chosen_peers(names: str | None) -> list[Peer]:
    """Those of a list of names with commas between; None: all that are installed.

    mtkit in bfloat16 is left out there if this processor does not compute in it.

    Raises:
        SystemExit: there is no such toolkit, or it is not installed.
    """
    known = all_peers()
    if names is None:
        lacking = () if has_bfloat16(torch.device("cpu")) else ("mtkit-bfloat16",)
        return [peer for name, peer in known.items() if peer.is_installed() and name not in lacking]
    wanted = names.split(",")
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise SystemExit(f"no toolkit {', '.join(unknown)}\n  Expected: some of {', '.join(known)}")
    missing = [name for name in wanted if not known[name].is_installed()]
    if missing:
        raise SystemExit(f"not installed: {', '.join(missing)}\n  Next: make bench-peers")
    return [known[name] for name in wanted]
