"""Which ids would complete a banned text, however it is cut into pieces.

The texts become one automaton over bytes (Aho and Corasick 1975), and that one over pieces: from every
state, each piece leads to a state, or completes a text.
"""

from collections import deque
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.search.demands import Banned
from mtkit.subword.vocabulary import EOS

BYTES = 256
_AT_ONCE = 1_000_000  # places of the table that are computed together
_BUILDING = Lock()  # the workers search side by side, and wait for one table


class Automaton(NamedTuple):
    """The automaton over pieces.

    Attributes:
        following: the state after a piece, [states, V], in four bytes each; where it completes a text, the
            state 0.
        completes: True where a piece completes a text, [states, V].
        longest: bytes of the longest text, hence the most pieces that a state can depend on.
        begin: the state before the first piece, where an edge of a word is as behind a space.
    """

    following: Tensor
    completes: Tensor
    longest: int
    begin: int

    def state(self, ids: Tensor) -> Tensor:
        """The state after reading ids [..., T]: [...]. Only the last few can matter."""
        first = max(0, ids.size(-1) - self.longest)
        state = torch.full(ids.shape[:-1], 0 if first else self.begin, dtype=torch.long, device=ids.device)
        for at in range(first, ids.size(-1)):
            state = self.following[state, ids[..., at]].long()
        return state


def automaton(banned: Banned, device: torch.device) -> Automaton:
    """The automaton of the banned texts, of which there must be one; kept, so that all batches share it."""
    with _BUILDING:
        return _automaton(banned, device)


@lru_cache(maxsize=4)
def _automaton(banned: Banned, device: torch.device) -> Automaton:
    table, found = _over_bytes(banned.texts)
    # an edge of a word is told by the space before the next one, by the end, or by the beginning
    spelt = [b" " if number == EOS else text for number, text in enumerate(banned.spelt)]
    order = sorted(range(len(spelt)), key=lambda number: -len(spelt[number]))  # the longest first
    width = len(spelt[order[0]])
    letters = [torch.tensor([spelt[n][at] for n in order if len(spelt[n]) > at]) for at in range(width)]
    places = torch.tensor(order)
    following = torch.empty((len(table), len(spelt)), dtype=torch.int32)
    completes = torch.empty_like(following, dtype=torch.bool)
    block = max(1, _AT_ONCE // len(spelt))
    for first in range(0, len(table), block):
        last = min(first + block, len(table))
        state = torch.arange(first, last, dtype=torch.int32).unsqueeze(1).repeat(1, len(spelt))  # [some, V]
        ends = torch.zeros_like(state, dtype=torch.bool)
        for read in letters:  # of the pieces that are long enough
            reached = table[state[:, : len(read)], read]
            state[:, : len(read)] = reached
            ends[:, : len(read)] |= found[reached]
        following[first:last, places] = state.masked_fill(ends, 0)
        completes[first:last, places] = ends
    longest, begin = max(map(len, banned.texts)), int(table[0, ord(" ")])
    return Automaton(following.to(device), completes.to(device), longest, begin)


def _over_bytes(texts: tuple[bytes, ...]) -> tuple[Tensor, Tensor]:
    """The state after each byte, [states, 256], and in which states a text has just ended, [states]."""
    children: list[dict[int, int]] = [{}]
    ends = [False]
    for text in texts:
        state = 0
        for byte in text:
            if byte not in children[state]:
                children[state][byte] = len(children)
                children.append({})
                ends.append(False)
            state = children[state][byte]
        ends[state] = True
    table = [[0] * BYTES for _ in children]
    shorter = [0] * len(children)  # the state of the longest proper ending that begins a text
    waiting = deque([0])
    while waiting:
        state = waiting.popleft()
        ends[state] = ends[state] or ends[shorter[state]]
        for byte in range(BYTES):
            before = table[shorter[state]][byte] if state else 0
            child = children[state].get(byte)
            table[state][byte] = before if child is None else child
            if child is not None:
                shorter[child] = before
                waiting.append(child)
    return torch.tensor(table, dtype=torch.int32), torch.tensor(ends)
