// Says what is wrong with a form while somebody fills it in: it sends the form
// with the verb "check" and puts the findings of the answer in place. Without
// it, the button "Check" does.
"use strict";
(() => {
  const pause = 350;
  for (const form of document.querySelectorAll("form[data-check]")) {
    let timer = 0;
    let asked = null;

    async function check() {
      asked?.abort();
      asked = new AbortController();
      const body = new URLSearchParams(new FormData(form));
      body.set("verb", "check");
      try {
        const answer = await fetch(form.action, { method: "POST", body, credentials: "same-origin", signal: asked.signal });
        const next = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("findings");
        const now = document.getElementById("findings");
        if (!next || !now) return;
        now.replaceChildren(...next.childNodes);
        const wrong = now.querySelector(".failed") !== null;
        form.toggleAttribute("data-wrong", wrong);
      } catch (e) {
        if (e.name !== "AbortError") document.getElementById("findings").textContent = "It cannot be checked now; Fairway does not answer.";
      }
    }

    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(check, pause);
    });
  }
})();
