"""Any image backbone of `transformers` with a linear head, rebuilt from a JSON string without the Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.data.tokenizers.encoder_source import loaded, without_code

# What nearly every pre-trained backbone was trained with; used where the folder says nothing else.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


def backbone_settings(name: str, *, channels: int, image_size: tuple[int, int], pretrained: bool) -> str:
    """Reads a backbone's configuration from the Hub or a folder and returns all that rebuilds it, as JSON.

    Args:
        name: hub id or local folder.
        channels: channels of a picture; a network from scratch is built for them.
        image_size: height and width of a picture; likewise, where the network depends on it.
        pretrained: keep the configuration as its weights need it.
    """
    from transformers import AutoConfig
    from transformers.utils.hub import cached_file

    config = loaded(AutoConfig.from_pretrained, name, "configuration", role="backbone")
    if not pretrained:
        if hasattr(config, "num_channels"):
            config.num_channels = channels
        if hasattr(config, "image_size"):
            config.image_size = image_size[0] if image_size[0] == image_size[1] else list(image_size)
    mean: tuple[float, ...] = IMAGENET_MEAN
    deviation: tuple[float, ...] = IMAGENET_DEVIATION
    file = cached_file(name, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    if file is not None:
        settings = json.loads(Path(file).read_text("utf8"))
        if settings.get("do_normalize", True):
            mean = tuple(settings.get("image_mean", mean))
            deviation = tuple(settings.get("image_std", deviation))
        else:
            mean, deviation = (0.0,), (1.0,)
    return json.dumps({"config": without_code(config.to_dict()), "mean": mean, "deviation": deviation}, default=str)


class TransformersClassifier(nn.Module):
    """A `transformers` backbone and a linear layer on its pooled output.

    Pictures come in [-1, 1] and are brought to the mean and deviation that the backbone was trained with; grey ones
    are repeated to as many channels as it takes. Pooled means `pooler_output` where the model has one, otherwise the
    mean over the map or over the tokens.

    Args:
        settings: JSON of `backbone_settings`.
        num_classes: classes K.
        channels: channels of a picture.
        image_size: side, or height and width, of a picture.
        dropout: share of the pooled features set to zero before the linear layer.
        weights: hub id or folder to take pre-trained weights from; None for random weights.
        freeze: the backbone stays as it is: no gradients, batch statistics untouched.

    Raises:
        ValueError: the backbone does not take such pictures.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        settings: str,
        num_classes: int,
        *,
        channels: int = 3,
        image_size: int | tuple[int, int] = (224, 224),
        dropout: float = 0.0,
        weights: str | None = None,
        freeze: bool = False,
    ) -> None:
        from transformers import AutoConfig, AutoModel

        super().__init__()
        image_size = height_and_width(image_size)
        described = json.loads(settings)
        values = without_code(described["config"])  # it may come out of a checkpoint
        config = AutoConfig.for_model(values.pop("model_type"), **values)
        self.takes = int(getattr(config, "num_channels", 3))
        if channels not in (1, self.takes):
            raise ValueError(f"this backbone takes pictures of {self.takes} channels, the data has {channels}")
        self.backbone: nn.Module = (
            loaded(AutoModel.from_pretrained, weights, "weights", role="backbone", config=config)
            if weights
            else AutoModel.from_config(config)
        )
        self.freeze = freeze
        if freeze:
            self.backbone.requires_grad_(False)
        for name in ("mean", "deviation"):
            value = torch.tensor(described[name], dtype=torch.float32)
            value = value if value.numel() in (1, self.takes) else value.mean(0, keepdim=True)
            self.register_buffer(name, value.view(1, -1, 1, 1), persistent=False)
        self.eval()
        try:
            with torch.no_grad():
                features = self.pooled(torch.zeros(1, channels, *image_size)).shape[1]
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"the backbone does not take pictures of {channels}x{image_size[0]}x{image_size[1]}: {error}"
            ) from error
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(features, num_classes)
        self.train()

    def train(self, mode: bool = True) -> TransformersClassifier:
        """A frozen backbone stays in evaluation mode: its batch statistics must not move."""
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def pooled(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to features (N, D)."""
        images = ((images + 1) / 2 - self.mean) / self.deviation
        if images.shape[1] != self.takes:
            images = images.expand(-1, self.takes, -1, -1)
        output: Any = self.backbone(pixel_values=images)
        pooler = getattr(output, "pooler_output", None)
        if pooler is not None:
            return torch.as_tensor(pooler).flatten(1)
        hidden: Tensor = output.last_hidden_state
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in [-1, 1] to logits (N, K)."""
        return torch.as_tensor(self.head(self.dropout(self.pooled(images))))
