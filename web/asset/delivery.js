// What the pages of deliveries do beyond reading: output that is followed,
// commits that are shown in place, weights that keep their sum.
"use strict";
(() => {
  const kept = 400000; // characters of output

  async function follow(details) {
    const out = details.querySelector("pre");
    const stop = new AbortController();
    details.addEventListener("toggle", () => { if (!details.open) stop.abort(); });
    addEventListener("pagehide", () => stop.abort());
    out.textContent = "";
    try {
      const answer = await fetch(details.dataset.follow, { credentials: "same-origin", signal: stop.signal });
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        const end = out.scrollTop + out.clientHeight >= out.scrollHeight - 4;
        out.append(value);
        if (out.textContent.length > kept) out.textContent = out.textContent.slice(-kept / 2);
        if (end) out.scrollTop = out.scrollHeight;
      }
      if (out.textContent === "") out.textContent = "It has printed nothing.";
    } catch {
      if (!stop.signal.aborted) out.append("\nThe connection was lost; close and open this to try again.\n");
    }
  }

  async function load(details) {
    const box = details.querySelector("[data-keep]");
    if (box.childNodes.length) return;
    try {
      const answer = await fetch(details.dataset.load, { credentials: "same-origin" });
      const diff = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("diff");
      if (!answer.ok || !diff) throw answer.status;
      diff.removeAttribute("id");
      box.replaceChildren(document.importNode(diff, true));
    } catch {
      box.textContent = "It cannot be shown here now; follow the link.";
    }
  }

  document.addEventListener("toggle", (e) => {
    const details = e.target;
    if (!details.open) return;
    if (details.dataset.follow) follow(details);
    if (details.dataset.load) load(details);
  }, true);
  document.addEventListener("input", (e) => {
    const pair = e.target.dataset && e.target.dataset.pair;
    if (pair && e.target.validity.valid) e.target.form.elements[pair].value = 100 - e.target.value;
  });
})();
