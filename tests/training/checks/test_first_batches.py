"""Loaders of other packages: what comes of their batches, and what is said of those that no step can take."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import RunningStage
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from lhy_lightning import AutoEncoder, ImageClassifier
from lhy_lightning.core.tensor_spec import Spec
from lhy_lightning.training.checks import first_batches
from lhy_lightning.training.checks.batch_contract import Contract
from lhy_lightning.training.checks.first_batches import FirstBatches, contracts_of, sizes_of
from lhy_lightning.training.module import CourseModule
from tests.public_names import MODULES
from tests.smallest_modules import SETTINGS, smallest

ROWS = 4


def small(name: str) -> CourseModule:
    module = smallest(name)
    if name == "DIRTT":
        module.started = torch.tensor(True)  # type: ignore[assignment]  # goes on from weights of another run
    return module


def trainer_in(folder: Path, **settings: Any) -> Trainer:
    defaults: dict[str, Any] = {
        "max_epochs": 1, "accelerator": "cpu", "logger": False, "enable_progress_bar": False,
        "enable_model_summary": False, "enable_checkpointing": False, "default_root_dir": folder,
        "num_sanity_val_steps": 0,
    }  # fmt: skip
    return Trainer(**{**defaults, **settings})


def tensor_of(spec: Spec, sizes: dict[str, int]) -> Tensor:
    shape = [sizes.get(letter, ROWS) for letter in spec.letters]
    return torch.rand(shape) * 2 - 1 if spec.dtypes[0] == torch.float32 else torch.zeros(shape, dtype=spec.dtypes[0])


def batch_for(module: CourseModule, stage: str = "train") -> dict[str, Any]:
    """A batch of the module's contract, without row numbers."""
    contract, sizes = contracts_of(type(module), stage)[0], sizes_of(module)
    tensors = {key: tensor_of(spec, sizes) for key, spec in contract.specs.items() if spec is not None}
    absent = {key for key in tensors if key.startswith("index") or (key == "target_image" and not needs_target(module))}
    return {key: value for key, value in tensors.items() if key not in absent}


def needs_target(module: CourseModule) -> bool:
    return bool(getattr(module, "needs_target", True))


class Repeated(torch.utils.data.Dataset):
    def __init__(self, batch: Any, number: int = 1) -> None:
        self.batch, self.number = batch, number

    def __len__(self) -> int:
        return self.number

    def __getitem__(self, place: int) -> Any:
        if place >= self.number:
            raise IndexError(place)
        return self.batch


def loader_of(batch: Any, number: int = 1) -> DataLoader:
    return DataLoader(Repeated(batch, number), batch_size=None)


def images_of(contract: Contract) -> set[str]:
    return {key for key, spec in contract.specs.items() if spec is not None and spec.within == (-1, 1)}


IMAGE_MODULES = [name for name in MODULES if any(images_of(one) for one in contracts_of(MODULES[name], "train"))]
OF_TUPLES = [
    name for name in IMAGE_MODULES
    if {"image", "input"} & {*contracts_of(MODULES[name], "train")[0].required} and name != "FixMatchClassifier"
]  # fmt: skip


def refused(module: CourseModule, batch: Any, folder: Path) -> str:
    """What is said of the first training batch."""
    with pytest.raises(ValueError) as error:
        trainer_in(folder).fit(module, loader_of(batch))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("stage", ["train", "val", "test", "predict"])
@pytest.mark.parametrize("name", MODULES)
def test_every_step_of_a_public_module_names_its_contract(name: str, stage: str) -> None:
    assert contracts_of(MODULES[name], stage)


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_batches_of_the_contract_from_any_loader_are_trained_on(name: str, tmp_path: Path) -> None:
    module = small(name)
    trainer = trainer_in(tmp_path)
    trainer.fit(module, loader_of(batch_for(module)))
    assert trainer.global_step >= 1


