"""`DIRTT`: VADA's second phase, which follows the target alone and does not run away from its teacher."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lhy_lightning.adaptation.adaptation import AdaptationArguments
from lhy_lightning.adaptation.losses.cluster_assumption import ClusterAssumption, frozen_copy
from lhy_lightning.adaptation.losses.entropy import conditional_entropy
from lhy_lightning.adaptation.losses.virtual_adversarial import divergence
from lhy_lightning.core.arguments.ranges import COUNT, NOT_NEGATIVE, ranges
from lhy_lightning.core.arguments.signatures import Unpack
from lhy_lightning.data.batches import DomainBatch


class DIRTT(ClusterAssumption):
    """Decision-boundary iterative refinement training with a teacher (Shu et al. 2018,
    https://arxiv.org/abs/1802.08735, section 5), from a checkpoint of `VADA`.

    λt (VAT(target) + H(target)) + β KL(teacher ‖ student) on target pictures; the source is not looked at. The paper
    solves this again and again, each time with the last solution as the teacher; as in the authors' code the teacher is
    a copy of the averaged weights, made at the start and after every `refresh` steps, and fixed in between.

    What is best for the target need not be best for the source, so the end of the run is taken, not the epoch of the
    best source accuracy. The paper trains as in `VADA`.

    Args:
        start_from: checkpoint of `VADA` with the same networks; another one of this topic serves too, whose average
            then starts with its weights. Needed to fit.
        teacher_weight: β.
        refresh: steps after which the averaged weights become the teacher; the paper takes 500 or 5,000.
        target_cluster_weight: λt, weight of the virtual adversarial loss and the conditional entropy.
        radius: ε, the norm of the perturbation of a picture in [-1, 1].
        ema_decay: of the averaged weights of extractor and label predictor, which evaluate and predict.
        selection: as in `AdaptationModule`.
        arguments: as in `AdaptationModule`.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> import torch
        >>> from lhy_lightning import DIRTT
        >>> module = DIRTT(num_classes=10, image_size=16, channels=3, width=4, label_hidden=(8,))
        >>> logits = module(torch.zeros(2, 3, 16, 16))
        >>> tuple(logits.shape)
        (2, 10)
    """

    argument_ranges = ranges(teacher_weight=NOT_NEGATIVE, refresh=COUNT)

    teacher: nn.Module | None

    def __init__(  # type: ignore[misc]  # defaults are restated
        self,
        *,
        start_from: str | None = None,
        teacher_weight: float = 0.01,
        refresh: int = 5000,
        target_cluster_weight: float = 0.01,
        radius: float = 3.5,
        ema_decay: float = 0.998,
        selection: str = "last",
        **arguments: Unpack[AdaptationArguments],
    ) -> None:
        super().__init__(
            target_cluster_weight=target_cluster_weight, radius=radius, ema_decay=ema_decay, start_from=start_from,
            selection=selection, **arguments,
        )  # fmt: skip
        self.teacher_weight, self.refresh = teacher_weight, refresh

    def build(self) -> None:
        super().build()
        self.teacher = frozen_copy(self.average())

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.start_from is None and not (self.started or self.trainer.ckpt_path):
            raise ValueError(
                "DIRTT refines what another run has learnt, and has no source labels to begin with: set start_from to "
                "a checkpoint of VADA with the same networks."
            )
        super().setup(stage)

    def load_initial_weights(self, path: str) -> set[str]:
        taken = super().load_initial_weights(path)
        missing = [name for name in self.state_dict() if name.startswith("label_predictor.") and name not in taken]
        if missing:
            raise ValueError(f"start_from={path} has no weights of the shape of {missing[0]}: give the same network.")
        self.teacher = frozen_copy(self.average())
        return taken

    def losses(self, batch: DomainBatch) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.teacher is not None
        target = batch["target_image"]
        with torch.no_grad(), self.using(self.teacher):
            _, predictor = self.built()
            teacher_logits = predictor(self.extract(target, 0))
        _, predictor = self.built()
        logits = predictor(self.extract(target, 0))

        smoothness, entropy = self.divergences(target, 0, logits).mean(), conditional_entropy(logits)
        refinement = divergence(teacher_logits, logits).mean()
        loss = self.target_cluster_weight * (smoothness + entropy) + self.teacher_weight * refinement
        figures = {"target_vat_loss": smoothness, "target_entropy": entropy, "teacher_loss": refinement}
        if self.target_weights:
            terms, more = self.target_terms(logits)
            loss, figures = loss + terms, {**figures, **more}
        return loss, figures

    def on_network_step(self, name: str) -> None:
        super().on_network_step(name)
        if self.every_n_steps(self.refresh):
            assert self.teacher is not None
            self.teacher.load_state_dict(self.average().state_dict())
