// Time from left to right: for each member what it was in which term, what was done to it, who was
// elected, and which writes were acknowledged. Dragging shows an earlier moment.

import { clock, roleWords, termClass } from "./words.js";
import { svg } from "./dom.js";
import { eventWords } from "./picture.js";

const LEFT = 46;
const RIGHT = 14;
const FLAGS = 26;
const LANE = 30;
const WRITES = 34;
const AXIS = 20;
const SNAP = 5; // pixels

// Drawn around 0,0: what was done to a member.
const GLYPHS = {
  killed: "M-5-5 5 5M5-5-5 5",
  stopped: "M-4.5-4.5h9v9h-9z",
  paused: "M-3-5V5M3-5V5",
  resumed: "M-4-5 5 0-4 5z",
  started: "M0 5.5V-5M-4.5-1 0-5.5 4.5-1",
};

export class Timeline {
  constructor(place, slider, playback) {
    this.playback = playback;
    this.slider = slider;
    this.drawing = svg("svg", { class: "lanes", role: "img", "aria-label": "Terms and events over time" });
    place.replaceChildren(this.drawing);
    this.place = place;
    this.bands = new Map();
    this.#listen();
  }

  update(history, now) {
    const { from, until } = this.playback.window(now);
    const width = Math.max(300, this.place.clientWidth);
    this.x = (time) => LEFT + ((time - from) / (until - from)) * (width - LEFT - RIGHT);
    this.timeAt = (x) => from + ((x - LEFT) / (width - LEFT - RIGHT)) * (until - from);
    this.history = history;
    const within = (record) => record.time >= from && record.time <= until;
    const events = history.events.filter(within);
    const marks = events.filter((event) => event.action);
    const lanes = history.names.map((name, index) => {
      const marked = marks.filter((event) => event.member === name).map((event) => this.x(event.time));
      return this.#lane(name, FLAGS + index * LANE, { from, until: Math.min(until, now), marked });
    });
    const top = FLAGS + history.names.length * LANE;
    const height = top + WRITES + AXIS;
    this.drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.drawing.setAttribute("height", height);
    this.drawing.replaceChildren(
      hatch(),
      ...lanes,
      ...this.#flags(events, top, width),
      ...marks.map((event) => this.#mark(event)),
      this.#writes(history.requests.filter(within), top),
      ...this.#axis(from, until, top + WRITES),
      this.#cursor(now, top + WRITES),
    );
    this.#setSlider(history, from, until);
  }

  #lane(name, y, part) {
    const bands = this.#bandsOf(name).filter((band) => band.until > part.from && band.from < part.until);
    return svg("g", { class: "lane" },
      svg("text", { class: "label", x: 4, y: y + LANE / 2 + 5 }, name),
      ...bands.map((band) => this.#band(band, y, part)));
  }

  // Bands change seldom, the window all the time.
  #bandsOf(name) {
    const known = this.bands.get(name);
    if (known?.history === this.history && known.turned === this.history.turned) return known.bands;
    const bands = this.history.bands(name);
    this.bands.set(name, { history: this.history, turned: this.history.turned, bands });
    return bands;
  }

  #band(band, y, { from, until, marked }) {
    const left = this.x(Math.max(band.from, from));
    const width = Math.max(1.5, this.x(Math.min(band.until, until)) - left);
    const what = band.status === "running" ? band.role || "starting" : band.status;
    const thin = what === "leader" ? 0 : what === "down" ? 11 : 5;
    const words = bandWords(band);
    const inset = marked.some((x) => Math.abs(x - left) < 14) ? 15 : 6; // words go beside a mark
    const place = { x: left, y: y + 3 + thin, width, height: LANE - 6 - 2 * thin };
    return svg("g", { class: `band ${what} ${termClass(band.term)}` },
      svg("title", {}, `${roleWords(band)}${band.term ? `, term ${band.term}` : ""}, from ${clock(band.from)}`),
      svg("rect", place),
      what === "paused" || what === "candidate" || what === "pre-candidate"
        ? svg("rect", { ...place, class: "hatch" }) : null,
      width > words.length * 7.2 + inset ? svg("text", { x: left + inset, y: y + LANE / 2 + 4.5 }, words) : null);
  }

