import { type Answer, compareValues, everything, filterToJson, type OutputRow } from '../query/index.ts'
import type { CanonicalValue } from '../schema/index.ts'
import { type Instant, parseInstant } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { Call, ListAnswer, RecordsOptions } from './contract.ts'
import { decodePosition, encodePosition } from './cursor.ts'
import type { ListRequest } from './list-input.ts'
import { isOwnOrder, type ListOrder } from './order.ts'
import { type RecordTable, versionOfRow } from './record-table.ts'

/**
 * A page of a hypertable, wherever its rows are. In the order of time it is a rows query, page by page. Any other order has to look at
 * every row that matches, at most `maxRows` of them, and keeps those of the page.
 */
export async function listHypertable(
  table: RecordTable,
  request: ListRequest,
  options: RecordsOptions,
  call: Call,
): Promise<ListAnswer> {
  const { definition } = table
  const { fields, withCount, withVersions } = request
  const where = request.where === null ? {} : { where: filterToJson(definition, request.where) }
  const range = rangeOf(request)
  const page = isOwnOrder(table, request.order)
    ? await inOwnOrder(table, request, { ...where, ...range }, options, call)
    : await inOtherOrder(table, request, where, range, options, call)
  const count = withCount
    ? await options.ask(definition, { ...where, ...range, select: { n: { fn: 'count' } } }, call)
    : null
  return {
    rows: page.rows.map((row) => pick(row, fields)),
    cursor: page.cursor,
    versions: withVersions ? page.rows.map((row) => versionOfRow(table, row)) : null,
    count: count === null ? null : Number(count.rows[0]!['n']),
  }
}

type Page = Pick<ListAnswer, 'rows' | 'cursor'>

async function inOwnOrder(
  table: RecordTable,
  { order, limit, cursor, fields, withVersions }: ListRequest,
  selection: object,
  options: RecordsOptions,
  call: Call,
): Promise<Page> {
  return options.ask(
    table.definition,
    {
      ...selection,
      columns: withVersions ? table.columns : fields,
      direction: order[0]!.descending ? 'desc' : 'asc',
      limit,
      cursor,
    },
    call,
  )
}

async function inOtherOrder(
  table: RecordTable,
  { where, order, limit, cursor, fields, withVersions }: ListRequest,
  selection: object,
  asked: { readonly from?: unknown; readonly to?: unknown },
  options: RecordsOptions,
  call: Call,
): Promise<Page> {
  const { definition } = table
  const position = cursor === null ? null : decodePosition(table, order, where, cursor)
  const range = position?.range ? { from: position.range[0], to: position.range[1] } : asked
  const columns = withVersions
    ? table.columns
    : [...new Set([...fields, ...order.map(({ column }) => column)])]
  const answer = await options.ask(
    definition,
    { ...selection, ...range, columns, limit: options.limits.maxRows },
    call,
  )
  if (answer.cursor !== null) throw tooMany(answer, order, options)
  const compare = comparePlaces(order)
  const places = answer.rows.map((row) => ({ row, values: placeOf(order, row) }))
  const after = position?.values ?? null
  const rest = after === null ? places : places.filter(({ values }) => compare(values, after) > 0)
  rest.sort((a, b) => compare(a.values, b.values))
  const last = rest.length > limit ? rest[limit - 1] : undefined
  const { from, to } = answer.plan.range
  return {
    rows: rest.slice(0, limit).map(({ row }) => row),
    cursor:
      last === undefined
        ? null
        : encodePosition(table, order, where, { values: last.values, range: [from, to] }),
  }
}

function tooMany({ rows }: Answer, order: ListOrder, { limits }: RecordsOptions): TidemarkError {
  const [first] = order
  return new TidemarkError('TM_LIMIT', {
    what: `the number of rows that are put in the order of "${first!.column}"`,
    value: `more than ${rows.length}`,
    limit: `${limits.maxRows} rows, or limits.maxAnswerBytes`,
    todo: 'ask for a narrower range or filter, or sort by time',
  })
}

/** Values as they are compared: instants instead of their texts. */
function placeOf(order: ListOrder, row: OutputRow): CanonicalValue[] {
  return order.map(({ column, type }) => {
    const value = row[column] as CanonicalValue
    return type === 'timestamptz' && typeof value === 'string' ? instantOf(value) : value
  })
}

function instantOf(text: string): Instant {
  return parseInstant(text, { infinity: true })
}

function comparePlaces(
  order: ListOrder,
): (a: readonly CanonicalValue[], b: readonly CanonicalValue[]) => number {
  return (a, b) => {
    for (const [i, { type, descending }] of order.entries()) {
      const x = a[i] ?? null
      const y = b[i] ?? null
      if (x === null || y === null) {
        if (x !== y) return x === null ? 1 : -1
        continue
      }
      const found = compareValues(type, x, y)
      if (found !== 0) return descending ? -found : found
    }
    return 0
  }
}

function rangeOf({ range }: ListRequest): { from?: Instant; to?: Instant } {
  if (range === null) return {}
  const { from, to } = range
  return { ...(from > everything.from ? { from } : {}), ...(to < everything.to ? { to } : {}) }
}

function pick(row: OutputRow, fields: readonly string[]): OutputRow {
  return Object.fromEntries(fields.map((name) => [name, row[name]]))
}
