"""Measure: fractions with intervals, criteria over k, regions, a reference."""

from html import escape
from typing import Any

from nicegui import ui

from nital.app.page.messages import Messages
from nital.app.page.panels.panel import Panel, table_of
from nital.app.page.uploader import Uploader
from nital.app.page.view import View
from nital.app.state.decisions import most_classes
from nital.app.state.field import Field
from nital.app.state.session import Session
from nital.output.numbers import percent, quantity
from nital.output.render import PALETTE, colours_of, hex_of
from nital.result.criteria import criteria_of
from nital.result.fine import AUTO_NUMBERS


class MeasurePanel(Panel):
    """Fractions, intervals over fields, criteria over k, regions, a reference."""

    def __init__(self, session: Session, view: View, messages: Messages) -> None:
        super().__init__(session, view, messages)
        self._none = ui.label("Segment a micrograph first.").classes("nital-note")
        with ui.column().classes("w-full") as self._all:
            self._bar = ui.html("", sanitize=False).classes("w-full")
            self._fractions = ui.html("", sanitize=False).classes("w-full")
            self._notes = ui.label().classes("nital-note")
            ui.label("How many classes? F, F′ and Q, the lower the better").classes(
                "text-subtitle2 q-mt-sm"
            )
            self._curve = ui.echart(_empty_curve()).style("height: 200px; width: 100%")
            self._best = ui.label().classes("nital-note")
            ui.button("Measure regions", on_click=self._measure_regions).props(
                "no-caps outline"
            ).classes("w-full")
            self._regions = ui.html("", sanitize=False).classes("w-full")
            self._about = ui.label(
                "Means of the regions of this micrograph, and mean intercepts along its rows and"
                " across them. A region is a connected piece of a phase, and no grain."
            ).classes("nital-note")
            ui.label("Compare with a map drawn by a person").classes("text-subtitle2 q-mt-sm")
            self._reference = ui.element("div").classes("w-full")
            self._agreement = ui.html("", sanitize=False).classes("w-full")
        self._shown: object = None
        self._offered: int | None = None

    def refresh(self) -> None:
        """Show the figures as they are."""
        model, ready = self._bench.model, bool(self._bench.model and self._bench.labelled)
        self._none.set_visibility(not ready)
        self._all.set_visibility(ready)
        shown = (self._bench.version, self._view.number, self._session.is_kept)
        if model is None or not ready or shown == self._shown:
            return
        self._shown = shown
        field = self._view.field
        here = field if field is not None and field.labelled is not None else None
        self._bar.set_content(self._bars(here))
        self._fractions.set_content(self._fraction_table(here))
        n = len(self._bench.labelled)
        self._notes.set_text(
            "One field: no confidence interval; measure more fields of the specimen"
            + (
                ". ±: uncertainty from how the picture was taken."
                if self._bench.is_fitted
                else ", in fast mode."
            )
            if n == 1
            else f"Mean of {n} fields with its 95 % confidence interval (ASTM E1245), and the"
            " fields that 10 % relative accuracy takes beside these."
        )
        self._curve.set_visibility(self._bench.is_fitted)
        if self._bench.is_fitted:
            self._show_curve()
        else:  # each number of classes would be a training of its own
            found = criteria_of(model.joining.statistics.joined(model.class_of))
            self._best.set_text(
                f"Of these: F {found.F:.4g}, F′ {found.F_prime:.4g}, Q {found.Q:.4g}"
            )
        kept = self._session.is_kept and here is not None
        self._regions.set_content(self._region_table(here) if kept else "")
        self._about.set_visibility(kept)
        self._offer_reference(here)
        self._agreement.set_content(self._agreement_table(here))

    def _measure_regions(self) -> None:
        self._messages.start(self._session.keep(), self._view.forget)

    def _fraction_table(self, here: Field | None) -> str:
        names, several = self._bench.phases(), len(self._bench.labelled) > 1
        head = [
            "phase",
            *(["here"] if here else []),
            *(["mean", "± 95 %", "more"] if several else []),
        ]
        rows = [[name] for name in names]
        if here is not None:
            shares = self._bench.fractions(here.number)
            uncertainties = self._bench.uncertainties(here.number)
            for row, share, uncertainty in zip(rows, shares, uncertainties, strict=True):
                row.append(percent(share, uncertainty))
        if several:
            for row, over in zip(rows, self._bench.statistics(), strict=True):
                row.append(percent(over.mean))
                row.append("–" if over.ci95 is None else percent(over.ci95))
                row.append("–" if over.more_fields is None else f"{over.more_fields:,}")
        return table_of(head, rows)

    def _bars(self, here: Field | None) -> str:
        """The fractions as one bar: of the micrograph that is shown, or the means."""
        model = self._bench.model
        assert model is not None
        means = [over.mean for over in self._bench.statistics()]
        shares = means if here is None else self._bench.fractions(here.number)
        parts = "".join(
            f'<div style="width:{100 * share:.2f}%;background:{hex_of(colour)}"></div>'
            for colour, share in zip(colours_of(model.classes), shares, strict=True)
        )
        return f'<div class="nital-share" aria-hidden="true">{parts}</div>'

    def _show_curve(self) -> None:
        base = self._bench.base
        assert base is not None
        numbers = [k for k in AUTO_NUMBERS if k <= most_classes(base)]
        found = [base.joining.criteria(k) for k in numbers]
        series = {
            "F": [each.F for each in found],
            "F′": [each.F_prime for each in found],
            "Q": [each.Q for each in found],
        }
        options = self._curve.options
        options["xAxis"]["data"] = [str(k) for k in numbers]
        best = {name: numbers[values.index(min(values))] for name, values in series.items()}
        for line in options["series"]:
            values = series[line["name"]]
            low, high = min(values), max(values)
            scaled = [(v - low) / (high - low) if high > low else 0.0 for v in values]
            line["data"] = scaled
            line["markPoint"] = {
                "symbol": "pin",
                "symbolSize": 26,
                "data": [{"coord": [str(best[line["name"]]), 0]}],
            }
        self._curve.update()
        text = ", ".join(f"{name} {k}" for name, k in best.items())
        self._best.set_text(f"Lowest at: {text}. Each curve from its least (0) to its largest (1).")

    def _region_table(self, here: Field | None) -> str:
        specimen = self._session.specimen
        if specimen is None or here is None:
            return ""
        place = [each.number for each in self._bench.labelled].index(here.number)
        field = specimen.fields[place]
        unit = "px" if field.pixel_size is None else "µm"
        head = (
            "phase",
            "regions",
            f"area, {unit}²",
            f"diameter, {unit}",
            f"along, {unit}",
            f"across, {unit}",
        )
        return table_of(
            head,
            [
                (
                    name,
                    f"{each.n_regions:,}",
                    quantity(each.mean_area),
                    quantity(each.mean_equivalent_diameter),
                    quantity(each.intercept_along),
                    quantity(each.intercept_across),
                )
                for name, each in zip(field.phases, field.regions, strict=True)
            ],
        )

    def _offer_reference(self, here: Field | None) -> None:
        number = None if here is None else here.number
        if number == self._offered:
            return
        self._offered = number
        self._reference.clear()
        if number is not None:
            with self._reference:
                Uploader(
                    f"/bench/{self._session.identifier}/reference/{number}",
                    "Choose a label map (PNG or TIFF), or drop it here",
                    on_refused=self._messages.say,
                    multiple=False,
                )

    def _agreement_table(self, here: Field | None) -> str:
        known = None if here is None else self._session.agreement(here.number)
        if known is None:
            return ""
        name, found = known
        names = ["–", *self._bench.phases()]
        text = (
            f"{name}: mean IoU {found.mean_iou:.3f}, pixel accuracy {found.accuracy:.3f},"
            f" ARI {found.ari:.3f}"
        )
        rows = [
            (
                f"{row.reference}: {names[row.label or 0]}",
                f"{row.iou:.3f}",
                percent(row.reference_fraction),
                percent(row.area_fraction),
            )
            for row in found.classes
        ]
        return f"<p>{escape(text)}</p>" + table_of(("drawn: found", "IoU", "drawn", "found"), rows)


# Greys that can be read on light and on dark.
_AXIS = {
    "axisLabel": {"color": "#888"},
    "nameTextStyle": {"color": "#888"},
    "splitLine": {"lineStyle": {"color": "#8884"}},
}


def _empty_curve() -> dict[str, Any]:
    colours = {"F": PALETTE[0], "F′": PALETTE[1], "Q": PALETTE[2]}
    return {
        "animation": False,
        "grid": {"left": 34, "right": 12, "top": 30, "bottom": 40},
        "legend": {"top": 0, "textStyle": {"color": "#888"}},
        "tooltip": {"trigger": "axis"},
        "xAxis": {
            "type": "category",
            "data": [],
            "name": "classes",
            "nameLocation": "middle",
            "nameGap": 24,
            **_AXIS,
        },
        "yAxis": {"type": "value", "min": 0, "max": 1, **_AXIS},
        "series": [
            {
                "name": name,
                "type": "line",
                "data": [],
                "itemStyle": {"color": colour},
                # F' is often equal to F: thin and dashed, it leaves F to be seen below it.
                "lineStyle": {"width": 5} if name == "F" else {"width": 2, "type": "dashed"},
            }
            for name, colour in colours.items()
        ],
    }
