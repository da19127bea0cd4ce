"""fairseq, as the package fairseq-fixed, which loads on today's Python: fairseq-train on binarised pieces."""

from pathlib import Path

from benchmarks.peers.peer import CHECKPOINTS, SEARCHED_TOKENS, Peer, Search, Training
from benchmarks.pieces import SPLITS, Pieces

DICTIONARY = "dict.txt"


class Fairseq(Peer):
    """The fastest of the peers on a CPU."""

    name = "fairseq"
    specials = (1, 0, 2)
    through_streams = True

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("fairseq-fixed")

    def environment(self, threads: int) -> dict[str, str]:
        """Torch reads the objects in its checkpoints only if told to; here it reads what it wrote itself."""
        return {**super().environment(threads), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Binarise, with the vocabulary as it is: fairseq counts nothing anew."""
        lines = "".join(f"{piece} 1\n" for piece in pieces.vocabulary)
        (work / DICTIONARY).write_text(lines, "utf-8")
        prefixes = [f"--{split}pref={pieces.folder / split}" for split in SPLITS]
        self.run(
            [
                self.program("fairseq-preprocess"),
                *("--source-lang", "source", "--target-lang", "target", "--joined-dictionary"),
                *("--srcdict", DICTIONARY, "--destdir", "data", *prefixes),
            ],
            work,
        )

    def train_command(self, work: Path, training: Training) -> list[str]:
        """Adam with fairseq's usual settings for a small Transformer; it batches by length by itself."""
        shape = training.shape
        saves = training.save_updates
        return [
            self.program("fairseq-train"),
            *("data", "--task", "translation", "--arch", "transformer", "--cpu", "--no-progress-bar"),
            *("--encoder-layers", f"{shape.layers}", "--decoder-layers", f"{shape.layers}"),
            *("--encoder-embed-dim", f"{shape.dim}", "--decoder-embed-dim", f"{shape.dim}"),
            *("--encoder-ffn-embed-dim", f"{shape.ffn_dim}", "--decoder-ffn-embed-dim", f"{shape.ffn_dim}"),
            *("--encoder-attention-heads", f"{shape.heads}", "--decoder-attention-heads", f"{shape.heads}"),
            *("--share-all-embeddings", "--dropout", f"{shape.dropout}"),
            *("--criterion", "label_smoothed_cross_entropy", "--label-smoothing", f"{shape.label_smoothing}"),
            *("--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--clip-norm", "1.0"),
            *("--lr-scheduler", "inverse_sqrt", "--lr", f"{training.learning_rate}"),
            *("--warmup-updates", f"{training.warmup_updates}", "--warmup-init-lr", "1e-07"),
            *("--max-tokens", f"{training.batch_tokens}", "--max-update", f"{training.updates}"),
            *("--num-workers", "0", "--seed", f"{training.seed}", "--log-interval", "50"),
            *("--disable-validation", "--no-epoch-checkpoints", "--no-last-checkpoints"),
            *(
                ("--save-interval-updates", f"{saves}", "--save-dir", CHECKPOINTS)
                if saves
                else ("--no-save",)
            ),
        ]

    def checkpoints(self, work: Path) -> list[Path]:
        """`checkpoint_EPOCH_UPDATE.pt`; fairseq writes under another name and renames."""
        found = (work / CHECKPOINTS).glob("checkpoint_*_*.pt")
        return sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """fairseq-interactive on the whole of its input at once, which it sorts by length."""
        lengths: tuple[str, ...] = ()
        if search.tokens is not None:  # it does not count EOS
            most = f"{search.tokens - 1}"
            lengths = ("--min-len", most, "--max-len-a", "0", "--max-len-b", most)
        return [
            self.program("fairseq-interactive"),
            *("data", "--path", str(checkpoint), "--cpu", "--task", "translation"),
            *("--beam", f"{search.beam_size}", "--buffer-size", "100000", *lengths),
            *(
                ("--max-tokens", f"{SEARCHED_TOKENS}")
                if search.sentences is None
                else ("--batch-size", f"{search.sentences}")
            ),
            *("--source-lang", "source", "--target-lang", "target"),
        ]

    def translations(self, printed: str) -> list[str]:
        """H lines hold the hypotheses: number, score, text."""
        found = [line.split("\t") for line in printed.splitlines() if line.startswith("H-")]
        texts = {int(number.removeprefix("H-")): text for number, _, text in found}
        return [texts[number] for number in range(len(texts))]
