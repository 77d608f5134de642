"""What classifiers say of pictures translated between two domains: is the label kept, is the domain reached."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from lhy_lightning.callbacks.results import write_scores
from lhy_lightning.gan.image_translation.directions import SIDES
from lhy_lightning.metrics.averages import Mean
from lhy_lightning.metrics.generation.classifier_features import ClassifierFeatures
from lhy_lightning.training.checkpoints import load_modules

BOTH = "translated"
CONTROLS = ("inputs", "targets")


class TranslationEvaluation(Callback):
    """Logs `label_kept` and `target_domain` of translated pictures in validation and test, for each direction and mean.

    `label_kept` is the share of translated labelled pictures whose label the first classifier still names,
    `target_domain` the share that the second one takes for the domain that they were translated to, `translated` the
    share of labelled ones of which both are true: a copy of its input keeps its label, any picture of the target domain
    reaches that. A test also prints these of two controls and writes them to `translation_scores.csv`: the inputs
    themselves, which keep every label that the classifier knows but reach no domain, and real pictures of the target
    domain.

    Args:
        label_classifier: checkpoint of an `ImageClassifier` of the labels, for both domains; None disables it.
        domain_classifier: one of the domains, whose classes are called like those of the data module; None disables it.
    """

    def __init__(self, label_classifier: str | None, domain_classifier: str | None) -> None:
        self.paths = {"label_kept": label_classifier, "target_domain": domain_classifier}
        self.classifiers: dict[str, ClassifierFeatures] = {}
        self.means: dict[tuple[str, str, str], Mean] = {}
        self.class_of: dict[str, int] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if stage == "predict" or self.classifiers:
            return
        device = trainer.strategy.root_device  # the module itself is brought there later
        for figure, path in self.paths.items():
            if path is None:
                continue
            argument = "label_classifier" if figure == "label_kept" else "domain_classifier"
            if not Path(path).is_file():
                raise FileNotFoundError(
                    f"{argument}={path!r}: there is no such file; give a checkpoint of an ImageClassifier that was "
                    "trained on pictures of this size and these channels."
                )
            [classifier] = load_modules([Path(path)], "ImageClassifier")
            if figure == "target_domain":
                self.class_of = domain_classes(classifier, trainer.datamodule)  # type: ignore[attr-defined]
            self.classifiers[figure] = ClassifierFeatures(classifier).to(device)
        for figure in (*self.classifiers, *([BOTH] if len(self.classifiers) == len(self.paths) else [])):
            for way in SIDES:
                for of in ("outputs", *CONTROLS):
                    self.means[figure, way, of] = Mean().to(device)

    def update_metrics(self, batch: dict[str, Tensor], outputs: dict[str, Tensor], *, controls: bool) -> None:
        """Adds a batch: what became of its pictures, and in a test these and the targets themselves."""
        for way, (of, to) in SIDES.items():
            seen = [("outputs", outputs.get(way), of)]
            if controls:
                seen += [("inputs", batch.get(of), of), ("targets", batch.get(to), to)]
            for name, pictures, side in seen:
                if pictures is not None:
                    for figure, right in self.right(pictures, batch.get(f"label_{side}"), to).items():
                        if len(right):
                            self.means[figure, way, name].update(right)

    def right(self, pictures: Tensor, labels: Tensor | None, domain: str) -> dict[str, Tensor]:
        """Of each figure the pictures that it counts, 1 for a right one (n,) float32.

        Args:
            pictures: (N, C, H, W) in [-1, 1].
            labels: (N,) int64, below 0 where not known; None where no picture has one.
            domain: the one that they are to be of.
        """

        def said(figure: str) -> Tensor:
            return self.classifiers[figure].features_and_logits(pictures)[1].argmax(1)

        found = {}
        if "target_domain" in self.classifiers:
            found["target_domain"] = said("target_domain") == self.class_of[domain]
        if "label_kept" in self.classifiers and labels is not None:
            known = labels >= 0
            found["label_kept"] = (said("label_kept") == labels)[known]
            if "target_domain" in found:
                found[BOTH] = found["label_kept"] & found["target_domain"][known]
        return {figure: right.float() for figure, right in found.items()}

    def collect(self, *, controls: bool) -> dict[str, dict[str, Tensor]]:
        """Figures by whose they are, over all ranks: a collective call; nothing is left added up."""
        found: dict[str, dict[str, Tensor]] = {}
        for (figure, way, of), mean in self.means.items():
            if of != "outputs" and not controls:
                continue
            value = mean.compute()
            if value.isnan() and figure == "label_kept":
                raise ValueError(f"label_classifier needs labelled pictures, those of {way[0]} have no labels.")
            found.setdefault(of, {})[f"{figure}_{way}"] = value
            mean.reset()
        for figures in found.values():
            for figure in dict.fromkeys(name for name, _, _ in self.means):
                figures[figure] = (figures[f"{figure}_a_to_b"] + figures[f"{figure}_b_to_a"]) / 2
        return found

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.update_metrics(batch, outputs, controls=False)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = self.collect(controls=False)["outputs"]
        pl_module.log_dict({f"val/{name}": value for name, value in figures.items()}, prog_bar=True)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self.update_metrics(batch, outputs, controls=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        found = self.collect(controls=True)
        pl_module.log_dict({f"test/{name}": value for name, value in found["outputs"].items()})
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        write_scores(trainer, "translation_scores.csv", found)


def domain_classes(classifier: Any, data: Any) -> dict[str, int]:
    """Which class of a classifier each domain, `a` and `b`, is.

    Raises:
        ValueError: the classifier has no class of a domain's name.
    """
    classes = [str(name) for name in classifier.class_names or ()]
    domains = dict(zip(("a", "b"), getattr(data, "domain_names", ("a", "b")), strict=True))
    for name in domains.values():
        if name not in classes:
            raise ValueError(
                f"domain_classifier has the classes {', '.join(classes)}, the domains are called "
                f"{' and '.join(domains.values())}: train it with data.class_names set to these."
            )
    return {side: classes.index(name) for side, name in domains.items()}
