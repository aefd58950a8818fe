// The tail of the log as one stream that resumes by itself.

const SILENT_MS = 45000;
const WAITS_MS = [1000, 2000, 4000, 8000];
const FINAL = new Set([400, 401, 403, 404, 422]);

export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code || "";
    this.fix = problem.fix || "";
    this.isFinal = FINAL.has(status);
  }
}

export async function answered(response) {
  if (response.ok || response.status === 304) return response;
  const problem = await response.json().catch(() => ({}));
  throw new Refused(response.status, problem);
}

export class Tail {
  constructor(headers, told) {
    this.headers = headers;
    this.told = told; // {state(name), frame(name, data, seq), refused(error)}
    this.cursor = null;
    this.epoch = null;
    this.over = new AbortController();
  }

  close() {
    this.over.abort();
  }

  // Follows the log after `seq` until it is closed or refused for good.
  async follow(seq) {
    this.cursor = seq;
    for (let tries = 0; !this.over.signal.aborted; tries += 1) {
      this.told.state(tries ? "reconnecting" : "connecting");
      try {
        await this.once(() => { tries = 0; });
      } catch (error) {
        if (this.over.signal.aborted) return;
        if (error instanceof Refused && error.isFinal) return this.told.refused(error);
      }
      if (!this.over.signal.aborted) await this.pause(tries);
    }
  }

  async once(opened) {
    const one = new AbortController();
    const stop = () => one.abort();
    this.over.signal.addEventListener("abort", stop, { once: true });
    let alarm = setTimeout(stop, SILENT_MS);
    const query = this.epoch ? `?epoch=${encodeURIComponent(this.epoch)}` : "";
    const headers = { ...this.headers, Accept: "text/event-stream", "Last-Event-ID": String(this.cursor) };
    try {
      const request = fetch(`/collab/events/tail${query}`, { headers, signal: one.signal, cache: "no-store" });
      const reader = (await answered(await request)).body.pipeThrough(new TextDecoderStream()).getReader();
      let text = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(alarm);
        alarm = setTimeout(stop, SILENT_MS);
        opened();
        const frames = (text + value).split("\n\n");
        text = frames.pop();
        frames.forEach((frame) => this.read(frame));
      }
    } finally {
      clearTimeout(alarm);
      this.over.signal.removeEventListener("abort", stop);
    }
  }

  read(frame) {
    let name = "message";
    let seq = null;
    let data = "";
    for (const line of frame.split("\n")) {
      const colon = line.indexOf(":");
      const field = line.slice(0, colon);
      const value = line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") name = value;
      else if (field === "id") seq = Number(value);
      else if (field === "data") data += value;
    }
    if (!data) return;
    const payload = JSON.parse(data);
    if (name === "hello") {
      this.epoch = payload.epoch;
      this.told.state(payload.head_seq > this.cursor ? "catching-up" : "live");
    } else if (name === "caught_up") {
      this.told.state("live");
    } else if (name === "reset") {
      this.epoch = payload.epoch;
      this.cursor = payload.head_seq;
      this.told.state("live");
    }
    const missing = seq !== null && seq > this.cursor + 1 ? seq - this.cursor - 1 : 0;
    if (seq !== null) this.cursor = seq;
    this.told.frame(name, payload, missing);
  }

  pause(tries) {
    const wait = WAITS_MS[Math.min(tries, WAITS_MS.length - 1)] * (0.7 + 0.6 * Math.random());
    return new Promise((done) => {
      const timer = setTimeout(done, wait);
      const now = () => { clearTimeout(timer); done(); };
      window.addEventListener("online", now, { once: true });
      this.over.signal.addEventListener("abort", now, { once: true });
    });
  }
}
