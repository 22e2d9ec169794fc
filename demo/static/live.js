// Live updates: results, retries and denials, as they happen.

import { forgetOthers, showLatest, showResult, showRetry, showStarted } from "./checks.js";
import { byTestID, element } from "./dom.js";

// As many as the demo keeps.
const maxDenials = 20;

// The time after which a stream that the demo refused is tried again.
const reopenAfter = 15_000;

export function openStream() {
  const source = new EventSource("api/events");
  const on = (name, handle) => source.addEventListener(name, (event) => handle(JSON.parse(event.data)));
  on("snapshot", ({ results, denials }) => {
    showState("on", "Live");
    showLatest(results);
    showDenials(denials);
  });
  on("started", showStarted);
  on("retry", showRetry);
  on("result", showResult);
  on("denial", addDenial);
  source.onerror = () => {
    // The browser opens a broken stream again by itself, but not a refused one.
    if (source.readyState !== EventSource.CLOSED) {
      showState("connecting", "Connecting …");
      return;
    }
    showState("off", "Live updates are off");
    forgetOthers();
    setTimeout(openStream, reopenAfter);
  };
}

function showState(state, text) {
  byTestID("live").textContent = text;
  byTestID("live").dataset.live = state;
}

function showDenials(denials) {
  byTestID("denial-list")?.replaceChildren(...denials.map(denialItem));
  showCount();
}

function addDenial(denial) {
  const list = byTestID("denial-list");
  list?.prepend(denialItem(denial));
  while (list?.children.length > maxDenials) {
    list.lastElementChild.remove();
  }
  showCount();
}

function showCount() {
  const none = byTestID("no-denials");
  if (none) {
    none.hidden = byTestID("denial-list").children.length > 0;
  }
}

function denialItem({ time, target, status, statement, rule }) {
  const item = document.createElement("li");
  const head = item.appendChild(element("p", "denial-head", ""));
  const at = head.appendChild(element("time", "", new Date(time).toLocaleTimeString()));
  at.dateTime = time;
  head.appendChild(element("code", "denial-target", target));
  head.appendChild(element("span", "denial-rule", rule ? `rule ${rule}` : `status ${status}`));
  if (statement) {
    item.appendChild(element("p", "denial-statement", statement));
  }
  return item;
}
