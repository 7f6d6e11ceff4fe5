"use strict";
// Search, sorting, filtering, keys, and pointing at an occlusion grid. Names are only ever set as
// text, never as markup.
(() => {
  const root = document.body.dataset.root;
  const atlas = window.ATLAS || { layers: [], classes: [], occurring: [] };
  const $ = (query) => document.querySelector(query);
  const typing = () => /^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName);

  // Search: "lion", "conv2", "conv2:36", or "36" for that filter of every layer.
  const box = $(".search");
  const input = $("#search");
  const found = $("#found");
  const MOST = 12;

  function matches(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const hits = [];
    for (const k of atlas.occurring) {
      const name = atlas.classes[k];
      const at = name.toLowerCase().indexOf(wanted);
      if (at >= 0) hits.push({ name, kind: "class", link: `classes/${k}.html`, rank: at ? 2 : 0 });
    }
    const [, ofLayer, number] = /^(.*?)[\s:]*(\d+)?$/.exec(wanted);
    for (const [label, folder, filters] of atlas.layers) {
      const name = label.toLowerCase();
      if (name.includes(wanted)) {
        hits.push({ name: label, kind: "layer", link: `${folder}index.html`, rank: name === wanted ? 0 : 1 });
      }
      const fits = number !== undefined && Number(number) < filters;
      const named = ofLayer.replace(/^filter\s*/, "");
      if (fits && (!named || name.includes(named))) {
        const exact = name === named ? 0 : 2;
        hits.push({ name: `${label}:${Number(number)}`, kind: "filter", link: `${folder}${Number(number)}.html`, rank: exact });
      }
    }
    return hits.sort((a, b) => a.rank - b.rank);
  }

  function show() {
    const hits = matches(input.value);
    found.replaceChildren(...hits.slice(0, MOST).map(({ name, kind, link }) => {
      const item = document.createElement("li");
      const anchor = document.createElement("a");
      const label = document.createElement("bdi");
      const what = document.createElement("span");
      anchor.href = root + link;
      label.textContent = name;
      what.textContent = kind;
      what.className = "soft";
      anchor.append(label, what);
      item.append(anchor);
      return item;
    }));
    if (input.value.trim() && !hits.length) {
      const none = document.createElement("li");
      none.textContent = "There is no such class, layer or filter.";
      found.append(none);
    } else if (hits.length > MOST) {
      const more = document.createElement("li");
      more.className = "soft";
      more.textContent = `and ${hits.length - MOST} more`;
      found.append(more);
    }
    found.hidden = !input.value.trim();
  }

  if (box) {
    box.hidden = false;
    input.addEventListener("input", show);
    input.addEventListener("focus", show);
    box.addEventListener("keydown", (event) => {
      const links = [...found.querySelectorAll("a")];
      const at = links.indexOf(document.activeElement);
      if (event.key === "Enter" && document.activeElement === input && links[0]) {
        location.href = links[0].href;
      } else if (event.key === "ArrowDown" && links.length) {
        links[Math.min(at + 1, links.length - 1)].focus();
      } else if (event.key === "ArrowUp" && at >= 0) {
        (links[at - 1] || input).focus();
      } else if (event.key === "Escape") {
        found.hidden = true;
        input.blur();
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation();
    });
    document.addEventListener("click", (event) => {
      if (!box.contains(event.target)) found.hidden = true;
    });
  }

  // The wall of a layer.
  const wall = $("#wall");
  let tiles = wall ? [...wall.children] : [];
  const shown = () => tiles.filter((tile) => !tile.hidden);

  function arrange() {
    const key = $("#sort").value;
    const chosen = (query) => ($(query) ? $(query).value : "");
    const of = chosen("#of");
    const alive = chosen("#alive");
    const least = chosen("#least");
    const order = (a, b) => b.dataset[key] - a.dataset[key] || b.dataset.number - a.dataset.number;
    const sorted = [...tiles].sort(order);
    const moved = sorted.some((tile, k) => tile !== tiles[k]);
    tiles = sorted;
    for (const tile of tiles) {
      tile.hidden = (of !== "" && tile.dataset.class !== of) || (alive !== "" && tile.dataset.dead !== alive) || (least !== "" && tile.dataset.least !== least);
    }
    if (moved) wall.replaceChildren(...tiles);
    count();
  }

  function count() {
    $("#count").textContent = `${shown().length} of ${tiles.length} ${wall.dataset.what || "filters"}`;
  }

  if (wall) {
    $(".controls").hidden = false;
    $(".controls").addEventListener("submit", (event) => event.preventDefault());
    const selects = [...document.querySelectorAll(".controls select")];
    for (const each of selects) each.addEventListener("change", arrange);
    // A wall of thousands of filters is in order already, unless the browser has kept a choice.
    const kept = selects.some((each) => (each.id === "sort" ? each.selectedIndex : each.value !== ""));
    if ("sorted" in wall.dataset && !kept) count();
    else arrange();
  }

  function across(items) {
    const top = items[0].offsetTop;
    return Math.max(1, items.filter((item) => item.offsetTop === top).length);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && input && !typing()) {
      event.preventDefault();
      input.focus();
      return;
    }
    if (typing() || document.activeElement.closest(".grid")) return;
    if (wall && shown().length) {
      const items = shown();
      const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: across(items), ArrowUp: -across(items) };
      const step = steps[event.key];
      const at = items.indexOf(document.activeElement.closest("li"));
      if (step && (at >= 0 || event.key === "ArrowRight")) {
        const next = at < 0 ? 0 : Math.max(0, Math.min(items.length - 1, at + step));
        items[next].querySelector("a").focus();
        event.preventDefault();
      }
      return;
    }
    const link = { ArrowLeft: $("a[rel=prev]"), ArrowRight: $("a[rel=next]") }[event.key];
    if (link) location.href = link.href;
  });

  // Tables: a click on a heading sorts, another one the other way round.
  for (const table of document.querySelectorAll(".sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = heading.textContent;
      heading.replaceChildren(button);
      button.addEventListener("click", () => {
        const rising = heading.getAttribute("aria-sort") !== "ascending";
        for (const other of heading.parentNode.cells) other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        const value = (row) => row.cells[column].dataset.v;
        const order = (a, b) => {
          const gap = value(a) - value(b);
          return Number.isNaN(gap) ? value(a).localeCompare(value(b)) : gap;
        };
        body.replaceChildren(...[...body.rows].sort((a, b) => (rising ? order(a, b) : order(b, a))));
      });
    });
  }

  // The occlusion grid of an image.
  const grid = $(".grid");
  if (grid) {
    const cells = [...grid.querySelectorAll("rect")];
    const columns = grid.viewBox.baseVal.width;
    let at = cells.reduce((low, cell, k) => (+cell.dataset.c < +cells[low].dataset.c ? k : low), 0);
    const point = (k) => {
      cells[at].classList.remove("on");
      at = k;
      const cell = cells[k];
      cell.classList.add("on");
      const [y0, x0, y1, x1] = cell.dataset.box.split(" ").map(Number);
      for (const frame of document.querySelectorAll(".window")) {
        frame.setAttribute("x", x0);
        frame.setAttribute("y", y0);
        frame.setAttribute("width", x1 - x0);
        frame.setAttribute("height", y1 - y0);
      }
      const before = 100 * $("#occlusion").dataset.uncovered;
      $("#cell").textContent =
        `Window at row ${Math.floor(k / columns)}, column ${k % columns} (y ${y0} to ${y1}, x ${x0} to ${x1}\u00a0px): ` +
        `confidence ${(+cell.dataset.c).toFixed(1)}\u00a0% instead of ${before.toFixed(1)}\u00a0%, ` +
        `predicted as “${atlas.classes[cell.dataset.p]}”.`;
    };
    grid.addEventListener("mouseover", (event) => {
      const k = cells.indexOf(event.target);
      if (k >= 0) point(k);
    });
    grid.addEventListener("focus", () => point(at));
    grid.addEventListener("keydown", (event) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      const to = {
        ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
        ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      }[event.key];
      if (!to) return;
      event.preventDefault();
      if (to[0] >= 0 && to[1] >= 0 && to[1] < columns && to[0] * columns + to[1] < cells.length) {
        point(to[0] * columns + to[1]);
      }
    });
  }
})();
