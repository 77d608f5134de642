"""Vector quantization, as in VQ-VAE: each vector becomes the nearest of K codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lhy_lightning.autoencoders.quantizers.codebook_usage import code_perplexity, usage
from lhy_lightning.autoencoders.quantizers.kmeans import drawn_vectors, kmeans, sums_by_code
from lhy_lightning.autoencoders.quantizers.nearest_codes import nearest_codes
from lhy_lightning.autoencoders.quantizers.straight_through import rotation_trick, straight_through
from lhy_lightning.core.arguments.renamed import RenamedArguments
from lhy_lightning.core.distributed import sum_over_ranks
from lhy_lightning.layers.precision import keeping_precision


class Quantized(NamedTuple):
    """What every quantizer of this package returns."""

    vectors: Tensor
    """(..., D), the codes in place of the vectors, dtype of the input; gradients go past the quantization."""
    codes: Tensor
    """(...) int64, or (..., Q) of quantizers with several codes a vector."""
    loss: Tensor
    """Scalar float32, to be added to the reconstruction's."""


@dataclass(frozen=True)
class QuantizerSettings:
    """Arguments of `VectorQuantizer` that a `VQVAE` takes."""

    beta: float = 0.25
    update: Literal["averages", "gradient"] = "averages"
    decay: float = 0.99
    codebook_init: Literal["kmeans", "random"] = "kmeans"
    restart_below: float = 1.0
    cosine: bool = False
    gradient: Literal["straight_through", "rotation"] = "straight_through"


