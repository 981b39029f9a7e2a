import type { Connection, Database } from '../postgres/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import { type Instant, overlaps, type TimeRange } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { BatchInsert, OnConflict, WrittenCounts } from './batch-contract.ts'
import { type Assignment, deleteSql, updateSql } from './change-rows.ts'
import { type Chunk, type ChunkMap, chunkAt, loadChunkMap } from './chunk-map.ts'
import type { ColdRows, OpenColdRows } from './cold-contract.ts'
import { boundSql } from './create-chunks.ts'
import { readUniqueKeys, type UniqueKey } from './unique-keys.ts'
import { columnsSql, presentIndexes, relationOf, type WritableTable } from './writable-table.ts'
import type { CopyGroup } from './write-batch.ts'
import type { DeleteInput } from './write-contract.ts'
import { StaleRouting } from './write-errors.ts'
import { addCounts, copyGroup, runInsert } from './write-statements.ts'

/** Keys that are looked for at once: some megabytes. */
const keysAtOnce = 50_000

/** Whether keys of rows are compared, as far as the declaration knows. */
export function isKeyed(definition: HypertableDefinition): boolean {
  return definition.primaryKey !== null || definition.indexes.some((index) => index.unique)
}

/** Whether a change of rows may concern a chunk: it has rows of them, or gets some because their time becomes `time`. */
export function isTouched(
  chunk: TimeRange,
  { range }: Pick<DeleteInput, 'range'>,
  time: Instant | undefined,
): boolean {
  return (
    range === null || overlaps(chunk, range) || (time !== undefined && chunk.from <= time && chunk.to > time)
  )
}

const coldOf = new WeakMap<ChunkMap, readonly Chunk[]>()

export function coldChunks(map: ChunkMap): readonly Chunk[] {
  let cold = coldOf.get(map)
  if (cold === undefined) {
    cold = map.chunks.filter((chunk) => chunk.state === 'cold')
    coldOf.set(map, cold)
  }
  return cold
}

/** Rows of one absence in a temporary table, with what PostgreSQL makes of them. */
interface Staged {
  readonly relation: Sql
  /** Places of the columns that are inserted. */
  readonly indexes: readonly number[]
  readonly rows: number
}

/**
 * Writes that may touch rows in the lake. One READ COMMITTED transaction:
 *
 * 1. Rows go into temporary tables; their SQL defaults are evaluated where a key has some.
 * 2. The catalog's rows of all chunks that are touched are locked, hot ones too: nothing moves from here on.
 * 3. Their keys are looked for in the files: an insert is refused or leaves them out, an upsert takes those rows back.
 * 4. The ordinary statement, through the table. The guards let it pass, which steps 2 and 3 have earned.
 */
export class ColdWriter {
  readonly #db: Database
  readonly #cold: ColdRows
  readonly #onNothingCold: () => void

  /** @param onNothingCold What the process remembers of the chunks is old: none of those that were touched is cold. */
  constructor(db: Database, cold: ColdRows, onNothingCold: () => void) {
    this.#db = db
    this.#cold = cold
    this.#onNothingCold = onNothingCold
  }

