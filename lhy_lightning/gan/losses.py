"""The adversarial losses of the lecture, as pairs by name. Scores are logits or critic values: no sigmoid before.

Every loss is a sum of one mean over the real scores and one over the fake ones, none of them halved: the mean over
two halves of a batch is the loss of the batch, so two processes give one process's gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from lhy_lightning.layers.precision import widened

Term = Callable[[Tensor], Tensor]

# name: what the discriminator pays for a real score, for a fake score, and the generator for a fake score.
# With D = sigmoid(s): -log D = softplus(-s) and -log(1 - D) = softplus(s), which neither overflow nor reach log 0.
TERMS: dict[str, tuple[Term, Term, Term]] = {
    "minimax": (lambda s: softplus(-s), softplus, lambda s: -softplus(s)),
    "non_saturating": (lambda s: softplus(-s), softplus, lambda s: softplus(-s)),
    "least_squares": (lambda s: (s - 1).square() / 2, lambda s: s.square() / 2, lambda s: (s - 1).square() / 2),
    "hinge": (lambda s: relu(1 - s), lambda s: relu(1 + s), torch.neg),
    "wasserstein": (torch.neg, lambda s: s, torch.neg),
}
LOSSES = tuple(TERMS)
"""Names of the losses."""

UNHALVED = {"least_squares": 2.0}
"""`generator_loss` halves the squares as Mao et al. do; CycleGAN's paper does not, against lambda = 10."""


def discriminator_loss(name: str, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
    """What the discriminator (or critic) minimizes, x real and G(z) fake.

    - "minimax", "non_saturating": -E log D(x) - E log(1 - D(G(z))), D the sigmoid of the score
      (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661). At the best D this is log 4 - 2 JSD.
    - "least_squares": E (D(x) - 1)^2 / 2 + E D(G(z))^2 / 2 (Mao et al. 2017, https://arxiv.org/abs/1611.04076,
      equation 9), D the score itself.
    - "hinge": E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (Lim and Ye 2017, https://arxiv.org/abs/1705.02894;
      equation 16 of Miyato et al. 2018).
    - "wasserstein": E D(G(z)) - E D(x), minus the distance where D is the best 1-Lipschitz function
      (Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875).

    The homework's notebook takes half of the first one, which Adam does not see.

    Args:
        name: one of `LOSSES`.
        real_scores, fake_scores: any shape, (N,) or patch maps (N, 1, h, w); half precision is widened to float32.

    Returns:
        Scalar.

    Raises:
        ValueError: no loss of this name.

    Example:
        >>> import torch
        >>> from lhy_lightning import discriminator_loss
        >>> discriminator_loss("hinge", torch.tensor([2.0]), torch.tensor([-2.0])).item()
        0.0
    """
    real_term, fake_term, _ = loss_terms(name)
    return real_term(widened(real_scores)).mean() + fake_term(widened(fake_scores)).mean()


def generator_loss(name: str, fake_scores: Tensor) -> Tensor:
    """What the generator minimizes.

    - "minimax": E log(1 - D(G(z))), whose gradient vanishes where the discriminator is sure.
    - "non_saturating": -E log D(G(z)), the form of Goodfellow et al. 2014 that is used in practice.
    - "least_squares": E (D(G(z)) - 1)^2 / 2.
    - "hinge", "wasserstein": -E D(G(z)).

    Arguments, result and errors as in `discriminator_loss`.

    Example:
        >>> import torch
        >>> from lhy_lightning import generator_loss
        >>> generator_loss("hinge", torch.tensor([-2.0])).item()
        2.0
    """
    return loss_terms(name)[2](widened(fake_scores)).mean()


def loss_terms(name: str) -> tuple[Term, Term, Term]:
    """The three terms of a loss, each from scores to values of the same shape.

    Raises:
        ValueError: no loss of this name.
    """
    if name not in TERMS:
        near = get_close_matches(name, TERMS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": one of {', '.join(TERMS)}"
        raise ValueError(f"no adversarial loss is called {name!r}{hint}")
    return TERMS[name]
