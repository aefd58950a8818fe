// Says what is running and how to connect; shows the board while the page is open.

import { agentTable, columns, eventLine, lasting, leaseTable, make, tick } from "/console/board.js";
import { Tail, answered } from "/console/stream.js";

const AT_ONCE_MS = 150;
const MOST_EVENTS = 200;
const KINDS = {
  tasks: { path: "/collab/state/tasks?view=summary", by: /^(task_|late_result)/ },
  locks: { path: "/collab/state/locks", by: /^(lease_|task_claimed|task_transitioned|task_requeued)/ },
  agents: { path: "/collab/state/agents", by: /^agent_/ },
};
const STATES = {
  closed: "Not connected", connecting: "Connecting", live: "Live", "catching-up": "Catching up",
  reconnecting: "Reconnecting", refused: "Refused",
};
const at = (id) => document.getElementById(id);
let open = null; // {tail, headers, state, offset, dirty, timer, agents…}; the token is nowhere else

// ---- what is running, and how to connect

function term(name, ...value) {
  return [make("dt", {}, name), make("dd", {}, ...value)];
}

async function describe() {
  const about = await (await answered(await fetch("/console/about.json"))).json();
  const ready = await (await fetch("/readyz", { cache: "no-store" })).json();
  const checks = ready.checks.map((one) =>
    make("span", { class: one.ok ? "check" : "check error" }, `${one.ok ? "✔" : "✖"} ${one.name} ${one.ms.toFixed(1)} ms`));
  at("running").replaceChildren(
    ...term("Version", about.version),
    ...term("State", ready.ok ? "ready" : make("strong", { class: "error" }, "not ready")),
    ...term("Checks", ...checks),
    ...term("MCP", make("code", {}, about.mcp_url)),
    ...term("REST", make("code", {}, about.api_url)));
  choose("clients", "client", about.snippets);
  choose("transports", "transport", about.snippets);
  const show = () => snippet(about.snippets);
  at("clients").addEventListener("change", show);
  at("transports").addEventListener("change", show);
  show();
}

function choose(id, name, snippets) {
  const seen = new Map(snippets.map((one) => [one[name === "client" ? "client" : "asked"], one]));
  [...seen].forEach(([value, one], place) => at(id).append(
    make("label", { "data-testid": name === "client" ? `mcp-tab-${value}` : `mcp-transport-${value}` },
      make("input", { type: "radio", name, value, checked: place === 0 }),
      make("span", {}, name === "client" ? one.title : value === "http" ? "HTTP" : "stdio"))));
}

function snippet(snippets) {
  const chosen = (name) => document.querySelector(`input[name=${name}]:checked`).value;
  const one = snippets.find((it) => it.client === chosen("client") && it.asked === chosen("transport"));
  at("snippet").textContent = one.text;
  at("snippet-note").textContent = one.note || "";
  at("snippet-note").hidden = !one.note;
  at("installer").hidden = !one.link;
  at("installer").textContent = `Add it to ${one.title}`;
  if (one.link) at("installer").setAttribute("href", one.link);
  at("copied").textContent = "";
  const places = one.places.map((it) => [make("code", {}, it.path), ` ${it.where}`]);
  at("places").replaceChildren(
    ...term(one.language === "shell" ? "Writes to" : "File", ...places.flatMap((it, n) => (n ? [make("br"), ...it] : it))),
    ...term("Verify", one.language === "shell" ? make("code", {}, one.verify) : one.verify));
}

async function copy() {
  try {
    await navigator.clipboard.writeText(at("snippet").textContent);
    at("copied").textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(at("snippet"));
    at("copied").textContent = "Selected: press Ctrl+C";
  }
}

function seenClient(client, ago) {
  at("wait").dataset.state = "connected";
  at("wait").replaceChildren("✔ ", make("strong", {}, client.name), client.version ? ` ${client.version}` : "",
    ` called a tool ${ago}. ${client.calls ? `${client.calls} calls so far.` : ""}`);
}

// ---- the board

function state(name) {
  at("live").dataset.state = name;
  at("live").textContent = STATES[name];
}

function refused(error) {
  shut();
  state("refused");
  at("refused").hidden = false;
  at("refused").textContent = `${error.message} ${error.fix || ""}`;
  at("token").focus();
}

function shut() {
  if (open) {
    open.tail.close();
    clearInterval(open.ticking);
    clearTimeout(open.timer);
  }
  open = null;
  at("shown").hidden = true;
  at("credentials").hidden = false;
  at("wait").dataset.state = "closed";
  at("wait").textContent = "Open the board below to see the first call arrive here.";
  state("closed");
}

