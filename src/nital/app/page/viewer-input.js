// Methods of the viewer for mouse, fingers and keys.

import { clamp, spread } from "./viewer-pure.js";

export const STEP = 1.5; // of a button or a key
const DOUBLE_CLICK = 400; // ms
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export const input = {
  onWheel(event) {
    const unit = [1, 16, this.size.height][event.deltaMode];
    const speed = event.ctrlKey ? 100 : 300; // two fingers on a pad come with ctrl, and slowly
    this.zoom(2 ** clamp((-event.deltaY * unit) / speed, -1, 1), this.pointOf(event));
  },

  onPointerDown(event) {
    if (event.button > 1) return;
    this.$refs.canvas.setPointerCapture(event.pointerId);
    this.hasMoved = this.pressed.size > 0; // with a second finger it is no click any more
    this.pressedAt = this.pointOf(event);
    this.pressed.set(event.pointerId, this.pressedAt);
  },

  onPointerMove(event) {
    const point = this.pointOf(event);
    // Some browsers tell of moves also when the page changes under a mouse that rests.
    if (point.x === this.pointer?.x && point.y === this.pointer?.y) return;
    this.pointer = point;
    this.showCross(false);
    if (this.pressed.has(event.pointerId)) this.drag(event, point);
  },

  drag({ pointerId, pointerType }, point) {
    const way = Math.hypot(point.x - this.pressedAt.x, point.y - this.pressedAt.y);
    if (!this.hasMoved && way <= (pointerType === "mouse" ? 3 : 8)) return;
    this.hasMoved = true;
    const before = spread([...this.pressed.values()]);
    this.pressed.set(pointerId, point);
    const after = spread([...this.pressed.values()]);
    this.pan(after.x - before.x, after.y - before.y);
    if (before.width && after.width) this.zoom(after.width / before.width, after);
  },

  onPointerUp(event) {
    const wasPressed = this.pressed.delete(event.pointerId);
    if (wasPressed && !this.hasMoved && event.button === 0) this.click(this.pressedAt, event);
  },

  /** Picks; the second of a double click zooms. Of a long tap browsers make no click event. */
  click(point, event) {
    const { x, y, time } = this.clicked;
    const isNear = Math.hypot(point.x - x, point.y - y) < 10;
    const isSecond = isNear && event.timeStamp - time < DOUBLE_CLICK;
    this.clicked = { ...point, time: isSecond ? -Infinity : event.timeStamp };
    this.pointer = point;
    this.showCross(false);
    if (isSecond) this.zoom(2, point);
    else this.pick(point, event);
  },

  onPointerLeave(event) {
    if (event.pointerType !== "mouse") return; // what was tapped is still of interest
    this.pointer = null;
    this.describe();
  },

  onKey(event) {
    const isPick = event.key === "Enter" || event.key === " ";
    if (event.altKey || ((event.ctrlKey || event.metaKey) && !isPick)) return;
    const [right, down] = ARROWS[event.key] ?? [0, 0];
    const far = Math.min(this.size.width, this.size.height) / 8;
    const step = event.shiftKey ? Math.max(1, this.view.scale) : far; // shift: by a pixel
    if (isPick && this.cross && !event.repeat) this.pick(this.middle(), event);
    else if (right || down) this.pan(-right * step, -down * step);
    else if ("+=".includes(event.key)) this.zoom(STEP);
    else if ("-_".includes(event.key)) this.zoom(1 / STEP);
    else if (event.key === "0" && this.digits) this.fit();
    else if (event.key === "1" && this.digits) this.actualSize();
    else if (!isPick) return;
    event.preventDefault();
    this.showCross(true);
  },

  showCross(isShown) {
    this.cross = isShown && this.source != null;
    this.describe();
  },

  // -- The two lines

  dragLine(name, event) {
    if (!event.currentTarget.hasPointerCapture(event.pointerId)) return;
    const point = this.pointOf(event);
    this.moveLine(name, name === "wipe" ? point.x / this.size.width : this.imageAt(point).y);
  },

  onLineKey(name, event) {
    const arrow = ARROWS[event.key];
    if (!arrow || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const steps = (arrow[0] + arrow[1]) * (event.shiftKey ? 10 : 1);
    this.moveLine(name, this.at[name] + (name === "wipe" ? steps / 100 : steps));
    this.$emit(name, this.at[name]);
  },

  moveLine(name, to) {
    const share = clamp(Math.round(to * 1000) / 1000, 0, 1);
    this.at[name] = name === "wipe" ? share : clamp(Math.round(to), 1, this.source.rows);
    this.redraw();
  },
};
