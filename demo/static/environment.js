// The pod, its egress path and its proxy settings.

import { byTestID, element, request } from "./dom.js";

// The tenant's path: Proxy or Gateway.
let path = "Proxy";

export async function loadEnvironment() {
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
  path = env.path;
  for (const name of ["pod", "node", "namespace"]) {
    byTestID(name).textContent = env[name] || "unknown";
  }
  byTestID("version").textContent = env.version;
  for (const card of document.querySelectorAll(".check")) {
    if (!env.checks.includes(card.querySelector("[data-check]").dataset.check)) {
      card.remove();
    }
  }

  const groups = groupVariables(env.proxy);
  byTestID("proxy-settings").tBodies[0].replaceChildren(...groups.map(settingRow));
  const proxy = shortProxy(env.proxy);
  if (path === "Gateway" && !env.injected) {
    showGateway();
  } else {
    showStop("way-proxy", proxy || "none", proxy ? "taken from the environment" : "requests go out directly");
    byTestID("way-proxy").dataset.used = env.injected;
  }

  const badge = byTestID("injected");
  badge.textContent = path === "Gateway" ? `Path Gateway${env.injected ? ", but a proxy is set" : ""}` : env.injected ? "Proxy injected" : "No proxy injected";
  badge.dataset.expected = env.injected === (path === "Proxy");
  badge.dataset.injected = env.injected; // last: tests wait for it
}

// showGateway words the page for a tenant that reaches the internet directly.
function showGateway() {
  byTestID("tagline").textContent = "An ordinary application. Its tenant reaches the public internet directly, from the address of the Public Gateway, and nothing else outside the cluster.";
  byTestID("way-proxy").querySelector(".stop-label").textContent = "Path";
  showStop("way-proxy", "Public Gateway", "no proxy: public internet only");
  byTestID("way-proxy").dataset.used = true;
  byTestID("check-direct").querySelector(".purpose").textContent = "Opens a connection of its own, without any proxy. It must succeed.";
  byTestID("denials").remove();
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
    head.appendChild(element("code", "", name));
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
      cell.appendChild(element("span", "", entry));
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

// The picture of the egress path shows the results of two checks.
export function showOnWay(name, result) {
  if (name === "external-ip") {
    showStop("way-internet", result.address || "no answer", result.via === "direct" ? "without a proxy" : "through the proxy");
    byTestID("way-internet").dataset.outcome = result.outcome;
  }
  if (name === "direct") {
    const states = path === "Gateway"
      ? { protected: "open, as it must be", failed: "blocked" }
      : { protected: "blocked", unprotected: "open" };
    byTestID("way-direct").firstElementChild.textContent = `Directly: ${states[result.outcome] || "unknown"}`;
    byTestID("way-direct").dataset.outcome = result.outcome;
  }
}
