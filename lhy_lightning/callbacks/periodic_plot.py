"""When pictures of a run are drawn."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback


class DrawnEvery(Callback):
    """Draws each so many steps and when training ends, on the first rank; a subclass says what, in `draw`.

    Args:
        every: steps between two drawings; the last step has one as well.
    """

    def __init__(self, every: int) -> None:
        self.every, self.drawn = every, -1

    def draw(self, trainer: Trainer, module: Any) -> None:
        """Draws what `module` has learnt by now."""
        raise NotImplementedError(f"{type(self).__name__} does not say what to `draw`")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step % self.every == 0:
            self._draw_once(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw_once(trainer, pl_module)

    def _draw_once(self, trainer: Trainer, module: LightningModule) -> None:
        # the last step may be one of `every`, and an accumulated one ends with the first batch of the next group
        if trainer.is_global_zero and self.drawn != trainer.global_step:
            self.drawn = trainer.global_step
            self.draw(trainer, module)
