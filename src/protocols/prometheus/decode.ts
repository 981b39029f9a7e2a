import { type Instant, isTimeOfRow } from '../../time/index.ts'
import { TidemarkError } from '../../util/errors.ts'
import { type Decoded, type Point, Problems, type ProtocolReason, shownValue } from '../contract.ts'
import { ProtobufFault, ProtobufReader } from '../wire/protobuf.ts'
import { unpackSnappy } from '../wire/snappy.ts'
import { EncodingFault, TextCache } from '../wire/text-cache.ts'

export interface RemoteWriteOptions {
  /** Bytes of a request after it is unpacked. Default 64 MiB. */
  readonly maxBytes?: number
  /** Samples of a request. Default 200,000; a Prometheus sends 2,000. */
  readonly maxSamples?: number
  /** Labels of a series. Default 128. */
  readonly maxLabels?: number
  /** Bytes of a label's name and value together. Default 16 KiB. */
  readonly maxLabelBytes?: number
  readonly maxProblems?: number
}

export const remoteWriteDefaults = Object.freeze({
  maxBytes: 64 * 1024 * 1024,
  maxSamples: 200_000,
  maxLabels: 128,
  maxLabelBytes: 16_384,
} satisfies Omit<RemoteWriteOptions, 'maxProblems'>)

/** A sample as a point: the metric is its measurement, the labels (sorted, without `__name__`) its tags, `value` its field. */
export interface Sample extends Point {
  /** Prometheus says that the series ended; the value is NaN. */
  readonly isStale: boolean
}

export interface RemoteWrite extends Decoded<Sample> {
  /** What remote write carries besides samples, and is not taken. */
  readonly exemplars: number
  readonly metadata: number
}

const valueKeys: readonly string[] = Object.freeze(['value'])
/** Prometheus's own NaN; see its model/value package. */
const staleBits = 0x7ff0000000000002n

/**
 * The samples of a request of Prometheus remote write 1.0: snappy's block format around a protobuf WriteRequest.
 *
 * @example
 * const { points, problems } = decodeRemoteWrite(body)
 * @throws TidemarkError TM_BODY when the bytes are not that (nothing is taken then), TM_BODY_TOO_LARGE and TM_LIMIT.
 */
export function decodeRemoteWrite(body: Uint8Array, options: RemoteWriteOptions = {}): RemoteWrite {
  const packed = Buffer.from(body.buffer, body.byteOffset, body.byteLength)
  return decodeWriteRequest(unpackSnappy(packed, options.maxBytes ?? remoteWriteDefaults.maxBytes), options)
}

/** As `decodeRemoteWrite`, of a WriteRequest that is not packed. */
export function decodeWriteRequest(body: Uint8Array, options: RemoteWriteOptions = {}): RemoteWrite {
  const decoder = new Decoder(
    new ProtobufReader(Buffer.from(body.buffer, body.byteOffset, body.byteLength)),
    options,
  )
  try {
    return decoder.decode()
  } catch (fault) {
    if (!(fault instanceof ProtobufFault)) throw fault
    throw new TidemarkError('TM_BODY', {
      problem: `the body is not a WriteRequest of remote write 1.0: ${fault.problem}`,
      todo: 'send protobuf of prometheus.WriteRequest, whole; remote write 2.0 is not taken',
    })
  }
}

/** Why a whole series is not taken. */
interface SeriesFault {
  readonly field: string | null
  readonly value: string | null
  readonly reason: ProtocolReason
  readonly message: string
}

interface Labels {
  name: string
  readonly keys: string[]
  readonly values: string[]
  fault: SeriesFault | null
}

class Decoder {
  readonly #reader: ProtobufReader
  readonly #texts = new TextCache()
  readonly #limits: Required<Omit<RemoteWriteOptions, 'maxProblems' | 'maxBytes'>>
  readonly #problems: Problems
  readonly #points: Sample[] = []
  #index = 0
  #exemplars = 0
  #metadata = 0

