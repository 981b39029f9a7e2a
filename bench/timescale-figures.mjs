// TimescaleDB 2.28.3 on PostgreSQL 15. Constants: they were measured once, on another machine of this kind (2 cores, quiet),
// with the same set (100 hosts, 10 s, 3 days, ten gauges, indexes (hostname, time) and (time)). Ratios to them are no ratios of
// one run, so nothing is proven by them that is not far from 1.

/** Milliseconds, median, over compressed chunks; the better one where there were two. */
export const timescaleQueryMs = Object.freeze({
  'single-groupby-1-1-1': 0.67,
  'single-groupby-1-1-12': 0.89,
  'single-groupby-5-8-1': 1.2,
  'cpu-max-all-8': 2.6,
  'double-groupby-1': 17,
  'double-groupby-5': 33,
  'double-groupby-all': 51,
  'high-cpu-1': 0.6,
  'high-cpu-all': 33,
  lastpoint: 5.0,
  'groupby-orderby-limit': 2.5,
})

/** Bytes of 2,592,000 rows: as rows with indexes, and compressed. */
export const timescaleBytes = Object.freeze({
  integers: { rows: 524.5e6, compressed: 24.9e6 },
  'two decimals': { rows: 519.2e6, compressed: 217.5e6 },
  doubles: { rows: 519.4e6, compressed: 217.5e6 },
})

/** Rows a second by COPY of text straight into compressed chunks: one client, two clients. */
export const timescaleLoad = Object.freeze({ oneClient: 633_000, twoClients: 1_160_000 })

export const timescaleNote =
  'TimescaleDB 2.28.3 (PostgreSQL 15) was measured on another machine of this kind, not in this run.'
