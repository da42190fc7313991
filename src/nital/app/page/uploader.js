// Sends files as they are, one after the other: those chosen by a button or dropped on it, or those
// that are dropped anywhere on the page.

export default {
  template: `
    <div class="nital-uploader" @dragover.prevent @drop="droppedHere">
      <template v-if="!anywhere">
        <button type="button" class="nital-uploader-button" :disabled="busy"
                @click="$refs.input.click()">{{ label }}</button>
        <input ref="input" type="file" :multiple="multiple" :accept="accept" :aria-label="label"
               class="nital-uploader-input" tabindex="-1" @change="chosen" />
      </template>
      <div role="status" :class="['nital-uploader-state', { 'nital-uploader-apart': anywhere }]">
        <template v-if="busy">
          {{ name }}: {{ percent }} %<span v-if="waiting.length">, {{ waiting.length }} to come</span>
          <progress :value="percent" max="100" :aria-label="name"></progress>
        </template>
      </div>
      <div v-if="anywhere && dragging" class="nital-uploader-drop">{{ label }}</div>
    </div>`,
  props: { url: String, label: String, accept: String, multiple: Boolean, anywhere: Boolean },
  data() {
    return { waiting: [], busy: false, name: "", percent: 0, dragging: false };
  },
  mounted() {
    addStyle();
    if (!this.anywhere) return;
    this.listeners = { dragover: this.over, dragleave: this.leave, drop: this.dropped };
    for (const [event, handler] of Object.entries(this.listeners)) {
      window.addEventListener(event, handler);
    }
  },
  unmounted() {
    for (const [event, handler] of Object.entries(this.listeners || {})) {
      window.removeEventListener(event, handler);
    }
  },
  methods: {
    chosen(event) {
      this.take(event.target.files);
      event.target.value = ""; // so that the same file can be chosen again
    },
    over(event) {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      this.dragging = true;
    },
    leave(event) {
      if (!event.relatedTarget) this.dragging = false;
    },
    droppedHere(event) {
      event.preventDefault(); // and so nobody else takes it
      this.take(event.dataTransfer.files);
    },
    dropped(event) {
      this.dragging = false;
      if (event.defaultPrevented || !event.dataTransfer.files.length) return;
      event.preventDefault();
      this.take(event.dataTransfer.files);
    },
    take(files) {
      this.waiting.push(...files);
      if (!this.busy) this.next();
    },
    next() {
      const file = this.waiting.shift();
      this.busy = Boolean(file);
      if (!file) return;
      this.name = file.name;
      this.percent = 0;
      const request = new XMLHttpRequest();
      request.open("POST", this.url);
      request.setRequestHeader("X-File-Name", encodeURIComponent(file.name));
      request.upload.onprogress = (event) => {
        this.percent = Math.round((100 * event.loaded) / (event.total || 1));
      };
      request.onloadend = () => {
        if (request.status !== 200) {
          const reason = request.status ? request.responseText : "the connection was lost";
          this.$emit("refused", { name: file.name, reason });
        }
        this.next();
      };
      request.send(file);
    },
  },
};

function addStyle() {
  if (document.getElementById("nital-uploader-style")) return;
  const style = document.createElement("style");
  style.id = "nital-uploader-style";
  style.textContent = `
    .nital-uploader { width: 100% }
    .nital-uploader-button {
      width: 100%; padding: 14px 12px; border: 2px dashed currentColor; border-radius: 8px;
      background: none; color: inherit; font: inherit; cursor: pointer }
    .nital-uploader-button:disabled { opacity: 0.6; cursor: default }
    .nital-uploader-button:focus-visible { outline: 3px solid #2f6fde; outline-offset: 2px }
    .nital-uploader-input { display: none }
    .nital-uploader-state { min-height: 1.4em; font-size: 0.85em }
    .nital-uploader-apart {
      position: fixed; left: 12px; bottom: 60px; z-index: 9000; padding: 0 12px; border-radius: 8px;
      background: rgb(16 24 40 / 90%); color: white; width: 260px }
    .nital-uploader-apart:not(:has(progress)) { display: none }
    .nital-uploader-state progress { width: 100% }
    .nital-uploader-drop {
      position: fixed; inset: 12px; z-index: 9000; display: grid; place-items: center;
      border: 4px dashed #2f6fde; border-radius: 12px; background: rgb(16 24 40 / 80%);
      color: white; font-size: 1.6em; pointer-events: none }
  `;
  document.head.append(style);
}
