"""Optimizers, schedules and averaged weights that more than one topic uses. Plain torch, no Lightning."""

from lhy_lightning.optim.averaging import AveragedWeights
from lhy_lightning.optim.optimizers import build_optimizer, parameter_groups
from lhy_lightning.optim.schedules import build_schedule, learning_rate_factor

__all__ = ["AveragedWeights", "build_optimizer", "build_schedule", "learning_rate_factor", "parameter_groups"]
