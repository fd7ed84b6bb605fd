"""The old name: ``import CaChannel`` gives the package ``cachannel``, and its modules under the names of 3.x."""

from __future__ import annotations

import importlib
import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

_OLD, _NEW = "CaChannel", "cachannel"


class _OldNames(MetaPathFinder, Loader):
    """Finds the modules of ``cachannel`` under their old names; without it they would be loaded a second time."""

    def find_spec(self, name: str, path: object = None, target: ModuleType | None = None) -> ModuleSpec | None:
        new = _NEW + name[len(_OLD) :]
        known = name.startswith(_OLD + ".") and PathFinder.find_spec(new, sys.modules[_NEW].__path__)
        return ModuleSpec(name, self) if known else None

    def exec_module(self, module: ModuleType) -> None:
        sys.modules[module.__name__] = importlib.import_module(_NEW + module.__name__[len(_OLD) :])


_package = importlib.import_module(_NEW)
# Found at once, so that the import leaves the attributes of the package alone: `CaChannel.CaChannel` is the class.
for _name in [name for name in sys.modules if name.startswith(_NEW + ".")]:
    sys.modules[_OLD + _name[len(_NEW) :]] = sys.modules[_name]
sys.meta_path.insert(0, _OldNames())
sys.modules[_OLD] = _package
