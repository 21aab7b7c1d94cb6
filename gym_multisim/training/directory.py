"""The folder of one run: what lies in it, and how its files come to be."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gym_multisim.config import TrainingConfig
from gym_multisim.errors import ConfigError


@dataclass(frozen=True)
class RunDirectory:
    """``runs/<name>-<n>`` of one run.

    Attributes:
        path: The folder.
    """

    path: Path

    @classmethod
    def create(cls, config: TrainingConfig) -> RunDirectory:
        """Make a folder that did not exist, and write the config into it.

        Raises:
            ConfigError: The folder cannot be made.
        """
        text = config.to_yaml()
        name = config.run.name or _folder_name(config.simulator.name)
        root = Path(config.run.directory)
        try:
            root.mkdir(parents=True, exist_ok=True)
            for number in itertools.count(1):
                directory = cls(root / f"{name}-{number}")
                try:
                    directory.path.mkdir()
                except FileExistsError:
                    continue
                break
        except OSError as error:
            raise ConfigError(
                f"No folder can be made in run.directory, {root}: {error}."
            ) from error
        directory.write("config.yaml", lambda path: path.write_text(text, encoding="utf-8"))
        return directory

    @property
    def model(self) -> Path:
        """The trained model, as stable-baselines3 saves it."""
        return self.path / "model.zip"

    @property
    def config(self) -> Path:
        """All settings of the run."""
        return self.path / "config.yaml"

    @property
    def learning_curve(self) -> Path:
        """The picture of the returns while learning."""
        return self.path / "learning_curve.png"

    @property
    def results(self) -> Path:
        """The figures of the comparison."""
        return self.path / "results.json"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's logs."""
        return self.path / "tensorboard"

    @property
    def logs(self) -> Path:
        """The folder of the servers' logs, where they are kept."""
        return self.path / "logs"

    def write(self, name: str, write: Callable[[Path], Any]) -> None:
        """Let ``write(path)`` write a file that is either whole or, if it fails, not there."""
        unfinished = self.path / f".unfinished-{name}"
        try:
            write(unfinished)
            os.replace(unfinished, self.path / name)
        finally:
            unfinished.unlink(missing_ok=True)

    def write_json(self, name: str, value: Any) -> None:
        """Write a value as JSON."""
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def discard_if_bare(self) -> None:
        """Remove the folder if it holds nothing but the config."""
        if [file.name for file in self.path.iterdir()] == [self.config.name]:
            shutil.rmtree(self.path)


def _folder_name(simulator: str) -> str:
    """Return the last word of ``package.module:Class`` or ``path/file.py:Class``."""
    return simulator.rpartition(":")[2]
