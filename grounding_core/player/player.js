// Masks over pictures, phrases, and a timeline. grounding_core/player/film.py writes what `mount` reads;
// the demo uses the parts. Everything is drawn from COCO run-length codes.
const Grounding = (() => {
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };

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

  // The mask of a code, row by row: 1 inside.
  function decode(counts, height, width) {
    const mask = new Uint8Array(height * width);
    let place = 0, inside = 0;
    for (const count of runs(counts)) {
      if (inside) for (let i = place; i < place + count; i++) mask[(i % height) * width + ((i / height) | 0)] = 1;
      place += count;
      inside ^= 1;
    }
    return mask;
  }

  const color = (palette, id) => palette[id % palette.length];

  // Tint, outline with a dark rim, and number: told apart without colours too.
  // `masks` are [track id, counts] of one frame; `size` is [height, width] of the codes.
  function paint(canvas, [height, width], masks, palette) {
    const layer = make("canvas", { width, height }), pen = layer.getContext("2d");
    const picture = pen.createImageData(width, height), pixels = picture.data, labels = [];
    const line = Math.max(1, Math.round(Math.max(height, width) / 250));
    for (const [id, counts] of masks) {
      if (!counts) continue;
      const mask = decode(counts, height, width), [red, green, blue] = color(palette, id)[0].match(/\d+/g).map(Number);
      let top = null;
      for (let y = 0, i = 0; y < height; y++) for (let x = 0; x < width; x++, i++) {
        if (!mask[i]) {
          const rim = (x > 0 && mask[i - 1]) || (x < width - 1 && mask[i + 1]) || mask[i - width] || mask[i + width];
          if (rim) pixels.set([0, 0, 0, 150], 4 * i);
          continue;
        }
        top ??= [x, y];
        const edge = x < line || y < line || x >= width - line || y >= height - line || !mask[i - line]
          || !mask[i + line] || !mask[i - line * width] || !mask[i + line * width];
        pixels.set([red, green, blue, edge ? 255 : 105], 4 * i);
      }
      if (top) labels.push([id, ...top]);
    }
    pen.putImageData(picture, 0, 0);
    const over = canvas.getContext("2d"), scale = canvas.width / width;
    over.imageSmoothingEnabled = scale < 2;
    over.drawImage(layer, 0, 0, canvas.width, canvas.height);
    const letters = Math.max(10, Math.round(Math.min(canvas.width, canvas.height) / 16));
    over.font = `700 ${letters}px system-ui, sans-serif`;
    over.textBaseline = "alphabetic";
    for (const [id, x, y] of labels) {
      const [back, ink] = color(palette, id), room = over.measureText(id).width + 8;
      const left = Math.max(0, Math.min(x * scale, canvas.width - room)), above = Math.max(0, y * scale - letters - 5);
      over.fillStyle = back;
      over.fillRect(left, above, room, letters + 4);
      over.fillStyle = ink;
      over.fillText(id, left + 4, above + letters);
    }
  }

  function plate(palette, id) {
    const [back, ink] = color(palette, id), made = make("span", { className: "gp-plate", textContent: id });
    made.style.cssText = `background:${back};color:${ink}`;
    return made;
  }

  // A text with its phrases as buttons; spans are [start, end, tracks], counted in code points.
  // `only`: the tracks shown alone, or null. `select` and `point` are told tracks, `point` also null.
  function words(text, spans, palette, only, select, point = () => {}) {
    const letters = [...text], made = make("div", { className: "gp-text" });
    let done = 0;
    for (const [from, to, tracks] of [...spans].sort((a, b) => a[0] - b[0] || a[1] - b[1])) {
      const start = Math.max(done, from), end = Math.max(start, to), phrase = letters.slice(start, end).join("");
      made.append(letters.slice(done, start).join(""));
      done = end;
      if (!tracks.length) { made.append(phrase); continue; }
      const button = make("button", { className: "gp-phrase", type: "button", title: "Show only this", onclick: () => select(tracks) }, phrase, ...tracks.map((id) => plate(palette, id)));
      button.style.setProperty("--mark", color(palette, tracks[0])[0]);
      button.setAttribute("aria-pressed", only !== null && only.join() === tracks.join());
      button.onmouseenter = button.onfocus = () => point(tracks);
      button.onmouseleave = button.onblur = () => point(null);
      made.append(button);
    }
    made.append(letters.slice(done).join("") || (text ? "" : "(no words)"));
    return made;
  }

  function strip(total, ranges, mark, label, seek) {
    const bar = make("div", { className: "gp-bar", onclick: (event) => seek(Math.min(total - 1, Math.floor((event.offsetX / bar.clientWidth) * total))) });
    if (mark) bar.style.setProperty("--mark", mark);
    for (const [start, end] of ranges) {
      const part = make("i", { title: `frames ${start + 1} to ${end}` });
      part.style.cssText = `left:${(100 * start) / total}%;width:${(100 * (end - start)) / total}%`;
      bar.append(part);
    }
    bar.append(make("u"));
    bar.setAttribute("role", "img");
    bar.setAttribute("aria-label", label);
    return bar;
  }

  // A row a track: its phrase, and when it is visible. Tracks are {id, seen: [[start, end), ...]}.
  function timeline(tracks, total, { text, spans, palette, only, select, seek }) {
    const rows = make("div", { className: "gp-rows" });
    for (const { id, seen } of tracks) {
      const span = spans.find((each) => each[2].includes(id));
      const phrase = span ? [...text].slice(span[0], span[1]).join("") : "";
      const faded = only !== null && !only.includes(id) ? " gp-faded" : "", count = seen.reduce((sum, [start, end]) => sum + end - start, 0);
      const name = make("button", { className: `gp-name${faded}`, type: "button", title: phrase || `track ${id}`, onclick: () => select([id]) }, plate(palette, id), ` ${phrase}`);
      name.setAttribute("aria-label", `Show only track ${id} ${phrase}`);
      const bar = strip(total, seen, color(palette, id)[0], `Track ${id} ${phrase}: visible in ${count} of ${total} frames`, seek);
      bar.className += faded;
      name.dataset.track = bar.dataset.track = id;
      rows.append(name, bar);
    }
    return rows;
  }

  const runsOf = (frames) => {
    const found = [];
    frames.forEach((code, index) => {
      if (!code) return;
      if (found.length && found[found.length - 1][1] === index) found[found.length - 1][1]++;
      else found.push([index, index + 1]);
    });
    return found;
  };

  // A film {frames, times, size, length, seconds, pictures} with layers {title, text, spans, tracks, boxes?, moment?, note?}.
  function mount(root, film, layers, palette, { play = false } = {}) {
    const [height, width] = film.size, scale = Math.max(1, Math.ceil(320 / Math.max(height, width)));
    const images = film.pictures.map((data) => Object.assign(new Image(), { src: `data:image/webp;base64,${data}` }));
    const only = layers.map(() => null), parts = [];
    let place = 0, timer = null;
    root.classList.add("gp");

    const seek = (index) => {
      pause();
      let best = 0;
      film.frames.forEach((frame, i) => { if (Math.abs(frame - index) < Math.abs(film.frames[best] - index)) best = i; });
      show(best);
    };
    function show(index) {
      place = index;
      layers.forEach((layer, number) => {
        const { canvas, rows } = parts[number], pen = canvas.getContext("2d"), chosen = only[number];
        const tracks = layer.tracks.filter(({ id }) => chosen === null || chosen.includes(id));
        pen.fillStyle = "#777";
        pen.fillRect(0, 0, canvas.width, canvas.height);
        if (images[index]?.complete && images[index].naturalWidth) pen.drawImage(images[index], 0, 0, canvas.width, canvas.height);
        paint(canvas, film.size, tracks.map(({ id, masks }) => [id, masks[index]]), palette);
        const box = layer.boxes?.[index];
        if (box) {
          const sides = [box[0], box[1], box[2] - box[0], box[3] - box[1]].map((side) => side * scale);
          for (const [style, line] of [["#000", 5], [palette[0][0], 3]]) {
            pen.strokeStyle = style;
            pen.lineWidth = line;
            pen.strokeRect(...sides);
          }
        }
        const seen = tracks.filter(({ masks }) => masks[index]).map(({ id }) => id);
        canvas.setAttribute("aria-label", `${layer.title}, frame ${film.frames[index] + 1} of ${film.length}: ${seen.length ? `masks ${seen.join(", ")}` : box ? "a box" : "no mask"}`);
        for (const head of rows.querySelectorAll("u")) head.style.left = `${(100 * (film.frames[index] + 0.5)) / film.length}%`;
      });
      slider.value = index;
      slider.setAttribute("aria-valuetext", `frame ${film.frames[index] + 1} of ${film.length}`);
      output.textContent = `${film.times[index].toFixed(2)} s · ${film.frames[index] + 1}/${film.length}`;
    }

    function step() {
      if (!root.isConnected) { timer = null; return; }
      const next = (place + 1) % film.frames.length;
      const now = film.times[place], then = next ? film.times[next] : film.seconds;
      timer = setTimeout(() => { show(next); step(); }, Math.min(1000, Math.max(40, 1000 * (then - now))));
    }
    const label = () => {
      button.dataset.paused = timer === null;
      button.setAttribute("aria-label", timer === null ? "Play" : "Pause");
    };
    function start() { if (timer === null && film.frames.length > 1) step(); label(); }
    function pause() { clearTimeout(timer); timer = null; label(); }

    const button = make("button", { className: "gp-play", type: "button", onclick: () => (timer === null ? start() : pause()) });
    const slider = make("input", { type: "range", min: 0, max: film.frames.length - 1, step: 1, value: 0, oninput: () => { pause(); show(+slider.value); } });
    slider.setAttribute("aria-label", "Frame");
    const output = make("output");

    const [pictures, texts] = ["gp-layers", "gp-layers gp-texts"].map((className) => make("div", { className }));
    for (const row of [pictures, texts]) row.style.setProperty("--gp-columns", layers.length);
    layers.forEach((layer, number) => {
      const canvas = make("canvas", { width: width * scale, height: height * scale });
      canvas.setAttribute("role", "img");
      const words = make("div"), rows = make("div"), head = () => (layer.title ? [make("div", { className: "gp-title", textContent: layer.title })] : []);
      parts.push({ canvas, words, rows });
      pictures.append(make("div", {}, ...head(), canvas));
      texts.append(make("div", {}, ...head(), rows, words, ...(layer.note ? [make("div", { className: "gp-note", textContent: layer.note })] : [])));
    });
    function refresh() {
      layers.forEach((layer, number) => {
        const select = (tracks) => {
          only[number] = only[number] !== null && only[number].join() === tracks.join() ? null : tracks;
          refresh();
        };
        const point = (tracks) => {
          for (const part of parts[number].rows.querySelectorAll("[data-track]")) part.classList.toggle("gp-faded", tracks !== null && !tracks.includes(+part.dataset.track));
        };
        const facts = { text: layer.text, spans: layer.spans, palette, only: only[number], select, seek };
        const rows = timeline(layer.tracks, film.length, facts);
        if (layer.moment) {
          const [start, end] = layer.moment, bar = strip(film.length, [[start, end]], null, `From frame ${start + 1} to ${end} of ${film.length}`, seek);
          bar.classList.add("gp-moment");
          rows.append(make("span", { className: "gp-name", textContent: "moment" }), bar);
        }
        parts[number].rows.replaceChildren(rows);
        parts[number].words.replaceChildren(...(layer.text ? [words(layer.text, layer.spans, palette, only[number], select, point)] : []));
      });
      show(place);
    }
    root.replaceChildren(pictures, ...(film.frames.length > 1 ? [make("div", { className: "gp-controls" }, button, slider, output)] : []), texts);
    label();
    // At rest it shows what the first layer is about: the middle of the frames where something is seen.
    const busy = film.frames.map((_, index) => index).filter((index) => layers[0].boxes?.[index] || layers[0].tracks.some(({ masks }) => masks[index]));
    if (!play && busy.length) place = busy[busy.length >> 1];
    refresh();
    for (const image of images) image.addEventListener("load", () => { if (image === images[place]) show(place); });
    if (play && !matchMedia("(prefers-reduced-motion: reduce)").matches) start();
    return { start, pause, show };
  }

  return { make, decode, paint, words, timeline, runsOf, color, plate, mount };
})();
