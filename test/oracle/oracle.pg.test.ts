import { inject, it } from 'vitest'
import { createTestDatabase } from '../helpers/database.ts'
import { Difference, runEpisode } from './episode.ts'
import { tableNames } from './tables.ts'

/**
 * The short run of the oracle. The long one is `npm run oracle -- --steps 10000 --lane pg18`; docs/design/oracle.md says
 * what it covers.
 */
const steps = 100
const lane = inject('postgres').lane === 'pg15' ? 'pg15' : 'pg18'
const seeds = Array.from({ length: 2 }, () => Math.floor(Math.random() * 2 ** 31))

it.each(seeds)(
  `${tableNames.length} tables answer as a plain copy of their rows does, whatever happens to them (seed %i)`,
  async (seed) => {
    const base = await createTestDatabase({ empty: true })
    try {
      await runEpisode({ connectionString: base.connectionString, seed, steps })
    } catch (error) {
      if (!(error instanceof Difference)) throw error
      throw new Error(
        `${error.log.join('\n')}\n\n${error.message}\n\n` +
          `again: npm run oracle -- --lane ${lane} --seed ${seed} --steps ${steps} --episode ${steps}`,
        { cause: error.cause },
      )
    }
  },
  240_000,
)
