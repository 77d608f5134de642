"""Domain generalization: several labelled source domains, and a domain that training never sees."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lhy_lightning.adaptation.adaptation import AdaptationArguments, AdaptationModule
from lhy_lightning.adaptation.losses.generalization_losses import GroupDRO, irm_penalty, mixup_across_domains
from lhy_lightning.adaptation.selection.feature_buffer import Rows
from lhy_lightning.core.arguments.ranges import NOT_NEGATIVE, POSITIVE, Range, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch

Method = Literal["erm", "group_dro", "irm", "mixup"]
SELECTION = ("source_accuracy", "last", "target_accuracy")
TAKEN = ("source", "worst", "target")  # `val/<name>_accuracy` of something else


HELD_OUT = (
    "the batch has pictures of the target, which is to be held out of training: set --data.target_batch_size 0 and "
    "--data.train_on domains."
)


class DomainGeneralization(AdaptationModule):
    """Learns from the labels of several source domains for one that is not there (Gulrajani & Lopez-Paz 2020).

    https://arxiv.org/abs/2007.01434. Neither a picture nor a label of the held-out domain is trained on: give the data
    module `target_batch_size` 0. The checkpoint is chosen by the mean accuracy on validation rows of the source
    domains ("training-domain validation"), and tested on the held-out domain. A batch has equally many rows of every
    source domain.

    Validation logs `val/<name>_accuracy` of each source domain by the data module's name for it, their mean
    `val/source_accuracy` and the lowest of them, `val/worst_accuracy`.

    Args:
        method: "erm", cross entropy of all rows together; "group_dro" (Sagawa et al. 2020,
            https://arxiv.org/abs/1911.08731), the domains weighted by how badly they have gone; "irm" (Arjovsky et al.
            2019, https://arxiv.org/abs/1907.02893), "erm" plus the mean over domains of `irm_penalty`; "mixup" (Yan et
            al. 2020, https://arxiv.org/abs/2001.00677), each row mixed with one of another domain.
        group_step_size: η of "group_dro", of its weights.
        irm_weight: of the penalty of "irm"; a loss with a weight above 1 is divided by it, as in its authors' code, so
            that the size of the gradients stays. 100 is DomainBed's, for a pre-trained network: a small one from
            scratch may learn little beside it, and take 1.
        irm_from: share of the steps before which that weight is 1 (annealing of DomainBed: 500 of 5,000 steps).
        mixup_alpha: α of "mixup"; shares are of Beta(α, α).
        arguments: as in `AdaptationModule`, without what takes target pictures in training: the four target terms and
            `domain_norm`. `selection` is "source_accuracy", "last", or "target_accuracy" with `oracle`.

    Raises:
        ValueError: an argument is out of range or unknown, an argument that would take target pictures, or a single
            source domain with another method than "erm".

    Example:
        >>> import torch
        >>> from lhy_lightning import DomainGeneralization
        >>> module = DomainGeneralization(
        ...     method="irm", num_classes=10, image_size=16, channels=3, source_domains=2, width=4, label_hidden=(8,)
        ... )
        >>> tuple(module(torch.zeros(2, 3, 16, 16)).shape)
        (2, 10)
    """

    argument_ranges = ranges(
        group_step_size=NOT_NEGATIVE, irm_weight=NOT_NEGATIVE, mixup_alpha=POSITIVE,
        irm_from=Range(at_least=0, at_most=1, said="a share of the steps in [0, 1]"),
    )  # fmt: skip

    group_dro: GroupDRO | None

    def __init__(
        self,
        *,
        method: Method = "erm",
        group_step_size: float = 0.01,
        irm_weight: float = 100.0,
        irm_from: float = 0.1,
        mixup_alpha: float = 0.2,
        **arguments: Unpack[AdaptationArguments],
    ) -> None:
        super().__init__(**arguments)
        if self.target_weights or self.domain_norm:
            names = [f"{name}_weight" for name in self.target_weights] + ["domain_norm"] * bool(self.domain_norm)
            raise ValueError(f"{', '.join(names)}: takes target pictures, and none is trained on here. Leave it out.")
        if self.selection not in SELECTION:
            raise ValueError(
                f"selection={self.selection!r} takes target pictures: choose from {', '.join(SELECTION)}, which is "
                "with oracle=true."
            )
        self.method, self.group_step_size, self.mixup_alpha = method, group_step_size, mixup_alpha
        self.irm_weight, self.irm_from = irm_weight, irm_from
        self.group_dro = None
        self.source_names: tuple[str, ...] = ()
        self.know_domains()

    def know_domains(self) -> None:
        """Makes what depends on the number of source domains, once it is known."""
        if self.source_domains is None or self.method == "erm":
            return
        if self.source_domains < 2:
            raise ValueError(
                f"method={self.method!r} compares source domains, and there is {self.source_domains}: give several by "
                "--data.source, or take method='erm'."
            )
        if self.method == "group_dro" and self.group_dro is None:
            self.group_dro = GroupDRO(self.source_domains, step_size=self.group_step_size)

    def setup(self, stage: str) -> None:
        data = getattr(self.trainer, "datamodule", None)
        there = getattr(data, "source_domains", None)
        if stage == "fit" and None not in (there, self.source_domains) and there != self.source_domains:
            raise ValueError(
                f"the module was built for source_domains {self.source_domains}, the data has {there}: give both the "
                "same."
            )
        super().setup(stage)
        self.know_domains()
        self.source_names = tuple(getattr(data, "domain_names", ()))[: self.source_domains]
        for name in self.source_names:
            if name in TAKEN:
                raise ValueError(
                    f"a source domain is called {name!r}, but val/{name}_accuracy is another figure: rename its folder "
                    "or file."
                )

    # --- training --------------------------------------------------------------------------------------------------

    @property
    def needs_target(self) -> bool:
        return False

    @property
    def missing_keys(self) -> tuple[tuple[str, str], ...]:  # type: ignore[override]
        return (("source_image", HELD_OUT),)

    def losses(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        if "source_image" not in batch or "target_image" in batch:
            raise ValueError(HELD_OUT)
        if self.method == "erm":
            class_loss = self.class_loss(self.logits_of(batch["source_image"]), batch)
            return class_loss, {"class_loss": class_loss}
        if "source_domain" not in batch:
            raise ValueError(f"method={self.method!r} takes a batch that tells each row's source_domain.")
        if self.method == "group_dro":
            return self.group_dro_loss(batch)
        return self.irm_loss(batch) if self.method == "irm" else self.mixup_loss(batch)

    def logits_of(self, images: Tensor) -> Tensor:
        """Source pictures (N, C, H, W) to logits (N, K)."""
        _, predictor = self.built()
        logits: Tensor = predictor(self.extract(images, len(images)))
        return logits.float()

    def group_dro_loss(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """sum_g q_g L_g."""
        if self.group_dro is None:
            raise RuntimeError("the number of source domains is not known yet: give source_domains, or fit first")
        losses = F.cross_entropy(self.logits_of(batch["source_image"]), batch["source_label"], reduction="none")
        loss: Tensor = self.group_dro(losses, batch["source_domain"])
        return loss, {"class_loss": losses.mean(), "largest_domain_weight": self.group_dro.weights.max()}

    def irm_weight_now(self) -> float:
        """The penalty's weight in the step under way."""
        return self.irm_weight if self.progress >= self.irm_from else 1.0

    def irm_loss(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """Class loss plus weight · mean_g penalty_g; of each rank's own rows."""
        logits, domains = self.logits_of(batch["source_image"]), batch["source_domain"]
        class_loss, weight = self.class_loss(logits, batch), self.irm_weight_now()
        rows = [domains == number for number in domains.unique()]
        penalty = torch.stack([irm_penalty(logits[own], batch["source_label"][own]) for own in rows]).mean()
        return (class_loss + weight * penalty) / max(1.0, weight), {"class_loss": class_loss, "irm_penalty": penalty}

    def mixup_loss(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean of λ CE(y_i) + (1 - λ) CE(y_j) at λ x_i + (1 - λ) x_j, domains of i and j different."""
        mixed = mixup_across_domains(
            batch["source_image"], batch["source_label"], batch["source_domain"], alpha=self.mixup_alpha
        )
        logits = self.logits_of(mixed.images)
        own = F.cross_entropy(logits, mixed.labels, reduction="none")
        partners = F.cross_entropy(logits, mixed.partner_labels, reduction="none")
        class_loss = torch.lerp(partners, own, mixed.share).mean()
        return class_loss, {"class_loss": class_loss}

    # --- evaluation ------------------------------------------------------------------------------------------------

    def source_figures(self, source: Rows) -> dict[str, Tensor]:
        right, figures = (source.logits.argmax(1) == source.labels).float(), {}
        domains = source.domains.clamp(min=0)  # the only one is not told
        for number in domains.unique().tolist():  # all of them, but where validation batches are limited
            name = self.source_names[number] if number < len(self.source_names) else f"source_{number}"
            figures[f"{name}_accuracy"] = right[domains == number].mean()
        each = torch.stack(list(figures.values()))
        return {"source_accuracy": each.mean(), "worst_accuracy": each.min(), **figures}

    def label_free_scores(self, source: Rows, target: Rows) -> dict[str, Tensor]:
        """None: the held-out domain has no say."""
        return {}
