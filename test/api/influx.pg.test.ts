import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { HttpError, InfluxDB, Point } from '@influxdata/influxdb-client'
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createServer, listen } from '../../src/api/index.ts'
import { defineConfig, hypertable, metricsTable, t } from '../../src/schema/index.ts'
import { sql } from '../../src/util/sql.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

const cpu = hypertable('metrics.cpu', {
  columns: {
    time: t.timestamptz(),
    host: t.text(),
    usage: t.float8().nullable(),
    cores: t.int4().nullable(),
  },
  time: 'time',
  primaryKey: ['host', 'time'],
})
const everything = metricsTable('metrics.everything')
const config = defineConfig({
  datasets: [cpu, everything],
  ingest: { lineProtocol: { into: [cpu], catchAll: everything } },
})
const strict = defineConfig({ datasets: [cpu, everything], ingest: { lineProtocol: { into: [cpu] } } })

let engine: TestEngine<typeof config>
let app: FastifyInstance
let base: string
beforeAll(async () => {
  engine = await createTestEngine(config)
  app = await createServer(engine.tm)
  base = await listen(app, { host: '127.0.0.1', port: 0 })
})
afterAll(async () => {
  await app.close()
  await engine.close()
})
beforeEach(async () => {
  await engine.test.db.execute(
    'delete from metrics.cpu; delete from metrics.everything; delete from tidemark.dead_letter',
  )
})

const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
  fetch(new URL(path, base), {
    method: 'POST',
    body,
    headers: { 'content-type': 'text/plain; charset=utf-8', ...headers },
  })
const cpuRows = async () =>
  (
    await engine.test.db.query(sql`
    select host, usage, cores, (extract(epoch from time) * 1000000)::int8::text
    from metrics.cpu
    order by host, time`)
  ).rows
const letters = async () =>
  (
    await engine.test.db.query(sql`
    select dataset, file, line::int4, column_name, reason, raw from tidemark.dead_letter order by id`)
  ).rows

