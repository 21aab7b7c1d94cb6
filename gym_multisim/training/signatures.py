"""Options that are given by name, checked against the function or class that will take them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from gym_multisim.errors import nearest_name


def signature_problems(
    function: Any, options: Mapping[str, Any], hidden: Sequence[str] = ()
) -> Iterator[tuple[str, str]]:
    """Yield (name, what is wrong) for options that a function does not take, or misses.

    Args:
        function: A function or class. What it does not name but takes as ``**kwargs`` is its
            own to check.
        options: Keyword arguments for it.
        hidden: Parameters that are not the user's to give.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    known = {it.name: it for it in parameters if it.kind in named and it.name not in hidden}
    takes_any = any(it.kind is inspect.Parameter.VAR_KEYWORD for it in parameters)
    for name, value in options.items():
        if name not in known and not takes_any:
            hint, names = nearest_name(name, known), ", ".join(known) or "none"
            yield name, f" is no option (its value: {shown(value)}).{hint} Known here: {names}."
    for name, parameter in known.items():
        if parameter.default is inspect.Parameter.empty and name not in options:
            yield name, " is missing."


def shown(value: Any) -> str:
    """Return a value as it stands in YAML, on one short line."""
    try:
        text = str(yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True))
    except yaml.YAMLError:  # not from a file: a Python object
        text = repr(value)
    text = text.removesuffix("...\n").strip()
    return text if len(text) <= 60 else f"{text[:57]}…"
