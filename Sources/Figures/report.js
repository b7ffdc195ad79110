// What a page of results can do besides being read: sort tables, copy them, hide curves, show all rows. Without it the page is whole.
(() => {
  "use strict";
  const units = { ns: 1e-9, "µs": 1e-6, ms: 1e-3, s: 1, min: 60, h: 3600, B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30,
    TiB: 2 ** 40, "%": 0.01 };
  // The number that a cell begins with, in the base of its unit; NaN of text.
  const number = text => {
    const found = /^[±~]?\s*([-−]?[\d.]+(?:e[+-]?\d+)?)\s*(ns|µs|ms|s|min|h|B|KiB|MiB|GiB|TiB|%)?/i.exec(text.trim());
    return found ? Number(found[1].replace("−", "-")) * (units[found[2]] ?? 1) : NaN;
  };
  const cells = row => [...row.cells].map(cell => cell.textContent.trim());
  const table = element => [...element.rows].map(cells);
  const csv = rows => rows.map(row =>
    row.map(text => /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text).join(",")).join("\n") + "\n";
  const latex = rows => {
    const mark = text => text.replace(/[&%$#_{}]/g, "\\$&").replaceAll("±", "$\\pm$").replaceAll("×", "$\\times$")
      .replaceAll("µ", "$\\mu$").replaceAll("∝", "$\\propto$").replaceAll("≈", "$\\approx$").replaceAll("^", "\\^{}");
    const line = row => row.map(mark).join(" & ") + " \\\\";
    return `\\begin{tabular}{l${"r".repeat(rows[0].length - 1)}}\n\\hline\n${line(rows[0])}\n\\hline\n`
      + rows.slice(1).map(line).join("\n") + "\n\\hline\n\\end{tabular}\n";
  };

  const sort = (element, column, header) => {
    const body = element.tBodies[0];
    const down = header.getAttribute("aria-sort") === "ascending";
    const keyed = [...body.rows].map((row, place) => ({ row, place, text: row.cells[column]?.textContent.trim() ?? "" }));
    for (const entry of keyed) entry.number = number(entry.text);
    // What is no number stands last, however the others are sorted.
    keyed.sort((a, b) => {
      const first = Number.isNaN(a.number), second = Number.isNaN(b.number);
      if (first !== second) return first ? 1 : -1;
      const order = first ? a.text.localeCompare(b.text) : a.number - b.number;
      return (down ? -order : order) || a.place - b.place;
    });
    for (const other of element.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...keyed.map(entry => entry.row));
  };

  const button = (text, action) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", () => action(made));
    return made;
  };
  const copy = (text, from) => {
    const said = from.textContent;
    const tell = word => { from.textContent = word; setTimeout(() => { from.textContent = said; }, 1200); };
    // A page that is opened as a file may have no clipboard: then the text is selected for the reader's own copy.
    const field = document.createElement("textarea");
    field.value = text;
    document.body.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    if (done) tell("copied");
    else navigator.clipboard?.writeText(text).then(() => tell("copied"), () => tell("not allowed here"));
  };
  const equip = element => {
    for (const [column, header] of [...element.tHead.rows[0].cells].entries()) {
      header.tabIndex = 0;
      header.title = "sort by this column";
      header.addEventListener("click", () => sort(element, column, header));
      header.addEventListener("keydown", event => { if (event.key === "Enter") sort(element, column, header); });
    }
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append(button("copy as CSV", from => copy(csv(table(element)), from)),
      button("copy as LaTeX", from => copy(latex(table(element)), from)));
    element.parentElement.after(tools);
  };
  for (const element of document.querySelectorAll("table")) equip(element);

  // One curve is hidden in all pieces of its picture, by a click on it or on its name.
  for (const curve of document.querySelectorAll("g.curve")) {
    curve.addEventListener("click", () => {
      const hidden = curve.classList.contains("off");
      const all = curve.closest("figure").querySelectorAll(`g.curve[data-name="${CSS.escape(curve.dataset.name)}"]`);
      for (const same of all) same.classList.toggle("off", !hidden);
    });
  }

  // All rows, from the tables that the page holds as text.
  const parse = text => {
    const rows = [[""]];
    let quoted = false;
    for (let i = 0; i < text.length; i++) {
      const c = text[i], row = rows[rows.length - 1];
      if (quoted && c === '"' && text[i + 1] === '"') { row[row.length - 1] += '"'; i++; }
      else if (c === '"') quoted = !quoted;
      else if (!quoted && c === ",") row.push("");
      else if (!quoted && c === "\n") rows.push([""]);
      else if (quoted || c !== "\r") row[row.length - 1] += c;
    }
    return rows.filter(row => row.length > 1 || row[0] !== "");
  };
  const show = (source, file, text) => {
    const folded = document.createElement("details");
    const title = document.createElement("summary");
    const [header, ...rows] = parse(text);
    title.textContent = `All ${rows.length} rows of ${file}`;
    const tools = document.createElement("p");
    tools.className = "tools";
    tools.append(button("copy all as CSV", from => copy(text, from)), button("save as a file", () => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
      link.download = file;
      link.click();
      URL.revokeObjectURL(link.href);
    }));
    folded.append(title, tools);
    folded.addEventListener("toggle", () => {
      if (folded.querySelector("table")) return;
      const used = header.map((_, column) => column).filter(column => rows.some(row => row[column]));
      const scroll = document.createElement("div"), element = document.createElement("table");
      scroll.className = "scroll";
      const fill = (place, name, row) => {
        const line = place.insertRow();
        for (const column of used) {
          const cell = document.createElement(name);
          cell.textContent = row[column] ?? "";
          line.append(cell);
        }
      };
      fill(element.createTHead(), "th", header);
      const body = element.createTBody();
      for (const row of rows) fill(body, "td", row);
      scroll.append(element);
      folded.append(scroll);
      equip(element);
    });
    source.before(folded);
  };
  for (const source of document.querySelectorAll("script[type='application/ld+json']")) {
    for (const part of JSON.parse(source.textContent).distribution) show(source, part.name, part.text);
  }
})();
