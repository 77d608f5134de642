"""Images and folders of images that are not what they look like, for the data modules of images."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lhy_lightning import (
    AnomalyDataModule,
    DomainDataModule,
    ImageClassifier,
    ImageDataModule,
    PairedImageDataModule,
    UnpairedImageDataModule,
)
from tests.bad_input.case import BadInput, Ending, fit, nothing, set_up, text

Make = Callable[[Path], object]


def bars(source: str, save: Callable[[np.ndarray, str], object], rows: int = 12) -> Make:
    """Two class folders, a lying and a standing bar: (16, 16) float32 in [0, 1], no two alike."""

    def make(folder: Path) -> None:
        generator = np.random.default_rng(0)
        for number, name in enumerate(("bar", "column")):
            (folder / source / name).mkdir(parents=True)
            for row in range(rows):
                image = generator.uniform(0, 0.1, (16, 16))
                y, x = generator.integers(2, 6, 2)
                image[y : y + (8 if number else 3), x : x + (3 if number else 8)] = generator.uniform(0.8, 1)
                save(image.astype(np.float32), f"{folder}/{source}/{name}/{row}")

    return make


def png(image: np.ndarray, path: str) -> None:
    Image.fromarray((image * 255).astype(np.uint8)).save(f"{path}.png")


def tiff(image: np.ndarray, path: str) -> None:
    Image.fromarray(image).save(f"{path}.tif")


def deep_png(image: np.ndarray, path: str) -> None:
    Image.fromarray((image * 4095).astype(np.uint16)).save(f"{path}.png")


def sprite(image: np.ndarray, path: str) -> None:
    Image.fromarray(np.dstack([np.zeros((16, 16, 3), np.uint8), (image * 255).astype(np.uint8)])).save(f"{path}.png")


def dark(image: np.ndarray, path: str) -> None:
    png(image / 10, path)


def both(*makes: Make) -> Make:
    def make(folder: Path) -> None:
        for one in makes:
            one(folder)

    return make


def files(*paths: str) -> Make:
    return both(*(text(path, "some") for path in paths))


def link(path: str, target: str) -> Make:
    def make(folder: Path) -> None:
        (folder / path).symlink_to(folder / target)

    return make


def table(header: str, *rows: str) -> Make:
    """Six images and a csv with a row for each; `{}` in a row is its number."""

    def make(folder: Path) -> None:
        generator = np.random.default_rng(0)
        (folder / "raw").mkdir()
        for row in range(30):
            Image.fromarray(generator.integers(0, 256, (8, 8), np.uint8)).save(folder / f"raw/{row}.png")
        lines = [rows[row % len(rows)].replace("{}", str(row)) for row in range(30)]
        (folder / "set.csv").write_text("\n".join([header, *lines]))

    return make


def read(
    module: Callable[..., Any] = ImageDataModule,
    source: str = "set",
    *,
    classes: tuple[str, ...] = (),
    **arguments: Any,
) -> Callable[[Path], None]:
    """Sets a data module up for training, and looks at the classes that it found."""

    def run(folder: Path) -> None:
        given = {name: str(value).replace("{folder}", str(folder)) if isinstance(value, str) else value
                 for name, value in arguments.items()}  # fmt: skip
        data = module(**({} if "source_a" in given else {"source": str(folder / source)}), **given)
        data.setup("fit")
        assert not classes or data.class_names == classes

    return run


BARS = ("bar", "column")
PLAIN = bars("set", png)
MODULES: list[tuple[str, Callable[..., Any], dict[str, Any]]] = [
    ("classes", ImageDataModule, {}),
    ("anomalies", AnomalyDataModule, {"normal_class": "bar"}),
    ("domains", DomainDataModule, {"target": "{folder}/set"}),
    ("two domains", UnpairedImageDataModule, {"source_a": "{folder}/set", "source_b": "{folder}/set"}),
    ("halves", PairedImageDataModule, {}),
]


def images(
    what: str, make: Make, run: Callable[[Path], object], says: str, ends: Ending = "line", kind: str = "images"
) -> BadInput:
    return BadInput(what, make, run, says, ends, kind)


INPUTS = [
    *[
        images(f"{what} for {name}", bars("set", save), read(module, **given), says, ends)
        for name, module, given in MODULES
        for what, save, says, ends in (
            ("float TIFF", tiff, r"mode F hold values from .*Set --data.value_range, such as \[0, 1\]", "line"),
            ("12 bits in 16", deep_png, r"mode I;16 hold values from .*such as \[0, 4095\]", "line"),
            ("images that are nearly black", dark, "use less than an eighth of the range", "counted"),
        )
    ],
    images("float TIFF with its range", bars("set", tiff), read(value_range=(0, 1), classes=BARS), "", "right"),
    images("shapes in the alpha channel alone", bars("set", sprite), read(classes=BARS), "12|images", "right"),
    *[
        images(
            f"a range for images of 8 bits for {name}", PLAIN, read(module, value_range=(0, 1), **given),
            "set: value_range is set, but has no effect", "counted",
        )
        for name, module, given in MODULES
    ],
    images("a range that is none", nothing, read(value_range=(1, 1)), "black must be less than white"),
    images(
        "images that are all equal", bars("set", lambda _, path: png(np.zeros((16, 16)), path)), read(),
        "val split is empty: equal images stay in one split, and of 24 images 1 are different",
    ),
    images(
        "images enlarged without need", PLAIN, read(image_size=128),
        r"16×16 are enlarged to 128×128: 64 times the work.*--data.image_size 16", "counted",
    ),
    images(
        "source and target are one set", PLAIN, read(DomainDataModule, target="{folder}/set"),
        "source and target are the same images", "counted",
    ),
    images(
        "a normal class of images without classes",
        lambda folder: np.save(folder / "a.npy", np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)),
        read(AnomalyDataModule, "a.npy", normal_class="good"), "has no classes: .*set --data.normal_class null",
    ),
    images(
        "a large stem for small images", PLAIN,
        fit(ImageClassifier, ImageDataModule, {"network": "resnet_large"}, source="set", batch_size=4),
        r"16x16 are too small .* --data.image_size 32, or take --model.network resnet --model.depth 20",
    ),
    images(
        "a depth that the network does not have", PLAIN,
        fit(ImageClassifier, ImageDataModule, {"network": "resnet", "depth": 18}, source="set", batch_size=4),
        r"depth 6n \+ 2 .* not 18: set --model.depth 20",
    ),
    # --- folders
    *[
        images(
            f"an archive's own folder round the splits for {name}",
            both(bars("set/data/train", png), bars("set/data/test", png, 6)),
            read(module, **given), r"holds one folder, data, which has the splits: read as .*set/data", "counted",
            "folders of images",
        )
        for name, module, given in MODULES
        if name != "halves"
    ],
    images(
        "an archive's own folder round trainA and trainB",
        both(bars("set/zip/trainA", png), bars("set/zip/trainB", png), bars("set/zip/testA", png, 2),
             bars("set/zip/testB", png, 2)),
        read(UnpairedImageDataModule), "domain A, .*set/zip/trainA: 2[0-9] train", "counted", "folders of images",
    ),
    images(
        "classes that differ in capitals alone", table("image,label", "raw/{}.png,Cat", "raw/{}.png,cat"),
        read(source="set.csv", classes=("Cat", "cat")), "2 of 2 classes differ from another in capitals", "counted",
        "tables of images",
    ),
    images(
        "an identity as the label", table("image,label", "raw/{}.png,{}"), read(source="set.csv"),
        "val split is empty: .* none of the 30 classes has. Are the labels classes", kind="tables of images",
    ),
    images(
        "splits one level down, beside other folders",
        both(bars("set/mnist/train", png, 2), bars("set/mnist/test", png, 2), bars("set/notes", png, 2)),
        read(), r"has mnist/test, mnist/train one level down\. Is mnist the data set\? Give .*set/mnist",
        kind="folders of images",
    ),
    images(
        "files of other endings and of none",
        both(PLAIN, files("set/bar/1.heic", "set/bar/2.HEIC", "set/column/x", "set/column/.y.png")),
        read(classes=BARS), r"2 \.heic, 1 (hidden|without ending), 1 (hidden|without ending) left out", "counted",
        "folders of images",
    ),
    images(
        "a folder of none but other endings", files("set/1.heic", "set/2.heic"), read(),
        r"holds no picture .*2 \.heic left out", kind="folders of images",
    ),
    images(
        "endings in capitals", bars("set", lambda image, path: tiff_of_bytes(image, path)), read(classes=BARS), "",
        "right", "folders of images",
    ),
    images(
        "a link back to its own folder", both(PLAIN, link("set/bar/again", "set")), read(classes=BARS),
        r"set/bar/again leads back into .* left out", "counted", "folders of images",
    ),
    images(
        "a class folder that is a link to all", both(PLAIN, link("set/all", "set")), read(classes=BARS),
        "24|images", "right", "folders of images",
    ),
    images(
        "folders that belong to no split",
        both(bars("set/train", png), bars("set/test", png, 6), bars("set/masks", png, 3)),
        read(classes=BARS), r"masks \(6 images\) belong to no split and are left out", "counted", "folders of images",
    ),
    images(
        "class folders of digits that are none",
        lambda folder: [
            (png_at(folder, f"set/{name}/{row}", number + row)) for number, name in enumerate("①②") for row in range(9)
        ],
        read(classes=("①", "②")), "2 classes", "right", "folders of images",
    ),
    images(
        "class folders that differ in capitals and zeros",
        lambda folder: [
            png_at(folder, f"set/{name}/{row}", 10 * number + row)
            for number, name in enumerate(("cat", "Cat", "1", "01"))
            for row in range(5)
        ],
        read(classes=("01", "1", "Cat", "cat")), "4 classes", "right", "folders of images",
    ),
    # --- tables
    images(
        "class numbers from 1", table("image,label", "raw/{}.png,1", "raw/{}.png,2"),
        read(source="set.csv", classes=("1", "2")), "2 classes", "right", "tables of images",
    ),
    images(
        "class names with zeros", table("image,label", "raw/{}.png,01", "raw/{}.png,02"),
        read(source="set.csv", classes=("01", "02")), "2 classes", "right", "tables of images",
    ),
    images(
        "class numbers out of all proportion", table("image,label", "raw/{}.png,3", "raw/{}.png,20230001"),
        read(source="set.csv", classes=("3", "20230001")), "2 classes", "right", "tables of images",
    ),
    images(
        "a number of classes out of all proportion", table("image,label", "raw/{}.png,3", "raw/{}.png,4"),
        read(source="set.csv", num_classes=20_230_001), "20,230,001 classes are more than", kind="tables of images",
    ),
    images(
        "-1 and 1", table("image,label", "raw/{}.png,-1", "raw/{}.png,1"),
        read(source="set.csv", classes=("-1", "1")), "2 classes", "right", "tables of images",
    ),
    images(
        "a class called None", table("image,label", "raw/{}.png,None", "raw/{}.png,Mild"),
        read(source="set.csv", classes=("Mild", "None")), "2 classes", "right", "tables of images",
    ),
    images(
        "a column a class", table("image,cat,dog", "raw/{}.png,1,0", "raw/{}.png,0,1"),
        read(source="set.csv", classes=("cat", "dog")), "columns cat, dog have one 1 in each row", "counted",
        "tables of images",
    ),
    images(
        "a blank in the header", table("image, label", "raw/{}.png,a", "raw/{}.png,b"),
        read(source="set.csv", classes=("a", "b")), "2 classes", "right", "tables of images",
    ),
    images(
        "Chinese labels in another encoding",
        text("set.csv", ("image,label\n" + "".join(f"{n}.png,{'猫狗'[n % 2]}\n" for n in range(9))).encode("gb18030")),
        read(source="set.csv"), "is not UTF-8 .* might be gb18030", kind="tables of images",
    ),
    *[
        images(what, text("set.csv", content), read(source="set.csv"), "has no rows", kind="tables of images")
        for what, content in (("an empty csv", ""), ("a header alone", "image,label\n"))
    ],
    images(
        "named files that are not there", table("image,label", "gone/{}.png,a", "gone/{}.png,b"),
        read(source="set.csv"), r"none of the 30 files .* such as 'gone/0\.png' in row 0", kind="tables of images",
    ),
    images(
        "labels that are no classes", table("image,label", "raw/{}.png,a", "raw/{}.png,"), read(source="set.csv"),
        "15 of 30 rows have no label, such as row 1", kind="tables of images",
    ),
    images("an empty npy file", text("a.npy", b""), set_up(ImageDataModule, "a.npy"), "not a plain numpy array"),
]  # fmt: skip


def png_at(folder: Path, path: str, seed: int) -> None:
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    png(np.random.default_rng(seed).uniform(0, 1, (8, 8)), str(folder / path))


def tiff_of_bytes(image: np.ndarray, path: str) -> None:
    Image.fromarray((image * 255).astype(np.uint8)).save(f"{path}.TIFF", "TIFF")
