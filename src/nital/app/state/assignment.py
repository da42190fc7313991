"""The assignment: fine classes shown one after the other, each assigned to a phase by one key."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from nital.errors import InputError
from nital.output.render import colours_of, hex_of, spare_colours
from nital.result.grouping import ClassName, Grouping


@dataclass
class Slot:
    """A phase while fine classes are assigned; its key and colour stay, whatever it holds."""

    name: ClassName
    members: set[int] = field(default_factory=set)


class Assignment:
    """Fine classes that are assigned to phases, one after the other.

    Parameters
    ----------
    model : Grouping
        Its classes are the first phases, by their numbers.
    fractions : (n,)
        Area fraction of each fine class: the largest is shown first.
    """

    def __init__(self, model: Grouping, fractions: NDArray[np.float64]) -> None:
        self._model = model
        rows = model.classes
        self.slots = [
            Slot(ClassName(row.name, hex_of(colour)), set(model.members(row.label)))
            for row, colour in zip(rows, colours_of(rows), strict=True)
        ]
        self.order = [int(i) + 1 for i in np.argsort(-fractions, kind="stable")]
        self.place = 0
        self._assigned: list[tuple[int, int, bool]] = []
        """Of each: its place in the order, its phase before, whether a phase was made for it."""

    @property
    def fine(self) -> int | None:
        """The fine class that is shown; None after the last."""
        return self.order[self.place] if self.place < len(self.order) else None

    @property
    def slot(self) -> int | None:
        """The phase that the fine class is in, from 1."""
        found = [i for i, slot in enumerate(self.slots, start=1) if self.fine in slot.members]
        return found[0] if found else None

    def put(self, key: int) -> Grouping:
        """Assign the fine class that is shown to a phase, from 1, and go on to the next.

        One more than there are makes a new phase.

        Raises
        ------
        InputError
            If there is no such phase, nothing is shown, or a single phase would be left.
        """
        fine, before = self.fine, self.slot
        if fine is None:
            raise InputError("all fine classes were shown; go back, or end")
        if not 1 <= key <= len(self.slots) + 1:
            raise InputError(
                f"phase {key}: there are {len(self.slots)}; use 1 to {len(self.slots) + 1}"
            )
        made = key > len(self.slots)
        if made:
            used = [slot.name.colour for slot in self.slots]
            self.slots.append(Slot(ClassName(None, spare_colours(used)[0])))
        self._move(fine, key)
        try:
            model = self.model
        except InputError:
            self._move(fine, before or 1)
            if made:
                self.slots.pop()
            raise
        self._assigned.append((self.place, before or 1, made))
        self.place += 1
        return model

    def undo(self) -> bool:
        """Put the fine class that was assigned last back to its phase; whether there was one."""
        if not self._assigned:
            return False
        self.place, before, made = self._assigned.pop()
        self._move(self.order[self.place], before)
        if made:
            self.slots.pop()
        return True

    def skip(self) -> None:
        """Leave the fine class in its phase, and go on to the next."""
        self.place = min(self.place + 1, len(self.order))

    def back(self) -> None:
        """Go back to the fine class before."""
        self.place = max(0, self.place - 1)

    @property
    def model(self) -> Grouping:
        """The model with the phases as its classes."""
        class_of = np.zeros(len(self.order), np.int64)
        for number, slot in enumerate(self.slots, start=1):
            class_of[[fine - 1 for fine in slot.members]] = number
        return self._model.grouped(
            class_of, {i: slot.name for i, slot in enumerate(self.slots, start=1)}
        )

    def _move(self, fine: int, key: int) -> None:
        for slot in self.slots:
            slot.members.discard(fine)
        self.slots[key - 1].members.add(fine)
