"""`VQVAE`: an auto-encoder whose latents are codes of a codebook."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torchmetrics import Metric

from lhy_lightning.autoencoders.networks import ConvDecoder, ConvEncoder, ConvSettings, check_halving
from lhy_lightning.autoencoders.predictions import LatentsFile
from lhy_lightning.autoencoders.quantizers.codebook_usage import code_perplexity, collapse_warning, usage
from lhy_lightning.autoencoders.quantizers.vector_quantizer import Quantized, QuantizerSettings, VectorQuantizer
from lhy_lightning.autoencoders.quantizers.vqvae2 import TwoLevelNetwork
from lhy_lightning.autoencoders.reconstruction import ReconstructionArguments, ReconstructionModule
from lhy_lightning.core.arguments.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.training.module import EvaluatedSplit

PICTURES_OF_CODES = 256


class CodeCounts(Metric):
    """How often each of K codes was used on each level, (levels, K) over all rows and ranks of an evaluation."""

    counts: Tensor

    def __init__(self, levels: int, size: int) -> None:
        super().__init__()
        self.add_state("counts", torch.zeros(levels, size, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, codes: Sequence[Tensor]) -> None:
        for level, part in zip(self.counts, codes, strict=True):
            level += torch.bincount(part.flatten(), minlength=len(level))

    def compute(self) -> Tensor:
        return self.counts


class VQVAENetwork(nn.Module):
    """Encoder, quantizer and decoder; plain torch.

    Args:
        encoder: pictures (N, C, H, W) to (N, D, h, w).
        quantizer: vectors (..., D) to `Quantized`.
        decoder: (N, D, h, w) to pictures.
    """

    def __init__(self, encoder: nn.Module, quantizer: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

    def quantize(self, images: Tensor) -> Quantized:
        """Pictures to vectors (N, h, w, D) and codes (N, h, w)."""
        result: Quantized = self.quantizer(self.encoder(images).permute(0, 2, 3, 1))
        return result

    def draw(self, vectors: Tensor) -> Tensor:
        """Vectors (N, h, w, D) to pictures (N, C, H, W)."""
        pictures: Tensor = self.decoder(vectors.permute(0, 3, 1, 2))
        return pictures

    def draw_codes(self, codes: Tensor) -> Tensor:
        """Codes (N, h, w) to pictures (N, C, H, W)."""
        return self.draw(self.quantizer.decode(codes))  # type: ignore[operator]

    def codes(self, images: Tensor) -> Tensor:
        """Pictures to codes (N, h, w)."""
        return self.quantize(images).codes

    def forward(self, images: Tensor) -> tuple[Tensor, tuple[Quantized, ...]]:
        """Pictures to what comes back of them, and what was found on the one level."""
        found = self.quantize(images)
        return self.draw(found.vectors), (found,)

    def metrics(self) -> dict[str, Tensor]:
        """Of the quantizer's last training step."""
        figures: dict[str, Tensor] = self.quantizer.metrics()  # type: ignore[operator]
        return figures


