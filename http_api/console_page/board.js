// The board as elements. Whatever came from outside is set as text, never as markup.

export const COLUMNS = ["queued", "claimed", "in_progress", "review", "approved", "merging", "done", "cancelled"];
const MOST_CARDS = 30;
const MOST_ROWS = 100;
const NUMBERS = new Set(["Ends in", "Token", "Seen"]);
const STATUS = { available: "●", busy: "▶", paused: "‖", stalled: "▲", offline: "○" };

export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const spoken = (name) => name.replaceAll("_", " ");

const titled = (name) => name[0].toUpperCase() + spoken(name.slice(1));

const shortName = (actor) => (actor || "").replace(/^agent:/, "");

export function lasting(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

const aged = (ms) => lasting(ms < 60000 ? ms : ms - (ms % 60000)).replace(" 0 s", "");

const clock = (ts) => new Date(ts).toLocaleTimeString([], { hour12: false });

function more(left, what) {
  return left > 0 ? make("p", { class: "more" }, `and ${left.toLocaleString()} more ${what}`) : null;
}

function card(task, leases) {
  const lease = leases.get(task.lock_id);
  const marks = [make("span", { class: "priority" }, task.priority)];
  if (task.depends_on.length) marks.push(make("span", {}, `needs ${task.depends_on.join(", ")}`));
  if (task.items) marks.push(make("span", { title: "definition of done" }, `${task.done_items}/${task.items} done`));
  if (task.needs_attention) marks.push(make("span", { class: "warn" }, "▲ needs attention"));
  const held = task.assignee
    ? make("p", { class: "held" }, shortName(task.assignee), lease ? " · lease " : "", lease ? left(lease) : null)
    : null;
  return make("li", {},
    make("article", { "data-testid": `card-${task.id}`, "data-status": task.status },
      make("p", { class: "id" }, task.id),
      make("p", { class: "title", title: task.title }, task.title),
      make("p", { class: "marks" }, ...marks),
      held));
}

function left(lease) {
  return make("span", { class: "left", "data-until": lease.expires_at, "data-ttl": lease.ttl_seconds });
}

export function columns(tasks, leases) {
  const byStatus = new Map(COLUMNS.map((status) => [status, []]));
  for (const task of tasks) (byStatus.get(task.status) || []).push(task);
  const byLock = new Map(leases.map((lease) => [lease.lock_id, lease]));
  return COLUMNS.filter((status) => status !== "cancelled" || byStatus.get(status).length).map((status) => {
    const cards = byStatus.get(status);
    const latest = status === "done" || status === "cancelled" ? [...cards].reverse() : cards;
    return make("section", { class: "column", "data-testid": `column-${status}`, "data-count": cards.length, "data-status": status },
      make("h3", {}, make("span", { class: "mark", "aria-hidden": true }), titled(status), " ", make("small", {}, String(cards.length))),
      cards.length ? make("ul", {}, ...latest.slice(0, MOST_CARDS).map((task) => card(task, byLock))) : make("p", { class: "more" }, "none"),
      more(cards.length - MOST_CARDS, "cards"));
  });
}

function table(heads, rows) {
  return make("table", {},
    make("thead", {}, make("tr", {}, ...heads.map((head) => make("th", { scope: "col", class: NUMBERS.has(head) && "number" }, head)))),
    make("tbody", {}, ...rows));
}

export function leaseTable(leases) {
  if (!leases.length) return [make("p", { class: "more" }, "Nothing is held. Leases appear when an agent claims work.")];
  const rows = leases.slice(0, MOST_ROWS).map((lease) =>
    make("tr", { "data-testid": `lease-${lease.lock_id}` },
      make("td", {}, make("code", {}, lease.resource), lease.mode === "shared" ? " shared" : null),
      make("td", {}, shortName(lease.holder), lease.quiet ? make("span", { class: "warn" }, " ▲ quiet") : null),
      make("td", { class: "number" }, left(lease)),
      make("td", { class: "number" }, String(lease.fencing_token))));
  return [table(["Resource", "Holder", "Ends in", "Token"], rows), more(leases.length - MOST_ROWS, "leases")].filter(Boolean);
}

export function agentTable(agents) {
  if (!agents.length) return [make("p", { class: "more" }, "Nobody yet. An agent appears with its first call.")];
  const rows = agents.slice(0, MOST_ROWS).map((agent) =>
    make("tr", { "data-testid": `agent-${agent.name}` },
      make("td", {}, agent.name),
      make("td", { class: `status ${agent.status}` }, `${STATUS[agent.status] || ""} ${agent.status}`),
      make("td", {}, agent.role || "any role"),
      make("td", { class: "number" }, make("time", { datetime: agent.last_seen, title: agent.last_seen, "data-since": agent.last_seen }))));
  return [table(["Agent", "Status", "Role", "Seen"], rows), more(agents.length - MOST_ROWS, "agents")].filter(Boolean);
}

function told(event) {
  const { text, changes, resource } = event.details;
  const moved = changes && changes.status;
  if (typeof text === "string") return text;
  if (moved) return `${spoken(moved.before || "")} → ${spoken(moved.after)}`;
  return typeof resource === "string" ? resource : "";
}

export function eventLine(event) {
  return make("p", { "data-testid": `event-${event.seq}` },
    make("span", { class: "seq" }, String(event.seq)),
    make("time", { datetime: event.ts, title: event.ts }, clock(event.ts)),
    make("span", { class: "name" }, event.event),
    make("span", { class: "actor" }, shortName(event.actor)),
    make("span", { class: "target" }, event.target || ""),
    make("span", { class: "told" }, told(event).slice(0, 300)));
}

// Durations follow the server's clock: `offset` is its time less this machine's.
export function tick(root, offset) {
  const now = Date.now() + offset;
  for (const node of root.querySelectorAll("[data-until]")) {
    const ms = Date.parse(node.dataset.until) - now;
    const third = Number(node.dataset.ttl) * 1000 / 3;
    node.textContent = ms > 0 ? lasting(ms) : "expired";
    node.className = `left ${ms <= 0 ? "over" : ms < third ? "risk" : ""}`;
  }
  for (const node of root.querySelectorAll("[data-since]")) {
    node.textContent = `${aged(now - Date.parse(node.dataset.since))} ago`;
  }
}
