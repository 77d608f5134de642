"""`UnpairedImageDataModule`: rows of two domains, each as often as it should come, and bad folders."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor

from lhy_lightning.core.arguments.signatures import constructor_arguments
from lhy_lightning.data import samplers
from lhy_lightning.data.image_pairs import pair_datasets as pair_batches
from lhy_lightning.data.image_pairs.pair_datasets import UnpairedBatches
from lhy_lightning.data.image_pairs.unpaired_data import UnpairedImageDataModule
from tests.shared_data import SHARED

Writer = Callable[..., Path]


def ready(
    source: Path | str = "embedded:coloured_digits", stage: str = "fit", **options: Any
) -> UnpairedImageDataModule:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = UnpairedImageDataModule(str(source), **options)
        data.setup(stage)
    return data


def batches(data: UnpairedImageDataModule, name: str, *, training: bool = False) -> list[dict[str, Tensor]]:
    return [data.prepare_batch(batch, training=training) for batch in getattr(data, f"{name}_dataloader")()]


@pytest.fixture
def animals(tmp_path: Path, write_picture: Writer) -> Path:
    """Two sub-folders of 12 and 30 pictures."""
    for i in range(12):
        write_picture(tmp_path / f"animals/horse/{i}.png", i)
    for i in range(30):
        write_picture(tmp_path / f"animals/giraffe/{i}.png", 100 + i)
    return tmp_path / "animals"


# --- batches ----------------------------------------------------------------------------------------------------------


def test_training_batches_are_as_many_pictures_of_each_domain_and_no_labels() -> None:
    data = ready(batch_size=8)
    batch = batches(data, "train", training=True)[0]
    assert {name: tuple(value.shape) for name, value in batch.items()} == {"a": (8, 3, 8, 8), "b": (8, 3, 8, 8)}
    assert batch["a"].dtype == torch.float32
    assert (float(batch["a"].min()), float(batch["a"].max())) == (-1, 1)
    assert data.domain_names == ("grey_digits", "coloured_digits")
    greys = batch["a"]
    assert torch.equal(greys[:, 0], greys[:, 1])
    assert not torch.equal(batch["b"][:, 0], batch["b"][:, 1])


def test_every_evaluation_row_of_each_domain_comes_once_however_uneven_they_are(animals: Path) -> None:
    data = ready(animals, batch_size=2, val_fraction=0.3, test_fraction=0.2)
    for split in ("val", "test"):
        found = batches(data, split)
        for side in ("a", "b"):
            index = torch.cat([batch[f"index_{side}"] for batch in found if side in batch])
            assert torch.equal(index, torch.arange(len(data.paths(split, side))))
            assert sum(len(batch[side]) for batch in found if side in batch) == len(index)
    assert set(batches(data, "val")[-1]) == {"a", "index_a"}  # giraffes, when the horses have run out


def test_evaluation_carries_labels_and_training_does_not() -> None:
    data = ready(batch_size=32)
    for batch in batches(data, "val"):
        assert batch["label_a"].shape == batch["index_a"].shape
        assert batch["label_b"].dtype == torch.int64
    assert set(torch.cat([batch["label_b"] for batch in batches(data, "val")]).tolist()) == set(range(10))


def test_two_ranks_share_evaluation_rows_without_loss_or_repetition(animals: Path) -> None:
    data, seen = ready(animals, batch_size=2, val_fraction=0.4), {"a": [], "b": []}  # type: ignore[var-annotated]
    for rank in range(2):
        with patch.object(samplers, "rank_and_world", return_value=(rank, 2)):
            for batch in data.val_dataloader():
                for side in seen.keys() & batch.keys():
                    seen[side] += batch[f"index_{side}"].tolist()
    for side, index in seen.items():
        assert sorted(index) == list(range(len(data.paths("val", side))))  # type: ignore[arg-type]


def test_pictures_kept_larger_are_cropped_at_random_in_training_and_in_the_centre_otherwise(animals: Path) -> None:
    data, plain = ready(animals, image_size=8, load_size=12, horizontal_flip=0.5), ready(animals, image_size=12)
    assert batches(data, "train", training=True)[0]["a"].shape[2:] == (8, 8)
    for side in ("a", "b"):
        expected = batches(plain, "val")[0][side][:, :, 2:10, 2:10]
        torch.testing.assert_close(batches(data, "val")[0][side], expected)


# --- order ------------------------------------------------------------------------------------------------------------


def rows_of(sampler: UnpairedBatches, epoch: int) -> tuple[list[int], list[int]]:
    found = sampler.epoch_batches(epoch)
    return [row for a, _ in found for row in a], [row for _, b in found for row in b]


@pytest.mark.parametrize("sizes", [(12, 30), (30, 12)])
def test_an_epoch_is_the_larger_domain_and_the_smaller_goes_on_through_its_own_permutations(
    sizes: tuple[int, int],
) -> None:
    sampler = UnpairedBatches(sizes, 5)
    assert len(sampler) == 6
    large, small = (0, 1) if sizes[0] > sizes[1] else (1, 0)
    seen: Counter[int] = Counter()
    for epoch in range(4):
        rows = rows_of(sampler, epoch)
        assert sorted(rows[large]) == list(range(30))
        seen.update(rows[small])
        assert max(seen.values()) - min(seen[row] for row in range(12)) <= 1
    assert sum(seen.values()) == 120


def test_domains_of_equal_size_meet_in_other_pairs_every_epoch() -> None:
    sampler = UnpairedBatches((20, 20), 5)
    pairs = [set(zip(*rows_of(sampler, epoch), strict=True)) for epoch in range(3)]
    assert len(pairs[0] & pairs[1]) < 8
    assert len(pairs[0] & {(row, row) for row in range(20)}) < 8
    assert all(sorted(rows_of(sampler, epoch)[1]) == list(range(20)) for epoch in range(3))


def test_two_ranks_take_disjoint_rows_of_both_domains() -> None:
    whole: list[list[int]] = [[], []]
    for rank in range(2):
        with (
            patch.object(samplers, "rank_and_world", return_value=(rank, 2)),
            patch.object(pair_batches, "rank_and_world", return_value=(rank, 2)),
        ):
            sampler = UnpairedBatches((40, 20), 5)
            assert len(sampler) == 4
            for side, rows in enumerate(rows_of(sampler, 0)):
                whole[side] += rows
    assert sorted(whole[0]) == list(range(40))
    assert sorted(whole[1]) == sorted([*range(20)] * 2)


def test_training_goes_on_after_a_resume_where_it_was(animals: Path) -> None:
    loader = ready(animals, batch_size=4).train_dataloader()
    loader.sampler.set_epoch(2)  # type: ignore[attr-defined]
    expected = list(loader)[3:]
    again = ready(animals, batch_size=4).train_dataloader()
    again.load_state_dict({"epoch": 2, "batches": 3})
    for one, other in zip(again, expected, strict=True):
        assert torch.equal(one["a"], other["a"])
        assert torch.equal(one["b"], other["b"])


def test_steps_per_epoch_are_those_asked_for_and_no_row_comes_twice_before_all_came() -> None:
    sampler = UnpairedBatches((30, 12), 5, steps=3)
    assert len(sampler) == 3
    rows = [row for epoch in range(2) for row in rows_of(sampler, epoch)[0]]
    assert sorted(rows) == list(range(30))


# --- sources ----------------------------------------------------------------------------------------------------------


def test_two_sub_folders_are_two_domains_in_natural_order(animals: Path) -> None:
    data = ready(animals, batch_size=4)
    assert data.domain_names == ("giraffe", "horse")
    assert all("/giraffe/" in path for path in data.paths("train", "a"))
    assert all("/horse/" in path for path in data.paths("train", "b"))
    turned = ready(source_a=str(animals / "horse"), source_b=str(animals / "giraffe"))
    assert turned.domain_names == ("horse", "giraffe")
    assert turned.paths("val", "a") == data.paths("val", "b")


def test_cyclegans_folders_have_their_own_test_split(tmp_path: Path, write_picture: Writer) -> None:
    for number, name in enumerate(("trainA", "trainB", "testA", "testB")):
        for i in range(10 + number):
            write_picture(tmp_path / f"horse2zebra/{name}/{i}.png", 100 * number + i)
    data = ready(tmp_path / "horse2zebra", batch_size=4)
    assert [len(data.paths("test", side)) for side in ("a", "b")] == [12, 13]
    assert all("/testB/" in path for path in data.paths("test", "b"))
    assert len(data.paths("train", "a")) + len(data.paths("val", "a")) == 10
    assert len(ready(tmp_path / "horse2zebra", "test").paths("test", "a")) == 12
    assert ready(tmp_path / "horse2zebra", "predict").paths("predict", "a") == sorted(data.paths("test", "a"))


def test_prediction_does_with_one_domain(animals: Path) -> None:
    data = ready(stage="predict", source_a=str(animals / "horse"), batch_size=5)
    found = batches(data, "predict")
    assert set(found[0]) == {"a", "index_a"}
    assert sum(len(batch["a"]) for batch in found) == 12
    with pytest.raises(ValueError, match=r"source_a='.*horse' without source_b"):
        ready(source_a=str(animals / "horse"))


def test_any_two_sources_are_brought_to_one_size_and_channel_count(animals: Path) -> None:
    data = ready(source_a="embedded:digits", source_b=str(animals / "giraffe"), image_size=8, batch_size=4)
    batch = batches(data, "train", training=True)[0]
    assert batch["a"].shape == batch["b"].shape == (4, 3, 8, 8)
    assert data.hparams["channels"] == 3
    grey = ready(source_a="embedded:digits", source_b=str(animals / "giraffe"), image_size=8, channels=1)
    assert batches(grey, "val")[0]["b"].shape[1:] == (1, 8, 8)
    with pytest.raises(ValueError, match=r"embedded:digits has 8×8, .*giraffe has 10×12\. Set --data.image_size"):
        ready(source_a="embedded:digits", source_b=str(animals / "giraffe"))


def test_hyperparameters_are_the_signature_and_build_the_same_module() -> None:
    data = ready()
    assert set(data.hparams) == set(constructor_arguments(UnpairedImageDataModule))
    again = UnpairedImageDataModule(**data.hparams)
    again.setup("fit")
    assert again.paths("train", "b") == data.paths("train", "b")


@pytest.mark.skipif(not (SHARED / "horse_giraffe").is_dir(), reason="shared data is not here")
def test_photos_of_horses_and_giraffes_are_unpaired_batches() -> None:
    data = ready(SHARED / "horse_giraffe", image_size=16, load_size=18, horizontal_flip=0.5, batch_size=4)
    assert batches(data, "train", training=True)[0]["b"].shape == (4, 3, 16, 16)
    assert len(data.paths("train", "a")) > 130


# --- bad input --------------------------------------------------------------------------------------------------------


def test_domains_of_very_different_size_are_warned_about(tmp_path: Path, write_picture: Writer) -> None:
    for i in range(4):
        write_picture(tmp_path / f"set/few/{i}.png", i)
    for i in range(60):
        write_picture(tmp_path / f"set/many/{i}.png", 100 + i)
    with pytest.warns(UserWarning, match=r"domain A has 2 training pictures, B has 48.* 24 times"):
        UnpairedImageDataModule(str(tmp_path / "set")).setup()


def test_pictures_that_both_domains_have_are_counted(animals: Path) -> None:
    with pytest.warns(UserWarning, match=r"\d+ training pictures of domain B are in domain A too"):
        UnpairedImageDataModule(source_a=str(animals / "horse"), source_b=str(animals / "horse")).setup()


def test_empty_missing_and_other_folders_say_what_is_wanted(
    animals: Path, tmp_path: Path, write_picture: Writer
) -> None:
    (tmp_path / "half/full").mkdir(parents=True)
    write_picture(tmp_path / "half/full/0.png", 0)
    (tmp_path / "half/empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no picture"):
        ready(tmp_path / "half")
    with pytest.raises(FileNotFoundError, match="is no folder"):
        ready(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"does not look like two domains: .* --data.source_a and --data.source_b"):
        ready(animals / "horse")
    with pytest.raises(FileNotFoundError, match="there is embedded:coloured_digits"):
        ready("embedded:digits")
    write_picture(animals / "trainA/0.png", 0)
    with pytest.raises(ValueError, match="has trainA but no trainB"):
        ready(animals)


def test_corrupt_training_pictures_are_left_out_and_told(animals: Path) -> None:
    (animals / "horse/3.png").write_bytes(b"no picture at all")
    data = UnpairedImageDataModule(str(animals))
    with pytest.warns(UserWarning, match=r"1 train picture left out, for they cannot be read: .*3\.png"):
        data.setup()
    assert sum(len(data.paths(split, "b")) for split in ("train", "val", "test")) == 11


def test_a_batch_that_the_larger_domain_does_not_fill_is_an_error(animals: Path) -> None:
    with pytest.raises(ValueError, match="do not fill one batch of 64"):
        list(ready(animals, batch_size=64).train_dataloader())


def test_splits_of_each_domain_are_disjoint_and_do_not_depend_on_the_run_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ready()
    for side in ("a", "b"):
        rows = [data.paths(split, side) for split in ("train", "val", "test")]
        assert len({*np.concatenate(rows)}) == sum(map(len, rows)) in (898, 899)
    monkeypatch.setenv("PL_GLOBAL_SEED", "9")
    assert ready().paths("val", "a") == data.paths("val", "a")


def test_domain_a_draws_its_flips_first_whatever_the_order_of_the_batch(animals: Path) -> None:
    """A set's order depends on how strings are hashed: another process would draw otherwise."""
    data = ready(animals, batch_size=6, horizontal_flip=0.5)
    batch = next(iter(data.train_dataloader()))
    torch.manual_seed(7)
    first = data.prepare_batch(batch, training=True)
    torch.manual_seed(7)
    again = data.prepare_batch(dict(reversed(batch.items())), training=True)
    torch.manual_seed(7)
    alone = data.prepare_batch({"a": batch["a"]}, training=True)
    assert all(torch.equal(first[side], again[side]) for side in ("a", "b"))
    assert torch.equal(first["a"], alone["a"])
