"""The modules that a user's own file imports from its folder: they are as much the task's code as the file itself.

While the file runs, `import helper` finds `helper.py` in its folder, wherever orch was started. The content of each
module is recorded exactly as it ran: it is part of keys, stored with runs, and sent to workers. No bytecode file is
read or written, and modules that the process had already loaded from that folder are left alone. Namespace packages
(folders without `__init__.py`) are found after installed packages, so a folder named `datasets` hides no library. This
module must not know what a task is.
"""

import ast
import hashlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from orchestrator.errors import DataError

Read = Callable[[str], bytes | None]
"""Returns a file's content, given its path from the task's folder with `/` as separator; None: no such file."""

PREFIX = "orch_task_"
"""Prefix of the names under which custom task files are loaded as modules."""
_OURS = "orchestrator"
_INSTALLED = ("site-packages", "dist-packages")


def content_in(folder: Path) -> Read:
    """A function that reads files from a folder as they are now."""

    def read(place: str) -> bytes | None:
        path = folder / place
        return path.read_bytes() if path.is_file() else None

    return read


def digest(content: bytes, modules: Mapping[str, bytes]) -> str:
    """sha256 of a custom task's code; of the file alone if it imports nothing from its folder."""
    whole = hashlib.sha256()
    if not modules:
        whole.update(content)
    for name, text in [("", content), *sorted(modules.items())] if modules else ():
        whole.update(f"{name}\0{len(text)}\0".encode() + text)
    return whole.hexdigest()


def module_names(places: Sequence[str]) -> list[str]:
    """The modules in these files, and the packages that contain them: `a/b.py` gives `a` and `a.b`."""
    names: dict[str, None] = {}
    for place in places:
        parts = place.removesuffix(".py").removesuffix("/__init__").split("/")
        names |= dict.fromkeys(".".join(parts[: n + 1]) for n in range(len(parts)))
    return list(names)


class OwnModules(MetaPathFinder):
    """Finds the modules of one folder. `ran` maps the path of each module found, from the folder, to its content."""

    def __init__(self, folder: Path, read: Read | None = None, kept: Sequence[str] = ()) -> None:
        """`read`: a source to use instead of the folder; `kept`: the files it has, whatever is in the folder."""
        self.folder = folder.absolute()
        self.ran: dict[str, bytes] = {}
        self._read = read or content_in(self.folder)
        self._folders = {str(parent) for place in kept for parent in Path(place).parents}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the module's file in the folder; None if there is no such file."""
        place = self._place(fullname, path)
        if place is None:
            return None
        for file in (f"{place}/__init__.py", f"{place}.py"):
            content = self._read(file)
            if content is not None:
                self.ran[file] = content
                location = str(self.folder / file)
                inside = [str(self.folder / place)] if file.endswith("/__init__.py") else None
                loader = _Loader(location, content)
                return spec_from_file_location(fullname, location, loader=loader, submodule_search_locations=inside)
        return None

    def namespace(self, fullname: str, path: Sequence[str] | None) -> ModuleSpec | None:
        """The spec of a folder without `__init__.py` as a package; None if there is no such folder."""
        place = self._place(fullname, path)
        if place is None or not (place in self._folders or (self.folder / place).is_dir()):
            return None
        spec = ModuleSpec(fullname, None, loader_state=_OURS, is_package=True)
        spec.submodule_search_locations = [str(self.folder / place)]
        return spec

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Make the folder importable while the file runs. If it fails, restore the modules that were loaded before."""
        before = {name: module for name, module in sys.modules.items() if self._lies_here(name, module)}
        for name in before:
            del sys.modules[name]
        last = _Namespaces(self)
        sys.meta_path.insert(sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0, self)
        sys.meta_path.append(last)
        kept = before
        try:
            yield
            # modules that were found here earlier are stale; the others are not ours
            kept = {name: module for name, module in before.items() if not _is_own(module)}
        except BaseException:
            for name in [name for name, module in sys.modules.items() if self._lies_here(name, module)]:
                del sys.modules[name]
            raise
        finally:
            sys.meta_path.remove(self)
            sys.meta_path.remove(last)
            sys.modules.update(kept)

    def check_imports(self, file: str, content: bytes) -> None:
        """Reject imports that happen only when a function is called: neither keys nor workers would know of them.

        Raises:
            DataError: with the file, the line and the module.
        """
        for place, text in {Path(file).name: content, **self.ran}.items():
            for line, name in _inside_functions(text):
                if not name or self._has(name.partition(".")[0]):
                    raise DataError(
                        f"{Path(file).parent / place}:{line}: imports {name or 'a module beside it'} inside a "
                        "function, where neither keys nor workers see it: import it at the top of the file"
                    )

    def _has(self, top: str) -> bool:
        return top != _OURS and any(self._read(file) is not None for file in (f"{top}.py", f"{top}/__init__.py"))

    def _place(self, name: str, path: Sequence[str] | None) -> str | None:
        """The path of a module of that name in the folder, without extension; None: it is not ours."""
        parent = name.rpartition(".")[0]
        if name.partition(".")[0] == _OURS or bool(parent) != (path is not None):
            return None
        if path is not None and str(self.folder.joinpath(*parent.split("."))) not in list(path):
            return None
        return name.replace(".", "/")

    def _lies_here(self, name: str, module: ModuleType) -> bool:
        """Whether a module was loaded from the folder as one of the user's files."""
        if name in ("__main__", "__mp_main__") or name.startswith(PREFIX) or name.partition(".")[0] == _OURS:
            return False
        file = getattr(module, "__file__", None)
        if file is None:  # a namespace package
            file = next((f"{entry}{os.sep}.py" for entry in getattr(module, "__path__", None) or ()), None)
        if not isinstance(file, str) or not file.endswith(".py") or not file.startswith(f"{self.folder}{os.sep}"):
            return False
        return not any(part in _INSTALLED for part in Path(file[len(str(self.folder)) :]).parts)


class _Namespaces(MetaPathFinder):
    """Consulted last, when no other finder knows a name."""

    def __init__(self, own: OwnModules) -> None:
        self.own = own

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of a folder as a package."""
        return self.own.namespace(fullname, path)


class _Loader(InspectLoader):
    """Runs a file's content as it was read."""

    def __init__(self, path: str, content: bytes) -> None:
        self.path, self.content = path, content

    def get_code(self, fullname: str) -> CodeType:
        """Compile the content, ignoring `__pycache__`."""
        code: CodeType = compile(self.content, self.path, "exec", dont_inherit=True)
        return code

    def get_source(self, fullname: str) -> str:
        """The content as text."""
        return decode_source(self.content)

    def is_package(self, fullname: str) -> bool:
        """Whether this is a package's `__init__.py`."""
        return self.path.endswith(f"{os.sep}__init__.py")


def _is_own(module: ModuleType) -> bool:
    spec = getattr(module, "__spec__", None)
    return isinstance(getattr(spec, "loader", None), _Loader) or getattr(spec, "loader_state", None) == _OURS


def _inside_functions(content: bytes) -> Iterator[tuple[int, str]]:
    """The imports inside a file's functions: line and module name, which is empty for a relative import."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were shown when the file ran
        tree = ast.parse(content)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in (node for function in functions for node in ast.walk(function)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "" if node.level else str(node.module)
