"""A network in evaluation mode for a while, in the midst of its training."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[nn.Module]:
    """A whole network in evaluation mode inside of `with`, and behind it in the mode that it was in.

    Dropout draws nothing meanwhile, and batch norm takes the statistics that it has and leaves them alone.
    """
    training = network.training
    try:
        yield network.eval()
    finally:
        network.train(training)
