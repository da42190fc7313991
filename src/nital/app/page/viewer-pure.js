// Pure functions of the viewer: geometry, colour tables, text.

export const SIDE = 512; // of a tile, in pixels
// Of cividis, unsure to sure; the legend in viewer.css has the same.
const RAMP = ["#00204c", "#414d6b", "#7c7b78", "#b9ac70", "#ffea46"];

// ---- Geometry -------------------------------------------------------------------------------

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

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

/** Where some points are in the mean, and how far the first and the last are apart. */
export function spread(points) {
  const mean = (key) => points.reduce((sum, point) => sum + point[key], 0) / points.length;
  const [first, last] = [points[0], points.at(-1)];
  return { x: mean("x"), y: mean("y"), width: Math.hypot(first.x - last.x, first.y - last.y) };
}

// ---- Colour tables --------------------------------------------------------------------------

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

// ---- Text -----------------------------------------------------------------------------------

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
