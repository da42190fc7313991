// A micrograph as tiles of a pyramid and, over it, a map of fine classes that this page colours.

const SIDE = 512; // of a tile, in pixels
const TILES_HELD = 160;
const MAX_ZOOM = 40; // screen pixels a pixel
const STEP = 1.5; // of a button or a key
const DOUBLE_CLICK = 400; // ms
const LIT_TINT = 0.65;
const UNLIT_SHADE = 0.55; // leaves 0.45 of the luminance
const BACKDROP = "#1b1d20";
const CUT_OFF = "rgba(27, 29, 32, 0.7)";
const BLACK = "#000000";
const RAMP = ["#00204c", "#414d6b", "#7c7b78", "#b9ac70", "#ffea46"]; // of cividis: unsure to sure
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// ---- Pure functions -------------------------------------------------------------------------

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The first level at which the whole micrograph is one tile. */
export function deepestLevel(rows, cols) {
  return Math.max(0, Math.ceil(Math.log2(Math.max(rows, cols) / SIDE)));
}

/** The finest level whose pixels are not smaller than half a device pixel. */
export function levelFor(scale, deepest) {
  return clamp(Math.ceil(Math.log2(0.5 / scale)), 0, deepest);
}

/** Tiles {level, row, col} that lie in a part of the micrograph, those in its middle first. */
export function tilesIn({ left, top, right, bottom }, level) {
  const side = SIDE * 2 ** level;
  const tiles = [];
  for (let row = Math.floor(top / side); row * side < bottom; row++)
    for (let col = Math.floor(left / side); col * side < right; col++)
      tiles.push({ level, row, col });
  const [middleRow, middleCol] = [(top + bottom) / 2 / side - 0.5, (left + right) / 2 / side - 0.5];
  const far = (tile) => Math.hypot(tile.row - middleRow, tile.col - middleCol);
  return tiles.sort((a, b) => far(a) - far(b));
}

const channels = (colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));

