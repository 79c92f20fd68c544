// The review page: one item at a time, worst first. Everything that is changed goes to the server at once,
// which answers with the item as it is now.
// Masks are read by grounding_core/player/player.js, which stands before this as `Grounding`.
const { make, decode } = Grounding;
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), pen = canvas.getContext("2d");
let all = [], palette = [], place = 0, item = null, frame = 0, phrase = 0, object = null;
let mode = null; // null, "rename", "link", "caption", "box", "click", "new"
let clicked = { frame: -1, points: [] };
let drag = null, linked = new Set(), playing = null, masks = true, busy = false, pictures = new Map();

// Objects are called by their place, 1 to n, which fits on a key; their ids may be any numbers.
const number = (id) => item.tracks.findIndex((track) => track.id === id) + 1;
const numbered = (key) => item.tracks[Number(key) - 1]?.id ?? null;
const numbers = (ids) => [...ids].map(number).sort((a, b) => a - b).join(", ");
const marks = (text, change) =>
  text.replace(/\]\(([^)]*)\)/g, (_, ids) => `](${ids.split(",").map((id) => change(id.trim())).join(", ")})`);

const colour = (id) => palette[id % palette.length];
const keys = (text) => [...text.matchAll(/\d+/g)].map(Number);

async function ask(path, options = {}) {
  const reply = await fetch(path, options), told = await reply.json();
  if (!reply.ok) throw new Error(told.problem ? `${told.problem} ${told.remedy}` : `HTTP ${reply.status}`);
  return told;
}
const send = (path, content) =>
  ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(content) });