  #flags(events, bottom, end) {
    let free = 0;
    return events.filter((event) => event.step === "elected").map((event) => {
      const x = this.x(event.time);
      const words = `★ ${event.member}, term ${event.term}`;
      const long = words.length * 7.6 + 6;
      const left = Math.min(x + 4, end - long);
      const room = left >= free;
      if (room) free = left + long;
      return svg("g", { class: `flag ${termClass(event.term)}` },
        svg("title", {}, `${clock(event.time)} ${event.member} ${event.text}`),
        svg("path", { d: `M${x} ${room ? 6 : FLAGS - 6}V${bottom}` }),
        room ? svg("text", { x: left, y: 16 }, words) : null);
    });
  }

  #mark(event) {
    const y = FLAGS + this.history.names.indexOf(event.member) * LANE + LANE / 2;
    return svg("g", { class: `mark ${event.action}`, transform: `translate(${this.x(event.time)} ${y})` },
      svg("title", {}, `${clock(event.time)} ${event.member} ${event.text}`),
      svg("circle", { r: 9 }),
      svg("path", { d: GLYPHS[event.action] ?? "" }));
  }

  #writes(requests, y) {
    const drawn = {}; // where the last one of each kind is: one more on the same spot would not be seen
    const seen = requests.filter(({ time, ok, operation }) => {
      const kind = `${ok} ${operation}`;
      if (this.x(time) - (drawn[kind] ?? -Infinity) < 2) return false;
      drawn[kind] = this.x(time);
      return true;
    });
    const dots = seen.map((request) => {
      const x = this.x(request.time);
      const title = svg("title", {}, `${clock(request.time)} ${request.member} ${eventWords(request)}`);
      const kind = request.operation === "put" ? "put" : "get";
      return request.ok
        ? svg("g", { class: `request ok ${kind}` }, title, svg("circle", { cx: x, cy: y + 10, r: 3.5 }))
        : svg("g", { class: `request refused ${kind}` }, title, svg("path", { d: `M${x - 4} ${y + 20}l8 8m0-8-8 8` }));
    });
    return svg("g", { class: "lane" },
      svg("text", { class: "label small", x: 4, y: y + 14 }, "acked"),
      svg("text", { class: "label small", x: 4, y: y + 28 }, "refused"),
      ...dots);
  }

  #axis(from, until, y) {
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200].map((seconds) => seconds * 1000);
    const step = steps.find((each) => (until - from) / each <= 8) ?? steps.at(-1);
    const marks = [];
    for (let time = Math.ceil(from / step) * step; time <= until; time += step) {
      const x = this.x(time);
      marks.push(svg("path", { class: "tick", d: `M${x} ${y}v4` }),
        svg("text", { class: "tick", x, y: y + 16 }, clock(time).slice(0, 8)));
    }
    return [svg("path", { class: "tick", d: `M${LEFT} ${y}H${this.x(until)}` }), ...marks];
  }

  #cursor(now, height) {
    const x = this.x(this.playback.time ?? now);
    return svg("g", { class: `cursor ${this.playback.live ? "live" : ""}` },
      svg("path", { d: `M${x} 0V${height}` }), svg("path", { class: "knob", d: `M${x - 6} 0h12l-6 8z` }));
  }

  #setSlider(history, from, until) {
    const { slider, playback } = this;
    slider.min = from;
    slider.max = until;
    slider.value = playback.time ?? until;
    const event = playback.live ? null : history.eventAt(playback.time);
    const words = event ? `, ${event.member} ${eventWords(event)}` : "";
    slider.setAttribute("aria-valuetext", playback.live ? "live" : `${clock(playback.time)}${words}`);
  }

  #listen() {
    const scrubTo = (event) => {
      const x = event.clientX - this.drawing.getBoundingClientRect().left;
      const time = this.timeAt(x);
      const near = this.history.eventAt(this.timeAt(x + SNAP));
      this.playback.goTo(near && this.x(near.time) >= x - SNAP ? near.time : time);
    };
    this.drawing.addEventListener("pointerdown", (event) => {
      if (!this.history) return;
      this.drawing.setPointerCapture(event.pointerId);
      scrubTo(event);
    });
    this.drawing.addEventListener("pointermove", (event) => {
      if (this.drawing.hasPointerCapture(event.pointerId)) scrubTo(event);
    });
    this.slider.addEventListener("input", () => this.playback.goTo(Number(this.slider.value)));
    const keys = {
      ArrowLeft: () => this.playback.back(),
      ArrowRight: () => this.playback.forward(),
      Home: () => this.playback.goTo(this.history.begin),
      End: () => this.playback.goLive(),
    };
    this.slider.addEventListener("keydown", (event) => {
      if (!keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }
}

function bandWords(band) {
  if (band.status === "down" || band.status === "unknown") return "";
  if (band.status === "paused") return `❚❚ paused T${band.term}`;
  const term = band.term ? `T${band.term}` : "starting";
  return band.role === "leader" ? `★ ${term}` : term;
}

function hatch() {
  return svg("defs", {},
    svg("pattern", { id: "hatch", width: 7, height: 7, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("path", { d: "M0 0V7", class: "stroke" })));
}

