"""Phases: fine classes that a person has joined and named."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.result.classes import ClassRow, tabulate_classes
from nital.result.criteria import Criteria, criteria_of
from nital.result.fine import FineClasses, renumber


@dataclass(frozen=True)
class PhaseMap:
    """A micrograph divided into named phases."""

    names: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    """The fine classes of each phase."""

    labels: NDArray[np.unsignedinteger]
    """(rows, cols): 1..k in the order of the names, 0 = excluded."""

    classes: tuple[ClassRow, ...]
    """Area fraction and mean grey level of each phase, in the order of the names."""

    criteria: Criteria
    """F, F' and Q, with each phase a region."""


def name_phases(fine: FineClasses, phases: Mapping[str, Sequence[int]]) -> PhaseMap:
    """Assign fine classes to named phases.

    Parameters
    ----------
    fine : FineClasses
        As in `Segmentation.fine`. Area fractions have an uncertainty if these have `shares`
        (`fast.method.with_shares`).
    phases : mapping of name to numbers
        The fine classes of each phase. Every fine class belongs to one phase.

    Raises
    ------
    InputError
        If a fine class is in no phase or in two, or does not exist.

    Examples
    --------
    >>> import nital
    >>> image = np.repeat([[0.1, 0.5, 0.9]], 12, axis=1).repeat(36, axis=0)
    >>> fine = nital.segment(image).fine
    >>> dark = [row.label for row in fine.classes if row.mean_grey < 75]
    >>> bright = [row.label for row in fine.classes if row.mean_grey >= 75]
    >>> found = name_phases(fine, {"dark": dark, "bright": bright})
    >>> [round(row.area_fraction, 1) for row in found.classes]
    [0.3, 0.7]
    """
    number = np.append(0, number_fine_classes(len(fine.statistics.areas), phases))
    names = tuple(phases)
    labels = np.empty_like(fine.labels)
    renumber(fine.labels, number, labels)
    statistics = fine.statistics.joined(number[1:])
    return PhaseMap(
        names=names,
        members=tuple(
            tuple(int(i) for i in np.flatnonzero(number == place))
            for place in range(1, len(names) + 1)
        ),
        labels=labels,
        classes=tabulate_classes(statistics, fine.uncertainty_of(number[1:]), absent=True),
        criteria=criteria_of(statistics),
    )


def number_fine_classes(n: int, phases: Mapping[str, Sequence[int]]) -> NDArray[np.int64]:
    """The phase of each of n fine classes, (n,): 1..k in the order of the names.

    Raises
    ------
    InputError
        If a fine class is in no phase or in two, or does not exist.
    """
    number = np.zeros(n + 1, np.int64)
    names = tuple(phases)
    for place, name in enumerate(names, start=1):
        if not len(phases[name]):
            raise InputError(f"{name}: has no fine class; name one, or leave the phase out")
        for member in phases[name]:
            if not 1 <= member <= n:
                raise InputError(f"{name}: there is no fine class {member}; use 1 to {n}")
            if number[member] not in (0, place):
                raise InputError(
                    f"fine class {member}: in {names[number[member] - 1]} and in {name}; name it in"
                    " one of them"
                )
            number[member] = place
    if missing := ", ".join(str(i) for i in range(1, n + 1) if number[i] == 0):
        raise InputError(f"fine classes {missing}: in no phase; assign each of them to one")
    return number[1:]
