"""mtkit's two engines as the other toolkits are run: a file of pieces in, a file of pieces out.

python -m benchmarks.searching.own_search ENGINE FOLDER SOURCE TARGET BEAM_SIZE TOKENS BATCH_TOKENS THREADS

ENGINE is torch, or what the converted model beside the model is rounded to.
"""

import sys
from pathlib import Path

from mtkit.config.search import SearchSettings
from mtkit.model.folder import read_card, subword_folder
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import UNK
from mtkit.translation.engine import Engine


def main(engine: str, folder: str, source: str, target: str, *numbers: str) -> None:
    """Translate; every translation has TOKENS tokens, as a model that has learnt nothing ends none."""
    beam_size, tokens, batch_tokens, threads = map(int, numbers)
    # as the other toolkits do: no line of a file waits for the model, and none is looked at twice
    subword = Subword.load(subword_folder(Path(folder)))
    known = {piece: number for number, piece in enumerate(_pieces(subword))}
    lines = Path(source).read_text("utf-8").split("\n")[:-1]
    ids = [[known.get(piece, UNK) for piece in line.split()] for line in lines]
    settings = SearchSettings(beam_size=beam_size, max_length_factor=1e-9, max_length_extra=tokens)
    found = open_(engine, Path(folder), batch_tokens, threads).search(ids, settings)
    best = (" ".join(subword.pieces(hypotheses[0].ids, "target")) for hypotheses in found)
    Path(target).write_text("".join(f"{line}\n" for line in best), "utf-8")


def open_(engine: str, folder: Path, batch_tokens: int, threads: int) -> Engine:
    """Load the model into an engine, on the CPU."""
    if engine == "torch":
        from mtkit.translation.torch_engine import TorchEngine

        return TorchEngine.load(folder, "cpu", threads=threads, batch_tokens=batch_tokens)
    from mtkit.translation.ctranslate2_engine import CTranslate2Engine
    from mtkit.translation.ctranslate2_loading import open_converted, read_pieces

    converted = folder / engine
    return CTranslate2Engine(
        open_converted(converted, engine, threads),
        read_pieces(converted),
        architecture=read_card(folder).architecture,
        max_tokens=None,
        batch_tokens=batch_tokens,
    )


def _pieces(subword: Subword) -> list[str]:
    return subword.pieces(range(subword.size("source")), "source")


if __name__ == "__main__":
    main(*sys.argv[1:])
