// The player: one for each recording of a call. What is heard is put on record by the server before it is sent.
"use strict";

const SKIP = 5;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 1.75, 2];

function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds || 0));
  const two = (number) => String(number).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor((whole % 3600) / 60);
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

class Player {
  constructor(root, isOnly) {
    this.root = root;
    this.isOnly = isOnly;
    this.audio = root.querySelector("audio");
    this.wave = root.querySelector(".wave");
    this.canvas = root.querySelector("canvas");
    this.say = root.querySelector(".say");
    this.shown = root.querySelector(".time b");
    this.total = root.querySelector(".time span");
    this.speed = root.querySelector(".speed select");
    this.peaks = [];
    this.seconds = 0;
    this.start = this.momentAsked();
    this.listen();
    new IntersectionObserver((seen, watcher) => {
      if (seen.some((one) => one.isIntersecting)) {
        watcher.disconnect();
        this.loadWave();
      }
    }).observe(root);
    new ResizeObserver(() => this.draw()).observe(this.wave);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // #t=83.5, or with several recordings #r=1a2b3c4d&t=83.5
  momentAsked() {
    const asked = new URLSearchParams(location.hash.slice(1));
    const mine = asked.get("r") ? this.root.dataset.id.startsWith(asked.get("r")) : this.root === document.querySelector(".player");
    return mine ? Math.max(0, Number.parseFloat(asked.get("t")) || 0) : 0;
  }

  listen() {
    const { audio, root, wave } = this;
    root.addEventListener("click", (event) => {
      Player.active = this;
      const button = event.target.closest("[data-do]");
      if (button) this[button.dataset.do]();
      const channel = event.target.closest("[data-channel]");
      if (channel) this.hear(channel.dataset.channel);
    });
    this.speed.addEventListener("change", () => this.setSpeed(Number(this.speed.value)));
    audio.addEventListener("timeupdate", () => this.show());
    audio.addEventListener("play", () => this.state());
    audio.addEventListener("pause", () => this.state());
    audio.addEventListener("ended", () => this.state());
    audio.addEventListener("durationchange", () => { if (Number.isFinite(audio.duration)) { this.seconds = audio.duration; this.show(); } });
    audio.addEventListener("error", () => { if (audio.src) { this.source = null; this.complain("cannot"); this.state(); } });
    const seekTo = (event) => {
      const box = wave.getBoundingClientRect();
      this.seek(((event.clientX - box.left) / box.width) * this.seconds);
    };
    wave.addEventListener("pointerdown", (event) => { wave.setPointerCapture(event.pointerId); seekTo(event); });
    wave.addEventListener("pointermove", (event) => { if (wave.hasPointerCapture(event.pointerId)) seekTo(event); });
  }

  async ask(path, options = {}) {
    const answer = await fetch(this.root.dataset.base + path, {
      ...options, headers: { Accept: "application/json", "X-CSRF-Token": this.root.dataset.csrf },
    });
    const content = await answer.json();
    if (answer.status === 401) location.href = "/login";
    if (!answer.ok) throw new Error(content.problem);
    return content;
  }

  complain(problem) {
    const words = this.root.dataset;
    this.say.textContent = words[problem] || words.cannot;
    this.say.classList.add("bad");
  }

  tell(text) {
    this.say.textContent = text;
    this.say.classList.remove("bad");
  }

  async loadWave() {
    try {
      const found = await this.ask("/peaks");
      this.peaks = found.peaks;
      this.seconds = found.seconds;
      this.root.querySelector(".channels").hidden = this.peaks.length < 2;
      this.root.dataset.ready = "yes";
    } catch (error) {
      this.complain(error.message);
      this.root.dataset.ready = "no";
    }
    this.wave.classList.remove("loading");
    this.show();
  }

  async play() {
    if (!this.audio.paused) return this.audio.pause();
    for (const other of Player.all) if (other !== this) other.audio.pause();
    try {
      if (!this.source) await this.load();
      if (this.context) await this.context.resume();
      await this.audio.play();
      this.tell("");
    } catch (error) {
      if (error.name !== "AbortError") this.complain(error.message);
    }
    return undefined;
  }

  async load() {
    const at = this.at();
    this.source = (await this.ask("/play", { method: "POST" })).source;
    const ready = new Promise((resolve, reject) => {
      this.audio.addEventListener("loadedmetadata", resolve, { once: true });
      this.audio.addEventListener("error", () => reject(new Error("cannot")), { once: true });
    });
    this.audio.src = this.source;
    this.audio.load();
    await ready;
    this.audio.currentTime = Math.min(at, this.audio.duration || at);
    this.start = 0;
    this.setSpeed(Number(this.speed.value));
  }

  at() { return this.audio.src ? this.audio.currentTime : this.start; }

  seek(seconds) {
    const to = Math.min(Math.max(0, seconds), this.seconds || 0);
    if (this.audio.src) this.audio.currentTime = to;
    else this.start = to;
    this.show();
  }

  back() { this.seek(this.at() - SKIP); }

  forward() { this.seek(this.at() + SKIP); }

  setSpeed(speed) {
    this.audio.playbackRate = speed;
    this.audio.preservesPitch = true;
    this.speed.value = String(speed);
  }

  faster(step) {
    const place = SPEEDS.indexOf(Number(this.speed.value)) + step;
    if (SPEEDS[place]) this.setSpeed(SPEEDS[place]);
  }

  async mark() {
    const at = Math.round(this.at() * 10) / 10;
    const which = this.isOnly ? "" : `r=${this.root.dataset.id.slice(0, 8)}&`;
    history.replaceState(null, "", `#${which}t=${at}`);
    try { await navigator.clipboard.writeText(location.href); } catch { /* the address bar has it */ }
    this.tell(this.root.dataset.marked.replace("{time}", clock(at)));
  }

  // One leg of a stereo recording on both ears.
  hear(channel) {
    for (const button of this.root.querySelectorAll("[data-channel]")) button.setAttribute("aria-pressed", String(button.dataset.channel === channel));
    if (!this.context) {
      if (channel === "both") return;
      this.context = new AudioContext();
      this.input = this.context.createMediaElementSource(this.audio);
      this.splitter = this.context.createChannelSplitter(2);
      this.merger = this.context.createChannelMerger(2);
      this.input.connect(this.splitter);
      this.merger.connect(this.context.destination);
    }
    const from = { left: [0, 0], right: [1, 1], both: [0, 1] }[channel];
    this.splitter.disconnect();
    from.forEach((output, ear) => this.splitter.connect(this.merger, output, ear));
    this.context.resume();
  }

  state() {
    const plays = !this.audio.paused && !this.audio.ended;
    this.root.classList.toggle("playing", plays);
    this.root.querySelector("[data-do=play]").setAttribute("aria-label", plays ? this.root.dataset.pause : this.root.dataset.play);
    this.show();
    if (plays) requestAnimationFrame(() => this.state());
  }

  show() {
    this.shown.textContent = clock(this.at());
    if (this.seconds) this.total.textContent = clock(this.seconds);
    this.wave.setAttribute("aria-valuemax", this.seconds.toFixed(1));
    this.wave.setAttribute("aria-valuenow", this.at().toFixed(1));
    this.wave.setAttribute("aria-valuetext", clock(this.at()));
    this.draw();
  }

  draw() {
    const { width, height } = this.wave.getBoundingClientRect();
    const scale = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * scale)) this.canvas.width = Math.round(width * scale);
    if (this.canvas.height !== Math.round(height * scale)) this.canvas.height = Math.round(height * scale);
    const pen = this.canvas.getContext("2d");
    const colour = (name) => getComputedStyle(this.root).getPropertyValue(name);
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const bars = Math.floor((width - 16) / 4);
    const here = this.seconds ? this.at() / this.seconds : 0;
    const lane = height / Math.max(1, this.peaks.length);
    this.peaks.forEach((peaks, channel) => {
      const kind = channel ? "--wave-2" : "--wave";
      const top = Math.max(1, ...peaks);
      for (let bar = 0; bar < bars; bar += 1) {
        const first = Math.floor((bar / bars) * peaks.length);
        const level = Math.max(...peaks.slice(first, Math.max(first + 1, Math.floor(((bar + 1) / bars) * peaks.length))));
        const tall = Math.max(2, (level / top) * (lane - 14));
        pen.fillStyle = colour((bar + 0.5) / bars <= here ? `${kind}-on` : kind);
        pen.beginPath();
        pen.roundRect(8 + bar * 4, channel * lane + (lane - tall) / 2, 2.6, tall, 1.3);
        pen.fill();
      }
    });
    if (this.peaks.length) {
      pen.fillStyle = colour("--ink");
      pen.fillRect(8 + here * (bars * 4) - 0.75, 4, 1.5, height - 8);
    }
  }
}

Player.all = [];
const roots = [...document.querySelectorAll(".player")].filter((root) => root.querySelector("audio"));
for (const root of roots) Player.all.push(new Player(root, roots.length === 1));
Player.active = Player.all.find((player) => player.start > 0) || Player.all[0];
addEventListener("hashchange", () => {
  for (const player of Player.all) {
    const at = player.momentAsked();
    if (at) player.seek(at);
  }
});

const KEYS = {
  " ": (player) => player.play(), k: (player) => player.play(),
  ArrowLeft: (player) => player.back(), ArrowRight: (player) => player.forward(),
  "[": (player) => player.faster(-1), "]": (player) => player.faster(1),
  m: (player) => player.mark(),
  Home: (player) => player.seek(0), End: (player) => player.seek(player.seconds),
};
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, select, textarea, summary, a") || (event.target.closest("button") && event.key === " ");
  const does = KEYS[event.key] || KEYS[event.key.toLowerCase()];
  if (!Player.active || !does || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  does(event.target.closest(".player") ? Player.all.find((one) => one.root === event.target.closest(".player")) : Player.active);
});
