"""The translation benchmarks run from end to end on a few lines; what they measure there means nothing."""

import json
import random
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
WORDS = {
    "a": "ein", "dog": "hund", "cat": "kater", "man": "mann", "runs": "rennt", "sits": "sitzt", "sleeps": "schläft",
    "here": "hier", "outside": "draußen", "quickly": "schnell", "and": "und", "old": "alter", "black": "schwarzer",
}  # fmt: skip
TINY = [
    "--width",
    "16",
    "--heads",
    "2",
    "--layers",
    "1",
    "--feedforward",
    "32",
    "--vocab_size",
    "80",
    "--max_tokens",
    "128",
]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """A benchmark by its name."""
    pytest.importorskip("accelerate")
    monkeypatch.syspath_prepend(ROOT)
    return import_module


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    draw = random.Random(0)
    folder = tmp_path / "captions"
    folder.mkdir()
    for name, rows in (("train", 60), ("val", 6), ("test_2016_flickr", 6)):
        lines = [draw.choices(list(WORDS), k=draw.randint(2, 9)) for _ in range(rows)]
        (folder / f"{name}.en").write_text("".join(" ".join(line) + "\n" for line in lines), "utf8")
        (folder / f"{name}.de").write_text("".join(" ".join(map(WORDS.get, line)) + "\n" for line in lines), "utf8")
    return folder


def test_every_side_trains_in_turns_and_counts_real_tokens(load, corpus: Path, tmp_path: Path, capsys):
    training: ModuleType = load("benchmarks.seq2seq.training")
    sides = training.main(
        [str(corpus), *TINY, "--rounds", "2", "--seconds", "0", "--cache_dir", str(tmp_path / "cache")]
    )
    assert [side.name for side in sides][:4] == [training.OURS, *training.TARGETS][:4]
    for side in sides:
        assert [turn.steps for turn in side.turns] == [1, 1]
        assert all(0 < turn.tokens <= turn.padded for turn in side.turns)
    assert "| ours is | target |" in capsys.readouterr().out


def test_the_mean_padded_batch_of_the_other_side_is_our_limit(load):
    training: ModuleType = load("benchmarks.seq2seq.training")
    draw = np.random.default_rng(0)
    rows = [([5] * int(n), [5] * int(n)) for n in draw.integers(3, 30, 2000)]
    random_rows = training.batch_size_for(rows, 512, "random")
    grouped_rows = training.batch_size_for(rows, 512, "group_by_length")
    longer = np.array([len(source) + 1 for source, _ in rows])
    batches = draw.permutation(longer)[: 2000 // random_rows * random_rows].reshape(-1, random_rows)
    assert (batches.max(1) * random_rows).mean() == pytest.approx(512, rel=0.05)
    assert grouped_rows > random_rows


def test_decoding_without_a_cache_and_by_generate_gives_our_translations(load, corpus: Path, tmp_path: Path):
    decoding: ModuleType = load("benchmarks.seq2seq.decoding")
    compared = decoding.main(
        [str(corpus), *TINY, "--updates", "2", "--lines", "6", "--batch_size", "2", "--rounds", "1",
         "--cache_dir", str(tmp_path / "cache"), "--checkpoint", str(tmp_path / "trained.ckpt")]
    )  # fmt: skip
    equal = {comparison.name.split(",")[0]: comparison.equal for comparison in compared}
    assert equal["without a cache"] == 1
    assert compared[0].name.startswith("generate, ")
    assert compared[0].equal == 1
    assert (tmp_path / "trained.ckpt").is_file()


def test_a_job_of_the_quality_table_trains_decodes_and_keeps_its_result(load, corpus: Path, tmp_path: Path):
    quality: ModuleType = load("benchmarks.seq2seq.quality")
    flags = ("--trainer.max_epochs", "1", "--model.width", "16", "--model.layers", "1", "--data.vocab_size", "80",
             "--data.cache_dir", str(tmp_path / "cache"))  # fmt: skip
    job = quality.Job("multi30k", "recipe", 0, flags, (("average", 1), ("last", 1)))
    quality.main(["--folder", str(tmp_path), "--multi30k", str(corpus), "--one", json.dumps(vars(job))])
    result = quality.result_of(job, tmp_path)
    assert set(result["bleu"]) == {"val/average/1", "test/average/1", "val/last/1", "test/last/1"}
    assert result["updates"] > 0
    assert "tok:13a" in result["signature"]
    assert quality.mean_and_error([1.0, 2.0, 3.0]) == "2.00 ± 0.58"