describe('the write API of InfluxDB 1', () => {
  it('answers what Telegraf says first, and takes its lines, gzipped or not', async () => {
    const created = await fetch(new URL('/query', base), {
      method: 'POST',
      body: new URLSearchParams({ q: 'CREATE DATABASE "telegraf"' }),
    })
    expect([created.status, await created.json()]).toEqual([200, { results: [{ statement_id: 0 }] }])
    for (const method of ['GET', 'HEAD']) {
      const pong = await fetch(new URL('/ping', base), { method })
      expect([pong.status, pong.headers.get('x-influxdb-version')]).toEqual([
        204,
        expect.stringMatching(/^tidemark-/),
      ])
    }
    const line = 'cpu,host=a usage=1.5,cores=4i 1767225600123456789\n'
    const written = await post('/write?db=telegraf&rp=', line)
    expect([written.status, await written.text()]).toEqual([204, ''])
    const packed = gzipSync('cpu,host=b usage=2.5 1767225600\nweather,at=x temp=3.5 1767225600')
    expect(
      (await post('/write?db=telegraf&precision=s', packed, { 'content-encoding': 'gzip' })).status,
    ).toBe(204)
    expect(await cpuRows()).toEqual([
      ['a', 1.5, 4, '1767225600123456'],
      ['b', 2.5, null, '1767225600000000'],
    ])
    const { rows } = await engine.test.db.query(sql`select series, fields::text from metrics.everything`)
    expect(rows).toEqual([['weather{at="x"}', '{"temp": 3.5}']])
  })

  it('writes good points and tells how many were dropped; each is kept with its line', async () => {
    const body = [
      'cpu,host=a usage=1 1767225600000000000',
      'cpu,host=a usage= 1767225600000000000',
      'cpu,host=a nonsense="no column" 1767225601000000000',
      'cpu,host=a cores=99999999999i 1767225602000000000',
      'cpu,host=b usage=2 1767225600000000000',
    ].join('\n')
    const answer = await post('/write?db=x', body)
    expect(answer.status, await answer.clone().text()).toBe(400)
    const { error } = (await answer.json()) as { error: string }
    expect(error).toMatch(/^partial write: .* dropped=3$/)
    expect(answer.headers.get('x-influxdb-error')).toBe(error)
    expect((await cpuRows()).map(([host]) => host)).toEqual(['a', 'b'])
    const kept = await letters()
    expect(
      kept.map(([dataset, file, line, column, reason]) => [dataset, file, line, column, reason]),
    ).toEqual([
      ['metrics.everything', 'line protocol', 1, expect.anything(), expect.anything()],
      ['metrics.everything', 'line protocol', 2, 'nonsense', 'unknown'],
      ['metrics.cpu', 'line protocol', 1, 'cores', 'range'],
    ])
    expect(kept[0]![5]).toBe('cpu,host=a usage= 1767225600000000000')
    expect(kept[1]![5]).toBe('cpu,host=a nonsense="no column" 1767225601000000000')
    expect(JSON.parse(kept[2]![5] as string)).toMatchObject({ host: 'a', cores: 99999999999 })
  })

  it('a request that comes again takes the place of the one before, by primary key', async () => {
    const body = 'cpu,host=a usage=1,cores=2i 1767225600000000000'
    expect([(await post('/write', body)).status, (await post('/write', body)).status]).toEqual([204, 204])
    expect((await post('/write', 'cpu,host=a usage=7 1767225600000000000')).status).toBe(204)
    expect(await cpuRows()).toEqual([['a', 7, null, '1767225600000000']])
  })

  it.each([
    ['/write?precision=fortnight', 'cpu,host=a usage=1', {}, 400, /precision/],
    ['/write', 'not gzip', { 'content-encoding': 'gzip' }, 400, /gzip/],
    ['/write', 'x', { 'content-encoding': 'br' }, 415, /content-encoding br/],
    ['/query?q=SELECT%201', '', {}, 400, /only CREATE DATABASE/],
    [
      '/query',
      'q=DROP+DATABASE+x',
      { 'content-type': 'application/x-www-form-urlencoded' },
      400,
      /only CREATE/,
    ],
  ] as const)('%s is refused in its own form', async (path, body, headers, status, message) => {
    const answer = await post(path, body, headers)
    expect([answer.status, await answer.json()]).toEqual([status, { error: expect.stringMatching(message) }])
  })

  it('a body is written while it comes, and what is not yet written waits in the socket', async () => {
    const lines = 12_000
    const text = 'x'.repeat(2000)
    const blocker = await engine.test.connect()
    const { hostname, port } = new URL(base)
    const socket = connect(Number(port), hostname)
    let answer = ''
    let sent = 0
    socket.on('data', (data) => {
      answer += data.toString()
    })
    try {
      await blocker.execute('begin; lock table metrics.everything in access exclusive mode')
      socket.write(
        'POST /write HTTP/1.1\r\nhost: localhost\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n',
      )
      const send = (): void => {
        while (sent < lines) {
          const line = `m,tag=a text="${text}" ${1767225600000000000n + BigInt(sent++) * 1000n}\n`
          if (!socket.write(`${line.length.toString(16)}\r\n${line}\r\n`)) return
        }
        socket.off('drain', send)
        socket.write('0\r\n\r\n')
      }
      socket.on('drain', send)
      send()
      // one piece is to be written; nobody reads on, so the sender is not told to go on
      await expect.poll(() => engine.tm.ingestState.pendingRows).toBeGreaterThan(400)
      let before = -1
      await expect
        .poll(
          () => {
            const isStill = before === sent
            before = sent
            return isStill
          },
          { interval: 300 },
        )
        .toBe(true)
      expect(sent).toBeLessThan(lines)
      expect(engine.tm.ingestState.pendingRows).toBeLessThan(700)
    } finally {
      await blocker.execute('rollback')
      await blocker.close()
    }
    await expect.poll(() => answer).toMatch(/^HTTP\/1.1 204/)
    socket.destroy()
    const { rows } = await engine.test.db.query(sql`select count(*)::int4 from metrics.everything`)
    expect(rows).toEqual([[lines]])
  })
})

