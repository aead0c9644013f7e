// What of a page keeps people out (WCAG 2.2 AA, as far as a script can tell).
() => {
  const found = [];
  if (!document.documentElement.lang) found.push("no language");
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.title) found.push("no title");
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  if (new Set(ids).size !== ids.length) found.push("an id twice");
  for (const field of document.querySelectorAll("input:not([type=hidden]), select"))
    if (!field.labels.length) found.push(`no label: ${field.name}`);
  for (const control of document.querySelectorAll("button, a")) {
    if (!(control.getAttribute("aria-label") || control.textContent).trim()) found.push("a control without a name");
    const box = control.getBoundingClientRect();
    if (control.tagName === "BUTTON" && box.height > 0 && box.height < 24) found.push("a target below 24 pixels");
  }
  for (const head of document.querySelectorAll("th")) if (!head.scope) found.push("a header without scope");
  for (const field of document.querySelectorAll("[aria-describedby], [aria-labelledby]"))
    for (const id of `${field.getAttribute("aria-describedby") ?? field.getAttribute("aria-labelledby")}`.split(" "))
      if (!document.getElementById(id)) found.push(`nothing has the id ${id}`);
  const bright = (text) => {
    const [r, g, b] = text.match(/[0-9.]+/g).map(Number).map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      if (!/, 0\)$|transparent/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  for (const node of document.querySelectorAll("p, a, button, label, td, th, dt, dd, h1, h2, li")) {
    if (!node.textContent.trim() || !node.getClientRects().length) continue;
    const [a, b] = [bright(getComputedStyle(node).color), bright(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) found.push(`too little contrast: ${node.tagName} ${node.textContent.trim().slice(0, 20)}`);
  }
  return found;
}
