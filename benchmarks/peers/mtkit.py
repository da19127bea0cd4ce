"""mtkit itself, in the same roles as its peers: the train command on benchmarks/small.yaml."""

import json
import shutil
import sys
from pathlib import Path

import mtkit
from benchmarks.peers.peer import Peer, Training
from benchmarks.pieces import RECIPE, Pieces
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_weights
from mtkit.search.beam import search
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import UNK

ROOT = Path(mtkit.__file__).resolve().parents[1]


class Mtkit(Peer):
    """This working tree, in the Python that runs the benchmark; settings beside the shape may differ.

    Args:
        name: of the variant.
        overrides: of the recipe, `PATH=VALUE`.
        recipe: small.yaml, or another whose corpus and subword stages are the same.
    """

    specials = (0, 2, 3)
    watches = "mtkit"

    def __init__(self, name: str = "mtkit", overrides: tuple[str, ...] = (), recipe: Path = RECIPE) -> None:
        self.name, self.overrides, self.recipe = name, overrides, recipe

    @property
    def python(self) -> str:
        """The Python that runs the benchmark."""
        return sys.executable

    def is_installed(self) -> bool:
        """It is."""
        return True

    def version(self) -> str:
        """Of the working tree."""
        return mtkit.__version__

    def prepare(self, pieces: Pieces, work: Path) -> None:
        """Copy the stages that `pieces` came from; training makes ids of them itself."""
        shutil.copytree(pieces.corpus.parents[1], work / "runs", symlinks=True)

    def train_command(self, work: Path, training: Training) -> list[str]:
        """`mtkit train`; an update is cut into a micro-batch a thread, as the recipes do.

        The seed stays the recipe's: the vocabulary follows from it.
        """
        shape = training.shape
        settings = {
            "batch_tokens": training.batch_tokens,
            "accumulate": training.threads,
            "model.dim": shape.dim,
            "model.ffn_dim": shape.ffn_dim,
            "model.heads": shape.heads,
            "model.encoder_layers": shape.layers,
            "model.decoder_layers": shape.layers,
            "model.dropout": shape.dropout,
            "loss.label_smoothing": shape.label_smoothing,
            "optimizer.learning_rate": training.learning_rate,
            "schedule.warmup_updates": training.warmup_updates,
            "until.updates": training.updates,
            "validate.every": f"{training.save_updates or training.updates} updates",
        }
        pairs = [f"stages.train.{name}={value}" for name, value in settings.items()] + list(self.overrides)
        given = [part for pair in pairs for part in ("--set", pair)]
        command = [self.python, "-m", "mtkit", "train", str(self.recipe), "--runs", "runs"]
        return [*command, "--threads", f"{training.threads}", "--device", "cpu", *given]

    def clear(self, work: Path) -> None:
        """Take the train stages out of the store."""
        for stage in (work / "runs" / "store").glob("train-*"):
            shutil.rmtree(stage)

    def checkpoints(self, work: Path) -> list[Path]:
        """The weights of every validation that is still kept."""
        found = (work / "runs" / "store").glob("train-*/checkpoints/weights-*.safetensors")
        return sorted(found, key=lambda path: path.name)

    def translate(self, work: Path, checkpoint: Path, source: Path, target: Path, beam_size: int) -> None:
        """Beam search over the ids of the pieces, with the weights of a checkpoint."""
        subword = Subword.load(next((work / "runs" / "store").glob("subword-*")))
        record = json.loads(next(checkpoint.parent.glob("*/checkpoint.json")).read_text("utf-8"))
        architecture = ModelSettings.model_validate(record["identity"]["settings"]["model"])
        model = Transformer(architecture, subword.size("source"), subword.size("target"))
        load_weights(checkpoint, model)
        numbers = {piece: number for number, piece in enumerate(_all_pieces(subword))}
        lines = source.read_text("utf-8").split("\n")[:-1]
        ids = [[numbers.get(piece, UNK) for piece in line.split()] for line in lines]
        found = search(model, ids, SearchSettings(beam_size=beam_size))
        best = (" ".join(subword.pieces(hypotheses[0].ids, "target")) for hypotheses in found)
        target.write_text("".join(f"{line}\n" for line in best), "utf-8")

    def environment(self, threads: int) -> dict[str, str]:
        """As of every peer, with this working tree first."""
        return {**super().environment(threads), "PYTHONPATH": str(ROOT)}


def _all_pieces(subword: Subword) -> list[str]:
    return subword.pieces(range(subword.size("source")), "source")