function toast(text) {
  $("toast").textContent = text;
  $("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => ($("toast").hidden = true), 6000);
}

async function doing(work) {
  if (busy) return;
  busy = true;
  document.body.setAttribute("aria-busy", "true");
  try { await work(); } catch (error) { toast(error.message); }
  busy = false;
  document.body.removeAttribute("aria-busy");
}

// ---- items ---------------------------------------------------------------------------------------

const MARKS = { accept: "✓", drop: "✗", changed: "•", open: "" };

async function list() {
  const told = await ask("items");
  all = told.items;
  palette = told.palette;
  $("who").textContent = told.who;
  $("list").replaceChildren(...all.map((one, index) => make("button", { onclick: () => open(index) },
    make("span", { className: "score", textContent: one.score.toFixed(2) }),
    make("span", { className: "name", textContent: one.id, title: one.id }),
    make("span", { className: one.status, textContent: MARKS[one.status], title: one.status }),
    make("small", { textContent: one.kinds.join(", ") || "no findings" }))));
  here();
}

function here() {
  const done = all.filter((one) => one.status === "accept" || one.status === "drop").length;
  $("progress").textContent = `${done} of ${all.length} decided`;
  [...$("list").children].forEach((row, index) => {
    row.setAttribute("aria-current", index === place);
    row.children[2].textContent = MARKS[all[index].status];
    row.children[2].className = all[index].status;
  });
  $("list").children[place]?.scrollIntoView({ block: "nearest" });
}

const open = (index) => doing(async () => {
  if (!all.length) return;
  place = Math.min(Math.max(index, 0), all.length - 1);
  stop();
  leave();
  pictures = new Map();
  phrase = 0;
  object = null;
  show(await ask(`items/${place}`));
  const fault = item.faults.find((one) => one.frames.length);
  go(fault ? fault.frames[0] : 0);
});

function show(told) {
  item = told;
  all[place].status = told.status;
  phrase = Math.min(phrase, Math.max(told.spans.length - 1, 0));
  $("cvat").href = `items/${place}/cvat.zip`;
  $("frame").max = told.video ? told.video.frames - 1 : 0;
  $("question").textContent = told.question ? `${told.kind}: ${told.question}` : "";
  $("faults").replaceChildren(...(told.problem ? [make("p", {}, make("b", { textContent: told.problem }))] : []),
    ...told.faults.map((fault) => make("p", {}, make("b", { textContent: fault.kind }), ` ${fault.reason} `,
      ...(fault.frames.length ? [make("button", { textContent: `frame ${fault.frames[0]}`, onclick: () => go(fault.frames[0]) })] : []))));
  const parts = [];
  let read = 0;
  const letters = [...told.text]; // offsets count code points
  told.spans.forEach((span, index) => {
    parts.push(letters.slice(read, span.start).join(""));
    const button = make("span", {
      role: "button", tabIndex: 0, className: span.tracks.length ? "phrase" : "phrase loose", textContent: letters.slice(span.start, span.end).join("") || "∅",
      title: span.tracks.length ? `object ${numbers(span.tracks)}` : "points at nothing",
      onclick: () => { phrase = index; choose(); },
    });
    if (span.tracks.length) button.style.setProperty("--mark", colour(span.tracks[0])[0]);
    parts.push(button);
    read = Math.max(read, span.end);
  });
  parts.push(letters.slice(read).join(""));
  $("caption").replaceChildren(...parts);
  $("changes").replaceChildren(...told.changes.map((one) =>
    make("li", { textContent: `${one.action} by ${one.who}, ${one.when.replace("T", " ").replace("+00:00", " UTC")}` })));
  rows();
  choose();
  here();
}

function rows() {
  const length = item.video ? item.video.frames : 1;
  $("rows").replaceChildren(...item.tracks.flatMap((track) => {
    const span = item.spans.find((one) => one.tracks.includes(track.id));
    const words = span ? [...item.text].slice(span.start, span.end).join("") : "no phrase";
    const plate = make("span", { className: "plate", textContent: number(track.id) });
    [plate.style.background, plate.style.color] = colour(track.id);
    const name = make("button", { onclick: () => { object = object === track.id ? null : track.id; rows(); draw(); } }, plate, words);
    name.setAttribute("aria-pressed", object === track.id);
    const bar = make("div", { className: "bar", onclick: (event) => go(Math.floor(event.offsetX / bar.clientWidth * length)) });
    track.frames.forEach((rle, index) => {
      if (!rle) return;
      const piece = make("i");
      piece.style.cssText = `left:${100 * index / length}%;width:${100 / length + 0.2}%;background:${colour(track.id)[0]}`;
      bar.append(piece);
    });
    bar.append(make("u"));
    return [name, bar];
  }));
  needles();
}

function needles() {
  const length = item?.video ? item.video.frames : 1;
  for (const needle of $("rows").querySelectorAll("u")) needle.style.left = `${100 * (frame + 0.5) / length}%`;
}

function choose() {
  [...$("caption").querySelectorAll(".phrase")].forEach((one, index) => one.setAttribute("aria-pressed", index === phrase));
  draw();
}

// ---- the video -----------------------------------------------------------------------------------

function go(index) {
  if (!item?.video) return draw();
  frame = Math.min(Math.max(index, 0), item.video.frames - 1);
  $("frame").value = frame;
  $("number").textContent = `${frame + 1} / ${item.video.frames}`;
  needles();
  draw();
}

function picture(index) {
  if (!pictures.has(index)) {
    const image = new Image();
    image.onload = () => index === frame && draw();
    image.onerror = () => toast(`Frame ${index} can't be decoded.`);
    image.src = `items/${place}/frames/${index}`;
    pictures.set(index, image);
  }
  return pictures.get(index);
}

function draw() {
  if (!item?.video) { canvas.width = 320; canvas.height = 180; return; }
  const [height, width] = item.video.size;
  // Small videos are enlarged, for outlines to be thin.
  const scale = Math.max(1, Math.ceil(640 / Math.max(height, width)));
  if (canvas.width !== width * scale || canvas.height !== height * scale) {
    canvas.width = width * scale;
    canvas.height = height * scale;
  }
  const image = picture(frame);
  pen.imageSmoothingEnabled = scale < 3;
  if (image.complete && image.naturalWidth) pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  if (frame + 1 < item.video.frames) picture(frame + 1);
  const wanted = mode === "link" ? linked : new Set(item.spans[phrase]?.tracks ?? []);
  if (masks) for (const track of item.tracks) {
    const rle = track.frames[frame];
    if (!rle) continue;
    const strong = object === null ? !wanted.size || wanted.has(track.id) : object === track.id;
    layer(decode(rle.counts, height, width), width, height, scale, keys(colour(track.id)[0]), strong, track.id);
  }
  if (drag) {
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    pen.setLineDash([6, 4]);
    pen.strokeRect(drag.x0 * scale, drag.y0 * scale, (drag.x1 - drag.x0) * scale, (drag.y1 - drag.y0) * scale);
    pen.setLineDash([]);
  }
}

function layer(mask, width, height, scale, [red, green, blue], strong, id) {
  const small = new OffscreenCanvas(width, height), brush = small.getContext("2d"), made = brush.createImageData(width, height);
  let top = null;
  for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
    if (!mask[i]) continue;
    top ??= [x, y];
    const edge = x === 0 || y === 0 || x === width - 1 || y === height - 1 || !mask[i - 1] || !mask[i + 1] || !mask[i - width] || !mask[i + width];
    made.data.set([red, green, blue, edge ? (strong ? 255 : 130) : (strong ? 105 : 25)], 4 * i);
  }
  brush.putImageData(made, 0, 0);
  const smooth = pen.imageSmoothingEnabled;
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, width * scale, height * scale);
  pen.imageSmoothingEnabled = smooth;
  if (!top) return;
  const size = Math.max(14, Math.round(canvas.height / 24)), [back, ink] = colour(id);
  pen.font = `700 ${size}px system-ui, sans-serif`;
  const room = pen.measureText(number(id)).width + 8;
  const x = Math.min(top[0] * scale, canvas.width - room), y = Math.max(0, top[1] * scale - size - 4);
  pen.fillStyle = back;
  pen.fillRect(x, y, room, size + 4);
  pen.fillStyle = ink;
  pen.fillText(number(id), x + 4, y + size - 1);
}