class VQVAE(ReconstructionModule):
    """Auto-encoder with a codebook (van den Oord et al. 2017, https://arxiv.org/abs/1711.00937).

    The loss is the mean squared error over all elements of a picture in [-1, 1] plus the quantizer's (see
    `VectorQuantizer`, whose arguments are here too). Logs perplexity and the share of codes used, in training of a step
    and in evaluation of the whole split, and warns in plain words where the codebook has collapsed.

    A network or a quantizer of one's own is one method: `build_encoder`, `build_decoder`, `build_quantizer`.

    Args:
        codebook_size: codes K.
        dim: numbers D of a code.
        width: channels of the networks.
        residual_width: channels inside their residual blocks.
        residual_blocks: of each network.
        downsamplings: how often the sides are halved: a code stands for a square of 2^k pixels.
        levels: 1, or 2 for a second, coarser map of codes above the first (VQ-VAE-2); codes are then (N, L) in a row.
        beta: weight of the commitment loss.
        codebook_update: by exponential "averages" or by "gradient".
        decay: of the averages.
        codebook_init: of the codebook, "kmeans" on the first batch or "random".
        restart_below: a code whose average number of vectors a step is below this is restarted; 0 for never.
        cosine: vectors and codes of length one.
        gradient: that reaches the encoder, "straight_through" or by the "rotation" trick.
        lr: learning rate after the warm-up.
        arguments: as in `ReconstructionModule`.

    Raises:
        ValueError: an argument is out of range or unknown, or pictures whose sides cannot be halved so often.

    Example:
        >>> import torch
        >>> from lhy_lightning import VQVAE
        >>> model = VQVAE(image_size=8, channels=1, codebook_size=4, dim=2, width=4, downsamplings=1)
        >>> tuple(model.codes_of(torch.zeros(2, 1, 8, 8)).shape)
        (2, 4, 4)
    """

    argument_ranges = ranges(
        codebook_size=Range(at_least=2), dim=COUNT, residual_width=COUNT, residual_blocks=NOT_NEGATIVE,
        downsamplings=COUNT, beta=NOT_NEGATIVE, decay=BELOW_ONE, restart_below=NOT_NEGATIVE,
    )  # fmt: skip

    network: VQVAENetwork | TwoLevelNetwork | None

    def __init__(  # type: ignore[misc]  # `lr` is restated
        self,
        *,
        codebook_size: int = 512,
        dim: int = 64,
        width: int = 128,
        residual_width: int = 32,
        residual_blocks: int = 2,
        downsamplings: int = 2,
        levels: Literal[1, 2] = 1,
        beta: float = 0.25,
        codebook_update: Literal["averages", "gradient"] = "averages",
        decay: float = 0.99,
        codebook_init: Literal["kmeans", "random"] = "kmeans",
        restart_below: float = 1.0,
        cosine: bool = False,
        gradient: Literal["straight_through", "rotation"] = "straight_through",
        lr: float = 3e-4,
        **arguments: Unpack[ReconstructionArguments],
    ) -> None:
        super().__init__(lr=lr, **arguments)
        self.codebook_size, self.dim, self.downsamplings, self.levels = codebook_size, dim, downsamplings, levels
        self.network_settings = ConvSettings(width, residual_width, residual_blocks, downsamplings)
        self.quantizer_settings = QuantizerSettings(
            beta, codebook_update, decay, codebook_init, restart_below, cosine, gradient
        )
        # bad numbers are refused before any data is read
        VectorQuantizer(codebook_size, dim, **asdict(self.quantizer_settings))
        self.code_counts = CodeCounts(levels, codebook_size)
        self.use: Tensor | None = None  # of the last evaluation, (levels, K): how often each code was used
        self.build_if_known()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_encoder(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to latents (N, D, h, w). Override it for one of your own."""
        return ConvEncoder(self.shape[0], self.dim, **asdict(self.network_settings))

    def build_decoder(self) -> nn.Module:
        """Returns latents (N, D, h, w) to pictures (N, C, H, W). Override it for one of your own."""
        return ConvDecoder(self.shape[0], self.dim, **asdict(self.network_settings))

    def build_quantizer(self) -> nn.Module:
        """Returns what replaces vectors (N, h, w, D) by codes (N, h, w). Override it for one of your own."""
        return VectorQuantizer(self.codebook_size, self.dim, **asdict(self.quantizer_settings))

    def build_network(self) -> VQVAENetwork | TwoLevelNetwork:
        check_halving(self.shape[1:], self.downsamplings)
        if self.levels == 2:
            top, bottom = self.build_quantizer(), self.build_quantizer()
            return TwoLevelNetwork(
                self.shape[0], self.dim, top, bottom, self.map_shape, **asdict(self.network_settings)
            )
        return VQVAENetwork(self.build_encoder(), self.build_quantizer(), self.build_decoder())

    @property
    def map_shape(self) -> tuple[int, int]:
        """(h, w) of the codes of a picture, of two levels the finer one's."""
        factor = 2**self.downsamplings
        return self.shape[1] // factor, self.shape[2] // factor

    @property
    def codes_shape(self) -> tuple[int, ...]:
        """Of the codes of a picture: (h, w), or (L,) of two levels."""
        height, width = self.map_shape
        return (height, width) if self.levels == 1 else (height * width + (height // 2) * (width // 2),)

    # --- codes -----------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        pictures: Tensor = self.built()(images)[0]
        return pictures

    @torch.no_grad()
    def codes_of(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to codes (N, h, w) int64, (N, L) of two levels."""
        with evaluation_mode(self):
            codes: Tensor = self.built().codes(images.to(self.device))
        return codes

    @torch.no_grad()
    def draw(self, codes: Tensor) -> Tensor:
        """Codes as of `codes_of` to pictures (N, C, H, W); what `forward` gives for pictures of these codes.

        Raises:
            ValueError: a number that is no code.
        """
        if codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < self.codebook_size:
            raise ValueError(
                f"codes from {int(codes.min())} to {int(codes.max())}: expected 0 to {self.codebook_size - 1}"
            )
        with evaluation_mode(self):
            pictures: Tensor = self.built().draw_codes(codes.to(self.device))
        return pictures

    def codebook_pictures(self) -> Tensor:
        """What the decoder of one level draws where one code is everywhere, the most used one first; at most 256.

        Returns:
            (K, C, h, w), the middle of each drawing.
        """
        use = torch.ones(self.codebook_size) if self.use is None else self.use[0]
        order = use.argsort(descending=True, stable=True)
        pictures = self.draw(order[:PICTURES_OF_CODES, None, None].expand(-1, 3, 3))
        side = 2**self.downsamplings
        return pictures[..., side : 2 * side, side : 2 * side]

    # --- training and evaluation -----------------------------------------------------------------------------------

    def losses(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        network = self.built()
        result, found = network(images)
        quantizer_loss = torch.stack([level.loss for level in found]).sum()
        figures = {"loss": F.mse_loss(result.float(), images) + quantizer_loss, "quantizer_loss": quantizer_loss}
        if self.training:
            figures.update(network.metrics())
        else:
            self.code_counts.update([level.codes for level in found])
        return result, figures

    def report(self, split: EvaluatedSplit) -> None:
        super().report(split)
        self.use = self.code_counts.compute().cpu()
        self.code_counts.reset()
        names = ("",) if self.levels == 1 else ("_top", "_bottom")
        for name, counts in zip(names, self.use, strict=True):
            figures = {f"{split}/perplexity{name}": code_perplexity(counts), f"{split}/codes_used{name}": usage(counts)}
            self.log_dict(figures, prog_bar=True, sync_dist=True)
            if not self.trainer.sanity_checking and (warning := collapse_warning(counts)) is not None:
                rank_zero_warn(warning)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """As `ReconstructionModule`, and `codes` (N, h, w), (N, L) of two levels."""
        codes = self.codes_of(batch["image"])
        return {**self.returned(batch, self.draw(codes)), "codes": codes}

    def prediction_writers(self) -> list[Callback]:
        return [*super().prediction_writers(), LatentsFile("codes")]
