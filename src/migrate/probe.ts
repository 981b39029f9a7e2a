import { type Connection, sqlstateOf } from '../postgres/index.ts'
import type { StoredDefinition, ViewDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, raw, sql } from '../util/sql.ts'
import { type ActualRelation, readRelations } from './inspect.ts'
import { columnSql, createIndexSql, tableBody } from './table-ddl.ts'

/** A declared table as PostgreSQL would keep it. */
export interface Wanted {
  readonly relation: ActualRelation
  /** Signature of each declared index, by its name. */
  readonly signatures: ReadonlyMap<string, string>
  /** Columns whose default differs from row to row, so that adding them would rewrite the table. */
  readonly volatile: ReadonlySet<string>
}

/**
 * Makes each declared table as an empty temporary one, reads it back and takes everything away again. Only
 * PostgreSQL can say how it spells a type, a default or the predicate of an index; comparing two of its own
 * spellings needs no second opinion of ours.
 */
export async function probeTables(
  connection: Connection,
  definitions: readonly StoredDefinition[],
): Promise<ReadonlyMap<string, Wanted>> {
  await connection.execute('begin')
  try {
    const volatile = new Map<string, Set<string>>()
    for (const [i, definition] of definitions.entries()) {
      volatile.set(definition.name, await probeTable(connection, definition, i))
    }
    const { rows } = await connection.query(sql`
      select nspname from pg_namespace where oid = pg_my_temp_schema()`)
    const schema = (rows[0]?.[0] ?? 'pg_temp') as string
    const found = await readRelations(
      connection,
      definitions.map((_, i) => ({ schema, table: probeName(i) })),
    )
    return new Map(
      definitions.map((definition, i) => {
        const relation = found.get(`${schema}.${probeName(i)}`)!
        const signatures = new Map(
          definition.indexes.map((index, j) => [
            index.name,
            relation.indexes.find((actual) => actual.name === indexProbeName(i, j))!.signature,
          ]),
        )
        return [definition.name, { relation, signatures, volatile: volatile.get(definition.name)! }]
      }),
    )
  } finally {
    await connection.execute('rollback')
  }
}

function probeName(i: number): string {
  return `tidemark_probe_${i}`
}

function indexProbeName(i: number, j: number): string {
  return `tidemark_probe_${i}_${j}`
}

async function probeTable(
  connection: Connection,
  definition: StoredDefinition,
  i: number,
): Promise<Set<string>> {
  const table = identifier('pg_temp', probeName(i))
  await declared(definition.name, () =>
    connection.execute(sql`create temporary table ${identifier(probeName(i))} (${tableBody(definition)})`),
  )
  for (const [j, index] of definition.indexes.entries()) {
    await declared(`${definition.name}.indexes.${index.name}`, () =>
      connection.execute(createIndexSql(index, table, { name: indexProbeName(i, j) })),
    )
  }
  const computed = Object.entries(definition.columns).filter(([, column]) => column.default?.kind === 'sql')
  if (computed.length === 0) return new Set()
  // PostgreSQL stores one value for all old rows when it can; when it does not, it would rewrite them.
  const name = identifier('pg_temp', `${probeName(i)}_default`)
  await connection.execute(sql`create temporary table ${identifier(`${probeName(i)}_default`)} ()`)
  for (const [column, d] of computed)
    await connection.execute(sql`alter table ${name} add column ${columnSql(column, d)}`)
  const { rows } = await connection.query(sql`
    select attname::text
    from pg_attribute
    where attrelid = ${`pg_temp.${probeName(i)}_default`}::regclass and attnum > 0 and not atthasmissing`)
  return new Set(rows.map(([column]) => column as string))
}

/** A view's columns and text as PostgreSQL keeps it, or the reason why it cannot be made now. */
export async function probeView(
  connection: Connection,
  view: ViewDefinition,
): Promise<{ readonly text: string; readonly columns: readonly string[] }> {
  await connection.execute('begin')
  try {
    await connection.execute(sql`create temporary view tidemark_probe_view as ${raw(view.sql)}`)
    return (await readView(connection, 'pg_temp.tidemark_probe_view'))!
  } finally {
    await connection.execute('rollback')
  }
}

/** The text and the columns with their types of a view that exists. */
export async function readView(
  connection: Connection,
  name: string,
): Promise<{
  readonly text: string
  readonly columns: readonly string[]
  /** It reads with the rights of whoever asks. */
  readonly isInvoker: boolean
} | null> {
  const { rows } = await connection.query(sql`
    select
      pg_get_viewdef(c.oid),
      coalesce(
        (select o.option_value::bool from pg_options_to_table(c.reloptions) as o where o.option_name = 'security_invoker'),
        false
      ),
      array(
        select a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        from pg_attribute as a
        where a.attrelid = c.oid and a.attnum > 0
        order by a.attnum
      )
    from pg_class as c
    where c.oid = to_regclass(${name}::text) and c.relkind = 'v'`)
  const row = rows[0]
  return row ? { text: row[0] as string, isInvoker: row[1] as boolean, columns: row[2] as string[] } : null
}

/** What PostgreSQL refuses here is the declaration's fault, unless the database itself is in trouble. */
async function declared(path: string, run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    const state = sqlstateOf(error)
    if (state === null || !/^(22|42)/.test(state) || state === '42501') throw error
    const problem = (error as Error).message.replace(/^PostgreSQL error /, '')
    throw new TidemarkError('TM_DECLARATION', { path, problem }, { cause: error })
  }
}
