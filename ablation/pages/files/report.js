"use strict";
// Sorting, light and dark colours, and the focus of popovers. Everything else works without it.
(() => {
  const root = document.documentElement;

  function button(text, where, act) {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", act);
    where.append(made);
    return made;
  }

  // -- light or dark
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const theme = button("", document.querySelector("header"), () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    name();
  });
  theme.className = "theme";
  function name() {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", `Show in ${isDark() ? "light" : "dark"} colours`);
  }
  dark.addEventListener("change", name);
  name();

  // -- sorting: each group of rows by itself, missing numbers last; a third click restores the order
  function value(row, column) {
    const cell = row.cells[column];
    if (!cell) return null;
    if (cell.tagName === "TH") return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  }
  function order(one, other) {
    if (typeof one === "string") return one.localeCompare(other, "en", { numeric: true });
    return one - other;
  }
  function sort(table, column, direction) {
    for (const body of table.tBodies) {
      const rows = [...body.rows].filter((row) => !row.classList.contains("group"));
      const keyed = rows.map((row) => ({ row, key: value(row, column), at: Number(row.dataset.at) }));
      keyed.sort((a, b) => {
        if (direction === "none") return a.at - b.at;
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.at - b.at;
        const found = order(a.key, b.key);
        return (direction === "ascending" ? found : -found) || a.at - b.at;
      });
      body.append(...keyed.map((each) => each.row));
    }
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const body of table.tBodies) [...body.rows].forEach((row, at) => (row.dataset.at = at));
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const values = [...table.tBodies].flatMap((body) => [...body.rows].map((row) => value(row, column)));
      if (values.every((each) => each === null)) return;
      const turns = column ? ["descending", "ascending", "none"] : ["ascending", "descending", "none"];
      const text = head.textContent.trim();
      head.textContent = "";
      head.setAttribute("aria-sort", "none");
      button(text, head, () => {
        const next = turns[(turns.indexOf(head.getAttribute("aria-sort")) + 1) % 3];
        for (const each of heads) if (each.hasAttribute("aria-sort")) each.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", next);
        sort(table, column, next);
      });
    });
  }

  // -- focus an explanation when it opens, so that it is read out
  for (const each of document.querySelectorAll("[popover]")) {
    each.addEventListener("toggle", (event) => {
      if (event.newState === "open") each.focus({ preventScroll: true });
    });
  }

  // -- print with all details open
  const folded = [...document.querySelectorAll("details")];
  addEventListener("beforeprint", () => folded.forEach((each) => (each.open = true)));
})();
