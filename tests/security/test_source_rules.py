"""Whatever can run code from a file is called in the functions that hold the rule, and nowhere else in the package."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import lhy_lightning

PACKAGE = Path(lhy_lightning.__file__).parent

ALLOWED = {
    ("__init__.py", "__getattr__", "import_module"): "public names, from a table in the source",
    ("core/trusted_classes.py", "find_class", "import_module"): "the rule: our modules and Lightning's alone",
    ("cli/user_modules.py", "import_for_user", "import_module"): "the user's own word, by --import",
    ("cli/user_modules.py", "import_named_classes", "import_module"): "the user's own word, in a recipe or a flag",
    ("core/plain_files.py", "load_plain", "torch.load"): "the rule: weights_only",
    ("cli/settings_file.py", "read_settings", "yaml.load"): "by a subclass of SafeLoader, which makes no objects",
    (
        "data/images/reading/image_files.py",
        "open_image",
        "Image.open",
    ): "the rule: formats of the endings that folders list",
}
"""File, function and call that hold a rule or are outside it, and why."""

SAFE_YAML = {
    "safe_load", "safe_load_all", "safe_dump", "safe_dump_all", "dump", "SafeLoader", "MappingNode", "ScalarNode",
    "constructor",
}  # fmt: skip
NEVER = {
    "import_module", "importlib.import_module", "Image.open",
    "PIL.Image.open", "torch.load", "torch.hub.load", "pickle.load", "pickle.loads", "Unpickler", "dill.load",
    "joblib.load", "cloudpickle.load", "marshal.loads", "shelve.open", "os.system", "os.popen", "runpy.run_path",
    "spec_from_file_location", "pd.read_pickle", "trust_remote_code",
}  # fmt: skip


def dotted(node: ast.expr) -> str:
    """`torch.load` of the expression; nothing of one that is no name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else node.attr
    return ""


def calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.expr, ast.Call | None]]:
    """Every name and attribute of a module: the function it stands in, itself, and its call where it is called."""
    called = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}

    def inside(node: ast.AST, function: str) -> Iterator[tuple[str, ast.expr, ast.Call | None]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Name | ast.Attribute):
                yield function, child, called.get(id(child))
            within = child.name if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) else function
            yield from inside(child, within)

    yield from inside(tree, function)


def keyword(call: ast.Call | None, name: str) -> object:
    """The constant that a call gives as an argument by name."""
    given = [] if call is None else [word.value for word in call.keywords if word.arg == name]
    return given[0].value if given and isinstance(given[0], ast.Constant) else None


BUILTINS = {"eval", "exec", "compile", "__import__"}


def wrong(node: ast.expr, call: ast.Call | None) -> str | None:
    """What a use of a name is called in `ALLOWED`, where it could run code; None of one that could not."""
    name = dotted(node)
    if isinstance(node, ast.Name) and name in BUILTINS and call is not None:
        return name
    last = name.rpartition(".")[2]
    if name in NEVER or (last in ("import_module", "Unpickler", "spec_from_file_location")):
        return name.removeprefix("importlib.").removeprefix("PIL.")
    if name in ("np.load", "numpy.load", "np.fromfile") and keyword(call, "allow_pickle") is not False:
        return "np.load without allow_pickle=False"
    if name.startswith("yaml.") and last not in SAFE_YAML and not last.endswith("Error"):
        return name
    if last == "from_pretrained" and call is not None and "Auto" in name:
        return "from_pretrained not by `loaded`"
    if name in ("subprocess.run", "subprocess.Popen", "subprocess.call") and keyword(call, "shell"):
        return "a shell"
    return None


def found_in(source: str) -> list[tuple[str, str]]:
    """(function, use) of all that could run code."""
    if not SUSPECT.search(source):
        return []
    found = []
    for function, node, call in calls(ast.parse(source)):
        if (use := wrong(node, call)) is not None:
            found.append((function, use))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("pickle", "PIL.Image", "torch", "yaml"):
            found += [("", f"from {node.module} import {name.name}") for name in node.names if name.name in TAKEN_BARE]
    return found


TAKEN_BARE = {"load", "loads", "open", "full_load", "unsafe_load"}
WORDS = {*NEVER, "np.load", "numpy.load", "fromfile", "yaml.", "from_pretrained", "shell", "from pickle", "from yaml"}
SUSPECT = re.compile(
    rf"(?<![.\w])({'|'.join(BUILTINS)})\(|from torch import .*load|from PIL.Image|"
    + "|".join(map(re.escape, sorted(WORDS)))
)
"""Sources without any of these words need not be parsed."""


def test_what_can_run_code_stands_in_the_functions_that_hold_the_rule() -> None:
    used = {
        (str(path.relative_to(PACKAGE)), function, use)
        for path in sorted(PACKAGE.rglob("*.py"))
        for function, use in found_in(path.read_text("utf8"))
    }
    assert used - set(ALLOWED) == set(), "give it to the function that holds the rule, or say here why it is safe"
    assert set(ALLOWED) - used == set(), "these are gone: take them out of the list"


def test_networks_of_transformers_are_loaded_in_one_place() -> None:
    """`kind.from_pretrained` is handed to `loaded`, which never trusts code beside the weights; it is not called."""
    handed = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text("utf8")
        for _, node, call in calls(ast.parse(source)) if "from_pretrained" in source else ():
            if isinstance(node, ast.Attribute) and node.attr == "from_pretrained":
                owner = node.value.func if isinstance(node.value, ast.Call) else node.value
                own = dotted(owner) in ("EncoderTokenizer", "super", "cls")
                assert call is None or own, f"{path}:{node.lineno}"
                handed += [] if own else [path.name]
    assert sorted(handed) == [
        "backbone.py",
        "backbone.py",
        "encoder.py",
        "encoder.py",
        "encoder_tokenizer.py",
        "saved_encoder.py",
    ]


@pytest.mark.parametrize(
    "source",
    [
        "Image.open(path)", "PIL.Image.open(path)", "torch.load(path, weights_only=True)", "import_module(name)",
        "importlib.import_module(name)", "__import__(name)", "pickle.loads(text)", "np.load(path)",
        "np.load(path, allow_pickle=True)", "yaml.load(text, yaml.Loader)", "yaml.full_load(text)", "eval(text)",
        "AutoModel.from_pretrained(name)", "transformers.AutoConfig.from_pretrained(name)", "os.system(text)",
        "subprocess.run(text, shell=True)", "opened = Image.open", "from pickle import loads",
        "from PIL.Image import open", "trust_remote_code",
    ],
)  # fmt: skip
def test_a_new_use_is_found(source: str) -> None:
    assert found_in(f"def function():\n    {source}\n")


@pytest.mark.parametrize("source", ["np.load(path, allow_pickle=False)", "yaml.safe_load(text)", "network.eval()"])
def test_a_safe_use_is_not(source: str) -> None:
    assert not found_in(f"def function():\n    {source}\n")
