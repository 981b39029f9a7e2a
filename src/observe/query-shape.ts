/** Parts of a question whose values say what is asked, not of whom. */
const structural = new Set([
  ...[
    'bucket',
    'zone',
    'by',
    'columns',
    'latestBy',
    'order',
    'direction',
    'limit',
    'fill',
    'fn',
    'column',
    'q',
    'qs',
    'k',
  ],
  ...[
    'series',
    'method',
    'within',
    'every',
    'period',
    'windows',
    'user',
    'anonymous',
    'session',
    'page',
    'top',
  ],
])
const maxDepth = 8
const maxItems = 20
const maxNameLength = 100

/**
 * A question without the values in it: each literal is '?'. What says how it is computed (columns, functions, buckets) stays, and so do
 * times that are relative to now. Bounded, whatever came.
 *
 * @example
 * shapeOf({ from: '-7 days', where: { user: 'ada' }, select: { n: { fn: 'count' } } })
 * // { from: '-7 days', where: { user: '?' }, select: { n: { fn: 'count' } } }
 */
export function shapeOf(question: unknown): unknown {
  return shape(question, { key: '', isCondition: false, depth: 0 })
}

interface Place {
  readonly key: string
  /** Inside of `where` or `having`: keys are columns, of whatever name, and everything else is a value. */
  readonly isCondition: boolean
  readonly depth: number
}

function shape(value: unknown, at: Place): unknown {
  const { key, isCondition, depth } = at
  if (value === null || value === undefined) return value
  if (depth > maxDepth) return '…'
  if (Array.isArray(value)) return shapeOfList(value, at)
  if (typeof value !== 'object') return !isCondition && keeps(key, value) ? short(value) : '?'
  if (value instanceof Date) return '?'
  const entries = Object.entries(value)
  const parts = entries.slice(0, maxItems).map(([name, inner]) => {
    const within = isCondition || name === 'where' || name === 'having'
    // what is selected by name is an output of the declaration
    const isOutput = !isCondition && key === 'select' && typeof inner === 'string'
    const shown = isOutput ? short(inner) : shape(inner, { key: name, isCondition: within, depth: depth + 1 })
    return [name.slice(0, maxNameLength), shown] as const
  })
  const more = entries.length > maxItems ? [['…', entries.length - maxItems] as const] : []
  return Object.fromEntries([...parts, ...more])
}

/** Of values only how many there are. */
function shapeOfList(list: readonly unknown[], at: Place): unknown {
  const isKept = !at.isCondition && structural.has(at.key)
  const isOfValues = list.every((item) => typeof item !== 'object' || item === null)
  if (isOfValues && !isKept) return `? x ${list.length}`
  const shown = list.slice(0, maxItems).map((item) => shape(item, { ...at, depth: at.depth + 1 }))
  return list.length > maxItems ? [...shown, `… ${list.length - maxItems}`] : shown
}

function keeps(key: string, value: unknown): boolean {
  if (structural.has(key)) return true
  const isTime = key === 'from' || key === 'to' || key === 'since'
  return isTime && typeof value === 'string' && (value === 'now' || /^[+-] ?\d/.test(value))
}

function short(value: unknown): unknown {
  return typeof value === 'string' && value.length > maxNameLength
    ? `${value.slice(0, maxNameLength)}…`
    : value
}

const maxText = 4000

/** A question as it came, as text that is cut. */
export function textOfQuestion(question: unknown): string {
  const text =
    JSON.stringify(question, (_, value) => (typeof value === 'bigint' ? String(value) : value)) ?? ''
  return text.length > maxText ? `${text.slice(0, maxText)}…` : text
}