  write(
    table: WritableTable,
    definition: HypertableDefinition,
    groups: readonly CopyGroup[],
    options: {
      readonly onConflict: OnConflict
      readonly signal: AbortSignal | null
      readonly inTransaction: BatchInsert['inTransaction'] | null
    },
  ): Promise<WrittenCounts> {
    const { onConflict, signal, inTransaction } = options
    return this.#db.transaction({ mode: 'read committed', signal }, async (connection) => {
      const uniques = await readUniqueKeys(connection, definition)
      const before = await loadChunkMap(connection, definition)
      const isCold = (map: ChunkMap, range: TimeRange | null): boolean =>
        range === null || coldChunks(map).some((chunk) => overlaps(chunk.range, range))
      const direct = groups.filter((group) => !isCold(before, group.range))
      const late = groups.filter((group) => !direct.includes(group))
      const staged = await this.#stage(connection, table, uniques, late, onConflict)
      const touched = async (map: ChunkMap): Promise<bigint[]> => {
        const ids = new Set<bigint>()
        for (const chunk of map.chunks)
          if (direct.some(({ range }) => overlaps(chunk.range, range!))) ids.add(chunk.id)
        for (const { relation } of staged)
          for (const id of await chunksOf(connection, definition, relation, map)) ids.add(id)
        return [...ids]
      }
      const { open, map } = await this.#open(connection, definition, before, touched, signal)
      if (direct.some((group) => isCold(map, group.range))) throw new StaleRouting()
      const total = { inserted: 0, updated: 0, ignored: 0 }
      for (const { relation } of staged)
        for (const unique of uniques)
          await this.#meetKeys(connection, definition, open, relation, unique, onConflict)
      for (const group of direct)
        total.inserted += await copyGroup(connection, table, relationOf(table), group)
      for (const { relation, indexes, rows } of staged) {
        const counts = await runInsert(connection, table, indexes, null, relation, rows, onConflict)
        // ignored: also those that were left out before
        addCounts(total, counts)
      }
      await inTransaction?.(connection, total)
      await open.end()
      return total
    })
  }

  /** An update when there are assignments, otherwise a delete. Gives how many rows were changed. */
  change(
    table: WritableTable,
    definition: HypertableDefinition,
    input: DeleteInput,
    assignments: readonly Assignment[] | null,
    signal: AbortSignal | null,
  ): Promise<number> {
    const time = assignments?.find(({ index }) => index === table.timeIndex)?.value as Instant | undefined
    return this.#db.transaction({ mode: 'read committed', signal }, async (connection) => {
      const before = await loadChunkMap(connection, definition)
      const touched = (map: ChunkMap): bigint[] =>
        map.chunks.filter(({ range }) => isTouched(range, input, time)).map(({ id }) => id)
      const { open, map } = await this.#open(connection, definition, before, touched, signal)
      await open.liftMatching(input.where, input.range)
      const statement = assignments === null ? deleteSql(table, input) : updateSql(table, assignments, input)
      // Rows that come to lie in a cold chunk under another key.
      const into =
        time === undefined ? open.chunks : open.chunks.filter(({ id }) => id === chunkAt(map, time)?.id)
      const names = new Set((assignments ?? []).map(({ index }) => table.columns[index]!))
      const uniques = into.length === 0 ? [] : await readUniqueKeys(connection, definition, names)
      const count =
        uniques.length === 0
          ? (await connection.query(statement, { signal })).rowCount
          : await this.#changeKeys(connection, table, definition, open, into, uniques, statement, signal)
      await open.end()
      return count
    })
  }

  async #open(
    connection: Connection,
    definition: HypertableDefinition,
    before: ChunkMap,
    touched: (map: ChunkMap) => bigint[] | Promise<bigint[]>,
    signal: AbortSignal | null,
  ): Promise<{ open: OpenColdRows; map: ChunkMap }> {
    const ids = await touched(before)
    const open = await this.#cold.open(connection, definition, ids, signal)
    if (open.chunks.length === 0) this.#onNothingCold()
    // A chunk that was made since is not locked.
    const map = await loadChunkMap(connection, definition)
    if ((await touched(map)).some((id) => !ids.includes(id))) throw new StaleRouting()
    await connection.query(sql`select tidemark.begin_cold_write(${map.hypertableId}::int)`)
    return { open, map }
  }

  async #stage(
    connection: Connection,
    table: WritableTable,
    uniques: readonly UniqueKey[],
    groups: readonly CopyGroup[],
    onConflict: OnConflict,
  ): Promise<Staged[]> {
    const staged = new Map<string, Staged>()
    // What an upsert leaves to its default stays as it is where the key exists: only the key itself is written as evaluated.
    const keys =
      onConflict === 'update'
        ? table.keyIndexes
        : uniques.flatMap(({ columns }) => columns.map((name) => table.columns.indexOf(name)))
    for (const group of groups) {
      let stage = staged.get(group.absence)
      if (stage === undefined) {
        const name = `tidemark_staging_${staged.size}`
        const present = presentIndexes(table, group.absence)
        const indexes = table.indexes.filter((i) => present.includes(i) || keys.includes(i))
        const isComplete = uniques.every(({ columns }) =>
          columns.every((column) => present.includes(table.columns.indexOf(column))),
        )
        await connection.execute(
          isComplete
            ? sql`create temporary table ${identifier(name)} on commit drop as
                select ${columnsSql(table, present)} from ${relationOf(table)} where false`
            : sql`create temporary table ${identifier(name)} (like ${relationOf(table)} including defaults)
                on commit drop`,
        )
        stage = { relation: identifier('pg_temp', name), indexes, rows: 0 }
      }
      const rows = await copyGroup(connection, table, stage.relation, group)
      staged.set(group.absence, { ...stage, rows: stage.rows + rows })
    }
    return [...staged.values()]
  }

  /** Looks for the keys of the rows of a temporary table in the lake, and does what is to be done about them. */
  async #meetKeys(
    connection: Connection,
    definition: HypertableDefinition,
    open: OpenColdRows,
    relation: Sql,
    unique: UniqueKey,
    onConflict: OnConflict,
    into: readonly Chunk[] = open.chunks,
  ): Promise<void> {
    if (into.length === 0) return
    const names = join(
      unique.columns.map((name) => sql`s.${identifier(name)}`),
      ', ',
    )
    await connection.execute(sql`
      declare tidemark_keys no scroll cursor for
      select s.ctid::text, ${names}
      from ${relation} as s
      where ${inRanges(definition, into)}`)
    for (;;) {
      const { rows } = await connection.query(
        sql`fetch forward ${raw(String(keysAtOnce))} from tidemark_keys`,
      )
      if (rows.length === 0) break
      const found = await open.find(
        unique.columns,
        rows.map((row) => row.slice(1)),
      )
      const place = (key: number): string => rows[key]![0] as string
      if (onConflict === 'error' && found.length > 0) {
        const texts = join(
          unique.columns.map((name) => sql`s.${identifier(name)}::text`),
          ", ', ', ",
        )
        const { rows: shown } = await connection.query(sql`
          select concat(${texts}) from ${relation} as s where s.ctid = ${place(found[0]!.key)}::text::tid`)
        throw new TidemarkError('TM_DUPLICATE_KEY', {
          table: definition.name,
          detail: `Key (${unique.shown})=(${shown[0]![0] as string}) already exists`,
        })
      }
      if (onConflict === 'update') await open.lift(found)
      if (onConflict === 'ignore' && found.length > 0) {
        await connection.query(sql`
          delete from ${relation}
          where ctid = any (${found.map(({ key }) => place(key))}::text[]::tid[])`)
      }
      if (rows.length < keysAtOnce) break
    }
    await connection.execute('close tidemark_keys')
  }

  /** As PostgreSQL compares the keys of changed rows with those that it has, so they are compared with those in the lake. */
  async #changeKeys(
    connection: Connection,
    table: WritableTable,
    definition: HypertableDefinition,
    open: OpenColdRows,
    into: readonly Chunk[],
    uniques: readonly UniqueKey[],
    statement: Sql,
    signal: AbortSignal | null,
  ): Promise<number> {
    const columns = join(
      [...new Set([definition.time, ...uniques.flatMap((unique) => unique.columns)])].map((name) =>
        identifier(name),
      ),
      ', ',
    )
    await connection.execute(sql`
      create temporary table tidemark_changed on commit drop as
      select ${columns} from ${relationOf(table)} where false`)
    const { rows } = await connection.query(
      sql`
        with changed as (${statement} returning ${columns}),
        kept as (
          insert into pg_temp.tidemark_changed (${columns})
          select ${columns} from changed as s where ${inRanges(definition, into)}
        )
        select count(*) from changed`,
      { signal },
    )
    for (const unique of uniques)
      await this.#meetKeys(
        connection,
        definition,
        open,
        raw('pg_temp.tidemark_changed'),
        unique,
        'error',
        into,
      )
    return Number(rows[0]![0] as bigint)
  }
}

