"""Packages that only some settings need, and the extra of this package that installs each."""

from importlib.util import find_spec

EXTRAS = {"cv2": ("OpenCV", "edges"), "peft": ("PEFT", "lora"), "wandb": ("Weights & Biases", "wandb")}
"""Modules that `pyproject.toml` names under an extra: what people call the package, and the extra."""


def need(module: str, setting: str) -> None:
    """Called before a module of `EXTRAS` is imported.

    Args:
        module: the one to be imported.
        setting: what asks for it, for the message.

    Raises:
        ModuleNotFoundError: it is not installed; names the extra.
    """
    package, extra = EXTRAS[module]
    if find_spec(module) is None:
        raise ModuleNotFoundError(f'{setting} needs {package}: pip install "lhy-lightning[{extra}]"')
