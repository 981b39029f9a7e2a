import type { AnswerPlan, PlanPart } from 'tidemark/client'

/** Which part of an answer came from where, as stretches on its time axis. Pure. */

export type Tier = 'hot' | 'cold' | 'cache' | 'aggregate' | 'warehouse'

export interface Stretch {
  /** Its place in `plan.parts`. */
  readonly part: number
  readonly from: number
  readonly to: number
}

export interface Lane {
  readonly source: string
  readonly tier: Tier
  readonly title: string
  /** As a sentence. */
  readonly about: string
  readonly stretches: readonly Stretch[]
  readonly rows: number | null
  readonly bytes: number | null
  readonly ms: number
  readonly cells: number
}

export interface PlanView {
  readonly lanes: readonly Lane[]
  /** Of all parts, as far as the sources tell; null: none of them does. */
  readonly rows: number | null
  readonly bytes: number | null
  /** Whether nobody is told where in time the parts lie: what a tenant sees. */
  readonly isHidden: boolean
}

const places: Readonly<
  Record<string, { readonly tier: Tier; readonly title: string; readonly about: string }>
> = {
  cache: {
    tier: 'cache',
    title: 'Cache',
    about: 'Kept by this server since an earlier question, and unchanged since',
  },
  hot: { tier: 'hot', title: 'Hot', about: 'Rows in PostgreSQL' },
  cold: { tier: 'cold', title: 'Cold', about: 'Parquet files of the lake' },
  warehouse: { tier: 'warehouse', title: 'Warehouse', about: 'History in the warehouse' },
}
const order: readonly Tier[] = ['cache', 'aggregate', 'hot', 'cold', 'warehouse']

/** A source that is no place is a continuous aggregate of that name. */
export function tierOf(source: string): Tier {
  return places[source]?.tier ?? 'aggregate'
}

function sum(parts: readonly PlanPart[], of: (part: PlanPart) => number | null): number | null {
  let all: number | null = null
  for (const part of parts) {
    const one = of(part)
    if (one !== null) all = (all ?? 0) + one
  }
  return all
}

/** @param axis what the chart shows: open ends of parts reach to its ends. In ms. */
export function planLanes(plan: AnswerPlan, axis: { readonly from: number; readonly to: number }): PlanView {
  const { parts } = plan
  const sources = [...new Set(parts.map(({ source }) => source))]
  const isHidden =
    parts.length > 0 && parts.every(({ from, to, rows }) => from === null && to === null && rows === null)
  const lanes = sources.map((source): Lane => {
    const own = parts.filter((part) => part.source === source)
    const stretches = parts.flatMap((part, i): Stretch[] => {
      if (part.source !== source || isHidden) return []
      const from = Math.max(axis.from, part.from === null ? axis.from : Date.parse(part.from))
      const to = Math.min(axis.to, part.to === null ? axis.to : Date.parse(part.to))
      return from < to ? [{ part: i, from, to }] : []
    })
    const place = places[source]
    return {
      source,
      tier: tierOf(source),
      title: place?.title ?? source,
      about: place?.about ?? 'Cells of this continuous aggregate',
      stretches,
      rows: sum(own, ({ rows }) => rows),
      bytes: sum(own, ({ bytes }) => bytes),
      ms: own.reduce((all, { ms }) => all + ms, 0),
      cells: own.reduce((all, { cells }) => all + cells, 0),
    }
  })
  lanes.sort((a, b) => order.indexOf(a.tier) - order.indexOf(b.tier))
  return { lanes, rows: sum(parts, ({ rows }) => rows), bytes: sum(parts, ({ bytes }) => bytes), isHidden }
}

/** Neighbours that would touch on a screen of this many places are drawn as one; a plan may have hundreds of parts. */
export function joined(
  stretches: readonly Stretch[],
  axis: { readonly from: number; readonly to: number },
  places: number,
): readonly (Stretch & { readonly last: number; readonly parts: number })[] {
  const out: { part: number; last: number; parts: number; from: number; to: number }[] = []
  const each = (axis.to - axis.from) / Math.max(1, places)
  for (const { part, from, to } of stretches) {
    const before = out.at(-1)
    // what is narrow and near is one; two wide ones that meet stay two, so that both can be pointed at
    if (before && from - before.to < each && (to - from < each * 4 || before.to - before.from < each * 4)) {
      before.to = Math.max(before.to, to)
      before.last = part
      before.parts += 1
    } else out.push({ part, last: part, parts: 1, from, to })
  }
  return out
}
