"""What a classifier is built from, and what it says of a picture; how it learns is `ImageClassifier`'s."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from torch import Tensor, nn

from lhy_lightning.cnn.backbone import TransformersClassifier, backbone_settings
from lhy_lightning.cnn.networks import NETWORKS, network_by_name
from lhy_lightning.core.arguments.ranges import COUNT, Names, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.training.single_optimizer import SingleOptimizerArguments, SingleOptimizerModule


class ClassificationArguments(SingleOptimizerArguments, total=False):
    """Arguments of `ClassificationModule`, for the `**arguments` of those built on it."""

    network: str
    depth: int | None
    width: int | None
    norm: Literal["batch", "group", "none"]
    dropout: float
    backbone: str | None
    pretrained: bool
    freeze_backbone: bool
    backbone_config: str | None
    channels_last: bool
    num_classes: int | None
    image_size: int | tuple[int, int] | None
    channels: int | None
    class_names: tuple[str, ...] | None
    resize: Literal["stretch", "crop"] | None


class ClassificationModule(SingleOptimizerModule):
    """Base of classifiers: the network that names what is on a picture; a subclass says how it learns.

    The four arguments that describe the pictures may be left out: they are then taken from the data module when
    training starts, and written into the hyperparameters, so that a checkpoint rebuilds the network alone.

    Args:
        network: "resnet" (small pictures), "resnet_large", "vgg" or "homework" (the course's own three convolutions).
        depth: layers with weights; None for the network's own (20, 18, 9).
        width: channels of the first stage; None for the network's own (16, 64, 64).
        norm: "batch" (batch normalization), "group" or "none".
        dropout: share of the features set to zero before the last linear layer.
        backbone: hub id or folder of a `transformers` image model that takes the place of `network`.
        pretrained: start the backbone from its published weights; otherwise only its shape is used.
        freeze_backbone: train the head only.
        backbone_config: filled in by the module: what rebuilds the backbone without the Hub.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        num_classes: classes K; from the data if not given, as the next three.
        image_size: side, or (height, width), of a picture.
        channels: 1 (grey) or 3 (colour).
        class_names: K names, for pictures, tables and predictions.
        resize: how `classify` brings other pictures to size, "stretch" or "crop".
        arguments: as in `SingleOptimizerModule`.

    Raises:
        ValueError: a name or number that does not exist or does not fit the pictures.
    """

    argument_ranges = ranges(network=Names(tuple(NETWORKS)), depth=COUNT)
    built_from = ("num_classes", "image_size", "channels")

    network: nn.Module | None
    image_size: tuple[int, int] | None

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
        freeze_backbone: bool = False,
        backbone_config: str | None = None,
        channels_last: bool = True,
        num_classes: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        class_names: tuple[str, ...] | None = None,
        resize: Literal["stretch", "crop"] | None = None,
        **arguments: Unpack[SingleOptimizerArguments],
    ) -> None:
        super().__init__(**arguments)
        self.network_name, self.depth, self.width, self.norm, self.dropout = network, depth, width, norm, dropout
        self.backbone, self.pretrained, self.backbone_config = backbone, pretrained, backbone_config
        self.freeze_backbone, self.channels_last = freeze_backbone, channels_last
        self.num_classes, self.channels, self.resize = num_classes, channels, resize
        self.set_hparam("image_size", height_and_width(image_size))
        self.class_names = None if class_names is None else tuple(class_names)
        self.network = None

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
            self.set_hparam("backbone_config", backbone_settings(self.backbone, pretrained=self.pretrained, **shape))
            weights = self.backbone if self.pretrained else None
        assert self.backbone_config is not None
        return TransformersClassifier(
            self.backbone_config, num_classes, dropout=self.dropout, weights=weights,
            freeze=self.freeze_backbone, **shape,
        )  # fmt: skip

    def sizes(self) -> tuple[int, tuple[int, int], int]:
        """Classes, (height, width) and channels, once they are known."""
        num_classes, image_size, channels = self.known_sizes()
        return num_classes, image_size, channels

    def build(self) -> None:
        self.check_known()
        network = self.build_network()
        self.channels_last = self.channels_last and to_channels_last(network)
        self.network = network

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        here, there = self.num_classes, getattr(data, "num_classes", None)
        if here is not None and there is not None and there > here and stage == "fit":
            raise ValueError(f"the data has labels up to {there - 1}, the network num_classes={here}")
        sizes = ("image_size", "channels")
        self.infer_from_datamodule(("num_classes", *sizes, "class_names"), equal=sizes)
        if self.resize is None and (resize := getattr(getattr(data, "hparams", None), "resize", None)):
            self.set_hparam("resize", resize)
        self.build_once()

    # --- inference -------------------------------------------------------------------------------------------------

    @property
    def inference_network(self) -> nn.Module:
        """The network that evaluates and predicts."""
        network: nn.Module = self.built()
        return network

    def layout(self, images: Tensor) -> Tensor:
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def forward(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to logits (N, K), by the weights used at inference."""
        logits: Tensor = self.inference_network(self.layout(images))
        return logits

    def probabilities(self, images: Tensor) -> Tensor:
        """Pictures (N, C, H, W) in [-1, 1] to probabilities (N, K) float32."""
        logits: Tensor = self(images)
        return logits.float().softmax(1)

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
