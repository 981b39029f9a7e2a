import fc from 'fast-check'
import protobuf from 'protobufjs'
import { compress } from 'snappyjs'
import { describe, expect, it } from 'vitest'
import { decodeRemoteWrite, decodeWriteRequest } from '../../src/protocols/index.ts'

/** prometheus/prompb, as far as a sender uses it; encoded by a library that is not ours. */
const { root } = protobuf.parse(`
  syntax = "proto3";
  message WriteRequest { repeated TimeSeries timeseries = 1; repeated MetricMetadata metadata = 3; }
  message MetricMetadata { int32 type = 1; string metric_family_name = 2; string help = 4; string unit = 5; }
  message TimeSeries {
    repeated Label labels = 1; repeated Sample samples = 2; repeated Exemplar exemplars = 3; repeated Histogram histograms = 4;
  }
  message Label { string name = 1; string value = 2; }
  message Sample { double value = 1; int64 timestamp = 2; }
  message Exemplar { repeated Label labels = 1; double value = 2; int64 timestamp = 3; }
  message Histogram { uint64 count_int = 1; double sum = 3; sint32 schema = 4; int64 timestamp = 15; }
`)
const writeRequest = root.lookupType('WriteRequest')

interface Series {
  labels: { name: string; value: string }[]
  samples?: { value: number; timestamp: number }[]
  exemplars?: unknown[]
  histograms?: unknown[]
}

function encode(timeseries: Series[], metadata: unknown[] = []): Buffer {
  return Buffer.from(writeRequest.encode(writeRequest.fromObject({ timeseries, metadata })).finish())
}

function labels(values: Record<string, string>): Series['labels'] {
  return Object.entries(values).map(([name, value]) => ({ name, value }))
}

function decode(timeseries: Series[], options = {}) {
  return decodeRemoteWrite(compress(encode(timeseries)), options)
}

const one = (values: Record<string, string>): Series[] => [
  { labels: labels(values), samples: [{ value: 1, timestamp: 1_767_225_600_123 }] },
]

