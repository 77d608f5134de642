"""What is said of pictures without labels where labels are needed: what was found, and how labels are given."""

from pathlib import Path

from lhy_lightning.core.messages import first_of
from lhy_lightning.data.images.reading.folder_tree import list_pictures
from lhy_lightning.data.images.reading.image_sources import LABEL_COLUMNS
from lhy_lightning.data.sources.folders import subfolders
from lhy_lightning.data.sources.tables import TABLES, read_table

CLASS_FOLDERS = "put the pictures of each class in a folder named after it ({0}/cat/, {0}/dog/)"


def missing_labels(source: str, label_column: str | None) -> str:
    """One sentence on the training pictures of `source`, which have no labels: where they lie, and what to do."""
    path = Path(source).expanduser()
    if path.is_dir():
        return f"--data.source {source}: {_of_folder(path)}"
    name = path.name.removesuffix(".gz")
    if path.is_file() and Path(name).suffix.lower() in TABLES:
        columns = read_table(path).column_names
        empty = next((column for column in (label_column, *LABEL_COLUMNS) if column in columns), None)
        if empty is not None:
            return f"--data.source {source}: column {empty!r} is empty in all rows; fill it in."
        return (
            f"--data.source {source}: its columns are {', '.join(columns)}; name the one that holds them "
            "by --data.label_column, or add a column `label`."
        )
    if path.is_file():
        return (
            f"--data.source {source}: an array holds pictures alone; {CLASS_FOLDERS.format('photos')}, "
            "or give a parquet or csv table with a column `label`."
        )
    return f"--data.source {source}: name the column that holds them by --data.label_column."


def _of_folder(folder: Path) -> str:
    inside = {child.name: child for child in subfolders(folder) if list_pictures(child)}
    if not inside:
        return f"its {len(list_pictures(folder)):,} pictures lie in one folder; {CLASS_FOLDERS.format(folder)}."
    deeper = [
        (child, classes)
        for child in inside.values()
        if len(classes := [inner.name for inner in subfolders(child) if list_pictures(inner)]) > 1
    ]
    if len(deeper) == 1:
        child, classes = deeper[0]
        return f"the class folders ({first_of(classes, 5)}) lie one level lower: give --data.source {child}."
    if len(inside) == 1:
        [name] = inside
        return (
            f"it holds one class folder ({name}), and a classifier tells at least two apart; "
            f"{CLASS_FOLDERS.format(folder)}."
        )
    return f"it has the folders {', '.join([*inside][:6])}; {CLASS_FOLDERS.format(folder)}."
