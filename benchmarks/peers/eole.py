"""eole, the successor of OpenNMT-py: `eole train` on pieces."""

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import CHECKPOINTS, Peer, Search, Training, batch_of_search
from benchmarks.pieces import Pieces

CONFIGURATION = "config.yaml"  # JSON, which is YAML too
VOCABULARY = "vocabulary.txt"
BUCKET_PAIRS = 262_144  # sorted by length within; here the whole corpus


class Eole(Peer):
    """The successor of OpenNMT-py."""

    name = "eole"
    specials = (1, 2, 3)

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("eole")

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """The vocabulary with made-up counts, and a link to the text."""
        specials = ("<unk>", "<blank>", "<s>", "</s>")
        lines = (f"{piece}\t1\n" for piece in (*specials, *pieces.vocabulary))
        (work / VOCABULARY).write_text("".join(lines), "utf-8")
        (work / "pieces").symlink_to(pieces.folder)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """`eole train`; it shows loss and speed, and validates nothing."""
        (work / CONFIGURATION).write_text(json.dumps(_configuration(training), indent=1), "utf-8")
        return [self.program("eole"), "train", "-c", CONFIGURATION]

    def checkpoints(self, work: Path) -> list[Path]:
        """`step_UPDATE`, a folder each."""
        found = (work / CHECKPOINTS).glob("step_*")
        return sorted(found, key=lambda path: int(path.name.rpartition("_")[2]))

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """`eole predict`."""
        size, kind = batch_of_search(search)
        tokens = search.tokens
        return [
            self.program("eole"),
            "predict",
            *("--model_path", str(checkpoint), "--src", str(source), "--output", str(target)),
            *("--beam_size", f"{search.beam_size}", "--batch_size", size, "--batch_type", kind),
            *(() if tokens is None else ("--min_length", f"{tokens}", "--max_length", f"{tokens}")),
            *(() if tokens is None else ("--max_length_ratio", "0")),  # or short lines get fewer tokens
        ]


def _configuration(training: Training) -> dict[str, Any]:
    shape = training.shape
    return {
        "data": {"corpus": {"path_src": "pieces/train.source", "path_tgt": "pieces/train.target"}},
        "transforms": [],
        "src_vocab": VOCABULARY,
        "tgt_vocab": VOCABULARY,
        "share_vocab": True,
        "src_vocab_size": 100_000,
        "tgt_vocab_size": 100_000,
        "overwrite": True,
        "seed": training.seed,
        "report_every": 50,
        "training": {
            "bucket_size": BUCKET_PAIRS,
            "num_workers": 0,
            "compute_dtype": "fp32",
            "dropout": [shape.dropout],
            "dropout_steps": [0],
            "attention_dropout": [0.0],
            "label_smoothing": shape.label_smoothing,
            "param_init_method": "xavier_uniform",
            "optim": "adamw",
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
            "model_path": CHECKPOINTS,
            "save_checkpoint_steps": training.save_updates or training.updates,
            "keep_checkpoint": -1,
            "world_size": 0,
            "gpu_ranks": [],
        },
        "model": {
            "architecture": "transformer",
            "layers": shape.layers,
            "heads": shape.heads,
            "hidden_size": shape.dim,
            "transformer_ff": shape.ffn_dim,
            "share_embeddings": True,
            "share_decoder_embeddings": True,
            "embeddings": {"word_vec_size": shape.dim, "position_encoding_type": "SinusoidalInterleaved"},
        },
    }
