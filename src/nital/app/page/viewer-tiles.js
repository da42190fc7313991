// Tiles and live maps: how they are loaded, held and painted.

const TILES_HELD = 160;

/** A micrograph's tile as {bitmap, rows, cols}, one of a map as {bytes, rows, cols}. */
export async function load(url, { layer, rows, cols }, signal) {
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

/** The canvas of a map of bytes, painted again only where its table is another one. */
export function painted(map, name, table) {
  map.painted ??= {};
  const { table: before, canvas } = map.painted[name] ?? {};
  if (before !== table) map.painted[name] = { table, canvas: paint(map, table, canvas) };
  return map.painted[name].canvas;
}

/** The tiles that are here, on their way, or could not be loaded. */
export class Tiles {
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
