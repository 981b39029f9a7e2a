import {
  infiniteDay,
  infinitePastDay,
  infinityInstant,
  minusInfinityInstant,
  textOfDay,
} from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { postgresEpochDays, postgresEpochMicros } from './epoch.ts'

/**
 * PostgreSQL's binary result format, read without loss:
 *
 * | PostgreSQL | JavaScript |
 * | --- | --- |
 * | bool | boolean |
 * | int2, int4, oid, xid | number |
 * | int8, xid8 | bigint |
 * | float4, float8 | number; a float4 is the double of equal value (0.1 reads as 0.10000000149011612) |
 * | numeric | decimal string with its scale, or `NaN`, `Infinity`, `-Infinity` |
 * | text, varchar, bpchar, name, "char", xml, cstring | string |
 * | uuid | string |
 * | timestamptz, timestamp | bigint: microseconds since 1970; the infinities as time/ has them |
 * | date | `YYYY-MM-DD` (more digits of a year where it has them, ` BC` behind one before 1), `infinity`, `-infinity` |
 * | json, jsonb | what JSON.parse makes of it |
 * | bytea | Uint8Array (a copy of its own) |
 * | pg_snapshot, pg_lsn | string as PostgreSQL writes it |
 * | void | null |
 * | arrays of these | nested arrays with null |
 *
 * Any other type is one error that names the column and says to cast it to text.
 */

export type Decode = (bytes: Buffer, start: number, end: number) => unknown

const decodeText: Decode = (bytes, start, end) => bytes.toString('utf8', start, end)
const decodeJson: Decode = (bytes, start, end) => JSON.parse(bytes.toString('utf8', start, end))
const decodeUint4: Decode = (bytes, start) => bytes.readUInt32BE(start)
const decodeUint8: Decode = (bytes, start) => bytes.readBigUInt64BE(start)

let lastHigh = 0
let lastLow = 0
let lastInstant = postgresEpochMicros

/** The value before is often the same (rows in order of time, buckets of groups): then no bigint is made anew. */
function decodeTimestamp(bytes: Buffer, start: number): bigint {
  const high = bytes.readInt32BE(start)
  const low = bytes.readUInt32BE(start + 4)
  if (high === lastHigh && low === lastLow) return lastInstant
  const micros = bytes.readBigInt64BE(start)
  lastHigh = high
  lastLow = low
  const isInfinite = micros === infinityInstant || micros === minusInfinityInstant
  lastInstant = isInfinite ? micros : micros + postgresEpochMicros
  return lastInstant
}

function decodeDate(bytes: Buffer, start: number): string {
  const days = bytes.readInt32BE(start)
  return textOfDay(days === infiniteDay || days === infinitePastDay ? days : days + postgresEpochDays)
}

function pad(value: number, length: number): string {
  return String(value).padStart(length, '0')
}

const hexPairs: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

function decodeUuid(bytes: Buffer, start: number): string {
  let text = ''
  for (let i = 0; i < 16; i += 1) {
    if (i === 4 || i === 6 || i === 8 || i === 10) text += '-'
    text += hexPairs[bytes[start + i]!]!
  }
  return text
}

/** Base-10000 digits: ndigits, weight of the first digit, sign, display scale (numeric_send). */
function decodeNumeric(bytes: Buffer, start: number): string {
  const count = bytes.readUInt16BE(start)
  const weight = bytes.readInt16BE(start + 2)
  const sign = bytes.readUInt16BE(start + 4)
  const scale = bytes.readUInt16BE(start + 6)
  if (sign === 0xc000) return 'NaN'
  if (sign === 0xd000) return 'Infinity'
  if (sign === 0xf000) return '-Infinity'
  const digit = (i: number): number => (i >= 0 && i < count ? bytes.readUInt16BE(start + 8 + i * 2) : 0)
  let whole = ''
  for (let i = 0; i <= weight; i += 1) whole += i === 0 ? String(digit(i)) : pad(digit(i), 4)
  if (whole === '') whole = '0'
  let fraction = ''
  for (let i = weight + 1; fraction.length < scale; i += 1) fraction += pad(digit(i), 4)
  const minus = sign === 0x4000 ? '-' : ''
  return scale > 0 ? `${minus}${whole}.${fraction.slice(0, scale)}` : minus + whole
}

