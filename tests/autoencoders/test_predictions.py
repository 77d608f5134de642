"""`lhy predict` of an auto-encoder and of a prior: codes or latents, errors and pictures, for one process and two."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lhy_lightning import VQVAE, AutoEncoder, CodePrior, ImageDataModule
from lhy_lightning.cli.__main__ import main
from tests.processes import run_forked, torchrun_environments

SMALL: dict[str, Any] = {"width": 8, "downsamplings": 1, "image_size": (8, 8), "channels": 1}
CODES = {"codebook_size": 8, "dim": 4, "residual_width": 4, "codebook_init": "random"}


def predict(root: Path, name: str, checkpoint: Path, *flags: str) -> None:
    where = ["--trainer.default_root_dir", str(root), "--name", name, "--ckpt_path", str(checkpoint)]
    quiet = ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    main(["predict", *where, *quiet, "--data", "ImageDataModule", *flags])


def saved(module: Any, folder: Path) -> Path:
    from tests.cnn.pictures_to_fit import silent_trainer

    trainer = silent_trainer(folder, max_steps=1)
    trainer.fit(module, datamodule=ImageDataModule(cache_dir=str(folder)))
    trainer.save_checkpoint(folder / "made.ckpt")
    return folder / "made.ckpt"


@pytest.mark.parametrize("kind", ["codes", "latents"])
def test_codes_or_latents_draw_the_pictures_whose_errors_are_in_the_table(kind: str, tmp_path: Path) -> None:
    made: Any = VQVAE(**SMALL, **CODES) if kind == "codes" else AutoEncoder(latent_dim=3, **SMALL)  # type: ignore[arg-type]
    checkpoint = saved(made, tmp_path)
    module: Any = type(made).load_from_checkpoint(checkpoint).eval()
    assert run_forked(predict, tmp_path, "one", checkpoint) == [0]
    two = ("--data.eval_batch_size", "7")
    assert run_forked(predict, tmp_path, "two", checkpoint, *two, environments=torchrun_environments(2)) == [0, 0]
    with (tmp_path / "one/predictions.csv").open() as file:
        table = list(csv.DictReader(file))
    found, again = (torch.from_numpy(np.load(tmp_path / name / f"{kind}.npy")) for name in ("one", "two"))
    data = ImageDataModule(cache_dir=str(tmp_path))
    data.setup("predict")
    images = torch.cat([data.prepare_batch(batch, training=False)["image"] for batch in data.predict_dataloader()])
    assert len(table) == len(found) == len(images)
    with torch.no_grad():
        results = module.draw(found) if kind == "codes" else module.decode(found)
    errors = (images - results).square().flatten(1).mean(1)
    torch.testing.assert_close(torch.tensor([float(row["error"]) for row in table]), errors, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(again, found)
    for name in ("one", "two"):
        assert (tmp_path / name / "samples/predicted.png").is_file()


def test_a_run_on_pictures_without_labels_ends_with_a_test_of_what_comes_back(tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (40, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    flags = {
        "--trainer.default_root_dir": tmp_path, "--name": "run", "--trainer.max_epochs": 1, "--model": "AutoEncoder",
        "--model.width": 8, "--model.downsamplings": 1, "--data": "ImageDataModule", "--data.source": pictures,
        "--data.image_size": 8, "--data.batch_size": 8, "--trainer.enable_progress_bar": "false",
        "--trainer.accelerator": "cpu",
    }  # fmt: skip
    assert run_forked(main, ["fit", *(str(part) for pair in flags.items() for part in pair)]) == [0]
    assert "test/mse" in json.loads((tmp_path / "run/results.json").read_text())["results"]


def test_a_prior_draws_pictures_whether_or_not_there_are_labels(tmp_path: Path) -> None:
    vqvae = saved(VQVAE(**SMALL, **CODES), tmp_path)  # type: ignore[arg-type]
    prior = CodePrior(vqvae=str(vqvae), width=16, layers=1, heads=2, conditional=True)
    (tmp_path / "prior").mkdir()
    checkpoint = saved(prior, tmp_path / "prior")
    assert run_forked(predict, tmp_path, "labelled", checkpoint) == [0]
    batch = {"image": torch.zeros(2, 1, 8, 8), "index": torch.arange(2)}
    assert set(prior.predict_step(batch, 0)) == {"index"}
    drawn = sorted((tmp_path / "labelled/pictures").iterdir())
    assert len(drawn) == 64
    assert Image.open(drawn[0]).size == (8, 8)
