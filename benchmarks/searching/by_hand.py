"""CTranslate2 as a careful user calls it by hand, without mtkit: pieces in and out, or text by SentencePiece.

python benchmarks/searching/by_hand.py '{"folder": …, "source": …, "target": …, …}'

CTranslate2 sorts the lines itself and cuts them into batches of `batch`, counted in `batch_type`. With
`subword`, a SentencePiece model, lines are text; otherwise pieces between spaces.
"""

import json
import sys
from pathlib import Path
from typing import Any

import ctranslate2


def main(given: dict[str, Any]) -> None:
    """Translate a file into a file."""
    lines = Path(given["source"]).read_text("utf-8").split("\n")[:-1]
    processor = None
    if given["subword"]:
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor(model_file=given["subword"])
        pieces = processor.encode(lines, out_type=str)
    else:
        pieces = [line.split() for line in lines]
    translator = ctranslate2.Translator(
        given["folder"],
        compute_type=given["compute_type"],
        inter_threads=given["inter_threads"],
        intra_threads=given["intra_threads"],
    )
    results = translator.translate_batch(
        pieces, max_batch_size=given["batch"], batch_type=given["batch_type"], **given["search"]
    )
    best = [result.hypotheses[0] for result in results]
    texts = processor.decode(best) if processor else [" ".join(pieces) for pieces in best]
    Path(given["target"]).write_text("".join(f"{text}\n" for text in texts), "utf-8")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
