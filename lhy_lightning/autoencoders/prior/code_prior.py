"""`CodePrior`: which codes follow which, so that new pictures can be drawn from a VQ-VAE."""

from __future__ import annotations

import warnings
from math import log, log2
from pathlib import Path
from typing import Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback
from torch import Tensor, nn

from lhy_lightning.autoencoders.prior.code_transformer import CodeTransformer
from lhy_lightning.autoencoders.prior.frozen_vqvae import open_vqvae, require_checkpoint
from lhy_lightning.autoencoders.prior.pixelcnn import GatedPixelCNN
from lhy_lightning.autoencoders.prior.prior_plots import DrawnPictures
from lhy_lightning.callbacks.sampled_images import SampledPictures
from lhy_lightning.core.arguments.ranges import COUNT, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.core.distributed import rank_and_world, sum_over_ranks
from lhy_lightning.core.seeding import derive_seed, run_seed
from lhy_lightning.data.batches import ImageBatch
from lhy_lightning.layers.evaluation_mode import evaluation_mode
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.metrics.generation.classifier_features import ClassifierFeatures
from lhy_lightning.training.checkpoints import load_modules
from lhy_lightning.training.module import EvaluatedSplit
from lhy_lightning.training.single_optimizer import Schedule, SingleOptimizerArguments, SingleOptimizerModule

AT_ONCE = 250


