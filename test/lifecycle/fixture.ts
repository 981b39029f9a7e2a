import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { type ChunkManager, createHotWriter, type HotWriter } from '../../src/hot/index.ts'
import type { LakeFiles, ObjectStore } from '../../src/lake/index.ts'
import { createFolderStore } from '../../src/lake/store/folder.ts'
import { createLifecycle, type Lifecycle, type LifecycleOptions } from '../../src/lifecycle/index.ts'
import type { Queryable } from '../../src/postgres/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { type FixedClock, fixedClock, parseInstant } from '../../src/time/index.ts'
import { identifier, sql } from '../../src/util/sql.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, readings, testChunks } from '../hot/create-test-hypertable.ts'
import { samples } from './fixture-tables.ts'
import { createPlainFiles, parseTuples } from './plain-files.ts'

export { readings, samples }

export interface Fixture {
  readonly test: TestDatabase
  readonly store: ObjectStore
  readonly files: LakeFiles
  readonly chunks: ChunkManager
  readonly writer: HotWriter
  readonly clock: FixedClock
  readonly lifecycle: Lifecycle
  readonly dir: string
  /** Another worker of the same database and lake. */
  another(options?: Partial<LifecycleOptions>): Lifecycle
  drop(): Promise<void>
}

export const firstDay = parseInstant('2026-01-01T00:00:00Z')

export async function createFixture(...definitions: HypertableDefinition[]): Promise<Fixture> {
  const test = await createTestDatabase()
  for (const definition of definitions) await createTestHypertable(test.db, definition)
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-lake-'))
  const store = createFolderStore({ dir })
  const files = createPlainFiles(store)
  const chunks = testChunks(test.db)
  const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))
  const another = (options: Partial<LifecycleOptions> = {}): Lifecycle =>
    createLifecycle({ db: test.db, files, store, chunks, clock, ...options })
  return {
    test,
    store,
    files,
    chunks,
    writer: createHotWriter({ db: test.db, chunks }),
    clock,
    lifecycle: another(),
    dir,
    another,
    async drop() {
      await test.drop()
      await rm(dir, { recursive: true })
    },
  }
}

/** `count` rows of a day, a minute apart, sensors `s0`, `s1`, … */
export function day(date: string, count = 3, prefix = 's') {
  return Array.from({ length: count }, (_, i) => ({
    time: parseInstant(`${date}T00:00:00Z`) + BigInt(i) * 60_000_000n,
    tenant: 't1',
    sensor: `${prefix}${i}`,
    value: i,
  }))
}

/** Sensors of every row that the connection's snapshot sees, in PostgreSQL (H) and in the lake (C), sorted. */
export async function seen(
  fixture: Pick<Fixture, 'files'>,
  db: Queryable,
  definition: HypertableDefinition,
): Promise<string[]> {
  const { rows: hot } = await db.query(
    sql`select sensor from ${identifier(definition.schema, definition.table)}`,
  )
  const { rows: files } = await db.query(sql`
    select
      f.path, f.row_count, f.bytes,
      coalesce((select array_agg(p order by p) from tidemark.lake_deletion as d, unnest(d.positions) as p where d.file_id = f.id), '{}')::float8[]
    from tidemark.lake_file as f
    join tidemark.hypertable as h on h.id = f.hypertable_id
    where h.schema_name = ${definition.schema}::text and h.table_name = ${definition.table}::text`)
  const cold: string[] = []
  const at = Object.keys(definition.columns).indexOf('sensor')
  for (const [path, rowCount, bytes, positions] of files as unknown as [string, bigint, bigint, number[]][]) {
    const file = { path, rowCount: Number(rowCount), bytes: Number(bytes) } as never
    const pieces: Uint8Array[] = []
    const choice = { kind: 'without', positions } as const
    for await (const piece of fixture.files.rows({ definition, file, choice, signal: null }))
      pieces.push(piece)
    for (const tuple of parseTuples(Buffer.concat(pieces))) cold.push(`C ${tuple[at]!.toString('utf8')}`)
  }
  return [...hot.map(([sensor]) => `H ${sensor as string}`), ...cold].sort()
}

/** Until every cold chunk has lost its partition: a snapshot of somebody else may hold it up for a while. */
export async function dropPartitions(fixture: Fixture, definition: HypertableDefinition): Promise<void> {
  const lifecycle = fixture.another({ settings: { emptyShare: 0 } })
  await expect
    .poll(
      async () => {
        await lifecycle.reclaim(definition)
        const { rows } = await fixture.test.db.query(sql`
          select count(*) from tidemark.chunk as k
          join tidemark.hypertable as h on h.id = k.hypertable_id and h.table_name = ${definition.table}::text
          where k.state = 'cold' and k.relation_name is not null`)
        return rows[0]![0]
      },
      { timeout: 20_000, interval: 200 },
    )
    .toBe(0n)
}

/** Chunks as `state files`, with `-` where there is no partition, in the order of time. */
export async function states(db: Queryable): Promise<string[]> {
  const { rows } = await db.query(sql`
    select
      k.state || ' ' || (select count(*) from tidemark.lake_file as f where f.chunk_id = k.id)
      || case when k.relation_name is null then ' -' else '' end
    from tidemark.chunk as k
    order by k.hypertable_id, k.range_from`)
  return rows.map(([text]) => text as string)
}

export async function epochOf(db: Queryable): Promise<bigint> {
  const { rows } = await db.query(sql`select sum(epoch)::int8 from tidemark.hypertable`)
  return rows[0]![0] as bigint
}

export async function count(db: Queryable, relation: string): Promise<number> {
  const { rows } = await db.query(sql`select count(*) from ${identifier(...relation.split('.'))}`)
  return Number(rows[0]![0])
}
