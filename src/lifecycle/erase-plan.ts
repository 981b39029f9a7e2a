import { matchingSql } from '../hot/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { identifier, sql } from '../util/sql.ts'
import { listFiles } from './chunk-record.ts'
import { type LifecycleContext, type MoveOptions, subjectOf } from './context.ts'
import { beginWholeRead, type ErasureInput, FileSearch, stillCounting } from './erase-search.ts'
import { type ErasureLeftovers, findLeftovers } from './erasure-leftovers.ts'

export interface ErasurePlan {
  readonly dataset: string
  /** In PostgreSQL. */
  readonly rowsHot: number
  /** In the lake. */
  readonly rowsCold: number
  /** Files that would be written anew. */
  readonly files: readonly { readonly path: string; readonly rows: number }[]
  /** Files in the trash that would be removed before their time. */
  readonly trash: number
  readonly leftovers: ErasureLeftovers
}

/** What `eraseRows` would do. Reads every chunk that may hold such a row, changes nothing. */
export async function planErasure(
  context: LifecycleContext,
  definition: StoredDefinition,
  input: ErasureInput,
  options: MoveOptions,
): Promise<ErasurePlan> {
  const signal = options.signal ?? null
  const files: { path: string; rows: number }[] = []
  const subject = definition.kind === 'table' ? null : await subjectOf(context, definition)
  const search = subject && new FileSearch(context, subject, input, signal)
  let rowsCold = 0
  const rowsHot = await context.db.transaction(
    { mode: 'repeatable read read only', signal },
    async (connection) => {
      await beginWholeRead(connection)
      for (const file of subject === null ? [] : await listFiles(connection, subject.hypertable, null)) {
        const places = await search!.places(file)
        if (places.length === 0) continue
        const counting = await stillCounting(connection, file, places)
        rowsCold += counting.length
        files.push({ path: file.path, rows: places.length })
      }
      const { rows } = await connection.query(sql`
        select count(*)
        from ${identifier(definition.schema, definition.table)}
        where ${matchingSql(definition, input)}`)
      return Number(rows[0]![0] as bigint)
    },
  )
  const { rows } = await context.db.query(sql`
    select count(*) from tidemark.lake_trash where dataset = ${definition.name}::text`)
  const leftovers = await findLeftovers(context.db, definition, input.where)
  return { dataset: definition.name, rowsHot, rowsCold, files, trash: Number(rows[0]![0]), leftovers }
}
