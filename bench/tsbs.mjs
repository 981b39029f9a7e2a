// The cpu-only set of the Time Series Benchmark Suite: hosts that report ten integer-valued gauges every ten seconds,
// each a random walk with steps of N(0, 1) clamped to 0..100, as its simulator does. The same rows for the same seed.
// How well rows compress depends on what is kept of the walk, so the same is there with two decimals and whole.

export const usages = [
  'user',
  'system',
  'idle',
  'nice',
  'iowait',
  'irq',
  'softirq',
  'steal',
  'guest',
  'guest_nice',
].map((name) => `usage_${name}`)

/** 2026-01-01T00:00:00Z */
export const startMs = Date.UTC(2026, 0, 1)

/** What is kept of a value. */
export const tsbsValues = Object.freeze({
  integers: Math.floor,
  'two decimals': (value) => Math.round(value * 100) / 100,
  doubles: (value) => value,
})

export const tsbsDefaults = Object.freeze({
  hosts: 100,
  days: 3,
  everySeconds: 10,
  seed: 20_260_101,
  values: 'integers',
})

export function rowCount({ hosts, days, everySeconds }) {
  return (hosts * days * 86_400) / everySeconds
}

/**
 * Rows in order of time, `[ms, host, values]`; the values are one array that the next row overwrites.
 *
 * @returns {Generator<[number, string, Float64Array]>}
 */
export function* tsbsRows(options = {}) {
  const { hosts, days, everySeconds, seed, values: kind } = { ...tsbsDefaults, ...options }
  const keep = tsbsValues[kind]
  const random = createRandom(seed)
  const count = usages.length
  const state = Float64Array.from({ length: hosts * count }, () => random() * 100)
  const names = Array.from({ length: hosts }, (_, i) => `host_${i}`)
  const values = new Float64Array(count)
  const instants = (days * 86_400) / everySeconds
  for (let at = 0; at < instants; at++) {
    const ms = startMs + at * everySeconds * 1000
    for (let host = 0; host < hosts; host++) {
      for (let i = 0; i < count; i++) {
        const place = host * count + i
        const step = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
        state[place] = Math.min(100, Math.max(0, state[place] + step))
        values[i] = keep(state[place])
      }
      yield [ms, names[host], values]
    }
  }
}

/** Lines for COPY … FROM STDIN (text), in buffers of about 1 MB. */
export function* tsbsCopyText(options = {}) {
  let lines = ''
  let lastMs = -1
  let time = ''
  for (const [ms, host, values] of tsbsRows(options)) {
    if (ms !== lastMs) {
      time = new Date(ms).toISOString()
      lastMs = ms
    }
    lines += `${time}\t${host}\t${values.join('\t')}\n`
    if (lines.length > 1 << 20) {
      yield Buffer.from(lines)
      lines = ''
    }
  }
  if (lines !== '') yield Buffer.from(lines)
}

/** mulberry32: small, fast, the same everywhere. */
export function createRandom(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}
