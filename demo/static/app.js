"use strict";

// The page's word for each outcome.
const verdicts = {
  protected: "As expected",
  unprotected: "Unprotected",
  failed: "Failed",
  inconclusive: "Inconclusive",
};

const byTestID = (id) => document.querySelector(`[data-testid="${id}"]`);

// A check's answer may take 15 s; the browser gives up well after the server.
const requestTimeout = 30_000;

async function request(path, options = {}) {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(requestTimeout) });
  if (!response.ok) {
    throw new Error(`the demo answered ${response.status}`);
  }
  return response.json();
}

// ---- Environment

async function loadEnvironment() {
  try {
    showEnvironment(await request("api/environment"));
  } catch (error) {
    const notice = byTestID("load-error");
    notice.textContent = `The environment could not be read: ${error.message}. Reload the page to try again.`;
    notice.hidden = false;
    byTestID("injected").textContent = "Unknown";
  }
}

function showEnvironment(env) {
  for (const name of ["pod", "node", "namespace"]) {
    byTestID(name).textContent = env[name] || "unknown";
  }
  byTestID("version").textContent = env.version;

  const injected = byTestID("injected");
  injected.textContent = env.injected ? "Proxy injected" : "No proxy injected";
  injected.dataset.injected = env.injected;

  const groups = groupVariables(env.proxy);
  byTestID("proxy-settings").tBodies[0].replaceChildren(...groups.map(settingRow));

  const proxy = shortProxy(env.proxy);
  showStop("way-proxy", proxy || "none", proxy ? "taken from the environment" : "requests go out directly");
  byTestID("way-proxy").dataset.used = env.injected;
}

function showStop(id, value, note) {
  byTestID(id).querySelector(".stop-value").textContent = value;
  byTestID(id).querySelector(".stop-note").textContent = note;
}

// Both spellings of a variable share a row while they agree.
function groupVariables(variables) {
  const groups = [];
  for (const { name, value, set } of variables) {
    const known = groups.find((group) =>
      group.names[0].toUpperCase() === name.toUpperCase() && group.set === set && group.value === value);
    if (known) {
      known.names.push(name);
    } else {
      groups.push({ names: [name], value, set });
    }
  }
  return groups;
}

function settingRow({ names, value, set }) {
  const row = document.createElement("tr");
  row.dataset.variable = names.join(" ");

  const head = row.appendChild(document.createElement("th"));
  head.scope = "row";
  for (const name of names) {
    head.appendChild(document.createElement("code")).textContent = name;
  }

  const cell = row.appendChild(document.createElement("td"));
  cell.dataset.field = "value";
  if (!set) {
    cell.className = "unset";
    cell.textContent = "not set";
  } else if (names[0].toUpperCase() === "NO_PROXY") {
    // A comma invites a line break, so that a long list wraps between entries.
    value.split(",").forEach((entry, i) => {
      if (i > 0) {
        cell.append(",", document.createElement("wbr"));
      }
      cell.appendChild(document.createElement("span")).textContent = entry;
    });
  } else {
    cell.textContent = value;
  }
  return row;
}

// The first proxy in the environment, as HOST:PORT; empty if there is none.
function shortProxy(variables) {
  const proxy = variables.find(({ name, value }) => value && name.toUpperCase() !== "NO_PROXY");
  return proxy ? proxy.value.replace(/^.*?:\/\//, "").replace(/^.*@/, "").replace(/\/.*$/, "") : "";
}

// ---- Checks

async function runCheck(button) {
  const name = button.dataset.check;
  const card = byTestID(`check-${name}`);
  const target = byTestID(`result-${name}`);
  const focused = document.activeElement === button;

  button.disabled = true;
  card.dataset.state = "running";
  delete card.dataset.outcome;
  target.setAttribute("aria-busy", "true");
  target.replaceChildren(paragraph("waiting", "Running …"));

  let result;
  try {
    result = await request(`api/checks/${name}`, { method: "POST" });
  } catch (error) {
    result = { outcome: "failed", summary: "The demo itself did not answer.", error: error.message };
  }

  target.replaceChildren(resultContent(result));
  target.removeAttribute("aria-busy");
  card.dataset.outcome = result.outcome;
  card.dataset.state = "done";
  button.disabled = false;
  // A disabled button loses the focus; keyboard users want it back.
  if (focused && document.activeElement === document.body) {
    button.focus();
  }
  showOnWay(name, result);
}

// The picture of the egress path shows the results of two checks.
function showOnWay(name, result) {
  if (name === "external-ip") {
    showStop("way-internet", result.address || "no answer", result.via === "direct" ? "without a proxy" : "through the proxy");
    byTestID("way-internet").dataset.outcome = result.outcome;
  }
  if (name === "direct") {
    const states = { protected: "blocked", unprotected: "open" };
    byTestID("way-direct").firstElementChild.textContent = `Directly: ${states[result.outcome] || "unknown"}`;
    byTestID("way-direct").dataset.outcome = result.outcome;
  }
}

function paragraph(className, text) {
  const p = document.createElement("p");
  p.className = className;
  p.textContent = text;
  return p;
}

// resultContent fills the template; parts that a result lacks are left out.
function resultContent(result) {
  const content = document.getElementById("result").content.cloneNode(true);
  const fields = {
    verdict: verdicts[result.outcome],
    address: result.address,
    summary: result.summary,
    error: result.error,
    status: result.status ? String(result.status) : "none",
    duration: result.durationMs === undefined ? "" : formatDuration(result.durationMs),
    via: result.via,
    url: result.url,
    body: result.body && formatBody(result.body) + (result.truncated ? "\n…" : ""),
  };
  for (const [name, value] of Object.entries(fields)) {
    const element = content.querySelector(`[data-field="${name}"]`);
    if (value) {
      element.textContent = value;
    } else {
      (element.closest("details, .details > div") || element).remove();
    }
  }
  return content;
}

function formatDuration(ms) {
  if (ms < 1) {
    return "< 1 ms";
  }
  return ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function formatBody(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}

async function runAll(event) {
  const all = event.currentTarget;
  all.disabled = true;
  const idle = [...document.querySelectorAll("[data-check]")].filter((button) => !button.disabled);
  await Promise.all(idle.map(runCheck));
  all.disabled = false;
}

for (const button of document.querySelectorAll("[data-check]")) {
  button.addEventListener("click", () => runCheck(button));
}
byTestID("run-all").addEventListener("click", runAll);
loadEnvironment();
