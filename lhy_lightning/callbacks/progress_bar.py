"""The progress bar of the command line."""

from lightning.pytorch.callbacks import RichProgressBar


class RunProgressBar(RichProgressBar):
    """Lightning's bar, without the number of epochs where only steps or time end a run: it would read `Epoch 24/-2`.

    It is drawn 4 times a second: Lightning's 100 times would cost a small network more than a step.
    """

    def __init__(self) -> None:
        super().__init__(refresh_rate=4)

    def _get_train_description(self, current_epoch: int) -> str:
        described: str = super()._get_train_description(current_epoch)
        return described.replace("/-2", "  ") if self.trainer.max_epochs == -1 else described
