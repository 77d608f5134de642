"""`curves.png`: every logged figure of a run over its steps, drawn from metrics.csv."""

import csv
import io
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities import rank_zero_only
from matplotlib.figure import Figure

from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.training.csv_logger import RunLogger


def draw_curves(metrics: Path) -> Figure | None:
    """One panel a quantity (`loss`, `accuracy` …), one line a split (`train/`, `val/` …); None without rows."""
    with metrics.open(newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    panels: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for row in rows:
        for name, value in row.items():
            if value and name not in ("step", "epoch"):
                split, _, quantity = name.partition("/")
                line = panels.setdefault(quantity or name, {}).setdefault(split, [])
                line.append((int(row["step"]), float(value)))
    if not panels:
        return None
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.5 * columns, 3.2 * lines), layout="constrained")
    for place, (quantity, splits) in enumerate(sorted(panels.items()), 1):
        axes = figure.add_subplot(lines, columns, place)
        for split, points in sorted(splits.items()):
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, label=split, marker="o" if len(points) < 30 else "", markersize=3, linewidth=1.2)
        axes.set(title=quantity, xlabel="step")
        axes.grid(alpha=0.3)
        if len(splits) > 1 or quantity not in splits:
            axes.legend()
    return figure


class Curves(Callback):
    """Draws `curves.png` in the run folder after every validation and at the end."""

    @rank_zero_only
    def _draw(self, trainer: Trainer) -> None:
        for logger in trainer.loggers:
            metrics = Path(logger.log_dir or "") / "metrics.csv"
            if isinstance(logger, RunLogger) and metrics.is_file() and (figure := draw_curves(metrics)):
                drawn = io.BytesIO()
                figure.savefig(drawn, dpi=110)
                atomic_write(metrics.with_name("curves.png"), drawn.getvalue())

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Drawn at powers of two and every tenth epoch: drawing costs about .3 s.
        epoch = trainer.current_epoch + 1
        if epoch % 10 == 0 or epoch & (epoch - 1) == 0:
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._draw(trainer)