  constructor(reader: ProtobufReader, options: RemoteWriteOptions) {
    const d = remoteWriteDefaults
    this.#reader = reader
    this.#problems = new Problems(options.maxProblems)
    this.#limits = {
      maxSamples: options.maxSamples ?? d.maxSamples,
      maxLabels: options.maxLabels ?? d.maxLabels,
      maxLabelBytes: options.maxLabelBytes ?? d.maxLabelBytes,
    }
  }

  decode(): RemoteWrite {
    const reader = this.#reader
    while (reader.next()) {
      if (reader.field === 1) this.#series()
      else {
        if (reader.field === 3) this.#metadata++
        reader.skip()
      }
    }
    return {
      points: this.#points,
      problems: this.#problems.list,
      problemCount: this.#problems.count,
      exemplars: this.#exemplars,
      metadata: this.#metadata,
    }
  }

  #series(): void {
    const reader = this.#reader
    const outer = reader.enter()
    const start = reader.at
    const labels = this.#labels()
    // Fields may come in any order, so the samples are read when all labels are known.
    reader.seek(start)
    while (reader.next()) {
      switch (reader.field) {
        case 2:
          this.#sample(labels)
          break
        case 3:
          this.#exemplars++
          reader.skip()
          break
        case 4:
          this.#count()
          this.#refuse(labels.name, null, 'unsupported', null, unsupportedHistogram)
          reader.skip()
          break
        default:
          reader.skip()
      }
    }
    reader.leave(outer)
  }

  #labels(): Labels {
    const reader = this.#reader
    const labels: Labels = { name: '', keys: [], values: [], fault: null }
    let isSorted = true
    while (reader.next()) {
      if (reader.field !== 1) {
        reader.skip()
        continue
      }
      const outer = reader.enter()
      const size = reader.end - reader.at
      let name = ''
      let value = ''
      try {
        if (size > this.#limits.maxLabelBytes) {
          labels.fault ??= fault(
            'limit',
            null,
            null,
            `a label is longer than ${this.#limits.maxLabelBytes} bytes`,
          )
        } else
          while (reader.next()) {
            if (reader.field === 1) name = this.#text()
            else if (reader.field === 2) value = this.#text()
            else reader.skip()
          }
      } catch (problem) {
        if (!(problem instanceof EncodingFault)) throw problem
        labels.fault ??= fault('encoding', name || null, null, 'a label is not UTF-8; send UTF-8')
      }
      reader.leave(outer)
      if (labels.fault !== null) continue
      if (name === '') labels.fault = fault('null', null, shownValue(value), 'a label has no name')
      else if (name === '__name__') {
        if (labels.name !== '') labels.fault = fault('duplicate', name, null, 'the metric has two names')
        labels.name = value
      } else if (labels.keys.length >= this.#limits.maxLabels) {
        labels.fault = fault('limit', name, null, `the series has more than ${this.#limits.maxLabels} labels`)
      } else if (value !== '') {
        // an empty label is the same as none, says the data model
        const last = labels.keys.length - 1
        if (last >= 0 && labels.keys[last]! >= name) isSorted = false
        labels.keys.push(name)
        labels.values.push(value)
      }
    }
    if (labels.fault === null && labels.name === '')
      labels.fault = fault('null', '__name__', null, 'the series has no name; give it the label __name__')
    return isSorted || labels.fault !== null ? labels : sorted(labels)
  }

  #sample(labels: Labels): void {
    const reader = this.#reader
    const outer = reader.enter()
    let bits = 0
    let value = 0
    let isStale = false
    let millis = 0n
    while (reader.next()) {
      if (reader.field === 1) {
        bits = reader.at
        value = reader.double()
        isStale = Number.isNaN(value) && reader.bytes.readBigUInt64LE(bits) === staleBits
      } else if (reader.field === 2) millis = reader.int64()
      else reader.skip()
    }
    reader.leave(outer)
    this.#count()
    if (labels.fault !== null) {
      const { field, value, reason, message } = labels.fault
      this.#refuse(labels.name, field, reason, value, message)
      return
    }
    const time: Instant = millis * 1000n
    if (!isTimeOfRow(time)) {
      this.#refuse(
        labels.name,
        'timestamp',
        'range',
        `${millis}`,
        `timestamp ${millis} milliseconds since 1970 is outside of the times that rows can have`,
      )
      return
    }
    this.#points.push({
      index: this.#index++,
      measurement: labels.name,
      tagKeys: labels.keys,
      tagValues: labels.values,
      fieldKeys: valueKeys,
      fieldValues: [value],
      time,
      isStale,
    })
  }

  #text(): string {
    const from = this.#reader.span()
    return this.#texts.text(this.#reader.bytes, from, this.#reader.at)
  }

  /** An empty sample is two bytes, and an object some hundred. */
  #count(): void {
    if (this.#index >= this.#limits.maxSamples)
      throw new TidemarkError('TM_LIMIT', {
        what: 'the number of samples of the request',
        value: `over ${this.#limits.maxSamples}`,
        limit: `${this.#limits.maxSamples}`,
        todo: 'send smaller requests (max_samples_per_send)',
      })
  }

  #refuse(
    metric: string,
    field: string | null,
    reason: ProtocolReason,
    value: string | null,
    message: string,
  ): void {
    this.#problems.add({
      index: this.#index++,
      line: null,
      column: null,
      field,
      value,
      reason,
      message: metric === '' ? message : `${shownValue(metric)}: ${message}`,
      text: null,
    })
  }
}

const unsupportedHistogram =
  'native histograms are not taken; leave send_native_histograms off, classic histograms are series of their own'

function fault(
  reason: ProtocolReason,
  field: string | null,
  value: string | null,
  message: string,
): SeriesFault {
  return { field, value, reason, message }
}

/** Senders must sort labels; some do not. */
function sorted(labels: Labels): Labels {
  const order = labels.keys.map((_, i) => i)
  const { keys, values } = labels
  order.sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : 0))
  const sortedKeys = order.map((i) => keys[i]!)
  const twice = sortedKeys.find((key, i) => i > 0 && sortedKeys[i - 1] === key)
  return {
    name: labels.name,
    keys: sortedKeys,
    values: order.map((i) => values[i]!),
    fault:
      twice === undefined
        ? null
        : fault('duplicate', twice, null, `label ${JSON.stringify(twice)} is there twice`),
  }
}
