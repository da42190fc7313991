"""Decisions: what can be changed about the classes of a model. Each function returns a new model.

All raise `InputError` if the change can't be made.
"""

from dataclasses import replace

from nital.fast.settings import MAX_CLASSES
from nital.output.render import colours_of, hex_of
from nital.result.grouping import ClassName, Grouping


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
