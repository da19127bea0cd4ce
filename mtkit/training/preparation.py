"""What is made before the first update: ids on disk, the stream of batches, the model's first weights."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mtkit.batches.batch import Batch
from mtkit.batches.plan import plan_epoch
from mtkit.batches.store import HEADER, IdStore, write_ids
from mtkit.batches.stream import WHOLE, BatchStream, Share
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import DataError, RecipeError
from mtkit.log import RunContext
from mtkit.model.transformer import Transformer
from mtkit.subword.codec import Subword
from mtkit.training.packing import why_padded
from mtkit.training.processes import processes_of
from mtkit.training.update import derived_seed

AHEAD_UPDATES = 3  # prepared beside a GPU's work; on a CPU there is no core to spare for it


@dataclass(frozen=True)
class Data:
    """The sentence pairs of a training as ids.

    Attributes:
        subword: vocabularies of both sides.
        train: training pairs.
        valid: validation pairs.
    """

    subword: Subword
    train: IdStore
    valid: IdStore

    def valid_batches(self, batch_tokens: int, share: Share = WHOLE) -> Iterator[Batch]:
        """The validation set, or a process's share of it, in the same batches every time."""
        lengths = (self.valid.source_lengths, self.valid.target_lengths)
        planned = plan_epoch(*lengths, batch_tokens, seed=0, epoch=0)
        for pairs in planned[share.rank :: share.count]:
            yield self.valid.batch(pairs)


def prepare_data(
    settings: TrainSettings, corpus: Path, subword_folder: Path, folder: Path, run: RunContext
) -> Data:
    """Write the ids of both splits, unless an earlier session did.

    Args:
        settings: says how long a pair may be.
        corpus: folder of a corpus stage.
        subword_folder: folder of a subword stage.
        folder: where the ids go.
        run: is told of pairs that are left out.

    Raises:
        DataError: a split has no pairs, or the sides differ in length.
        RecipeError: vectors are to be shared by vocabularies that are not.
    """
    subword = Subword.load(subword_folder)
    _check_sharing(settings, subword)
    stores = {}
    for split in ("train", "valid"):
        try:
            store = IdStore.open(folder / split)
            if processes_of(run).is_first:  # the others come after it
                store.check()
        except DataError as error:  # not written yet, not to its end, or damaged since
            if (folder / split / HEADER).is_file():
                run.say(f"{split}: the ids are written anew, for {error.found}")
            threads = torch.get_num_threads()
            write_ids(corpus, subword, folder / split, settings.max_tokens, split=split, threads=threads)
            store = IdStore.open(folder / split)
        if store.summary.left_out:
            run.say(
                f"{split}: {store.summary.left_out:,} pairs with a side of more than"
                f" {settings.max_tokens} tokens are left out"
            )
        stores[split] = store
    return Data(subword, stores["train"], stores["valid"])


def _check_sharing(settings: TrainSettings, subword: Subword) -> None:
    """Id N of one vocabulary is not id N of another, even where both have as many."""
    if settings.model.tied_embeddings == "all" and not subword.shared:
        raise RecipeError(
            "`tied_embeddings: all`, but source and target have vocabularies of their own",
            where="model.tied_embeddings",
            expected="target or none, or one vocabulary for both sides",
            advice="Set `model.tied_embeddings: target`, or `share: source-and-target` in the subword stage.",
        )


def open_stream(
    settings: FixedTrainSettings, data: Data, device: torch.device, seed: int, share: Share = WHOLE
) -> BatchStream:
    """The endless stream of training batches; for a GPU they are made ahead by a thread."""
    on_gpu = device.type == "cuda"
    ahead = AHEAD_UPDATES if on_gpu else 0
    pack = why_padded(settings, device) is None
    return BatchStream(
        data.train, settings, seed, data.subword, ahead=ahead, pin=on_gpu, pack=pack, share=share
    )


def build_model(settings: TrainSettings, subword: Subword, device: torch.device, seed: int) -> Transformer:
    """The model with its first weights, which depend on the seed alone."""
    torch.manual_seed(derived_seed(seed, "weights"))
    return Transformer(settings.model, subword.size("source"), subword.size("target")).to(device)


def identity(settings: FixedTrainSettings, data: Data, seed: int) -> dict[str, Any]:
    """What a checkpoint must agree with to be resumed."""
    return {
        "settings": settings.model_dump(mode="json", by_alias=True, exclude={"shard", "compile"}),
        "seed": seed,
        "subword": asdict(data.subword.card),
        "train": asdict(data.train.summary),
        "valid": asdict(data.valid.summary),
    }
