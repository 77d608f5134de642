"""Homework 3's `predict.csv`."""

from lhy_lightning.callbacks.class_table import HomeworkTable


class Homework3Csv(HomeworkTable):
    """`predict.csv` as homework 3 hands it in: `Id,Category`, Id from 0 in sorted path order, the folder's number."""

    filename, header = "predict.csv", ("Id", "Category")
    homework, folders = 3, "00, 01 … 10"
