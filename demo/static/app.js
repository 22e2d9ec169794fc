import { runAll, runCheck } from "./checks.js";
import { byTestID } from "./dom.js";
import { loadEnvironment } from "./environment.js";
import { openStream } from "./live.js";

for (const button of document.querySelectorAll("button[data-check]")) {
  button.addEventListener("click", () => runCheck(button));
}
byTestID("run-all").addEventListener("click", runAll);
await loadEnvironment();
openStream();
