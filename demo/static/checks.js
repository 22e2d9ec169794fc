// The cards of the checks. A check may be started by this page or by another one: live
// updates and the answer to our own request both end in showResult, in any order.

import { byTestID, element, formatDuration, request } from "./dom.js";
import { showOnWay } from "./environment.js";
import { resultContent } from "./result.js";

// The newest known run of each check, by name. The demo numbers them.
let runs = new Map();

// The checks whose answers this page waits for.
const pending = new Set();

const buttonOf = (name) => document.querySelector(`button[data-check="${name}"]`);

export async function runCheck(button) {
  const name = button.dataset.check;
  const focused = document.activeElement === button;
  pending.add(name);
  showRunning(name);
  try {
    const result = await request(`api/checks/${name}`, { method: "POST" });
    pending.delete(name);
    showResult(result);
  } catch (error) {
    pending.delete(name);
    show(name, error.status === 429
      ? { outcome: "inconclusive", summary: "The check did not run: the demo limits its requests.", error: error.message }
      : { outcome: "failed", summary: "The demo itself did not answer.", error: error.message });
  }
  // A disabled button loses the focus; keyboard users want it back.
  if (focused && document.activeElement === document.body) {
    button.focus();
  }
}

export async function runAll(event) {
  const all = event.currentTarget;
  all.disabled = true;
  const idle = [...document.querySelectorAll("button[data-check]")].filter((button) => !button.disabled);
  await Promise.all(idle.map(runCheck));
  all.disabled = false;
}

function showRunning(name) {
  const card = byTestID(`check-${name}`);
  const target = byTestID(`result-${name}`);
  buttonOf(name).disabled = true;
  card.dataset.state = "running";
  delete card.dataset.outcome;
  target.setAttribute("aria-busy", "true");
  target.replaceChildren(element("p", "waiting", "Running …"));
}

function show(name, result) {
  const card = byTestID(`check-${name}`);
  const target = byTestID(`result-${name}`);
  target.replaceChildren(resultContent(result));
  target.removeAttribute("aria-busy");
  card.dataset.outcome = result.outcome;
  card.dataset.state = "done";
  buttonOf(name).disabled = false;
  showOnWay(name, result);
}

// isNews reports whether a run is not yet over on this page.
function isNews(name, run) {
  const card = byTestID(`check-${name}`);
  const known = runs.get(name) || 0;
  return card !== null && (run > known || (run === known && card.dataset.state === "running"));
}

export function showStarted({ check, run }) {
  if (isNews(check, run)) {
    runs.set(check, run);
    showRunning(check);
  }
}

export function showRetry({ check, run, attempt, of, summary, error, retryInMs }) {
  if (!isNews(check, run)) {
    return;
  }
  if (run !== runs.get(check)) {
    showStarted({ check, run });
  }
  const target = byTestID(`result-${check}`);
  const line = element("p", "attempt", `Attempt ${attempt} of ${of}: ${summary} The next one follows after ${formatDuration(retryInMs)}.`);
  line.dataset.field = "attempt";
  if (error) {
    line.appendChild(element("span", "error", error));
  }
  target.append(line);
}

export function showResult(result) {
  if (isNews(result.check, result.run)) {
    runs.set(result.check, result.run);
    show(result.check, result);
  }
}

// showLatest takes the state over from a new stream. The demo may have started anew,
// and then it numbers its runs anew.
export function showLatest(results) {
  runs = new Map();
  for (const result of results) {
    if (pending.has(result.check)) {
      runs.set(result.check, result.run - 1);
    } else {
      showResult(result);
    }
  }
}

// forgetOthers resets the cards of checks that other pages have started: their results
// do not arrive without live updates.
export function forgetOthers() {
  for (const card of document.querySelectorAll('.check[data-state="running"]')) {
    const name = card.querySelector("[data-check]").dataset.check;
    if (!pending.has(name)) {
      card.dataset.state = "idle";
      buttonOf(name).disabled = false;
      byTestID(`result-${name}`).removeAttribute("aria-busy");
      byTestID(`result-${name}`).replaceChildren();
    }
  }
}
