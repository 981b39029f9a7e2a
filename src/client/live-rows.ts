import type { OutputColumn } from '../query/index.ts'
import { decodeRows } from './values.ts'

type Row = Record<string, unknown>

/** Rows with what tells them apart, in the order of the answer. */
export interface LiveRows {
  readonly columns: readonly OutputColumn[]
  readonly items: readonly { readonly key: string; readonly row: Row }[]
}

export interface AnswerMessage {
  readonly type: 'answer'
  readonly resume: string
  readonly asOf: string
  readonly columns: readonly OutputColumn[]
  readonly rows: readonly (readonly [key: string, row: Row])[]
}

export interface ChangeMessage {
  readonly type: 'change'
  readonly resume: string
  readonly asOf: string
  readonly removed: readonly string[]
  /** Ascending by place. */
  readonly set: readonly (readonly [at: number, key: string, row: Row])[]
}

export function wholeRows({ columns, rows }: AnswerMessage): LiveRows {
  decodeRows(
    rows.map(([, row]) => row),
    columns,
  )
  return { columns, items: rows.map(([key, row]) => ({ key, row })) }
}

/** What is removed and what is set goes away first; then each row that is set comes to its place. */
export function changedRows({ columns, items }: LiveRows, { removed, set }: ChangeMessage): LiveRows {
  decodeRows(
    set.map(([, , row]) => row),
    columns,
  )
  const gone = new Set([...removed, ...set.map(([, key]) => key)])
  const changed: { readonly key: string; readonly row: Row }[] = []
  let next = 0
  const fill = (): void => {
    for (let one = set[next]; one !== undefined && one[0] === changed.length; one = set[++next])
      changed.push({ key: one[1], row: one[2] })
  }
  for (const item of items) {
    fill()
    if (!gone.has(item.key)) changed.push(item)
  }
  fill()
  return { columns, items: changed }
}
