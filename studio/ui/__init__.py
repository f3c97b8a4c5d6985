"""The page; the only part that knows Gradio."""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _NoEditorHelp(MetaPathFinder, Loader):
    """Whenever Gradio is imported it rewrites its `.pyi` files and fills in docstrings, which only editors read.

    That is more than half of its start-up time, so the two functions that do so (called in gradio/component_meta.py,
    6.31, for each component) are replaced before any component is defined.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "gradio.component_meta":
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is None or spec.loader is None:
            return None
        self._loader = spec.loader
        spec.loader = self
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._loader.exec_module(module)
        vars(module)["create_or_modify_pyi"] = lambda *_: None
        vars(module)["EventListener"].set_doc = lambda *_, **__: None


if "gradio" not in sys.modules:
    sys.meta_path.insert(0, _NoEditorHelp())