@pytest.mark.parametrize("name", OF_TUPLES)
def test_tuples_of_torch_data_sets_are_taken_in_order_and_it_is_said_once(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, heard = small(name), []
    first, second = ("input", "target") if name == "Pix2Pix" else ("image", "label")
    batch = batch_for(module)
    rows = DataLoader(TensorDataset(batch[first], batch[second]), batch_size=2)
    said: list[str] = []
    monkeypatch.setattr(first_batches, "rank_zero_info", said.append)
    trainer = trainer_in(tmp_path)
    step = type(module).training_step

    def listening(batch: Any, batch_idx: int) -> Any:
        heard.append(batch)
        return step(module, batch, batch_idx)

    module.training_step = listening  # type: ignore[method-assign]
    trainer.fit(module, rows)
    assert torch.equal(torch.cat([one[first] for one in heard]), batch[first])
    assert torch.equal(torch.cat([one[second] for one in heard]), batch[second])
    assert said == [
        f"The loader's lists are taken as {first} and {second} of {contracts_of(type(module), 'train')[0].name}."
    ]


def test_pictures_alone_are_trained_on_where_no_labels_are_needed(tmp_path: Path) -> None:
    module = smallest("AutoEncoder")
    images = batch_for(module)["image"]
    trainer_in(tmp_path).fit(module, DataLoader(TensorDataset(images), batch_size=2))
    trainer_in(tmp_path).fit(module, DataLoader(images, batch_size=2))  # type: ignore[arg-type]
    said = refused(smallest("ImageClassifier"), [images], tmp_path)
    assert said.startswith("ImageClassifier needs labels, but a batch of the data holds image alone")


LACKING = {
    "FixMatchClassifier": (
        "weak_image",
        "FixMatch trains on two views of unlabelled pictures: give the data unlabelled=",
    ),
    "Pix2Pix": ("target", "Pix2Pix trains on pairs: give every batch its `target`"),
    "DANN": ("target_image", "DANN trains on target pictures too: give every batch its `target_image`."),
    "DomainGeneralization": (
        "source_image",
        "the batch has pictures of the target, which is to be held out",
    ),
    "CycleGAN": ("b", "CycleGAN trains on two domains: give batches of `a` and `b`"),
}


@pytest.mark.parametrize("name", LACKING)
def test_a_key_that_only_training_needs_is_asked_for_in_the_words_of_the_module(name: str, tmp_path: Path) -> None:
    key, sentence = LACKING[name]
    module = small(name)
    batch = batch_for(module)
    del batch[key]
    assert refused(module, batch, tmp_path).startswith(sentence)


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_bytes_and_their_numbers_are_refused_with_the_line_that_scales_them(name: str, tmp_path: Path) -> None:
    module = small(name)
    batch, contract = batch_for(module), contracts_of(MODULES[name], "train")[0]
    for key in images_of(contract) & set(batch):
        for scaled in (((batch[key] + 1) * 127.5).to(torch.uint8), (batch[key] + 1) * 127.5):
            said = refused(module, {**batch, key: scaled}, tmp_path)
            assert said.startswith(f"{contract.name} wants ")
            assert f"{key} {contract.specs[key]}" in said
            assert f"{key} {tuple(scaled.shape)} {str(scaled.dtype)[6:]} in [" in said
            assert f": scale {key} by `x.float() / 127.5 - 1`." in said


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_other_channels_and_sizes_than_the_networks_are_named_with_both_numbers(name: str, tmp_path: Path) -> None:
    module = small(name)
    batch, contract, sizes = batch_for(module), contracts_of(MODULES[name], "train")[0], sizes_of(module)
    side = sizes["H"]
    for key in images_of(contract) & set(batch):
        coloured = {**batch, key: batch[key].repeat(1, 3, 1, 1)}
        assert f"{key} has 3 channels instead of 1" in refused(module, coloured, tmp_path)
        larger = {**batch, key: batch[key].repeat(1, 1, 2, 1)}
        assert f"{key} is {2 * side} x {side} instead of {side} x {side}" in refused(module, larger, tmp_path)
        grey = {**batch, key: batch[key][:, 0]}
        assert f"{key} has 3 axes instead of 4 (grey pictures: `x[:, None]`)" in refused(module, grey, tmp_path)
        double = {**batch, key: batch[key].double()}
        assert f"make {key} float32 by `{key}.float()`" in refused(module, double, tmp_path)


@pytest.mark.parametrize("name", IMAGE_MODULES)
def test_labels_of_another_dtype_are_named(name: str, tmp_path: Path) -> None:
    module = small(name)
    batch = batch_for(module)
    labels = [key for key in batch if key.endswith("label") and key not in ("label_a", "label_b")]
    assert labels or name in ("Pix2Pix", "CycleGAN")
    for key in labels:
        for dtype in (torch.int32, torch.float32):
            said = refused(module, {**batch, key: batch[key].to(dtype)}, tmp_path)
            assert f"{key} ({ROWS},) {str(dtype)[6:]}" in said
            assert f"make {key} int64 by `{key}.long()`" in said


def changed(**changes: Callable[[Tensor], Tensor]) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda batch: {**batch, **{key: change(batch[key]) for key, change in changes.items()}}


BROKEN: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "bytes": (
        changed(image=lambda x: ((x + 1) * 127.5).to(torch.uint8) * 0),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; "
        "got image (4, 1, 8, 8) uint8 in [0, 0] and label (4,) int64: scale image by `x.float() / 127.5 - 1`.",
    ),
    "other names": (
        lambda batch: {"pixel_values": batch["image"], "labels": batch["label"]},
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1]; "
        "got pixel_values (4, 1, 8, 8) float32 and labels (4,) int64: image is missing.",
    ),
    "values far outside": (
        changed(image=lambda x: torch.linspace(-200, 250, x.numel()).view_as(x)),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; "
        "got image (4, 1, 8, 8) float32 in [-200, 250] and label (4,) int64: bring image into [-1, 1] by "
        "`Normalize(0.5, 0.5)` after `ToTensor()`.",
    ),
    "channels last": (
        changed(image=lambda x: torch.zeros(4, 8, 8, 1)),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; got image (4, 8, 8, 1) float32 "
        "in [0, 0] and label (4,) int64: put the channels of image before height and width: `x.permute(0, 3, 1, 2)`.",
    ),
    "a column a class": (
        changed(label=lambda y: torch.zeros(4, 3, dtype=torch.int64)),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; got image (4, 1, 8, 8) float32 "
        "in [0, 0] and label (4, 3) int64: label has 2 axes instead of 1 (one column a class: `y.argmax(1)`).",
    ),
    "labels of fewer rows": (
        changed(label=lambda y: y[:3]),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; got image (4, 1, 8, 8) float32 "
        "in [0, 0] and label (3,) int64: label has 3 in N, others have 4.",
    ),
    "names instead of labels": (
        lambda batch: [batch["image"], ["cat", "dog", "cat", "cat"]],
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; got image (4, 1, 8, 8) float32 "
        "in [0, 0] and label a list of 4: label is no tensor.",
    ),
    "three parts": (
        lambda batch: [batch["image"], batch["label"], batch["label"]],
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1]; got a list of 3: give a dict.",
    ),
    "two faults at once": (
        changed(image=lambda x: x.to(torch.uint8), label=lambda y: y.int()),
        "ImageBatch wants image (N, C, H, W) float32 in [-1, 1] and label (N,) int64; got image (4, 1, 8, 8) uint8 in "
        "[0, 0] and label (4,) int32: scale image by `x.float() / 127.5 - 1`; make label int64 by `label.long()`.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", BROKEN)
