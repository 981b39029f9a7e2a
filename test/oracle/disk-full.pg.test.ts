import { expect, inject, it } from 'vitest'
import { createTestDatabase } from '../helpers/database.ts'
import { mountSmallDisk, runDiskFull } from './disk-full.ts'

/** The short run. The long one is `npm run oracle -- --disk-full --rounds 200 --lane pg18`. */
const seed = Math.floor(Math.random() * 2 ** 31)
const mounted = mountSmallDisk(2 * 1024 * 1024)
if ('refusal' in mounted) console.warn(`skipped on ${inject('postgres').lane}: ${mounted.refusal}`)

it.skipIf('refusal' in mounted)(
  `a freeze onto a full disk fails, rows stay, and it goes on when there is room (seed ${seed})`,
  async () => {
    if ('refusal' in mounted) return
    const base = await createTestDatabase({ empty: true })
    try {
      const { counts } = await runDiskFull({
        connectionString: base.connectionString,
        disk: mounted.disk,
        seed,
        rounds: 4,
      })
      expect([...counts.keys()]).toContain('freeze: TM_LAKE')
    } finally {
      mounted.disk.unmount()
    }
  },
  240_000,
)
