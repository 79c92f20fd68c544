// Draws what Session.shown() says: the clip with its masks, a timeline a track, and the conversation.
// Masks, phrases and timeline are grounding_core/player/player.js, which stands before this as `Grounding`.
let url = null, state = null, turn = -1, only = null, frame = -1;

const { make } = Grounding;

function draw(canvas, index) {
  const [height, width] = state.video.size;
  canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  if (turn < 0) return;
  const tracks = state.turns[turn].tracks.filter(({ id }) => only === null || only.includes(id));
  Grounding.paint(canvas, [height, width], tracks.map(({ id, frames }) => [id, frames[index]?.counts]), state.palette);
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
  for (const head of element.querySelectorAll(".gp-bar u")) head.style.left = `${(100 * index) / times.length}%`;
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
  for (const part of element.querySelectorAll(".gp-rows [data-track]")) {
    part.classList.toggle("gp-faded", ids !== null && number === turn && !ids.includes(+part.dataset.track));
  }
}

function player() {
  const [height, width] = state.video.size;
  const video = make("video", { src: state.video.url, muted: true, loop: true, playsInline: true, preload: "auto" });
  video.setAttribute("aria-label", `The clip ${state.video.name}`);
  // Enlarged as the overlay files are, so that outlines and numbers of small clips are fine enough.
  const enlarged = Math.max(1, Math.ceil(480 / Math.max(height, width)));
  const canvas = make("canvas", { width: width * enlarged, height: height * enlarged });
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

const pairs = (spans) => spans.map(({ start, end, tracks }) => [start, end, tracks]);

function timeline() {
  if (turn < 0) return make("div");
  const { tracks, spans, text } = state.turns[turn], total = state.video.times.length;
  const seen = tracks.map(({ id, frames }) => ({ id, seen: Grounding.runsOf(frames) }));
  return Grounding.timeline(seen, total, { text, spans: pairs(spans), palette: state.palette, only, select: (ids) => select(turn, ids), seek });
}

function said(number) {
  const { text, spans } = state.turns[number], chosen = turn === number ? only : null;
  return Grounding.words(text, pairs(spans), state.palette, chosen, (ids) => select(number, ids), (ids) => point(number, ids));
}

// The answer that is being written: its phrases have their colours already, their masks come when it is complete.
function written() {
  const { asked, busy, writing } = state;
  if (!asked) return [];
  const text = writing ? Grounding.words(writing.text || "…", writing.text ? writing.spans : [], state.palette, null, () => {}) : make("div", { className: "gp-text", textContent: "…" });
  for (const phrase of text.querySelectorAll("button")) phrase.disabled = true;
  return [make("div", { className: "turn writing" }, make("div", { className: "question", textContent: asked }), text, make("div", { className: "busy", textContent: busy }))];
}

function conversation() {
  const list = make("div", { className: "turns" });
  list.setAttribute("aria-live", "polite");
  list.append(...written());
  if (state.busy && !state.asked) list.append(make("div", { className: "busy", textContent: state.busy }));
  for (let number = state.turns.length - 1; number >= 0; number--) {
    const { question, recipe, files } = state.turns[number];
    const links = files.map(({ name, url }) => make("a", { href: url, download: name, textContent: name }));
    list.append(make("div", { className: "turn" }, make("div", { className: "question" }, `${question} `, make("small", { textContent: recipe })), said(number), make("div", { className: "files" }, ...links)));
  }
  return list;
}

function refresh() {
  // What has the keyboard keeps it: the n-th button of before is the n-th of after.
  const below = element.querySelector(".below"), buttons = [...below.querySelectorAll("button, a")];
  const held = buttons.indexOf(element.getRootNode().activeElement);
  below.replaceChildren(timeline(), conversation());
  if (held >= 0) below.querySelectorAll("button, a")[held]?.focus();
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
