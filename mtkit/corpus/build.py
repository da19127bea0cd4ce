"""The corpus stage: from the texts a recipe names to cleaned, aligned files. Streams; memory stays flat.

Validation and test come first: texts of their own normalised and otherwise as they are, pairs that `splits`
holds out of the training texts filtered, too. Then training pairs pass normalisation, the filters in their
order, and the check against what is held out.
"""

import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from mtkit.config.corpus import HELD_OUT, CorpusSettings, Splits, TextSource
from mtkit.corpus.cards import find_card_with_folder
from mtkit.corpus.chunk import Chunk
from mtkit.corpus.cleaning import Cleaner, Tally, normalized
from mtkit.corpus.datasets import prepare
from mtkit.corpus.held_out import FOLDINGS, HeldOut
from mtkit.corpus.identity import CorpusInputs, data_identity, named_sources
from mtkit.corpus.licences import licences_of
from mtkit.corpus.pair import empty
from mtkit.corpus.pairs import Files, locate, read_files
from mtkit.corpus.setting_apart import chunks_of, set_apart
from mtkit.corpus.splits import split_masks
from mtkit.corpus.writing import PairWriter
from mtkit.errors import DataError
from mtkit.files import read_json, user_errors, write_json
from mtkit.log import Progress, RunContext

__all__ = ["CorpusInputs", "build_corpus", "data_identity"]


def build_corpus(settings: CorpusSettings, inputs: CorpusInputs, out: Path, run: RunContext) -> None:
    """Write `{train,valid,test}.{source,target}` and `corpus.json` to `out`.

    Args:
        settings: which texts, how they are cleaned.
        inputs: languages, and where relative paths start.
        out: the stage's folder.
        run: talk.

    Raises:
        DataError: a text is missing, damaged, not UTF-8, empty, has sides of different length, or no
            training pair is left.
        RunError: a dataset cannot be fetched, or the disk is full.
        RecipeError: validation or test pairs are not named.
    """
    with user_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        scratch = tempfile.TemporaryDirectory(prefix=".scratch-", dir=out)
    with scratch as folder:
        _Build(settings, inputs, out, Path(folder), run).run()


