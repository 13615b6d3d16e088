"""The devices that this user has added: a JSON file each, below the user's configuration folder."""

from __future__ import annotations

import difflib
import os
from contextlib import suppress
from pathlib import Path

from ...compiler.staging import staged_file
from ...errors import DeviceError
from .address import Address
from .device import Device, check_name

FOLDER_VARIABLE = "INTBERT_DEVICES"
"""Names another folder than ``$XDG_CONFIG_HOME/intbert/devices`` (``~/.config/intbert/devices``)."""


def default_folder() -> Path:
    """Where the devices of this user stand."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named)
    config = os.environ.get("XDG_CONFIG_HOME")
    return (Path(config) if config else Path.home() / ".config") / "intbert" / "devices"


class Inventory:
    """The devices in ``folder``."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = default_folder() if folder is None else folder

    @property
    def accepted_keys(self) -> Path:
        """A known_hosts file: the host keys that the user accepted when a device was added."""
        return self.folder / "known_hosts"

    def names(self) -> list[str]:
        """The devices' names, sorted."""
        return sorted(path.stem for path in self.folder.glob("*.json"))

    def addresses(self) -> set[Address]:
        """Those of all devices whose files make sense."""
        found = set()
        for name in self.names():
            with suppress(DeviceError):
                found.add(self.get(name).address)
        return found

    def get(self, name: str) -> Device:
        """The device called ``name``; DeviceError when there is none, or its file makes no sense."""
        path = self._path(name)
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            raise DeviceError(f"there is no device {name!r}; {self._hint(name)}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise DeviceError(f"{path} cannot be read ({error}); mend it, or remove it and add the device") from error
        try:
            device = Device.from_json(text)
        except DeviceError as error:
            raise DeviceError(f"{path}: {error}; mend it, or remove it and add the device again") from error
        if device.name != name:
            raise DeviceError(f"{path} is the file of {device.name!r}; rename it, or add the device again")
        return device

    def refuse_another(self, name: str, address: Address) -> None:
        """DeviceError when ``name`` is the device of another address than ``address``."""
        if self._path(name).exists() and (known := self.get(name)).address != address:
            raise DeviceError(
                f"the device {name!r} is {known.address} already; choose another --name, "
                f"or `intbert device remove {name}` first"
            )

    def keep(self, device: Device) -> None:
        """Writes the device's file, new or not."""
        path = self._path(device.name)
        self.folder.mkdir(parents=True, exist_ok=True)
        with staged_file(path, force=True) as aside:
            aside.write_text(device.to_json(), encoding="utf-8")

    def remove(self, name: str) -> None:
        """Forgets the device; DeviceError when there is none."""
        try:
            self._path(name).unlink()
        except FileNotFoundError:
            raise DeviceError(f"there is no device {name!r}; {self._hint(name)}") from None

    def _path(self, name: str) -> Path:
        return self.folder / f"{check_name(name)}.json"

    def _hint(self, name: str) -> str:
        known = self.names()
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            return f"did you mean {' or '.join(near)}?"
        if known:
            return f"there are {', '.join(known)}"
        return "add one with `intbert device add USER@HOST --name NAME`"
