import { inject, it } from 'vitest'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { runCrashLane } from './crash/crash-lane.ts'
import { startDurableServer } from './crash/durable-server.ts'

/** The short run. The long one is `npm run oracle -- --crash --kills 500 --lane pg18`. */
const { lane } = inject('postgres')
const seed = Math.floor(Math.random() * 2 ** 31)

// the server of DATABASE_URL is not ours to kill
it.skipIf(lane === 'pg-url')(
  `what was acknowledged survives the death of the process, the server, or both (seed ${seed})`,
  async () => {
    const bin =
      lane === 'pg15' ? '/usr/lib/postgresql/15/bin' : (await prepareBinaries(await accountForServer())).bin
    const server = await startDurableServer(bin)
    try {
      const db = createDatabase({ connectionString: server.connectionString, max: 1 })
      await db.execute('create database crash template template0').finally(() => db.close())
      const url = new URL(server.connectionString)
      url.pathname = '/crash'
      await runCrashLane({ server, connectionString: url.href, seed, kills: 8, forMs: 20_000 })
    } finally {
      await server.stop()
    }
  },
  240_000,
)
