// A micrograph as tiles of a pyramid and, over it, a map of fine classes that this page colours.

// NiceGUI serves dependencies (viewer.py) from a folder of their own, by these names.
import { drawing } from "viewer-drawing";
import { STEP, input } from "viewer-input";
import { SIDE, clamp, colourTable, deepestLevel } from "viewer-pure";
import { levelFor, placeText, sureTable } from "viewer-pure";
import { Tiles, load } from "viewer-tiles";

const MAX_ZOOM = 40; // screen pixels a pixel
const BLACK = "#000000";

export default {
  template: `
    <div class="nital-viewer" data-ready="false" data-frames="0" @wheel.prevent="onWheel">
      <canvas ref="canvas" tabindex="0" role="application" :aria-label="help"
        @pointerdown="onPointerDown" @pointermove="onPointerMove" @pointerleave="onPointerLeave"
        @pointerup="onPointerUp" @pointercancel="pressed.delete($event.pointerId)" @keydown="onKey"
        @focus="showCross($event.target.matches(':focus-visible'))" @blur="showCross(false)"
      ></canvas>
      <div v-if="cross" class="nital-viewer-cross" aria-hidden="true"></div>
      <template v-if="source">
        <div v-for="line in lines" :key="line.name" :class="'nital-viewer-' + line.name"
          :style="line.style" role="slider" tabindex="0" :aria-label="line.label"
          :aria-orientation="line.orientation" :aria-valuemin="line.min" :aria-valuemax="line.max"
          :aria-valuenow="line.now" @keydown="onLineKey(line.name, $event)"
          @pointerdown="$event.currentTarget.setPointerCapture($event.pointerId)"
          @pointermove="dragLine(line.name, $event)"
          @lostpointercapture="$emit(line.name, at[line.name])">
          <span aria-hidden="true">{{ line.text }}</span>
        </div>
        <div class="nital-viewer-buttons" role="group" aria-label="Zoom">
          <button type="button" v-for="[text, label, title, act] in buttons" :key="text"
            :aria-label="label" :title="title" @click="act">{{ text }}</button>
        </div>
        <div class="nital-viewer-foot">
          <div class="nital-viewer-status" :aria-live="cross ? 'polite' : 'off'"
            v-text="status"></div>
          <div class="nital-viewer-right">
            <div v-if="mode === 'sure'" class="nital-viewer-legend">unsure <i></i> sure</div>
            <div class="nital-viewer-scale" role="img" :aria-label="'Scale bar: ' + bar.text">
              {{ bar.text }}<i :style="{ width: bar.width + 'px' }"></i>
            </div>
          </div>
        </div>
      </template>
    </div>
  `,
  // See viewer.py.
  props: ["source", "classes", "mode", "opacity", "wipe", "lit", "crop", "live", "digits"],
  emits: ["pick", "wipe", "crop"],

  data() {
    const at = { wipe: this.wipe, crop: this.crop }; // while a line is dragged, ahead of the props
    return { at, cropTop: 0, status: "", cross: false, bar: { width: 0, text: "" } };
  },

  computed: {
    help() {
      if (!this.source) return "No micrograph";
      return (
        `Micrograph ${this.source.name}. Arrow keys move it, plus and minus zoom, 0 shows all, ` +
        "1 shows it pixel by pixel, Enter picks what is under the cross in the middle."
      );
    },
    deepest() {
      return deepestLevel(this.source.rows, this.source.cols);
    },
    lines() {
      const [{ wipe, crop }, lines] = [this.at, []];
      if (wipe != null) {
        const [label, text] = ["Original to the left of this line", "‹ ›"];
        const range = { min: 0, max: 100, now: Math.round(100 * wipe), orientation: "horizontal" };
        lines.push({ name: "wipe", label, text, ...range, style: { left: `${100 * wipe}%` } });
      }
      if (crop != null) {
        const text = "Cut off below this line";
        const range = { min: 1, max: this.source.rows, now: crop, orientation: "vertical" };
        const style = { top: `${this.cropTop}px` };
        lines.push({ name: "crop", label: text, text, ...range, style });
      }
      return lines;
    },
  },

  watch: {
    ...{ source: "showSource", classes: "recolour", lit: "recolour", live: "loadFrame" },
    ...{ mode: "redraw", opacity: "redraw", wipe: "placeLines", crop: "placeLines" },
  },

  created() {
    this.buttons = [
      ["+", "Zoom in", "Zoom in (+)", () => this.zoom(STEP)],
      ["−", "Zoom out", "Zoom out (-)", () => this.zoom(1 / STEP)],
      ["Fit", "Fit", "The whole micrograph (0)", this.fit],
      ["1:1", "1:1", "Pixel by pixel (1)", this.actualSize],
    ];
    // Not in data(): Vue would wrap every pixel map.
    this.tiles = new Tiles(() => this.redraw());
    this.tables = { sure: sureTable() };
    this.size = { width: 0, height: 0 };
    this.view = { scale: 1, x: 0, y: 0 }; // screen pixels a pixel; the pixel in the middle
    this.isFitted = true;
    this.pointer = null; // where the mouse is, or where the last tap was
    this.pressed = new Map(); // pointer -> where it is
    this.hasMoved = false; // since it was pressed: this will be no click
    this.clicked = { x: 0, y: 0, time: -Infinity };
    this.frame = null; // of the live map
    this.framesDrawn = 0;
  },

  mounted() {
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.$el);
    this.recolour();
    this.loadFrame();
  },

  unmounted() {
    this.observer.disconnect();
    cancelAnimationFrame(this.drawing);
    clearTimeout(this.retry);
    this.tiles.clear();
  },

  methods: {
    ...drawing,
    ...input,

    // -- What the server sends

    showSource(now, before) {
      const isSame = ["url", "rows", "cols"].every((key) => now?.[key] === before?.[key]);
      if (isSame) return this.redraw();
      this.tiles.clear();
      this.fit();
    },

    recolour() {
      const colours = [null, ...this.classes.map((each) => each.colour)];
      const isLit = (label) => this.lit?.includes(label);
      const unlit = Array.from({ length: 256 }, (_, label) => (isLit(label) ? null : BLACK));
      this.keepTable("classes", colourTable(colours));
      this.keepTable("lit", colourTable(colours.map((each, label) => isLit(label) && each)));
      this.keepTable("unlit", colourTable(unlit));
      this.redraw();
    },

    /** Sets a table unless there is the same one already: then what it painted is still right. */
    keepTable(name, table) {
      if (!this.tables[name]?.every((each, at) => each === table[at])) this.tables[name] = table;
    },

    async loadFrame() {
      if (this.live) this.keepTable("live", colourTable([null, ...this.live.colours]));
      else this.frame = this.frameUrl = null;
      this.redraw();
      const url = this.live?.url;
      if (!url || this.isFrameLoading || url === this.frameUrl) return;
      this.isFrameLoading = true;
      this.frameUrl = url;
      const frame = await load(url, this.live).catch(() => null); // the next one comes soon
      this.isFrameLoading = false;
      if (frame) this.frame = frame;
      this.loadFrame();
    },

    placeLines() {
      this.at = { wipe: this.wipe, crop: this.crop };
      this.redraw();
    },

    // -- The view

    resize() {
      this.size = { width: this.$el.clientWidth, height: this.$el.clientHeight };
      if (this.isFitted) this.fit();
      else this.look({});
    },

    look({ scale = this.view.scale, x = this.view.x, y = this.view.y }) {
      if (!this.source) return this.redraw();
      const fit = this.fitScale();
      this.view = {
        scale: clamp(scale, fit / 2, Math.max(MAX_ZOOM, fit)),
        x: clamp(x, 0, this.source.cols),
        y: clamp(y, 0, this.source.rows),
      };
      this.isFitted = false;
      clearTimeout(this.retry);
      if (this.tiles.failed.size) this.retry = setTimeout(this.tryAgain, 300); // when it rests
      this.redraw();
    },

    tryAgain() {
      this.tiles.failed.clear();
      this.redraw();
    },

    fitScale() {
      const { width, height } = this.size;
      return Math.max(Math.min(width / this.source.cols, height / this.source.rows), 1e-6);
    },

    fit() {
      if (!this.source) return this.redraw();
      this.look({ scale: this.fitScale(), x: this.source.cols / 2, y: this.source.rows / 2 });
      this.isFitted = true;
    },

    actualSize() {
      this.look({ scale: 1 / window.devicePixelRatio });
    },

    /** Zooms so that what is at a point stays there. */
    zoom(factor, point = this.middle()) {
      if (!this.source) return;
      const before = this.imageAt(point);
      this.look({ scale: this.view.scale * factor });
      const after = this.imageAt(point);
      this.look({ x: this.view.x + before.x - after.x, y: this.view.y + before.y - after.y });
    },

    /** Moves the micrograph by so many screen pixels. */
    pan(right, down) {
      const { scale, x, y } = this.view;
      this.look({ x: x - right / scale, y: y - down / scale });
    },

    middle() {
      return { x: this.size.width / 2, y: this.size.height / 2 };
    },

    /** Where a point of the viewer is on the micrograph: in pixels, x is along the columns. */
    imageAt(point) {
      const { scale, x, y } = this.view;
      const middle = this.middle();
      return { x: x + (point.x - middle.x) / scale, y: y + (point.y - middle.y) / scale };
    },

    pointOf(event) {
      const corner = this.$el.getBoundingClientRect();
      return { x: event.clientX - corner.left, y: event.clientY - corner.top };
    },
    // -- What is where

    /** The pixel that a point shows, {row, col, label}; null outside of the micrograph. */
    pixelAt(point) {
      if (!this.source || !point) return null;
      const [row, col] = [this.imageAt(point).y, this.imageAt(point).x].map(Math.floor);
      if (row < 0 || col < 0 || row >= this.source.rows || col >= this.source.cols) return null;
      const finest = levelFor(this.view.scale * window.devicePixelRatio, this.deepest);
      for (let level = finest; level <= this.deepest; level++) {
        const [r, c] = [row >> level, col >> level];
        const place = { level, row: Math.floor(r / SIDE), col: Math.floor(c / SIDE) };
        const tile = this.tiles.held.get(this.urlOf("labels", place));
        if (!tile) continue;
        const label = tile.bytes[(r % SIDE) * tile.cols + (c % SIDE)];
        return { row: r << level, col: c << level, label };
      }
      return { row, col, label: null };
    },

    describe() {
      const found = this.pixelAt(this.cross ? this.middle() : this.pointer);
      const place = found && placeText(found.row, found.col, this.source.pixel_size);
      const title = found?.label === 0 ? "excluded" : this.classes[found?.label - 1]?.title;
      // While there is a live map, labels are those of an earlier run.
      const text = [!this.live && title, place].filter(Boolean).join(" · ");
      this.status = this.hasFailed ? "picture could not be loaded" : text;
    },

    pick(point, { shiftKey, ctrlKey, metaKey }) {
      const found = this.pixelAt(point);
      if (!found) return;
      const phase = this.classes[found.label - 1]?.phase ?? null;
      this.$emit("pick", { ...found, phase, shift: shiftKey, ctrl: ctrlKey || metaKey });
    },
  },
};
