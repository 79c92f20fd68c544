// Draws what Session.shown() says: the clip with its masks, a timeline a track, and the conversation.
// The masks are those of the answer's JSON: COCO run-length codes, decoded here.
let url = null, state = null, turn = -1, only = null, frame = -1;

const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const color = (id) => state.palette[id % state.palette.length];

// Counts of a compressed COCO code, as rleFrString in pycocotools' maskApi.c writes them.
function runs(text) {
  const counts = [];
  for (let place = 0; place < text.length;) {
    let value = 0, bits = 0, more = true;
    while (more) {
      const code = text.charCodeAt(place++) - 48;
      value |= (code & 31) << bits;
      bits += 5;
      more = (code & 32) !== 0;
      if (!more && code & 16) value |= -1 << bits;
    }
    counts.push(counts.length > 2 ? value + counts[counts.length - 2] : value);
  }
  return counts;
}

function decode(rle) {
  const [height, width] = rle.size, mask = new Uint8Array(height * width);
  let place = 0, inside = 0;
  for (const count of runs(rle.counts)) {
    if (inside) for (let i = place; i < place + count; i++) mask[(i % height) * width + ((i / height) | 0)] = 1;
    place += count;
    inside ^= 1;
  }
  return mask;
}

function draw(canvas, index) {
  const [height, width] = state.video.size, pen = canvas.getContext("2d");
  pen.clearRect(0, 0, width, height);
  if (turn < 0) return;
  const picture = pen.createImageData(width, height), pixels = picture.data, labels = [];
  for (const track of state.turns[turn].tracks) {
    const rle = track.frames[index];
    if (!rle || (only !== null && !only.includes(track.id))) continue;
    const mask = decode(rle), [red, green, blue] = color(track.id)[0].match(/\d+/g).map(Number);
    const line = Math.max(1, Math.round(Math.max(height, width) / 250));
    let top = null;
    for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
      if (!mask[i]) continue;
      top ??= [x, y];
      const edge = x < line || y < line || x >= width - line || y >= height - line || !mask[i - line]
        || !mask[i + line] || !mask[i - line * width] || !mask[i + line * width];
      pixels.set([red, green, blue, edge ? 255 : 110], 4 * i);
    }
    labels.push([track.id, ...top]);
  }
  pen.putImageData(picture, 0, 0);
  const size = Math.max(9, Math.round(Math.min(height, width) / 18));
  pen.font = `700 ${size}px system-ui, sans-serif`;
  for (const [id, x, y] of labels) {
    const [back, ink] = color(id), room = pen.measureText(id).width + 6;
    const left = Math.min(x, width - room), above = Math.max(0, y - size - 4);
    pen.fillStyle = back;
    pen.fillRect(left, above, room, size + 4);
    pen.fillStyle = ink;
    pen.fillText(id, left + 3, above + size);
  }
}

const nearest = (time) => {
  const times = state.video.times;
  let low = 0, high = times.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= time + 0.002) low = middle; else high = middle - 1;
  }
  return low;
};

function show(index) {
  if (index === frame) return;
  frame = index;
  const box = element.querySelector(".screen"), times = state.video.times;
  if (!box) return;
  draw(box.querySelector("canvas"), index);
  element.querySelector(".controls input").value = index;
  element.querySelector(".controls output").value = `${times[index].toFixed(2)} s · ${index + 1}/${times.length}`;
  for (const head of element.querySelectorAll(".bar u")) head.style.left = `${(100 * index) / times.length}%`;
}

function seek(index) {
  const video = element.querySelector("video"), times = state.video.times;
  video.pause();
  // A little past the frame's start: browsers round down.
  video.currentTime = times[index] + 0.004;
  show(index);
}

function select(number, ids) {
  const same = turn === number && only !== null && ids !== null && only.join() === ids.join();
  turn = number;
  only = same ? null : ids;
  refresh();
}

// While a phrase is pointed at, the timeline's other rows step back.
function point(number, ids) {
  for (const part of element.querySelectorAll(".rows [data-track]")) {
    part.classList.toggle("aside", ids !== null && number === turn && !ids.includes(+part.dataset.track));
  }
}

function player() {
  const [height, width] = state.video.size;
  const video = make("video", { src: state.video.url, muted: true, loop: true, playsInline: true, preload: "auto" });
  video.setAttribute("aria-label", `The clip ${state.video.name}`);
  const canvas = make("canvas", { width, height });
  const fit = () => {
    if (!video.videoWidth) return;
    const scale = Math.min(video.clientWidth / video.videoWidth, video.clientHeight / video.videoHeight);
    // Small clips are enlarged by a whole factor, and odd sides padded by one line.
    const factor = Math.max(1, Math.floor(video.videoWidth / width));
    canvas.style.width = `${scale * factor * width}px`;
    canvas.style.height = `${scale * factor * height}px`;
    canvas.style.left = `${(video.clientWidth - scale * video.videoWidth) / 2}px`;
    canvas.style.top = `${(video.clientHeight - scale * video.videoHeight) / 2}px`;
  };
  video.addEventListener("loadedmetadata", fit);
  new ResizeObserver(fit).observe(video);
  const follow = (_, facts) => {
    if (!video.isConnected) return;
    show(nearest(facts.mediaTime));
    video.requestVideoFrameCallback(follow);
  };
  if (video.requestVideoFrameCallback) video.requestVideoFrameCallback(follow);
  else video.addEventListener("timeupdate", () => show(nearest(video.currentTime)));
  const play = make("button", { className: "play", type: "button", onclick: () => (video.paused ? video.play() : video.pause()) });
  const label = () => {
    play.dataset.paused = video.paused;
    play.setAttribute("aria-label", video.paused ? "Play" : "Pause");
  };
  video.addEventListener("play", label);
  video.addEventListener("pause", label);
  label();
  const slider = make("input", { type: "range", min: 0, max: state.video.times.length - 1, value: 0, oninput: () => seek(+slider.value) });
  slider.setAttribute("aria-label", "Frame");
  return [make("div", { className: "screen" }, video, canvas), make("div", { className: "controls" }, play, slider, make("output"))];
}

