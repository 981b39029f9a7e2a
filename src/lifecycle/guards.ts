import {
  findDefaultPartition,
  guardDefaultSql,
  guardNames,
  guardTableSql,
  hasGuard,
  hasTableGuard,
  uniqueColumns,
} from '../hot/index.ts'
import type { LifecycleContext, Subject } from './context.ts'
import { flip } from './flip.ts'

interface InstallOptions {
  readonly signal: AbortSignal | null
  /** For its lock; default: as many as a flip. */
  readonly tries?: number
}

/**
 * SHARE ROW EXCLUSIVE on the table, once in its life: it waits for every transaction that has written through the table, and
 * writers wait behind it for `lockTimeoutMs`. So the policy makes it when the first freeze is still far away.
 */
export async function installTableGuard(
  context: LifecycleContext,
  { definition, hypertable }: Subject,
  options: InstallOptions,
): Promise<void> {
  if (await hasTableGuard(context.db, hypertable)) return
  const { name, schema, table } = definition
  await flip(context, { what: `guarding ${name}`, ...options }, (connection) =>
    connection.execute(guardTableSql({ id: hypertable.id, name, schema, table })),
  )
}

/** For the default partition of a keyed table, before a cold chunk has no partition. Idempotent. */
export async function guardDefault(
  context: LifecycleContext,
  { definition, hypertable }: Subject,
  options: InstallOptions,
): Promise<void> {
  const partition = await findDefaultPartition(context.db, definition)
  if ((await uniqueColumns(context.db, partition)) === null) return
  if (await hasGuard(context.db, partition, guardNames.default)) return
  const { name, time } = definition
  await flip(context, { what: `guarding the default partition of ${name}`, ...options }, (connection) =>
    connection.execute(guardDefaultSql({ id: hypertable.id, name, time }, partition)),
  )
}
