// The result of a check, as elements.

import { formatDuration } from "./dom.js";

// The page's word for each outcome.
const verdicts = {
  protected: "As expected",
  unprotected: "Unprotected",
  failed: "Failed",
  inconclusive: "Inconclusive",
};

// resultContent fills the template; parts that a result lacks are left out.
export function resultContent(result) {
  const content = document.getElementById("result").content.cloneNode(true);
  const fields = {
    verdict: verdicts[result.outcome],
    address: result.address,
    network: result.network,
    summary: result.summary,
    statement: result.denial?.statement,
    error: result.error,
    status: result.status ? String(result.status) : "none",
    duration: result.durationMs === undefined ? "" : formatDuration(result.durationMs),
    attempts: result.attempts > 1 ? String(result.attempts) : "",
    via: result.via,
    url: result.url,
    body: result.body && formatBody(result.body) + (result.truncated ? "\n…" : ""),
  };
  for (const [name, value] of Object.entries(fields)) {
    const field = content.querySelector(`[data-field="${name}"]`);
    if (value) {
      field.textContent = value;
    } else {
      (field.closest("details, .details > div") || field).remove();
    }
  }
  return content;
}

function formatBody(body) {
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
}
