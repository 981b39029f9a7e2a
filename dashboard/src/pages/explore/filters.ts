import type { DatasetInfo } from 'tidemark/client'

/** Conditions as a person types them, and as a query says them. Pure. */

export const operators = [
  'eq',
  'ne',
  'gt',
  'gte',
  'lt',
  'lte',
  'in',
  'notIn',
  'like',
  'ilike',
  'contains',
  'isNull',
  'notNull',
] as const
export type Operator = (typeof operators)[number]

export interface Filter {
  /** Or a path inside of a jsonb column. */
  readonly column: string
  readonly op: Operator
  /** As typed: one for most, several for `in` and `notIn`, none for `isNull` and `notNull`. */
  readonly values: readonly string[]
}

export const operatorWords: Readonly<Record<Operator, string>> = {
  eq: '=',
  ne: '≠',
  gt: '>',
  gte: '≥',
  lt: '<',
  lte: '≤',
  in: 'is one of',
  notIn: 'is none of',
  like: 'matches',
  ilike: 'matches, any case',
  contains: 'contains',
  isNull: 'is empty',
  notNull: 'is not empty',
}

const compared: readonly Operator[] = ['eq', 'ne', 'gt', 'gte', 'lt', 'lte', 'in', 'notIn']
const empties: readonly Operator[] = ['isNull', 'notNull']

const byType: Readonly<Record<string, readonly Operator[]>> = {
  text: ['eq', 'ne', 'in', 'notIn', 'like', 'ilike', 'gt', 'gte', 'lt', 'lte', ...empties],
  uuid: ['eq', 'ne', 'in', 'notIn', ...empties],
  bool: ['eq', 'ne', ...empties],
  'text[]': ['contains', ...empties],
  jsonb: empties,
  json: ['eq', 'ne', 'in', 'notIn', 'like', 'ilike', 'gt', 'gte', 'lt', 'lte', ...empties],
}

export function operatorsFor(type: string): readonly Operator[] {
  return byType[type] ?? [...compared, ...empties]
}

export function takesValue(op: Operator): boolean {
  return op !== 'isNull' && op !== 'notNull'
}

export function takesList(op: Operator): boolean {
  return op === 'in' || op === 'notIn'
}

/** `a, b\, c` is `a` and `b, c`. */
export function splitList(text: string): readonly string[] {
  const values: string[] = []
  let value = ''
  for (let i = 0; i < text.length; i++) {
    const char = text[i] as string
    if (char === '\\' && i + 1 < text.length) value += text[++i]
    else if (char === ',') {
      values.push(value.trim())
      value = ''
    } else value += char
  }
  values.push(value.trim())
  return values.filter((one) => one !== '')
}

export function joinList(values: readonly string[]): string {
  return values.map((value) => value.replace(/[\\,]/g, '\\$&')).join(', ')
}

/** The first key of a path; a backslash takes the next character as it is. */
export function rootOf(ref: string): string {
  let root = ''
  for (let i = 0; i < ref.length; i++) {
    if (ref[i] === '\\' && i + 1 < ref.length) root += ref[++i]
    else if (ref[i] === '.') return root
    else root += ref[i]
  }
  return root
}

/** `json` for what lies inside of a jsonb column; null: there is no such column. */
export function typeOf(dataset: Pick<DatasetInfo, 'columns'>, ref: string): string | null {
  const root = rootOf(ref)
  const column = dataset.columns.find(({ name }) => name === root)
  if (column === undefined) return null
  if (ref.replaceAll('\\', '') === root) return column.type
  return column.type === 'jsonb' ? 'json' : null
}

const whole = /^-?\d+$/
const decimal = /^-?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i

/** A value as a query takes it; what does not fit stays text, and the server says what is wrong with it. */
export function typedValue(type: string, text: string): unknown {
  switch (type) {
    case 'int2':
    case 'int4':
      return whole.test(text) ? Number(text) : text
    case 'int8':
      return whole.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : text
    case 'float4':
    case 'float8':
      return decimal.test(text) ? Number(text) : text
    case 'bool':
      return text === 'true' ? true : text === 'false' ? false : text
    case 'json':
      return jsonValue(text)
    default:
      return text
  }
}

