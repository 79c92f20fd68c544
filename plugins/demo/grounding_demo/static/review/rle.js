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

// The mask of a COCO RLE object, row by row: 1 inside.
export function decode(rle) {
  const [height, width] = rle.size, mask = new Uint8Array(height * width);
  let place = 0, inside = 0;
  for (const count of runs(rle.counts)) {
    if (inside) for (let i = place; i < place + count; i++) mask[(i % height) * width + ((i / height) | 0)] = 1;
    place += count;
    inside ^= 1;
  }
  return mask;
}
