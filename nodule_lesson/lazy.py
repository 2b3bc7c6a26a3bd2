"""Names of a package that are loaded when they are first asked for.

`import nodule_lesson` should not load PyTorch, and `nodule_lesson.data` should not need SimpleITK
where no scan is read. So a package lists its public names, and __getattr__ finds them (PEP 562).
"""

from importlib import import_module


def attributes(package, where):
    """(__getattr__, __dir__, __all__) of a package. where: module -> names that it offers."""
    home = {name: module for module, names in where.items() for name in names.split()}

    def __getattr__(name):
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{home[name]}"), name)

    return __getattr__, lambda: sorted(home), sorted(home)
