// Keeps the open page up to date: at a change it loads the page again in the
// background and puts its main part in place. Without it, reloading does.
"use strict";
(() => {
  const main = document.getElementById("main");
  const status = document.getElementById("live");
  if (!main || !("live" in main.dataset) || !window.EventSource) return;

  const say = (text) => {
    status.textContent = text;
    status.classList.toggle("on", text === "live");
  };

  let loading = false;
  let again = false;
  // A person who types or reads a selection must not lose it.
  const busy = () =>
    [...main.querySelectorAll("input:not([type=hidden]), textarea")].some((i) => i.value !== i.defaultValue || i === document.activeElement) ||
    (window.getSelection() && !window.getSelection().isCollapsed);

  async function load() {
    if (loading) { again = true; return; }
    if (busy()) { again = true; say("changed; will update"); return; }
    loading = true;
    again = false;
    try {
      const answer = await fetch(location.href, { credentials: "same-origin", cache: "no-store" });
      const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
      if (!answer.ok || !next) { say("reload the page"); return; }
      if (busy()) { again = true; return; }
      const open = [...main.querySelectorAll("details[open][id]")].map((d) => d.id);
      main.replaceChildren(...next.childNodes);
      for (const id of open) {
        const d = document.getElementById(id);
        if (d) d.open = true;
      }
      say("live");
    } catch {
      say("connection lost");
    } finally {
      loading = false;
    }
    if (again) load();
  }

  const events = new EventSource("/live");
  events.addEventListener("open", load); // what changed while nobody listened
  events.addEventListener("error", () => {
    say(events.readyState === EventSource.CLOSED ? "reload the page" : "connection lost");
  });
  events.addEventListener("change", load);
  events.addEventListener("progress", (e) => {
    for (const [id, text] of Object.entries(JSON.parse(e.data))) {
      for (const p of main.querySelectorAll(`[data-progress="${CSS.escape(id)}"]`)) p.textContent = text;
    }
  });
  document.addEventListener("focusout", () => setTimeout(() => { if (again) load(); }, 0));
  document.addEventListener("selectionchange", () => { if (again && !busy()) load(); });
  addEventListener("pagehide", () => events.close());
})();
