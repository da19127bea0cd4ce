"""From a model folder to one that transformers loads, with its certificate, or to nothing and the reasons.

What transformers has itself (MarianMTModel) is written so that it needs nothing of ours; every other shape
comes with `modeling_mtkit.py`, which transformers runs if it is told `trust_remote_code=True`.
"""

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor

from mtkit.config.export import ExportSettings
from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.export import huggingface_tokenizer as tokenizing
from mtkit.export import marian_layout as layout
from mtkit.export.comparing import Comparison, plain_beam
from mtkit.export.huggingface_engine import HuggingFaceEngine
from mtkit.export.opened import Opened, positions_in
from mtkit.export.probe import ProbeLine
from mtkit.export.proof import Proof, fresh_folder, prove, settle
from mtkit.files import user_errors, write_json
from mtkit.model.folder import WEIGHTS
from mtkit.model.positions import sinusoids
from mtkit.model.transformer import Transformer
from mtkit.model.weights import write_tensors
from mtkit.search.length import length_limit
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED, PAD, Side
from mtkit.translation.translator import BATCH_TOKENS, source_limit

MODELING = "modeling_mtkit.py"
OF_TORCH = {"format": "pt"}  # without it transformers does not read a file
RANKING = {"length_penalty", "length_penalty_form", "patience"}  # which one hypothesis has no need of
# what MarianMTModel has no words for, setting by setting: our name → what it must be
OF_MARIAN: dict[str, tuple[object, ...]] = {
    "norm": ("layer_norm",),
    "norm_order": ("post",),
    "activation": ("relu", "gelu", "swish"),
    "positions": ("sinusoidal",),
    "bias": (True,),
}


def export_huggingface(
    model_folder: Path,
    out: Path,
    settings: ExportSettings,
    probe: Sequence[ProbeLine],
    *,
    threads: int | None = None,
    say: Callable[[str], None],
) -> Proof:
    """Write a model as transformers loads it and prove that both translate alike.

    Greedy search, which is one and the same everywhere, must find the same tokens; beams are compared too,
    and noted, because transformers ranks by another length penalty.

    Args:
        model_folder: the model.
        out: the folder to be; written whole or not at all.
        settings: of an export in float32.
        probe: the lines that both translate.
        threads: CPU threads.
        say: hears which class of transformers the model is.

    Raises:
        ModelError: the two do not translate alike.
    """
    opened = Opened(model_folder, threads)
    reasons = not_marian(opened.card.architecture)
    greedy, beam = _searches(opened.card.decoding)
    with fresh_folder(out) as fresh, user_errors(out), _quiet():
        (_write_own if reasons else _write_marian)(fresh, opened)
        tokenizers = _write_around(fresh, opened, beam)
        model = _class(reasons).from_pretrained(fresh, dtype=torch.float32).eval()
        engine = HuggingFaceEngine(model, BATCH_TOKENS, opened.model.max_tokens)
        comparison = opened.comparison(probe, greedy)
        proof = prove(settings, opened.card, comparison, comparison.translated(engine), greedy)
        remarks = {
            "class": type(model).__name__,
            "not MarianMTModel because": reasons,
            "tokenizers": tokenizers,
            "texts alike": _texts([fresh / one for one in tokenizers.values()], opened, comparison, greedy),
            **_of_beam(opened, engine, probe, beam),
        }
        say(f"huggingface: {_kind(type(model).__name__, reasons)}")
        return settle(fresh, out, proof.model_copy(update={"remarks": remarks}))


def _class(reasons: Sequence[str]) -> Any:
    """The class of the model; ours is not loaded from the folder, where a copy of it lies."""
    if not reasons:
        return transformers.MarianMTModel
    from mtkit.export.modeling_mtkit import MtkitForConditionalGeneration

    return MtkitForConditionalGeneration


def not_marian(architecture: ModelSettings) -> list[str]:
    """Why a model is none that transformers itself can be, a word for each setting."""
    reasons = []
    for name, known in OF_MARIAN.items():
        value = getattr(architecture, name)
        if getattr(value, "kind", value) not in known:
            reasons.append(f"{name}: {getattr(value, 'kind', value)}")
    if architecture.kv_heads not in (None, architecture.heads):
        reasons.append(f"kv_heads: {architecture.kv_heads}")
    return reasons


