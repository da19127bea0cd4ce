"""OpenNMT-py: onmt_train on pieces, sorted by length within large buckets as its own examples do."""

import json
from pathlib import Path

from benchmarks.peers.peer import CHECKPOINTS, Peer, Search, Training, batch_of_search
from benchmarks.pieces import Pieces

CONFIGURATION = "config.yaml"  # JSON, which is YAML too
VOCABULARY = "vocabulary.txt"
BUCKET_PAIRS = 262_144  # as in its examples: here the whole corpus


class Opennmt(Peer):
    """The toolkit's last version; its training runs with today's torch."""

    name = "opennmt"
    specials = (1, 2, 3)

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("OpenNMT-py")

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """The vocabulary with made-up counts, and a link to the text."""
        specials = ("<unk>", "<blank>", "<s>", "</s>")
        lines = (f"{piece}\t1\n" for piece in (*specials, *pieces.vocabulary))
        (work / VOCABULARY).write_text("".join(lines), "utf-8")
        (work / "pieces").symlink_to(pieces.folder)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """`onmt_train --config`; it shows loss and speed, and validates nothing."""
        shape = training.shape
        configuration = {
            "data": {"corpus": {"path_src": "pieces/train.source", "path_tgt": "pieces/train.target"}},
            "src_vocab": VOCABULARY,
            "tgt_vocab": VOCABULARY,
            "share_vocab": True,
            "src_vocab_size": 100_000,
            "tgt_vocab_size": 100_000,
            "bucket_size": BUCKET_PAIRS,
            "num_workers": 0,
            "encoder_type": "transformer",
            "decoder_type": "transformer",
            "position_encoding": True,
            "enc_layers": shape.layers,
            "dec_layers": shape.layers,
            "heads": shape.heads,
            "hidden_size": shape.dim,
            "word_vec_size": shape.dim,
            "transformer_ff": shape.ffn_dim,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "dropout": [shape.dropout],
            "dropout_steps": [0],
            "attention_dropout": [0.0],
            "label_smoothing": shape.label_smoothing,
            "param_init": 0.0,
            "param_init_glorot": True,
            "optim": "adam",
            "adam_beta2": 0.98,
            "max_grad_norm": 1.0,
            "decay_method": "noam",
            # its schedule is a multiple of 1/sqrt(dim) in units of updates
            "learning_rate": training.learning_rate * (shape.dim * training.warmup_updates) ** 0.5,
            "warmup_steps": training.warmup_updates,
            "batch_type": "tokens",
            "normalization": "tokens",
            "batch_size": training.batch_tokens,
            "accum_count": [1],
            "accum_steps": [0],
            "train_steps": training.updates,
            "valid_steps": training.updates,
            "report_every": 50,
            "seed": training.seed,
            "save_model": f"{CHECKPOINTS}/model",
            "save_checkpoint_steps": training.save_updates or training.updates,
            "keep_checkpoint": -1,
        }
        (work / CONFIGURATION).write_text(json.dumps(configuration, indent=1), "utf-8")
        return [self.program("onmt_train"), "--config", CONFIGURATION]

    def checkpoints(self, work: Path) -> list[Path]:
        """`model_step_UPDATE.pt`."""
        found = (work / CHECKPOINTS).glob("model_step_*.pt")
        return sorted(found, key=lambda path: int(path.stem.rpartition("_")[2]))

    def environment(self, threads: int) -> dict[str, str]:
        """Torch reads the objects in its checkpoints only if told to; here it reads what it wrote itself."""
        return {**super().environment(threads), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """onmt_translate."""
        size, kind = batch_of_search(search)
        tokens = search.tokens
        return [
            self.program("onmt_translate"),
            *("--model", str(checkpoint), "--src", str(source), "--output", str(target)),
            *("--beam_size", f"{search.beam_size}", "--batch_size", size, "--batch_type", kind),
            *(() if tokens is None else ("--min_length", f"{tokens}", "--max_length", f"{tokens}")),
            *(() if tokens is None else ("--max_length_ratio", "0")),  # or short lines get fewer tokens
        ]
