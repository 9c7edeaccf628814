// Keeps the open page up to date: at a change it loads the page again in the
// background and changes what differs, so that focus, what is typed, what is
// open and where one has scrolled to stay. Without it, reloading does.
"use strict";
(() => {
  const main = document.getElementById("main");
  const status = document.getElementById("live");
  const say = (text) => {
    if (!status) return;
    status.textContent = text;
    status.classList.toggle("on", text === "live");
  };

  // attributes takes over those of another element; what a person opened stays open.
  function attributes(a, b) {
    for (const { name } of [...a.attributes]) {
      if (!b.hasAttribute(name) && !(name === "open" && a.tagName === "DETAILS")) a.removeAttribute(name);
    }
    for (const { name, value } of b.attributes) {
      if (a.getAttribute(name) !== value) a.setAttribute(name, value);
    }
  }
  // morph makes a the same as b. What scripts have filled (data-keep) stays.
  function morph(a, b) {
    if (a.isEqualNode(b)) return;
    if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) { a.replaceWith(b); return; }
    if (a.nodeType !== Node.ELEMENT_NODE) { a.nodeValue = b.nodeValue; return; }
    attributes(a, b);
    if (!a.hasAttribute("data-keep")) children(a, b);
  }
  // children pairs elements with an id by it, and all others in their order.
  // What answers what a person did (data-stay) stays.
  function children(a, b) {
    const named = new Map([...a.children].filter((c) => c.id).map((c) => [c.id, c]));
    const kept = new Set([...b.children].map((c) => c.id));
    const drop = (from, to) => {
      while (from !== to) {
        const next = from.nextSibling;
        if (!(from.dataset && "stay" in from.dataset)) from.remove();
        from = next;
      }
    };
    // What moves loses the focus: what goes is taken away before it, where that will do.
    const reached = (from, to) => {
      for (; from && from !== to; from = from.nextSibling) if (from.id && kept.has(from.id)) return false;
      return from === to;
    };
    let at = a.firstChild;
    for (const n of [...b.childNodes]) {
      const same = n.id ? named.get(n.id) : at && !at.id ? at : null;
      if (!same) { a.insertBefore(n, at); continue; }
      if (reached(at, same)) { drop(at, same); at = same.nextSibling; } else a.insertBefore(same, at);
      morph(same, n);
    }
    drop(at, null);
  }

  // show brings the part of the page at an address up to date.
  async function show(address, part) {
    const answer = await fetch(address, { credentials: "same-origin", cache: "no-store" });
    const next = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(part);
    const now = document.querySelector(part);
    if (!answer.ok || !next || !now) return false;
    children(now, document.importNode(next, true));
    return true;
  }

  // A list is searched while one types.
  const search = document.querySelector("form[data-search]");
  if (search) {
    let timer = 0, asked = 0;
    const find = async () => {
      const query = new URLSearchParams([...new FormData(search)].filter(([, v]) => v !== ""));
      const address = search.getAttribute("action") + (query.size ? "?" + query : "");
      const mine = ++asked;
      history.replaceState(null, "", address);
      if (!await show(address, "[data-part]").catch(() => false) && mine === asked) search.submit();
    };
    search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 150); });
    search.addEventListener("submit", (e) => { e.preventDefault(); clearTimeout(timer); find(); });
  }

  if (!main || !("live" in main.dataset) || !window.EventSource) return;
  let loading = false;
  let again = false;
  // Who reads a selection must not lose it.
  const busy = () => window.getSelection() && !window.getSelection().isCollapsed;

  async function load() {
    if (loading) { again = true; return; }
    if (busy()) { again = true; say("changed; will update"); return; }
    loading = true;
    again = false;
    try {
      say(await show(location.href, main.querySelector("[data-part]") ? "[data-part]" : "#main") ? "live" : "reload the page");
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
  document.addEventListener("selectionchange", () => { if (again && !busy()) load(); });
  addEventListener("pagehide", () => events.close());
})();
