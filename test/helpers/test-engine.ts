import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTidemark, type Tidemark } from '../../src/engine.ts'
import type { TidemarkConfig } from '../../src/schema/index.ts'
import type { Clock } from '../../src/time/index.ts'
import { createTestDatabase, type TestDatabase } from './database.ts'

/** An engine that has migrated, with a database and a folder of its own. */
export interface TestEngine<C extends TidemarkConfig = TidemarkConfig> {
  readonly tm: Tidemark<C>
  readonly test: TestDatabase
  /** Where the configuration would lie: `lake.dir` is relative to it. */
  readonly root: string
  close(): Promise<void>
}

/**
 * @example
 * let engine: TestEngine<typeof config>
 * beforeEach(async () => { engine = await createTestEngine(config) })
 * afterEach(() => engine.close())
 */
export async function createTestEngine<const C extends TidemarkConfig>(
  config: C,
  options: { readonly clock?: Clock } = {},
): Promise<TestEngine<C>> {
  const test = await createTestDatabase()
  const root = await mkdtemp(join(tmpdir(), 'tidemark-engine-'))
  const tm = await createTidemark(config, { ...options, connectionString: test.connectionString, root })
  await tm.migrate()
  return {
    tm,
    test,
    root,
    async close() {
      await tm.close()
      await test.drop()
      await rm(root, { recursive: true, force: true })
    },
  }
}
