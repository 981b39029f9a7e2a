import type { Connection } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import { readPackageVersion } from './catalog.ts'
import type { MigrationStep } from './step.ts'

/** The step's row in tidemark.schema_change, in the transaction that makes the change. */
export async function recordChange(
  connection: Connection,
  { relation, kind, sentence, statements }: MigrationStep,
  before: unknown,
  after: unknown,
): Promise<void> {
  const json = (value: unknown) => (value === null ? null : JSON.stringify(value))
  await connection.query(sql`
    insert into tidemark.schema_change (
      relation, kind, sentence, statements, definition_before, definition_after, applied_by
    )
    values (
      ${relation}::text, ${kind}::text, ${sentence}::text, ${statements}::text[],
      ${json(before)}::jsonb, ${json(after)}::jsonb,
      ${await readPackageVersion()}::text
    )`)
}
