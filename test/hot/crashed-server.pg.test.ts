import { expect, inject, it } from 'vitest'
import { createChangeWatch, withReadSnapshot } from '../../src/hot/index.ts'
import { migrate } from '../../src/migrate/index.ts'
import { accountForServer } from '../../src/postgres/embedded/account.ts'
import { prepareBinaries } from '../../src/postgres/embedded/binaries.ts'
import { createDatabase } from '../../src/postgres/index.ts'
import { raw } from '../../src/util/sql.ts'
import { startTestServer } from '../helpers/test-server.ts'
import { readings } from './create-test-hypertable.ts'

const { lane } = inject('postgres')

// the server of DATABASE_URL is not ours to crash
it.skipIf(lane === 'pg-url')(
  'a crash of the server, after which it goes on by itself, begins a new catalog and a new history',
  async () => {
    const bin =
      lane === 'pg15' ? '/usr/lib/postgresql/15/bin' : (await prepareBinaries(await accountForServer())).bin
    const server = await startTestServer(`crashed-${lane}`, bin)
    const db = createDatabase({ connectionString: server.connectionString, max: 2 })
    try {
      await migrate(db, [readings])
      // servers of tests do not wait for the disk at COMMIT
      await db.execute('checkpoint')
      const watch = createChangeWatch()
      const look = () =>
        withReadSnapshot(db, { timeoutMs: 30_000, dataset: readings }, async (snapshot) => ({
          version: await snapshot.catalogVersion(readings),
          view: await watch.look(readings, { snapshot, signal: null }),
        }))
      const started = async () =>
        (await db.query(raw('select pg_postmaster_start_time()::text, pg_backend_pid()'))).rows[0]!
      const before = await look()
      expect((await look()).version).toBe(before.version)
      expect(before.view).toMatchObject({ isMoment: true })

      const [startedAt, pid] = await started()
      process.kill(pid as number, 'SIGKILL')
      // the postmaster ends every other backend, and takes connections again when it has recovered
      const isBack = () =>
        started().then(
          ([at]) => at,
          () => null,
        )
      await expect.poll(isBack).toBe(startedAt)

      const after = await look()
      expect(after.version).not.toBe(before.version)
      // what it says first may rest on what was known before
      await expect.poll(async () => (await look()).view?.isMoment).toBe(true)
      const { view } = await look()
      expect(view!.history).toBeGreaterThan(before.view!.history)
      // nothing that was kept before is right any more
      expect(before.view!.changedSince(0)).toBeNull()
    } finally {
      await db.close()
      await server.stop()
    }
  },
)
