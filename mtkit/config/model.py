"""Settings of the model's architecture, all expressible in CTranslate2's Transformer specification."""

from collections.abc import Iterator
from typing import Annotated, Literal

from mtkit.config.rules import Field
from mtkit.config.settings import Finding, Settings
from mtkit.config.values import Probability


class SinusoidalPositions(Settings):
    """Fixed sines and cosines added to the embeddings (Vaswani et al. 2017, section 3.5)."""

    kind: Literal["sinusoidal"] = "sinusoidal"


class LearnedPositions(Settings):
    """A learned vector for each position, added to the embeddings."""

    kind: Literal["learned"] = "learned"
    max: int = Field(
        default=512,
        ge=2,
        description="number of positions, of which the end mark takes one; longer texts are split",
    )


class RotaryPositions(Settings):
    """Queries and keys of self-attention rotated by their position (Su et al. 2021)."""

    kind: Literal["rotary"] = "rotary"
    base: float = Field(default=10000.0, gt=1.0, description="longest wavelength is 2π times this")


Positions = Annotated[SinusoidalPositions | LearnedPositions | RotaryPositions, Field(discriminator="kind")]


class ModelSettings(Settings):
    """Model: an encoder-decoder Transformer with cross-attention (Vaswani et al. 2017)."""

    dim: int = Field(default=256, ge=2, description="D, width of the residual stream")
    ffn_dim: int = Field(default=1024, ge=1, description="F, width inside the feed-forward block")
    heads: int = Field(default=4, ge=1, description="H, attention heads of D/H dimensions each")
    kv_heads: int | None = Field(
        default=None,
        ge=1,
        description="key/value heads (grouped-query attention, Ainslie et al. 2023); left out: heads",
    )
    encoder_layers: int = Field(default=3, ge=1, description="layers of the encoder")
    decoder_layers: int = Field(default=3, ge=1, description="layers of the decoder")
    norm: Literal["layer_norm", "rms_norm"] = Field(
        default="layer_norm", description="layer_norm (Ba et al. 2016) or rms_norm (Zhang and Sennrich 2019)"
    )
    norm_order: Literal["pre", "post"] = Field(
        default="pre",
        description="normalise before each block (with a final norm), or after its residual sum",
    )
    activation: Literal["relu", "gelu", "swish", "swiglu"] = Field(
        default="relu",
        description="feed-forward activation; swish is x · sigmoid(x) (Ramachandran et al. 2017);"
        " swiglu (Shazeer 2020) has a third matrix",
    )
    positions: Positions = Field(
        default_factory=SinusoidalPositions, description="how the order of tokens is told"
    )
    tied_embeddings: Literal["none", "target", "all"] = Field(
        default="all",
        description="target: target embedding = output layer (Press and Wolf 2017); all: source too",
    )
    bias: bool = Field(default=True, description="bias vectors in linear layers")
    dropout: Probability = Field(default=0.1, description="of embeddings and of each block's output")
    attention_dropout: Probability = Field(default=0.0, description="of attention weights")
    activation_dropout: Probability = Field(default=0.0, description="inside the feed-forward block")

    @property
    def most_positions(self) -> int | None:
        """Most tokens that a side may have where positions are learned; None: any number."""
        return self.positions.max if isinstance(self.positions, LearnedPositions) else None

    def findings(self) -> Iterator[Finding]:
        if self.dim % self.heads:
            yield Finding(
                ("heads",),
                f"{self.heads} heads do not divide the width {self.dim}",
                "a divisor of `dim`",
                f"Try {_nearest_divisor(self.dim, self.heads)} heads.",
            )
        elif self.positions.kind == "rotary" and (self.dim // self.heads) % 2:
            yield Finding(
                ("heads",),
                f"heads of {self.dim // self.heads} dimensions cannot be rotated in pairs",
                "an even number of dimensions a head",
                "Change `heads` or `dim`.",
            )
        if self.kv_heads is not None and self.heads % self.kv_heads:
            yield Finding(
                ("kv_heads",),
                f"{self.kv_heads} key/value heads do not divide {self.heads} heads",
                "a divisor of `heads`",
                f"Try {_nearest_divisor(self.heads, self.kv_heads)}.",
            )
        if self.positions.kind == "sinusoidal" and self.dim % 2:
            yield Finding(("dim",), f"{self.dim} is odd", "an even width for sinusoidal positions")


def _nearest_divisor(number: int, wish: int) -> int:
    """The divisor of `number` nearest to `wish`, the smaller of two equally near."""
    divisors = [n for n in range(1, number + 1) if number % n == 0]
    return min(divisors, key=lambda n: (abs(n - wish), n))
