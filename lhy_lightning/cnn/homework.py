"""The network of the course's own sample code for homework 3."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from lhy_lightning.cnn.sizes import check_picture_size
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.layers.norms import norm_layer


class HomeworkNet(nn.Module):
    """The three-convolution network handed out with homework 3 of 2021 (food-11, 280 labelled pictures a class).

    Called `Classifier` in that year's sample code; its layers keep their names there (`cnn_layers`, `fc_layers`), so
    a student's saved weights load here. 4,634,891 parameters at 128x128 and 11 classes, nine tenths of them in the
    first fully connected layer. The sample code of 2022 has five convolutions instead (64 to 512 channels).

    Args:
        num_classes: classes K; 11 in the homework.
        channels: channels of a picture; 3 in the homework.
        image_size: side, or height and width; 128x128 in the homework. Other sizes change the first linear layer only.
        norm: "batch" as in the homework, "group" or "none".
        dropout: before each of the last two linear layers; 0 in the homework.

    Raises:
        ValueError: pictures with a side under 16 pixels, which the three poolings (2, 2, 4) shrink to nothing.
    """

    def __init__(
        self,
        num_classes: int = 11,
        *,
        channels: int = 3,
        image_size: int | tuple[int, int] = (128, 128),
        norm: str = "batch",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        image_size = height_and_width(image_size)
        check_picture_size("the homework's network", image_size, 16, "--model.network vgg")
        self.cnn_layers = nn.Sequential(
            nn.Conv2d(channels, 64, 3, 1, 1),
            norm_layer(norm, 64),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2, 0),
            nn.Conv2d(64, 128, 3, 1, 1),
            norm_layer(norm, 128),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2, 2, 0),
            nn.Conv2d(128, 256, 3, 1, 1),
            norm_layer(norm, 256),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(4, 4, 0),
        )
        height, width = (side // 2 // 2 // 4 for side in image_size)
        self.fc_layers = nn.Sequential(
            nn.Linear(256 * height * width, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, num_classes),
        )
        if dropout:
            # in pairs with the ReLUs, so that the linear layers keep their numbers and saved weights load
            self.fc_layers[1] = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(dropout))
            self.fc_layers[3] = nn.Sequential(nn.ReLU(inplace=True), nn.Dropout(dropout))

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to logits (N, K)."""
        return cast(Tensor, self.fc_layers(self.cnn_layers(images).flatten(1)))
