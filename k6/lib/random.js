// A hash, not a generator: the n-th request must not depend on which virtual user asks for it.

// murmur3's finaliser over 32-bit words.
function mix(h) {
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// A number in [0, 1) fixed by (seed, n, lane); lanes are the independent choices of one request.
export function uniform(seed, n, lane) {
  let h = mix(seed + 0x9e3779b9);
  h = mix((h + n) >>> 0);
  h = mix((h + Math.imul(lane + 1, 0x9e3779b9)) >>> 0);
  return h / 4294967296;
}

// A whole number in 1..high.
export function pick(seed, n, lane, high) {
  return 1 + Math.floor(uniform(seed, n, lane) * high);
}

// The numbers 0..size-1 in an order fixed by (seed, block).
export function shuffled(seed, block, size) {
  const order = Array.from({ length: size }, (_, i) => i);
  for (let i = size - 1; i > 0; i--) {
    const j = Math.floor(uniform(seed, block, 1000 + i) * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
