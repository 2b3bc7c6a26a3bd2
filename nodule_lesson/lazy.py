"""Public names of a package that are loaded at their first use.

`import nodule_lesson` should not load PyTorch, and `nodule_lesson.data` should not need SimpleITK
if no scan is read. So a package lists its public names, and __getattr__ imports them (PEP 562).
"""

from importlib import import_module


def attributes(package, names):
    """(__getattr__, __dir__, __all__) of a package. names: {module: its public names as text}."""
    module_of = {name: module for module, text in names.items() for name in text.split()}

    def __getattr__(name):
        if name not in module_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    return __getattr__, lambda: sorted(module_of), sorted(module_of)
