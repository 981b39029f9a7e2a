import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { latencyBuckets, type MetricDefinition, metricTable } from './metric-table.ts'

type InstrumentOf<D extends MetricDefinition> = D['type'] extends 'histogram'
  ? Histogram<D['labels'][number]>
  : D['type'] extends 'counter'
    ? Counter<D['labels'][number]>
    : Gauge<D['labels'][number]>

type Instruments = {
  readonly [G in keyof typeof metricTable]: {
    readonly [K in keyof (typeof metricTable)[G]]: (typeof metricTable)[G][K] extends MetricDefinition
      ? InstrumentOf<(typeof metricTable)[G][K]>
      : never
  }
}

/** One instrument for each metric of the table. */
export function createInstruments(registry: Registry): Instruments {
  return Object.fromEntries(
    Object.entries(metricTable).map(([group, metrics]) => [
      group,
      Object.fromEntries(
        Object.entries(metrics).map(([key, definition]) => [key, createInstrument(registry, definition)]),
      ),
    ]),
  ) as unknown as Instruments
}

function createInstrument(
  registry: Registry,
  { name, type, labels, help }: MetricDefinition,
): Counter | Gauge | Histogram {
  const given = { name, help, labelNames: [...labels], registers: [registry] }
  if (type === 'histogram') return new Histogram({ ...given, buckets: [...latencyBuckets] })
  const instrument = type === 'counter' ? new Counter(given) : new Gauge(given)
  // what has not been measured is absent, not 0
  clear(instrument)
  return instrument
}

/** Takes every value away: absent is not 0. */
export function clear(instrument: Counter | Gauge): void {
  instrument.reset()
  // prom-client starts those without labels at 0
  instrument.remove({})
}

/** A counter that is counted elsewhere. */
export function setCounter<L extends string>(
  counter: Counter<L>,
  labels: Partial<Record<L, string>>,
  value: number,
): void {
  counter.remove(labels)
  counter.inc(labels, value)
}
