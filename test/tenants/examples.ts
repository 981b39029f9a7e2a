import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { remoteWrite } from './server-world.ts'
import type { Party } from './world.ts'

/** One request of a route: as somebody sends it who wants to see what is another's. */
export interface Example {
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
  /** What is in a body that is packed. */
  readonly says?: string
}

const json = (value: unknown): Pick<Example, 'headers' | 'body'> => ({
  headers: { 'content-type': 'application/json' },
  body: JSON.stringify(value),
})
const text = (body: string | Buffer, type: string, more: Record<string, string> = {}) => ({
  headers: { 'content-type': type, ...more },
  body,
})

/**
 * Requests for every route of the server, by `METHOD url` of the route. A route that is not here fails the test: whoever adds one says how
 * it is called, with words of `other` wherever something may be named.
 */
export function examplesOf(mine: Party, other: Party): Readonly<Record<string, readonly Example[]>> {
  const datasets = '/api/v1/datasets'
  const range = { from: '2026-03-01', to: '2026-03-06' }
  const visit = { time: '2026-03-05T10:00:00Z', user_id: 'u1', name: 'visit', project: 1, secret: 'mine' }
  const rows = [visit, { ...visit, tenant: other.tenant }, { ...visit, tenant: mine.tenant, big: 'x' }]
  const query = (dataset: string, more: object = {}) => ({
    path: '/api/v1/query',
    ...json({ dataset, ...more }),
  })
  const question = (kind: string, more: object) => [
    { path: `${datasets}/site.visits/${kind}`, ...json({ ...range, ...more }) },
    {
      path: `${datasets}/site.visits/${kind}`,
      ...json({ ...range, ...more, where: { tenant: other.tenant } }),
    },
    { path: `${datasets}/site.meters/${kind}`, ...json({ ...range, ...more }) },
    { path: `${datasets}/site.visits/${kind}`, ...json({ ...more, from: 'never' }) },
  ]
  const count = { n: { fn: 'count' } }
  const filters = [
    {},
    { where: { tenant: other.tenant } },
    { where: { secret: { like: `%${other.mark}%` } } },
  ]
  const queries = [
    ...filters.flatMap((more) => [
      query('site.visits', { ...more, limit: 500 }),
      query('site.visits', { ...more, ...range, bucket: '1 day', by: ['tenant', 'secret'], select: count }),
      query('site.visits', { ...more, latestBy: ['tenant', 'name'] }),
    ]),
    query('site.visits', {
      ...range,
      bucket: '1 hour',
      select: { top: { fn: 'topK', column: 'secret', k: 5 } },
      cache: 'dashboard',
    }),
    query('site.hourly', range),
    query('site.hourly', { ...range, bucket: null, by: ['title', 'tenant'] }),
    query('site.hourly', { ...range, where: { title: `${other.mark} title 1` } }),
    query('site.projects', {}),
    query('site.projects', { where: { id: 1 }, cache: 'lists' }),
    query('site.meters', {}),
    query('site.plans', {}),
    query('site.visits', { cursor: 'bm90IGEgY3Vyc29y' }),
    query('site.visits', { select: { n: { fn: 'sum', column: 'secret' } } }),
    query('site.visits', {
      where: { tenant: { in: [other.tenant, mine.tenant] } },
      select: count,
      timeoutMs: 1,
    }),
    query('site.nothing', {}),
  ]
  const sight = { bucket: '1 day', by: ['tenant', 'secret'], select: count }
  const boardOf = ({
    from: _from,
    to: _to,
    timeoutMs: _timeout,
    cache: _cache,
    ...asked
  }: Record<string, unknown>) => ({
    name: 'Mine',
    document: {
      range,
      panels: [
        {
          id: 'secrets',
          title: 'Secrets',
          chart: 'bar',
          place: { x: 0, y: 0, w: 6, h: 4 },
          query: asked,
          compare: '1 day',
        },
      ],
    },
  })
  const records = `${datasets}/site.projects/records`
  const keys = [
    '1',
    `${encodeURIComponent(other.tenant)},1`,
    `${encodeURIComponent(mine.tenant)},2`,
    '99',
    'x,y,z',
  ]
  const byKey = (more: Pick<Example, 'headers' | 'body'> = {}): Example[] => [
    ...keys.map((key) => ({ path: `${records}/${key}`, ...more })),
    { path: `${datasets}/site.visits/records/1`, ...more },
    { path: `${datasets}/site.plans/records/pro`, ...more },
  ]
  const project = { id: 4, title: 'mine', note: null }
  const stolen = { ...project, id: 1, tenant: other.tenant, title: 'stolen' }
  const bulk = (more: object) => ({ path: `${datasets}/site.projects/bulk`, ...json(more) })
  const line = (tag: string): string => `points${tag},host=h1 usage=1 1772672400000000000`
  const lines = [
    line(''),
    line(`,tenant=${other.tenant.replaceAll(' ', '\\ ')}`),
    'points usage=',
    'odd x=1 1772672400000000000',
    `odd,tenant=${other.tenant.replaceAll(' ', '\\ ')} x=2 1772672400000000000`,
  ].join('\n')
  const nanos = '1772672400000000000'
  const attributes = [{ key: 'tenant', value: { stringValue: other.tenant } }]
  const number = (name: string) => ({
    name,
    gauge: { dataPoints: [{ timeUnixNano: nanos, asDouble: 1, attributes }] },
  })
  const otlp = {
    metrics: { resourceMetrics: [{ scopeMetrics: [{ metrics: [number('m1')] }] }] },
    logs: {
      resourceLogs: [
        { scopeLogs: [{ logRecords: [{ timeUnixNano: nanos, body: { stringValue: 'mine' }, attributes }] }] },
      ],
    },
    traces: {
      resourceSpans: [
        {
          scopeSpans: [
            {
              spans: [
                {
                  traceId: '5b8efff798038103d269b633813fc60c',
                  spanId: 'eee19b7ec3c1b174',
                  name: 'chat',
                  startTimeUnixNano: nanos,
                  endTimeUnixNano: nanos,
                  attributes: [
                    ...attributes,
                    { key: 'gen_ai.operation.name', value: { stringValue: 'chat' } },
                  ],
                },
              ],
            },
          ],
        },
      ],
    },
  }
  const wrongBodies = (path: string): Example[] => [
    { path, ...text('{"rows": [', 'application/json') },
    { path, ...text('not gzip', 'application/json', { 'content-encoding': 'gzip' }) },
    { path, ...text('<a/>', 'application/xml') },
  ]
  const csv = `time,user_id,name,project,secret,tenant\n2026-03-05T11:00:00Z,u1,visit,1,mine,${other.tenant}\n2026-03-05T11:00:00Z,u1,visit,1,mine,\n`
  const write = `${datasets}/site.visits/rows`
  const event = {
    id: randomUUID(),
    event: 'clicked',
    category: 'ui',
    timestamp: new Date().toISOString(),
    tenant: other.tenant,
  }
  const prometheus = [
    remoteWrite({ __name__: 'up', job: 'a' }),
    remoteWrite({ __name__: 'up', tenant: other.tenant }),
  ]
  const snappy = (path: string): Example[] => [
    ...prometheus.map((body) => ({
      path,
      ...text(body, 'application/x-protobuf', { 'content-encoding': 'snappy' }),
    })),
    { path, ...text('x', 'application/x-protobuf', { 'content-encoding': 'snappy' }) },
  ]
  const live = (more: object) => ({ path: `/api/v1/live?query=${encodeURIComponent(JSON.stringify(more))}` })
  // whosever they are: those of the walk itself begin at 1
  const letters = Array.from({ length: 12 }, (_, i) => String(i + 1))
  // rows of the walk that were refused are kept as he sent them, with the name of the other one in them
  const said = (all: readonly Example[]): Example[] => all.map((one) => ({ ...one, says: other.tenant }))
  const get = (...paths: string[]): Example[] => paths.map((path) => ({ path }))
  return {
    'GET /api/v1/health': get('/api/v1/health'),
    'GET /api/v1/status': get('/api/v1/status'),
    'GET /api/v1/datasets': get(datasets),
    'GET /api/v1/datasets/:dataset': get(
      `${datasets}/site.visits`,
      `${datasets}/site.hourly`,
      `${datasets}/no`,
    ),
    'POST /api/v1/datasets/:dataset/rows': [
      { path: write, ...json(rows) },
      { path: write, ...json({ rows }) },
      { path: `${write}?atomic=true`, ...json(rows) },
      { path: `${write}?ack=queued`, ...json(rows) },
      { path: `${write}?onConflict=odd`, ...json(rows) },
      { path: write, ...text(rows.map((row) => JSON.stringify(row)).join('\n'), 'application/x-ndjson') },
      { path: write, ...text(csv, 'text/csv') },
      { path: write, ...text(gzipSync(csv), 'text/csv', { 'content-encoding': 'gzip' }), says: csv },
      { path: write, ...text(JSON.stringify(rows), 'application/json', { 'idempotency-key': 'shared' }) },
      {
        path: `${datasets}/site.meters/rows`,
        ...json([{ time: visit.time, owner: other.owner, meter: 'm1', reading: 1 }]),
      },
      { path: `${datasets}/site.projects/rows?onConflict=update`, ...json([stolen, project]) },
      { path: `${datasets}/site.projects/rows`, ...json([{ ...project, id: 1 }]) },
      { path: `${datasets}/site.plans/rows?onConflict=update`, ...json([{ plan: 'pro', price: 1 }]) },
      { path: `${datasets}/site.hourly/rows`, ...json(rows) },
      ...wrongBodies(write),
    ],
    'GET /api/v1/datasets/:dataset/records': [
      ...get(
        records,
        `${records}?tenant=${encodeURIComponent(other.tenant)}`,
        `${records}?order=-title&limit=2&count=true`,
        `${records}?title=${encodeURIComponent(`${other.mark} title 1`)}`,
        `${records}?cursor=odd`,
        `${datasets}/site.visits/records?limit=100`,
        `${datasets}/site.plans/records`,
        `${datasets}/site.hourly/records`,
      ),
    ],
    'GET /api/v1/datasets/:dataset/records/*': byKey(),
    'POST /api/v1/datasets/:dataset/records': [
      { path: records, ...json({ ...project, id: 5 }) },
      { path: records, ...json({ ...project, id: 1 }) },
      { path: records, ...json(stolen) },
      { path: `${datasets}/site.plans/records`, ...json({ plan: 'x', price: 1 }) },
      ...wrongBodies(records),
    ],
    'PUT /api/v1/datasets/:dataset/records/*': [
      ...byKey(json({ title: 'mine', note: 'put' })),
      ...byKey(json({ title: 'mine', note: 'put', tenant: other.tenant })),
    ],
    'PATCH /api/v1/datasets/:dataset/records/*': [
      ...byKey(json({ note: 'patched' })),
      ...byKey(json({ tenant: other.tenant })),
    ],
    'DELETE /api/v1/datasets/:dataset/records/*': byKey(),
    'POST /api/v1/datasets/:dataset/bulk': [
      bulk({ op: 'create', rows: [{ ...project, id: 6 }, stolen], return: 'rows' }),
      bulk({ op: 'create', rows: [{ ...project, id: 7 }] }),
      bulk({ op: 'upsert', rows: [stolen] }),
      bulk({ op: 'patch', rows: [{ key: { tenant: other.tenant, id: 1 }, set: { title: 'stolen' } }] }),
      bulk({ op: 'patch', rows: [{ key: { id: 6 }, set: { note: 'mine' } }], return: 'rows' }),
      bulk({
        op: 'delete',
        rows: [{ key: { tenant: other.tenant, id: 1 } }, { key: `${encodeURIComponent(other.tenant)},2` }],
      }),
      bulk({ op: 'delete', rows: [{ key: { id: 7 } }] }),
      bulk({ op: 'odd', rows: [] }),
    ],
    'POST /api/v1/query': [
      ...queries,
      ...wrongBodies('/api/v1/query'),
      { path: '/api/v1/query', ...json([]) },
    ],
    'POST /api/v1/datasets/:dataset/funnel': question('funnel', {
      steps: ['visit', 'buy'],
      within: '7 days',
      by: 'secret',
    }),
    'POST /api/v1/datasets/:dataset/retention': question('retention', { period: '1 day' }),
    'POST /api/v1/datasets/:dataset/sessions': question('sessions', {}),
    'POST /api/v1/datasets/:dataset/top-pages': question('top-pages', {}),
    'POST /api/v1/datasets/:dataset/paths': question('paths', {}),
    'POST /api/v1/datasets/:dataset/active-users': [
      ...question('active-users', { bucket: '1 day' }),
      ...question('active-users', { bucket: '1 hour', windows: ['2 hours', '1 day'], method: 'uniques' }),
    ],
    'POST /api/v1/datasets/:dataset/lifecycle': question('lifecycle', { period: '1 day' }),
    'POST /write': [
      { path: '/write', ...text(line(''), 'text/plain') },
      { path: '/write', ...text(lines, 'text/plain') },
      { path: '/write?precision=odd', ...text(lines, 'text/plain') },
    ],
    'POST /api/v2/write': [line(''), lines].map((body) => ({
      path: '/api/v2/write',
      ...text(body, 'text/plain'),
    })),
    'GET /ping': get('/ping'),
    'POST /query': [
      { path: '/query?q=CREATE%20DATABASE%20x' },
      { path: '/query', ...text(`q=select * from ${other.tenant}`, 'application/x-www-form-urlencoded') },
    ],
    'POST /api/v1/prometheus/write': snappy('/api/v1/prometheus/write'),
    'POST /api/v1/write': snappy('/api/v1/write'),
    'POST /v1/metrics': [{ path: '/v1/metrics', ...json(otlp.metrics) }, ...wrongBodies('/v1/metrics')],
    'POST /v1/logs': [{ path: '/v1/logs', ...json(otlp.logs) }, ...wrongBodies('/v1/logs')],
    'POST /v1/traces': [{ path: '/v1/traces', ...json(otlp.traces) }, ...wrongBodies('/v1/traces')],
    'POST /api/v1/analytics': [
      {
        path: '/api/v1/analytics',
        ...json({ sentAt: new Date().toISOString(), dropped: 0, events: [event] }),
      },
      ...wrongBodies('/api/v1/analytics'),
    ],
    'OPTIONS /api/v1/analytics': get('/api/v1/analytics'),
    // sockets have a test of their own, below; asked without one they say what they are
    'GET /api/v1/datasets/:dataset/stream': get(`${datasets}/site.visits/stream`, `${datasets}/no/stream`),
    'GET /api/v1/live': [
      live({ dataset: 'site.visits', ...range, where: { tenant: other.tenant } }),
      live({ dataset: 'site.visits', ...range, bucket: '1 day', by: ['secret'], select: count }),
      live({ dataset: 'site.projects' }),
      live({ dataset: 'site.hourly', ...range }),
      live({ dataset: 'site.nothing' }),
      { path: '/api/v1/live?query=odd' },
    ],
    'GET /api/v1/reports': get('/api/v1/reports'),
    'GET /api/v1/reports/:name': get('/api/v1/reports/weekly', '/api/v1/reports/theirs', '/api/v1/reports/-'),
    'PUT /api/v1/reports/:name': [
      {
        path: '/api/v1/reports/mine',
        ...json({ dataset: 'site.visits', query: { where: { tenant: other.tenant } }, title: other.tenant }),
      },
      { path: '/api/v1/reports/mine', ...json({ dataset: 'site.nothing', query: {} }) },
      ...wrongBodies('/api/v1/reports/mine'),
      // the last one stays: it names nobody
      { path: '/api/v1/reports/mine', ...json({ dataset: 'site.visits', query: { ...range, limit: 3 } }) },
    ],
    'POST /api/v1/reports/:name/run': get('/api/v1/reports/weekly/run', '/api/v1/reports/theirs/run'),
    'GET /api/v1/reports/:name/runs': get('/api/v1/reports/weekly/runs', '/api/v1/reports/theirs/runs'),
    'GET /api/v1/reports/:name/answer': ['json', 'csv', 'html', 'odd'].flatMap((format) =>
      ['', '&run=1', '&run=2', '&run=x'].map((run) => ({
        path: `/api/v1/reports/weekly/answer?format=${format}${run}`,
      })),
    ),
    'DELETE /api/v1/reports/:name': get('/api/v1/reports/theirs', '/api/v1/reports/weekly'),
    // MY… and THEIR… stand for ids that are made when the server is
    'GET /api/v1/boards': get('/api/v1/boards'),
    'POST /api/v1/boards': [
      ...queries.map(({ body }) => ({ path: '/api/v1/boards', ...json(boardOf(JSON.parse(String(body)))) })),
      ...wrongBodies('/api/v1/boards'),
    ],
    'GET /api/v1/boards/:id': get('/api/v1/boards/MYBOARD', '/api/v1/boards/THEIRBOARD', '/api/v1/boards/-'),
    'PUT /api/v1/boards/:id': ['MYBOARD', 'THEIRBOARD'].map((id) => ({
      path: `/api/v1/boards/${id}`,
      ...json(boardOf({ dataset: 'site.visits', ...sight })),
    })),
    'DELETE /api/v1/boards/:id': get('/api/v1/boards/THEIRBOARD', '/api/v1/boards/MYSPARE'),
    'GET /api/v1/boards/:id/shares': get('/api/v1/boards/MYBOARD/shares', '/api/v1/boards/THEIRBOARD/shares'),
    'POST /api/v1/boards/:id/shares': ['MYBOARD', 'THEIRBOARD'].map((id) => ({
      path: `/api/v1/boards/${id}/shares`,
      ...json({ expires: '1 day' }),
    })),
    'DELETE /api/v1/boards/:id/shares/:share': get(
      '/api/v1/boards/MYBOARD/shares/THEIRSHARE',
      '/api/v1/boards/THEIRBOARD/shares/THEIRSHARE',
      '/api/v1/boards/MYBOARD/shares/MYSHARE',
    ),
    'GET /api/v1/shared/:token': get('/api/v1/shared/MYTOKEN', '/api/v1/shared/THEIRSHARE'),
    'POST /api/v1/shared/:token/panels/:panel': [{}, { compare: true }, { from: '2020-01-01' }].map(
      (asked) => ({
        path: '/api/v1/shared/MYTOKEN/panels/secrets',
        ...json(asked),
      }),
    ),
    'POST /api/v1/query/sql': queries.map(({ body, headers }) => ({
      path: '/api/v1/query/sql',
      body,
      headers,
    })),
    'GET /openapi.json': get('/openapi.json'),
    'GET /api/v1/problems': get('/api/v1/problems'),
    'GET /metrics': get('/metrics'),
    'GET /api/v1/slow-queries': get('/api/v1/slow-queries'),
    'GET /api/v1/storage': get('/api/v1/storage'),
    'GET /api/v1/storage/growth': get('/api/v1/storage/growth?dataset=site.visits'),
    'POST /api/v1/operations': [
      { path: '/api/v1/operations', ...json({ kind: 'verify', dataset: 'site.visits' }) },
      { path: '/api/v1/operations', ...json({ kind: 'sweep' }) },
    ],
    'GET /api/v1/operations': get('/api/v1/operations'),
    'GET /api/v1/operations/:id': get('/api/v1/operations/x'),
    'DELETE /api/v1/operations/:id': get('/api/v1/operations/x'),
    'GET /api/v1/aggregates': get('/api/v1/aggregates'),
    'GET /api/v1/jobs': get('/api/v1/jobs'),
    'GET /api/v1/overview': get('/api/v1/overview'),
    'GET /api/v1/dead-letters': said(
      get(
        '/api/v1/dead-letters?limit=500',
        `/api/v1/dead-letters?text=${encodeURIComponent(other.mark)}`,
        '/api/v1/dead-letters?dataset=site.visits&state=refused&before=999999',
      ),
    ),
    'GET /api/v1/dead-letters/:id': said(letters.map((id) => ({ path: `/api/v1/dead-letters/${id}` }))),
    'PATCH /api/v1/dead-letters/:id': said(
      letters.map((id) => ({
        path: `/api/v1/dead-letters/${id}`,
        ...json({ row: { ...visit, tenant: other.tenant } }),
      })),
    ),
    'POST /api/v1/dead-letters/replay': said([
      { path: '/api/v1/dead-letters/replay', ...json({ ids: letters }) },
      {
        path: '/api/v1/dead-letters/replay',
        ...json({ filter: { dataset: 'site.visits', text: other.mark } }),
      },
      { path: '/api/v1/dead-letters/replay', ...json({ filter: { all: true } }) },
    ]),
    'POST /api/v1/dead-letters/delete': said([
      { path: '/api/v1/dead-letters/delete', ...json({ filter: { text: other.mark } }) },
    ]),
    'DELETE /api/v1/dead-letters/:id': letters.map((id) => ({ path: `/api/v1/dead-letters/${id}` })),
    'GET /healthz': get('/healthz'),
    'GET /readyz': get('/readyz'),
    'GET /api/v1/me': get('/api/v1/me'),
    'POST /api/v1/session': [{ path: '/api/v1/session', ...json({}) }],
    'DELETE /api/v1/session': get('/api/v1/session'),
    'POST /api/v1/tickets': [{ path: '/api/v1/tickets', ...json({}) }],
    'GET /api/v1/keys': get('/api/v1/keys', '/api/v1/keys?all=true'),
    'POST /api/v1/keys': [
      { path: '/api/v1/keys', ...json({ name: 'more', scopes: ['query'], tenant: mine.tenant }) },
      { path: '/api/v1/keys', ...json({ name: 'theirs', scopes: ['query'], tenant: other.tenant }) },
      { path: '/api/v1/keys', ...json({ name: 'all', scopes: ['query'] }) },
    ],
    'POST /api/v1/keys/:id/rotate': [{ path: '/api/v1/keys/KEY/rotate', ...json({}) }],
    'DELETE /api/v1/keys/:id': get('/api/v1/keys/KEY'),
    // it has the filter of his own that names a mark of another; entries of another would have his name, too
    'GET /api/v1/audit': get('/api/v1/audit', '/api/v1/audit?limit=1000').map((one) => ({
      ...one,
      says: other.mark,
    })),
  }
}