const plate = (id) => {
  const [back, ink] = color(id), made = make("span", { className: "plate", textContent: id });
  made.style.cssText = `background:${back};color:${ink}`;
  return made;
};

function timeline() {
  const rows = make("div", { className: "rows" });
  if (turn < 0) return rows;
  const { tracks, spans, text } = state.turns[turn];
  for (const track of tracks) {
    const span = spans.find((each) => each.tracks.includes(track.id));
    const phrase = span ? [...text].slice(span.start, span.end).join("") : "";
    const faded = only !== null && !only.includes(track.id) ? " faded" : "", total = track.frames.length;
    const name = make("button", { className: `name${faded}`, type: "button", title: phrase, onclick: () => select(turn, [track.id]) }, plate(track.id), phrase);
    const bar = make("div", { className: `bar${faded}`, onclick: (event) => seek(Math.min(total - 1, Math.floor((event.offsetX / bar.clientWidth) * total))) });
    name.dataset.track = bar.dataset.track = track.id;
    let seen = 0;
    for (let start = 0; start < total; start++) {
      if (!track.frames[start]) continue;
      let end = start;
      while (end < total && track.frames[end]) end++;
      const part = make("i", { title: `frames ${start + 1} to ${end}` });
      part.style.cssText = `left:${(100 * start) / total}%;width:${(100 * (end - start)) / total}%;background:${color(track.id)[0]}`;
      bar.append(part);
      seen += end - start;
      start = end;
    }
    bar.append(make("u"));
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", `Track ${track.id} ${phrase}: visible in ${seen} of ${total} frames`);
    rows.append(name, bar);
  }
  return rows;
}

function said(number) {
  const { text, spans } = state.turns[number], letters = [...text], answer = make("div", { className: "answer" });
  let done = 0;
  for (const span of [...spans].sort((a, b) => a.start - b.start || a.end - b.end)) {
    const start = Math.max(done, span.start), end = Math.max(start, span.end);
    answer.append(letters.slice(done, start).join(""));
    done = end;
    if (!span.tracks.length) { answer.append(letters.slice(start, end).join("")); continue; }
    const phrase = make("button", { className: "phrase", type: "button", onclick: () => select(number, span.tracks) }, letters.slice(start, end).join(""), " ", ...span.tracks.map(plate));
    phrase.style.cssText = `border-color:${color(span.tracks[0])[0]};--mark:${color(span.tracks[0])[0]}`;
    phrase.setAttribute("aria-pressed", turn === number && only !== null && only.join() === span.tracks.join());
    phrase.title = "Show only this";
    phrase.onmouseenter = phrase.onfocus = () => point(number, span.tracks);
    phrase.onmouseleave = phrase.onblur = () => point(number, null);
    answer.append(phrase);
  }
  answer.append(letters.slice(done).join("") || (text ? "" : "(no words)"));
  return answer;
}

function conversation() {
  const list = make("div", { className: "turns" });
  list.setAttribute("aria-live", "polite");
  if (state.busy) list.append(make("div", { className: "busy", textContent: state.busy }));
  for (let number = state.turns.length - 1; number >= 0; number--) {
    const { question, recipe, files } = state.turns[number];
    const links = files.map(({ name, url }) => make("a", { href: url, download: name, textContent: name }));
    list.append(make("div", { className: "turn" }, make("div", { className: "question" }, `${question} `, make("small", { textContent: recipe })), said(number), make("div", { className: "files" }, ...links)));
  }
  return list;
}

function refresh() {
  element.querySelector(".below").replaceChildren(timeline(), conversation());
  const index = Math.max(0, frame);
  frame = -1;
  show(index);
}

function update() {
  const root = element.querySelector(".stage"), before = state ? state.turns.length : 0;
  state = props.value;
  if (!state || !state.video) {
    url = null;
    root.replaceChildren(make("div", { className: "empty", textContent: "Pick a clip, or upload one. Then ask." }));
    return;
  }
  if (url !== state.video.url || !root.querySelector("video")) {
    url = state.video.url;
    turn = state.turns.length - 1;
    only = null;
    frame = -1;
    root.replaceChildren(...player(), make("div", { className: "below" }));
  } else if (state.turns.length !== before) {
    turn = state.turns.length - 1;
    only = null;
    element.querySelector("video").play().catch(() => {});
  }
  refresh();
  // On a phone the button is below the stage, and what happens is out of sight.
  if (state.busy && element.getBoundingClientRect().top < 0) element.scrollIntoView({ behavior: "smooth" });
}

watch("value", update);
update();
