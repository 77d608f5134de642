"""Image classification by a convolutional neural network: network, loss, optimizer, metrics. Homework 3."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.callbacks.prediction_tables import PredictionsCsv
from lhy_lightning.cnn.classification import ClassificationArguments, ClassificationModule
from lhy_lightning.cnn.ensemble import ProbabilityAverage
from lhy_lightning.cnn.losses import LOSSES, class_weight_tensor
from lhy_lightning.cnn.plots import ClassificationPictures, LayerTable
from lhy_lightning.cnn.test_time_augmentation import SHIFTS, averaged_probabilities
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, SHARE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import ImageBatch, MixedImageBatch
from lhy_lightning.layers.batch_norm import batch_norm_over_ranks
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.metrics.classification import ClassificationScores
from lhy_lightning.optim import AveragedWeights, parameter_groups
from lhy_lightning.training.module import EvaluatedSplit

Steps = Literal["constant", "cosine", "linear", "step"]


class ImageClassifierArguments(ClassificationArguments, total=False):
    """Arguments of `ImageClassifier`, for the `**arguments` of those built on it."""

    backbone_lr: float | None
    loss: Literal["cross_entropy", "mse"]
    label_smoothing: float
    class_weights: tuple[float, ...] | Literal["balanced"] | None
    momentum: float
    schedule: Steps  # type: ignore[misc]
    lr_drops: tuple[float, ...]
    lr_drop_factor: float
    ema_decay: float | None
    test_time_views: int
    compile: bool
    sync_batchnorm: bool


class ImageClassifier(ClassificationModule):
    """Trains a network to name what is on a picture.

    What describes the pictures may be left out: it is then taken from the data module when training starts, and
    written into the hyperparameters. To use a network of your own, override `build_network`.

    Args:
        backbone_lr: learning rate of the backbone's layers; None for `lr`, which the head always has.
        loss: "cross_entropy", or "mse" on the one-hot label, for the lecture's comparison.
        label_smoothing: share of the training target that is spread over all classes.
        class_weights: a weight for every class in the training loss, or "balanced" for rows / (K * rows of the class).
        optimizer: "sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw" or another of `torch.optim`.
        lr: learning rate after the warm-up.
        momentum: of SGD and RMSprop.
        weight_decay: of weights with two or more axes; norms and biases do not decay.
        schedule: "constant", "cosine", "linear" or "step", over optimizer steps.
        lr_drops: shares of the run at which "step" multiplies the rate by `lr_drop_factor`.
        lr_drop_factor: see `lr_drops`.
        ema_decay: decay of averaged weights, which then do the evaluating and predicting; None disables them.
        test_time_views: views of each picture whose probabilities are averaged in test and predict: 2 adds the
            mirror image, up to 10 add shifts. In validation there is always one view.
        compile: compile the network with `torch.compile`.
        sync_batchnorm: on several GPUs, compute batch statistics over all of them.
        arguments: as in `ClassificationModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.

    Example:
        >>> import torch
        >>> from lhy_lightning import ImageClassifier
        >>> model = ImageClassifier(network="vgg", depth=3, width=4, num_classes=2, image_size=8, channels=1)
        >>> tuple(model(torch.zeros(3, 1, 8, 8)).shape)
        (3, 2)
    """

    argument_ranges = ranges(
        backbone_lr=NOT_NEGATIVE, class_weights=NOT_NEGATIVE, lr_drops=SHARE,
        lr_drop_factor=Range(above=0, at_most=1), test_time_views=Range(at_least=1, at_most=2 * len(SHIFTS)),
    )  # fmt: skip

    monitor: tuple[str, Literal["max", "min"]] = ("val/accuracy", "max")
    needs_labels = True
    data_modules = ("ImageDataModule",)

    averaged: AveragedWeights | None
    weights: Tensor | None

    def __init__(  # type: ignore[misc]  # some arguments have other defaults than in the base
        self,
        *,
        backbone_lr: float | None = None,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] | Literal["balanced"] | None = None,
        optimizer: str = "nesterov",
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        schedule: Steps = "cosine",
        lr_drops: tuple[float, ...] = (0.5, 0.75),
        lr_drop_factor: float = 0.1,
        ema_decay: float | None = None,
        test_time_views: int = 1,
        compile: bool = False,
        sync_batchnorm: bool = True,
        **arguments: Unpack[ClassificationArguments],
    ) -> None:
        super().__init__(
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            schedule=schedule,  # type: ignore[arg-type]  # there is one more here
            **arguments,
        )
        self.optimizer_settings = replace(self.optimizer_settings, momentum=momentum)
        self.schedule_settings = replace(self.schedule_settings, drops=lr_drops, drop_factor=lr_drop_factor)
        self.backbone_lr, self.ema_decay, self.test_time_views = backbone_lr, ema_decay, test_time_views
        self.criterion, self.label_smoothing, self.class_weights = LOSSES[loss], label_smoothing, class_weights
        self.compiles, self.sync_batchnorm = compile, sync_batchnorm
        self.averaged = None
        self.register_buffer("weights", None, persistent=False)
        self.confusion: Tensor | None = None
        self.last_accuracy: Tensor | None = None
        self.build_if_known()

    # --- network ---------------------------------------------------------------------------------------------------

    def build(self) -> None:
        """Builds network, averaged weights and figures, once all sizes are known."""
        super().build()
        num_classes, _, _ = self.sizes()
        if self.ema_decay is not None:
            self.averaged = AveragedWeights(self.built(), self.ema_decay)
        self.val_scores = ClassificationScores(num_classes)
        self.test_scores = ClassificationScores(num_classes)
        self.test_confidence = Mean()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage == "fit":
            counts = getattr(getattr(self.trainer, "datamodule", None), "class_counts", None)
            classes, _, _ = self.sizes()
            weights = class_weight_tensor(self.class_weights, classes, counts)
            self.weights = None if weights is None else weights.to(self.device)
            if self.freeze_backbone:  # it is meant to evaluate
                warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")
            self.prepare_for_ranks()
            if self.compiles:
                self.built().compile()

    def prepare_for_ranks(self) -> None:
        """On several GPUs, batch statistics over all of them."""
        strategy = self.trainer.strategy
        if not isinstance(strategy, DDPStrategy):
            return
        if self.backbone is not None:  # some backbones have layers that pooled features do not use
            strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
        if self.trainer.world_size > 1 and self.sync_batchnorm:
            self.network = batch_norm_over_ranks(self.built(), strategy.root_device)

    # --- inference -------------------------------------------------------------------------------------------------

    @property
    def inference_network(self) -> nn.Module:
        """The averaged weights where there are any, otherwise the network."""
        return self.averaged if self.averaged is not None else super().inference_network

    def probabilities(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to probabilities (N, K) float32, averaged over `test_time_views`."""
        return averaged_probabilities(self, images, self.test_time_views)

    # --- training --------------------------------------------------------------------------------------------------

    def loss(self, logits: Tensor, batch: Mapping[str, Any]) -> Tensor:
        """The training loss of one batch, mixed labels and all."""
        return self.criterion(
            logits, batch["label"], label_smoothing=self.label_smoothing, class_weights=self.weights,
            mixed_label=batch.get("mixed_label"), mix=batch.get("mix"),
        )  # fmt: skip

    def training_step(self, batch: ImageBatch | MixedImageBatch, batch_idx: int) -> Tensor:
        logits = self.built()(self.layout(batch["image"]))
        loss = self.loss(logits, batch)
        self.log_training(batch_idx, logits, batch["label"], {"train/loss": loss})
        return loss

    def log_training(self, batch_idx: int, logits: Tensor, label: Tensor, losses: dict[str, Tensor]) -> None:
        """Logs losses and accuracy of a training step, on the steps that the loggers take: it costs .5 ms."""
        if self.should_log(batch_idx):
            accuracy = (logits.detach().argmax(1) == label).float().mean()
            figures = {name: loss.detach() for name, loss in losses.items()}
            self.log_dict({**figures, "train/accuracy": accuracy}, prog_bar=True)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None and self.network is not None:
            self.averaged.update(self.network)

    def parameter_groups(self) -> list[dict[str, Any]]:
        network = self.built()
        if self.backbone is None or self.backbone_lr is None or not hasattr(network, "backbone"):
            return super().parameter_groups()
        lr, decay = self.optimizer_settings.lr, self.optimizer_settings.weight_decay
        head = nn.ModuleList(m for name, m in network.named_children() if name != "backbone")
        return parameter_groups(network.backbone, self.backbone_lr, decay) + parameter_groups(head, lr, decay)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> Tensor:
        """Adds a batch to the figures; returns its logits (N, K)."""
        if split == "val":
            return self.score(batch, split, self(batch["image"]))
        probabilities = self.probabilities(batch["image"])
        self.test_confidence.update(probabilities.max(1).values)
        # log of the mean probability: softmax gives the probability back, so both losses are right
        return self.score(batch, split, probabilities.clamp(min=1e-12).log())

    def score(self, batch: ImageBatch, split: EvaluatedSplit, logits: Tensor) -> Tensor:
        """Adds logits (N, K) to the figures; their loss has no smoothing and no weights, so that runs compare."""
        if "label" in batch:
            self.scores(split).update(logits, batch["label"], self.criterion(logits, batch["label"]))
        return logits

    def scores(self, split: EvaluatedSplit) -> ClassificationScores:
        return self.val_scores if split == "val" else self.test_scores

    def report(self, split: EvaluatedSplit) -> None:
        """Logs loss and accuracy over all ranks, where there are labels, and keeps the confusion matrix to draw."""
        scores = self.scores(split)
        figures = scores.compute()
        scores.reset()
        self.confusion = figures["confusion"] if figures["confusion"].any() else None
        self.last_accuracy = figures["accuracy"]
        if self.confusion is not None:
            named = {f"{split}/loss": figures["loss"], f"{split}/accuracy": figures["accuracy"]}
            self.log_dict(named, prog_bar=True, sync_dist=True)
        if split == "test":
            self.report_confidence()

    def report_confidence(self) -> None:
        """After a test without labels: the mean probability of the predicted class."""
        confidence = self.test_confidence.compute()
        self.test_confidence.reset()
        if self.confusion is None:
            self.log("test/confidence", confidence, sync_dist=True)
            rank_zero_warn(
                "the test pictures have no labels: there is no test/accuracy to report, only the mean probability of "
                "the predicted class (test/confidence). `lhy predict` writes the predictions."
            )

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,) and `probabilities` (N, K) float32."""
        return {"index": batch["index"], "probabilities": self.probabilities(batch["image"])}

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), LayerTable(), ClassificationPictures()]

    def prediction_writers(self) -> list[Callback]:
        return [PredictionsCsv()]

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> ProbabilityAverage:
        return ProbabilityAverage.from_checkpoints(checkpoints)
