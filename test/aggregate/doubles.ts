const view = new DataView(new ArrayBuffer(8))

/** The positive double and `steps` neighbours on either side, ascending. */
export function doublesAround(x: number, steps: number): number[] {
  view.setFloat64(0, x)
  const bits = view.getBigInt64(0)
  const found: number[] = []
  for (let step = -steps; step <= steps; step += 1) {
    view.setBigInt64(0, bits + BigInt(step))
    found.push(view.getFloat64(0))
  }
  return found
}

/** A finite double as a whole multiple of 2^-1074, which each of them is. */
export function asMultiple(x: number): bigint {
  const view = new DataView(new ArrayBuffer(8))
  view.setFloat64(0, Math.abs(x))
  const bits = view.getBigInt64(0)
  const exponent = bits >> 52n
  const mantissa = bits & (2n ** 52n - 1n)
  const multiple = exponent === 0n ? mantissa : (mantissa | (2n ** 52n)) << (exponent - 1n)
  return x < 0 ? -multiple : multiple
}
