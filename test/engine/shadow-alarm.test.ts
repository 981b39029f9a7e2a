import { once } from 'node:events'
import { expect, it } from 'vitest'
import { ShadowChecks } from '../../src/engine/shadow-checks.ts'
import { type Answer, parseQuery } from '../../src/query/index.ts'
import { hypertable, t } from '../../src/schema/index.ts'
import { systemClock } from '../../src/time/index.ts'

const requests = hypertable('metrics.requests', {
  columns: { time: t.timestamptz(), host: t.text() },
  time: 'time',
})
const answerOf = (n: number) => ({ rows: [{ n }], columns: [], cursor: null, plan: {} }) as unknown as Answer

it('a wrong answer is told of even when its alarm cannot be written', async () => {
  const checks = new ShadowChecks({
    share: 1,
    timeoutMs: 1000,
    compute: async () => answerOf(2),
    raise: () => Promise.reject(new Error('permission denied for table alarm')),
  })
  const node = parseQuery({ select: { n: { fn: 'count' } } }, { dataset: requests, clock: systemClock })
  const warned = once(process, 'warning')
  const answer = await checks.read(node, { timeoutMs: 1000, signal: null }, async ({ answered }) => {
    await answered(answerOf(1), { id: '1:1:', takenAt: 0n })
    return answerOf(1)
  })
  expect(answer.rows).toEqual([{ n: 1 }])
  const [warning] = (await warned) as [Error & { code: string; detail: string }]
  expect(warning).toMatchObject({ code: 'TM_SHADOW', detail: 'permission denied for table alarm' })
  expect(warning.message).toContain('metrics.requests')
  expect(checks.counts).toMatchObject({ checked: 1, different: 1, failed: 0 })
})
