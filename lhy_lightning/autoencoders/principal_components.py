"""Principal component analysis: the best linear auto-encoder, in closed form."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from lhy_lightning.core.arguments.renamed import RenamedArguments
from lhy_lightning.core.sizes import height_and_width


class PrincipalComponents(nn.Module, metaclass=RenamedArguments):
    """Encodes a picture by its coordinates along the directions of largest variance (Pearson 1901).

    The same methods as `AutoEncoder`; of all linear encoders and decoders with Z numbers this one has the smallest
    squared error (Baldi and Hornik 1989). Fitted once, not trained:

        baseline = PrincipalComponents(latent=32, image_size=(28, 28), channels=1)
        baseline.fit(batch["image"] for batch in loader)

    Args:
        latent_dim: numbers Z.
        image_size: side, or (height, width), of a picture.
        channels: of a picture.

    Raises:
        ValueError: more components than elements of a picture.

    Example:
        >>> import torch
        >>> from lhy_lightning import PrincipalComponents
        >>> images = torch.rand(2, 1, 8, 8) * 2 - 1  # (N, C, H, W) in [-1, 1]
        >>> baseline = PrincipalComponents(2, image_size=8, channels=1).fit([images])
        >>> tuple(baseline.encode(images).shape)
        (2, 2)
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, latent_dim: int, *, image_size: int | tuple[int, int], channels: int) -> None:
        super().__init__()
        height, width = height_and_width(image_size)
        self.shape = (channels, height, width)
        elements = channels * height * width
        if not 1 <= latent_dim <= elements:
            raise ValueError(
                f"latent_dim={latent_dim}: pictures of {elements} elements have 1 to {elements} components"
            )
        self.latent_dim = latent_dim
        self.register_buffer("mean", torch.zeros(elements))
        self.register_buffer("components", torch.eye(latent_dim, elements))
        self.register_buffer("variances", torch.zeros(latent_dim))

    @torch.no_grad()
    def fit(self, batches: Iterable[Tensor]) -> PrincipalComponents:
        """From batches of pictures (N, C, H, W), one pass, in float64.

        Raises:
            ValueError: fewer than two pictures.
        """
        elements = len(self.mean)
        device = self.mean.device
        count, total = 0, torch.zeros(elements, dtype=torch.float64, device=device)
        outer = torch.zeros(elements, elements, dtype=torch.float64, device=device)
        for batch in batches:
            flat = batch.to(device).flatten(1).double()
            count, total = count + len(flat), total + flat.sum(0)
            outer.addmm_(flat.T, flat)
        if count < 2:
            raise ValueError(f"{count} pictures have no variance: at least 2")
        mean = total / count
        variances, directions = torch.linalg.eigh((outer - count * torch.outer(mean, mean)) / (count - 1))
        self.mean.copy_(mean)
        self.components.copy_(directions.flip(1)[:, : self.latent_dim].T)
        self.variances.copy_(variances.flip(0)[: self.latent_dim])
        return self

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) to latents (N, Z)."""
        return (images.flatten(1) - self.mean) @ self.components.T

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (N, Z) to pictures (N, C, H, W)."""
        pictures: Tensor = (latents @ self.components + self.mean).unflatten(1, self.shape)
        return pictures

    def forward(self, images: Tensor) -> Tensor:
        """Pictures to what their components give back."""
        return self.decode(self.encode(images))

    @torch.no_grad()
    def reconstruct(self, images: Tensor) -> Tensor:
        """As `forward`."""
        pictures: Tensor = self(images)
        return pictures

    @torch.no_grad()
    def sample(self, count: int, *, seed: int | None = None) -> Tensor:
        """Pictures of latents drawn from a normal distribution of the components' variances, (N, C, H, W)."""
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        noise = torch.randn(count, self.latent_dim, generator=generator).to(self.mean.device)
        return self.decode(noise * self.variances.sqrt())
