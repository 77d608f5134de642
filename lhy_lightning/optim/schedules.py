"""Learning rate schedule: warm-up, then constant, cosine, linear, inverse square root or in drops. One function."""

from __future__ import annotations

from functools import partial
from math import cos, pi, sqrt

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

SCHEDULES = ("constant", "cosine", "linear", "step", "annealed", "inverse_sqrt", "noam")
ENDLESS = ("constant", "inverse_sqrt", "noam")


def learning_rate_factor(
    step: int,
    *,
    schedule: str,
    total_steps: float,
    warmup_steps: int = 0,
    final_factor: float = 0.0,
    decay_start: float = 0.0,
    drops: tuple[float, ...] = (0.5, 0.75),
    drop_factor: float = 0.1,
) -> float:
    """What the learning rate is multiplied by at `step`, counted from 0.

    Warm-up is linear, (step + 1) / (warmup_steps + 1): no step is lost on a rate of zero. After it, with p the share
    done of the steps that remain, or of those after `decay_start`, before which p is 0:
        constant: 1
        cosine: final + (1 - final) (1 + cos(pi p)) / 2   (Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983)
        linear: 1 - (1 - final) p
        annealed: (1 + 10 p)^-0.75   (Ganin and Lempitsky 2015, https://arxiv.org/abs/1409.7495, section 4)
        step: drop_factor for each share of *all* steps in `drops` that is passed (He et al. 2015: 0.5 and 0.75)
        inverse_sqrt: with n = step + 1 and w = warmup_steps, min(n / w, sqrt(w / n)): linear to the peak, then down
        noam: the same curve in the units of Vaswani et al. 2017 (https://arxiv.org/abs/1706.03762), section 5.3:
            min(n^-0.5, n w^-1.5); their width^-0.5 belongs into the rate that it multiplies

    Args:
        step: optimizer steps done.
        schedule: one of the names.
        total_steps: steps of the whole run; may be infinite where nothing ends: constant, inverse_sqrt, noam.
        warmup_steps: steps of the warm-up.
        final_factor: where cosine and linear end.
        decay_start: share of *all* steps at which cosine and linear begin to fall: 0.5 in CycleGAN.
        drops: shares of the run, for "step".
        drop_factor: what each drop multiplies by.
    """
    if schedule in ("inverse_sqrt", "noam"):
        taken, peak = step + 1, max(1, warmup_steps)
        factor = min(taken / peak, sqrt(peak / taken))
        return factor if schedule == "inverse_sqrt" else factor / sqrt(peak)
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    if schedule == "constant":
        return 1.0
    if schedule == "step":
        return drop_factor ** sum(step >= share * total_steps for share in drops)
    start = max(float(warmup_steps), decay_start * total_steps)
    progress = min(1.0, max(0.0, step - start) / max(1.0, total_steps - start))
    if schedule == "annealed":
        return annealed_rate(progress)
    if schedule == "linear":
        return 1 - (1 - final_factor) * progress
    return final_factor + (1 - final_factor) * (1 + cos(pi * progress)) / 2


def annealed_rate(progress: float, *, alpha: float = 10.0, beta: float = 0.75) -> float:
    """(1 + α p)^-β: the factor on the first learning rate in Ganin and Lempitsky 2015, section 4.

    Raises:
        ValueError: progress outside 0 … 1.
    """
    check_progress(progress)
    return float((1 + alpha * progress) ** -beta)


def check_progress(progress: float) -> None:
    """Refuses what is no share of a run.

    Raises:
        ValueError: progress outside 0 … 1.
    """
    if not 0 <= progress <= 1:
        raise ValueError(f"progress is the share of training that is done, 0 to 1, not {progress}")


def build_schedule(
    optimizer: Optimizer,
    schedule: str = "constant",
    *,
    total_steps: float,
    warmup_steps: int = 0,
    final_factor: float = 0.0,
    decay_start: float = 0.0,
    drops: tuple[float, ...] = (0.5, 0.75),
    drop_factor: float = 0.1,
) -> LambdaLR:
    """A scheduler that multiplies every group's own rate by `learning_rate_factor`; step it once a step.

    Its checkpoint holds the step count alone, so a resumed run that is asked for more epochs follows the longer curve.

    Raises:
        ValueError: no schedule of this name, a decay without an end, or one that starts after it.

    Example:
        >>> import torch
        >>> from lhy_lightning import build_schedule
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> schedule = build_schedule(optimizer, "linear", total_steps=10, warmup_steps=2)
        >>> schedule.get_last_lr()
        [0.3333333333333333]
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is one of {', '.join(SCHEDULES)}, not {schedule!r}")
    if not 0 <= decay_start < 1:
        raise ValueError(f"decay_start={decay_start}: a share of the steps in [0, 1).")
    if total_steps == float("inf") and schedule not in ENDLESS:
        raise ValueError(f"the {schedule} schedule needs an end: give the trainer max_epochs or max_steps")
    factor = partial(
        learning_rate_factor,
        schedule=schedule,
        total_steps=total_steps,
        warmup_steps=warmup_steps,
        final_factor=final_factor,
        decay_start=decay_start,
        drops=tuple(drops),
        drop_factor=drop_factor,
    )
    return LambdaLR(optimizer, factor)
