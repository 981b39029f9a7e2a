import { createHotTier, withReadSnapshot } from '../../src/hot/index.ts'
import { createTestDatabase } from '../helpers/database.ts'
import { tierSuite } from '../suites/tier.ts'
import { start } from '../suites/tier-data.ts'
import { chunksFrom, createForReading, day, insertForReading } from './reading-fixture.ts'

// Three chunks from the day on in which the rows begin; what lies before and behind is in the default partition.
tierSuite('hot', async (dataset, rows) => {
  const base = await createTestDatabase()
  await createForReading(base.db, dataset, chunksFrom(start - day / 2n, day, 3))
  await insertForReading(base.db, dataset, rows)
  const prefetched = dataset.kind === 'hypertable' ? dataset : null
  return {
    tier: createHotTier(),
    withSnapshot: (use) => withReadSnapshot(base.db, { timeoutMs: 30_000, dataset: prefetched }, use),
    close: () => base.drop(),
  }
})
