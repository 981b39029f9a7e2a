import { describe, expect, it } from 'vitest'
import { draftOf, readRow, rowOf } from '../../dashboard/src/pages/dead-letters/draft.ts'
import { concernsOf } from '../../dashboard/src/pages/health/judge.ts'
import { planOf } from '../../dashboard/src/pages/health/plan-of.ts'
import { emptyDraft, problemsOf, statusOf, wantedOf } from '../../dashboard/src/pages/keys/key-status.ts'
import { adviceOf, instantsIn, pageFor } from '../../dashboard/src/pages/operate/advice-text.ts'
import type { ApiKeyEntry, ColumnInfo, Overview } from '../../src/client/index.ts'

const commandsIn = (text: string): string[] =>
  adviceOf(text)
    .filter(({ kind }) => kind === 'command')
    .map((piece) => piece.text)

describe('advice', () => {
  it('has its commands ready to be copied, and loses no word', () => {
    expect(commandsIn('run "tidemark alarms"; "tidemark alarms ack ID" when it is seen to')).toEqual([
      'tidemark alarms',
      'tidemark alarms ack ID',
    ])
    expect(commandsIn('`tidemark verify` lists them')).toEqual(['tidemark verify'])
    expect(commandsIn('end it, or: select pg_terminate_backend(17)')).toEqual([
      'select pg_terminate_backend(17)',
    ])
    expect(commandsIn('look, and grant nothing')).toEqual([])
    expect(commandsIn('turn them on')).toEqual([])
    const text = 'as a superuser: alter role x nobypassrls; then `tidemark doctor`'
    expect(
      adviceOf(text)
        .map((piece) => piece.text)
        .join(''),
    ).toBe(text.replaceAll('`', ''))
  })

  it('names instants, so that they can be shown in the reader’s zone', () => {
    expect(instantsIn('again at 2026-11-21T00:31:28.019916Z, or so')).toEqual([
      { isInstant: false, text: 'again at ' },
      { isInstant: true, text: '2026-11-21T00:31:28.019916Z' },
      { isInstant: false, text: ', or so' },
    ])
    expect(instantsIn('')).toEqual([])
  })

  it('leads to the page that shows more', () => {
    expect(pageFor('dead letters')?.to).toBe('/dead-letters')
    expect(pageFor('continuous aggregates')?.to).toBe('/aggregates')
    expect(pageFor('durability')).toBeNull()
  })
})

describe('a row that is edited', () => {
  const column = (name: string, type: string, nullable = false): ColumnInfo => ({
    ...{ name, type, nullable },
    hasDefault: false,
    comment: null,
  })
  const columns = [
    column('time', 'timestamptz'),
    column('n', 'int4'),
    column('big', 'int8', true),
    column('ok', 'bool', true),
    column('props', 'jsonb', true),
    column('tags', 'text[]', true),
  ]

  it('comes back as it was when nothing is changed', () => {
    const row = {
      time: '2026-01-01T00:00:00Z',
      n: 5,
      big: '9007199254740993',
      ok: false,
      props: { a: [1, null] },
      tags: ['x', 'y'],
      stray: { b: 1 },
    }
    expect(rowOf(draftOf(row, columns))).toEqual({ row, problems: {} })
    expect(rowOf(draftOf({ n: null }, columns)).row).toEqual({ n: null })
  })

  it('is read by the types of its columns, and says what is no JSON', () => {
    const typed = draftOf({}, columns).map((field) => ({
      ...field,
      holds: 'value' as const,
      text: { n: ' 7 ', big: '7', ok: 'true', props: '{"a":', tags: '["x"]' }[field.name] ?? 'now',
    }))
    const { row, problems } = rowOf(typed)
    expect(row).toEqual({ time: 'now', n: 7, big: '7', ok: true, tags: ['x'] })
    expect(Object.keys(problems)).toEqual(['props'])
  })

  it('takes a whole row of JSON, and nothing else', () => {
    expect(readRow('{"a":1}')).toEqual({ a: 1 })
    for (const text of ['', '[1]', 'null', '{a:1}']) expect(typeof readRow(text), text).toBe('string')
  })
})