def test_what_is_wrong_with_a_batch_is_said_in_one_line(fault: str, tmp_path: Path) -> None:
    change, sentence = BROKEN[fault]
    module = smallest("ImageClassifier")
    batch = {"image": torch.zeros(4, 1, 8, 8), "label": torch.zeros(4, dtype=torch.int64)}
    assert refused(module, change(batch), tmp_path) == sentence


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_the_first_batch_of_evaluation_and_prediction_is_looked_at_too(stage: str, tmp_path: Path) -> None:
    module = smallest("ImageClassifier")
    loaders = loader_of([torch.zeros(4, 1, 8, 8, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)])
    with pytest.raises(ValueError, match=r"got image .* uint8 .*: scale image by"):
        getattr(trainer_in(tmp_path), stage)(module, loaders)


@pytest.mark.parametrize("name", OF_TUPLES)
def test_rows_without_numbers_are_numbered_in_the_order_in_which_they_come(name: str, tmp_path: Path) -> None:
    module, heard = small(name), []
    batch = batch_for(module, "predict")
    batch = {key: value for key, value in batch.items() if value.is_floating_point()}
    loader = loader_of(batch, 3)
    trainer = trainer_in(tmp_path)
    step = type(module).predict_step

    def listening(batch: Any, batch_idx: int) -> Any:
        heard.append(batch["index"])
        return step(module, batch, batch_idx)

    module.predict_step = listening  # type: ignore[method-assign]
    for _ in range(2):  # each prediction begins at the first row
        heard.clear()
        trainer.predict(module, loader)
        assert torch.cat(heard).tolist() == [*range(3 * ROWS)]


def test_each_loader_and_each_validation_numbers_its_rows_anew(tmp_path: Path) -> None:
    heard: list[tuple[int, list[int]]] = []

    class Listening(AutoEncoder):
        def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
            heard.append((dataloader_idx, batch["index"].tolist()))

    module = Listening(image_size=(8, 8), channels=1, latent_dim=2, width=4, downsamplings=1)
    loader = loader_of(batch_for(module), 2)
    trainer_in(tmp_path, max_epochs=2, num_sanity_val_steps=1).fit(module, loader, [loader, loader])
    first, second = [*range(ROWS)], [*range(ROWS, 2 * ROWS)]
    epoch = [(0, first), (0, second), (1, first), (1, second)]
    assert heard == [(0, first), (1, first), *epoch, *epoch]


def test_numbers_that_a_loader_gives_stay(tmp_path: Path) -> None:
    module = smallest("ImageClassifier")
    batch = {"image": torch.zeros(2, 1, 8, 8), "index": torch.tensor([7, 5])}
    found: Any = trainer_in(tmp_path).predict(module, loader_of(batch))
    assert found[0]["index"].tolist() == [7, 5]


