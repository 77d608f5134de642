"""What homework 11 hands in."""

from lhy_lightning.callbacks.prediction_tables import HomeworkTable


class Homework11Csv(HomeworkTable):
    """`submission.csv` as homework 11 hands it in: `id,label`, id from 0 in file order, label the folder's number.

    The columns are the same in 2021, 2022 and 2023.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lhy_lightning import Homework11Csv
        >>> trainer = Trainer(callbacks=[Homework11Csv()], accelerator="cpu", logger=False)
    """

    filename, header = "submission.csv", ("id", "label")
    homework, folders = 11, "0, 1 … 9"
