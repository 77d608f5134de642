"""What a run writes into its folder, by name: `--overwrite` clears these files and nothing else that lies there."""

import re
from pathlib import Path

FILES = (
    "config.yaml", "metrics.csv", "validate_metrics.csv", "test_metrics.csv", "predict_metrics.csv", "results.json",
    "curves.png", "wandb_id.txt", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/average.ckpt",
    "checkpoints/epoch-#.ckpt",
    # tables of tests
    "per_class.csv", "sample_scores.csv", "translation_scores.csv", "compression.csv", "pictures.lhy", "selection.csv",
    # predictions and what homeworks hand in
    "predictions.csv", "predictions.tsv", "predictions.json", "predict.csv", "predict_step.json", "answers.json",
    "submission.csv", "submission.txt", "result.csv", "codes.npy", "latents.npy", "images.tgz", "faces/#.jpg",
    "pictures/*.png", "a_to_b/*.png", "b_to_a/*.png",
    # pictures of a run
    "samples/translations.txt", "samples/attention.png", "samples/codebook.png", "samples/codes.png",
    "samples/compression.png", "samples/denoised.png", "samples/drawn.png", "samples/features_after.png",
    "samples/features_before.png", "samples/grid_#.png", "samples/heat_maps.png", "samples/interpolation.png",
    "samples/nearest.png", "samples/predicted.png", "samples/reconstructions.png", "samples/samples.png",
    "samples/test_confusion.png", "samples/test_predictions.png", "samples/val_confusion.png",
    "samples/val_predictions.png", "samples/translation_#.png", "samples/a_to_b_#.png", "samples/b_to_a_#.png",
)  # fmt: skip
"""Paths within a run folder; `#` stands for a number, `*` for any path below."""

_PATTERN = re.compile("|".join(re.escape(name).replace(r"\#", "[0-9]+").replace(r"\*", ".+") for name in FILES))


def is_written_by_runs(path: str) -> bool:
    """Whether a path within a run folder, with `/`, is that of a file that a run writes."""
    return _PATTERN.fullmatch(path) is not None


def clear_run(folder: Path) -> None:
    """Removes what an earlier run wrote into its folder, and folders that are empty then.

    The mean over folds that an earlier run was one of, `folds.csv` beside it, is removed too.
    """
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()) and path.relative_to(folder).parts[0] in _FOLDERS:
                path.rmdir()
        elif is_written_by_runs(path.relative_to(folder).as_posix()):
            path.unlink()
    if re.fullmatch("fold-[0-9]+", folder.name):
        (folder.parent / "folds.csv").unlink(missing_ok=True)


_FOLDERS = {name.partition("/")[0] for name in FILES if "/" in name}
