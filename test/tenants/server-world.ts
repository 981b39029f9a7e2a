import diagnostics from 'node:diagnostics_channel'
import type { FastifyInstance } from 'fastify'
import protobuf from 'protobufjs'
import { compress } from 'snappyjs'
import { defineConfig, hypertable, metricsTable, samplesTable, t } from '../../src/schema/index.ts'
import { hourly, meters, plans, projects, visits } from './world.ts'

/** A server that takes everything, into tables with tenants. */

const points = hypertable('site.points', {
  columns: { time: t.timestamptz(), tenant: t.text(), host: t.text(), usage: t.float8().nullable() },
  time: 'time',
  tenant: 'tenant',
})
/** Measurements that have no table of their own. */
export const anything = metricsTable('site.anything', { tenant: 'tenant' })
export const samples = samplesTable('site.samples', { tenant: 'tenant' })
const otelMetrics = hypertable('otel.metrics', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    metric: t.text(),
    value: t.float8().nullable(),
    attributes: t.jsonb(),
  },
  time: 'time',
  tenant: 'tenant',
})
const otelLogs = hypertable('otel.logs', {
  columns: { time: t.timestamptz(), tenant: t.text(), body: t.text().nullable() },
  time: 'time',
  tenant: 'tenant',
})
const calls = hypertable('otel.calls', {
  columns: { time: t.timestamptz(), tenant: t.text(), model: t.text().nullable(), status: t.text() },
  time: 'time',
  tenant: 'tenant',
})
const events = hypertable('site.events', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    event_id: t.uuid().nullable(),
    event_name: t.text(),
    category: t.text(),
    user_id: t.text().nullable(),
    properties: t.jsonb().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  dedupe: { by: 'event_id', within: '7 days' },
})

export const serverConfig = defineConfig({
  datasets: [
    visits,
    meters,
    projects,
    plans,
    hourly,
    points,
    anything,
    samples,
    otelMetrics,
    otelLogs,
    calls,
    events,
  ],
  lake: { dir: 'lake', threads: 1, summaryShare: 1 },
  ingest: {
    lineProtocol: { into: [points], catchAll: anything },
    prometheus: samples,
    otlp: { metrics: otelMetrics, logs: otelLogs, genAi: calls },
    analytics: { into: events, origins: '*' },
  },
  server: { auth: { keys: true } },
})

/** Tables that the walk writes to. */
export const written = [
  visits,
  projects,
  points,
  anything,
  samples,
  otelMetrics,
  otelLogs,
  calls,
  events,
] as const

/** Routes as they are made, whoever makes them, of servers that are created inside of `use`. */
export async function collectRoutes<T>(
  use: () => Promise<T>,
): Promise<{ readonly made: T; readonly routes: readonly string[] }> {
  const routes = new Set<string>()
  const watch = (message: unknown): void => {
    const { fastify } = message as { fastify: FastifyInstance }
    fastify.addHook('onRoute', ({ method, url }) => {
      for (const one of [method].flat()) routes.add(`${one} ${url}`)
    })
  }
  diagnostics.subscribe('fastify.initialization', watch)
  try {
    return { made: await use(), routes: [...routes].sort() }
  } finally {
    diagnostics.unsubscribe('fastify.initialization', watch)
  }
}

const { root } = protobuf.parse(`
  syntax = "proto3";
  message WriteRequest { repeated TimeSeries timeseries = 1; }
  message TimeSeries { repeated Label labels = 1; repeated Sample samples = 2; }
  message Label { string name = 1; string value = 2; }
  message Sample { double value = 1; int64 timestamp = 2; }
`)
const writeRequest = root.lookupType('WriteRequest')

/** A body of Prometheus. */
export function remoteWrite(labels: Readonly<Record<string, string>>): Buffer {
  const timeseries = [
    {
      labels: Object.entries(labels).map(([name, value]) => ({ name, value })),
      samples: [{ value: 1, timestamp: Date.parse('2026-03-05T01:00:00Z') }],
    },
  ]
  const message = writeRequest.encode(writeRequest.fromObject({ timeseries })).finish()
  return Buffer.from(compress(Buffer.from(message)))
}