/** Of JSON the number 7 is not the text "7": quotes make it text. */
function jsonValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true'
  if (decimal.test(text)) return Number(text)
  const quoted = /^"(.*)"$/s.exec(text)
  return quoted ? quoted[1] : text
}

function condition(type: string, { op, values }: Filter): unknown {
  const [first = ''] = values
  switch (op) {
    case 'isNull':
      return null
    case 'notNull':
      return { not: null }
    case 'in':
    case 'notIn':
      return { [op]: values.map((value) => typedValue(type, value)) }
    case 'like':
    case 'ilike':
    case 'contains':
      return { [op]: first }
    case 'eq':
      return typedValue(type, first)
    default:
      return { [op]: typedValue(type, first) }
  }
}

/** Whether it says something already: a row of the form may still be empty. */
export function isComplete({ column, op, values }: Filter): boolean {
  return column !== '' && (!takesValue(op) || values.length > 0)
}

/**
 * `where` of a query; undefined: every row counts.
 *
 * @example toWhere(dataset, [{ column: 'status', op: 'eq', values: ['ok'] }]) // { status: 'ok' }
 */
export function toWhere(
  dataset: Pick<DatasetInfo, 'columns'>,
  filters: readonly Filter[],
): Readonly<Record<string, unknown>> | undefined {
  const complete = filters.filter(isComplete)
  if (complete.length === 0) return undefined
  const said = complete.map((filter) => ({
    [filter.column]: condition(typeOf(dataset, filter.column) ?? 'text', filter),
  }))
  const names = new Set(complete.map(({ column }) => column))
  return names.size === complete.length ? Object.assign({}, ...said) : { $and: said }
}

/** Conditions that the form can show; null: it says more than that. */
export function fromWhere(where: Readonly<Record<string, unknown>>): readonly Filter[] | null {
  const filters: Filter[] = []
  for (const [column, said] of Object.entries(where)) {
    if (column === '$and') {
      if (!Array.isArray(said)) return null
      for (const inner of said as readonly Record<string, unknown>[]) {
        const more = fromWhere(inner)
        if (more === null) return null
        filters.push(...more)
      }
      continue
    }
    if (column.startsWith('$')) return null
    const more = fromCondition(column, said)
    if (more === null) return null
    filters.push(...more)
  }
  return filters
}

function fromCondition(column: string, said: unknown): readonly Filter[] | null {
  if (said === null) return [{ column, op: 'isNull', values: [] }]
  if (typeof said !== 'object') return [{ column, op: 'eq', values: [valueText(column, said)] }]
  const filters: Filter[] = []
  for (const [op, value] of Object.entries(said as Record<string, unknown>)) {
    if (op === 'not') {
      if (value !== null) return null
      filters.push({ column, op: 'notNull', values: [] })
    } else if (value === null && (op === 'eq' || op === 'ne'))
      filters.push({ column, op: op === 'eq' ? 'isNull' : 'notNull', values: [] })
    else if (!operators.includes(op as Operator)) return null
    else if (Array.isArray(value))
      filters.push({ column, op: op as Operator, values: value.map((one) => valueText(column, one)) })
    else filters.push({ column, op: op as Operator, values: [valueText(column, value)] })
  }
  return filters
}

/** Inside of JSON, text that looks like something else is quoted, so that it is read as text again. */
function valueText(column: string, value: unknown): string {
  const isPath = column.replaceAll('\\', '') !== rootOf(column)
  return isPath && typeof value === 'string' && jsonValue(value) !== value ? `"${value}"` : String(value)
}

/** As a person would say it. */
export function filterText({ column, op, values }: Filter): string {
  if (!takesValue(op)) return `${column} ${operatorWords[op]}`
  const shown =
    values.length > 3 ? `${values.slice(0, 3).join(', ')} and ${values.length - 3} more` : values.join(', ')
  return `${column} ${operatorWords[op]} ${shown === '' ? '…' : shown}`
}
