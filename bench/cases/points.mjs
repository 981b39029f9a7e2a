// What one call takes: 10,000 points, and an import of 10,000 keywords, by the library and over HTTP, one after the other and each
// committed. How long until the answer is there, for whoever waits for it.
import { mkdtemp, rm } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import * as api from '../../dist/index.js'
import { markdownTable, ms, text } from '../harness.mjs'
import { startChild } from '../ingest/children.mjs'
import { untilDrained } from '../ingest/steady.mjs'
import { pointsConfig } from '../ingest/tables.mjs'
import { createRandom, startMs } from '../tsbs.mjs'

export const about =
  'one call of 10,000 points, and of 10,000 keywords: library and HTTP, how long each takes'

const root = new URL('../../dist/', import.meta.url).href
const amount = 10_000

export async function run({ db, connectionString, quick, rounds = quick ? 5 : 60 }) {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-bench-points-'))
  const config = pointsConfig(api)
  const [points, keywords] = config.datasets
  const tm = await api.createTidemark(config, { connectionString })
  const pool = new pg.Pool({ connectionString, max: 1 })
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let server = null
  try {
    await tm.migrate()
    await db.execute(plainSql)
    server = await startChild('server-child.mjs', { root, connectionString, dir, config: 'pointsConfig' })
    const post = poster(agent, server.ready.url)
    const pointRows = makePoints()
    const keywordRows = makeKeywords()
    // made before the clock starts, as a file is that somebody imports
    const body = {
      points: { ndjson: ndjson(pointRows), json: JSON.stringify(pointRows), lines: lines(pointRows) },
      keywords: { ndjson: ndjson(keywordRows), json: JSON.stringify(keywordRows), csv: csv(keywordRows) },
    }
    const calls = {
      points: {
        relation: points.name,
        ...{ rows: amount, sum: 'value', total: pointRows.reduce((sum, { value }) => sum + value, 0) },
        contenders: {
          '`pg`, INSERT of 1,000 rows, one transaction': {
            relation: 'bench.plain_points',
            run: inserter(pool, 'bench.plain_points', pointRows),
          },
          '`tm.insert`': { run: () => tm.insert(points, pointRows) },
          '`tm.ingest`': { run: () => tm.ingest(points, pointRows) },
          'HTTP, NDJSON': {
            run: () => post('/api/v1/datasets/bench.points/rows', 'application/x-ndjson', body.points.ndjson),
          },
          'HTTP, JSON': {
            run: () => post('/api/v1/datasets/bench.points/rows', 'application/json', body.points.json),
          },
          'HTTP, line protocol': { run: () => post('/write', 'text/plain', body.points.lines) },
          'HTTP, NDJSON, ack=queued': {
            run: () =>
              post(
                '/api/v1/datasets/bench.points/rows?ack=queued',
                'application/x-ndjson',
                body.points.ndjson,
              ),
            isQueued: true,
          },
        },
      },
      keywords: {
        relation: keywords.name,
        ...{ rows: amount, sum: 'volume', total: keywordRows.reduce((sum, { volume }) => sum + volume, 0) },
        contenders: {
          '`pg`, INSERT of 1,000 rows, one transaction': {
            relation: 'bench.plain_keywords',
            run: inserter(pool, 'bench.plain_keywords', keywordRows),
          },
          '`tm.insert`': { run: () => tm.insert(keywords, keywordRows) },
          'HTTP, NDJSON': {
            run: () =>
              post('/api/v1/datasets/bench.keywords/rows', 'application/x-ndjson', body.keywords.ndjson),
          },
          'HTTP, JSON': {
            run: () => post('/api/v1/datasets/bench.keywords/rows', 'application/json', body.keywords.json),
          },
          'HTTP, CSV': {
            run: () => post('/api/v1/datasets/bench.keywords/rows', 'text/csv', body.keywords.csv),
          },
          'HTTP, NDJSON, onConflict=update, all keys exist': {
            isOverwriting: true,
            run: () =>
              post(
                '/api/v1/datasets/bench.keywords/rows?onConflict=update',
                'application/x-ndjson',
                body.keywords.ndjson,
              ),
          },
        },
      },
    }
    const results = []
    for (const [name, call] of Object.entries(calls)) {
      const found = await time({ db, server, call, rounds })
      results.push({ name, rounds, contenders: found })
      console.log(`\n${table(results.at(-1))}`)
    }
    return { amount, results }
  } finally {
    agent.destroy()
    await server?.stop()
    await pool.end()
    await tm.close()
    await rm(dir, { recursive: true, force: true })
  }
}

/** For docs/benchmarks.md. */
export function table({ name, contenders }) {
  return markdownTable(
    [`one call of ${amount.toLocaleString('en')} ${name}`, 'p50, ms', 'p95, ms', 'p99, ms', 'least, ms'],
    contenders.map(({ label, p50, p95, p99, least }) => [label, ...[p50, p95, p99, least].map(ms)]),
  )
}

