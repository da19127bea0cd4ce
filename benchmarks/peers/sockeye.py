"""Sockeye: sockeye-train on pieces, in buckets of like lengths."""

import json
from pathlib import Path

from benchmarks.peers.peer import CHECKPOINTS, Peer, Search, Training
from benchmarks.pieces import Pieces

VOCABULARY = "vocabulary.json"
LONGEST = "256:256"


class Sockeye(Peer):
    """Amazon's toolkit, in its last version."""

    name = "sockeye"
    specials = (0, 2, 3)
    watches = "sockeye"

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("sockeye")

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Prepare the data with the vocabulary as it is."""
        names = ("<pad>", "<unk>", "<s>", "</s>", *pieces.vocabulary)
        (work / VOCABULARY).write_text(
            json.dumps({name: number for number, name in enumerate(names)}), "utf-8"
        )
        (work / "pieces").symlink_to(pieces.folder)
        self.run(
            [
                self.program("sockeye-prepare-data"),
                *("--source", "pieces/train.source", "--target", "pieces/train.target"),
                *("--source-vocab", VOCABULARY, "--target-vocab", VOCABULARY, "--shared-vocab"),
                *("--max-seq-len", LONGEST, "--output", "data"),
            ],
            work,
        )

    def train_command(self, work: Path, training: Training) -> list[str]:
        """Layers in the toolkit's own order (norm first); a checkpoint ends with a validation.

        Its rate is divided by the square root of the updates, or of the warm-up while that is more: so what
        it is given is the peak times that root.
        """
        shape = training.shape
        dropout, layers = f"{shape.dropout}:{shape.dropout}", f"{shape.layers}:{shape.layers}"
        return [
            self.program("sockeye-train"),
            *("--prepared-data", "data", "--use-cpu", "--output", CHECKPOINTS, "--overwrite-output"),
            *("--validation-source", "pieces/valid.source", "--validation-target", "pieces/valid.target"),
            *("--num-layers", layers, "--transformer-model-size", f"{shape.dim}:{shape.dim}"),
            *("--transformer-attention-heads", f"{shape.heads}:{shape.heads}"),
            *("--transformer-feed-forward-num-hidden", f"{shape.ffn_dim}:{shape.ffn_dim}"),
            *("--transformer-dropout-prepost", dropout, "--embed-dropout", dropout),
            *("--transformer-dropout-attention", "0:0", "--transformer-dropout-act", "0:0"),
            *("--weight-tying-type", "src_trg_softmax", "--label-smoothing", f"{shape.label_smoothing}"),
            *("--batch-type", "max-word", "--batch-size", f"{training.batch_tokens}"),
            *("--batch-sentences-multiple-of", "1"),
            *("--max-seq-len", LONGEST, "--optimizer", "adam", "--optimizer-betas", "0.9:0.98"),
            *("--gradient-clipping-type", "norm", "--gradient-clipping-threshold", "1.0"),
            *("--initial-learning-rate", f"{training.learning_rate * training.warmup_updates**0.5}"),
            *("--learning-rate-scheduler-type", "inv-sqrt-decay"),
            *("--learning-rate-warmup", f"{training.warmup_updates}", "--seed", f"{training.seed}"),
            *("--checkpoint-interval", f"{training.save_updates or training.updates}"),
            *("--max-updates", f"{training.updates}", "--decode-and-evaluate", "0"),
            *("--keep-last-params", "-1"),
        ]

    def checkpoints(self, work: Path) -> list[Path]:
        """`params.NUMBER`."""
        return sorted((work / CHECKPOINTS).glob("params.[0-9]*"))

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """sockeye-translate with one of the checkpoints; of lengths it can be told the greatest alone."""
        most = () if search.tokens is None else ("--max-output-length", f"{search.tokens - 1}")
        return [
            self.program("sockeye-translate"),
            *("--models", CHECKPOINTS, "--checkpoints", checkpoint.suffix.removeprefix(".")),
            *("--input", str(source), "--output", str(target), "--use-cpu"),
            *("--beam-size", f"{search.beam_size}", "--batch-size", f"{search.sentences or 64}", *most),
        ]
