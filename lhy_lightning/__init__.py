"""The deep learning topics of Hung-yi Lee's course in PyTorch Lightning.

Public names are loaded when they are first used (PEP 562), so that `import lhy_lightning` imports neither torch nor
Lightning and `lhy --help` answers at once. They stand in `__init__.pyi`, one a line, and nowhere else: a new one is a
line there. No other address is promised, as files may move.
"""

from importlib import import_module

__version__ = "0.1.0"

# Read here rather than by lazy-loader, whose parser takes 1.5 ms where these lines take .1.
with open(f"{__file__}i", encoding="utf-8") as _stub:
    _PUBLIC = {line.split()[-1]: __name__ + line.split()[1] for line in _stub if line.startswith("from .")}

__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