class VectorQuantizer(nn.Module, metaclass=RenamedArguments):
    """Replaces each vector by the nearest code of a learned codebook (van den Oord et al. 2017,
    https://arxiv.org/abs/1711.00937).

    With x a vector, e its code and sg the stopped gradient, the loss is, as a mean over all elements,

        update="averages"     beta |x - sg(e)|^2                     the codebook follows by the paper's appendix A.1
        update="gradient"     |sg(x) - e|^2 + beta |x - sg(e)|^2     equation 3: beta is on the encoder's term

    In training with averages every forward pass moves the codebook once; all of it is float32, autocast or not. Under
    distributed training all ranks count together and have the same codebook, bit for bit. Works in any loop; uses no
    Lightning.

    Args:
        codebook_size: codes K.
        dim: numbers D of a vector.
        beta: weight of the commitment, which draws the encoder to its codes.
        update: of the codebook, by exponential "averages" of the vectors or by "gradient".
        decay: share of the averages that stays in each step.
        codebook_init: "kmeans" over the first training batch, or "random".
        kmeans_steps: of that start.
        restart_below: a code whose average number of vectors a step is below this becomes a vector of the batch
            (Dhariwal et al. 2020, https://arxiv.org/abs/2005.00341, section 3.1); its averages begin anew from an even
            share of the vectors. 0 for never.
        cosine: vectors and codes of length one (Yu et al. 2021, https://arxiv.org/abs/2110.04627).
        gradient: that reaches the encoder, "straight_through" or by the "rotation" trick.
        epsilon: of the Laplace smoothing of the average counts.

    Raises:
        ValueError: an argument is out of range or unknown.

    Example:
        >>> import torch
        >>> from lhy_lightning import VectorQuantizer
        >>> quantizer = VectorQuantizer(codebook_size=4, dim=2, codebook_init="random").eval()
        >>> found = quantizer(torch.zeros(3, 2))
        >>> tuple(found.vectors.shape), tuple(found.codes.shape)
        ((3, 2), (3,))
    """

    counts: Tensor
    sums: Tensor
    started: Tensor
    restarts: Tensor
    codebook: Tensor

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        beta: float = 0.25,
        update: Literal["averages", "gradient"] = "averages",
        decay: float = 0.99,
        codebook_init: Literal["kmeans", "random"] = "kmeans",
        kmeans_steps: int = 10,
        restart_below: float = 1.0,
        cosine: bool = False,
        gradient: Literal["straight_through", "rotation"] = "straight_through",
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        for name, value, known in (
            ("update", update, ("averages", "gradient")),
            ("codebook_init", codebook_init, ("kmeans", "random")),
            ("gradient", gradient, ("straight_through", "rotation")),
        ):
            if value not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {value!r}")
        if codebook_size < 2 or dim < 1:
            raise ValueError(f"codebook_size={codebook_size} and dim={dim}: at least 2 codes of 1 number")
        if not 0 <= decay < 1:
            raise ValueError(f"decay={decay} is a share in 0 ... 1, below 1")
        if beta < 0 or restart_below < 0:
            raise ValueError(f"beta={beta} and restart_below={restart_below}: no less than 0")
        self.codebook_size, self.dim, self.beta, self.update = codebook_size, dim, beta, update
        self.decay, self.epsilon, self.restart_below = decay, epsilon, restart_below
        self.codebook_init, self.kmeans_steps, self.cosine = codebook_init, kmeans_steps, cosine
        self.past = straight_through if gradient == "straight_through" else rotation_trick
        codebook = torch.empty(codebook_size, dim).uniform_(-1 / codebook_size, 1 / codebook_size)
        codebook = F.normalize(codebook, dim=1) if cosine else codebook
        if update == "gradient":
            self.codebook = nn.Parameter(codebook)
        else:
            self.register_buffer("codebook", codebook)
        self.register_buffer("counts", torch.ones(codebook_size))
        self.register_buffer("sums", codebook.clone())
        self.register_buffer("started", torch.tensor(codebook_init == "random"))
        self.register_buffer("restarts", torch.tensor(0))
        # for a first batch: the buffer above, without asking the device in every step
        self.waits = codebook_init == "kmeans"
        self.step_counts: Tensor | None = None

    def forward(self, vectors: Tensor) -> Quantized:
        """Vectors (..., D) to their codes.

        Raises:
            ValueError: the last axis is not D, nothing is in it, or (on a CPU; elsewhere the codebook is left alone)
                a vector is not finite.
        """
        if vectors.shape[-1] != self.dim or not vectors.numel():
            raise ValueError(f"vectors of shape {tuple(vectors.shape)}: expected (..., {self.dim}), at least one")
        with torch.autocast(vectors.device.type, enabled=False):
            flat = vectors.reshape(-1, self.dim).float()
            if flat.device.type == "cpu" and not bool(flat.detach().sum().isfinite()):
                self.refuse(flat.detach())
            if self.cosine:
                flat = F.normalize(flat, dim=1)
            detached = flat.detach()
            if self.training and self.waits:
                self.start_codebook(detached)
            codes = nearest_codes(detached, self.codebook.detach())
            quantized = F.embedding(codes, self.unit_codes())
            loss = self.beta * F.mse_loss(flat, quantized.detach())
            if self.update == "gradient":
                loss = loss + F.mse_loss(quantized, detached)
            if self.training:
                self.learn(detached, codes)
            result = self.past(flat, quantized)
        shape = vectors.shape[:-1]
        return Quantized(result.view(*shape, self.dim).to(vectors.dtype), codes.view(shape), loss)

    def unit_codes(self) -> Tensor:
        """The codebook; of cosine codes that learn by gradient, brought to length one."""
        if self.cosine and self.update == "gradient":
            return F.normalize(self.codebook, dim=1)
        return self.codebook

    def decode(self, codes: Tensor) -> Tensor:
        """Codes (...) int64 to the vectors (..., D) float32 that they stand for."""
        return F.embedding(codes, self.unit_codes())

    def refuse(self, vectors: Tensor) -> None:
        bad = int((~vectors.isfinite()).any(1).sum())
        if bad:  # a sum of finite numbers may overflow
            raise ValueError(
                f"{bad} of {len(vectors)} vectors are not finite: nothing was quantized and the codebook is as it was. "
                "Lower the learning rate or clip the encoder's gradients."
            )

    # --- the codebook ----------------------------------------------------------------------------------------------

    @torch.no_grad()
    def start_codebook(self, vectors: Tensor) -> None:
        """k-means over the first batch of all ranks, unless a checkpoint has started it already."""
        if not bool(self.started):
            centres, counts = kmeans(vectors, self.codebook_size, steps=self.kmeans_steps, cosine=self.cosine)
            self.codebook.copy_(centres)
            self.counts.copy_(counts)
            self.sums.copy_(centres * counts[:, None])
            self.started.fill_(True)
        self.waits = False

    @torch.no_grad()
    def learn(self, vectors: Tensor, codes: Tensor) -> None:
        """One step of the averages: N <- decay N + (1 - decay) n, m <- decay m + (1 - decay) sum x, e = m / N."""
        seen = sums_by_code(vectors, codes, self.codebook_size)
        if self.restart_below:  # in one message: what each rank saw, and what it offers to codes that are dead
            seen = torch.cat((seen, drawn_vectors(vectors, self.codebook_size)), 1)
        seen = sum_over_ranks(seen)
        counts, sums, offered = seen[:, 0], seen[:, 1 : 1 + self.dim], seen[:, 1 + self.dim :]
        self.step_counts = counts
        share = (1 - self.decay) * sums.sum().isfinite()  # vectors that are not finite move nothing
        self.counts.lerp_(counts, share)
        self.sums.lerp_(sums.nan_to_num(), share)
        if self.update == "averages":
            total = self.counts.sum()
            smooth = (self.counts + self.epsilon) / (total + self.codebook_size * self.epsilon) * total
            means = self.sums / smooth[:, None]
            self.codebook.copy_(F.normalize(means, dim=1) if self.cosine else means)
        if self.restart_below:
            self.restart(offered)

    def restart(self, offered: Tensor) -> None:
        """Gives dead codes the vectors on offer, (K, 1 + D) with a first column of 1 where there is one, in turn."""
        dead = self.counts < self.restart_below
        vectors = offered[dead.cumsum(0).sub(1).clamp(min=0)]
        dead = dead & (vectors[:, 0] > 0) & vectors.sum(1).isfinite()
        even_share = self.counts.mean().clamp(min=self.restart_below)
        self.counts.copy_(torch.where(dead, even_share, self.counts))
        self.sums.copy_(torch.where(dead[:, None], even_share * vectors[:, 1:], self.sums))
        self.codebook.copy_(torch.where(dead[:, None], vectors[:, 1:], self.codebook))
        self.restarts += dead.sum()

    def metrics(self) -> dict[str, Tensor]:
        """Of the last training step, all ranks: perplexity, share of codes used; restarts since the beginning."""
        if self.step_counts is None:
            return {}
        counts = self.step_counts
        return {"perplexity": code_perplexity(counts), "codes_used": usage(counts), "restarts": self.restarts.float()}

    def _apply(self, fn: Callable[[Tensor], Tensor], *rest: Any) -> Self:
        # Moved with the network, but not brought to its precision: averages over steps need float32.
        moved: Self = super()._apply(keeping_precision(fn), *rest)  # type: ignore[no-untyped-call]
        return moved

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.waits = self.codebook_init == "kmeans"

    def extra_repr(self) -> str:
        return f"{self.codebook_size}, {self.dim}, update={self.update!r}"
