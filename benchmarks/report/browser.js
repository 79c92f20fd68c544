// The sample browser: filter, sort and page through an index; films are unpacked when a card comes into view.
// benchmarks/report/browser.py writes the <script type="text/plain"> elements that are read here.
const PAGE = 12;

async function unpacked(id) {
  const element = document.getElementById(id);
  if (!element) return null;
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

const shown = (value, percent) => (value === null ? "–" : percent ? (100 * value).toFixed(1) : value.toFixed(2));

class Browser {
  constructor(element, index) {
    const make = Grounding.make, key = element.dataset.shelf;
    Object.assign(this, { element, index, key, page: 0 });
    const again = () => { this.page = 0; this.draw(); };
    const field = (label, control) => make("label", {}, label, control);
    this.text = make("input", { type: "search", placeholder: "words or id", oninput: again });
    this.sort = make("select", { onchange: again }, ...index.columns.map(({ key, label }) => new Option(label, key)), new Option("id", ""));
    this.down = make("select", { onchange: again }, new Option("worst first", ""), new Option("best first", "1"));
    this.tags = Object.entries(index.tags).filter(([, { known }]) => known.length > 1).map(([name, { known }]) => {
      const select = make("select", { onchange: again }, new Option("all", ""), ...known.map((value, number) => new Option(value, number)));
      return { name, select };
    });
    const failed = Object.keys(index.errors).length;
    this.errors = make("input", { type: "checkbox", onchange: again });
    this.playing = make("input", { type: "checkbox", onchange: () => this.draw() });
    const tick = (box, text) => make("label", { className: "tick" }, box, text);
    const clear = make("button", { type: "button", textContent: "Clear", onclick: () => { this.reset(); again(); } });
    const tools = make("div", { className: "tools" }, field("search", this.text), field("sort by", this.sort), field("order", this.down), ...this.tags.map(({ name, select }) => field(name, select)), ...(failed ? [tick(this.errors, `errors only (${failed})`)] : []), tick(this.playing, "play all"), clear);
    tools.setAttribute("role", "search");
    tools.setAttribute("aria-label", `Samples of ${element.dataset.title}`);
    this.above = make("div", { className: "pages" });
    this.below = make("div", { className: "pages" });
    this.list = make("div", { className: "samples" });
    this.watch = new IntersectionObserver((entries) => entries.forEach(({ isIntersecting, target }) => {
      if (!isIntersecting) return;
      this.watch.unobserve(target);
      target.fill();
    }), { rootMargin: "300px" });
    element.replaceChildren(tools, this.above, this.list, this.below);
    this.draw();
  }

  reset() {
    this.text.value = "";
    this.sort.selectedIndex = 0;
    this.down.value = "";
    this.errors.checked = false;
    for (const { select } of this.tags) select.value = "";
  }

  // What a number's link says: {sort, down?, tag?, value?, errors?}.
  open({ sort, down, tag, value, errors }) {
    this.reset();
    this.sort.value = sort;
    this.down.value = down ?? "";
    this.errors.checked = Boolean(errors);
    const chosen = this.tags.find(({ name }) => name === tag);
    if (chosen) chosen.select.value = this.index.tags[tag].known.indexOf(value);
    this.page = 0;
    this.draw();
    document.getElementById(`${this.key}-samples`).scrollIntoView({ behavior: "smooth" });
    this.sort.focus({ preventScroll: true });
  }

  rows() {
    const { ids, questions, tags, errors, columns } = this.index, text = this.text.value.trim().toLowerCase();
    const found = ids.map((_, row) => row).filter((row) =>
      (!text || ids[row].toLowerCase().includes(text) || questions[row].toLowerCase().includes(text))
      && (!this.errors.checked || row in errors)
      && this.tags.every(({ name, select }) => select.value === "" || tags[name].rows[row] === +select.value));
    const column = columns.find(({ key }) => key === this.sort.value);
    if (!column) return found;
    const sign = this.down.value ? -1 : 1, values = column.values;
    // What has no value comes last either way.
    return found.sort((a, b) => (values[a] === null) - (values[b] === null) || sign * (values[a] - values[b]) || a - b);
  }

  draw() {
    const make = Grounding.make, rows = this.rows(), pages = Math.max(1, Math.ceil(rows.length / PAGE));
    this.page = Math.min(this.page, pages - 1);
    const go = (page) => { this.page = page; this.draw(); document.getElementById(`${this.key}-samples`).scrollIntoView(); };
    for (const place of [this.above, this.below]) {
      const count = make("output", { textContent: `${rows.length} of ${this.index.ids.length} samples · page ${this.page + 1} of ${pages}` });
      if (place === this.above) count.setAttribute("aria-live", "polite");
      const back = make("button", { type: "button", textContent: "Previous", disabled: this.page === 0, onclick: () => go(this.page - 1) });
      const on = make("button", { type: "button", textContent: "Next", disabled: this.page >= pages - 1, onclick: () => go(this.page + 1) });
      place.replaceChildren(...(pages > 1 ? [back, on] : []), count);
    }
    this.watch.disconnect();
    this.list.replaceChildren(...rows.slice(PAGE * this.page, PAGE * (this.page + 1)).map((row) => this.card(row)));
    for (const card of this.list.children) this.watch.observe(card);
  }

  card(row) {
    const make = Grounding.make, { ids, questions, columns, tags, errors, films } = this.index;
    const column = columns.find(({ key }) => key === this.sort.value) ?? columns[0];
    const badge = make("span", { className: "badge", textContent: `${column.label} ${shown(column.values[row], column.percent)}` });
    const stand = make("div", { className: "stand" });
    const facts = make("dl", {}, ...columns.flatMap(({ label, percent, values }) => [make("dt", { textContent: label }), make("dd", { textContent: shown(values[row], percent) })]),
      ...Object.entries(tags).flatMap(([name, { known, rows }]) => [make("dt", { textContent: name }), make("dd", { textContent: known[rows[row]] })]));
    const more = make("details", {}, make("summary", { textContent: "all numbers" }), facts);
    const failed = row in errors ? [make("p", { className: "failed small", textContent: errors[row] })] : [];
    const card = make("article", { className: "sample" }, make("header", {}, make("p", { className: "question", textContent: questions[row] }), badge), stand, ...failed, make("p", { className: "soft small", textContent: ids[row] }), more);
    card.fill = async () => {
      const film = document.getElementById(`${this.key}-f${films[row]}`), layers = await unpacked(`${this.key}-s${row}`);
      if (!film || !layers) {
        stand.replaceChildren(make("p", { className: "soft small", textContent: "No picture of this sample is kept on this page." }));
        return;
      }
      if (layers.length > 2) card.classList.add("wide");
      Grounding.mount(stand, JSON.parse(film.textContent), layers, PALETTE, { play: this.playing.checked });
    };
    return card;
  }
}

addEventListener("DOMContentLoaded", async () => {
  const browsers = {};
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-browse]");
    if (!link) return;
    event.preventDefault();
    browsers[link.getAttribute("href").slice(1)]?.open(JSON.parse(link.dataset.browse));
  });
  for (const element of document.querySelectorAll(".browser")) {
    const index = await unpacked(`${element.dataset.shelf}-index`);
    browsers[element.dataset.shelf] = new Browser(element, index);
  }
});
