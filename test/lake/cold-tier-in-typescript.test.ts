import { createColdTier } from '../../src/lake/tier.ts'
import { tierSuite } from '../suites/tier.ts'
import { createColdFixture } from './cold-fixture.ts'

tierSuite(
  'cold, computed in TypeScript',
  async (dataset, rows) => {
    const fixture = await createColdFixture()
    if (dataset.kind === 'hypertable') await fixture.add(dataset, rows)
    return {
      tier: createColdTier({ duckdb: fixture.duckdb, store: fixture.store, computeIn: 'typescript' }),
      withSnapshot: (use) => use(fixture.snapshot()),
      close: () => fixture.close(),
    }
  },
  { plainTables: false, randomQueries: 40 },
)
