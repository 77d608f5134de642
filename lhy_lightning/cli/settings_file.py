"""YAML files of settings, recipes and the `config.yaml` of run folders; every fault is one line with its place."""

from pathlib import Path
from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, but for a name that stands twice: PyYAML takes the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} stands twice; the first one would be left out", key.start_mark
                    )
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def read_settings(path: str | Path) -> dict[str, Any]:
    """Reads the settings of a YAML file; empty where the file holds none.

    Raises:
        ValueError: the file is no YAML, is not UTF-8, or holds something else than settings by name.
    """
    path = Path(path)
    content = path.read_bytes()
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ValueError(f"{path} is UTF-16: save it as UTF-8.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{path}, line {line}: byte {content[error.start]:#x} is no UTF-8: save it as UTF-8."
        ) from error
    try:
        settings = yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        raise ValueError(f"{path}{place}: {problem_of(error, text)}.") from error
    except yaml.YAMLError as error:  # a character that no YAML file has
        raise ValueError(f"{path} is no YAML file ({str(error).splitlines()[0]}).") from error
    except (ValueError, RecursionError) as error:  # a date of month 13, brackets without end
        raise ValueError(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}.") from error
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        kind = "a list" if isinstance(settings, list) else f"{settings!r:.60}"
        raise ValueError(
            f"{path} holds {kind}; settings are lines `name: value`, as `lhy copy quickstart my.yaml` shows."
        )
    return settings


def problem_of(error: yaml.MarkedYAMLError, text: str) -> str:
    """What is wrong, in words that help where the usual slips are known."""
    said = str(error.problem or error.context or "not YAML")
    mark = error.problem_mark
    line = text.splitlines()[mark.line] if mark is not None and mark.line < len(text.splitlines()) else ""
    if "\\t" in said:
        return "a tab; indent by spaces"
    if said == "mapping values are not allowed here":
        return f"{said}: indent as the line above, one colon per line ({line.strip()[:60]})"
    if "could not find expected ':'" in said:
        return f"{said} after a name ({line.strip()[:60]})" if line.strip() else f"{said} in the line above"
    if "could not determine a constructor for the tag" in said:
        return f"{said}: settings are plain values"
    context = f", {error.context}" if error.context and error.context not in said else ""
    return f"{said}{context}"
