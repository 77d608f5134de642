"""Runs of six topics, killed with -9 at moments drawn at random and gone on with, end as the unbroken ones."""

import random
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from lhy_lightning.training.checkpoints import read_checkpoint
from tests import command_runs
from tests.processes import run_forked

pytestmark = pytest.mark.slow

STEPS = 24
DIGITS: dict[str, Any] = {"--data": "ImageDataModule", "--data.batch_size": 96}
BERT: dict[str, Any] = {"--model.layers": 1, "--model.width": 32, "--model.heads": 2, "--model.feedforward": 64}
TOPICS: dict[str, dict[str, Any]] = {
    "ImageClassifier": {
        **DIGITS, "--model.network": "vgg", "--model.depth": 3, "--model.width": 4, "--model.dropout": 0.3,
        "--data.crop": 1, "--model.ema_decay": 0.9, "--data.num_workers": 2,
    },
    "GAN": {"--model.width": 4, "--model.samples": 64, **DIGITS},
    "VQVAE": {"--model.width": 4, "--model.codebook_size": 8, "--model.dim": 2, "--model.downsamplings": 1, **DIGITS},
    "BertTagger": {
        **BERT, "--data": "TaggingDataModule", "--data.batch_size": 512, "--data.vocab_size": 300,
        "--data.max_length": 16, "--trainer.limit_val_batches": 2,
    },
    "Translator": {
        **BERT, "--model.embedding": 32, "--data": "TranslationDataModule", "--data.vocab_size": 500,
        "--data.max_tokens": 512, "--data.target_lang": "zh", "--trainer.limit_train_batches": 8,
        "--trainer.limit_val_batches": 2,
    },
    "DANN": {
        "--model.width": 4, "--model.label_hidden": "[8]", "--model.projection": "none", "--data": "DomainDataModule",
        "--data.source": "embedded:plain_digits", "--data.target": "embedded:photo_digits", "--data.batch_size": 16,
        "--trainer.limit_train_batches": 8, "--trainer.limit_val_batches": 2,
    },
}  # fmt: skip
HOOKS = ("on_train_batch_start", "on_train_batch_end")


def fit(root: Path, topic: str, name: str, *more: str, **moment: Any) -> None:
    settings = {"--trainer.max_steps": STEPS, "--last.every_n_steps": 3, "--model": topic, **TOPICS[topic]}
    command_runs.fit(root, name, settings, *more, **moment)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_run_killed_at_random_moments_ends_as_the_unbroken_one(topic: str, tmp_path: Path) -> None:
    draw = random.Random(topic)
    assert run_forked(lambda: fit(tmp_path, topic, "whole")) == [0]
    more: tuple[str, ...] = ()
    kills = 0
    for step in sorted(draw.sample(range(1, STEPS), 4)):
        moment = {"die_at": step, "hook": draw.choice(HOOKS) if kills < 3 else "on_train_end"}
        moment["die_at"] = STEPS if moment["hook"] == "on_train_end" else step
        resume = more
        [code] = run_forked(lambda moment=moment, resume=resume: fit(tmp_path, topic, "killed", *resume, **moment))
        assert code == -signal.SIGKILL, moment
        kills += 1
        more = ("--ckpt_path", "last") if (tmp_path / "killed/checkpoints/last.ckpt").is_file() else ()
        more = more or ("--overwrite", "true")
    assert kills == 4
    assert run_forked(lambda: fit(tmp_path, topic, "killed", *more)) == [0]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert (killed / "metrics.csv").read_bytes() == (whole / "metrics.csv").read_bytes()
    weights = [read_checkpoint(run / "checkpoints/last.ckpt")["state_dict"] for run in (whole, killed)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][key]) for key, value in weights[0].items())
    assert not list(killed.rglob("*.partial"))
