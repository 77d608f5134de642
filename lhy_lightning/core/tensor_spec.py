"""What a tensor of a batch is, written where its name is: `Annotated[Tensor, Spec("N C H W", float32)]`."""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Spec:
    """Axes, dtype and values of one tensor of a batch.

    Attributes:
        axes: a letter for each axis; within a batch the same letter is the same size.
        dtype: the only one, or those of which it has one.
        within: least and greatest value.
    """

    axes: str
    dtype: torch.dtype | tuple[torch.dtype, ...]
    within: tuple[float, float] | None = None

    @property
    def letters(self) -> list[str]:
        """The axes one by one."""
        return self.axes.split()

    @property
    def dtypes(self) -> tuple[torch.dtype, ...]:
        """All dtypes that it may have."""
        return self.dtype if isinstance(self.dtype, tuple) else (self.dtype,)

    def __str__(self) -> str:
        shape = f"({', '.join(self.letters)}{',' if len(self.letters) == 1 else ''})"
        dtypes = " or ".join(dtype_name(dtype) for dtype in self.dtypes)
        return f"{shape} {dtypes}" + (f" in [{self.within[0]:g}, {self.within[1]:g}]" if self.within else "")


def dtype_name(dtype: torch.dtype) -> str:
    """`float32` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")
