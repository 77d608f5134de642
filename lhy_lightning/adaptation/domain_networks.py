"""The two networks of this topic: a feature extractor and a label predictor, their weights, what they say of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Self, TypedDict

import torch
from torch import Tensor, nn

from lhy_lightning.adaptation.networks.by_name import feature_extractor, features_of, label_predictor
from lhy_lightning.adaptation.networks.domain_batch_norm import tell_source_rows, with_domain_norms
from lhy_lightning.core.arguments.ranges import CLIP, COUNT, ranges
from lhy_lightning.core.sizes import height_and_width
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.layers.memory_format import to_channels_last
from lhy_lightning.training.checkpoints import read_checkpoint
from lhy_lightning.training.multi_optimizer import MultiOptimizerModule

SIZES = ("num_classes", "image_size", "channels", "class_names", "source_domains")


class NetworkArguments(TypedDict, total=False):
    """Arguments of `DomainNetworks`, for the `**arguments` of those built on it."""

    network: Literal["paper", "homework", "dirt"]
    width: int | None
    norm: Literal["batch", "group", "none"] | None
    domain_norm: bool | Literal["statistics"]
    label_hidden: tuple[int, ...] | None
    dropout: float
    accumulate: int
    network_clip: float | None
    start_from: str | None
    channels_last: bool
    num_classes: int | None
    image_size: int | tuple[int, int] | None
    channels: int | None
    class_names: tuple[str, ...] | None
    source_domains: int | None


class DomainNetworks(MultiOptimizerModule):
    """Base: a feature extractor and a label predictor for pictures of two domains.

    To use networks of your own, override `build_extractor`, `build_label_predictor`.

    Args:
        network: "paper", "homework" or "dirt" (see `networks/by_name.py`).
        width: channels of its first convolution; None for its own.
        norm: behind its convolutions, "batch", "group" or "none"; None for its own.
        domain_norm: batch norms of extractor and label predictor of its own for each domain; "statistics" shares scale
            and shift.
        label_hidden: units of the label predictor's hidden layers; None for the network's own label predictor.
        dropout: share of its units set to zero.
        accumulate: batches whose gradients one step adds up; their mean is taken.
        network_clip: largest gradient norm; None disables clipping.
        start_from: checkpoint of a module of this topic whose weights are taken, as far as they have the same name.
        channels_last: keep pictures and weights with channels innermost in memory, which is faster.
        num_classes: classes K; from the data if not given, as the next four.
        image_size: side, or (height, width), of a picture.
        channels: 1 (grey) or 3 (colour).
        class_names: K names.
        source_domains: number of source domains.

    Raises:
        ValueError: a name or number that does not exist or does not fit another.
    """

    built_from = ("num_classes", "image_size", "channels")
    no_network = "there are no networks yet: give num_classes, image_size and channels, or fit first"

    argument_ranges = ranges(label_hidden=COUNT, network_clip=CLIP, source_domains=COUNT)

    extractor: nn.Module | None
    label_predictor: nn.Module | None
    image_size: tuple[int, int] | None

    def __init__(
        self,
        *,
        network: Literal["paper", "homework", "dirt"] = "paper",
        width: int | None = None,
        norm: Literal["batch", "group", "none"] | None = None,
        domain_norm: bool | Literal["statistics"] = False,
        label_hidden: tuple[int, ...] | None = None,
        dropout: float = 0.0,
        accumulate: int = 1,
        network_clip: float | None = None,
        start_from: str | None = None,
        channels_last: bool = True,
        num_classes: int | None = None,
        image_size: int | tuple[int, int] | None = None,
        channels: int | None = None,
        class_names: tuple[str, ...] | None = None,
        source_domains: int | None = None,
    ) -> None:
        super().__init__(accumulate=accumulate, clip={"network": network_clip})
        self.save_hyperparameters()
        self.network_name, self.width, self.norm, self.domain_norm = network, width, norm, domain_norm
        self.label_hidden = None if label_hidden is None else tuple(label_hidden)
        self.dropout, self.start_from, self.channels_last = dropout, start_from, channels_last
        self.num_classes, self.channels, self.source_domains = num_classes, channels, source_domains
        self.set_hparam("image_size", height_and_width(image_size))
        self.class_names = None if class_names is None else tuple(class_names)
        self.extractor = self.label_predictor = None
        self.started = False  # whether the weights are those of a run already, which `start_from` is not to replace

    # --- networks --------------------------------------------------------------------------------------------------

    @property
    def is_built(self) -> bool:
        return self.extractor is not None

    def sizes(self) -> tuple[int, tuple[int, int], int]:
        """Classes, (height, width) and channels, once they are known."""
        classes, size, channels = self.known_sizes()
        return classes, size, channels

    def build_extractor(self) -> nn.Module:
        """Returns pictures (N, C, H, W) to features (N, D). Override it for one of your own."""
        _, size, channels = self.sizes()
        return feature_extractor(self.network_name, channels, size, width=self.width, norm=self.norm)

    def build_label_predictor(self, features: int) -> nn.Module:
        """Returns features (N, D) to logits (N, K). Override it for one of your own."""
        classes, size, _ = self.sizes()
        return label_predictor(
            self.network_name, features, classes, size, hidden=self.label_hidden, dropout=self.dropout,
            width=self.width, norm=self.norm,
        )  # fmt: skip

    def new_label_predictor(self) -> nn.Module:
        """One with statistics of each domain, if asked for."""
        predictor = self.build_label_predictor(self.features)
        if self.domain_norm:
            with_domain_norms(predictor, shared=self.domain_norm == "statistics")
        return predictor

    def build(self) -> None:
        """Builds all networks, once all sizes are known."""
        _, size, channels = self.sizes()
        self.extractor = self.build_extractor()
        shared = self.domain_norm == "statistics"
        if self.domain_norm and not with_domain_norms(self.extractor, shared=shared):
            raise ValueError(
                f"domain_norm={self.domain_norm}, but the feature extractor has no batch norm: set norm='batch'."
            )
        self.channels_last = self.channels_last and to_channels_last(self.extractor)
        self.features = features_of(self.extractor, channels, size)
        self.label_predictor = self.new_label_predictor()

    def networks(self) -> dict[str, nn.Module | Sequence[nn.Module]]:
        extractor, predictor = self.built()
        return {"network": [extractor, predictor]}

    def built(self) -> tuple[nn.Module, nn.Module]:
        """The feature extractor and the label predictor.

        Raises:
            RuntimeError: there are none yet.
        """
        if self.extractor is None or self.label_predictor is None:
            raise RuntimeError(self.no_network)
        return self.extractor, self.label_predictor

    @property
    def needs_target(self) -> bool:
        """Whether a training batch must have target rows."""
        return True

    @property
    def missing_keys(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        said = f"{type(self).__name__} trains on target pictures too: give every batch its `target_image`."
        return (("target_image", said),) if self.needs_target else ()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        given = getattr(getattr(self.trainer, "datamodule", None), "hparams", {})
        if stage == "fit" and self.needs_target and given.get("target_batch_size") == 0:
            raise ValueError(
                f"{type(self).__name__} trains on target pictures too, and --data.target_batch_size 0 takes none: set "
                "it to 1 or more, or leave it out to take as many as of the source."
            )
        self.infer_from_datamodule(SIZES, equal=("image_size", "channels", "num_classes"))
        self.build_once()
        if stage == "fit":
            if self.start_from is not None and not self.started and not self.trainer.ckpt_path:
                self.load_initial_weights(self.start_from)
            self.started = True

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.started = True

    @classmethod
    def _from_pretrained(cls, **arguments: Any) -> Self:
        module = super()._from_pretrained(**arguments)
        module.started = True
        return module

    def load_initial_weights(self, path: str) -> set[str]:
        """Takes the weights of a checkpoint whose names and shapes are those here, and returns their names.

        Raises:
            ValueError: it has none for a feature extractor of this shape.
        """
        found, own = read_checkpoint(path)["state_dict"], self.state_dict()
        taken = {name: value for name, value in found.items() if name in own and value.shape == own[name].shape}
        missing = [name for name in own if name.startswith("extractor.") and name not in taken]
        if missing:
            raise ValueError(f"start_from={path} has no weights of the shape of {missing[0]}: give the same network.")
        self.load_state_dict(taken, strict=False)
        return set(taken)

    # --- inference -------------------------------------------------------------------------------------------------

    def extract(self, images: Tensor, source_rows: int) -> Tensor:
        """Features (N, D) of pictures of which the first so many are of the source."""
        extractor, predictor = self.built()
        if self.domain_norm:
            tell_source_rows(extractor, source_rows)
            tell_source_rows(predictor, source_rows)
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        features: Tensor = extractor(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Target pictures (N, C, H, W) in [-1, 1] to logits (N, K)."""
        _, predictor = self.built()
        logits: Tensor = predictor(self.extract(images, 0))
        return logits

    @torch.no_grad()
    def embed(self, images: Tensor, domain: Literal["source", "target"]) -> tuple[Tensor, Tensor]:
        """Features (N, D) and logits (N, K), float32, in evaluation mode."""
        _, predictor = self.built()
        with evaluation_mode(self):
            features = self.extract(images.to(self.device), len(images) if domain == "source" else 0)
            return features.float(), torch.as_tensor(predictor(features)).float()
