// Methods of the viewer that draw: the micrograph, and over it its classes.

import { SIDE, clamp, levelFor, scaleBar, tilesIn } from "./viewer-pure.js";
import { painted } from "./viewer-tiles.js";

const LIT_TINT = 0.65;
const UNLIT_SHADE = 0.55; // leaves 0.45 of the luminance
const BACKDROP = "#1b1d20"; // as in viewer.css
const CUT_OFF = "rgba(27, 29, 32, 0.7)";

export const drawing = {
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
};
