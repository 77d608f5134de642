"""The notebooks run from the first cell to the last, and are committed with their pictures."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")
jupyter_client = pytest.importorskip("jupyter_client")
nbclient = pytest.importorskip("nbclient")

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])


def outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def pictures(notebook: Any) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One process for all notebooks, each with empty variables: importing the package takes as long as most of them."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LHY_NOTEBOOK_QUICK", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # two threads on a busy machine wait for each other for minutes
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        patch.setenv("TMPDIR", str(folder))
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))))
        manager, client = jupyter_client.manager.start_new_kernel(kernel_name="python3", startup_timeout=240)
    client.stop_channels()
    yield manager
    manager.shutdown_kernel(now=True)


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@every_notebook
def test_notebook_is_committed_with_its_outputs_and_nothing_of_the_machine(path: Path) -> None:
    text = path.read_text(encoding="utf8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run all cells, top to bottom"
    assert pictures(notebook) >= 5
    assert not [
        output for output in outputs(notebook) if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert not [word for word in ("/home/", "/tmp/", "/Users/", "site-packages", str(ROOT)) if word in text]
    assert len(text) < 1_000_000


@every_notebook
def test_notebook_runs(path: Path, tmp_path: Path, kernel: Any) -> None:
    notebook = nbformat.read(path, as_version=4)
    committed = pictures(notebook)
    fresh = f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})\ndel os"
    notebook.cells.insert(0, nbformat.v4.new_code_cell(fresh))
    nbclient.NotebookClient(notebook, km=kernel, timeout=240).execute()  # raises on an error
    assert pictures(notebook) == committed
