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