function stop() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}

function play() {
  if (playing) return stop();
  $("play").textContent = "Pause";
  playing = setInterval(() => go((frame + 1) % item.video.frames), 1000 / Math.min(item.video.fps || 8, 25));
}

// ---- changes -------------------------------------------------------------------------------------

const change = (action, values = {}) =>
  doing(async () => show(await send(`items/${place}/changes`, { action, values })));
const decide = async (action) => {
  await change(action);
  if (item.status === action) await open(place + 1);
};

function enter(next, text) {
  mode = next;
  $("mode").hidden = false;
  $("mode").textContent = text;
  canvas.classList.toggle("drawing", ["box", "click", "new"].includes(next));
}

function leave() {
  mode = drag = null;
  $("mode").hidden = true;
  $("edit").hidden = true;
  $("edit").replaceChildren();
  canvas.classList.remove("drawing");
  document.activeElement?.blur();
  draw();
}

function field(tag, value, label, keep) {
  const input = make(tag, { value, rows: 4 });
  input.setAttribute("aria-label", label);
  input.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") leave();
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      const given = input.value;
      leave();
      keep(given);
    }
  };
  $("edit").replaceChildren(input, make("small", { className: "soft", textContent: "Enter keeps, Esc leaves" }));
  $("edit").hidden = false;
  input.focus();
  input.select?.();
}

const selected = () => {
  if (item.spans.length) return true;
  toast("There is no phrase: write the caption anew (e).");
  return false;
};
const target = () => {
  const own = item.spans[phrase]?.tracks ?? [];
  return object ?? (own.length === 1 ? own[0] : null);
};

const actions = {
  j: () => open(place + 1), k: () => open(place - 1),
  a: () => decide("accept"), d: () => decide("drop"), u: () => change("undo"),
  r: () => selected() && (enter("rename", "Rename the phrase"),
    field("input", [...item.text].slice(item.spans[phrase].start, item.spans[phrase].end).join(""), "New words",
      (words) => change("rename", { span: phrase, words }))),
  e: () => (enter("caption", "Write the caption"),
    field("textarea", marks(item.marked ?? "", (id) => number(Number(id))), "Caption with [words](number)",
      (given) => change("caption", { marked: marks(given, (key) => numbered(key) ?? "none") }))),
  l: () => {
    if (!selected()) return;
    linked = new Set(item.spans[phrase].tracks);
    linking();
  },
  b: () => draws("box"), c: () => draws("click"), n: () => enter("new", "New object: draw a box around it"),
  m: () => { masks = !masks; draw(); },
  " ": play, ArrowLeft: () => go(frame - 1), ArrowRight: () => go(frame + 1),
  ArrowDown: () => open(place + 1), ArrowUp: () => open(place - 1),
  Tab: (event) => { const n = item.spans.length; if (n) { phrase = (phrase + (event.shiftKey ? n - 1 : 1)) % n; choose(); } },
  Escape: () => { object = null; leave(); rows(); }, "?": () => $("keys").showModal(),
};

