"use strict";

// Renders /openapi.json as forms. All text is set as text, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];
const MOST_SHOWN = 200000;
let api;

const field = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

function resolve(schema) {
  if (!schema || !schema.$ref) return schema || {};
  return schema.$ref.slice(2).split("/").reduce((at, step) => at[step], api);
}

function typeOf(schema) {
  if (schema && schema.$ref) return schema.$ref.split("/").pop();
  const plain = resolve(schema);
  if (plain.anyOf) return plain.anyOf.map(typeOf).join(" | ");
  if (plain.enum) return plain.enum.join(" | ");
  if (plain.type === "array") return `${typeOf(plain.items)}[]`;
  return plain.const !== undefined ? JSON.stringify(plain.const) : plain.type || "any";
}

function example(schema, depth = 0) {
  const plain = resolve(schema);
  if (plain.default !== undefined) return plain.default;
  if (plain.anyOf) return example(plain.anyOf[0], depth);
  if (plain.enum) return plain.enum[0];
  if (plain.type === "object") {
    const shown = {};
    if (depth > 3) return shown;
    for (const [name, part] of Object.entries(plain.properties || {})) {
      if ((plain.required || []).includes(name)) shown[name] = example(part, depth + 1);
    }
    return shown;
  }
  return { string: "…", integer: plain.minimum || 0, number: 0, boolean: false, array: [] }[plain.type] ?? null;
}

function schemaTable(schema) {
  const plain = resolve(schema);
  if (plain.anyOf) {
    return make("div", {}, ...plain.anyOf.map(schemaTable));
  }
  const rows = Object.entries(plain.properties || {}).map(([name, part]) =>
    make("tr", {},
      make("td", {}, make("code", {}, name), (plain.required || []).includes(name) ? " *" : ""),
      make("td", {}, make("code", {}, typeOf(part))),
      make("td", {}, part.description || resolve(part).description || "")));
  return make("table", {}, make("caption", {}, plain.title || ""), make("tbody", {}, ...rows));
}

function parameterRows(operation) {
  return (operation.parameters || []).map((parameter) => {
    const input = make("input", { "aria-label": parameter.name, spellcheck: "false" });
    const row = make("tr", {},
      make("td", {}, make("code", {}, parameter.name), parameter.required ? " *" : "",
        make("br"), make("small", {}, parameter.in)),
      make("td", {}, make("code", {}, typeOf(parameter.schema))),
      make("td", {}, parameter.schema.description || ""),
      make("td", {}, input));
    return { parameter, input, row };
  });
}

function request(path, method, operation, rows, body, accept) {
  const headers = { Accept: accept };
  const query = new URLSearchParams();
  let target = path;
  for (const { parameter, input } of rows) {
    if (!input.value) continue;
    if (parameter.in === "path") target = target.replace(`{${parameter.name}}`, encodeURIComponent(input.value));
    else if (parameter.in === "query") query.set(parameter.name, input.value);
    else headers[parameter.name] = input.value;
  }
  if (field("token").value) headers.Authorization = `Bearer ${field("token").value.trim()}`;
  for (const [id, name] of [["agent", "X-Kyros-Agent"], ["workspace", "X-Kyros-Workspace"]]) {
    if (field(id).value && !headers[name]) headers[name] = field(id).value.trim();
  }
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const asked = query.toString() ? `${target}?${query}` : target;
  return { url: asked, init: { method: method.toUpperCase(), headers, body } };
}

function curl({ url, init }) {
  const quoted = (text) => `'${String(text).replaceAll("'", "'\\''")}'`;
  const parts = [`curl -X ${init.method} ${quoted(location.origin + url)}`];
  for (const [name, value] of Object.entries(init.headers)) {
    parts.push(name === "Authorization" ? `-H "Authorization: Bearer $KYROS_TOKEN"` : `-H ${quoted(`${name}: ${value}`)}`);
  }
  if (init.body !== undefined) parts.push(`-d ${quoted(init.body)}`);
  return parts.join(" \\\n  ");
}

