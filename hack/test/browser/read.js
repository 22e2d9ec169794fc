// Evaluates to what the page shows; the fields are those of Page in page.go.
(() => {
  const find = (id) => document.querySelector(`[data-testid="${id}"]`);
  const text = (element) => element?.textContent.trim() ?? "";

  const proxy = {};
  for (const row of find("proxy-settings").querySelectorAll("[data-variable]")) {
    const cell = row.querySelector('[data-field="value"]');
    if (!cell.classList.contains("unset")) {
      for (const name of row.dataset.variable.split(" ")) {
        proxy[name] = text(cell);
      }
    }
  }

  const results = {};
  for (const card of document.querySelectorAll('[data-testid^="check-"][data-state="done"]')) {
    const name = card.dataset.testid.slice("check-".length);
    const result = { outcome: card.dataset.outcome };
    for (const field of ["summary", "address", "network", "status", "duration", "attempts", "via", "url", "error", "statement", "body"]) {
      result[field] = text(find(`result-${name}`).querySelector(`[data-field="${field}"]`));
    }
    results[name] = result;
  }

  return {
    title: document.title,
    injected: find("injected").dataset.injected === "true",
    pod: text(find("pod")),
    node: text(find("node")),
    namespace: text(find("namespace")),
    proxy,
    way: {
      proxy: text(find("way-proxy").querySelector(".stop-value")),
      internet: text(find("way-internet").querySelector(".stop-value")),
      direct: text(find("way-direct")),
    },
    results,
    live: find("live").dataset.live,
    denials: [...document.querySelectorAll('[data-testid="denial-list"] > li')].map((item) => ({
      target: text(item.querySelector(".denial-target")),
      rule: text(item.querySelector(".denial-rule")),
      statement: text(item.querySelector(".denial-statement")),
    })),
    text: document.body.innerText,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    focus: document.activeElement?.dataset.testid ?? "",
  };
})()