describe('the write API of InfluxDB 2', () => {
  it('takes points of its own client', async () => {
    const api = new InfluxDB({ url: base, token: 'none' }).getWriteApi('org', 'bucket', 'ms', {
      gzipThreshold: 10,
    })
    api.writePoint(
      new Point('cpu')
        .tag('host', 'c d')
        .floatField('usage', 0.25)
        .intField('cores', 8)
        .timestamp(1767225600123),
    )
    api.writePoint(new Point('log').stringField('text', 'with "quotes" and, commas').timestamp(1767225600123))
    await api.close()
    expect(await cpuRows()).toEqual([['c d', 0.25, 8, '1767225600123000']])
    const { rows } = await engine.test.db.query(
      sql`select measurement, fields->>'text' from metrics.everything`,
    )
    expect(rows).toEqual([['log', 'with "quotes" and, commas']])
  })

  it('tells its client what was dropped, and it does not try again', async () => {
    let failed = 0
    const api = new InfluxDB({ url: base }).getWriteApi('org', 'bucket', 'ns', {
      maxRetries: 3,
      writeFailed: (error) => {
        failed += 1
        expect(error).toBeInstanceOf(HttpError)
        expect((error as HttpError).statusCode).toBe(400)
        expect((error as HttpError).json).toEqual({
          code: 'invalid',
          message: expect.stringMatching(/^partial write: .* dropped=1$/),
        })
        return Promise.resolve()
      },
    })
    api.writeRecords(['cpu,host=z usage=1 1767225600000000000', 'cpu,host=z usage=x 1767225600000000000'])
    await api.close()
    expect(failed).toBe(1)
    expect(await cpuRows()).toEqual([['z', 1, null, '1767225600000000']])
  })

  it('has errors of its form', async () => {
    const answer = await post('/api/v2/write?precision=x', '')
    expect([answer.status, await answer.json()]).toEqual([
      400,
      { code: 'invalid', message: expect.stringMatching(/precision/) },
    ])
  })
})

it('a body over the limit is refused when that much has come', async () => {
  const small = await createServer(engine.tm, { bodyLimitBytes: 1000 })
  const payload = gzipSync(`cpu,host=a usage=1\n${'#'.repeat(2000)}`)
  const headers = { 'content-type': 'text/plain', 'content-encoding': 'gzip' }
  const answer = await small.inject({ method: 'POST', url: '/write', payload, headers })
  expect([answer.statusCode, answer.json().error]).toEqual([
    413,
    expect.stringMatching(/larger than 1000 bytes/),
  ])
  await small.close()
})

it('a measurement that no table takes is kept as its line', async () => {
  const other = await createTestEngine(strict)
  const server = await createServer(other.tm)
  try {
    const answer = await server.inject({
      method: 'POST',
      url: '/write',
      payload: 'my\\ disk,pa\\,th=/ free=5i,full=true 1767225600000000000\n',
      headers: { 'content-type': 'text/plain' },
    })
    expect([answer.statusCode, answer.json().error]).toEqual([
      400,
      expect.stringMatching(/no table takes .*dropped=1$/),
    ])
    const { rows } = await other.test.db.query(sql`select dataset, reason, raw from tidemark.dead_letter`)
    expect(rows).toEqual([
      ['line protocol', 'unknown', 'my\\ disk,pa\\,th=/ free=5,full=true 1767225600000000000'],
    ])
  } finally {
    await server.close()
    await other.close()
  }
})

it('what is not declared says what to declare', async () => {
  const other = await createTestEngine(defineConfig({ datasets: [cpu] }))
  const server = await createServer(other.tm)
  try {
    for (const [method, url] of [
      ['POST', '/write'],
      ['POST', '/api/v2/write'],
      ['GET', '/ping'],
      ['HEAD', '/ping'],
      ['POST', '/query'],
    ] as const) {
      const answer = await server.inject({ method, url, payload: method === 'POST' ? 'x' : undefined })
      expect(answer.statusCode).toBe(404)
      if (method !== 'HEAD')
        expect(answer.json()).toMatchObject({
          code: 'TM_ROUTE',
          detail: expect.stringContaining('declare ingest.lineProtocol'),
        })
    }
    expect(Object.keys(server.swagger().paths!)).not.toContain('/write')
  } finally {
    await server.close()
    await other.close()
  }
})
