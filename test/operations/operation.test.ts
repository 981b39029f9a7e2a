import { describe, expect, it } from 'vitest'
import type { Operation } from '../../src/client/index.ts'
import { Operations, type PlannedOperation } from '../../src/ops/operation.ts'
import { TidemarkError } from '../../src/util/errors.ts'

function desk(maxRunning = 2, keep = 3) {
  let made = 0
  return new Operations({ maxRunning, keep, newId: () => `op${++made}`, now: () => '2026-03-01T10:00:00Z' })
}

/** Runs until it is told to end, or is stopped. */
function work(dataset: string, answer: () => Promise<{ text: string }> = async () => ({ text: 'done' })) {
  let end = (): void => {}
  const told = new Promise<void>((resolve) => {
    end = resolve
  })
  const planned: PlannedOperation = {
    kind: 'freeze',
    dataset,
    request: { kind: 'freeze', dataset },
    run: async ({ signal, progress }) => {
      progress({ done: 0, total: 1, unit: 'chunks', text: 'begun', secondsLeft: null })
      await Promise.race([told, new Promise((resolve) => signal.addEventListener('abort', resolve))])
      if (signal.aborted) throw new TidemarkError('TM_CANCELLED', { what: 'freezing' })
      return answer()
    },
  }
  return { planned, end: () => end() }
}
const ignore = async (): Promise<void> => {}

describe('operations of a process', () => {
  it('are so many at once and no more, and the same is not begun twice', async () => {
    const operations = desk()
    const [a, b, c] = [work('a'), work('b'), work('c')]
    const { id } = operations.start(a.planned, 'ada', ignore)
    expect(operations.get(id)).toMatchObject({ state: 'running', progress: { text: 'begun' }, by: 'ada' })
    expect(() => operations.start(work('a').planned, 'ada', ignore)).toThrow(/runs already, as operation op1/)
    operations.start(b.planned, 'ada', ignore)
    expect(() => operations.start(c.planned, 'ada', ignore)).toThrow(/2 operations run/)
    a.end()
    await expect.poll(() => operations.get(id).state).toBe('done')
    expect(operations.start(c.planned, 'ada', ignore).state).toBe('running')
    await operations.close()
  })

  it('are kept when they have ended, the last ones', async () => {
    const operations = desk()
    for (let i = 0; i < 6; i++) {
      const { planned, end } = work('a')
      const { id } = operations.start(planned, 'ada', ignore)
      end()
      await expect.poll(() => operations.get(id).state).toBe('done')
    }
    const running = work('a')
    operations.start(running.planned, 'ada', ignore)
    expect(operations.all.map(({ id }) => id)).toEqual(['op7', 'op6', 'op5', 'op4'])
    expect(() => operations.get('op1')).toThrow(TidemarkError)
    await operations.close()
  })

  it('that fail say why, and what is unexpected only that it is', async () => {
    const operations = desk()
    const failed: Operation[] = []
    const { planned, end } = work('a', async () => {
      throw new TidemarkError('TM_LAKE', { what: 'x', problem: 'is damaged', todo: 'look' })
    })
    const { id } = operations.start(planned, 'ada', async (operation) => void failed.push(operation))
    end()
    await expect.poll(() => operations.get(id).state).toBe('failed')
    expect(operations.get(id)).toMatchObject({ report: null, error: { code: 'TM_LAKE' } })
    await expect.poll(() => failed.map(({ error }) => error?.code)).toEqual(['TM_LAKE'])
  })

  it('are stopped and waited for when the process ends, and none is begun then', async () => {
    const operations = desk()
    const { id } = operations.start(work('a').planned, 'ada', ignore)
    await operations.close()
    expect(operations.get(id)).toMatchObject({ state: 'cancelled', endedAt: expect.any(String) })
    expect(() => operations.start(work('b').planned, 'ada', ignore)).toThrow(/the process is ending/)
  })
})