describe('remote write', () => {
  it('reads samples with their labels and milliseconds', () => {
    const { points, problems } = decode([
      {
        labels: labels({ __name__: 'http_requests_total', code: '200', path: '/ü' }),
        samples: [
          { value: 5, timestamp: 1_767_225_600_123 },
          { value: -0.5, timestamp: -1 },
        ],
      },
    ])
    expect(problems).toEqual([])
    const tags = { tagKeys: ['code', 'path'], tagValues: ['200', '/ü'] }
    expect(points).toMatchObject([
      { index: 0, measurement: 'http_requests_total', ...tags, fieldKeys: ['value'], fieldValues: [5] },
      { index: 1, ...tags, fieldValues: [-0.5], time: -1000n },
    ])
    expect(points[0]!.time).toBe(1_767_225_600_123_000n)
  })

  it('tells a stale marker from a NaN that was measured', () => {
    const bytes = encode([
      {
        labels: labels({ __name__: 'm' }),
        samples: [
          { value: Number.NaN, timestamp: 1 },
          { value: 3.25, timestamp: 2 },
        ],
      },
    ])
    const marker = Buffer.alloc(8)
    marker.writeBigUInt64LE(0x7ff0000000000002n)
    const plain = Buffer.alloc(8)
    plain.writeDoubleLE(3.25)
    marker.copy(bytes, bytes.indexOf(plain))
    const { points } = decodeWriteRequest(bytes)
    expect(points.map((p) => [p.fieldValues[0], p.isStale])).toEqual([
      [Number.NaN, false],
      [Number.NaN, true],
    ])
  })

  it('sorts labels, and takes an empty one as none', () => {
    const { points } = decode(one({ z: '1', __name__: 'm', a: '2', empty: '' }))
    expect([points[0]!.tagKeys, points[0]!.tagValues]).toEqual([
      ['a', 'z'],
      ['2', '1'],
    ])
  })

  it.each([
    ['null', [{ name: 'a', value: 'b' }]],
    ['null', labels({ __name__: '' })],
    ['null', labels({ __name__: 'm', '': 'x' })],
    ['duplicate', [...labels({ __name__: 'm', a: '1' }), ...labels({ a: '2' })]],
    ['duplicate', [...labels({ __name__: 'm' }), ...labels({ __name__: 'n' })]],
    ['limit', labels({ __name__: 'm', a: '1', b: '2', c: '3', d: '4' })],
    ['limit', labels({ __name__: 'm', a: 'x'.repeat(300) })],
  ] as const)('refuses a series for %s, and takes the others', (reason, bad) => {
    const samples = [
      { value: 1, timestamp: 1 },
      { value: 2, timestamp: 2 },
    ]
    const { points, problems } = decode(
      [
        { labels: [...bad], samples },
        { labels: labels({ __name__: 'good' }), samples },
      ],
      { maxLabels: 3, maxLabelBytes: 200 },
    )
    expect(problems.map((p) => [p.index, p.reason])).toEqual([
      [0, reason],
      [1, reason],
    ])
    expect(points.map((p) => [p.index, p.measurement])).toEqual([
      [2, 'good'],
      [3, 'good'],
    ])
  })

  it('refuses labels that are not UTF-8, and times that no row can have', () => {
    const bytes = encode(one({ __name__: 'm', a: 'QQ' }))
    bytes.fill(0xff, bytes.indexOf('QQ'), bytes.indexOf('QQ') + 2)
    expect(decodeWriteRequest(bytes).problems).toMatchObject([{ reason: 'encoding', field: 'a' }])
    const late = decode([{ labels: labels({ __name__: 'm' }), samples: [{ value: 1, timestamp: 2 ** 60 }] }])
    expect(late.problems).toMatchObject([
      { reason: 'range', field: 'timestamp', value: (2n ** 60n).toString() },
    ])
  })

  it('counts exemplars and metadata, and refuses native histograms by name', () => {
    const series: Series = {
      labels: labels({ __name__: 'latency' }),
      samples: [{ value: 1, timestamp: 1 }],
      exemplars: [{ labels: labels({ trace_id: 'x' }), value: 1, timestamp: 1 }],
      histograms: [{ count_int: 4, sum: 2, schema: -3, timestamp: 1 }],
    }
    const body = compress(encode([series], [{ type: 1, metric_family_name: 'latency', help: 'h' }]))
    const { points, problems, exemplars, metadata } = decodeRemoteWrite(body)
    expect([points.length, exemplars, metadata]).toEqual([1, 1, 1])
    expect(problems).toMatchObject([{ index: 1, reason: 'unsupported' }])
    expect(problems[0]!.message).toContain('latency')
  })

  it('takes no more samples than its limit', () => {
    const samples = Array.from({ length: 11 }, (_, i) => ({ value: i, timestamp: i }))
    const series = [{ labels: labels({ __name__: 'm' }), samples }]
    expect(decode(series, { maxSamples: 11 }).points).toHaveLength(11)
    expect(() => decode(series, { maxSamples: 10 })).toThrow(/over the limit of 10/)
  })

  it('reads what an independent encoder writes', () => {
    const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter((s) => s !== '__name__')
    const series = fc.record({
      metric: name,
      labels: fc.uniqueArray(fc.tuple(name, fc.string({ minLength: 1, unit: 'grapheme' })), {
        maxLength: 6,
        selector: ([key]) => key,
      }),
      samples: fc.array(fc.record({ value: fc.double(), timestamp: fc.integer({ min: -1e12, max: 1e13 }) }), {
        maxLength: 4,
      }),
    })
    fc.assert(
      fc.property(fc.array(series, { maxLength: 8 }), (written) => {
        const { points, problems } = decode(
          written.map((s) => ({
            labels: [
              { name: '__name__', value: s.metric },
              ...s.labels.map(([name, value]) => ({ name, value })),
            ],
            samples: s.samples,
          })),
        )
        expect(problems).toEqual([])
        const read = points.map((p) => ({
          metric: p.measurement,
          labels: Object.fromEntries(p.tagKeys.map((key, i) => [key, p.tagValues[i]])),
          value: p.fieldValues[0],
          time: p.time,
        }))
        expect(read).toEqual(
          written.flatMap((s) =>
            s.samples.map(({ value, timestamp }) => ({
              metric: s.metric,
              labels: Object.fromEntries(s.labels),
              value,
              time: BigInt(timestamp) * 1000n,
            })),
          ),
        )
      }),
      { numRuns: 200 },
    )
  })

  it('unpacks what snappy packs, with long repetitions and without', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.integer({ min: 1, max: 400 })),
          {
            maxLength: 12,
          },
        ),
        (pieces) => {
          const value = Buffer.concat(pieces.flatMap(([piece, times]) => Array(times).fill(piece)))
          // a label's value carries the bytes through the whole path, as Latin-1
          const text = value.toString('latin1')
          const { points } = decode(one({ __name__: 'm', a: `x${text}` }), { maxLabelBytes: 1e9 })
          expect(points[0]!.tagValues[0] === `x${text}`).toBe(true)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('answers any bytes with samples, problems or TM_BODY', () => {
    const good = compress(
      encode([...one({ __name__: 'm', a: 'b' }), ...one({ __name__: 'n', c: 'dddddddddddddd' })]),
    )
    let refused = 0
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(good.length),
        (changes, cut) => {
          const bytes = Buffer.from(good)
          for (const [at, byte] of changes) bytes[at] = byte
          try {
            decodeRemoteWrite(cut % 3 === 0 ? bytes.subarray(0, cut) : bytes)
          } catch (error) {
            refused++
            expect(error).toMatchObject({ name: 'TidemarkError' })
            expect(['TM_BODY', 'TM_BODY_TOO_LARGE']).toContain((error as { code: string }).code)
          }
        },
      ),
      { numRuns: 2000 },
    )
    expect(refused).toBeGreaterThan(100)
  })

  it('allocates nothing for a header that lies', () => {
    const header = (size: number, rest: number): Buffer => {
      const bytes: number[] = []
      for (let left = size; ; left = Math.floor(left / 128)) {
        if (left < 128) {
          bytes.push(left)
          break
        }
        bytes.push((left % 128) | 128)
      }
      return Buffer.concat([Buffer.from(bytes), Buffer.alloc(rest)])
    }
    expect(() => decodeRemoteWrite(header(4_000_000_000, 10))).toThrow(/larger than 67108864 bytes/)
    expect(() => decodeRemoteWrite(header(60_000_000, 10))).toThrow(/more than its 14 bytes can hold/)
    expect(() => decodeRemoteWrite(Buffer.alloc(0))).toThrow(/does not start with a length/)
    // shorter than it says: bytes that nobody wrote are not read
    expect(() => decodeRemoteWrite(Buffer.from([5, 0, 65]))).toThrow(/holds 1 bytes where its header says 5/)
    expect(() => decodeRemoteWrite(Buffer.from([8, 0, 65, 0b1110_0001, 200]))).toThrow(/before its start/)
  })

  it('says so when the body is in snappy’s framing format', () => {
    const framed = Buffer.from([0xff, 6, 0, 0, 0x73, 0x4e, 0x61, 0x50, 0x70, 0x59, 1, 2])
    expect(() => decodeRemoteWrite(framed)).toThrow(/framing format/)
  })
})
