"""How large a batch of CTranslate2's is best (measured: docs/log.md). Light: no torch."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from mtkit.search.grouping import token_batches

# Of a batch on a CPU: source tokens, and hypotheses that are followed at once; of more, a step's logits leave
# the caches. In float32 a step reads four times as much of weights as in int8, so that more tokens shall
# share it; most of them are the output layer's. With a shortlist what a batch looks at grows with it.
INT8_TOKENS, FLOAT32_TOKENS, SHORTLIST_TOKENS = 500, 2000, 250
HYPOTHESES = 320
# As a certificate names the layer that the output layer's weights are of.
OUTPUT = frozenset({"embeddings", "decoder/projection"})


class BatchSize(NamedTuple):
    """What a batch holds at most.

    Attributes:
        tokens: of its sources, EOS and padding counted.
        hypotheses: that are followed at once; None: any number.
    """

    tokens: int
    hypotheses: int | None

    @classmethod
    def of(
        cls, translator: Any, asked: int, *, has_shortlist: bool, finer: Collection[str] = ()
    ) -> "BatchSize":
        """The best one; on a GPU what is asked for, since it has no such caches.

        Args:
            translator: CTranslate2's, loaded.
            asked: most source tokens.
            has_shortlist: it looks at a part of the vocabulary.
            finer: layers whose weights were left in float32, as a certificate names them.
        """
        if translator.device != "cpu":
            return cls(asked, None)
        is_wide = translator.compute_type == "float32" or not OUTPUT.isdisjoint(finer)
        usual = FLOAT32_TOKENS if is_wide else INT8_TOKENS
        return cls(min(asked, SHORTLIST_TOKENS if has_shortlist else usual), HYPOTHESES)

    @property
    def window_tokens(self) -> int:
        """Source tokens that are best begun at once: two batches, of small ones some more."""
        return 2 * max(INT8_TOKENS, self.tokens)

    def cut(self, lengths: Sequence[int], hypotheses: int = 1) -> list[list[int]]:
        """The places of the sentences of each batch.

        Args:
            lengths: source tokens of each sentence, EOS counted.
            hypotheses: of each that are followed at once.
        """
        sentences = None if self.hypotheses is None else max(1, self.hypotheses // hypotheses)
        return token_batches(lengths, self.tokens, sentences)
