"""What the recurrent network keeps while it writes."""

from dataclasses import dataclass, replace

from torch import Tensor

from lhy_lightning.decoding.interface import Memory


@dataclass
class RecurrentState:
    """What decoding token by token keeps: B sentences, K hypotheses of each.

    Attributes:
        memory: the encoded sentences, S tokens each; once, not for every hypothesis.
        keys: (B, S, A) what queries are compared with; once as well.
        hidden: (L, B, K, 2W).
        weights: (B, K, S) of the step before.
        attention: whether `step` gives weights and context.
    """

    memory: Memory
    keys: Tensor
    hidden: Tensor
    weights: Tensor
    attention: bool

    def reorder(self, parents: Tensor) -> None:
        """Hypothesis k of sentence b goes on from its hypothesis `parents[b, k]`: (B, K') int64."""
        layers, _, _, width = self.hidden.shape
        self.hidden = self.hidden.gather(2, parents[None, :, :, None].expand(layers, -1, -1, width))
        self.weights = self.weights.gather(1, parents[..., None].expand(-1, -1, self.weights.shape[2]))

    def keep(self, sentences: Tensor) -> None:
        """Keeps the rows `sentences` (B',) int64, in their order."""
        memory = self.memory
        assert memory.summary is not None
        self.memory = replace(
            memory,
            states=memory.states.index_select(0, sentences),
            mask=memory.mask.index_select(0, sentences),
            source_ids=memory.source_ids.index_select(0, sentences),
            summary=memory.summary.index_select(1, sentences),
            copy_ids=None if memory.copy_ids is None else memory.copy_ids.index_select(0, sentences),
        )
        shared = self.keys is memory.states
        self.keys = self.memory.states if shared else self.keys.index_select(0, sentences)
        self.hidden = self.hidden.index_select(1, sentences)
        self.weights = self.weights.index_select(0, sentences)
