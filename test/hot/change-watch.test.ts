import { expect, it } from 'vitest'
import { createChangeWatch } from '../../src/hot/index.ts'
import type { PostgresSnapshot } from '../../src/hot/read-snapshot.ts'
import { hypertable, t } from '../../src/schema/index.ts'

const requests = hypertable('metrics.requests', { columns: { time: t.timestamptz() }, time: 'time' })

/** A server that answers `tidemark.changes_since` of a table that nobody writes into. */
function createServer() {
  const server = { history: 'first', epoch: 7n, snapshot: '10:10:' }
  const snapshot = {
    kind: 'postgres',
    database: {},
    catalogVersion: async () => '1:7:0:all',
    query: async ({ parts }: { parts: readonly { readonly kind: string; readonly value?: unknown }[] }) => {
      const values = parts.flatMap((part) => (part.kind === 'value' ? [part.value] : []))
      if (values.length === 0) return { rows: [[true]] }
      const [, , position, epoch] = values
      const gone = epoch === server.epoch ? [null, null] : [[], []]
      const changed = position === null ? [false, null, null] : [true, [], []]
      return { rows: [[server.snapshot, server.history, server.epoch, ...gone, ...changed]] }
    },
  } as unknown as PostgresSnapshot
  return { server, snapshot }
}

it('a server that was started again is followed again', async () => {
  const { server, snapshot } = createServer()
  const watch = createChangeWatch()
  const look = () => watch.look(requests, { snapshot, signal: null })
  const before = await look()
  expect(before).toMatchObject({ isMoment: true })
  server.history = 'second'
  expect(await look()).toBeNull()
  const after = await look()
  expect(after).toMatchObject({ isMoment: true })
  expect(after!.history).toBeGreaterThan(before!.history)
  // nothing that was kept before is right any more
  expect(before!.changedSince(0)).toBeNull()
})
