import { auditHypertable } from '../../src/changelog/index.ts'
import type { Connection, Database } from '../../src/postgres/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { formatInstant } from '../../src/time/index.ts'
import { sql } from '../../src/util/sql.ts'

/** `2026-01-01T03:00:00Z` as `01-01T03:00`. */
export function shortRange(range: { readonly from: bigint; readonly to: bigint }): string {
  return [range.from, range.to].map((at) => formatInstant(at).replace(/^\d{4}-(.*):00Z$/, '$1')).join(' ')
}

/** What an audit finds, as text. */
export async function audit(db: Database, definition: HypertableDefinition): Promise<string[]> {
  const { unlogged } = await auditHypertable(db, definition)
  return unlogged.map(({ range, rowDifference }) => `${shortRange(range)} ${rowDifference}`)
}

export async function waitFor(what: string, condition: () => Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** Whether the connection's statement waits for a lock. */
export async function isWaiting(db: Database, connection: Connection): Promise<boolean> {
  const { rows } = await db.query(sql`
    select count(*) from pg_locks where pid = ${connection.processId}::int and not granted`)
  return (rows[0]![0] as bigint) > 0n
}