@pytest.mark.parametrize("stage", [RunningStage.VALIDATING, RunningStage.TESTING, RunningStage.PREDICTING])
def test_several_processes_are_asked_for_row_numbers(stage: RunningStage) -> None:
    module: Any = smallest("ImageClassifier")
    plugin = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False).precision_plugin
    loop = SimpleNamespace(batch_progress=SimpleNamespace(current=SimpleNamespace(ready=0)))
    module._trainer = SimpleNamespace(
        state=SimpleNamespace(stage=stage), world_size=2, precision_plugin=plugin, _active_loop=loop
    )
    batch = {"image": torch.zeros(2, 1, 8, 8)}
    with pytest.raises(ValueError, match=r"ImageBatch wants index \(N,\) int64.*each of 2 processes.*give every"):
        FirstBatches().take(module, batch, 0)
    numbered = {**batch, "index": torch.arange(2)}
    assert FirstBatches().take(module, numbered, 0) is numbered


def test_only_the_first_batch_of_each_loader_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    check = Contract.check

    def counted(self: Contract, batch: Any, **settings: Any) -> None:
        looked.append("train" if "index" not in batch and not module.trainer.evaluating else "val")
        check(self, batch, **settings)

    monkeypatch.setattr(Contract, "check", counted)
    module = smallest("ImageClassifier")
    batch = batch_for(module)
    batch = {key: batch[key] for key in ("image", "label")}
    trainer_in(tmp_path, max_epochs=3).fit(module, loader_of(batch, 4), [loader_of(batch, 2)])
    assert looked == ["train", "val"]


def test_a_step_of_ones_own_without_an_annotation_gets_what_the_loader_gives(tmp_path: Path) -> None:
    heard: list[Any] = []

    class Own(ImageClassifier):
        def training_step(self, batch, batch_idx):  # type: ignore[no-untyped-def, override]
            heard.append(batch)
            images, labels = batch
            return super().training_step({"image": images.float() / 127.5 - 1, "label": labels.long()}, batch_idx)

    module = Own(image_size=(8, 8), channels=1, num_classes=3, depth=8, width=2)
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8)
    trainer_in(tmp_path).fit(module, DataLoader(TensorDataset(images, torch.zeros(4, dtype=torch.int32)), batch_size=4))
    assert [type(batch) for batch in heard] == [list]


def test_pictures_from_zero_to_one_are_taken_with_a_warning(tmp_path: Path) -> None:
    module = smallest("ImageClassifier")
    rows = TensorDataset(torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.int64))
    with pytest.warns(UserWarning, match=r"image of the first batch lies in \[0, 1\].*scale it by `2 \* x - 1`"):
        trainer_in(tmp_path).fit(module, DataLoader(rows, batch_size=4))


def test_weights_in_half_precision_take_the_pictures_that_the_trainer_makes_for_them(tmp_path: Path) -> None:
    module = smallest("AutoEncoder")
    trainer = trainer_in(tmp_path, precision="bf16-true")
    trainer.fit(module, loader_of(batch_for(module)))
    assert trainer.global_step == 1


LEARNED = ("image_size", "channels", "num_classes", "input_channels", "target_channels")
OF_ONES_OWN = [name for name in IMAGE_MODULES if name not in ("CodePrior", "DIRTT")]  # of another's weights


@pytest.mark.parametrize("name", OF_ONES_OWN)
def test_sizes_are_asked_for_before_a_network_of_ones_own_is_built(name: str, tmp_path: Path) -> None:
    def built(self: Any, *_: Any) -> Any:
        raise AssertionError("built without sizes")

    cls = MODULES[name]
    kept = {"build_once", "build_if_known", "build"}
    builders = [method for method in dir(cls) if method.startswith("build_") and method not in kept]
    assert builders
    own = type(cls)("Own", (cls,), {"__module__": __name__, **dict.fromkeys(builders, built)})
    module = own(**{key: value for key, value in SETTINGS[name]().items() if key not in LEARNED})
    with pytest.raises(ValueError, match=r"give Own .*(image_size|channels).*, or fit it with a data module"):
        trainer_in(tmp_path).fit(module, loader_of(batch_for(small(name))))


def test_pictures_scaled_by_mean_and_deviation_are_trained_on_and_told_of(tmp_path: Path) -> None:
    module = small("ImageClassifier")
    batch = batch_for(module)
    batch["image"] = torch.linspace(-2, 2.5, batch["image"].numel()).view_as(batch["image"])
    rows = DataLoader(TensorDataset(batch["image"], batch["label"]), batch_size=ROWS)
    with pytest.warns(UserWarning, match=r"image of the first batch lies in \[-2, 2.5\], as by the mean and deviation"):
        trainer_in(tmp_path).fit(module, rows)
