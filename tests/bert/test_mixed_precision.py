"""Gradients are clipped to the same norm under every precision, although the optimizers' steps are fused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer, seed_everything

from lhy_lightning.bert.questions.question_answering import BertQuestionAnswering
from lhy_lightning.data.questions.question_data import QuestionAnsweringDataModule
from tests.bert.question_files import DATA, MODEL, write_homework
from tests.two_networks import float16

CLIP, RATE = 1e-2, 0.5


class FirstStep(BertQuestionAnswering):
    """Remembers the weights that it starts with."""

    def on_train_start(self) -> None:
        self.before = [parameter.detach().clone() for parameter in self.network.parameters()]


@pytest.mark.parametrize("how", [{}, {"precision": "bf16-mixed"}, {"plugins": "float16"}], ids=str)
@pytest.mark.parametrize("parts", [1, 2])
def test_a_clipped_step_of_sgd_is_as_long_as_the_norm_says(how: dict[str, Any], parts: int, tmp_path: Path) -> None:
    settings = {**how, "plugins": float16()} if "plugins" in how else how
    seed_everything(0, verbose=False)
    plain_descent = {
        "optimizer": "sgd",
        "lr": RATE,
        "weight_decay": 0.0,
        "schedule": "constant",
        "warmup_fraction": 0.0,
    }
    module = FirstStep(**{**MODEL, **plain_descent})
    trainer = Trainer(
        max_steps=1, gradient_clip_val=CLIP, accumulate_grad_batches=parts, accelerator="cpu", logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0,
        default_root_dir=tmp_path, **settings,
    )  # fmt: skip
    trainer.fit(module, QuestionAnsweringDataModule(str(write_homework(tmp_path / "hw7")), **DATA))
    assert getattr(trainer.optimizers[0], "_step_supports_amp_scaling", False), "a step that is fused"
    moved = [new.detach() - old for new, old in zip(module.network.parameters(), module.before, strict=True)]
    assert torch.cat([part.flatten() for part in moved]).norm() == pytest.approx(RATE * CLIP, rel=1e-3)
