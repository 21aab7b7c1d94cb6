'use strict';
// One step of the engine's own generator without its arrays. The engine drops the bits above 32 when it
// carries, so this does the same sums on the same numbers rather than a 64-bit product.
const A = [23896, 35685, 27655, 35173];
const C = [0, 0, 38, 40643];

function next() {
  const [s0, s1, s2, s3] = this.seed;
  let carry = s3 * A[3] + C[3];
  const o3 = carry & 65535;
  carry = (carry >>> 16) + s3 * A[2] + s2 * A[3] + C[2];
  const o2 = carry & 65535;
  carry = (carry >>> 16) + s3 * A[1] + s2 * A[2] + s1 * A[3] + C[1];
  const o1 = carry & 65535;
  carry = (carry >>> 16) + s3 * A[0] + s2 * A[1] + s1 * A[2] + s0 * A[3] + C[0];
  const o0 = carry & 65535;
  this.seed = [o0, o1, o2, o3];
  return (o0 << 16 >>> 0) + o1;
}

module.exports = { next };
