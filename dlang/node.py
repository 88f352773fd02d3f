"""`Node`: a frozen value class that costs next to nothing to define.

A run defines some eighty kinds of syntax and program nodes before it does anything, and dataclasses compile six
methods for each: a fifth of the start-up time. Nodes share theirs. Type checkers see dataclasses (PEP 681).
"""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, dataclass_transform


@dataclass_transform(frozen_default=True)
class Node:
    """A value with the fields that its subclass annotates, in their order; compared and hashed by them."""

    def __init_subclass__(cls) -> None:
        # Set by this roundabout way since type checkers derive it themselves, from the annotations.
        type.__setattr__(cls, "__match_args__", tuple(get_annotations(cls)))

    def __init__(self, *values: Any, **named: Any) -> None:
        names: tuple[str, ...] = type(self).__dict__["__match_args__"]
        if len(values) > len(names):
            raise TypeError(f"{type(self).__name__} has {len(names)} fields, not {len(values)}")
        given = dict(zip(names, values, strict=False), **named)
        for name in names:
            if name not in given:
                # A field's default is the class's attribute of its name.
                given[name] = getattr(type(self), name)
        if len(given) > len(names):
            raise TypeError(f"{type(self).__name__} has no field {', '.join(set(given) - set(names))}")
        self.__dict__.update(given)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen: {name} can't be set")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.__dict__.items())
        return f"{type(self).__name__}({fields})"
