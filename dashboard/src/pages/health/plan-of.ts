/** A part of an answer, as a slow query's plan tells it. */
export interface SlowPart {
  readonly source: string
  readonly from: string | null
  readonly to: string | null
  readonly rows: number | null
  readonly bytes: number | null
  readonly cells: number | null
  readonly ms: number | null
  readonly why: string
}

export interface SlowPlan {
  readonly parts: readonly SlowPart[]
  readonly aggregates: readonly { readonly name: string; readonly used: boolean; readonly why: string }[]
  /** Planning, reading, merging; null: it is not told. */
  readonly ms: { readonly plan: number; readonly read: number; readonly merge: number } | null
}

/** Plans are of several kinds of questions: what is not there is left out. Null: there is none. */
export function planOf(plan: unknown): SlowPlan | null {
  if (!isObject(plan) || !Array.isArray(plan['parts'])) return null
  const { parts, aggregates, ms } = plan
  return {
    parts: parts.filter(isObject).map((part) => ({
      source: text(part['source']) ?? '',
      from: text(part['from']),
      to: text(part['to']),
      rows: number(part['rows']),
      bytes: number(part['bytes']),
      cells: number(part['cells']),
      ms: number(part['ms']),
      why: text(part['why']) ?? '',
    })),
    aggregates: (Array.isArray(aggregates) ? aggregates : []).filter(isObject).map((one) => ({
      name: text(one['name']) ?? '',
      used: one['used'] === true,
      why: text(one['why']) ?? '',
    })),
    ms: isObject(ms)
      ? { plan: number(ms['plan']) ?? 0, read: number(ms['read']) ?? 0, merge: number(ms['merge']) ?? 0 }
      : null,
  }
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const text = (value: unknown): string | null => (typeof value === 'string' ? value : null)
const number = (value: unknown): number | null => (typeof value === 'number' ? value : null)
