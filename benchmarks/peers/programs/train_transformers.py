"""Trains a MarianMTModel with the Trainer of Transformers, or translates with one; runs in its environment.

train_transformers.py training.json
train_transformers.py training.json CHECKPOINT SOURCE TARGET BEAM_SIZE SENTENCES TOKENS

SENTENCES are those of a batch; TOKENS is how many a translation has, 0: as many as the model says.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForSeq2Seq,
    MarianConfig,
    MarianMTModel,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
)

PAD, UNK, BOS, EOS = 0, 1, 2, 3
SPECIAL = "<special>"
LONGEST = 100  # tokens: hundreds of the longest sentences come first, in a batch that fits in no memory


class Padder:
    """As much of a tokenizer as the collator asks for."""

    padding_side = "right"

    def pad(self, features: Any, return_tensors: str | None = None, **_: Any) -> Any:
        """Source ids and their mask, padded to the longest."""
        longest = max(len(one["input_ids"]) for one in features)
        rows = [one["input_ids"] + [PAD] * (longest - len(one["input_ids"])) for one in features]
        ids = torch.tensor(rows)
        return {"input_ids": ids, "attention_mask": (ids != PAD).long()}

    def save_pretrained(self, _: str) -> None:
        """Nothing: the vocabulary lies beside the checkpoints."""


def numbers() -> dict[str, int]:
    """Piece → id."""
    vocabulary = Path("pieces/vocabulary.txt").read_text("utf-8").split("\n")[:-1]
    return {piece: number for number, piece in enumerate(vocabulary, start=EOS + 1)}


def ids_of(path: Path, known: dict[str, int]) -> list[list[int]]:
    """Each line as ids, EOS last."""
    lines = path.read_text("utf-8").split("\n")[:-1]
    return [[known.get(piece, UNK) for piece in line.split()] + [EOS] for line in lines]


def train(given: dict[str, Any]) -> None:
    """Train from scratch."""
    known = numbers()
    sides = [ids_of(Path(f"pieces/train.{side}"), known) for side in ("source", "target")]
    pairs = [
        {"input_ids": source, "labels": target}
        for source, target in zip(*sides, strict=True)
        if max(len(source), len(target)) <= LONGEST
    ]
    # The Trainer counts sentences, not tokens: as many as have the tokens wanted in the mean.
    sentences = round(given["batch_tokens"] * len(pairs) / sum(len(one["labels"]) for one in pairs))
    torch.manual_seed(given["seed"])
    model = MarianMTModel(configuration(given, len(known) + EOS + 1))
    arguments = Seq2SeqTrainingArguments(
        output_dir=given["checkpoints"],
        per_device_train_batch_size=sentences,
        max_steps=given["updates"],
        learning_rate=given["learning_rate"],
        warmup_steps=given["warmup_updates"],
        lr_scheduler_type="inverse_sqrt",
        adam_beta2=0.98,
        max_grad_norm=1.0,
        label_smoothing_factor=given["label_smoothing"],
        train_sampling_strategy="group_by_length",
        save_strategy="steps" if given["save_updates"] else "no",
        save_steps=given["save_updates"] or 500,
        logging_steps=50,
        report_to=[],
        use_cpu=True,
        seed=given["seed"],
        disable_tqdm=True,
    )
    collator = DataCollatorForSeq2Seq(Padder(), model=model, label_pad_token_id=-100)
    Seq2SeqTrainer(model=model, args=arguments, train_dataset=pairs, data_collator=collator).train()


def configuration(given: dict[str, Any], pieces: int) -> MarianConfig:
    """The shape."""
    return MarianConfig(
        vocab_size=pieces,
        d_model=given["dim"],
        encoder_layers=given["layers"],
        decoder_layers=given["layers"],
        encoder_ffn_dim=given["ffn_dim"],
        decoder_ffn_dim=given["ffn_dim"],
        encoder_attention_heads=given["heads"],
        decoder_attention_heads=given["heads"],
        dropout=given["dropout"],
        activation_function="relu",
        scale_embedding=True,
        share_encoder_decoder_embeddings=True,
        max_position_embeddings=512,
        pad_token_id=PAD,
        bos_token_id=BOS,
        eos_token_id=EOS,
        decoder_start_token_id=BOS,
        forced_eos_token_id=None,
    )


def translate(checkpoint: str, source: str, target: str, *numbers_given: str) -> None:
    """Translate a file, lines of like lengths together."""
    beam_size, sentences, tokens = map(int, numbers_given)
    known = numbers()
    pieces = {number: piece for piece, number in known.items()}
    model = MarianMTModel.from_pretrained(checkpoint).eval()
    sources = ids_of(Path(source), known)
    order = sorted(range(len(sources)), key=lambda index: len(sources[index]))
    found = [""] * len(sources)
    for start in range(0, len(order), sentences):
        part = order[start : start + sentences]
        longest = max(len(sources[index]) for index in part)
        ids = torch.tensor([sources[index] + [PAD] * (longest - len(sources[index])) for index in part])
        with torch.no_grad():
            best = model.generate(
                input_ids=ids,
                attention_mask=(ids != PAD).long(),
                num_beams=beam_size,
                min_new_tokens=tokens or None,
                max_new_tokens=tokens or 2 * longest + 10,
            )
        for index, row in zip(part, best.tolist(), strict=True):
            # of a fixed length everything counts: a model that has learnt nothing writes anything
            written = [pieces.get(number, SPECIAL) for number in row[1:] if tokens or number in pieces]
            found[index] = " ".join(written)
    Path(target).write_text("".join(f"{line}\n" for line in found), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        translate(*sys.argv[2:])
    else:
        train(json.loads(Path(sys.argv[1]).read_text("utf-8")))
