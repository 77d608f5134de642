"""Two domains under the Trainer: a run that goes on in mid-epoch, and two processes, see the rows of one whole run."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lhy_lightning.data.domains.domain_data import DomainDataModule
from tests.processes import run_forked, torchrun_environments

AUGMENTED: dict[str, Any] = {"horizontal_flip": 0.5, "rotation": 20.0, "target_rotation": 40.0}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # what is told besides


class Watcher(LightningModule):
    """Keeps the pictures of every batch it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen: list[dict[str, Tensor]] = []
        self.validated: dict[int, list[Tensor]] = {0: [], 1: []}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        self.seen.append({name: value.clone() for name, value in batch.items()})
        return self.layer(batch["source_image"].mean().reshape(1, 1)).sum()

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int, dataloader_idx: int) -> None:
        self.validated[dataloader_idx].append(batch["index"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)


def fit(steps: int, data: DomainDataModule, **settings: Any) -> tuple[Watcher, Trainer]:
    module, ckpt_path = Watcher(), settings.pop("ckpt_path", None)
    trainer = Trainer(
        accelerator="cpu", max_steps=steps, logger=False, enable_progress_bar=False, enable_model_summary=False,
        num_sanity_val_steps=0, **settings,
    )  # fmt: skip
    trainer.fit(module, data, ckpt_path=ckpt_path, weights_only=True)
    return module, trainer


def test_a_run_that_goes_on_in_mid_epoch_sees_the_batches_of_an_unbroken_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 96, "target_batch_size": 40, **AUGMENTED}  # five batches an epoch
    every_step = ModelCheckpoint(tmp_path, "{step}", save_top_k=-1, every_n_train_steps=1)
    unbroken, _ = fit(12, DomainDataModule(**options), callbacks=[every_step])
    assert len(unbroken.seen) == 12
    for steps in (3, 5, 7):
        place = tmp_path / f"step={steps}.ckpt"
        again, _ = fit(12, DomainDataModule(**options), ckpt_path=place, enable_checkpointing=False)
        assert len(again.seen) == 12 - steps
        for one, other in zip(again.seen, unbroken.seen[steps:], strict=True):
            assert one.keys() == other.keys() == {"source_image", "source_label", "target_image"}
            assert all(torch.equal(one[name], other[name]) for name in one)


def rows_of(pictures: Tensor) -> Counter[bytes]:
    return Counter(picture.numpy().tobytes() for picture in pictures)


def fit_and_keep(folder: Path, world: int) -> None:
    settings: dict[str, Any] = {"devices": 2, "strategy": "ddp"} if world == 2 else {}
    data = DomainDataModule(batch_size=64 // world, target_batch_size=48 // world)
    module, trainer = fit(10, data, enable_checkpointing=False, **settings)
    assert trainer.world_size == world
    torch.save((module.seen, module.validated), folder / f"{world} {trainer.global_rank}.pt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    fit_and_keep(folder, 1)
    assert run_forked(fit_and_keep, folder, 2, environments=torchrun_environments(2)) == [0, 0]
    return folder


def test_two_processes_see_the_rows_that_one_sees_with_twice_the_batch(runs: Path) -> None:
    one, *two = (torch.load(runs / name, weights_only=True)[0] for name in ("1 0.pt", "2 0.pt", "2 1.pt"))
    assert len(one) == len(two[0]) == len(two[1]) == 10
    for whole, *halves in zip(one, *two, strict=True):
        for side in ("source_image", "target_image"):
            assert rows_of(whole[side]) == rows_of(halves[0][side]) + rows_of(halves[1][side])


def test_two_processes_evaluate_every_row_of_both_domains_once(runs: Path) -> None:
    first, second = (torch.load(runs / f"2 {rank}.pt", weights_only=True)[1] for rank in (0, 1))
    for number, rows in ((0, 60), (1, 600)):
        index = torch.cat([*first[number], *second[number]])
        assert sorted(index.tolist()) == list(range(rows))
