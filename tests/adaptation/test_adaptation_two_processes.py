"""Two processes equal one, while λ rises step by step."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import seed_everything

from lhy_lightning import DANN, MCD, VADA
from lhy_lightning.adaptation.adaptation import AdaptationModule
from tests.adaptation.two_domains import SMALL, ResumableDomains
from tests.cnn.pictures_to_fit import silent_trainer
from tests.processes import in_one_and_two

CASES: dict[str, tuple[type[AdaptationModule], dict[str, Any]]] = {
    "one pass": (DANN, {"coefficient": 2.0}),
    "alternating": (DANN, {"coefficient": 2.0, "alternating": True, "domain_lr": 0.1}),
    "accumulated": (DANN, {"coefficient": 2.0, "accumulate": 2, "network_clip": 0.5}),
    # ranks draw perturbations of their own: here they count for nothing
    "VADA": (
        VADA,
        {
            "source_smoothness_weight": 0.0, "target_cluster_weight": 0.0, "coefficient": 2.0, "reversal": "annealed",
            "domain_weight": 2.0, "ema_decay": 0.5,
        },
    ),
    "MCD": (MCD, {"extractor_clip": 0.1, "extractor_steps": 2}),
}  # fmt: skip


def note_coefficients(module: DANN, seen: list[float]) -> None:
    terms = module.label_terms

    def noted(*arguments: Any) -> Any:
        seen.append(float(module.gradient_reversal.coefficient))
        return terms(*arguments)

    module.label_terms = noted  # type: ignore[method-assign]


def fit_all(folder: Path, batch_size: int, settings: dict[str, Any]) -> None:
    for name, (kind, case) in CASES.items():
        seed_everything(0, verbose=False)
        module = kind(**SMALL, momentum=0.0, lr=0.05, **case)
        trainer = silent_trainer(folder, max_steps=6, max_epochs=-1, limit_val_batches=0, **settings)
        coefficients: list[float] = []
        if isinstance(module, DANN):
            note_coefficients(module, coefficients)
        trainer.fit(module, datamodule=ResumableDomains(batch_size))
        assert trainer.global_step == 6
        if trainer.is_global_zero:
            torch.save({"weights": module.state_dict(), "coefficients": coefficients}, folder / f"{name}.pt")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return in_one_and_two(fit_all, tmp_path_factory, 8)


@pytest.mark.parametrize("case", CASES)
def test_two_processes_train_the_weights_that_one_trains(case: str, folders: tuple[Path, Path]) -> None:
    one, two = (torch.load(folder / f"{case}.pt", weights_only=True) for folder in folders)
    for name, value in one["weights"].items():
        torch.testing.assert_close(two["weights"][name], value, atol=1e-5, rtol=1e-5, msg=f"{case}: {name}")
    assert two["coefficients"] == one["coefficients"]
    if issubclass(CASES[case][0], DANN):
        assert one["coefficients"][0] == 0
        assert len(set(one["coefficients"])) == 6
