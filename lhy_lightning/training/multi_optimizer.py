"""Several networks that train each other, each with its own optimizer: the base of every adversarial module."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import Optimizer

from lhy_lightning.core.arguments.ranges import COUNT, ranges
from lhy_lightning.core.distributed import share_buffers
from lhy_lightning.optim import build_optimizer, build_schedule, parameter_groups
from lhy_lightning.optim.schedules import ENDLESS
from lhy_lightning.training.module import CourseModule
from lhy_lightning.training.single_optimizer import OptimizerSettings, ScheduleSettings
from lhy_lightning.training.step_counting import StepsByGroup, check_trainer


class MultiOptimizerModule(CourseModule):
    """Base of modules whose networks have optimizers of their own; `training_step` reads like an algorithm box:

        def networks(self):
            return {"discriminator": self.discriminator, "generator": self.generator}

        def configure_optimizers(self):
            return self.optimizers_and_schedules({"discriminator": {"lr": 4e-4}, "generator": {"lr": 1e-4}})

        def training_step(self, batch, batch_idx):
            with self.toggled("discriminator"):
                self.backward_and_step("discriminator", discriminator_loss)
            if self.every_n_steps(self.n_critic):
                with self.toggled("generator"):
                    self.backward_and_step("generator", generator_loss)
            self.log_losses({"discriminator_loss": discriminator_loss, ...})

    One *step* is one update of the first network: a batch, or a group of `accumulate` batches, of which an epoch's
    last may be smaller. `trainer.global_step`, `max_steps`, schedules, loggers and checkpoints count these. A step
    that a gradient scaler skips counts too. It runs on one device or under DDP, in every precision.

    Args:
        accumulate: batches whose gradients are averaged for one step of any network. The first network steps before
            the others' last backward: a group is nearly, not quite, one large batch to them.
        clip: largest gradient norm of each network by its name, None disables clipping. The subclass's arguments are
            called `<name>_clip`.

    Raises:
        ValueError: numbers below those that make sense.
    """

    argument_ranges = ranges(accumulate=COUNT)

    def __init__(self, *, accumulate: int = 1, clip: Mapping[str, float | None] | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        if accumulate < 1:
            raise ValueError(f"accumulate={accumulate}: a step takes at least 1 batch.")
        for name, norm in (clip or {}).items():
            if norm is not None and norm <= 0:
                raise ValueError(f"{name}_clip={norm}: must be above 0, or None for no clipping.")
        self.accumulate, self.clip = accumulate, dict(clip or {})
        self._trained: dict[str, list[nn.Parameter]] = {}
        self._gathered: dict[str, int] = {}  # batches whose gradients a network holds
        self._toggled: list[str] = []  # changed in place: setting an attribute of a module costs 10 µs
        self._last_figures: dict[str, Tensor] = {}

    # --- what a subclass says ----------------------------------------------------------------------------------------

    def networks(self) -> Mapping[str, nn.Module | Sequence[nn.Module]]:
        """The networks (or lists of them) that one optimizer each trains, the one first whose updates are the steps."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its `networks()` are")

    def on_network_step(self, name: str) -> None:
        """Called after an optimizer step of network `name`, for averaged weights and the like.

        A step that the gradient scaler skipped left the weights as they were; it is called nevertheless, as asking
        would make the CPU wait for the GPU.
        """

    def optimizers_and_schedules(
        self, optimizers: Mapping[str, Mapping[str, Any]], schedules: Mapping[str, Mapping[str, Any]] | None = None
    ) -> list[dict[str, Any]]:
        """What `configure_optimizers` returns. All schedules count the module's steps, whichever networks stepped.

        Args:
            optimizers: for each network the numbers of `build_optimizer`: `name`, `lr`, `betas` ...
            schedules: for each network the numbers of `build_schedule` but for `total_steps`; constant if left out.
        """
        networks = self.networks()
        if set(optimizers) != set(networks):
            raise ValueError(f"optimizers are for {', '.join(optimizers)}; the networks are {', '.join(networks)}")
        configured = []
        for name, network in networks.items():
            numbers, plan = {"lr": 1e-3, "weight_decay": 0.0, **optimizers[name]}, (schedules or {}).get(name, {})
            whole = network if isinstance(network, nn.Module) else nn.ModuleList(network)
            groups = parameter_groups(whole, numbers["lr"], numbers["weight_decay"])
            if not numbers["weight_decay"]:  # one group is one fused call
                groups = [{"params": [parameter for group in groups for parameter in group["params"]]}]
            optimizer = build_optimizer(groups, **numbers)
            endless = plan.get("schedule", "constant") in ENDLESS  # asking for the end would load the data now
            steps = float("inf") if endless else self.trainer.estimated_stepping_batches
            schedule = build_schedule(optimizer, total_steps=steps, **plan)
            configured.append({"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}})
        return configured

    def same_optimizers(
        self, rates: Mapping[str, float], optimizer: OptimizerSettings, schedule: ScheduleSettings
    ) -> list[dict[str, Any]]:
        """`optimizers_and_schedules` of networks whose optimizers differ in nothing but their rates."""
        optimizers = {name: {**asdict(optimizer), "lr": rate} for name, rate in rates.items()}
        return self.optimizers_and_schedules(optimizers, dict.fromkeys(rates, asdict(schedule)))

    # --- a training step ---------------------------------------------------------------------------------------------

    def every_n_steps(self, n: int) -> bool:
        """Returns whether the current step is every `n`-th one; the same for all batches of a group."""
        return (self.trainer.global_step + 1) % n == 0

    @property
    def completes_step(self) -> bool:
        """Whether the batch under way is the last of its group."""
        return not self.trainer.fit_loop.epoch_loop._should_accumulate()

    @property
    def batch_in_group(self) -> int:
        """The place of the batch under way in its group, counted from 1."""
        return (self.trainer.fit_loop.epoch_loop.batch_progress.current.ready - 1) % self.accumulate + 1

    @contextmanager
    def toggled(self, *names: str) -> Iterator[None]:
        """Builds the graph for a step of network `name` (or of several): no other network takes a gradient in it.

        What was computed before keeps its graph: pictures that the generator drew outside go detached into the
        discriminator's step and as they are into the generator's.
        """
        updated = {id(parameter) for name in names for parameter in self._parameters_of(name)}
        frozen = [
            parameter
            for parameters in self._trained.values()
            for parameter in parameters
            if parameter.requires_grad and id(parameter) not in updated
        ]
        for parameter in frozen:
            parameter.requires_grad_(False)
        self._toggled[:] = names
        try:
            yield
        finally:
            self._toggled.clear()
            for parameter in frozen:
                parameter.requires_grad_(True)

    def backward_and_step(self, names: str | tuple[str, ...], loss: Tensor) -> None:
        """Backward, and with the last batch of a group the optimizer's step: clipped, unscaled, gradients emptied.

        Args:
            names: the network that steps, or several that step on one loss; inside of `toggled` them.
            loss: scalar, the mean over this batch.

        Raises:
            RuntimeError: outside of `toggled`, or more often than once a batch with `accumulate` above 1.
        """
        names = (names,) if isinstance(names, str) else names
        if not set(names) <= set(self._toggled):
            raise RuntimeError(
                f"backward_and_step({', '.join(map(repr, names))}) stands outside of `with self.toggled(...)` of that "
                "network: other networks would take gradients too."
            )
        for name in names:
            self._gathered[name] = self._gathered.get(name, 0) + 1
            if self._gathered[name] > self.batch_in_group:
                raise RuntimeError(f"with accumulate={self.accumulate} the {name} can step once a batch, not twice.")
            if self.gradient_scaler is None:
                self.finite_losses.see_loss(name, loss, self.trainer.global_step + 1)
        completes = self.completes_step
        strategy = self.trainer.strategy
        wait = nullcontext() if completes or not isinstance(strategy, DDPStrategy) else strategy.block_backward_sync()
        with wait:  # gradients are averaged over ranks once a step, with its last batch
            self.manual_backward(loss / self.accumulate if self.accumulate > 1 else loss)
        if completes:
            for name in names:
                self._finish(name)

    def _finish(self, name: str) -> None:
        """The optimizer step of one network on the gradients of a whole group."""
        batches = self._gathered.pop(name)
        if batches < self.accumulate:  # each went backward divided by `accumulate`
            torch._foreach_mul_(self._gradients(name), self.accumulate / batches)
        optimizer, scaler = self._optimizer_of(name), self.gradient_scaler
        if scaler is None:
            optimizer.step()
        else:
            one = torch.ones((), device=self.device)
            before = scaler.scale(one)
            optimizer.step()
            after = scaler.scale(one)
            self.finite_losses.see_scaled_step(name, after < before, self.trainer.global_step + 1)
            # what other networks are still gathering was scaled by the scale of before
            for other in self._gathered:
                if gradients := self._gradients(other):
                    torch._foreach_mul_(gradients, after / before)
        optimizer.zero_grad(set_to_none=True)
        self.on_network_step(name)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        # Lightning has unscaled the gradients, but for optimizers that can do so inside of their step: those still
        # skip a step without asking the device whether to.
        scaler = self.gradient_scaler
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)
        name = next(n for n, own in zip(self.networks(), self.trainer.optimizers, strict=True) if own is optimizer)
        if (norm := self.clip.get(name)) is not None:
            nn.utils.clip_grad_norm_(self._parameters_of(name), norm)

    def log_losses(self, figures: Mapping[str, Tensor]) -> None:
        """Logs scalars as `train/<name>`, on the steps that the loggers take: it costs .5 ms.

        Of a group their mean is logged; of what this step has none, such as a loss of a network whose turn it is not,
        the last value: Lightning would repeat it anyway, but not after a resume.
        """
        place = self.batch_in_group
        for name, value in figures.items():
            last, value = self._last_figures.get(f"train/{name}"), value.detach().float()
            self._last_figures[f"train/{name}"] = value if last is None or place == 1 else last.lerp(value, 1 / place)
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.trainer.global_step == 0 or (every and self.every_n_steps(every)):
            self.log_dict(self._last_figures, prog_bar=True)

    def _after_step(self) -> None:
        """Called by the loop when a step is counted, before any callback could save a checkpoint."""
        share_buffers(self.trainer.strategy.model)
        for config in self.trainer.lr_scheduler_configs:
            config.scheduler.step()  # type: ignore[call-arg]

    def cures(self, name: str) -> str:
        rate = next((rate for rate in (f"{name}_lr", "lr") if self.hparams.get(rate) is not None), None)
        slower = f"lower {'its' if name else 'the'} learning rate"
        slower += f" (--model.{rate}, now {self.hparams[rate]})" if rate else ""
        clips = [f"--model.{own}_clip" for own in self.clip if name in ("", own)]
        return slower + (f", clip gradients ({' or '.join(clips)})" if clips else "")

    def _optimizer_of(self, name: str) -> LightningOptimizer:
        optimizers = self.optimizers()
        several = optimizers if isinstance(optimizers, list) else [optimizers]
        found = several[list(self.networks()).index(name)]
        assert isinstance(found, LightningOptimizer)
        return found

    def _parameters_of(self, name: str) -> list[nn.Parameter]:
        if not self._trained:
            for known, network in self.networks().items():
                modules = [network] if isinstance(network, nn.Module) else network
                self._trained[known] = [parameter for module in modules for parameter in module.parameters()]
        if name not in self._trained:
            raise ValueError(f"there is no network {name!r}, only {', '.join(self._trained)}")
        return self._trained[name]

    def _gradients(self, name: str) -> list[Tensor]:
        return [parameter.grad for parameter in self._parameters_of(name) if parameter.grad is not None]

    # --- the run -----------------------------------------------------------------------------------------------------

    def configure_callbacks(self) -> list[Callback]:
        # The first hook of a fit, before Lightning looks at the Trainer's arguments. A subclass adds to the list.
        if self.trainer.state.fn == TrainerFn.FITTING:
            check_trainer(self.trainer, [f"{name}_clip" for name in self.clip])
        return super().configure_callbacks()

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if stage != "fit":
            return
        self._trained, self._gathered, self._last_figures = {}, {}, {}
        StepsByGroup.install(self.trainer, self._after_step, self.accumulate)
        if isinstance(self.trainer.strategy, DDPStrategy):  # each backward goes through some of the networks only
            self.trainer.strategy._ddp_kwargs["find_unused_parameters"] = True
        # A network that waits for its turn, or whose first step was skipped, has a schedule that goes on.
        warnings.filterwarnings("ignore", r"Detected call of `lr_scheduler.step\(\)` before `optimizer.step\(\)`")

    def teardown(self, stage: str) -> None:
        super().teardown(stage)
        if stage == "fit":
            StepsByGroup.uninstall(self.trainer)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["last_figures"] = {name: float(value) for name, value in self._last_figures.items()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        figures = checkpoint.get("last_figures", {})
        self._last_figures = {name: torch.tensor(value, device=self.device) for name, value in figures.items()}
