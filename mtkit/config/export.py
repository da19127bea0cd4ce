"""Settings of the export stage, and which architectures other programs cannot express."""

from collections.abc import Iterator, Mapping
from typing import Literal, get_args

from mtkit.config.model import ModelSettings
from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings

Quantization = Literal["float32", "int8", "int8_float32", "int16", "bfloat16"]
QUANTIZATIONS: tuple[Quantization, ...] = get_args(Quantization)
Format = Literal["ctranslate2", "onnx", "huggingface", "safetensors"]
ENGINES: Mapping[Format, str] = {
    "ctranslate2": "CTranslate2",
    "onnx": "ONNX as written here",
    "huggingface": "transformers as taught here",
    "safetensors": "mtkit",
}
ROUNDINGS: Mapping[Format, tuple[Quantization, ...]] = {  # what weights may be rounded to
    "ctranslate2": QUANTIZATIONS,
    "onnx": ("float32", "int8"),
    "huggingface": ("float32",),
    "safetensors": ("float32",),
}

# What `export/specification.py` knows how to write, setting by setting; None: any value. A setting that is
# not named here must have its default, so that nothing new is left out in silence.
EXPRESSIBLE: Mapping[str, frozenset[str] | None] = {
    "dim": None,
    "ffn_dim": None,
    "heads": None,
    "kv_heads": None,
    "encoder_layers": None,
    "decoder_layers": None,
    "bias": None,
    "norm": frozenset({"layer_norm", "rms_norm"}),
    "norm_order": frozenset({"pre", "post"}),
    "activation": frozenset({"relu", "gelu", "swish", "swiglu"}),
    "positions": frozenset({"sinusoidal", "learned", "rotary"}),
    "tied_embeddings": frozenset({"none", "target", "all"}),
    "dropout": None,  # these three act in training only
    "attention_dropout": None,
    "activation_dropout": None,
}


class ExportSettings(Settings):
    """Export: the model for another engine, with a certificate that both translate alike."""

    to: Format = Field(
        default="ctranslate2",
        description="whose format; a model of ctranslate2 is what `mtkit translate` uses on a CPU",
    )
    quantization: Quantization = Field(
        default="float32",
        description="what weights are rounded to; float32: not at all, and translations are the same; onnx"
        " has float32 and int8, huggingface and safetensors float32",
    )
    shortlist: int | None = Field(
        default=None,
        ge=1,
        description="ctranslate2: most target pieces that are looked at for a source piece, learnt by"
        " aligning the training text (lexical shortlist); quicker, within the bounds below, but what shares"
        " a batch can change a translation; null: every piece",
    )
    probe_lines: int = Field(
        default=200,
        ge=1,
        description="lines of valid, and of test, that both engines translate for the certificate",
    )
    most_bleu_loss: float = Field(
        default=0.5, ge=0, description="BLEU that rounding, or a shortlist, may cost on these lines"
    )
    most_chrf_loss: float = Field(
        default=0.3, ge=0, description="chrF that rounding, or a shortlist, may cost on these lines"
    )

    @property
    def is_exact(self) -> bool:
        """True if translations must be the same, token for token."""
        return self.quantization == "float32" and self.shortlist is None

    def findings(self) -> Iterator[Finding]:
        if self.shortlist is not None and self.to != "ctranslate2":
            yield Finding(
                ("shortlist",),
                f"`shortlist` has no effect on {self.to}",
                "a setting with an effect",
                "Remove it, or export to ctranslate2.",
                idle=True,
            )
        if self.quantization not in ROUNDINGS[self.to]:
            yield Finding(
                ("quantization",),
                f"`{self.quantization}` for {self.to}",
                f"one of {', '.join(ROUNDINGS[self.to])}",
                "Choose one of them, or export to ctranslate2, which has all.",
            )
        for name in ("most_bleu_loss", "most_chrf_loss"):
            if self.is_exact and name in self.model_fields_set:
                yield Finding(
                    (name,),
                    f"`{name}` has no effect on float32, which must agree token for token",
                    "a setting with an effect",
                    "Remove it, or choose another `quantization`.",
                    idle=True,
                )

    def findings_beside(self, behind: Mapping[str, Settings]) -> Iterator[Finding]:
        model = getattr(behind.get("train"), "model", None)
        if isinstance(model, ModelSettings):
            for reason in inexpressible(model, self.to):
                yield Finding((), reason, f"an architecture that {self.to} has", _ADVICE)
        pieces = getattr(behind.get("subword"), "pieces", None)
        if isinstance(pieces, int) and self.to == "ctranslate2":
            yield from against_shortlist(self.shortlist, pieces)


def against_shortlist(shortlist: int | None, pieces: int) -> Iterator[Finding]:
    """Why a shortlist would leave nothing out, if so.

    Args:
        shortlist: target pieces of a source piece; None: no shortlist.
        pieces: of the target vocabulary.
    """
    if shortlist is not None and shortlist >= pieces:
        yield Finding(
            ("shortlist",),
            f"a shortlist of {shortlist:,} pieces, but the target vocabulary has {pieces:,}",
            "a small part of the vocabulary, such as 20 pieces",
            "Ask for fewer, or export without a shortlist, which looks at all of them.",
        )


_ADVICE = "Remove the export stage, or change the model of the train stage."


def inexpressible(architecture: ModelSettings, to: Format = "ctranslate2") -> list[str]:
    """Why another program cannot run a model, a sentence for each setting that it has no words for."""
    if to == "safetensors":  # which says what weights are, and runs nothing
        return []
    reasons = []
    for name, field in type(architecture).model_fields.items():
        value = getattr(architecture, name)
        if name not in EXPRESSIBLE:
            if value != field.default:
                reasons.append(f"{ENGINES[to]} has no `{name}`, which is {value!r} in this model")
            continue
        known = EXPRESSIBLE[name]
        word = getattr(value, "kind", value)
        if known is not None and word not in known:
            reasons.append(f"{ENGINES[to]} has no `{name}: {word}`")
    return reasons
