import { hasTableGuard } from '../hot/index.ts'
import { type Subject, surveyChunks, tableObstacle } from '../lifecycle/index.ts'
import type { Queryable } from '../postgres/index.ts'
import { sql } from '../util/sql.ts'
import type { Check, Found } from './check.ts'
import { lookAtFolder } from './lake-folder.ts'
import { findSubjects } from './subjects.ts'

const gibibyte = 1024 ** 3

/** What goes wrong with rows that move. In the order in which it matters. */
export const lakeChecks: Readonly<Record<string, Check>> = {
  'lake folder': async ({ connection, lake, definitions }) => {
    const { rows } = await connection.query(sql`select count(*) from tidemark.lake_file`)
    const files = Number(rows[0]![0])
    const isWanted =
      files > 0 || definitions.some((each) => each.kind === 'hypertable' && each.freeze !== null)
    if (!isWanted) return ok('nothing is frozen, and nothing is declared to be')
    const { exists, isWritable, freeBytes, totalBytes } = await lookAtFolder(lake.dir)
    if (!exists && files > 0) {
      return {
        level: 'fail',
        message: `${lake.store.description} is not there, and the catalog names ${files} files of it`,
        todo: 'mount it, or give the folder that holds them (lake.dir); queries of those ranges fail until then',
      }
    }
    if (!isWritable) {
      return {
        level: 'fail',
        message: `${lake.store.description} is not writable for this user: nothing can be frozen`,
        todo: 'let the user that runs the worker write to it',
      }
    }
    const largest = await largestHotChunk(connection)
    const free = `${Math.floor((freeBytes / totalBytes) * 100)} % (${toGibibytes(freeBytes)}) of its file system free`
    if (freeBytes < Math.max(gibibyte, largest) || freeBytes < totalBytes / 20) {
      return {
        level: freeBytes < largest ? 'fail' : 'warn',
        message: `${lake.store.description} has ${free}; the largest chunk in PostgreSQL takes ${toGibibytes(largest)}`,
        todo: 'free space, or move the lake to a larger disk; a freeze that does not fit fails and changes nothing',
      }
    }
    return ok(`${lake.store.description} is writable, ${free}`)
  },

  freezing: async ({ connection, definitions }) => {
    const found: Found[] = []
    for (const subject of await findSubjects(connection, definitions)) {
      if (subject.definition.freeze === null) continue
      found.push(...(await obstacles(connection, subject)))
    }
    return found.length === 0 ? ok('nothing forbids that chunks are frozen') : found
  },

  moves: async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select h.schema_name || '.' || h.table_name, k.id, k.move_failures, k.move_error
      from tidemark.chunk as k
      join tidemark.hypertable as h on h.id = k.hypertable_id
      where k.move_failures > 0
      order by k.move_failures desc, k.id
      limit 20`)
    if (rows.length === 0) return ok('no chunk failed to move')
    return rows.map(([table, chunk, failures, error]) => ({
      level: 'warn' as const,
      message: `chunk ${chunk} of ${table} could not be moved, ${failures} times in a row: ${error}`,
      todo: 'its rows are where they were; the worker tries again',
    }))
  },

  guards: async ({ connection, definitions }) => {
    const found: Found[] = []
    for (const { definition, hypertable } of await findSubjects(connection, definitions)) {
      const { rows } = await connection.query(sql`
        select exists (select from tidemark.chunk where hypertable_id = ${hypertable.id}::int and state = 'cold')`)
      if (rows[0]![0] !== true || (await hasTableGuard(connection, hypertable))) continue
      found.push({
        level: 'fail',
        message: `${definition.name}: the guard against writes to frozen rows is missing or disabled`,
        todo: 'freeze any chunk of it: that makes the guard again; until then an UPDATE or DELETE misses frozen rows in silence',
      })
    }
    return found.length === 0 ? ok('frozen rows are guarded against plain SQL') : found
  },

  'lake files': async ({ connection, lake, definitions }) => {
    const subjects = await findSubjects(connection, definitions)
    const { files, bytes, problems } = await lake.lifecycle.verify(
      subjects.map(({ definition }) => definition),
      { content: false },
    )
    const strays = problems.filter(({ kind }) => kind === 'stray')
    const wrong = problems.filter(({ kind }) => kind !== 'stray' && kind !== 'guard')
    const found: Found[] = wrong.slice(0, 20).map(({ path, problem }) => ({
      level: 'fail',
      message: path === null ? problem : `${path}: ${problem}`,
      todo: 'restore the file from a copy; `tidemark verify` reads every file',
    }))
    if (wrong.length > 20)
      found.push({
        level: 'fail',
        message: `and ${wrong.length - 20} more`,
        todo: '`tidemark verify` lists them',
      })
    if (strays.length > 0)
      found.push({
        level: 'note',
        message: `${strays.length} files of the lake are named by no catalog`,
        todo: 'the worker removes them after lake.keepStray; they are of writers that were stopped',
      })
    if (found.length > 0) return found
    return ok(
      files === 0
        ? 'no files'
        : `all ${files} files are there, ${toGibibytes(bytes)} (contents: tidemark verify)`,
    )
  },

  'lake trash': async ({ connection }) => {
    const { rows } = await connection.query(sql`
      select
        count(*), coalesce(sum(bytes), 0)::float8,
        (select j.last_result ->> 'held' from tidemark.job as j where j.name = 'sweep')
      from tidemark.lake_trash`)
    const [files, bytes, held] = rows[0] as [bigint, number, string | null]
    if (held !== null) {
      return {
        level: 'warn',
        message: `${files} files wait for their removal: ${held}`,
        todo: 'see `tidemark sweep --help`',
      }
    }
    if (files === 0n) return ok('no file waits for its removal')
    return ok(`${files} files (${toGibibytes(bytes)}) are out of the catalog and stay for lake.keepDropped`)
  },
}

async function obstacles(connection: Queryable, subject: Subject): Promise<Found[]> {
  const { definition } = subject
  const whole = await tableObstacle(connection, subject)
  if (whole !== null) return [{ level: 'fail', message: whole, todo: null }]
  const blocked = (await surveyChunks(connection, subject, () => true)).filter(
    ({ obstacle }) => obstacle !== null,
  )
  const byReason = new Map<string, bigint[]>()
  for (const { id, obstacle } of blocked) {
    const reason = obstacle as string
    byReason.set(reason, [...(byReason.get(reason) ?? []), id])
  }
  return [...byReason].map(([reason, chunks]) => ({
    level: 'warn',
    message: `${chunks.length} chunks of ${definition.name} (${chunks.slice(0, 3).join(', ')}${chunks.length > 3 ? ', …' : ''}) cannot be frozen: ${reason}`,
    todo: null,
  }))
}

async function largestHotChunk(connection: Queryable): Promise<number> {
  const { rows } = await connection.query(sql`
    select coalesce(max(pg_total_relation_size(c.oid)), 0)::float8
    from tidemark.chunk as k
    join pg_class as c on c.relname = k.relation_name and c.relnamespace = 'tidemark_chunks'::regnamespace
    where k.state in ('hot', 'freezing')`)
  return rows[0]![0] as number
}

function ok(message: string): Found {
  return { level: 'ok', message, todo: null }
}

function toGibibytes(bytes: number): string {
  return bytes < gibibyte ? `${(bytes / 1024 ** 2).toFixed(1)} MiB` : `${(bytes / gibibyte).toFixed(1)} GiB`
}
