import type { ApplyStep, ColumnType, EnrichStep, RawRow } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'

/** A frozen step whose `into` names at least one column, each once. */
export function makeStep(
  step: string,
  from: string,
  into: Readonly<Record<string, string | undefined>>,
  type: ColumnType,
  open: (dir: string) => Promise<ApplyStep>,
): EnrichStep {
  const refuse = (path: string, problem: string): never => {
    throw new TidemarkError('TM_DECLARATION', { path: `${step}()${path}`, problem })
  }
  if (typeof from !== 'string' || from === '') refuse('.from', 'must name what the step reads')
  const columns = Object.values(into).filter((column) => column !== undefined)
  const twice = columns.find((column, i) => columns.indexOf(column) !== i)
  if (twice !== undefined) refuse('.into', `writes "${twice}" twice`)
  const writes = Object.fromEntries(columns.map((column) => [column, Object.freeze([type])]))
  return Object.freeze({ step, reads: Object.freeze([from]), writes: Object.freeze(writes), open })
}

/** The row with the values that it has not: what a sender says itself is believed. Null and undefined write nothing. */
export function withValues(
  row: RawRow,
  values: readonly (readonly [column: string | undefined, value: unknown])[],
): RawRow {
  let out: Record<string, unknown> | null = null
  for (const [column, value] of values) {
    if (column === undefined || value === undefined || value === null || value === '') continue
    const given = Object.hasOwn(row, column) ? row[column] : undefined
    if (given !== undefined && given !== null) continue
    out ??= { ...row }
    out[column] = value
  }
  return out ?? row
}

/** The text of a row's key, or null. */
export function textOf(row: RawRow, key: string): string | null {
  const value = Object.hasOwn(row, key) ? row[key] : undefined
  return typeof value === 'string' && value !== '' ? value : null
}
