import { type ReactNode, useMemo } from 'react'
import { formatInstant, formatUnit } from '../format/index.ts'
import { type Column, Table } from '../ui/index.ts'
import type { TableOfAnswer } from './series.ts'
import { groupText } from './series.ts'

export interface AnswerTableProps {
  readonly table: TableOfAnswer
  readonly zone: string
  readonly unit?: string | undefined
  /** Names of groups. */
  readonly by: readonly string[]
  readonly caption: string
  readonly maxHeight?: string
}

type Row = Readonly<Record<string, unknown>>

const numbers: ReadonlySet<string> = new Set(['count', 'int2', 'int4', 'int8', 'float4', 'float8', 'numeric'])

/** The answer as it is, value by value: also what stands for a chart where nobody sees it. */
export function AnswerTable({ table, zone, unit, by, caption, maxHeight }: AnswerTableProps): ReactNode {
  const columns = useMemo(
    () =>
      table.columns.map(
        ({ name, type }): Column<Row> => ({
          id: name,
          title: name,
          align: numbers.has(type) ? 'right' : 'left',
          cell: (row) => cellText(row[name], type, { zone, unit: by.includes(name) ? undefined : unit }),
          sortBy: (row) => sortValue(row[name], type),
        }),
      ),
    [table.columns, zone, unit, by],
  )
  const keys = useMemo(() => new Map(table.rows.map((row, i) => [row, String(i)])), [table.rows])
  return (
    <Table
      caption={caption}
      columns={columns}
      rows={table.rows as readonly Row[]}
      keyOf={(row) => keys.get(row) ?? ''}
      empty="No rows in this range."
      {...(maxHeight === undefined ? {} : { maxHeight })}
    />
  )
}

function cellText(
  value: unknown,
  type: string,
  { zone, unit }: { zone: string; unit: string | undefined },
): string {
  if (value === null || value === undefined) return '—'
  if (type === 'timestamptz' && typeof value === 'string') {
    const precision = /T\d\d:\d\d:00Z$/.test(value) ? 'minute' : /\.\d/.test(value) ? 'milli' : 'second'
    return formatInstant(value, zone, { precision })
  }
  if (numbers.has(type)) return formatUnit(value as number, unit)
  if (type === 'topK' && Array.isArray(value))
    return value
      .map(({ value: one, count }: { value: unknown; count: number }) => `${groupText(one)} ${count}`)
      .join(', ')
  if (Array.isArray(value))
    return value.map((one) => (one === null ? '—' : formatUnit(one as number, undefined))).join(' · ')
  return groupText(value)
}

function sortValue(value: unknown, type: string): number | string | bigint | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'number' || typeof value === 'bigint') return value
  if (typeof value === 'string') return numbers.has(type) ? Number(value) : value
  return JSON.stringify(value)
}
