"""`WGAN`, `WGANGP` and `SNGAN`: the papers' defaults of `GAN` under the papers' names."""

from __future__ import annotations

from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.gan.adversarial import Loss
from lhy_lightning.gan.gan import GAN, GANArguments, Penalty


class WGAN(GAN):
    """Wasserstein distance by a critic whose weights are clipped (Arjovsky et al. 2017,
    https://arxiv.org/abs/1701.07875, algorithm 1): RMSprop, five critic steps a generator step.

    Args:
        arguments: as `GAN`.

    Example:
        >>> from lhy_lightning import WGAN
        >>> gan = WGAN(image_size=8, channels=1, width=4)
        >>> gan.hparams["n_critic"], tuple(gan.sample(3, seed=0).shape)
        (5, (3, 1, 8, 8))
    """

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        loss: Loss = "wasserstein",
        weight_clip: float | None = 0.01,
        n_critic: int = 5,
        optimizer: str = "rmsprop",
        discriminator_lr: float = 5e-5,
        generator_lr: float = 5e-5,
        **arguments: Unpack[GANArguments],
    ) -> None:
        super().__init__(
            loss=loss, weight_clip=weight_clip, n_critic=n_critic, optimizer=optimizer,
            discriminator_lr=discriminator_lr, generator_lr=generator_lr, **arguments,
        )  # fmt: skip


class WGANGP(GAN):
    """Wasserstein distance by a critic whose gradient has norm 1 between real and fake pictures (Gulrajani et al.
    2017, https://arxiv.org/abs/1704.00028, algorithm 1): no batch normalization in the critic.

    Args:
        arguments: as `GAN`.

    Example:
        >>> from lhy_lightning import WGANGP
        >>> gan = WGANGP(image_size=8, channels=1, width=4)
        >>> gan.hparams["penalty"], tuple(gan.sample(3, seed=0).shape)
        ('gradient', (3, 1, 8, 8))
    """

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        loss: Loss = "wasserstein",
        penalty: Penalty = "gradient",
        n_critic: int = 5,
        discriminator_lr: float = 1e-4,
        generator_lr: float = 1e-4,
        betas: tuple[float, float] = (0.0, 0.9),
        **arguments: Unpack[GANArguments],
    ) -> None:
        super().__init__(
            loss=loss, penalty=penalty, n_critic=n_critic, discriminator_lr=discriminator_lr,
            generator_lr=generator_lr, betas=betas, **arguments,
        )  # fmt: skip


class SNGAN(GAN):
    """Hinge loss and a discriminator whose weights are divided by their largest singular values (Miyato et al. 2018,
    https://arxiv.org/abs/1802.05957): no other normalization in it.

    Args:
        arguments: as `GAN`.

    Example:
        >>> from lhy_lightning import SNGAN
        >>> gan = SNGAN(image_size=8, channels=1, width=4)
        >>> gan.hparams["spectral_norm"], tuple(gan.sample(3, seed=0).shape)
        (True, (3, 1, 8, 8))
    """

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        loss: Loss = "hinge",
        spectral_norm: bool = True,
        n_critic: int = 5,
        betas: tuple[float, float] = (0.0, 0.9),
        **arguments: Unpack[GANArguments],
    ) -> None:
        super().__init__(loss=loss, spectral_norm=spectral_norm, n_critic=n_critic, betas=betas, **arguments)