async function show(event) {
  event.preventDefault();
  shut();
  at("refused").hidden = true;
  const headers = { Authorization: `Bearer ${at("token").value.trim()}` };
  const workspace = at("workspace").value.trim();
  if (workspace) headers["X-Kyros-Workspace"] = workspace;
  state("connecting");
  const mine = { headers, state: {}, etags: {}, dirty: new Set(Object.keys(KINDS)), offset: 0, timer: 0 };
  mine.tail = new Tail(headers, { state, refused, frame: (name, data, missing) => heard(mine, name, data, missing) });
  open = mine;
  try {
    const me = await read(mine, "/auth/me");
    const page = await read(mine, "/collab/events?limit=50");
    const clients = await read(mine, "/collab/clients");
    if (open !== mine) return;
    at("token").value = "";
    at("credentials").hidden = true;
    at("shown").hidden = false;
    at("who").replaceChildren("Workspace ", make("strong", {}, me.workspace), ", seen as ", make("code", {}, me.actor));
    at("events").replaceChildren(...page.data.map(eventLine));
    at("events").scrollTop = at("events").scrollHeight;
    at("wait").dataset.state = "waiting";
    at("wait").textContent = "Waiting for the first tool call of a client…";
    if (clients.data.length) {
      seenClient(clients.data[0], `${lasting(Date.now() - Date.parse(clients.data[0].last_call))} ago`);
    }
    mine.ticking = setInterval(() => tick(at("shown"), mine.offset), 1000);
    await refresh(mine);
    await mine.tail.follow(page.head_seq);
  } catch (error) {
    if (open === mine) refused(error);
  }
}

async function read(mine, path) {
  return (await answered(await fetch(path, { headers: mine.headers, cache: "no-store" }))).json();
}

function heard(mine, name, data, missing) {
  if (open !== mine) return;
  if (name === "hello") {
    mine.offset = Date.parse(data.server_time) - Date.now();
    Object.keys(KINDS).forEach((kind) => mine.dirty.add(kind));
  } else if (name === "reset") {
    gap("The log was replaced; everything was read again.");
    Object.keys(KINDS).forEach((kind) => mine.dirty.add(kind));
  } else if (name === "beat") {
    mine.dirty.add("locks");
  } else if (name === "call") {
    seenClient({ name: data.client || "A client", version: data.version }, "just now");
  } else if (name !== "caught_up") {
    if (missing) gap(`${missing} events are missing before ${data.seq}; the board was read again.`);
    for (const [kind, { by }] of Object.entries(KINDS)) if (missing || by.test(name)) mine.dirty.add(kind);
    append(data);
  }
  if (mine.dirty.size && !mine.timer) mine.timer = setTimeout(() => refresh(mine), AT_ONCE_MS);
}

function gap(text) {
  at("gap").hidden = false;
  at("gap").textContent = text;
}

function append(event) {
  const log = at("events");
  const follows = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(eventLine(event));
  while (log.childElementCount > MOST_EVENTS) log.firstElementChild.remove();
  if (follows) log.scrollTop = log.scrollHeight;
}

async function refresh(mine) {
  const kinds = [...mine.dirty];
  mine.dirty.clear();
  try {
    await Promise.all(kinds.map((kind) => reread(mine, kind)));
  } catch (error) {
    if (open === mine && error.isFinal) refused(error);
    else kinds.forEach((kind) => mine.dirty.add(kind)); // the stream says when the server is back
  }
  mine.timer = 0;
  if (open !== mine) return;
  draw(mine);
  if (mine.dirty.size) mine.timer = setTimeout(() => refresh(mine), 10 * AT_ONCE_MS);
}

async function reread(mine, kind) {
  const headers = { ...mine.headers };
  if (mine.etags[kind]) headers["If-None-Match"] = mine.etags[kind];
  const response = await answered(await fetch(KINDS[kind].path, { headers, cache: "no-store" }));
  if (response.status === 304) return void (await response.text());
  const body = await response.json();
  mine.etags[kind] = body.etag;
  mine.state[kind] = body.data;
}

function draw(mine) {
  const { tasks = [], locks = [], agents = [] } = mine.state;
  at("columns").replaceChildren(...columns(tasks, locks));
  at("leases").replaceChildren(...leaseTable(locks));
  at("agents").replaceChildren(...agentTable(agents));
  tick(at("shown"), mine.offset);
  document.querySelector("main").dataset.ready = "true";
}

at("credentials").addEventListener("submit", show);
at("close").addEventListener("click", shut);
at("copy").addEventListener("click", copy);
describe().catch((error) => {
  at("running").replaceChildren(...term("State", make("strong", { class: "error" }, error.message)));
});
