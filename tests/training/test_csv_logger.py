from pathlib import Path

from lhy_lightning.training.csv_logger import MetricsFile


def rows(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_what_is_logged_twice_at_one_step_becomes_one_row(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.csv")
    file.add(9, {"epoch": 0, "train/loss": 0.5})
    file.add(19, {"epoch": 0, "train/loss": 0.25})
    file.add(19, {"epoch": 0, "val/loss": 2.0})
    assert rows(file.path) == ["epoch,step,train/loss,val/loss", "0,9,0.5,", "0,19,0.25,2.0"]
    file.add(29, {"epoch": 1, "train/loss": 0.125})
    file.add(29, {"epoch": 1, "val/loss": 1.0})
    assert rows(file.path)[-2:] == ["0,19,0.25,2.0", "1,29,0.125,1.0"]


def test_resuming_keeps_the_rows_before_the_step_and_drops_a_row_that_a_kill_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss\n0,9,0.5\n0,19,0.25\n0,29,0.2\n0,3")
    file = MetricsFile(path, before_step=20)
    assert rows(path) == ["epoch,step,train/loss", "0,9,0.5", "0,19,0.25"]
    file.add(29, {"epoch": 0, "train/loss": 0.125})
    assert rows(path)[-1] == "0,29,0.125"


def test_a_figure_that_only_dropped_rows_had_can_come_anew(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss,val/loss\n0,9,0.5,\n0,19,0.25,2.0\n")
    file = MetricsFile(path, before_step=10)
    assert rows(path) == ["epoch,step,train/loss", "0,9,0.5"]
    file.add(19, {"epoch": 0, "val/loss": 1.0})
    assert rows(path) == ["epoch,step,train/loss,val/loss", "0,9,0.5,", "0,19,,1.0"]


def test_a_new_run_starts_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("epoch,step,train/loss\n0,9,0.5\n")
    MetricsFile(path)
    assert rows(path) == ["epoch,step"]
    assert not list(tmp_path.glob(".*"))
