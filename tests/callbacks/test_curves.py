from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from lhy_lightning.callbacks import curves
from lhy_lightning.training.csv_logger import RunLogger

as_it_is = curves.Curves.on_train_epoch_end  # the tests' runs draw at their end alone (conftest.py)


def test_curves_are_drawn_at_powers_of_two_and_every_tenth_epoch(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    folder = Path(logger.log_dir)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.csv").write_text("epoch,step,train/loss,val/loss\n0,1,2.5,\n0,2,1.5,2.0\n")
    drawn = []
    for epoch in range(20):
        trainer: Any = SimpleNamespace(current_epoch=epoch, loggers=[logger])
        as_it_is(curves.Curves(), trainer, None)  # type: ignore[arg-type]
        if (folder / "curves.png").exists():
            drawn.append(epoch + 1)
            with Image.open(folder / "curves.png") as picture:
                assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
            (folder / "curves.png").unlink()
    assert drawn == [1, 2, 4, 8, 10, 16, 20]
