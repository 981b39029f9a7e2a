import { readFile } from 'node:fs/promises'
import type { DatasetDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'

/**
 * The command line's short forms, turned into the same JSON that HTTP takes. What they mean is checked where every
 * query is checked; here only their grammar.
 */

/**
 * `requests=count()`, `p95=percentile(latency_ms,0.95)`, `sum(tokens)` (named `sum_tokens`); of a continuous aggregate also an output by
 * its name, `requests` or `n=requests`.
 */
export function parseSelect(
  items: readonly string[],
  outputs: readonly string[] = [],
): Record<string, Record<string, unknown> | string> {
  const select: Record<string, Record<string, unknown> | string> = {}
  for (const item of items) {
    const [, as, output] = /^\s*(?:([^=()]+?)\s*=\s*)?([^=()]+?)\s*$/.exec(item) ?? []
    if (output !== undefined && outputs.includes(output)) {
      select[as ?? output] = output
      continue
    }
    const match = /^\s*(?:([^=()]+?)\s*=\s*)?([A-Za-z]\w*)\s*\(\s*([^()]*?)\s*\)\s*$/.exec(item)
    if (!match) {
      throw problem(
        `--select "${item}"`,
        'write name=function(column), e.g. p95=percentile(latency_ms,0.95) or count()',
      )
    }
    const fn = match[2] as string
    const [column, ...extra] = (match[3] as string).split(',').map((part) => part.trim())
    const node: Record<string, unknown> = { fn }
    if (column) node['column'] = column
    if (fn === 'percentile') node['q'] = numberOf(extra[0], item)
    else if (fn === 'percentiles' && extra.length > 0)
      node['qs'] = extra.map((share) => numberOf(share, item))
    else if (fn === 'topK') node['k'] = numberOf(extra[0], item)
    else if (fn === 'histogram') node['borders'] = extra.map((border) => numberOf(border, item))
    else if (extra.length > 0) throw problem(`--select "${item}"`, `${fn} takes one column and nothing else`)
    const name = match[1] ?? [fn, column, ...extra].filter(Boolean).join('_')
    if (name in select)
      throw problem(`--select "${item}"`, `there are two outputs called "${name}"; name one with name=…`)
    select[name] = node
  }
  return select
}

/** Splits `a=count(),b=percentile(x,0.5)` at the commas outside parentheses. */
export function splitSelect(text: string, before: readonly string[] = []): string[] {
  return [...before, ...text.split(/,(?![^()]*\))/).filter((part) => part.trim() !== '')]
}

const operators: Readonly<Record<string, string>> = {
  '=': 'eq',
  '!=': 'ne',
  '<': 'lt',
  '<=': 'lte',
  '>': 'gt',
  '>=': 'gte',
  '~': 'like',
}

/** `status=ok`, `latency_ms>=10`, `model~gpt%`, `user_id=null`, or a whole condition as JSON. All must hold. */
export function parseWhere(
  items: readonly string[],
  dataset: Pick<DatasetDefinition, 'columns'>,
): Record<string, unknown> | undefined {
  if (items.length === 0) return undefined
  const conditions = items.map((item) =>
    item.trimStart().startsWith('{') ? parseJson(item, '--where') : parseCondition(item, dataset),
  )
  return conditions.length === 1 ? (conditions[0] as Record<string, unknown>) : { $and: conditions }
}

function parseCondition(item: string, dataset: Pick<DatasetDefinition, 'columns'>): Record<string, unknown> {
  const match = /^\s*([^=!<>~]+?)\s*(!=|<=|>=|=|<|>|~)\s*(.*)$/s.exec(item)
  if (!match) {
    throw problem(
      `--where "${item}"`,
      'write column, operator (= != < <= > >= ~) and value, or a condition as JSON',
    )
  }
  const column = match[1] as string
  const operator = match[2] as string
  const text = match[3] as string
  if (text === 'null' && (operator === '=' || operator === '!=')) {
    return { [column]: operator === '=' ? null : { not: null } }
  }
  return { [column]: { [operators[operator] as string]: toValue(text, dataset.columns[column]?.type) } }
}

/** Numbers and booleans where the column has them; a JSON path takes what JSON would; everything else is text. */
function toValue(text: string, type: string | undefined): unknown {
  if (type === undefined) {
    return /^(-?\d+(\.\d+)?([eE][+-]?\d+)?|true|false)$/.test(text) ? JSON.parse(text) : text
  }
  if (type === 'bool' && (text === 'true' || text === 'false')) return text === 'true'
  if (/^(int2|int4|float4|float8)$/.test(type) && text.trim() !== '') {
    const number = Number(text)
    // beyond 2^53 the text says more than the number would
    if (!Number.isNaN(number) && !(type.startsWith('int') && !Number.isSafeInteger(number))) return number
  }
  return text
}

export function parseJson(text: string, option: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw problem(option, `is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw problem(option, 'must be a JSON object')
  return value as Record<string, unknown>
}

const aggregateOnly = ['bucket', 'by', 'having', 'order', 'fill'] as const
const rowsOnly = ['columns', 'direction', 'cursor', 'latestBy'] as const
const flags: Readonly<Record<string, string>> = { latestBy: '--latest-by' }

/**
 * Options of one kind of query beside those of another are refused: an option that is silently left out gives an
 * answer to another question.
 */
export function assertTogether(options: object): void {
  const given = new Map<string, unknown>(Object.entries(options))
  const isGiven = (key: string): boolean => {
    const value = given.get(key)
    return Array.isArray(value) ? value.length > 0 : value !== undefined
  }
  const flag = (key: string): string => flags[key] ?? `--${key}`
  const refuse = (keys: readonly string[], why: string): void => {
    for (const key of keys) if (isGiven(key)) throw problem(flag(key), why)
  }
  if (isGiven('select')) refuse(rowsOnly, 'is for raw rows and does not go together with --select')
  else refuse(aggregateOnly, 'needs --select, for example --select "n=count()"')
  if (isGiven('latestBy'))
    refuse(
      ['direction', 'cursor'],
      'does not go together with --latest-by, which gives one row for each series',
    )
}

/** The whole query as JSON or `@file`; parts of it as options beside it would be left out, so they are refused. */
export async function readQuery(text: string, options: object): Promise<Record<string, unknown>> {
  for (const [key, value] of Object.entries(options)) {
    if (['query', 'plan', 'timeout'].includes(key) || value === undefined) continue
    if (Array.isArray(value) && value.length === 0) continue
    throw problem(flags[key] ?? `--${key}`, 'does not go together with --query, which is the whole query')
  }
  if (!text.startsWith('@')) return parseJson(text, '--query')
  const path = text.slice(1)
  let content: string
  try {
    content = await readFile(path, 'utf8')
  } catch (error) {
    throw problem(
      '--query',
      `"${path}" cannot be read: ${(error as NodeJS.ErrnoException).code ?? String(error)}`,
    )
  }
  return parseJson(content, `--query ${text}`)
}

function numberOf(text: string | undefined, item: string): number {
  const value = Number(text)
  if (text === undefined || text === '' || Number.isNaN(value)) {
    throw problem(
      `--select "${item}"`,
      `${text === undefined ? 'a number is missing' : `"${text}" is not a number`}`,
    )
  }
  return value
}

function problem(path: string, text: string): TidemarkError {
  return new TidemarkError('TM_QUERY', { path, problem: text })
}
