"""Progress: what is under way for a session, how long it will take, and a button that stops it."""

from nicegui import ui

from nital.app.state.session import Session
from nital.app.work.live import Stage


class Progress:
    """Lies over the picture while work of a session waits or runs."""

    def __init__(self, session: Session) -> None:
        self._session = session
        with ui.element("div").classes("nital-progress") as self._box:
            with ui.element("div").classes("col"):
                self._stage = ui.label().props("role=status")
                self._detail = ui.label()  # it changes too often to be read aloud
            self._done = ui.linear_progress(0, show_value=False).props("instant-feedback")
            self._done.style("flex: 1 1 120px")
            ui.button("Stop", on_click=session.stop).props("dense color=negative no-caps")

    def refresh(self) -> None:
        """Show how far the work is."""
        session, stage = self._session, self._session.stage
        self._box.set_visibility(session.work is not None)
        if session.work is None:
            return
        if stage is None:
            before = session.n_before
            self._stage.set_text("starting …" if not before else f"waits for {before} other work")
            self._detail.set_text("")
            self._done.set_value(0)
            return
        left = time_left(stage, session.stage_reported - session.stage_since)
        self._stage.set_text(stage.text)
        self._detail.set_text(", ".join(part for part in (stage.detail, left) if part))
        self._done.set_value(stage.done or 0)


def time_left(stage: Stage, spent: float) -> str:
    """How long a stage will still take, in words; empty before it can be estimated.

    Parameters
    ----------
    spent : float
        Seconds that it has taken so far.
    """
    if not stage.done or spent < 1:
        return ""
    left = spent * (1 - stage.done) / stage.done
    text = f"{left:.0f} s left" if left < 90 else f"{left / 60:.0f} min left"
    return f"at most {text}" if stage.may_end_early else f"{100 * stage.done:.0f} %, {text}"
