import { expect, it } from 'vitest'
import { createLogger, humanLine, jobLog } from '../../src/observe/index.ts'
import { TidemarkError } from '../../src/util/errors.ts'

function testLogger(level: 'info' | 'debug' = 'info') {
  const lines: string[] = []
  const log = createLogger({ level, format: 'json', write: (line) => lines.push(line) })
  return { log, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

it('a line is one JSON object with time, level, message and what belongs to it', () => {
  const { log, lines, last } = testLogger()
  log.info({ dataset: 'metrics.cpu', ms: 3 }, 'frozen')
  log.debug('not at this level')
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/\}\n$/)
  expect(last()).toEqual({
    level: 'info',
    time: expect.any(String),
    dataset: 'metrics.cpu',
    ms: 3,
    msg: 'frozen',
  })
})

it('no secret is in a line, under whichever name and in whichever text it came', () => {
  const { log, lines, last } = testLogger()
  const key = `tm_${'a'.repeat(12)}_${'B'.repeat(43)}`
  const token = 'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl'
  log.info({ headers: { authorization: 'Basic x', cookie: 'a=b' }, password: 'hunter2' }, 'asked')
  log.info({ request: { headers: { authorization: 'Basic x', 'set-cookie': 'c' } } }, 'asked')
  log.info({ url: `/write?p=${key}"` }, `with ${key} and "${token}"`)
  log.error({ err: new Error(`refused "/live?ticket=abc"`, { cause: new Error(key) }) }, 'failed')
  const text = lines.join('')
  for (const secret of ['Basic x', 'a=b', 'hunter2', 'B'.repeat(43), 'c2lnbmF0dXJl', 'ticket=abc'])
    expect(text).not.toContain(secret)
  expect(JSON.parse(lines[2]!)).toMatchObject({ msg: `with tm_${'a'.repeat(12)}_[secret] and "[token]"` })
  expect(last()).toMatchObject({ err: { message: 'refused "/live?ticket=[secret]"' } })
})

it('an error is told with its code, message and causes, not with its parameters', () => {
  const { log, last } = testLogger()
  const cause = Object.assign(new Error('duplicate key'), {
    code: '23505',
    detail: 'Key (email)=(ada) exists',
  })
  log.error(
    { err: new TidemarkError('TM_DATABASE', { sqlstate: '23505', problem: 'p' }, { cause }) },
    'failed',
  )
  expect(last()).toMatchObject({
    err: { code: 'TM_DATABASE', cause: { code: '23505', message: 'duplicate key' } },
  })
  expect(JSON.stringify(last())).not.toContain('ada')
})

it('for people a line is the time, a mark, the message and its parts', () => {
  const entry = {
    level: 'warn',
    time: '2026-01-01T10:00:00.123Z',
    route: '/a',
    ms: 12,
    note: 'two words',
    rows: null,
  }
  expect(humanLine(`${JSON.stringify({ ...entry, msg: 'request' })}\n`)).toBe(
    '10:00:00.123 ! request route=/a ms=12 note="two words"\n',
  )
  expect(humanLine('not JSON\n')).toBe('not JSON\n')
  expect(
    humanLine('{"level":"error","msg":"failed","err":{"message":"why","stack":"Error: why\\n  at x"}}\n'),
  ).toBe('✗ failed\n  Error: why\n    at x\n')
})

it('jobs that failed are errors, those that did something info, the others debug', () => {
  const { log, lines } = testLogger('debug')
  const { onRun, onError } = jobLog(log)
  onRun({ name: 'freeze a', ms: 1.6, result: { chunks: 0, held: [] }, error: null })
  onRun({ name: 'freeze a', ms: 1.6, result: { chunks: 2, held: [] }, error: null })
  onRun({ name: 'freeze a', ms: 1.6, result: null, error: new Error('disk full') })
  onError(new Error('away'))
  expect(lines.map((line) => JSON.parse(line)).map(({ level, job, ms }) => [level, job, ms])).toEqual([
    ['debug', 'freeze a', 2],
    ['info', 'freeze a', 2],
    ['error', 'freeze a', 2],
    ['error', undefined, undefined],
  ])
})
