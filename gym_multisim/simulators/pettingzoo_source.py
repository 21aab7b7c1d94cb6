"""Where PettingZoo environments come from: import paths, registry ids, functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import pettingzoo
from pettingzoo import AECEnv, ParallelEnv

from gym_multisim.errors import (
    ConfigError,
    MissingExtraError,
    nearest_name,
)

_HOW_TO_CONVERT = (
    "Convert it: pettingzoo.utils.aec_to_parallel(env) if all agents act at once in it, or "
    "pettingzoo.utils.conversions.turn_based_aec_to_parallel(env) if they take turns."
)


def made(make: Callable[..., Any], options: Mapping[str, Any], source: Any) -> Any:
    """Make one environment, and check that it is a ParallelEnv."""
    try:
        env = make(**options)
    except ImportError as error:
        raise _missing(source, error) from error
    if isinstance(env, AECEnv):
        raise ConfigError(
            f"env={source!r} makes {env}, an AECEnv, whose agents act one by one: expected a "
            f"ParallelEnv. {_HOW_TO_CONVERT}"
        )
    if not isinstance(env, ParallelEnv):
        raise ConfigError(
            f"env={source!r} makes a {type(env).__name__}: expected a pettingzoo.ParallelEnv. For "
            "a Gymnasium environment use the simulator 'gymnasium'."
        )
    return env


def find(source: str | Callable[..., Any]) -> Callable[..., Any]:
    """Return what makes the environments."""
    if not isinstance(source, str):
        return source
    if "/" in source:
        return _find_registered(source)
    name, _, attribute = source.partition(":")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"env={source!r}: there is no module {error.name!r}. Expected an import path such "
                "as 'package.module:function', a function, or a name in PettingZoo's registry "
                "such as 'sisl/pursuit_v5'."
            ) from error
        raise _missing(source, error) from error
    except (TypeError, ValueError) as error:  # an empty or relative name
        raise ConfigError(f"env={source!r}: expected an import path. {error}") from error
    make = getattr(module, attribute or "parallel_env", None)
    if callable(make):
        found: Callable[..., Any] = make
        return found
    if not attribute and callable(getattr(module, "env", None)):
        raise ConfigError(
            f"env={source!r}: this module has env(), which makes an AECEnv, but no "
            f"parallel_env(). {_HOW_TO_CONVERT}"
        )
    raise ConfigError(
        f"env={source!r}: the module {name!r} has no function {attribute or 'parallel_env'!r}."
        f"{nearest_name(attribute or 'parallel_env', vars(module))} Expected "
        "'package.module:function', or a module with parallel_env()."
    )


def _find_registered(source: str) -> Callable[..., Any]:
    make = getattr(pettingzoo, "make", None)
    if make is None:
        raise ConfigError(
            f"env={source!r}: this PettingZoo has no registry of environments. Give an import "
            "path, such as 'pettingzoo.sisl.pursuit_v5', or install pettingzoo>=1.27."
        )

    def make_registered(**options: Any) -> Any:
        from pettingzoo.env_registry.exceptions import FailedToImport, PettingZooRegistryError

        try:
            return make("parallel", source, **options)
        except FailedToImport as error:
            raise MissingExtraError(str(error)) from error
        except PettingZooRegistryError as error:
            raise ConfigError(
                f"env={source!r}: PettingZoo has no parallel environment of this name ({error}). "
                f"If there is an AECEnv of this name: {_HOW_TO_CONVERT}"
            ) from error

    return make_registered


def _missing(source: Any, error: ImportError) -> MissingExtraError:
    hint = ""
    if isinstance(source, str) and source.startswith("pettingzoo."):
        hint = f" Try: pip install 'pettingzoo[{source.split('.')[1]}]'"
    return MissingExtraError(
        f"env={source!r} needs {error.name or 'a library'}, which cannot be imported ({error})."
        f"{hint}"
    )
