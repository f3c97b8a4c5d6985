"""The page; the only part that knows Gradio."""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class _NoEditorStubs(MetaPathFinder, Loader):
    """Gradio rewrites its `.pyi` files, which only editors read, whenever it is imported: half of its start-up time.

    The function that does so (gradio/component_meta.py, 6.31) is replaced before any component is defined.
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


if "gradio" not in sys.modules:
    sys.meta_path.insert(0, _NoEditorStubs())
