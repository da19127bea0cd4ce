"""JoeyNMT: `python -m joeynmt` on pieces as words. It mixes lengths in a batch, whatever one sets."""

import json
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import CHECKPOINTS, Peer, Search, Training
from benchmarks.pieces import Pieces
from mtkit.files import canonical_hash

CONFIGURATION = "config.yaml"  # JSON, which is YAML too
ENDLESS = Path(__file__).parent / "programs" / "endless_joeynmt.py"
SPECIALS = ("<unk>", "<pad>", "<s>", "</s>")
# A long pair fills its batch with padding. The toolkit's own examples leave out what is longer: here 0.4 %.
LONGEST = 100


class Joeynmt(Peer):
    """The peer made for teaching."""

    name = "joeynmt"
    specials = (1, 2, 3)
    through_streams = True  # its option to write a file crashes at the end

    def version(self) -> str:
        """Of the package that was installed."""
        return self.installed_version("joeynmt")

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """The vocabulary with JoeyNMT's special pieces, and a link to the text."""
        (work / "vocabulary.txt").write_text("\n".join((*SPECIALS, *pieces.vocabulary)) + "\n", "utf-8")
        (work / "pieces").symlink_to(pieces.folder)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """`joeynmt CONFIGURATION train`; validation comes with every checkpoint, on two sentences here."""
        (work / CONFIGURATION).write_text(json.dumps(_configuration(training), indent=1), "utf-8")
        return [self.python, "-m", "joeynmt", "train", CONFIGURATION, "--skip-test"]

    def checkpoints(self, work: Path) -> list[Path]:
        """`UPDATE.ckpt`."""
        return sorted((work / CHECKPOINTS).glob("[0-9]*.ckpt"), key=lambda path: int(path.stem))

    def search_command(
        self, work: Path, checkpoint: Path, source: Path, target: Path, search: Search
    ) -> list[str]:
        """`joeynmt translate`; how to search stands in a configuration."""
        configuration = json.loads((work / CONFIGURATION).read_text("utf-8"))
        testing = configuration["testing"]
        testing.update(beam_size=search.beam_size, load_model=str(checkpoint))
        if search.sentences is not None:
            testing["batch_size"] = search.sentences
        if search.tokens is not None:
            testing.update(max_output_length=search.tokens)
        name = f"translate-{canonical_hash(testing)[:12]}.yaml"
        (work / name).write_text(json.dumps(configuration), "utf-8")
        return [self.python, "-m", "joeynmt", "translate", name]

    def make_endless(self, work: Path) -> None:
        """Its `min_output_length` is read and never used."""
        self.run([self.python, str(ENDLESS), *map(str, self.checkpoints(work))], work)


def _configuration(training: Training) -> dict[str, Any]:
    shape = training.shape
    layers: dict[str, Any] = {
        "type": "transformer",
        "num_layers": shape.layers,
        "num_heads": shape.heads,
        "embeddings": {"embedding_dim": shape.dim, "scale": True, "dropout": shape.dropout},
        "hidden_size": shape.dim,
        "ff_size": shape.ffn_dim,
        "dropout": shape.dropout,
        "layer_norm": "post",
    }
    side = {"level": "word", "max_length": LONGEST, "voc_file": "vocabulary.txt"}
    return {
        "name": "benchmark",
        "joeynmt_version": "2.3.0",
        "model_dir": CHECKPOINTS,
        "use_cuda": False,
        "random_seed": training.seed,
        "data": {
            "train": "pieces/train",
            "dev": "pieces/valid",
            "sample_dev_subset": 2,
            "dataset_type": "plain",
            "src": {"lang": "source", **side},
            "trg": {"lang": "target", **side},
        },
        "testing": {"beam_size": 1, "batch_size": 64, "batch_type": "sentence", "eval_metrics": []},
        "training": {
            "optimizer": "adamw",
            "adam_betas": [0.9, 0.98],
            "normalization": "tokens",
            "scheduling": "warmupinversesquareroot",
            "learning_rate": training.learning_rate,
            "learning_rate_warmup": training.warmup_updates,
            "clip_grad_norm": 1.0,
            "loss": "crossentropy",
            "label_smoothing": shape.label_smoothing,
            "batch_size": training.batch_tokens,
            "batch_type": "token",
            "epochs": 100_000,
            "updates": training.updates,
            "validation_freq": training.save_updates or training.updates,
            "logging_freq": min(50, (training.save_updates or 100) // 2),  # must be below validation_freq
            "early_stopping_metric": "loss",
            "print_valid_sents": [],
            "keep_best_ckpts": -1,
            "overwrite": True,
            "shuffle": True,
        },
        "model": {
            "initializer": "xavier_uniform",
            "embed_initializer": "xavier_uniform",
            "init_gain": 1.0,
            "tied_embeddings": True,
            "tied_softmax": True,
            "encoder": layers,
            "decoder": layers,
        },
    }
