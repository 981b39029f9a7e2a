// What the cases of ingest declare, made with the functions of whichever build is measured: `api` is its index.js.
import { usages } from '../tsbs.mjs'

/** The set of TSBS cpu-only, with two indexes or none. Chunks of 12 hours. */
export function cpuConfig({ defineConfig, hypertable, t }, { indexes }) {
  const columns = {
    time: t.timestamptz(),
    hostname: t.text(),
    ...Object.fromEntries(usages.map((name) => [name, t.float8()])),
  }
  const chunk = '12 hours'
  const cpu = indexes
    ? hypertable('bench.cpu', { columns, time: 'time', chunk, indexes: [['hostname', 'time'], ['time']] })
    : hypertable('bench.cpu', { columns, time: 'time', chunk, timeIndex: false })
  return defineConfig({ datasets: [cpu], ingest: { lineProtocol: { into: [cpu] } } })
}

/** Keywords as a search tool imports them: a key, texts and figures. */
export function pointsConfig({ defineConfig, hypertable, t, table }) {
  const points = hypertable('bench.points', {
    columns: { time: t.timestamptz(), host: t.text(), value: t.float8() },
    time: 'time',
    chunk: '1 day',
    indexes: [['host', 'time']],
  })
  const keywords = table('bench.keywords', {
    columns: {
      id: t.int8(),
      project: t.text(),
      keyword: t.text(),
      language: t.text(),
      country: t.text(),
      intent: t.text().nullable(),
      volume: t.int4().nullable(),
      difficulty: t.float8().nullable(),
      cost: t.numeric(10, 2).nullable(),
      tags: t.jsonb(),
      updated: t.timestamptz(),
    },
    primaryKey: ['id'],
    indexes: [['project', 'keyword']],
  })
  return defineConfig({
    datasets: [points, keywords],
    ingest: { lineProtocol: { into: [points] } },
  })
}

/** Rows that carry a number each, which are frozen, counted by minute and dropped while others come. */
export function steadyConfig(
  { continuousAggregate, count, defineConfig, hypertable, sum, t },
  { chunk, freezeAfter, retain },
) {
  const readings = hypertable('bench.readings', {
    columns: { time: t.timestamptz(), host: t.text(), seq: t.int8(), a: t.float8(), b: t.float8() },
    time: 'time',
    orderBy: ['host'],
    chunk,
    freeze: { after: freezeAfter },
    retain,
  })
  const minutes = continuousAggregate('bench.reading_minutes', {
    from: readings,
    bucket: '1 minute',
    by: ['host'],
    select: { n: count(), seqs: sum('seq'), a: sum('a') },
  })
  return defineConfig({ datasets: [readings, minutes], ingest: { spool: { dir: 'spool', max: '1GB' } } })
}

/** Rows with a number each; those of `clicks` have an event id, too. */
export function chaosConfig({ defineConfig, hypertable, t }, { spoolMax = '64MB' }) {
  const writes = hypertable('bench.writes', {
    columns: { time: t.timestamptz(), seq: t.int8(), note: t.text() },
    time: 'time',
    chunk: '1 day',
    freeze: { after: '1 day' },
  })
  const clicks = hypertable('bench.clicks', {
    columns: { time: t.timestamptz(), seq: t.int8(), id: t.text(), note: t.text() },
    time: 'time',
    chunk: '1 day',
    dedupe: { by: 'id', within: '7 days' },
  })
  return defineConfig({
    datasets: [writes, clicks],
    lake: { dir: 'lake' },
    ingest: { spool: { dir: 'spool', max: spoolMax } },
    limits: { queryTimeout: '10s' },
  })
}

export const configs = { cpuConfig, pointsConfig, steadyConfig, chaosConfig }