/** In turn, each into an empty table, but where keys have to be there; what is there afterwards is counted. */
async function time({ db, server, call: { relation, rows, sum, total, contenders }, rounds }) {
  const waits = Object.fromEntries(Object.keys(contenders).map((label) => [label, []]))
  const labels = Object.keys(contenders)
  for (let round = 0; round <= rounds; round++) {
    for (let i = 0; i < labels.length; i++) {
      const label = labels[(i + round) % labels.length]
      const { run: call, relation: own = relation, isQueued, isOverwriting } = contenders[label]
      await db.execute(`truncate ${own}`)
      if (isOverwriting) await call()
      const startedAt = performance.now()
      await call()
      const wait = performance.now() - startedAt
      // the first round warms up
      if (round > 0) waits[label].push(wait)
      if (isQueued) await untilDrained(server)
      const { rows: found } = await db.query(
        text(`select count(*)::float8, coalesce(sum(${sum}), 0)::float8 from ${own}`),
      )
      if (found[0][0] !== rows || Math.abs(found[0][1] - total) > 1e-6 * Math.abs(total))
        throw new Error(`${label}: ${found[0]} are there, expected ${rows},${total}`)
    }
  }
  return Object.entries(waits).map(([label, list]) => {
    const sorted = list.sort((a, b) => a - b)
    const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
    return { label, p50: at(0.5), p95: at(0.95), p99: at(0.99), least: sorted[0], runs: sorted.length }
  })
}

const plainSql = `
  create table bench.plain_points (time timestamptz not null, host text not null, value float8 not null);
  create index on bench.plain_points (host, time);
  create index on bench.plain_points (time);
  create table bench.plain_keywords (
    id int8 primary key, project text not null, keyword text not null, language text not null, country text not null,
    intent text, volume int4, difficulty float8, cost numeric(10, 2), tags jsonb not null, updated timestamptz not null
  );
  create index on bench.plain_keywords (project, keyword)`

function makePoints() {
  const random = createRandom(1)
  return Array.from({ length: amount }, (_, i) => ({
    time: new Date(startMs + i * 1000).toISOString(),
    host: `host_${i % 100}`,
    value: Math.floor(random() * 1e6) / 100,
  }))
}

function makeKeywords() {
  const random = createRandom(2)
  const pick = (list) => list[Math.floor(random() * list.length)]
  const words = [
    'best',
    'cheap',
    'running',
    'shoes',
    'near',
    'me',
    'how',
    'to',
    'repair',
    'bicycle',
    'online',
    'für',
    '自転車',
  ]
  return Array.from({ length: amount }, (_, id) => ({
    id,
    project: `project ${id % 20}`,
    keyword: Array.from({ length: 2 + Math.floor(random() * 4) }, () => pick(words)).join(' '),
    language: pick(['en', 'de', 'ja']),
    country: pick(['US', 'DE', 'JP', 'CH']),
    intent: pick(['informational', 'commercial', 'transactional', null]),
    volume: Math.floor(random() * 100_000),
    difficulty: Math.floor(random() * 1000) / 10,
    cost: (random() * 20).toFixed(2),
    tags: [pick(words), pick(words)],
    updated: new Date(startMs + id * 1000).toISOString(),
  }))
}

const ndjson = (rows) => rows.map((row) => JSON.stringify(row)).join('\n')
const lines = (rows) =>
  rows
    .map(({ time, host, value }) => `points,host=${host} value=${value} ${Date.parse(time)}000000`)
    .join('\n')
const csv = (rows) => {
  const field = (value) =>
    value === null
      ? ''
      : `"${(typeof value === 'object' ? JSON.stringify(value) : String(value)).replaceAll('"', '""')}"`
  const names = Object.keys(rows[0])
  return [names.join(','), ...rows.map((row) => names.map((name) => field(row[name])).join(','))].join('\n')
}

function poster(agent, url) {
  return (path, contentType, body) =>
    new Promise((resolve, reject) => {
      const sent = request(
        new URL(path, url),
        {
          agent,
          method: 'POST',
          headers: { 'content-type': contentType, 'content-length': Buffer.byteLength(body) },
        },
        (response) => {
          let answer = ''
          response.on('data', (data) => {
            answer += data
          })
          response.on('end', () => {
            if ([201, 202, 204].includes(response.statusCode)) resolve(answer)
            else reject(new Error(`answered ${response.statusCode}: ${answer.slice(0, 500)}`))
          })
        },
      )
      sent.on('error', reject)
      sent.end(body)
    })
}

function inserter(pool, relation, rows) {
  const names = Object.keys(rows[0])
  const size = 1000
  const statement = {
    name: `insert ${relation}`,
    text: `insert into ${relation} (${names}) values ${Array.from(
      { length: size },
      (_, row) => `(${names.map((_, i) => `$${row * names.length + i + 1}`)})`,
    )}`,
  }
  return async () => {
    const client = await pool.connect()
    try {
      await client.query('begin')
      for (let at = 0; at < rows.length; at += size) {
        const values = rows
          .slice(at, at + size)
          .flatMap((row) =>
            names.map((name) => (Array.isArray(row[name]) ? JSON.stringify(row[name]) : row[name])),
          )
        await client.query({ ...statement, values })
      }
      await client.query('commit')
    } finally {
      client.release()
    }
  }
}
