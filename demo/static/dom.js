// Small helpers for the page.

export const byTestID = (id) => document.querySelector(`[data-testid="${id}"]`);

export function element(name, className, text) {
  const e = document.createElement(name);
  if (className) {
    e.className = className;
  }
  e.textContent = text;
  return e;
}

// A check may take 18 s; the browser gives up well after the server.
const requestTimeout = 30_000;

// Errors of the demo have its message and its status.
export async function request(path, options = {}) {
  const response = await fetch(path, { ...options, signal: AbortSignal.timeout(requestTimeout) });
  if (response.ok) {
    return response.json();
  }
  const body = await response.json().catch(() => ({}));
  const error = new Error(body.error || `the demo answered ${response.status}`);
  error.status = response.status;
  throw error;
}

export function formatDuration(ms) {
  if (ms < 1) {
    return "< 1 ms";
  }
  // A no-break space keeps the unit beside the number.
  return ms < 1000 ? `${ms}\u00a0ms` : `${(ms / 1000).toFixed(ms % 1000 ? 1 : 0)}\u00a0s`;
}