describe('a key', () => {
  const now = Date.parse('2026-03-01T00:00:00Z')
  const key: ApiKeyEntry = {
    ...{ id: 'k', name: 'k', scopes: ['query'], tenant: null, allTenants: true, datasets: null },
    ...{ createdAt: '2026-01-01T00:00:00Z', createdBy: 'cli root', lastUsedAt: null },
    ...{ expiresAt: null, revokedAt: null, overlapUntil: null },
  }

  it('says what ends it first', () => {
    const status = (part: Partial<ApiKeyEntry>): string => statusOf({ ...key, ...part }, now).label
    expect(status({})).toBe('good')
    expect(status({ overlapUntil: '2026-03-01T12:00:00Z' })).toBe('two secrets')
    expect(status({ expiresAt: '2026-03-10T00:00:00Z', overlapUntil: '2026-03-01T12:00:00Z' })).toBe(
      'expires soon',
    )
    expect(status({ expiresAt: '2026-03-01T00:00:00Z' })).toBe('expired')
    expect(status({ expiresAt: '2026-03-01T00:00:00Z', revokedAt: '2026-02-01T00:00:00Z' })).toBe('revoked')
  })

  it('is asked for only when it is complete', () => {
    expect(Object.keys(problemsOf({ ...emptyDraft, whose: 'one', expires: 'at' }, now))).toEqual([
      'name',
      'scopes',
      'tenant',
      'expiresAt',
    ])
    const draft = {
      ...emptyDraft,
      name: ' a ',
      scopes: ['query' as const],
      whose: 'one' as const,
      tenant: 't',
    }
    expect(problemsOf(draft, now)).toEqual({})
    expect(wantedOf({ ...draft, expires: 'at', expiresAt: '2026-03-05' })).toEqual({
      ...{ name: 'a', scopes: ['query'], tenant: 't' },
      expires: '2026-03-05T23:59:59Z',
    })
    expect(wantedOf({ ...draft, expires: '', datasets: ['x.y'] })).not.toHaveProperty('expires')
  })
})

describe('health', () => {
  const latency = { p50Ms: 1, p95Ms: 2, p99Ms: 3, perSecond: 1, errors: 0, refused: 0 }
  const well: Overview = {
    ...{ now: '2026-01-01T00:00:00Z', uptimeMs: 1, version: '0', findingsAt: '2026-01-01T00:00:00Z' },
    postgres: { reachable: true, version: '18', target: 'x', ms: 1 },
    queries: latency,
    writes: { ...latency, rowsPerSecond: 1 },
    cache: { layers: [], results: null },
    ingest: {
      ...{ rowsPerSecond: 0, waitingRows: 0, waitingBytes: 0, maxWaitingBytes: 100 },
      ...{ spoolBytes: 0, maxSpoolBytes: 0 },
    },
    syncLag: { aggregatesMs: null, feedMs: null, spoolMs: 0 },
    pool: { total: 1, inUse: 1, idle: 0, waiting: 0, max: 10 },
    redis: null,
    findings: [{ level: 'ok', subject: 'server', message: 'is there', doNext: null }],
    ...{ slow: [], slowThresholdMs: 500, series: [] },
  }

  it('is quiet when all is well', () => {
    expect(concernsOf(well)).toEqual([])
  })

  it('says of each red thing what to do, the worst first, and no subject twice', () => {
    const concerns = concernsOf({
      ...well,
      postgres: { ...well.postgres, reachable: false },
      queries: { ...latency, errors: 3 },
      ingest: { ...well.ingest, waitingBytes: 85, maxSpoolBytes: 100, spoolBytes: 99 },
      syncLag: { aggregatesMs: 1, feedMs: 120_000, spoolMs: 120_000 },
      pool: { ...well.pool, waiting: 4 },
      redis: { isUp: false },
      findings: [
        { level: 'note', subject: 'x', message: 'x', doNext: null },
        { level: 'warn', subject: 'redis', message: 'is away', doNext: 'look' },
      ],
    })
    expect(concerns.filter(({ doNext, page }) => doNext === null && page === null)).toEqual([])
    expect(concerns.map(({ level }) => level).join()).toMatch(/^(error,)+(warn,?)+$/)
    expect(concerns.filter(({ subject }) => subject === 'redis').map(({ message }) => message)).toEqual([
      'is away',
    ])
    expect(new Set(concerns.map(({ subject }) => subject))).toEqual(
      new Set(['database', 'spool', 'connections', 'queries', 'ingest', 'feed', 'redis']),
    )
  })

  it('reads plans of every kind of question, and of none', () => {
    expect(planOf(null)).toBeNull()
    expect(
      planOf({ parts: [{ source: 'hot', from: null, to: null, rows: 1, ms: 2, why: 'it is new' }] }),
    ).toEqual({
      parts: [
        {
          ...{ source: 'hot', from: null, to: null, rows: 1, bytes: null, cells: null, ms: 2 },
          why: 'it is new',
        },
      ],
      aggregates: [],
      ms: null,
    })
  })
})
