"""Which ids would complete a banned text, however it is cut into pieces.

The texts become one automaton over bytes (Aho and Corasick 1975), and that one over pieces: from every
state, each piece leads to a state, or completes a text.
"""

from collections import deque
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.search.demands import Banned
from mtkit.subword.vocabulary import EOS

BYTES = 256


class Automaton(NamedTuple):
    """The automaton over pieces.

    Attributes:
        following: the state after a piece, [states, V]; where it completes a text, the state 0.
        completes: True where a piece completes a text, [states, V].
        longest: bytes of the longest text, hence the most pieces that a state can depend on.
    """

    following: Tensor
    completes: Tensor
    longest: int

    def state(self, ids: Tensor) -> Tensor:
        """The state after reading ids [..., T]: [...]. Only the last few can matter."""
        state = torch.zeros(ids.shape[:-1], dtype=torch.long, device=ids.device)
        for at in range(max(0, ids.size(-1) - self.longest), ids.size(-1)):
            state = self.following[state, ids[..., at]]
        return state


@lru_cache(maxsize=4)
def automaton(banned: Banned) -> Automaton:
    """The automaton of the banned texts, of which there must be one."""
    table, found = _over_bytes(banned.texts)
    # an edge of a word is told by the space before the next one, or by the end
    spelt = [b" " if number == EOS else text for number, text in enumerate(banned.spelt)]
    width = max(map(len, spelt))
    padded = torch.tensor([[*text, *[0] * (width - len(text))] for text in spelt], dtype=torch.long)
    lengths = torch.tensor([len(text) for text in spelt])
    state = torch.arange(len(table)).unsqueeze(1).repeat(1, len(spelt))  # [states, V]
    completes = torch.zeros_like(state, dtype=torch.bool)
    for at in range(width):
        reads = at < lengths  # [V]
        state = torch.where(reads, table[state, padded[:, at]], state)
        completes |= reads & found[state]
    return Automaton(state.masked_fill(completes, 0), completes, max(map(len, banned.texts)))


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
    return torch.tensor(table), torch.tensor(ends)
