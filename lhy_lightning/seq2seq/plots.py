"""Pictures of a translator at work: attention of a few validation sentences, and what they were translated to."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from matplotlib.figure import Figure

from lhy_lightning.callbacks.images import save_picture
from lhy_lightning.core.atomic_files import atomic_write
from lhy_lightning.training.run_directory import leaves_files, run_directory


def translation_attention_figure(rows: Sequence[tuple[np.ndarray, list[str], list[str]]]) -> Figure:
    """One heat map for each sentence: target tokens down, source tokens across.

    Args:
        rows: attention (T, S), the target's T tokens, the source's S tokens.

    Example:
        >>> import numpy as np
        >>> from lhy_lightning import translation_attention_figure
        >>> figure = translation_attention_figure([(np.eye(2), ["a", "b"], ["c", "d"])])
        >>> type(figure).__name__
        'Figure'
    """
    widths = [max(2.5, 0.28 * len(source)) for _, _, source in rows]
    heights = [max(2.5, 0.28 * len(target)) for _, target, _ in rows]
    figure = Figure(figsize=(sum(widths) + 1.2 * len(rows), max(heights) + 1), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(rows), gridspec_kw={"width_ratios": widths}))
    for axis, (weights, target, source) in zip(axes, rows, strict=True):
        axis.imshow(weights, cmap="Greys", vmin=0, vmax=1, aspect="auto")
        axis.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axis.set_yticks(range(len(target)), target, fontsize=8)
        axis.set_xlabel("source")
    axes[0].set_ylabel("translation")
    return figure


class TranslationPictures(Callback):
    """`samples/attention.png` and `samples/translations.txt` of the first validation sentences.

    Args:
        sentences: how many to translate; the first three are drawn.
    """

    def __init__(self, sentences: int = 12) -> None:
        self.sentences = sentences

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = getattr(trainer, "datamodule", None)
        if not leaves_files(trainer) or data is None:
            return
        module: Any = pl_module
        sources, references = data.sources("val")[: self.sentences], data.references("val")
        found = [best[0] for best in module.translate(sources, beam=module.val_beam_size, attention=True)]
        text = "".join(
            f"{source}\n    {best.text}\n    {references[row] if references else ''}  (reference)\n"
            for row, (source, best) in enumerate(zip(sources, found, strict=True))
        )
        atomic_write(run_directory(trainer) / "samples" / "translations.txt", text)
        drawn = []
        for best in found[:3]:
            if best.attention is not None and best.attention.numel():
                drawn.append((best.attention.float().cpu().numpy(), best.tokens, best.source_tokens))
        if drawn:
            save_picture(trainer, "attention", translation_attention_figure(drawn))
