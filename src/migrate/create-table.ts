import type { StoredDefinition } from '../schema/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { tableChangeStatements } from './table-changes.ts'
import {
  chunkSchema,
  columnComment,
  commentSql,
  createIndexSql,
  defaultPartitionName,
  relationName,
  tableBody,
  text,
} from './table-ddl.ts'

/** The first part of `define metrics.cpu`: everything but the rows. In one transaction with the catalog's row. */
export function createTableStatements(definition: StoredDefinition): string[] {
  const name = relationName(definition)
  const partitioned =
    definition.kind === 'hypertable' ? sql`\npartition by range (${identifier(definition.time)})` : sql``
  const statements = [text(sql`create table ${name} (\n  ${tableBody(definition)}\n)${partitioned}`)]
  if (definition.kind === 'hypertable')
    statements.push(
      text(
        sql`create table ${identifier(chunkSchema, defaultPartitionName(definition))} partition of ${name} default`,
      ),
    )
  for (const index of definition.indexes)
    statements.push(text(createIndexSql(index, name, { name: index.name })))
  return [...statements, ...commentStatements(definition), ...tableChangeStatements(definition)]
}

function commentStatements(definition: StoredDefinition): string[] {
  const statements: string[] = []
  const name = relationName(definition)
  if (definition.comment !== null) statements.push(text(commentSql(sql`table ${name}`, definition.comment)))
  for (const [column, d] of Object.entries(definition.columns))
    if (d.comment !== null) statements.push(text(columnComment(definition, column, d.comment)))
  return statements
}