function linking() {
  enter("link", `Linked to ${numbers(linked) || "nothing"}: numbers switch, Enter keeps`);
  draw();
}

function draws(how) {
  if (target() === null) return toast("Choose an object first: its number, or a phrase that points at it alone.");
  clicked = { frame: -1, points: [] };
  enter(how, how === "box" ? `Draw a box around object ${number(target())}` : `Click on object ${number(target())} (Shift: not this)`);
}

const redraw = (drawn) => doing(async () => {
  const track = mode === "new" ? null : target();
  const said = $("mode").textContent;
  $("mode").textContent = "Following the object …";
  try { show(await send(`items/${place}/redraw`, { frame, track, ...drawn })); } finally {
    // Clicks add up until Escape; a box is done with.
    if (mode === "click") $("mode").textContent = said; else leave();
  }
});

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || $("keys").open) return;
  if (event.target.matches?.("input[type=range]") && event.key.startsWith("Arrow")) event.preventDefault();
  if (mode === "link") {
    if (/^\d$/.test(event.key)) {
      const id = numbered(event.key);
      if (id === null) return toast(`There is no object ${event.key}.`);
      linked.has(id) ? linked.delete(id) : linked.add(id);
      return linking();
    }
    if (event.key === "Enter") {
      const tracks = [...linked].sort((a, b) => a - b);
      event.preventDefault();
      leave();
      return change("link", { span: phrase, tracks });
    }
    if (event.key !== "Escape") return;
  }
  if (/^[1-9]$/.test(event.key) && item && numbered(event.key) !== null) {
    object = numbered(event.key);
    rows();
    return draw();
  }
  const action = actions[event.key];
  if (!action || (!item && event.key !== "?")) return;
  // A button that was reached by Tab is still pressed by Enter; Tab itself chooses phrases.
  event.preventDefault();
  action(event);
});

const spot = (event) => {
  const [height, width] = item.video.size, box = canvas.getBoundingClientRect();
  // The canvas is fitted into its place: what is left over is black.
  const shown = Math.min(box.width / width, box.height / height);
  const x = (event.clientX - box.left - (box.width - width * shown) / 2) / shown;
  const y = (event.clientY - box.top - (box.height - height * shown) / 2) / shown;
  return [Math.min(Math.max(x, 0), width), Math.min(Math.max(y, 0), height)];
};
canvas.addEventListener("pointerdown", (event) => {
  if (!item?.video || busy) return;
  const [x, y] = spot(event);
  if (mode === "click") {
    if (clicked.frame !== frame) clicked = { frame, points: [] };
    clicked.points.push([x, y, event.shiftKey ? 0 : 1]);
    if (!clicked.points.some((point) => point[2])) return toast("Click on the object first, then on what is not.");
    return redraw({ points: clicked.points });
  }
  if (mode !== "box" && mode !== "new") return;
  canvas.setPointerCapture(event.pointerId);
  drag = { x0: x, y0: y, x1: x, y1: y };
});
canvas.addEventListener("pointermove", (event) => {
  if (!drag) return;
  [drag.x1, drag.y1] = spot(event);
  draw();
});
canvas.addEventListener("pointerup", () => {
  if (!drag) return;
  const { x0, y0, x1, y1 } = drag;
  const box = [Math.min(x0, x1), Math.min(y0, y1), Math.max(x0, x1), Math.max(y0, y1)];
  drag = null;
  if (box[2] - box[0] < 2 || box[3] - box[1] < 2) return draw();
  redraw({ box });
});

for (const button of document.querySelectorAll("[data-key]"))
  button.onclick = (event) => { button.blur(); item && actions[button.dataset.key](event); };
$("play").onclick = () => { $("play").blur(); item?.video && play(); };
$("frame").oninput = () => { stop(); go(Number($("frame").value)); };
$("help").onclick = () => $("keys").showModal();
$("export").onclick = () => doing(async () => {
  const told = await send("export", {});
  toast(`${told.counts.captions} captions and ${told.counts.questions} questions written to ${told.folder}`);
});
$("upload").onchange = () => doing(async () => {
  const form = new FormData();
  form.append("file", $("upload").files[0]);
  $("upload").value = "";
  const told = await ask("cvat", { method: "POST", body: form });
  toast(`${told.changes} changes taken over`);
  if (told.place !== null) { place = told.place; show(await ask(`items/${place}`)); }
});

await list();
if (all.length) await open(0);
