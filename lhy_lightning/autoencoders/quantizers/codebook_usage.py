"""How much of a codebook is used."""

from torch import Tensor


def code_perplexity(counts: Tensor) -> Tensor:
    """Exponential of the entropy of how often each code is used: K where all are used alike, 1 where only one is.

    Args:
        counts: (..., K), how often each code was used.

    Returns:
        (...) float32; not a number where nothing was counted.

    Example:
        >>> import torch
        >>> from lhy_lightning import code_perplexity
        >>> code_perplexity(torch.tensor([5, 5, 0, 0])).item()  # two codes, alike often
        2.0
    """
    share = counts.float() / counts.sum(-1, keepdim=True)
    return (-(share * share.clamp(min=1e-12).log()).sum(-1)).exp()


def usage(counts: Tensor) -> Tensor:
    """The share of codes that were used at all: (..., K) counts to (...) float32 in 0 ... 1."""
    return (counts > 0).float().mean(-1)


def collapse_warning(counts: Tensor, *, below: float = 0.1) -> str | None:
    """What to say of a codebook of which almost nothing is used; None where all is well.

    Args:
        counts: (K,), how often each code was used over many pictures.
        below: the share of codes whose use is too little.

    Example:
        >>> import torch
        >>> from lhy_lightning import collapse_warning
        >>> collapse_warning(torch.tensor([100, 100, 100, 100])) is None
        True
    """
    used, size = int((counts > 0).sum()), counts.numel()
    # a perplexity below 2 says that nearly all is one code, whatever else is touched now and then
    if used >= below * size and float(code_perplexity(counts)) >= min(2.0, size / 2):
        return None
    alike = float(code_perplexity(counts))
    return (
        f"the codebook has collapsed: {used} of {size} codes are used, as if there were {alike:.1f} of equal use. "
        "Restart unused codes (restart_below), start from the data (codebook_init: kmeans), or take fewer codes."
    )