function inRanges(definition: HypertableDefinition, chunks: readonly Chunk[]): Sql {
  const list = (of: (range: TimeRange) => Instant): Sql =>
    sql`array[${join(
      chunks.map(({ range }) => boundSql(of(range))),
      ', ',
    )}]::timestamptz[]`
  const time = sql`s.${identifier(definition.time)}`
  return sql`exists (
    select from unnest(${list(({ from }) => from)}, ${list(({ to }) => to)}) as r (range_from, range_to)
    where ${time} >= r.range_from and ${time} < r.range_to
  )`
}

/** Chunks that hold rows of a temporary table, or lie right before them. */
async function chunksOf(
  connection: Connection,
  definition: HypertableDefinition,
  relation: Sql,
  map: ChunkMap,
): Promise<bigint[]> {
  if (map.chunks.length === 0) return []
  const starts = join(
    map.chunks.map(({ range }) => boundSql(range.from)),
    ', ',
  )
  const { rows } = await connection.query(sql`
    select distinct width_bucket(s.${identifier(definition.time)}, array[${starts}]::timestamptz[])
    from ${relation} as s`)
  return rows.flatMap(([bucket]) =>
    (bucket as number) === 0 ? [] : [map.chunks[(bucket as number) - 1]!.id],
  )
}
