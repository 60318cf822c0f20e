"""Attributes and mappings that are fixed once their object is made, or checked when they change.

Whatever a public object shows is then what it uses: nothing can be set that would have no effect.
Copies, deep copies and pickles are unaffected. Above `errors` only. Start at `ReadOnly`.
"""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as shortened
from typing import Any, NoReturn

from neurosim.errors import ReadOnlyError, unknown


class ReadOnly:
    """Base of classes whose public attributes are fixed after `__init__`.

    `__init__` ends with ``self._made = True``. Afterwards only a property with a setter can be set,
    and names that begin with an underscore. Code of the class itself may change an attribute with
    ``vars(self).update(name=value)``.
    """

    _made = False

    def __setattr__(self, name: str, value: Any) -> None:
        of_class = getattr(type(self), name, None)
        has_setter = isinstance(of_class, property) and of_class.fset is not None
        if self._made and not has_setter and not name.startswith("_"):
            self._refuse(name, f" = {shortened(value)}")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_"):
            self._refuse(name, " cannot be deleted")
        object.__delattr__(self, name)

    def _refuse(self, name: str, attempt: str) -> NoReturn:
        kind = type(self).__name__
        if not hasattr(type(self), name) and name not in vars(self):
            names = (*vars(self), *dir(type(self)))
            known = [
                n for n in names if not (n.startswith("_") or callable(getattr(type(self), n, 0)))
            ]
            raise ReadOnlyError(str(unknown(f"attribute of {kind}", name, known)))
        raise ReadOnlyError(
            f"{name} of {kind}{attempt}; allowed: no change, as it is fixed once made; "
            f"try a new {kind}"
        )


class FrozenDict(dict[str, Any]):
    """A dict that cannot be changed; equal to the dict with the same entries."""

    def _refuse(self, *given: Any, **entries: Any) -> NoReturn:
        raise ReadOnlyError(
            f"{shortened(dict(self))} cannot be changed, as it belongs to an object that is fixed "
            "once made; allowed: reading it; try a new object"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    update = setdefault = pop = popitem = clear = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict], tuple[dict[str, Any]]]:
        return FrozenDict, (dict(self),)


def frozen(value: Any) -> Any:
    """Return a mapping as a `FrozenDict`, its mappings included, and any other value unchanged."""
    if isinstance(value, Mapping):
        return FrozenDict({key: frozen(one) for key, one in value.items()})
    return value
