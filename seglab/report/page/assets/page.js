"use strict";
(() => {
  const root = document.documentElement;
  root.classList.add("js");
  const KEY = "seglab-theme";
  const recall = () => { try { return localStorage.getItem(KEY); } catch { return null; } };
  const keep = (value) => { try { localStorage.setItem(KEY, value); } catch { /* a page without storage keeps nothing */ } };
  const stored = recall();
  if (stored === "dark" || stored === "light") root.dataset.theme = stored;

  const all = (selector, inside = document) => Array.from(inside.querySelectorAll(selector));
  const byId = (id) => document.getElementById(id);
  const say = (text) => { byId("said").textContent = text; };

  function theme() {
    const button = byId("theme");
    const system = matchMedia("(prefers-color-scheme: dark)");
    const now = () => root.dataset.theme || (system.matches ? "dark" : "light");
    const label = () => { button.textContent = now() === "dark" ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      keep(root.dataset.theme);
      label();
    });
    system.addEventListener("change", label);
    label();
  }

  function keyOf(row, place, type) {
    const cell = row.cells[place];
    if (!cell) return type === "number" ? null : "";
    if (type === "number") {
      const text = cell.dataset.key === undefined ? cell.textContent : cell.dataset.key;
      return text.trim() === "" || Number.isNaN(Number(text)) ? null : Number(text);
    }
    return cell.textContent.trim();
  }

  function sortable(table) {
    const body = table.tBodies[0];
    const printed = Array.from(body.rows);
    const heads = all("thead th[data-type]", table);
    heads.forEach((head, place) => {
      const button = head.querySelector("button");
      button.disabled = false;
      const first = head.dataset.first || "ascending";
      const second = first === "ascending" ? "descending" : "ascending";
      button.addEventListener("click", () => {
        const before = head.getAttribute("aria-sort");
        const order = before === null ? first : before === first ? second : null;
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        if (order === null) {
          body.append(...printed);
          say("order of the page");
          return;
        }
        head.setAttribute("aria-sort", order);
        const sign = order === "ascending" ? 1 : -1;
        const type = head.dataset.type;
        const keyed = printed.map((row) => [keyOf(row, place, type), row]);
        keyed.sort(([a], [b]) => {
          const noA = a === null || a === "", noB = b === null || b === "";
          if (noA || noB) return noA - noB;
          return sign * (type === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
        });
        body.append(...keyed.map(([, row]) => row));
        say(`sorted by ${button.textContent.trim()}, ${order}`);
      });
    });
  }

  function columns() {
    const main = byId("main");
    const boxes = ["published", "difference"].map((kind) => [kind, byId(`show-${kind}`)]);
    const apply = () => {
      const hidden = boxes.filter(([, box]) => !box.checked).map(([kind]) => kind);
      boxes.forEach(([kind]) => main.classList.toggle(`hide-${kind}`, hidden.includes(kind)));
      all("th.group").forEach((head) => {
        head.colSpan = head.dataset.kinds.split(" ").filter((kind) => !hidden.includes(kind)).length;
      });
    };
    if (boxes.every(([, box]) => box)) {
      boxes.forEach(([, box]) => box.addEventListener("change", apply));
      apply();
    }
  }

  function claims() {
    const form = byId("claim-filter");
    const rows = all(".board tbody tr");
    const selects = all("select", form);
    const apply = () => {
      let shown = 0;
      rows.forEach((row) => {
        const fits = selects.every(({ value, dataset: { key } }) => {
          if (!value) return true;
          return key === "ours" ? row.dataset.ours.split("|").includes(value) : row.dataset[key] === value;
        });
        row.hidden = !fits;
        shown += fits;
      });
      byId("claim-count").textContent = shown === rows.length ? `${shown} claims` : `${shown} of ${rows.length} claims`;
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("change", apply);
    all("a[data-filter]").forEach((link) => link.addEventListener("click", () => {
      selects.forEach((select) => { select.value = select.dataset.key === "table" ? link.dataset.filter : ""; });
      apply();
    }));
    apply();
  }

  function search() {
    const field = byId("run-search");
    if (!field) return;
    const rows = all(".list tbody tr");
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const apply = () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, i) => {
        row.hidden = !words.every((word) => texts[i].includes(word));
        shown += !row.hidden;
      });
      byId("run-count").textContent = shown === rows.length ? `${shown} runs` : `${shown} of ${rows.length} runs`;
    };
    field.addEventListener("input", apply);
    field.form.addEventListener("submit", (event) => event.preventDefault());
    apply();
  }

  function gallery() {
    const fill = (holder) => {
      const drawn = byId(holder.dataset.of);
      // A figure may begin with the small drawings of its legend.
      const size = (node) => { const box = node.getBoundingClientRect(); return box.width * box.height; };
      const found = drawn && all(".drawing svg, .drawing img", drawn).sort((a, b) => size(b) - size(a))[0];
      if (!found || holder.firstChild) return;
      const copy = found.cloneNode(true);
      [copy, ...all("[id]", copy)].forEach((node) => node.removeAttribute("id"));
      all("title, desc", copy).forEach((node) => node.remove());
      all("[tabindex], a", copy).forEach((node) => node.setAttribute("tabindex", "-1"));
      copy.setAttribute("style", "width: 100%; height: 100%; max-width: none");
      copy.removeAttribute("role");
      copy.removeAttribute("aria-labelledby");
      holder.append(copy);
    };
    const thumbs = all(".thumb");
    if ("IntersectionObserver" in window) {
      const seen = new IntersectionObserver((entries) => entries.forEach((entry) => {
        if (entry.isIntersecting) { fill(entry.target); seen.unobserve(entry.target); }
      }), { rootMargin: "400px" });
      thumbs.forEach((thumb) => seen.observe(thumb));
    } else thumbs.forEach(fill);
    const kind = byId("kind");
    if (!kind) return;
    kind.form.addEventListener("submit", (event) => event.preventDefault());
    kind.addEventListener("change", () => all("#gallery > ul > li, #gallery > figure").forEach((node) => {
      node.hidden = Boolean(kind.value) && node.dataset.kind !== kind.value;
    }));
  }

  function pictures() {
    all("select.pick").forEach((select) => {
      const panel = byId(`panel-${select.dataset.side}`);
      const show = () => {
        const grid = document.querySelector(`#grids > [data-grid="${Number(select.value)}"]`);
        panel.replaceChildren(...(grid ? [grid.cloneNode(true)] : []));
        same();
      };
      select.addEventListener("change", show);
      show();
    });
  }

  function same() {
    const line = byId("same");
    if (!line) return;
    const shown = all(".panel > .grid").map((grid) => grid.dataset.images);
    const known = shown.length === 2 && shown.every(Boolean);
    line.textContent = !known ? "" : shown[0] === shown[1] ? "These two show the same images." : "These two show other images.";
  }

  function copies() {
    all("button.copy").forEach((button) => button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        say("copied");
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      } catch {
        getSelection().selectAllChildren(code);
        say("selected, copy it with the keyboard");
      }
    }));
  }

  let left = 0;
  let clicked = false;
  const title = document.title;
  function route(event) {
    let name = "";
    try { name = decodeURIComponent(location.hash.slice(1)); } catch { name = ""; }
    all(".run.current").forEach((node) => node.classList.remove("current"));
    const was = root.dataset.view;
    if (name.startsWith("run/")) {
      const run = byId(name);
      if (run && run.classList.contains("run")) {
        if (was !== "run") left = scrollY;
        root.dataset.view = "run";
        run.classList.add("current");
        document.title = `${name.slice(4)} · ${title}`;
        scrollTo(0, 0);
        run.querySelector("h2").focus({ preventScroll: true });
        clicked = false;
        return;
      }
      say(`no run ${name.slice(4)} on this page`);
    }
    root.dataset.view = "all";
    document.title = title;
    if (was !== "run" || !event) {
      clicked = false;
      return;
    }
    const target = name && byId(name);
    // Back to where one came from, unless a link says where to go.
    if (target && clicked) target.scrollIntoView(); else scrollTo(0, left);
    clicked = false;
  }

  document.addEventListener("DOMContentLoaded", () => {
    theme();
    all("table.sortable").forEach(sortable);
    columns();
    claims();
    search();
    gallery();
    pictures();
    copies();
    if (matchMedia("(max-width: 60rem)").matches) byId("contents").open = false;
    document.addEventListener("click", (event) => { if (event.target.closest("a[href^='#']")) clicked = true; });
    addEventListener("hashchange", route);
    route();
  });
})();