async function show(response, output) {
  const head = [...response.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
  output.textContent = `HTTP ${response.status}\n${head}\n\n`;
  const decoder = new TextDecoder();
  let text = "";
  for (const reader = response.body && response.body.getReader(); reader;) {
    const { done, value } = await reader.read();
    if (done) break;
    const piece = decoder.decode(value, { stream: true });
    text += piece;
    output.append(piece);
    if (text.length > MOST_SHOWN) { reader.cancel(); output.append("\n… cut here"); break; }
  }
  if ((response.headers.get("content-type") || "").includes("json") && text.length < MOST_SHOWN) {
    try {
      output.textContent = `HTTP ${response.status}\n${head}\n\n${JSON.stringify(JSON.parse(text), null, 2)}`;
    } catch { /* lines of JSON stay as they came */ }
  }
}

function tryIt(path, method, operation) {
  const rows = parameterRows(operation);
  const parts = [];
  if (rows.length) parts.push(make("h3", {}, "Parameters"), make("table", {}, make("tbody", {}, ...rows.map((one) => one.row))));
  const content = operation.requestBody && operation.requestBody.content["application/json"];
  let area;
  if (content) {
    area = make("textarea", { "aria-label": "Body", spellcheck: "false" });
    area.value = JSON.stringify(example(content.schema), null, 2);
    parts.push(make("h3", {}, "Body"), area, make("details", {}, make("summary", {}, "Its fields"), make("div", {}, schemaTable(content.schema))));
  }
  const success = operation.responses[Object.keys(operation.responses)[0]];
  const accepts = make("select", { "aria-label": "Accept" }, ...Object.keys(success.content || {}).map((media) => make("option", {}, media)));
  const send = make("button", { type: "button" }, "Send");
  const stop = make("button", { type: "button" }, "Stop");
  stop.hidden = true;
  const output = make("pre", { role: "log", "aria-label": "Response" });
  output.hidden = true;
  send.addEventListener("click", async () => {
    const asked = request(path, method, operation, rows, area && area.value, accepts.value || "*/*");
    const ending = new AbortController();
    stop.onclick = () => ending.abort();
    output.hidden = stop.hidden = false;
    output.textContent = curl(asked);
    try {
      await show(await fetch(asked.url, { ...asked.init, signal: ending.signal, credentials: "omit" }), output);
    } catch (error) {
      output.append(`\n${error.name}: ${error.message}`);
    }
    stop.hidden = true;
  });
  parts.push(make("p", {}, accepts, " ", send, " ", stop), output);
  return parts;
}

function responses(operation) {
  const rows = Object.entries(operation.responses).map(([status, named]) => {
    const response = resolve(named);
    const media = Object.entries(response.content || {});
    return make("tr", {}, make("td", {}, make("code", {}, status)), make("td", {}, response.description),
      make("td", {}, media.map(([name, { schema }]) => `${name} ${typeOf(schema)}`).join(", ")));
  });
  return make("details", {}, make("summary", {}, "Answers"), make("div", {}, make("table", {}, make("tbody", {}, ...rows))));
}

function operationView(path, method, operation) {
  const scopes = (operation["x-kyros-scopes"] || []).join(", ");
  const body = make("div");
  const view = make("details", { id: operation.operationId },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("span", { class: "path" }, path), make("span", {}, operation.summary || "")), body);
  view.dataset.words = `${method} ${path} ${operation.summary} ${operation.description}`.toLowerCase();
  view.addEventListener("toggle", () => {
    if (!view.open || body.childElementCount) return;
    if (operation.description) body.append(make("p", {}, operation.description));
    if (scopes) body.append(make("p", {}, "Needs ", make("code", {}, scopes)));
    body.append(...tryIt(path, method, operation), responses(operation));
  });
  return view;
}

function render() {
  const main = field("operations");
  main.replaceChildren();
  field("version").textContent = api.info.version;
  const groups = new Map();
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((name) => methods[name])) {
      const tag = methods[method].tags[0];
      if (!groups.has(tag)) groups.set(tag, make("section", {}, make("h2", {}, tag)));
      groups.get(tag).append(operationView(path, method, methods[method]));
    }
  }
  main.append(...groups.values());
  main.setAttribute("aria-busy", "false");
}

field("filter").addEventListener("input", ({ target }) => {
  const words = target.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const view of document.querySelectorAll("main > section > details")) {
    view.hidden = !words.every((word) => view.dataset.words.includes(word));
  }
});
field("credentials").addEventListener("submit", (event) => event.preventDefault());

fetch("/openapi.json").then((answer) => answer.json()).then((read) => { api = read; render(); })
  .catch((error) => { field("operations").textContent = `The document could not be read: ${error.message}`; });
