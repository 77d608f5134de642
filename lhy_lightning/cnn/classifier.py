"""Image classification: a network, a loss, an optimizer, figures. Homework 3."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from lightning.pytorch import Callback
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_warn
from PIL import Image
from torch import Tensor, nn

from lhy_lightning.callbacks.class_table import PredictionsCsv
from lhy_lightning.cnn.backbone import TransformersClassifier, backbone_settings
from lhy_lightning.cnn.ensemble import ProbabilityAverage
from lhy_lightning.cnn.losses import LOSSES, class_weight_tensor
from lhy_lightning.cnn.networks import NETWORKS, network_by_name
from lhy_lightning.cnn.pictures import ClassificationPictures, LayerTable
from lhy_lightning.cnn.views import SHIFTS, averaged_probabilities
from lhy_lightning.core.argument_ranges import COUNT, NOT_NEGATIVE, SHARE, Names, Range, ranges
from lhy_lightning.layers.batch_norm import batch_norm_over_ranks
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.metrics.classification import ClassificationScores
from lhy_lightning.optim import AveragedWeights, build_optimizer, parameter_groups
from lhy_lightning.training.module import CourseModule

Batch = dict[str, Tensor]


class ImageClassifier(CourseModule):
    """Trains a network to name what is on a picture.

    The four arguments that describe the pictures may be left out: they are then taken from the data module when
    training starts, and written into the hyperparameters, so that a checkpoint rebuilds the network alone. A network
    of one's own is one method: override `build_network`.

    Args:
        network: "resnet" (small pictures), "resnet_large", "vgg" or "homework" (the course's own three convolutions).
        depth: layers with weights; None for the network's own (20, 18, 9).
        width: channels of the first stage; None for the network's own (16, 64, 64).
        norm: "batch", "group" or "none".
        dropout: share of the features set to zero before the last linear layer.
        backbone: hub id or folder of a `transformers` image model that takes the place of `network`.
        pretrained: start the backbone from its published weights; otherwise only its shape is used.
        backbone_lr: learning rate of the backbone's layers; None for `lr`, which the head always has.
        freeze_backbone: train the head only.
        backbone_config: filled in by the module: what rebuilds the backbone without the Hub.
        loss: "cross_entropy", or "mse" on the one-hot label, for the lecture's comparison.
        label_smoothing: share of the training target that is spread over all classes.
        class_weights: a weight for every class in the training loss, or "balanced" for rows / (K * rows of the class).
        optimizer: "sgd", "nesterov", "adagrad", "rmsprop", "adam", "adamw" or another of `torch.optim`.
        lr: learning rate after the warm-up.
        momentum: of SGD and RMSprop.
        betas: of Adam and its kin.
        weight_decay: of weights with two or more axes; norms and biases do not decay.
        schedule: "constant", "cosine", "linear" or "step", over optimizer steps.
        warmup_steps: steps in which the learning rate rises from zero.
        final_lr_factor: share of `lr` at which cosine and linear end.
        lr_drops: shares of the run at which "step" multiplies the rate by `lr_drop_factor`.
        lr_drop_factor: see `lr_drops`.
        ema_decay: decay of averaged weights, which then do the evaluating and predicting; None for none.
        test_time_views: views of each picture whose probabilities are averaged in test and predict: 2 adds the
            mirror image, up to 10 add shifts. In validation there is always one view.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        compile: compile the network with `torch.compile`.
        sync_batchnorm: on several GPUs, compute batch statistics over all of them.
        num_classes: classes K; from the data if not given, as the next three.
        image_size: (height, width) of a picture.
        channels: 1 (grey) or 3 (colour).
        class_names: K names, for pictures, tables and predictions.
        resize: how `classify` brings other pictures to size, "stretch" or "crop".

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.
    """

    argument_ranges = ranges(
        network=Names(tuple(NETWORKS)), depth=COUNT, backbone_lr=NOT_NEGATIVE, class_weights=NOT_NEGATIVE,
        lr_drops=SHARE, lr_drop_factor=Range(above=0, at_most=1),
        test_time_views=Range(at_least=1, at_most=2 * len(SHIFTS)),
    )  # fmt: skip

    headline_metric: tuple[str, Literal["max", "min"]] = ("val/accuracy", "max")
    needs_labels = True
    data_modules = ("ImageDataModule",)

    network: nn.Module | None
    averaged: AveragedWeights | None
    weights: Tensor | None

    def __init__(
        self,
        *,
        network: str = "resnet",
        depth: int | None = None,
        width: int | None = None,
        norm: Literal["batch", "group", "none"] = "batch",
        dropout: float = 0.0,
        backbone: str | None = None,
        pretrained: bool = True,
        backbone_lr: float | None = None,
        freeze_backbone: bool = False,
        backbone_config: str | None = None,
        loss: Literal["cross_entropy", "mse"] = "cross_entropy",
        label_smoothing: float = 0.0,
        class_weights: tuple[float, ...] | Literal["balanced"] | None = None,
        optimizer: str = "nesterov",
        lr: float = 0.1,
        momentum: float = 0.9,
        betas: tuple[float, float] = (0.9, 0.999),
        weight_decay: float = 5e-4,
        schedule: Literal["constant", "cosine", "linear", "step"] = "cosine",
        warmup_steps: int = 0,
        final_lr_factor: float = 0.0,
        lr_drops: tuple[float, ...] = (0.5, 0.75),
        lr_drop_factor: float = 0.1,
        ema_decay: float | None = None,
        test_time_views: int = 1,
        channels_last: bool = True,
        compile: bool = False,
        sync_batchnorm: bool = True,
        num_classes: int | None = None,
        image_size: tuple[int, int] | None = None,
        channels: int | None = None,
        class_names: tuple[str, ...] | None = None,
        resize: Literal["stretch", "crop"] | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.network_name, self.depth, self.width, self.norm, self.dropout = network, depth, width, norm, dropout
        self.backbone, self.pretrained, self.backbone_config = backbone, pretrained, backbone_config
        self.backbone_lr, self.freeze_backbone = backbone_lr, freeze_backbone
        self.criterion, self.label_smoothing, self.class_weights = LOSSES[loss], label_smoothing, class_weights
        self.optimizer_numbers = {
            "name": optimizer, "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "betas": betas,
        }  # fmt: skip
        self.schedule_numbers = {
            "schedule": schedule, "warmup_steps": warmup_steps, "final_factor": final_lr_factor,
            "drops": lr_drops, "drop_factor": lr_drop_factor,
        }  # fmt: skip
        self.ema_decay, self.test_time_views = ema_decay, test_time_views
        self.channels_last, self.compiles, self.sync_batchnorm = channels_last, compile, sync_batchnorm
        self.num_classes, self.channels, self.resize = num_classes, channels, resize
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.class_names = None if class_names is None else tuple(class_names)
        self.network = None
        self.averaged = None
        self.register_buffer("weights", None, persistent=False)
        self.confusion: Tensor | None = None
        self.last_accuracy: Tensor | None = None
        if None not in (num_classes, image_size, channels):
            self.build()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_network(self) -> nn.Module:
        """Returns the network, (N, C, H, W) to logits (N, K). Override it to train one of your own:

            class Mine(ImageClassifier):
                def build_network(self):
                    return MyNetwork(self.channels, self.num_classes)

        `self.num_classes`, `self.channels` and `self.image_size` are known when it is called.
        """
        num_classes, image_size, channels = self.sizes()
        shape: dict[str, Any] = {"channels": channels, "image_size": image_size}
        if self.backbone is None:
            return network_by_name(
                self.network_name, num_classes, depth=self.depth, width=self.width, norm=self.norm,
                dropout=self.dropout, **shape,
            )  # fmt: skip
        weights = None
        if self.backbone_config is None:  # the first time: later the checkpoint has both, and the Hub is not asked
            self.note("backbone_config", backbone_settings(self.backbone, pretrained=self.pretrained, **shape))
            weights = self.backbone if self.pretrained else None
        assert self.backbone_config is not None
        return TransformersClassifier(
            self.backbone_config, num_classes, dropout=self.dropout, weights=weights,
            freeze=self.freeze_backbone, **shape,
        )  # fmt: skip

    def sizes(self) -> tuple[int, tuple[int, int], int]:
        """Classes, (height, width) and channels, once they are known."""
        if self.num_classes is None or self.image_size is None or self.channels is None:
            raise ValueError(
                f"give {type(self).__name__} num_classes, image_size and channels, or fit it with a data module that "
                "tells them"
            )
        return self.num_classes, self.image_size, self.channels

    def build(self) -> None:
        """Builds network, averaged weights and figures, once all sizes are known."""
        num_classes, _, _ = self.sizes()
        network = self.build_network()
        self.channels_last = self.channels_last and to_channels_last(network)
        self.network = network
        if self.ema_decay is not None:
            self.averaged = AveragedWeights(network, self.ema_decay)
        self.val_scores = ClassificationScores(num_classes)
        self.test_scores = ClassificationScores(num_classes)
        self.test_confidence = Mean()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        here, there = self.num_classes, getattr(data, "num_classes", None)
        if here is not None and there is not None and there > here and stage == "fit":
            raise ValueError(f"the data has labels up to {there - 1}, the network num_classes={here}")
        sizes = ("image_size", "channels")
        self.learn_from_data(("num_classes", *sizes, "class_names"), equal=sizes)
        if self.resize is None and (resize := getattr(getattr(data, "hparams", None), "resize", None)):
            self.note("resize", resize)
        if self.network is None:
            self.build()
        assert self.network is not None
        if stage == "fit":
            counts, (classes, _, _) = getattr(data, "class_counts", None), self.sizes()
            weights = class_weight_tensor(self.class_weights, classes, counts)
            self.weights = None if weights is None else weights.to(self.device)
            if self.freeze_backbone:  # it is meant to evaluate
                warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")
            self.prepare_for_ranks()
            if self.compiles:
                self.network.compile()

    def prepare_for_ranks(self) -> None:
        """On several GPUs, batch statistics over all of them."""
        assert self.network is not None
        strategy = self.trainer.strategy
        if not isinstance(strategy, DDPStrategy):
            return
        if self.backbone is not None:  # some backbones have layers that pooled features do not use
            strategy._ddp_kwargs.setdefault("find_unused_parameters", True)
        if self.trainer.world_size > 1 and self.sync_batchnorm:
            self.network = batch_norm_over_ranks(self.network, strategy.root_device)

    # --- inference -------------------------------------------------------------------------------------------------

    @property
    def inference_network(self) -> nn.Module:
        """The averaged weights where there are any, otherwise the network."""
        network = self.averaged if self.averaged is not None else self.network
        if network is None:
            raise RuntimeError("there is no network yet: give num_classes, image_size and channels, or fit first")
        return network

    def layout(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to logits (N, K), by the weights used at inference."""
        logits: Tensor = self.inference_network(self.layout(images))
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to probabilities (N, K) float32, averaged over `test_time_views`."""
        return averaged_probabilities(self, images, self.test_time_views)

    @torch.inference_mode()
    def classify(
        self,
        pictures: Tensor | Sequence[str | Path | Image.Image],
        *,
        value_range: tuple[float, float] | None = None,
    ) -> list[tuple[str, float]]:
        """Names what is on each picture.

        Args:
            pictures: paths, PIL pictures, or a tensor (N, C, H, W) in [-1, 1].
            value_range: the numbers that stand for black and white in pictures of more than 8 bits.

        Returns:
            (class name, its probability) for every picture.
        """
        from lhy_lightning.data.images.reading.image_files import open_image
        from lhy_lightning.data.images.reading.readers import decode

        num_classes, image_size, channels = self.sizes()
        if not isinstance(pictures, Tensor):
            rows = []
            for picture in pictures:
                image = picture if isinstance(picture, Image.Image) else open_image(picture)
                resize = self.resize or "stretch"
                array = decode(image, image_size, channels, resize, value_range=value_range)  # (H, W, C) uint8
                rows.append(torch.from_numpy(array.copy()).permute(2, 0, 1))
            pictures = torch.stack(rows).float() / 127.5 - 1
        with evaluation_mode(self):
            best = self.probabilities(pictures.to(self.device)).max(1)
        names = self.class_names or tuple(map(str, range(num_classes)))
        return [(names[k], p) for k, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]

    # --- training --------------------------------------------------------------------------------------------------

    def loss(self, logits: Tensor, batch: Batch) -> Tensor:
        """The training loss of one batch, mixed labels and all."""
        return self.criterion(
            logits, batch["label"], label_smoothing=self.label_smoothing, class_weights=self.weights,
            mixed_label=batch.get("mixed_label"), mix=batch.get("mix"),
        )  # fmt: skip

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        assert self.network is not None
        logits = self.network(self.layout(batch["image"]))
        loss = self.loss(logits, batch)
        self.log_training(batch_idx, logits, batch["label"], {"train/loss": loss})
        return loss

    def log_training(self, batch_idx: int, logits: Tensor, label: Tensor, losses: dict[str, Tensor]) -> None:
        """Logs losses and accuracy of a training step, on the steps that the loggers take: it costs .5 ms."""
        if self.logs_now(batch_idx):
            accuracy = (logits.detach().argmax(1) == label).float().mean()
            figures = {name: loss.detach() for name, loss in losses.items()}
            self.log_dict({**figures, "train/accuracy": accuracy}, prog_bar=True)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None and self.network is not None:
            self.averaged.update(self.network)

    def configure_optimizers(self) -> Any:
        assert self.network is not None
        numbers: dict[str, Any] = dict(self.optimizer_numbers)
        lr, decay = numbers["lr"], numbers["weight_decay"]
        if self.backbone is not None and self.backbone_lr is not None and hasattr(self.network, "backbone"):
            head = nn.ModuleList(m for name, m in self.network.named_children() if name != "backbone")
            groups = parameter_groups(self.network.backbone, self.backbone_lr, decay)  # type: ignore[arg-type]
            groups += parameter_groups(head, lr, decay)
        else:
            groups = parameter_groups(self.network, lr, decay)
        return self.scheduled(build_optimizer(groups, **numbers), **self.schedule_numbers)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: Batch, scores: ClassificationScores, logits: Tensor) -> Tensor:
        """Adds a batch to the figures; their loss has no smoothing and no weights, so that runs compare."""
        if "label" in batch:
            scores.update(logits, batch["label"], self.criterion(logits, batch["label"]))
        return logits

    def validation_step(self, batch: Batch, batch_idx: int) -> Tensor:
        return self.evaluate(batch, self.val_scores, self(batch["image"]))

    def on_validation_epoch_end(self) -> None:
        self.report("val", self.val_scores)

    def test_step(self, batch: Batch, batch_idx: int) -> Tensor:
        probabilities = self.probabilities(batch["image"])
        self.test_confidence.update(probabilities.max(1).values)
        # log of the mean probability: softmax gives the probability back, so both losses are right
        return self.evaluate(batch, self.test_scores, probabilities.clamp(min=1e-12).log())

    def on_test_epoch_end(self) -> None:
        self.report("test", self.test_scores)
        confidence = self.test_confidence.compute()
        self.test_confidence.reset()
        if self.confusion is None:
            self.log("test/confidence", confidence, sync_dist=True)
            rank_zero_warn(
                "the test pictures have no labels: there is no test/accuracy to report, only the mean probability of "
                "the predicted class (test/confidence). `lhy predict` writes the predictions."
            )

    def report(self, stage: str, scores: ClassificationScores) -> None:
        """Logs loss and accuracy over all ranks, where there are labels, and keeps the confusion matrix to draw."""
        figures = scores.compute()
        scores.reset()
        self.confusion = figures["confusion"] if figures["confusion"].any() else None
        self.last_accuracy = figures["accuracy"]
        if self.confusion is not None:
            named = {f"{stage}/loss": figures["loss"], f"{stage}/accuracy": figures["accuracy"]}
            self.log_dict(named, prog_bar=True, sync_dist=True)

    def predict_step(self, batch: Batch, batch_idx: int) -> Batch:
        """Returns `index` (N,) and `probabilities` (N, K) float32."""
        return {"index": batch["index"], "probabilities": self.probabilities(batch["image"])}

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), LayerTable(), ClassificationPictures()]

    def prediction_writers(self) -> list[Callback]:
        return [PredictionsCsv()]

    @classmethod
    def ensemble(cls, checkpoints: list[Path]) -> ProbabilityAverage:
        return ProbabilityAverage.from_checkpoints(checkpoints)
