// Which moment is shown: now, or one that a person went back to.

export const PACES = { slow: 2000, normal: 900, fast: 250 }; // milliseconds for each event

export class Playback {
  #timer = null;

  constructor(changed) {
    this.changed = changed;
    this.history = null;
    this.time = null; // null: live
    this.pace = "normal";
    this.span = 120_000; // milliseconds of the timeline's window; Infinity: all
    this.end = null; // of the window, while it stands still
  }

  get live() {
    return this.time === null;
  }

  get playing() {
    return this.#timer !== null;
  }

  // The moment to put together: in live mode whatever is newest.
  get shown() {
    return this.time ?? Infinity;
  }

  // The part of time that the timeline shows.
  window(now) {
    const end = this.end ?? now;
    const begin = Math.min(this.history?.begin ?? end, end);
    return { from: Math.max(begin, end - this.span), until: Math.max(end, begin + 5000) };
  }

  goLive() {
    this.#stop();
    this.time = this.end = null;
    this.changed();
  }

  goTo(time) {
    this.#stop();
    this.#show(time);
  }

  hold() {
    if (this.live) this.goTo(Date.now());
    else {
      this.#stop();
      this.changed();
    }
  }

  back() {
    const event = this.history?.eventBefore(this.shown);
    if (event) this.goTo(event.time);
  }

  forward() {
    const event = this.live ? null : this.history?.eventAfter(this.time);
    if (event) this.goTo(event.time);
    else this.goLive();
  }

  play() {
    if (this.live) this.#show(this.window(Date.now()).from);
    this.#stop();
    this.#timer = setInterval(() => this.#playOn(), PACES[this.pace]);
    this.changed();
  }

  setPace(pace) {
    this.pace = pace;
    if (this.playing) this.play();
  }

  setSpan(span) {
    this.span = span;
    if (!this.live) this.#show(this.time);
    this.changed();
  }

  #playOn() {
    const event = this.history?.eventAfter(this.time);
    if (event) this.#show(event.time);
    else this.goLive();
  }

  #show(time) {
    this.time = Math.max(time, this.history?.begin ?? time);
    this.end ??= Date.now();
    const { from, until } = this.window(this.end);
    // The window stands still while one looks around in it, and follows when one leaves it.
    if (this.time < from || this.time > until) this.end = Math.min(Date.now(), this.time + this.span / 2);
    this.changed();
  }

  #stop() {
    clearInterval(this.#timer);
    this.#timer = null;
  }
}
