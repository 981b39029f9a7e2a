import type { Queryable } from '../postgres/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { join, type Sql } from '../util/sql.ts'
import { appendOnlySql } from './append-only.ts'
import { protectStatements } from './tenant-rows.ts'

/**
 * Gives a new partition of a hypertable what the declaration asks of it besides its columns: the guard of append-only tables, and
 * the row security of tenants. Call it in the transaction that makes the partition, before it is attached.
 *
 * @example
 * await applyPartitionPolicies(connection, llmRequests, { schema: 'tidemark_chunks', table: 'llm_requests_c7' })
 */
export async function applyPartitionPolicies(
  connection: Queryable,
  definition: StoredDefinition,
  partition: { readonly schema: string; readonly table: string },
): Promise<void> {
  const statements: Sql[] = []
  if (definition.appendOnly) statements.push(appendOnlySql(definition.name, partition))
  if (definition.tenant !== null) statements.push(...protectStatements(definition, partition, true))
  if (statements.length > 0) await connection.execute(join(statements, ';\n'))
}
