"""Decisions: what can be changed about the classes of a model, and what there is to decide.

Each change returns a new model, and raises `InputError` if it can't be made.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nital.fast.settings import MAX_CLASSES
from nital.output.render import colours_of, hex_of
from nital.result.fine import fractions_of
from nital.result.grouping import ClassName, Grouping
from nital.result.joining import ANOTHER, moved_area


def join(model: Grouping, number: int, other: int) -> Grouping:
    """Join class `other` to `number`; all that are left keep their colours."""
    return _with_colours(model).joined(number, other)


def split(model: Grouping, number: int) -> Grouping:
    """Divide a class in two; the others keep their colours."""
    return _with_colours(model).split(number)


def rename(model: Grouping, number: int, name: str) -> Grouping:
    """Name a class; two of one name become one. An empty name removes the name."""
    known = model.names.get(number)
    colour = None if known is None else known.colour
    names = {i: each for i, each in model.names.items() if i != number}
    if not name.strip():
        if colour is not None:
            names[number] = ClassName(None, colour)
        return replace(model, names=dict(sorted(names.items())))
    for other, each in names.items():
        if each.name == name.strip():
            return model.joined(other, number)
    return model.named({number: ClassName(name.strip(), colour)})


def recolour(model: Grouping, number: int, colour: str) -> Grouping:
    """Give a class a colour, as `#0072b2`; another that was given it gets one that is free."""
    kept = {
        i: ClassName(each.name) if each.colour == colour else each
        for i, each in model.names.items()
        if i != number and (each.name is not None or each.colour != colour)
    }
    known = model.names.get(number)
    mine = ClassName(known.name if known else None, colour)
    return replace(model, names={}).named({**kept, number: mine})


def most_classes(model: Grouping | None) -> int:
    """The largest number of classes that there can be."""
    if model is None:
        return MAX_CLASSES
    return max(2, int(model.joining.numbers(len(model.class_of)).max()))


def _with_colours(model: Grouping) -> Grouping:
    """The model with the colours of its classes fixed: they would follow the numbers."""
    rows = model.classes
    return model.named(
        {
            row.label: ClassName(row.name, hex_of(colour))
            for row, colour in zip(rows, colours_of(rows), strict=True)
        }
    )


def other_fractions(model: Grouping, areas: Sequence[float]) -> NDArray[np.float64] | None:
    """Area fractions if the fine classes were joined in another way that is nearly as good.

    None if there is none, if it is nearly the same in this micrograph, or if a person joined them.

    Parameters
    ----------
    model : Grouping
    areas : (n,)
        Of each fine class in a micrograph.
    """
    if not model.is_as_joined:
        return None
    other, own = model.joining.other_numbers(int(model.class_of.max())), np.array(areas, float)
    if other is None or moved_area(model.class_of, other, own) <= ANOTHER:
        return None
    return fractions_of(own / own.sum(), other)