def _kind(name: str, reasons: Sequence[str]) -> str:
    if not reasons:
        return f"{name}, which transformers has"
    return f"{name}, in {MODELING} (trust_remote_code=True), because of {', '.join(reasons)}"


def _searches(decoding: SearchSettings) -> tuple[SearchSettings, SearchSettings]:
    """Greedy search, and the card's beam."""
    beam = plain_beam(decoding)
    one: dict[str, Any] = {"beam_size": 1, **SearchSettings().model_dump(include=RANKING)}
    return beam.model_copy(update=one), beam


def _their_penalty(beam: SearchSettings) -> float:
    """The exponent of T by which transformers is to divide: as near as it comes to what the card asks for."""
    return 1.0 if beam.length_penalty_form == "reward" else beam.length_penalty


def _write_marian(folder: Path, opened: Opened) -> None:
    card, model = opened.card, opened.model
    shape = card.architecture
    shared = shape.tied_embeddings == "all"
    config = {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "vocab_size": card.source_size,
        "decoder_vocab_size": card.target_size,
        "share_encoder_decoder_embeddings": shared,
        "tie_word_embeddings": shape.tied_embeddings != "none",
        "d_model": shape.dim,
        "scale_embedding": True,
        "static_position_embeddings": True,
        "activation_function": shape.activation,
        "max_position_embeddings": positions_in(opened),
        "dropout": shape.dropout,
        "attention_dropout": shape.attention_dropout,
        "activation_dropout": shape.activation_dropout,
        **_ids(),
    }
    for side in ("encoder", "decoder"):
        config[f"{side}_layers"] = getattr(shape, f"{side}_layers")
        config[f"{side}_attention_heads"] = shape.heads
        config[f"{side}_ffn_dim"] = shape.ffn_dim
    write_json(folder / "config.json", config)
    weights = {name: weight.clone() for name, weight in _marian_weights(model, positions_in(opened))}
    write_tensors(folder / WEIGHTS, weights, OF_TORCH)


def _marian_weights(model: Transformer, positions: int) -> Iterator[tuple[str, Tensor]]:
    weights = dict(model.named_parameters())
    for pairing in layout.pairings(model.settings):
        yield from layout.to_theirs(pairing, weights[pairing.ours].detach()).items()
    tied = model.settings.tied_embeddings
    matrices: dict[str, Tensor] = {
        layout.SHARED if tied == "all" else layout.TARGET_EMBEDDING: model.target_embedding.weight
    }
    if model.source_embedding is not None:
        matrices[layout.SOURCE_EMBEDDING] = model.source_embedding.weight
    if model.output_layer is not None:
        matrices[layout.OUTPUT] = model.output_layer.weight
    table = sinusoids(positions, model.settings.dim)
    matrices |= dict.fromkeys(sorted(layout.COMPUTED), table)
    for name, matrix in matrices.items():
        yield name, layout.reordered(matrix.detach(), 1, back=True)
    bias = torch.zeros(model.target_size) if model.output_bias is None else model.output_bias.detach()
    yield layout.OUTPUT_BIAS, bias.unsqueeze(0)


def _write_own(folder: Path, opened: Opened) -> None:
    card = opened.card
    shape = card.architecture.model_dump(mode="json", exclude={"positions", "dropout"})
    positions = card.architecture.positions
    config = {
        "architectures": ["MtkitForConditionalGeneration"],
        "model_type": "mtkit",
        "auto_map": {
            "AutoConfig": "modeling_mtkit.MtkitConfig",
            "AutoModelForSeq2SeqLM": "modeling_mtkit.MtkitForConditionalGeneration",
        },
        "source_size": card.source_size,
        "target_size": card.target_size,
        "positions": positions.kind,
        "rotary_base": getattr(positions, "base", None) or 10000.0,
        "max_positions": opened.model.max_tokens,
        "output_bias": card.output_bias,
        **{name: value for name, value in shape.items() if not name.endswith("_dropout")},
        **_ids(),
    }
    write_json(folder / "config.json", config)
    weights = {name: weight.detach() for name, weight in opened.model.named_parameters()}
    write_tensors(folder / WEIGHTS, weights, OF_TORCH)
    shutil.copyfile(Path(__file__).with_name(MODELING), folder / MODELING)


