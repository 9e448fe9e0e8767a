// A hash, not a generator: the n-th request must not depend on which virtual user sends it.

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

// The number at a position, 0..99, of a permutation of 0..99 that is fixed by (seed, block): a Feistel
// network over the two digits. Every round is invertible, so no number occurs twice. Shuffling a whole block
// for each request cost k6 more CPU than the request itself.
export function placeOfHundred(seed, block, place) {
  let left = Math.floor(place / 10);
  let right = place % 10;
  for (let round = 0; round < 5; round++) {
    const turn = Math.floor(uniform(seed, block, 1000 + 10 * round + right) * 10);
    [left, right] = [right, (left + turn) % 10];
  }
  return 10 * left + right;
}
