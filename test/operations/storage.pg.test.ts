import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Operation, StoredChunk } from '../../src/client/index.ts'
import { sql } from '../../src/util/sql.ts'
import { type OperationsWorld, openWorld, requests, rowsOf } from './world.ts'

let world: OperationsWorld
beforeAll(async () => {
  world = await openWorld()
  const { tm } = world.engine
  // past the retention, twice as old as it has to be for the lake, old enough for it, and young
  for (const day of ['2026-01-05', '2026-02-10', '2026-03-01', '2026-03-09'])
    await tm.insert(requests, rowsOf(day, 200))
})
afterAll(() => world?.close())

async function chunks(): Promise<readonly StoredChunk[]> {
  const { datasets } = await world.client.operations.storage()
  return datasets.find(({ name }) => name === 'metrics.requests')!.chunks
}
async function chunkOf(day: string): Promise<StoredChunk> {
  return (await chunks()).find(({ from }) => from === `${day}T00:00:00Z`)!
}
async function ended(begun: Operation): Promise<Operation> {
  await expect
    .poll(async () => (await world.client.operations.get(begun.id)).state, { interval: 50 })
    .not.toBe('running')
  return world.client.operations.get(begun.id)
}

describe('what will be done with a chunk', () => {
  it('is told with its time, and with what it waits for when that is over', async () => {
    const young = await chunkOf('2026-03-09')
    expect(young).toMatchObject({
      state: 'hot',
      isMoving: false,
      next: { act: 'freeze', at: '2026-03-17T00:00:00Z', waitsFor: null },
    })
    const written = await chunkOf('2026-03-01')
    expect(written.next).toMatchObject({ act: 'freeze', at: '2026-03-09T00:00:00Z' })
    expect(written.next!.waitsFor).toMatch(/^it was written to at .* nobody has written to it for 10 minutes/)
    // so old that nobody's writing is waited for
    const old = await chunkOf('2026-02-10')
    expect(old.next).toMatchObject({
      act: 'freeze',
      waitsFor: expect.stringMatching(/^no worker has run yet: start `tidemark worker`/),
    })
  })
})
