"""`AnomalyDetector`: learns normal pictures only and says of others how strange they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from lhy_lightning.autoencoders.anomaly import synthetic_anomalies as synthetic
from lhy_lightning.autoencoders.anomaly.anomaly_networks import (
    DetectorNetwork,
    HalvesSettings,
    encoder_and_decoder,
    latent_numbers,
)
from lhy_lightning.autoencoders.anomaly.anomaly_plots import HeatMapPictures
from lhy_lightning.autoencoders.anomaly.anomaly_scores import (
    activations,
    classifier_score,
    error_map,
    feature_score,
    latent_score,
    latent_statistics,
    patch_score,
    pixel_score,
    smoothed,
)
from lhy_lightning.autoencoders.anomaly.homework import AnomalyTable
from lhy_lightning.autoencoders.reconstruction import ReconstructionArguments, ReconstructionModule
from lhy_lightning.core.arguments.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, SIZES, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.anomalies import CountedAUROC, detection_figures, reason_without_figures, threshold_of
from lhy_lightning.metrics.texts.glue import NumberPairs
from lhy_lightning.training.module import EvaluatedSplit

PICTURES_FOR_STATISTICS = 5000
OF_LABELS = ("auroc", "aupr", "f1", "detected", "false_alarms")


class AnomalyDetector(ReconstructionModule):
    """Scores pictures by how unlike the normal ones they are that it was trained on; higher = stranger.

    No anomaly is needed: the best epoch is that of the lowest loss on normal validation pictures, and the threshold is
    the score that a stated share of them exceeds. Labelled anomalies, where there are any, only measure: AUROC, AUPR,
    and F1 at the threshold; `test/pixel_auroc` says how well the heat maps find pieces pasted into the normal test
    pictures, of all their pixels together. An epoch chosen by such a figure is no longer label-free: it prints ORACLE.

    What a score is, by name (`anomaly_scores.py`): the error of the reconstruction, of the whole picture ("pixel"), of
    its worst square ("patch") or of the encoder's activations ("feature"); the Mahalanobis distance of its latent from
    the training pictures' ("latent"); or how unsure an extra classifier is that it was not made an anomaly of
    ("classifier"). The anomalies made for it, by name (`synthetic_anomalies.py`): "noise", "patches" pasted in, other
    "latents", and the moves "rotations" and "shifts", which it has to tell from each other, too.

    Args:
        network: "linear", "homework" or "homework_batch_norm" (three convolutions), "several" (the linear and the
            convolutional encoder side by side), "conv".
        score: "pixel", "patch", "feature", "latent" or "classifier".
        synthetic_anomalies: "none", "noise", "patches", "latents", "rotations" or "shifts".
        latent_dim: numbers of a latent; channels of the latent map of "conv".
        hidden: widths of the fully connected layers, the first next to the picture.
        width: channels of "conv".
        downsamplings: how often "conv" halves the sides.
        patch: side of the squares of "patch" and of heat maps in pixels, an odd number.
        reconstruction_weight: of the mean squared error in the loss; 0 leaves the decoder untrained.
        classifier_weight: of the classifier's cross-entropy in the loss.
        false_alarm_rate: share of normal validation pictures above the threshold.
        arguments: as in `ReconstructionModule`.

    Attributes:
        threshold: scalar, what scores higher is called an anomaly; infinite before the first validation.

    Raises:
        ValueError: an argument is out of range or unknown, "classifier" without made anomalies, or pictures that the
            network or the made anomalies cannot take.

    Example:
        >>> import torch
        >>> from lhy_lightning import AnomalyDetector
        >>> detector = AnomalyDetector(image_size=8, channels=1, latent_dim=2, width=4, downsamplings=1)
        >>> tuple(detector.scores(torch.zeros(3, 1, 8, 8)).shape)  # the higher, the less normal
        (3,)
    """

    argument_ranges = ranges(
        latent_dim=COUNT, hidden=SIZES, downsamplings=COUNT, patch=COUNT, reconstruction_weight=NOT_NEGATIVE,
        classifier_weight=NOT_NEGATIVE, false_alarm_rate=BELOW_ONE,
    )  # fmt: skip

    tests_without_labels = False

    network: DetectorNetwork | None
    threshold: Tensor
    latent_mean: Tensor
    latent_precision: Tensor

    later_metrics = ("val/*",)  # figures of scores, once there is a threshold

    def __init__(
        self,
        *,
        network: Literal["linear", "homework", "homework_batch_norm", "several", "conv"] = "conv",
        score: Literal["pixel", "patch", "feature", "latent", "classifier"] = "pixel",
        synthetic_anomalies: Literal["none", "noise", "patches", "latents", "rotations", "shifts"] = "none",
        latent_dim: int = 16,
        hidden: tuple[int, ...] = (128, 64, 12),
        width: int = 32,
        downsamplings: int = 2,
        patch: int = 5,
        reconstruction_weight: float = 1.0,
        classifier_weight: float = 1.0,
        false_alarm_rate: float = 0.05,
        **arguments: Unpack[ReconstructionArguments],
    ) -> None:
        super().__init__(**arguments)
        if score == "classifier" and synthetic_anomalies == "none":
            raise ValueError(
                f"score=classifier needs synthetic_anomalies to learn from: one of {', '.join(synthetic.MADE)}"
            )
        if patch % 2 == 0:
            raise ValueError(f"patch={patch}: an odd number of pixels, so that a square has a middle")
        if reconstruction_weight <= 0 and score != "classifier":
            raise ValueError(f"reconstruction_weight={reconstruction_weight}: score={score} needs a trained decoder")
        self.kind, self.score, self.synthetic_anomalies, self.patch = network, score, synthetic_anomalies, patch
        self.network_settings = HalvesSettings(latent_dim, tuple(hidden), width, downsamplings)
        self.reconstruction_weight, self.classifier_weight = reconstruction_weight, classifier_weight
        self.false_alarm_rate = false_alarm_rate
        self.rows = nn.ModuleDict({stage: NumberPairs() for stage in ("val", "test")})
        self.pixels = CountedAUROC()
        self.register_buffer("threshold", torch.tensor(torch.inf))
        self.build_if_known()

    # --- network ---------------------------------------------------------------------------------------------------

    def build_encoder_and_decoder(self) -> tuple[nn.Module, nn.Module]:
        """Returns pictures (N, C, H, W) to latents (N, ...), and the way back. Override it for networks of your own."""
        return encoder_and_decoder(self.kind, self.shape, **asdict(self.network_settings))

    def build_network(self) -> DetectorNetwork:
        synthetic.fit_for_moves(self.synthetic_anomalies, self.shape[1:])
        height, width = self.shape[1:]
        if self.patch > min(height, width):
            largest = min(height, width) - (min(height, width) + 1) % 2
            raise ValueError(f"patch={self.patch} is larger than pictures of {height} x {width}: at most {largest}.")
        encoder, decoder = self.build_encoder_and_decoder()
        numbers = latent_numbers(encoder, self.shape)
        if self.score == "latent":
            self.register_buffer("latent_mean", torch.zeros(numbers))
            self.register_buffer("latent_precision", torch.eye(numbers))
        if self.reconstruction_weight <= 0:
            decoder.requires_grad_(False)  # or several processes would wait for its gradients
        if self.synthetic_anomalies == "none":
            return DetectorNetwork(encoder, decoder)
        kinds = len(synthetic.moves_of(self.synthetic_anomalies)) or 2
        return DetectorNetwork(encoder, decoder, nn.Sequential(nn.Flatten(), nn.Linear(numbers, kinds)))

    # --- training --------------------------------------------------------------------------------------------------

    def forward(self, images: Tensor) -> Tensor:
        pictures: Tensor = self.built()(images)
        return pictures

    def made(self, images: Tensor, generator: torch.Generator | None = None) -> synthetic.SyntheticBatch:
        """Normal pictures (N, C, H, W), some of which are made anomalies."""
        network = self.built()

        def redraw(change: Callable[[Tensor], Tensor]) -> Tensor:
            with torch.no_grad(), evaluation_mode(network):
                pictures: Tensor = network.decoder(change(network.encoder(images))).float()
            return pictures

        return synthetic.make_anomalies(self.synthetic_anomalies, images, generator, redraw=redraw)

    def losses(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        network = self.built()
        if network.head is None:
            result = network(images)
            return result, {"loss": F.mse_loss(result.float(), images)}
        made = self.made(images, generator)
        latents = network.encoder(made.seen)
        classifier = F.cross_entropy(network.head(latents).float(), made.kind)
        if self.reconstruction_weight <= 0:
            return made.seen, {"loss": self.classifier_weight * classifier, "classifier_loss": classifier}
        result = network.decoder(latents)
        reconstruction = F.mse_loss(result.float(), made.target)
        loss = self.reconstruction_weight * reconstruction + self.classifier_weight * classifier
        return result, {"loss": loss, "classifier_loss": classifier, "reconstruction_loss": reconstruction}

    def on_fit_start(self) -> None:
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            figure = str(getattr(callback, "monitor", None) or "")
            if figure.rpartition("/")[2] in OF_LABELS:
                rank_zero_warn(
                    f"ORACLE: {type(callback).__name__} chooses by {figure}, which takes anomaly labels. Where there "
                    "are none, as in the task itself, nobody could choose so: these figures are an upper bound."
                )

    # --- scores ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def scores(self, images: Tensor) -> Tensor:
        """How strange each picture is: (N, C, H, W) in [-1, 1] to (N,) float32, raw, the same in any batch."""
        network, images = self.built(), images.to(self.device)
        with evaluation_mode(network):
            if self.score == "classifier":
                moves = synthetic.moves_of(self.synthetic_anomalies) or ((0, 0, 0),)
                logits = [network.logits(synthetic.moved(images, m)) for m in moves]
                each = [classifier_score(one, kind) for kind, one in enumerate(logits)]
                return torch.stack(each).mean(0)
            if self.score == "latent":
                return latent_score(network.encoder(images).flatten(1), self.latent_mean, self.latent_precision)
            result = network(images)
            if self.score == "feature":
                return feature_score(*(activations(network.encoder, pictures) for pictures in (images, result)))
            errors = error_map(images, result)
            return patch_score(errors, self.patch) if self.score == "patch" else pixel_score(errors)

    def heat_map(self, images: Tensor) -> Tensor:
        """How strange each pixel is, by the error of the reconstruction: (N, C, H, W) in [-1, 1] to (N, H, W)."""
        images = images.to(self.device)
        return smoothed(error_map(images, self.reconstruct(images)), self.patch)

    def on_validation_start(self) -> None:
        if self.score == "latent":
            self.learn_latents(self.trainer.datamodule.pictures("train"))  # type: ignore[attr-defined]

    @torch.no_grad()
    def learn_latents(self, pictures: Any) -> None:
        """Mean and covariance of the latents of normal pictures, at most 5,000, evenly spaced.

        Args:
            pictures: has a length and gives, by `take`, the pictures (B, C, H, W) at places (B,).
        """
        places = torch.linspace(0, len(pictures) - 1, min(len(pictures), PICTURES_FOR_STATISTICS)).long().numpy()
        network = self.built()
        with evaluation_mode(network):
            latents = [
                network.encoder(pictures.take(places[at : at + 250]).to(self.device)).flatten(1).float()
                for at in range(0, len(places), 250)
            ]
        mean, precision = latent_statistics(torch.cat(latents))
        self.latent_mean.copy_(mean)
        self.latent_precision.copy_(precision)

    # --- evaluation ------------------------------------------------------------------------------------------------

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> None:
        images, labels = batch["image"], batch.get("label")
        normal = images if labels is None else images[labels == 0]
        # every rank has every figure, also one without a normal row in this batch
        draws = torch.Generator(device=images.device).manual_seed(0)  # the same anomalies are made in every epoch
        _, figures = self.losses(normal if len(normal) else images[:1], draws)
        for name, value in figures.items():
            self.mean(f"{split}/{name}", value.expand(len(normal)))  # once for every normal row
        if split == "test" and labels is not None and len(normal) and self.reconstruction_weight > 0:
            changed, where = synthetic.pasted_by_row(normal, batch["index"][labels == 0])
            self.pixels.update(self.heat_map(changed), where)
        unknown = torch.full((len(images),), -1, device=images.device)
        self.rows[split].update(self.scores(images), unknown if labels is None else labels)  # type: ignore[operator]

    def report(self, split: EvaluatedSplit) -> None:
        super().report(split)
        scores, labels = self.rows[split].compute()  # type: ignore[operator]
        self.rows[split].reset()  # type: ignore[operator]
        if self.trainer.sanity_checking:
            return
        if split == "val":
            self.threshold.copy_(threshold_of(scores[labels != 1], self.false_alarm_rate))
        if split == "test" and self.reconstruction_weight > 0 and bool((labels == 0).any()):
            if not (pixel_auroc := self.pixels.compute()).isnan():  # where pieces equal what they cover
                self.log("test/pixel_auroc", pixel_auroc.float(), sync_dist=True)
            self.pixels.reset()
        why_not = reason_without_figures(labels)
        if why_not is None:
            found = detection_figures(scores, labels, self.threshold.to(scores))
            self.log_dict({f"{split}/{name}": value.float() for name, value in found.items()}, sync_dist=True)
        elif split == "test":
            called = (scores > self.threshold.to(scores)).float().mean()
            self.log_dict({"test/score": scores.mean().float(), "test/called_anomalies": called}, sync_dist=True)
            rank_zero_warn(why_not)

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,), `score` (N,) float32 and `anomaly` (N,) bool, whether it is above the threshold."""
        scores = self.scores(batch["image"])
        return {"index": batch["index"], "score": scores, "anomaly": scores > self.threshold}

    def configure_callbacks(self) -> list[Callback]:
        drawn = self.plot_every_n_validations and self.reconstruction_weight > 0
        others = super().configure_callbacks()
        return [*others, HeatMapPictures(self.plot_every_n_validations)] if drawn else []

    def prediction_writers(self) -> list[Callback]:
        return [AnomalyTable()]