class _Build:
    """One run of the stage."""

    def __init__(
        self, settings: CorpusSettings, inputs: CorpusInputs, out: Path, scratch: Path, run: RunContext
    ) -> None:
        self._settings, self._inputs, self._out, self._run = settings, inputs, out, run
        self._cleaner = Cleaner(settings.filters, scratch)
        self._held_out = HeldOut(FOLDINGS[settings.held_out], scratch)
        self._held_out_tally = Tally("held_out")
        self._scratch = scratch
        self._datasets: dict[str, dict[str, Any]] = {}
        self._divided: dict[str, dict[str, Any]] = {}

    def run(self) -> None:
        """Write everything."""
        sources = named_sources(self._settings)
        located = [(name, *self._locate(text, split)) for name, text, split in sources]  # fetches first
        train = [files for name, files, _ in located if name.startswith("train")]
        counts: dict[str, int] = {}
        with closing(self._cleaner), closing(self._held_out):
            for name, files, label in located:
                if name in HELD_OUT:
                    counts[name] = self._write_held_out(name, files, label)
            if self._settings.splits is not None:
                counts |= self._hold_out(self._settings.splits, train)
            counts["train"] = self._write_train(train)
        self._check_train(counts["train"])
        write_json(self._out / "corpus.json", self._record(counts))
        removed = self._removed_by()
        self._run.say(
            f"corpus: {counts['train']:,} train, {counts['valid']:,} valid, {counts['test']:,} test pairs"
            + (f"; removed from training: {removed}" if removed else "")
        )

    def _locate(self, text: TextSource, split: str) -> tuple[Files, str]:
        """The files of a source of pairs, and what messages call it."""
        languages = self._inputs.source_language, self._inputs.target_language
        if not text.dataset:
            files = locate(text, self._inputs.folder, *languages)
            return files, " + ".join(map(str, files.paths))
        found = find_card_with_folder(text.dataset, self._inputs.folder)
        folder = prepare(found, *languages, self._run.say)
        self._datasets[text.dataset] = read_json(folder / "dataset.json")
        if not self._datasets[text.dataset]["pairs"][split]:
            raise DataError(
                f"the dataset {text.dataset} has no {split} pairs for {'-'.join(languages)}",
                expected=f"a dataset with a {split} split",
                advice=f"Name other pairs for `{split}` in the recipe; see `mtkit data show {text.dataset}`.",
            )
        paths = folder / f"{split}.source", folder / f"{split}.target"
        return Files("sides", paths), f"{text.dataset} ({split})"

    def _chunks(self, files: Files) -> Iterator[Chunk]:
        texts = read_files(files, self._inputs.source_language, self._inputs.target_language)
        return normalized(texts, self._settings.normalize)

    def _write_held_out(self, name: str, files: Files, label: str) -> int:
        has_reference = False
        with PairWriter(self._out, name) as writer:
            for chunk in self._chunks(files):
                has_reference = has_reference or any(chunk.texts["target"])
                self._held_out.add(chunk)
                writer.write(chunk)
        if not writer.pairs:
            raise empty(label)
        if name == "valid" and not has_reference:
            raise DataError(
                f"none of {writer.pairs:,} validation pairs has a reference: every target line is empty",
                where=label,
                expected="sentences with their translations",
                advice="Name pairs with references for `valid` in the recipe.",
            )
        return writer.pairs

    def _hold_out(self, splits: Splits, sources: Sequence[Files]) -> dict[str, int]:
        """Write the validation and test pairs that `splits` takes from the training texts."""
        names = [name for name in reversed(HELD_OUT) if self._settings.held_out_by_share(name)]
        filters, scratch = self._settings.filters, self._scratch
        rows = {
            name: Cleaner([item for item in filters if item.duplicates is None], scratch) for name in names
        }
        with ExitStack() as stack:
            writers = {name: stack.enter_context(PairWriter(scratch, name)) for name in names}
            for chunk in self._read(sources, "splits"):
                masks = split_masks(chunk, splits, splits.by)
                for name in names:
                    writers[name].write(rows[name].clean(chunk.keep(masks[name])))
        counts: dict[str, int] = {}
        for name in names:
            with closing(Cleaner([item for item in filters if item.duplicates], scratch)) as repeated:
                counts[name], removed = set_apart(name, scratch, self._out, self._held_out, repeated)
            if not counts[name]:
                raise _nothing_held_out(name, splits, rows[name].read)
            self._divided[name] = {
                "pairs_read": rows[name].read,
                "filters": [*rows[name].records(), *removed],
            }
            for chunk in chunks_of(self._out, name):
                self._held_out.add(chunk)
        return counts

    def _read(self, sources: Sequence[Files], what: str) -> Generator[Chunk, None, None]:
        """The chunks of all training texts, with progress."""
        with ExitStack() as stack:
            progress = None if self._run.quiet else stack.enter_context(Progress(what, None, "pairs read"))
            for files in sources:
                for chunk in self._chunks(files):
                    yield chunk
                    if progress is not None:
                        progress.advance(len(chunk))

    def _write_train(self, sources: Sequence[Files]) -> int:
        limit, splits = self._settings.limit, self._settings.splits
        with PairWriter(self._out, "train") as writer, closing(self._read(sources, "corpus")) as chunks:
            for chunk in chunks:
                if splits is not None:
                    chunk = chunk.keep(split_masks(chunk, splits, splits.by)["train"])
                chunk = self._clean(chunk)
                writer.write(chunk if limit is None else chunk.first(limit - writer.pairs))
                if writer.pairs == limit:
                    break
        return writer.pairs

    def _clean(self, chunk: Chunk) -> Chunk:
        chunk = self._cleaner.clean(chunk)
        mask = self._held_out.keep(chunk)
        self._held_out_tally.count(chunk, mask)
        return chunk.keep(mask)

    def _check_train(self, pairs: int) -> None:
        if pairs:
            return
        most = max(self._tallies, key=lambda tally: tally.removed)
        example = f", for example {' beside '.join(map(repr, most.examples[0]))}" if most.examples else ""
        raise DataError(
            f"no training pair is left of {self._cleaner.read:,}; removed by {self._removed_by()}",
            where="corpus.train",
            expected="filters that leave training pairs",
            advice=f"Look at what {most.filter} removes{example}; loosen it, or check source and target.",
        )

    @property
    def _tallies(self) -> list[Tally]:
        return [*self._cleaner.tallies, self._held_out_tally]

    def _removed_by(self) -> str:
        """What took pairs out of training, each with how many."""
        return ", ".join(f"{tally.filter} {tally.removed:,}" for tally in self._tallies if tally.removed)

    def _record(self, counts: dict[str, int]) -> dict[str, Any]:
        return {
            "source_language": self._inputs.source_language,
            "target_language": self._inputs.target_language,
            "normalize": self._settings.normalize,
            "pairs": {name: counts[name] for name in ("train", "valid", "test")},
            "train_pairs_read": self._cleaner.read,
            "filters": self._cleaner.records(),
            "held_out_removed": self._held_out_tally.removed,
            "splits": self._divided,
            "licences": licences_of(self._settings, self._inputs.folder),
            "datasets": list(self._datasets.values()),
        }


def _nothing_held_out(name: str, splits: Splits, found: int) -> DataError:
    lengths = f"{splits.min_words} to {splits.max_words} words"
    return DataError(
        f"no {name} pair is left of the {found:,} that `splits` holds out: {getattr(splits, name):.2%} of"
        f" sentences of {lengths}",
        where=f"corpus.splits.{name}",
        expected=f"a share that leaves {name} pairs",
        advice="Raise it, or lower `min_words` (words are counted by spaces; a script without spaces has one"
        " a sentence), or loosen the filters.",
    )