function decodeSnapshot(bytes: Buffer, start: number): string {
  const count = bytes.readInt32BE(start)
  const running: string[] = []
  for (let i = 0; i < count; i += 1) running.push(String(bytes.readBigInt64BE(start + 20 + i * 8)))
  return `${bytes.readBigInt64BE(start + 4)}:${bytes.readBigInt64BE(start + 12)}:${running.join(',')}`
}

function decodeLsn(bytes: Buffer, start: number): string {
  const high = bytes.readUInt32BE(start).toString(16).toUpperCase()
  return `${high}/${bytes
    .readUInt32BE(start + 4)
    .toString(16)
    .toUpperCase()}`
}

/** Dimensions, null flag, element type; length and lower bound of each dimension; elements (array_send). */
function decodeArray(bytes: Buffer, start: number): unknown {
  const dimensions = bytes.readInt32BE(start)
  const elementType = bytes.readUInt32BE(start + 8)
  if (dimensions === 0) return []
  const decode = decoders.get(elementType)
  if (!decode) throw unreadable(elementType)
  const lengths: number[] = []
  for (let i = 0; i < dimensions; i += 1) lengths.push(bytes.readInt32BE(start + 12 + i * 8))
  let offset = start + 12 + dimensions * 8
  const read = (dimension: number): unknown[] => {
    const length = lengths[dimension]!
    const values = new Array<unknown>(length)
    for (let i = 0; i < length; i += 1) {
      if (dimension + 1 < dimensions) {
        values[i] = read(dimension + 1)
        continue
      }
      const size = bytes.readInt32BE(offset)
      offset += 4
      if (size < 0) values[i] = null
      else {
        values[i] = decode(bytes, offset, offset + size)
        offset += size
      }
    }
    return values
  }
  return read(0)
}

const decoders: ReadonlyMap<number, Decode> = new Map<number, Decode>([
  [16, (bytes, start) => bytes[start] === 1],
  [17, (bytes, start, end) => new Uint8Array(bytes.subarray(start, end))],
  [18, decodeText],
  [19, decodeText],
  [20, (bytes, start) => bytes.readBigInt64BE(start)],
  [21, (bytes, start) => bytes.readInt16BE(start)],
  [23, (bytes, start) => bytes.readInt32BE(start)],
  [25, decodeText],
  [26, decodeUint4],
  [28, decodeUint4],
  [29, decodeUint4],
  [114, decodeJson],
  [142, decodeText],
  [700, (bytes, start) => bytes.readFloatBE(start)],
  [701, (bytes, start) => bytes.readDoubleBE(start)],
  [705, decodeText],
  [1042, decodeText],
  [1043, decodeText],
  [1082, decodeDate],
  [1114, decodeTimestamp],
  [1184, decodeTimestamp],
  [1700, decodeNumeric],
  [2275, decodeText],
  [2278, () => null],
  [2950, decodeUuid],
  [2970, decodeSnapshot],
  [3220, decodeLsn],
  // jsonb: a version byte, then text
  [3802, (bytes, start, end) => JSON.parse(bytes.toString('utf8', start + 1, end))],
  [5038, decodeSnapshot],
  [5069, decodeUint8],
  // int2vector, oidvector and the array types of the above
  ...[
    22, 30, 143, 199, 271, 1000, 1001, 1002, 1003, 1005, 1007, 1009, 1011, 1014, 1015, 1016, 1021, 1022,
  ].map((oid): [number, Decode] => [oid, decodeArray]),
  ...[1028, 1115, 1182, 1185, 1231, 1263, 2949, 2951, 3221, 3807, 5039].map((oid): [number, Decode] => [
    oid,
    decodeArray,
  ]),
])

function unreadable(oid: number, column?: string): TidemarkError {
  const of = column === undefined ? 'an array' : `column "${column}"`
  return new TidemarkError('TM_DATABASE', {
    sqlstate: '0A000',
    problem: `${of} has the type with OID ${oid}, which is not read; cast it in the statement, for example to text`,
  })
}

/** The decoder of a column's type, or the error that names the column. */
export function decoderFor(oid: number, column: string): Decode {
  const decode = decoders.get(oid)
  if (!decode) throw unreadable(oid, column)
  return decode
}