def _ids() -> dict[str, object]:
    return {
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "decoder_start_token_id": BOS,
        "forced_eos_token_id": None,
        "is_encoder_decoder": True,
        "dtype": "float32",
    }


def _write_around(folder: Path, opened: Opened, beam: SearchSettings) -> dict[Side, str]:
    """The tokenizers, and how `generate` searches unless told otherwise; where the tokenizers are."""
    longest = source_limit(opened.card.architecture, opened.card.max_tokens)
    generation = {
        **{name: value for name, value in _ids().items() if name.endswith("token_id")},
        "suppress_tokens": list(NEVER_PRODUCED),
        "renormalize_logits": True,  # what they would have is shared among the rest, as `search/step.py` does
        "num_beams": beam.beam_size,
        "max_new_tokens": length_limit(longest, beam, opened.model.max_tokens),
    }
    if beam.no_repeat_ngram:
        generation["no_repeat_ngram_size"] = beam.no_repeat_ngram
    if beam.beam_size > 1:  # "never" stops before nothing better can come; other values guess
        generation |= {"length_penalty": _their_penalty(beam), "early_stopping": "never"}
    write_json(folder / "generation_config.json", generation)
    return tokenizing.write_tokenizers(opened.codec, opened.card, folder, longest)


def _texts(
    folders: Sequence[Path], opened: Opened, comparison: Comparison, settings: SearchSettings
) -> dict[str, Any]:
    """Whether their tokenizer cuts lines and joins pieces as ours does; lines that mtkit splits are left out.

    Raises:
        ModelError: a line of the held-out text is cut or joined otherwise.
    """
    loaded = [
        transformers.AutoTokenizer.from_pretrained(folder, trust_remote_code=False) for folder in folders
    ]
    tokens, of_target = loaded[0], loaded[-1]
    translator = opened.translator(settings)
    looked, otherwise = 0, []
    for line, parts in zip(comparison.lines, comparison.torch.parts, strict=True):
        prepared = translator.prepare(line.source)
        if len(prepared.ids) != 1 or prepared.parts[0].text != prepared.normal:
            continue
        looked += 1
        cut = tokens(line.source).input_ids[:-1] == list(prepared.ids[0])
        text = " ".join(of_target.decode(parts[0].ids, skip_special_tokens=True).split())
        if not cut or text != " ".join(translator.target_text(parts[0]).split()):
            otherwise.append(line)
    if any(line.reference is not None for line in otherwise):
        raise ModelError(
            f"{len(otherwise):,} of {looked:,} lines are cut otherwise, first {otherwise[0].source!r}",
            where="export huggingface",
            expected="the same pieces",
            advice="Nothing was kept; report this with the line above.",
        )
    return {"lines": looked, "otherwise": [line.source for line in otherwise]}


def _of_beam(
    opened: Opened, engine: HuggingFaceEngine, probe: Sequence[ProbeLine], beam: SearchSettings
) -> dict[str, Any]:
    """How near beam search of transformers comes to ours: as the card ranks, and if both rank alike."""
    if beam.beam_size == 1:
        return {}
    ours: Comparison = opened.comparison(probe, beam)
    theirs = opened.comparison(
        probe,
        beam.model_copy(
            update={"length_penalty": _their_penalty(beam), "length_penalty_form": "average"},
        ),
    )
    other = theirs.translated(engine)
    return {
        f"beam of {beam.beam_size}": {
            "alike": len(probe) - len(ours.differences(other, exact=False)),
            "alike with their length penalty": len(probe) - len(theirs.differences(other, exact=False)),
            "scores": ours.scores(other),
        }
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what transformers says and warns of on its way."""
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
