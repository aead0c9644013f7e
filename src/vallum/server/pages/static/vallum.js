// What the keyboard does, and small comforts. Every page works without this file.
// Invariant: nothing here builds markup from text: the server escapes, htmx puts it in place.
(() => {
  "use strict";
  const editable = (el) => el instanceof HTMLElement && (el.isContentEditable || /^(INPUT|SELECT|TEXTAREA)$/.test(el.tagName));
  const help = () => document.getElementById("help");
  let leader = 0;

  const go = (key) => {
    const link = document.querySelector(`a[data-go="${CSS.escape(key)}"]`);
    if (link) link.click();
  };

  const cells = (cell, key) => {
    const td = cell.closest("td");
    const tr = td.parentElement;
    const index = td.cellIndex;
    const last = tr.cells.length - 1;
    const rowAt = (row) => row && row.cells[Math.min(index, row.cells.length - 1)];
    const target = {
      ArrowLeft: () => index > 1 && tr.cells[index - 1],
      ArrowRight: () => tr.cells[index + 1],
      ArrowUp: () => rowAt(tr.previousElementSibling),
      ArrowDown: () => rowAt(tr.nextElementSibling),
      Home: () => tr.cells[1],
      End: () => tr.cells[last],
    }[key];
    return target ? target()?.querySelector?.("a") : null;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const cell = event.target instanceof Element && event.target.closest("[data-cell]");
    if (cell) {
      const next = cells(cell, event.key);
      if (next) {
        cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
        event.preventDefault();
        return;
      }
    }
    if (event.key === "Escape") {
      const close = document.querySelector("#drawer [data-close]");
      if (close && !document.querySelector("dialog[open]")) close.click();
      if (editable(event.target)) event.target.blur();
      return;
    }
    if (editable(event.target)) return;
    if (Date.now() - leader < 1500) {
      leader = 0;
      go(event.key);
    } else if (event.key === "/") {
      document.getElementById("search")?.focus();
      event.preventDefault();
    } else if (event.key === "?") {
      help()?.showModal?.();
    } else if (event.key === "g") {
      leader = Date.now();
    }
  });

  document.addEventListener("click", (event) => {
    if (!(event.target instanceof Element)) return;
    const cell = event.target.closest("a[data-cell]");
    if (cell && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      document.querySelectorAll(".selected[data-cell]").forEach((el) => el.classList.remove("selected"));
      cell.classList.add("selected");
      htmx.ajax("GET", cell.getAttribute("href"), { target: "#drawer" });
      event.preventDefault();
    }
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      const from = copy.dataset.copy ? document.getElementById(copy.dataset.copy).textContent : location.href;
      navigator.clipboard?.writeText(from.trim()).then(() => {
        const said = copy.querySelector("[aria-live]");
        if (said) said.textContent = copy.dataset.copied;
      });
      event.preventDefault();
    }
    const runner = event.target.closest("[data-run]");
    if (runner) run(runner);
    if (event.target.closest("[data-help]")) {
      help()?.showModal?.();
      event.preventDefault();
    }
    const close = event.target.closest("[data-close]");
    if (close && close.closest("#drawer")) {
      const drawer = close.closest("#drawer");
      const opener = document.querySelector(".selected[data-cell]") || document.querySelector("main h1");
      drawer.replaceChildren();
      drawer.closest(".page")?.classList.remove("with-drawer");
      document.querySelector(".selected[data-cell]")?.classList.remove("selected");
      opener?.focus?.();
      history.replaceState(null, "", close.getAttribute("href"));
      event.preventDefault();
    }
  });

  document.addEventListener("change", (event) => {
    if (event.target instanceof HTMLElement && event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // Times are shown in the reader's own zone; the absolute time stays in the title.
  const localise = (root) => {
    for (const time of root.querySelectorAll("time[data-local]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.valueOf())) {
        time.title = time.textContent.trim();
        time.textContent = at.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "short" });
      }
    }
  };

  // Long work tells how far it is, and then puts its result where it belongs.
  const run = (button) => {
    const box = button.parentElement;
    const bar = document.createElement("progress");
    const said = document.createElement("span");
    said.setAttribute("role", "status");
    said.textContent = `${button.textContent.trim()} …`;
    bar.setAttribute("aria-label", button.textContent.trim());
    box.replaceChildren(said, bar);
    const source = new EventSource(button.dataset.run);
    source.addEventListener("progress", (event) => {
      const state = JSON.parse(event.data);
      if (state.total) { bar.max = state.total; bar.value = state.done; } else { bar.removeAttribute("value"); }
      said.textContent = state.text;
    });
    source.addEventListener("end", (event) => {
      source.close();
      htmx.swap(`#${button.dataset.into}`, JSON.parse(event.data).html, { swapStyle: "outerHTML" });
      ready(document);
    });
    source.addEventListener("failed", (event) => {
      source.close();
      const state = JSON.parse(event.data);
      box.replaceChildren(said);
      said.textContent = `${state.title}: ${state.text}`;
    });
    source.onerror = () => { if (source.readyState === EventSource.CLOSED) said.textContent = button.dataset.lost || "…"; };
  };

  // What needs a script is shown where there is one.
  const ready = (root) => {
    for (const box of root.querySelectorAll("[data-start]")) box.hidden = false;
    for (const button of root.querySelectorAll("[data-now]")) run(button);
    localise(root);
  };
  ready(document);

  // The columns that were chosen for a list are there the next time as well.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.dataset.columns) return;
    const chosen = [...form.elements].filter((el) => el.name === "col" && el.checked).map((el) => el.value);
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `columns-${form.dataset.columns}=${chosen.join("|")}; path=/data; max-age=31536000; samesite=strict${secure}`;
  });

  // What was typed outlives a session that ended meanwhile: it is kept in this tab until it was saved.
  const key = (form) => `kept:${form.dataset.keep}`;
  const keep = (form) => {
    const kept = {};
    for (const el of form.elements) {
      if (el.name && !["hidden", "password", "file", "submit"].includes(el.type)) {
        kept[el.name] = el.type === "checkbox" || el.type === "radio" ? [el.checked, el.value] : el.value;
      }
    }
    sessionStorage.setItem(key(form), JSON.stringify(kept));
  };
  for (const form of document.querySelectorAll("form[data-keep]")) {
    const found = sessionStorage.getItem(key(form));
    const notice = form.querySelector("[data-restore]");
    if (found && notice) {
      notice.hidden = false;
      notice.querySelector("button").addEventListener("click", () => {
        for (const [name, value] of Object.entries(JSON.parse(found))) {
          const el = form.elements.namedItem(name);
          if (!el) continue;
          if (Array.isArray(value)) el.checked = value[0]; else el.value = value;
        }
        notice.hidden = true;
      });
    }
    form.addEventListener("input", () => keep(form));
  }
  const saved = document.querySelector("[data-saved]");
  if (saved) sessionStorage.removeItem(`kept:${saved.dataset.saved}`);

  document.addEventListener("htmx:afterSwap", (event) => {
    ready(event.target);
    if (event.target.id === "drawer") {
      event.target.closest(".page")?.classList.add("with-drawer");
      event.target.querySelector("h2")?.focus({ preventScroll: true });
    }
  });
  // An error is a page as well: show it where the answer would have been.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status >= 400 && event.detail.xhr.getResponseHeader("content-type")?.startsWith("text/html")) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
})();
