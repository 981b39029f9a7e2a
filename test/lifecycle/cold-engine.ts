import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ColdRows,
  createHotTier,
  createHotWriter,
  type HotWriter,
  withReadSnapshot,
} from '../../src/hot/index.ts'
import {
  createColdTier,
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeFiles,
  type ObjectStore,
} from '../../src/lake/index.ts'
import { createLifecycle, type Lifecycle, type LifecycleOptions } from '../../src/lifecycle/index.ts'
import { executeQuery, parseQuery, queryLimits } from '../../src/query/index.ts'
import type { HypertableDefinition } from '../../src/schema/index.ts'
import { fixedClock, parseInstant } from '../../src/time/index.ts'
import { createTestDatabase, type TestDatabase } from '../helpers/database.ts'
import { createTestHypertable, testChunks } from '../hot/create-test-hypertable.ts'

type Row = Readonly<Record<string, unknown>>

/** One process: a writer and a lifecycle over the database and the lake of the fixture, with real files. */
export interface Process {
  readonly lifecycle: Lifecycle
  readonly writer: HotWriter
}

export interface ColdEngine extends Process {
  readonly test: TestDatabase
  readonly files: LakeFiles
  readonly store: ObjectStore
  readonly duckdb: DuckDB
  another(options?: Partial<LifecycleOptions>, wrap?: (coldRows: ColdRows) => ColdRows): Process
  /** Every row, hot and cold, as `tm.query` reads it. */
  rows(definition: HypertableDefinition): Promise<Row[]>
  close(): Promise<void>
}

const clock = fixedClock(parseInstant('2026-01-15T12:00:00Z'))

export async function createColdEngine(...definitions: HypertableDefinition[]): Promise<ColdEngine> {
  const test = await createTestDatabase({ max: 16 })
  for (const definition of definitions) await createTestHypertable(test.db, definition)
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-lake-'))
  const duckdb = createDuckDB({ threads: 1, memoryBytes: 256 * 1024 * 1024 })
  const store = createFolderStore({ dir })
  const files = createLakeFiles({ duckdb, store })
  const tiers = [createHotTier(), createColdTier({ duckdb, store })]
  const limits = queryLimits({ maxRows: 100_000 })
  const another: ColdEngine['another'] = (options = {}, wrap = (coldRows) => coldRows) => {
    const chunks = testChunks(test.db)
    const lifecycle = createLifecycle({ db: test.db, files, store, chunks, clock, ...options })
    return { lifecycle, writer: createHotWriter({ db: test.db, chunks, cold: wrap(lifecycle.coldRows) }) }
  }
  return {
    ...another(),
    test,
    files,
    store,
    duckdb,
    another,
    async rows(definition) {
      const columns = Object.keys(definition.columns)
      const node = parseQuery({ columns, limit: 100_000 }, { dataset: definition, clock, limits })
      const answer = await withReadSnapshot(
        test.db,
        { timeoutMs: 30_000, signal: null, dataset: definition },
        (snapshot) => executeQuery(node, { tiers, snapshot, clock, signal: null, limits }),
      )
      return answer.rows as Row[]
    },
    async close() {
      await duckdb.close()
      await test.drop()
      await rm(dir, { recursive: true })
    },
  }
}
