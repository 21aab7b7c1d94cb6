"""YAML files as people write them: read with errors that say where, and no surprises."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from gym_multisim.errors import ConfigError, nearest_name


class _Loader(yaml.SafeLoader):
    """YAML as people mean it: ``3e-4`` is a number, and a key that stands twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag.endswith(":merge"):
                continue
            if key_node.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key_node.value!r} stands here a second time",
                    problem_mark=key_node.start_mark,
                )
            seen.add(key_node.value)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def read_config_file(path: Path) -> str:
    """Return the text of a config.

    Raises:
        ConfigError: It cannot be read; names the nearest file that can.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"There is no config file {str(path)!r}.{_nearest_file(path)}") from None
    except IsADirectoryError:
        raise ConfigError(f"{str(path)!r} is a folder: expected a YAML file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The config file {str(path)!r} cannot be read: {error}.") from error


def _nearest_file(path: Path) -> str:
    """Return a hint at an existing config with a similar name, here or in ``configs``."""
    folders = {path.parent, Path("configs")}
    files = [file for folder in folders for file in (*folder.glob("*.yaml"), *folder.glob("*.yml"))]
    by_stem = {file.stem: file for file in files}
    hint = nearest_name(path.stem, by_stem)
    for stem, file in by_stem.items():
        if repr(stem) in hint:
            return f" Did you mean {str(file)!r}?"
    return f" There are: {', '.join(map(str, sorted(files)))}." if files else ""


def parse_yaml(text: str, origin: str) -> Any:
    """Return what YAML says.

    Args:
        text: The YAML.
        origin: Where it comes from, for messages.

    Raises:
        ConfigError: It is not valid; names line and column.
    """
    try:
        return yaml.load(text, _Loader)  # the loader is a safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise ConfigError(f"{origin}{where}: not valid YAML: {error.problem}.") from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise ConfigError(f"{origin}: not valid YAML: {error}.") from error
