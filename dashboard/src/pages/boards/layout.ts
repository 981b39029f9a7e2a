/**
 * Where panels stand: 12 columns, rows as many as are needed, gravity upwards. Everything here is pure, and gives a layout in which nothing
 * overlaps, nothing is outside, and no panel could stand higher without another one giving way.
 */

/** In cells of the grid; `x` and `y` count from 0. */
export interface Place {
  readonly x: number
  readonly y: number
  readonly w: number
  readonly h: number
}

export interface Placed {
  readonly id: string
  readonly place: Place
}

export type Direction = 'left' | 'right' | 'up' | 'down'

export const columns = 12
export const smallest = { w: 2, h: 2 } as const
/** More than any screen shows; a panel that is taller is a mistake of the mouse. */
export const tallest = 20

export function overlaps(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

/** The nearest place that is inside of the grid, in whole cells. */
export function clamp(place: Place): Place {
  const w = within(place.w, smallest.w, columns)
  const h = within(place.h, smallest.h, tallest)
  return { x: within(place.x, 0, columns - w), y: within(place.y, 0, Number.MAX_SAFE_INTEGER), w, h }
}

/** Line by line, each from left to right: the order in which panels are read, reached by Tab, and shown on a phone. */
export function readingOrder<P extends Placed>(panels: readonly P[]): P[] {
  return panels.toSorted((a, b) => a.place.y - b.place.y || a.place.x - b.place.x)
}

/** Every panel as high as it can stand. Panels come back in the order in which they were given; those that stay are the same objects. */
export function compact<P extends Placed>(panels: readonly P[]): P[] {
  const placed: Placed[] = []
  const settled = new Map<string, Place>()
  for (const { id, place } of readingOrder(panels)) {
    const wanted = clamp(place)
    const y = highest(wanted, placed)
    const at = { ...wanted, y }
    placed.push({ id, place: at })
    settled.set(id, at)
  }
  return withPlaces(panels, settled)
}

/**
 * One panel moved or resized to `place`; whoever stands there gives way: to where the panel came from, if it fits there, else downwards. From the
 * same layout the same target always gives the same layout, so a drag that comes back has changed nothing.
 */
export function arrange<P extends Placed>(panels: readonly P[], id: string, place: Place): P[] {
  const moved = panels.find((panel) => panel.id === id)
  if (!moved) return compact(panels)
  const target = clamp(place)
  const settled = new Map([[id, target]])
  const inTheWay: P[] = []
  const fixed: Placed[] = [{ id, place: target }]
  for (const panel of readingOrder(panels)) {
    if (panel.id === id) continue
    if (overlaps(panel.place, target)) inTheWay.push(panel)
    else {
      fixed.push(panel)
      settled.set(panel.id, panel.place)
    }
  }
  for (const panel of inTheWay) {
    const at = vacated(panel.place, moved.place, fixed) ?? below(panel.place, fixed)
    fixed.push({ id: panel.id, place: at })
    settled.set(panel.id, at)
  }
  return compact(withPlaces(panels, settled))
}

/**
 * The next layout in that direction in which the panel stands elsewhere: one column aside, or past its neighbour, where those of the same line
 * can stay in it; a line up or down by as much as is needed to pass another panel. The same list when there is none.
 */
export function step<P extends Placed>(panels: readonly P[], id: string, direction: Direction): readonly P[] {
  const from = placeOf(panels, id)
  if (!from) return panels
  if (direction === 'left' || direction === 'right') {
    const by = direction === 'left' ? -1 : 1
    let first: P[] | null = null
    for (let x = from.x + by; x >= 0 && x + from.w <= columns; x += by) {
      const next = arrange(panels, id, { ...from, x })
      first ??= next
      if (panels.every((panel, i) => panel.place.y === next[i]?.place.y)) return next
    }
    return first ?? panels
  }
  const by = direction === 'up' ? -1 : 1
  const bottom = heightOf(panels)
  for (let y = from.y + by; y >= 0 && y <= bottom; y += by) {
    const next = arrange(panels, id, { ...from, y })
    const at = placeOf(next, id) as Place
    if (by * (at.y - from.y) > 0) return next
  }
  return panels
}

/** A cell wider, narrower, taller or lower; the same list at a limit. At the right edge a panel grows to the left. */
export function resize<P extends Placed>(
  panels: readonly P[],
  id: string,
  direction: Direction,
): readonly P[] {
  const from = placeOf(panels, id)
  if (!from) return panels
  const w = from.w + (direction === 'right' ? 1 : direction === 'left' ? -1 : 0)
  const h = from.h + (direction === 'down' ? 1 : direction === 'up' ? -1 : 0)
  if (w < smallest.w || w > columns || h < smallest.h || h > tallest) return panels
  return arrange(panels, id, { ...from, w, h, x: Math.min(from.x, columns - w) })
}

/** The first gap, in reading order, that is as large; below everything there is always one. */
export function firstGap(panels: readonly Placed[], size: { readonly w: number; readonly h: number }): Place {
  const { w, h } = clamp({ x: 0, y: 0, ...size })
  for (let y = 0; ; y++) {
    for (let x = 0; x + w <= columns; x++) {
      const place = { x, y, w, h }
      if (!panels.some((panel) => overlaps(panel.place, place))) return place
    }
  }
}

/** Lines that the panels take. */
export function heightOf(panels: readonly Placed[]): number {
  return panels.reduce((bottom, { place }) => Math.max(bottom, place.y + place.h), 0)
}

function placeOf(panels: readonly Placed[], id: string): Place | undefined {
  return panels.find((panel) => panel.id === id)?.place
}

function within(x: number, min: number, max: number): number {
  return Math.min(Math.max(Math.round(Number.isFinite(x) ? x : min), min), max)
}

/** Upwards from where it is until something is above it; what it overlaps where it is, is passed downwards first. */
function highest(place: Place, placed: readonly Placed[]): number {
  let { y } = below(place, placed)
  while (y > 0 && !placed.some((other) => overlaps(other.place, { ...place, y: y - 1 }))) y--
  return y
}

function below(place: Place, placed: readonly Placed[]): Place {
  let at = place
  for (;;) {
    const other = placed.find((one) => overlaps(one.place, at))
    if (!other) return at
    at = { ...at, y: other.place.y + other.place.h }
  }
}

/** Where the moved panel came from, at its left or its right end. */
function vacated(place: Place, from: Place, fixed: readonly Placed[]): Place | null {
  for (const x of [from.x, from.x + from.w - place.w]) {
    const at = { ...place, x, y: from.y }
    if (x >= 0 && x + place.w <= columns && !fixed.some((one) => overlaps(one.place, at))) return at
  }
  return null
}

function withPlaces<P extends Placed>(panels: readonly P[], places: ReadonlyMap<string, Place>): P[] {
  return panels.map((panel) => {
    const at = places.get(panel.id)
    const was = panel.place
    if (!at || (at.x === was.x && at.y === was.y && at.w === was.w && at.h === was.h)) return panel
    return { ...panel, place: at }
  })
}