class CodePrior(SingleOptimizerModule):
    """Learns the codes of a trained VQ-VAE one after the other (van den Oord et al. 2017, section 4.2).

    The VQ-VAE stays as it is and travels in this module's checkpoints. The loss is the cross entropy of each code given
    those before it. `val/bits_per_code` is that in bits: of codes, and so no likelihood of a picture. Beside it stand
    `val/histogram_bits`, what codes cost that are drawn by their frequency in training alone, and `val/code_bits`,
    which is log2 K.

    Args:
        vqvae: checkpoint of a `VQVAE`.
        vqvae_config: filled in by the module: what rebuilds the VQ-VAE without that file.
        network: a causal "transformer" or the gated "pixelcnn".
        conditional: learn the codes of each class, from labelled pictures.
        width, layers: of the network.
        heads: of the Transformer's attention.
        dropout: of the Transformer.
        classifier: checkpoint of an `ImageClassifier` that reads drawn pictures in a test: `test/class_accuracy` is how
            often it names the class that was asked for.
        samples: pictures drawn for that.
        optimizer: any of `torch.optim`, by its lower-case name.
        betas: coefficients (β₁, β₂) of Adam-type optimizers.
        weight_decay: of weights with two or more axes.
        schedule: "constant", "linear" or "cosine".
        num_classes: classes of a conditional prior; from the data if not given.
        arguments: as in `SingleOptimizerModule`.

    Raises:
        ValueError: an argument is out of range or unknown, or a conditional prior without labels.
        FileNotFoundError: there is no such checkpoint.

    Example:
        >>> from lhy_lightning import CodePrior, VQVAE
        >>> import json
        >>> vqvae = VQVAE(image_size=8, channels=1, codebook_size=4, dim=2, width=4, downsamplings=1)
        >>> config = json.dumps({"class_path": "lhy_lightning.VQVAE", **vqvae.hparams})  # or vqvae="vqvae.ckpt"
        >>> prior = CodePrior(vqvae_config=config, width=8, layers=1, heads=2)
        >>> tuple(prior.sample(3, seed=0).shape)
        (3, 1, 8, 8)
    """

    data_modules = ("ImageDataModule",)

    argument_ranges = ranges(samples=COUNT)
    built_from = ("num_classes",)

    network: CodeTransformer | GatedPixelCNN | None
    histogram: Tensor

    def __init__(  # type: ignore[misc]  # some arguments have other defaults than in the base
        self,
        *,
        vqvae: str | None = None,
        vqvae_config: str | None = None,
        network: Literal["transformer", "pixelcnn"] = "transformer",
        conditional: bool = False,
        width: int = 128,
        layers: int = 4,
        heads: int = 4,
        dropout: float = 0.1,
        classifier: str | None = None,
        samples: int = 1000,
        optimizer: str = "adamw",
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.01,
        schedule: Schedule = "cosine",
        num_classes: int | None = None,
        **arguments: Unpack[SingleOptimizerArguments],
    ) -> None:
        super().__init__(optimizer=optimizer, betas=betas, weight_decay=weight_decay, schedule=schedule, **arguments)
        if vqvae_config is None:  # a checkpoint of this module needs neither file, but for a test
            for name, file in (("vqvae", vqvae), ("classifier", classifier)):
                require_checkpoint(name, file)
        if vqvae is None and vqvae_config is None:
            raise ValueError("vqvae: give a VQVAE's checkpoint, such as runs/vqvae/quickstart/checkpoints/best.ckpt")
        self.kind, self.conditional, self.num_classes = network, conditional, num_classes
        self.tests_without_labels = not conditional
        self.width, self.layers, self.heads, self.dropout = width, layers, heads, dropout
        self.classifier, self.samples = classifier, samples
        self.vqvae, self.hparams["vqvae_config"] = open_vqvae(vqvae, vqvae_config)
        self.register_buffer("histogram", torch.zeros(self.vqvae.codebook_size))
        self.nats, self.histogram_nats = Mean(), Mean()
        self.network = None
        self.build_if_known()

    # --- networks --------------------------------------------------------------------------------------------------

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the VQ-VAE's pictures."""
        return self.vqvae.shape[1:]

    @property
    def channels(self) -> int:
        """Channels of the VQ-VAE's pictures."""
        return self.vqvae.shape[0]

    def build_network(self) -> CodeTransformer | GatedPixelCNN:
        """Returns codes (N, h, w) and classes (N,) to logits (N, h, w, K). Override it for one of your own."""
        shape = self.vqvae.codes_shape
        codes, width, layers = self.vqvae.codebook_size, self.width, self.layers
        if self.kind == "pixelcnn":
            if len(shape) != 2:
                raise ValueError("the codes of two levels are no map for network: pixelcnn; take the transformer")
            return GatedPixelCNN(codes, (shape[0], shape[1]), classes=self.classes, width=width, layers=layers)
        return CodeTransformer(
            codes, shape, classes=self.classes, width=width, layers=layers, heads=self.heads, dropout=self.dropout
        )

    @property
    def classes(self) -> int:
        return (self.num_classes or 1) if self.conditional else 1

    @property
    def needs_labels(self) -> str:  # type: ignore[override]
        """The setting that needs them."""
        return "conditional: true" if self.conditional else ""

    @property
    def is_known(self) -> bool:
        return super().is_known or not self.conditional

    def build(self) -> None:
        self.network = self.build_network()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        data = getattr(self.trainer, "datamodule", None)
        size, channels = getattr(data, "image_size", None), getattr(data, "channels", None)
        if size is not None and (channels, *size) != self.vqvae.shape:
            raise ValueError(f"pictures are {(channels, *size)}, the VQVAE was trained on {self.vqvae.shape}")
        if self.conditional:
            self.infer_from_datamodule(("num_classes",), equal=("num_classes",))
            if not self.num_classes:
                raise ValueError("conditional: true needs labelled pictures, the data has no labels")
        self.build_once()
        if stage == "fit":  # the VQ-VAE is meant to evaluate
            warnings.filterwarnings("ignore", r"Found \d+ module\(s\) in eval mode at the start of training")

    def train(self, mode: bool = True) -> CodePrior:
        """The VQ-VAE keeps evaluating."""
        super().train(mode)
        self.vqvae.eval()
        return self

    def on_fit_start(self) -> None:
        """Counts the codes of all training pictures, once."""
        data = getattr(self.trainer, "datamodule", None)
        if bool(self.histogram.sum()) or not hasattr(data, "pictures"):
            return
        for images in data.pictures("train"):  # type: ignore[union-attr]
            codes = self.vqvae.codes_of(images.to(self.device))
            self.histogram += torch.bincount(codes.flatten(), minlength=len(self.histogram))

    # --- drawing ---------------------------------------------------------------------------------------------------

    def forward(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        """Codes (N, h, w), and classes (N,) of a conditional prior, to logits (N, h, w, K)."""
        network = self.built()
        if labels is None or not self.conditional:
            labels = torch.zeros(len(codes), dtype=torch.int64, device=codes.device)
        logits: Tensor = network(codes, labels)
        return logits

    def labels_in_turn(self, count: int) -> Tensor:
        """Classes 0, 1 ... K - 1, 0 ... (count,) int64; all 0 of an unconditional prior."""
        return torch.arange(count, device=self.device) % self.classes

    @torch.no_grad()
    def sample(
        self, count: int, *, labels: Tensor | None = None, temperature: float = 1.0, seed: int | None = None
    ) -> Tensor:
        """Draws codes and from them pictures.

        Args:
            count: N.
            labels: (N,) classes of a conditional prior; all classes in turn if not given.
            temperature: below 1 for more likely codes.
            seed: of the draws; torch's generator if not given.

        Returns:
            (N, C, H, W) float32 in [-1, 1].
        """
        network = self.built()
        labels = self.labels_in_turn(count) if labels is None else labels.to(self.device)
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        with evaluation_mode(self):
            parts = [
                self.vqvae.draw(network.sample(part, temperature=temperature, generator=generator))
                for part in labels.split(AT_ONCE)
            ]
        return torch.cat(parts).clamp(-1, 1)

    # --- training and evaluation -----------------------------------------------------------------------------------

    def nats_of(self, batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """Codes (N, h, w) of a batch, and what each of them costs, (N, h, w) float32."""
        codes = self.vqvae.codes_of(batch["image"])  # (N, h, w), or (N, L) of two levels
        if self.conditional and "label" not in batch:
            raise ValueError("conditional: true needs labelled pictures, this split has no labels")
        logits = self(codes, batch.get("label"))
        return codes, F.cross_entropy(logits.float().flatten(0, -2), codes.flatten(), reduction="none").view(
            codes.shape
        )

    def training_step(self, batch: ImageBatch, batch_idx: int) -> Tensor:
        loss = self.nats_of(batch)[1].mean()
        if self.should_log(batch_idx):
            self.log_dict({"train/loss": loss.detach(), "train/bits_per_code": loss.detach() / log(2)}, prog_bar=True)
        return loss

    def evaluate(self, batch: ImageBatch, split: EvaluatedSplit) -> None:
        codes, nats = self.nats_of(batch)
        self.nats.update(nats)
        smooth = (self.histogram + 1) / (self.histogram + 1).sum()
        self.histogram_nats.update(-smooth.log()[codes])

    def report(self, split: EvaluatedSplit) -> None:
        nats = self.nats.compute()
        figures = {f"{split}/loss": nats, f"{split}/bits_per_code": nats / log(2)}
        if bool(self.histogram.sum()):
            figures[f"{split}/histogram_bits"] = self.histogram_nats.compute() / log(2)
        figures[f"{split}/code_bits"] = torch.tensor(log2(self.vqvae.codebook_size), device=self.device)
        self.log_dict(figures, prog_bar=True, sync_dist=True)
        self.nats.reset()
        self.histogram_nats.reset()
        if split == "test" and self.classifier is not None and self.conditional:
            [classifier] = load_modules([Path(self.classifier)], "ImageClassifier")
            accuracy = self.class_accuracy(classifier.to(self.device))
            self.log("test/class_accuracy", accuracy, sync_dist=True)

    def on_test_start(self) -> None:
        require_checkpoint("classifier", self.classifier)

    def class_accuracy(self, classifier: nn.Module) -> Tensor:
        """How often a classifier names the class that was asked for, of `samples` pictures of all classes in turn.

        The ranks draw a part each in turn, every part from a seed of its own: the same pictures on any number of them.
        """
        network, (rank, ranks) = ClassifierFeatures(classifier), rank_and_world()
        right = torch.zeros((), device=self.device)
        for number, labels in enumerate(self.labels_in_turn(self.samples).split(AT_ONCE)):
            if number % ranks == rank:
                pictures = self.sample(len(labels), labels=labels, seed=derive_seed(run_seed(), 8, 1, number))
                right += (network.features_and_logits(pictures)[1].argmax(1) == labels).sum()
        return sum_over_ranks(right) / self.samples

    def predict_step(self, batch: ImageBatch, batch_idx: int) -> dict[str, Tensor]:
        """Returns `index` (N,) and, where the classes are known that it is conditional on, `bits_per_code` (N,)."""
        if self.conditional and "label" not in batch:
            return {"index": batch["index"]}
        return {"index": batch["index"], "bits_per_code": self.nats_of(batch)[1].flatten(1).mean(1) / log(2)}

    def prediction_writers(self) -> list[Callback]:
        return [SampledPictures()]

    def configure_callbacks(self) -> list[Callback]:
        return [*super().configure_callbacks(), DrawnPictures()]
