import { expect, inject, it } from 'vitest'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { startStandby } from '../helpers/standby.ts'
import { startTestServer } from '../helpers/test-server.ts'
import { runStandby } from './standby.ts'

/** The short run. The long one is `npm run oracle -- --standby --rounds 200 --lane pg18`. */
const { lane } = inject('postgres')
const seed = Math.floor(Math.random() * 2 ** 31)

// a standby of the server of DATABASE_URL would need its data folder
it.skipIf(lane === 'pg-url')(
  `a reader on a standby is told what is right for its moment, or is refused (seed ${seed})`,
  async () => {
    const bin =
      lane === 'pg15' ? '/usr/lib/postgresql/15/bin' : (await prepareBinaries(await accountForServer())).bin
    const primary = await startTestServer(`primary-${lane}`, bin)
    try {
      const standby = await startStandby(primary, bin, lane)
      try {
        const db = createDatabase({ connectionString: primary.connectionString, max: 1 })
        await db.execute('create database standby template template0').finally(() => db.close())
        const url = new URL(primary.connectionString)
        url.pathname = '/standby'
        const { counts } = await runStandby({ connectionString: url.href, standby, seed, rounds: 4 })
        expect([...counts.keys()]).toContain('caught up: right')
      } finally {
        await standby.stop()
      }
    } finally {
      await primary.stop()
    }
  },
  240_000,
)