/** An opaque pixel as it lies in ImageData: all machines that run browsers are little-endian. */
const pixel = ([r, g, b]) => (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;

/** A pixel for each byte: colours[i] is that of byte i; where there is none, see-through. */
export function colourTable(colours) {
  const bytes = { length: 256 };
  return Uint32Array.from(bytes, (_, i) => (colours[i] ? pixel(channels(colours[i])) : 0));
}

/** A pixel for each of 0 to 100 per cent; bytes above are see-through. */
export function sureTable() {
  const stops = RAMP.map(channels);
  const mixed = (share) => {
    const low = Math.min(Math.floor(share * (stops.length - 1)), stops.length - 2);
    const rest = share * (stops.length - 1) - low;
    return stops[low].map((from, i) => Math.round(from + (stops[low + 1][i] - from) * rest));
  };
  return Uint32Array.from({ length: 256 }, (_, i) => (i > 100 ? 0 : pixel(mixed(i / 100))));
}

/** A map of bytes through a table onto a canvas, which may be an earlier one. */
export function paint({ bytes, rows, cols }, table, canvas = document.createElement("canvas")) {
  if (canvas.width !== cols || canvas.height !== rows)
    [canvas.width, canvas.height] = [cols, rows];
  const image = new ImageData(cols, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[bytes[i]];
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The longest length of 1, 2 or 5 x 10^n that fits into `room` screen pixels: {width, text}. */
export function scaleBar(scale, pixelSize, room) {
  const perUnit = scale / (pixelSize ?? 1); // screen pixels a µm, or a pixel
  const longest = (room / perUnit) * (1 + 1e-9);
  const ten = 10 ** Math.floor(Math.log10(longest));
  const length = ten * [5, 2, 1].find((n) => n * ten <= longest);
  const [unit, size] = pixelSize == null ? ["px", 1] : unitOf(length);
  return { width: length * perUnit, text: `${Number((length / size).toPrecision(3))} ${unit}` };
}

const unitOf = (length) => (length < 1 ? ["nm", 1e-3] : length < 1000 ? ["µm", 1] : ["mm", 1000]);

/** "row 3 (0.15 µm), column 8 (0.40 µm)" */
export function placeText(row, col, pixelSize) {
  const digits = pixelSize == null ? 0 : clamp(Math.ceil(-Math.log10(pixelSize)), 0, 6);
  const length = (at) => (pixelSize == null ? "" : ` (${(at * pixelSize).toFixed(digits)} µm)`);
  return `row ${row}${length(row)}, column ${col}${length(col)}`;
}

/** Where some points are in the mean, and how far the first and the last are apart. */
function spread(points) {
  const mean = (key) => points.reduce((sum, point) => sum + point[key], 0) / points.length;
  const [first, last] = [points[0], points.at(-1)];
  return { x: mean("x"), y: mean("y"), width: Math.hypot(first.x - last.x, first.y - last.y) };
}

// ---- Tiles ----------------------------------------------------------------------------------

/** A micrograph's tile as {bitmap, rows, cols}, one of a map as {bytes, rows, cols}. */
async function load(url, { layer, rows, cols }, signal) {
  // A proxy may put the page below a prefix, which NiceGUI leaves to components.
  const prefix = url.startsWith("/") ? (window.path_prefix ?? "") : "";
  const response = await fetch(prefix + url, { signal });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  if (layer === "micrograph") {
    // Grey values are measurements: no colour management.
    const how = { colorSpaceConversion: "none" };
    return { bitmap: await createImageBitmap(await response.blob(), how), rows, cols };
  }
  const bytes = new Uint8Array(await response.arrayBuffer());
  if (bytes.length !== rows * cols) throw new Error(`${url}: ${bytes.length} bytes`);
  return { bytes, rows, cols };
}

/** The canvas of a map of bytes, painted again only where its table is another one. */
function painted(map, name, table) {
  map.painted ??= {};
  const { table: before, canvas } = map.painted[name] ?? {};
  if (before !== table) map.painted[name] = { table, canvas: paint(map, table, canvas) };
  return map.painted[name].canvas;
}

class Tiles {
  held = new Map(); // URL -> tile, the one out of view for longest first
  loading = new Map(); // URL -> AbortController
  failed = new Set();

  constructor(onChange) {
    this.onChange = onChange;
  }

  /** Loads what is missing of `wanted` (URL -> {layer, rows, cols}), and nothing else any more. */
  want(wanted) {
    for (const [url, controller] of this.loading)
      if (!wanted.has(url)) {
        controller.abort();
        this.loading.delete(url);
      }
    for (const [url, tile] of wanted) {
      const held = this.held.get(url);
      if (held) this.held.delete(url) && this.held.set(url, held);
      else if (!this.loading.has(url) && !this.failed.has(url)) this.start(url, tile);
    }
    for (const url of this.held.keys()) {
      if (this.held.size <= TILES_HELD || wanted.has(url)) break;
      this.drop(url);
    }
  }

  async start(url, tile) {
    const controller = new AbortController();
    this.loading.set(url, controller);
    const loaded = await load(url, tile, controller.signal).catch(() => null);
    if (controller.signal.aborted) return;
    this.loading.delete(url);
    if (loaded) this.held.set(url, loaded);
    else this.failed.add(url);
    this.onChange();
  }

  drop(url) {
    this.held.get(url).bitmap?.close();
    this.held.delete(url);
  }

  clear() {
    this.want(new Map());
    [...this.held.keys()].forEach((url) => this.drop(url));
    this.failed.clear();
  }
}

// ---- The component --------------------------------------------------------------------------

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
    addStyle();
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

    // -- Drawing

    redraw() {
      if (!this.$refs.canvas) return; // not there yet, or gone
      this.$el.dataset.ready = "false";
      this.drawing ||= requestAnimationFrame(() => {
        this.drawing = 0;
        this.draw();
      });
    },

    draw() {
      const { canvas } = this.$refs;
      const ratio = window.devicePixelRatio;
      const width = Math.round(this.size.width * ratio);
      const height = Math.round(this.size.height * ratio);
      if (canvas.width !== width || canvas.height !== height)
        [canvas.width, canvas.height] = [width, height];
      const context = canvas.getContext("2d", { alpha: false });
      context.fillStyle = BACKDROP;
      context.fillRect(0, 0, width, height);
      if (!this.source || !width || !height) return;
      const stage = this.stageOf(context, this.view.scale * ratio);
      const isReady = this.askFor(stage.tiles);
      this.drawLayers(stage);
      const [left, , across] = stage.whole;
      const [cut, bottom] = [this.at.crop ?? this.source.rows, this.source.rows].map(stage.down);
      context.fillStyle = CUT_OFF;
      context.fillRect(left, cut, across, bottom - cut);
      this.cropTop = clamp(cut / ratio, 0, this.size.height);
      this.bar = scaleBar(this.view.scale, this.source.pixel_size, this.size.width / 4);
      this.describe();
      this.$el.dataset.frames = this.framesDrawn;
      this.$el.dataset.ready = isReady;
    },

    /** What drawing needs: the tiles in view; from columns and rows to whole device pixels. */
    stageOf(context, scale) {
      const [{ rows, cols }, { x, y }] = [this.source, this.view];
      const { width, height } = context.canvas;
      const part = {
        left: clamp(x - width / 2 / scale, 0, cols),
        right: clamp(x + width / 2 / scale, 0, cols),
        top: clamp(y - height / 2 / scale, 0, rows),
        bottom: clamp(y + height / 2 / scale, 0, rows),
      };
      const tiles = tilesIn(part, levelFor(scale, this.deepest));
      const right = (col) => Math.round((col - x) * scale + width / 2);
      const down = (row) => Math.round((row - y) * scale + height / 2);
      const whole = [right(0), down(0), right(cols) - right(0), down(rows) - down(0)];
      return { context, scale, tiles, right, down, whole };
    },

    urlOf(layer, { level, row, col }) {
      return `${this.source.url}/${layer}/${level}/${row}/${col}?v=${this.source[layer]}`;
    },

    /** Asks for what is in view; whether all of it is here. */
    askFor(tiles) {
      const { rows, cols } = this.source;
      // Labels always, for the pointer asks for them; the whole first, as something to look at.
      const layers = ["micrograph", "labels", this.mode === "sure" && "sure"];
      const wanted = new Map();
      for (const tile of [{ level: this.deepest, row: 0, col: 0 }, ...tiles])
        for (const layer of layers.filter((each) => each && this.source[each] != null)) {
          const side = (all, at) => Math.min(SIDE, Math.ceil(all / 2 ** tile.level) - at * SIDE);
          const size = { rows: side(rows, tile.row), cols: side(cols, tile.col) };
          wanted.set(this.urlOf(layer, tile), { layer, ...size });
        }
      this.tiles.want(wanted);
      const urls = [...wanted.keys()];
      this.hasFailed = urls.some((url) => this.tiles.failed.has(url));
      return urls.every((url) => this.tiles.held.has(url));
    },

    drawLayers(stage) {
      const { context } = stage;
      const clip = (...rectangle) => {
        context.beginPath();
        context.rect(...rectangle);
        context.clip();
      };
      context.save();
      clip(...stage.whole); // the last pixels of a coarse level reach beyond the micrograph
      context.imageSmoothingEnabled = stage.scale < 1;
      this.drawTiles(stage, "micrograph");
      context.imageSmoothingEnabled = false;
      const { width, height } = context.canvas;
      if (this.at.wipe != null) clip(Math.round(this.at.wipe * width), 0, width, height);
      if (this.mode !== "original") this.drawClasses(stage);
      context.restore();
    },

    drawClasses(stage) {
      const alpha = this.mode === "classes" ? 1 : this.opacity;
      if (this.live && this.frame) return this.drawFrame(stage, alpha);
      if (!this.lit && this.mode === "sure") return this.drawTiles(stage, "sure", "sure");
      if (!this.lit) return this.drawTiles(stage, "labels", "classes", alpha);
      // What takes on the saturation of black is grey, and keeps its luminance.
      stage.context.globalCompositeOperation = "saturation";
      this.drawTiles(stage, "labels", "unlit");
      stage.context.globalCompositeOperation = "source-over";
      this.drawTiles(stage, "labels", "unlit", UNLIT_SHADE);
      this.drawTiles(stage, "labels", "lit", LIT_TINT);
    },

    drawFrame({ context, whole }, alpha) {
      context.globalAlpha = alpha;
      context.drawImage(painted(this.frame, "live", this.tables.live), ...whole);
      if (!this.frame.isDrawn) this.framesDrawn += 1;
      this.frame.isDrawn = true;
    },

    /** Each tile in view, maps through a table; until one is here, its part of a coarser one. */
    drawTiles({ context, tiles, right, down }, layer, table, alpha = 1) {
      context.globalAlpha = alpha;
      for (const { level, row, col } of tiles)
        for (let up = 0; level + up <= this.deepest; up++) {
          const coarser = { level: level + up, row: row >> up, col: col >> up };
          const tile = this.tiles.held.get(this.urlOf(layer, coarser));
          if (!tile) continue;
          const side = SIDE >> up; // of that part, in its pixels
          const [left, top] = [(col % 2 ** up) * side, (row % 2 ** up) * side];
          const width = Math.min(side, tile.cols - left);
          const height = Math.min(side, tile.rows - top);
          const [x, y, step] = [col * side, row * side, 2 ** coarser.level];
          const to = [right(x * step), down(y * step)]; // whole device pixels: seams would show
          const size = [right((x + width) * step) - to[0], down((y + height) * step) - to[1]];
          const picture = tile.bitmap ?? painted(tile, table, this.tables[table]);
          context.drawImage(picture, left, top, width, height, ...to, ...size);
          break;
        }
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

    // -- Mouse, fingers, keys

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
  },
};

// ---- Looks ----------------------------------------------------------------------------------

// White on dark in light mode as well: it lies on the micrograph, and is read on any grey.
const STYLE = `
.nital-viewer { position: relative; width: 100%; height: 100%; min-height: 320px; overflow: hidden;
  background: ${BACKDROP}; color: #f4f4f2; font-size: 13px; line-height: 1.35; user-select: none;
  --nital-viewer-chip: rgba(27, 29, 32, 0.82); --nital-viewer-edge: rgba(255, 255, 255, 0.14);
  --nital-viewer-focus: #ffc857; }
.nital-viewer canvas { position: absolute; inset: 0; width: 100%; height: 100%; display: block;
  touch-action: none; cursor: crosshair; }
.nital-viewer :focus-visible { outline: 2px solid var(--nital-viewer-focus); outline-offset: -2px; }
.nital-viewer-cross { position: absolute; left: 50%; top: 50%; width: 29px; height: 29px;
  transform: translate(-50%, -50%); pointer-events: none;
  filter: drop-shadow(0 0 1px #000) drop-shadow(0 0 1px #000);
  background: linear-gradient(#fff, #fff) 50% / 29px 1px no-repeat,
    linear-gradient(#fff, #fff) 50% / 1px 29px no-repeat; }
.nital-viewer-buttons { position: absolute; top: 10px; right: 10px; display: flex; overflow: hidden;
  border: 1px solid var(--nital-viewer-edge); border-radius: 6px;
  background: var(--nital-viewer-chip); }
.nital-viewer-buttons button { min-width: 34px; height: 34px; padding: 0 8px; border: 0;
  background: none; color: inherit; font: inherit; cursor: pointer; }
.nital-viewer-buttons button:hover { background: rgba(255, 255, 255, 0.16); }
.nital-viewer-foot { position: absolute; inset: auto 10px 10px; display: flex; gap: 10px;
  align-items: flex-end; justify-content: space-between; pointer-events: none; }
.nital-viewer-right { display: flex; flex-direction: column; align-items: flex-end; gap: 6px; }
.nital-viewer-status, .nital-viewer-legend, .nital-viewer-scale { padding: 4px 8px;
  border: 1px solid var(--nital-viewer-edge); border-radius: 4px;
  background: var(--nital-viewer-chip); font-variant-numeric: tabular-nums; }
.nital-viewer-status:empty { visibility: hidden; }
.nital-viewer-legend, .nital-viewer-scale { white-space: nowrap; flex: none; }
.nital-viewer-legend i { display: inline-block; width: 80px; height: 10px; margin: 0 4px;
  background: linear-gradient(to right, ${RAMP}); }
.nital-viewer-scale { text-align: center; }
.nital-viewer-scale i { display: block; height: 6px; border: 2px solid; border-top: 0; }
.nital-viewer-wipe, .nital-viewer-crop { position: absolute; touch-action: none; display: grid;
  place-items: center; filter: drop-shadow(0 0 1px #000); }
.nital-viewer-wipe { top: 0; bottom: 0; width: 28px; margin-left: -14px; cursor: ew-resize;
  background: linear-gradient(#fff, #fff) 50% / 2px 100% no-repeat; }
.nital-viewer-crop { left: 0; right: 0; height: 28px; margin-top: -14px; cursor: ns-resize;
  background: linear-gradient(#fff, #fff) 50% / 100% 2px no-repeat; }
.nital-viewer-wipe span, .nital-viewer-crop span { padding: 3px 8px; border-radius: 14px;
  background: #fff; color: ${BACKDROP}; white-space: nowrap; }
@media (pointer: coarse) { .nital-viewer-buttons button { min-width: 44px; height: 44px; } }
`;

function addStyle() {
  if (document.getElementById("nital-viewer-style")) return;
  const style = Object.assign(document.createElement("style"), { id: "nital-viewer-style" });
  style.textContent = STYLE;
  document.head.append(style);
}
