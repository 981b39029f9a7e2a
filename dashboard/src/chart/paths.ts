import type uPlot from 'uplot'

/** How bars are drawn: each over the whole time of its bucket, and of those that share a column of pixels only the tallest. */
export function barPaths(
  slot: number,
  slots: number,
  bucketMs: () => number | null,
): uPlot.Series.PathBuilder {
  return (u, series, first, last) => {
    const xs = u.data[0]
    const ys = u.data[series] as readonly (number | null | undefined)[]
    const { min = 0, max = 1 } = u.scales['x'] ?? {}
    const { left, width } = u.bbox
    const each = width / ((max ?? 1) - (min ?? 0))
    const wide = (bucketMs() ?? ((max ?? 1) - (min ?? 0)) / Math.max(1, xs.length)) * each
    const zero = Math.round(u.valToPos(0, 'y', true))
    const path = new Path2D()
    const gap = wide > 6 ? Math.min(wide * 0.14, 8) : 0
    const own = Math.max(1, (wide - gap) / slots)
    if (wide < 2) {
      // one bar for each column of pixels: from the least to the greatest of what falls into it
      let column = -1
      let [low, high] = [0, 0]
      const put = (): void => {
        if (column < 0) return
        const [a, b] = [u.valToPos(Math.max(0, high), 'y', true), u.valToPos(Math.min(0, low), 'y', true)]
        path.rect(column, a, 1, Math.max(1, b - a))
      }
      for (let i = first; i <= last; i++) {
        const y = ys[i]
        if (y === null || y === undefined) continue
        const x = Math.round(left + ((xs[i] as number) - (min ?? 0)) * each)
        if (x !== column) {
          put()
          column = x
          low = high = y
        } else {
          if (y < low) low = y
          if (y > high) high = y
        }
      }
      put()
    } else
      for (let i = first; i <= last; i++) {
        const y = ys[i]
        if (y === null || y === undefined) continue
        const x = left + ((xs[i] as number) - (min ?? 0)) * each + gap / 2 + slot * own
        const top = Math.round(u.valToPos(y, 'y', true))
        const from = Math.max(left, Math.round(x))
        const to = Math.min(left + width, Math.round(x + own - (slots > 1 && own > 3 ? 1 : 0)))
        if (to > from) path.rect(from, Math.min(top, zero), to - from, Math.max(1, Math.abs(zero - top)))
        else if (to === from) path.rect(from, Math.min(top, zero), 1, Math.max(1, Math.abs(zero - top)))
      }
    return { stroke: null, fill: path, clip: null, flags: 1 }
  }
}

/** Points that have no neighbour to be joined with: a line would not show them. */
export function lonePoints(u: uPlot, series: number, few = 40): number[] {
  const ys = u.data[series] as readonly (number | null | undefined)[]
  const { min = 0, max = 1 } = u.scales['x'] ?? {}
  const xs = u.data[0]
  const isThere = (i: number): boolean => ys[i] !== null && ys[i] !== undefined
  const found: number[] = []
  let seen = 0
  for (let i = 0; i < ys.length; i++) {
    if (!isThere(i) || (xs[i] as number) < (min ?? 0) || (xs[i] as number) > (max ?? 1)) continue
    seen += 1
    if (!isThere(i - 1) && !isThere(i + 1)) found.push(i)
  }
  // so few that each can be seen
  if (seen <= few) return Array.from(ys, (_, i) => i).filter(isThere)
  return found
}
