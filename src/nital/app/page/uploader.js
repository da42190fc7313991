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
