"""A dataset card made into files: fetched, read, stripped, cleaned, split; kept in the cache by identity."""

import shutil
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from mtkit.config.dataset import Split
from mtkit.corpus.cache import Say, locked
from mtkit.corpus.cards import FoundCard, check_languages
from mtkit.corpus.chunk import SIDES
from mtkit.corpus.cleaning import Cleaner, normalized
from mtkit.corpus.dataset_identity import dataset_place
from mtkit.corpus.fetch import Fetcher
from mtkit.corpus.held_out import HeldOut
from mtkit.corpus.pair import Pair
from mtkit.corpus.pairs import gathered
from mtkit.corpus.parts import read_part
from mtkit.corpus.setting_apart import chunks_of, set_apart
from mtkit.corpus.splits import SPLITS, deciding_side, split_masks
from mtkit.corpus.strip import stripper
from mtkit.corpus.writing import PairWriter
from mtkit.errors import DataError
from mtkit.files import atomic, user_errors, write_json


def prepare(found: FoundCard, source: str, target: str, say: Say) -> Path:
    """The folder of a dataset's splits: `{train,valid,test}.{source,target}` and `dataset.json`.

    Raises:
        DataError: the card does not serve these languages, or what was fetched is not as it says.
        RunError: nothing can be fetched.
    """
    check_languages(found.card, source, target)
    place = dataset_place(found, source, target)
    if (place / "dataset.json").is_file():
        return place
    with locked(f"{found.card.name}-{source}-{target}", say):
        if not (place / "dataset.json").is_file():
            with user_errors(place):
                place.parent.mkdir(parents=True, exist_ok=True)
                folder = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
            try:
                _Extraction(found, source, target, folder, say).run()
                with user_errors(place):
                    folder.replace(place)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    return place


def export(folder: Path, out: Path, source: str, target: str) -> list[Path]:
    """Copy a prepared dataset's splits to `out` as `train.en`, `train.de`, …; empty splits are left out."""
    written = []
    for split in SPLITS:
        for side, language in zip(SIDES, (source, target), strict=True):
            origin = folder / f"{split}.{side}"
            if origin.stat().st_size:
                written.append(out / f"{split}.{language}")
                with origin.open("rb") as stream, atomic(written[-1]) as copy:
                    shutil.copyfileobj(stream, copy)
    return written


class _Extraction:
    """From a card to the files of its splits, in two passes.

    The first reads, strips, filters and divides; only when all of test and valid is known can the second
    keep their sentences out of train. Validation and test sets that a part names as such are taken whole:
    nobody could compare scores on a filtered public test set.
    """

    def __init__(self, found: FoundCard, source: str, target: str, out: Path, say: Say) -> None:
        self._card, self._folder = found
        self._languages = (source, target)
        self._out, self._say = out, say
        self._scratch = out / ".scratch"
        self._scratch.mkdir()
        filters = self._card.clean.filters
        self._rows = Cleaner([item for item in filters if item.duplicates is None], self._scratch)
        self._repeated = [item for item in filters if item.duplicates is not None]
        self._whole: set[str] = set()
        self._read = 0

    def run(self) -> None:
        """Write the splits and `dataset.json`."""
        self._divide()
        removed: dict[str, list[dict[str, Any]]] = {}
        pairs: dict[str, int] = {}
        # where repetitions are found without digits, held-out sentences must not return with other digits
        folds = any(item.duplicates and item.duplicates.fold for item in self._repeated)
        held_out = HeldOut(("light", "hard") if folds else ("light",), self._scratch)
        for split in ("test", "valid", "train"):
            pairs[split], removed[split] = self._keep_apart(split, held_out)
        held_out.close()
        if not sum(pairs.values()):
            raise self._nothing_left()
        shutil.rmtree(self._scratch)
        card = self._card
        record = {
            "dataset": card.name,
            "source_language": self._languages[0],
            "target_language": self._languages[1],
            "licence": card.licence,
            "attribution": card.attribution,
            "read": self._read,
            "filters": self._rows.records(),
            "repeated_or_held_out": {split: removed[split] for split in SPLITS},
            "pairs": {split: pairs[split] for split in SPLITS},
        }
        write_json(self._out / "dataset.json", record)
        sizes = ", ".join(f"{pairs[split]:,} {split}" for split in SPLITS)
        self._say(f"{card.name} {'-'.join(self._languages)}: {self._read:,} pairs read, {sizes}")

    def _nothing_left(self) -> DataError:
        return DataError(
            f"no pair is left of the {self._read:,} read from {self._card.name}",
            where=f"{self._card.name} {'-'.join(self._languages)}",
            expected="a dataset that holds this pair of languages",
            advice=f"See `mtkit data show {self._card.name}`, and take other languages or another dataset.",
        )

    def _divide(self) -> None:
        with ExitStack() as stack:
            writers = {split: stack.enter_context(PairWriter(self._scratch, split)) for split in SPLITS}
            for part in self._card.parts:
                files = Fetcher(self._folder, self._languages, self._say).fetch(part)
                stream = read_part(part, files, *self._languages)
                for split, group in groupby(stream, key=itemgetter(0)):
                    self._write(writers, split, map(itemgetter(1), group))

    def _write(self, writers: Mapping[Split, PairWriter], split: Split | None, pairs: Iterable[Pair]) -> None:
        strip = stripper(self._card.clean.strip)
        stripped = (Pair(strip(pair[0]), strip(pair[1])) for pair in pairs)
        for chunk in normalized(gathered(stripped), self._card.clean.normalize):
            self._read += len(chunk)
            if split in ("valid", "test"):
                self._whole.add(split)
                writers[split].write(chunk)
                continue
            kept = self._rows.clean(chunk)
            rule = self._card.splits if split is None else None
            side = deciding_side(rule, *self._languages)
            for name, mask in split_masks(kept, rule, side).items():
                writers[name].write(kept.keep(mask))

    def _keep_apart(self, split: str, held_out: HeldOut) -> tuple[int, list[dict[str, Any]]]:
        """Second pass over one split: what is held out already goes, then repetitions."""
        removed: list[dict[str, Any]] = []
        if split in self._whole:
            with PairWriter(self._out, split) as writer:
                for chunk in chunks_of(self._scratch, split):
                    writer.write(chunk)
            pairs = writer.pairs
        else:
            repeated = Cleaner(self._repeated, self._scratch)
            pairs, removed = set_apart(split, self._scratch, self._out, held_out, repeated)
        if split != "train":  # only now: a split's own sentences do not count against itself
            for chunk in chunks_of(self._out, split):
                held_out.add(chunk)
        return pairs, removed
