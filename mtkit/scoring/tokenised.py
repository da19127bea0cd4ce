"""Does a text look tokenised? BLEU of tokenised text cannot be compared with anybody else's."""

import re
from collections.abc import Sequence

# a comma or full stop that stands alone, or the marks that tokenisers and subword models leave behind
# (French puts a space before ; : ! ? « », so these prove nothing)
_TRACE = re.compile(r"(?:\S [.,](?:\s|$))|@@(?:\s|$)|@-@|▁|&(?:apos|quot|#91|#93|#124);")
SHARE = 0.1  # of the sentences; real text has well under 1 %


def looks_tokenised(sentences: Sequence[str]) -> bool:
    """True if a tenth of the sentences, and at least two, carry traces of a tokeniser."""
    traces = sum(1 for sentence in sentences if _TRACE.search(sentence))
    return traces >= 2 and traces >= SHARE * len(sentences)
