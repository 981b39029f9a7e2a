import {
  dayOfText,
  infiniteDay,
  infinitePastDay,
  infinityInstant,
  minusInfinityInstant,
} from '../time/index.ts'
import type { CopyOutput } from './copy-output.ts'
import { postgresEpochDays, postgresEpochHigh, postgresEpochLow, postgresEpochMicros } from './epoch.ts'

/**
 * What a column of COPY may be. Values are canonical: timestamptz microseconds since 1970 as bigint or as a safe integer
 * (±infinity: `infinityInstant`, `minusInfinityInstant`), date `YYYY-MM-DD` or ±infinity, int8 bigint or safe integer,
 * int2/int4/float4/float8 number, numeric a decimal string (NaN, Infinity, -Infinity too), uuid text, bool boolean, jsonb its
 * JSON text, text string, text[] an array of string or null, bytea a Uint8Array; null everywhere.
 */
export type CopyType =
  | 'timestamptz'
  | 'date'
  | 'text'
  | 'uuid'
  | 'bool'
  | 'int2'
  | 'int4'
  | 'int8'
  | 'float4'
  | 'float8'
  | 'numeric'
  | 'jsonb'
  | 'text[]'
  | 'bytea'

const textOid = 25

/** Bytes of a value without its length word; 0: depends on the value. */
export const fixedBytes: Readonly<Record<CopyType, number>> = {
  timestamptz: 8,
  date: 4,
  text: 0,
  uuid: 16,
  bool: 1,
  int2: 2,
  int4: 4,
  int8: 8,
  float4: 4,
  float8: 8,
  numeric: 0,
  jsonb: 0,
  'text[]': 0,
  bytea: 0,
}

export type CopyWriter = (out: CopyOutput, value: unknown) => void

function wrongValue(type: CopyType, value: unknown): TypeError {
  return new TypeError(
    `a ${value === null ? 'null' : typeof value} was given to COPY where ${type} is needed`,
  )
}

/** 64-bit two's complement of a safe integer. */
export function writeSafeInteger(view: DataView, at: number, value: number): void {
  const high = Math.floor(value / 4294967296)
  view.setInt32(at, high)
  view.setUint32(at + 4, value - high * 4294967296)
}

/** Microseconds since 1970 as those since 2000; their difference may be no safe integer (before 1714). */
export function writeInstant(view: DataView, at: number, micros: number): void {
  const high = Math.floor(micros / 4294967296)
  const low = micros - high * 4294967296 - postgresEpochLow
  view.setInt32(at, high - postgresEpochHigh - (low < 0 ? 1 : 0))
  view.setInt32(at + 4, low)
}

/** The length word of a value of that many bytes; gives where the value goes. */
function place(out: CopyOutput, bytes: number): number {
  const { at } = out
  out.view.setInt32(at, bytes)
  out.at = at + 4 + bytes
  return at + 4
}

const writeTimestamp: CopyWriter = (out, value) => {
  const at = place(out, 8)
  if (typeof value === 'number') writeInstant(out.view, at, value)
  else if (value === infinityInstant || value === minusInfinityInstant) out.view.setBigInt64(at, value)
  else out.view.setBigInt64(at, BigInt.asIntN(64, (value as bigint) - postgresEpochMicros))
}

const writeInt8: CopyWriter = (out, value) => {
  const at = place(out, 8)
  if (typeof value === 'bigint') out.view.setBigInt64(at, value)
  else writeSafeInteger(out.view, at, value as number)
}

const writeInt4: CopyWriter = (out, value) => out.view.setInt32(place(out, 4), value as number)

const writeInt2: CopyWriter = (out, value) => out.view.setInt16(place(out, 2), value as number)

const writeFloat8: CopyWriter = (out, value) => out.view.setFloat64(place(out, 8), value as number)

const writeFloat4: CopyWriter = (out, value) => out.view.setFloat32(place(out, 4), value as number)

const writeBool: CopyWriter = (out, value) => out.view.setUint8(place(out, 1), value ? 1 : 0)

/** Days since 2000; the infinities as they are. */
function dateDays(text: string): number {
  const day = dayOfText(text)
  if (day === infiniteDay || day === infinitePastDay) return day
  if (Number.isNaN(day)) throw wrongValue('date', text)
  return day - postgresEpochDays
}

const writeDate: CopyWriter = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('date', value)
  const { view, at } = out
  view.setInt32(at, 4)
  view.setInt32(at + 4, dateDays(value))
  out.at = at + 8
}

function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const lower = code | 32
  return lower >= 97 && lower <= 102 ? lower - 87 : -1
}

const writeUuid: CopyWriter = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('uuid', value)
  const { view, bytes, at } = out
  view.setInt32(at, 16)
  let digits = 0
  let high = 0
  for (let i = 0; i < value.length; i += 1) {
    const code = value.charCodeAt(i)
    if (code === 45) continue
    const digit = hexDigit(code)
    if (digit < 0 || digits === 32) throw wrongValue('uuid', value)
    if ((digits & 1) === 0) high = digit << 4
    else bytes[at + 4 + (digits >> 1)] = high | digit
    digits += 1
  }
  if (digits !== 32) throw wrongValue('uuid', value)
  out.at = at + 20
}

/** Up to here a loop over the characters is quicker than a call into the runtime (measured: about 40). */
const loopChars = 40

/** The text's bytes at `at`; gives their end. There is room for three bytes a character. */
function writeUtf8(bytes: Buffer, at: number, text: string): number {
  const length = text.length
  if (length <= loopChars) {
    let i = 0
    for (; i < length; i += 1) {
      const code = text.charCodeAt(i)
      if (code > 127) break
      bytes[at + i] = code
    }
    if (i === length) return at + length
  }
  return at + (bytes as Buffer).write(text, at)
}

/** For a value of its own length, and for what is left of its row at the most. */
function makeRoom(out: CopyOutput, room: number): void {
  if (out.at + room + out.rowBytes > out.bytes.byteLength) out.turn(room + out.rowBytes)
}

const writeText: CopyWriter = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('text', value)
  makeRoom(out, 4 + value.length * 3)
  const { view, bytes, at } = out
  const end = writeUtf8(bytes, at + 4, value)
  view.setInt32(at, end - at - 4)
  out.at = end
}

/** A piece of a text that is known to be ASCII. */
export function writeSpan(out: CopyOutput, source: string, from: number, to: number): void {
  const length = to - from
  makeRoom(out, 4 + length)
  const { view, bytes, at } = out
  view.setInt32(at, length)
  if (length <= loopChars) for (let i = 0; i < length; i += 1) bytes[at + 4 + i] = source.charCodeAt(from + i)
  else bytes.write(source.slice(from, to), at + 4, 'latin1')
  out.at = at + 4 + length
}

/** Version 1 and the text. */
const writeJsonb: CopyWriter = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('jsonb', value)
  makeRoom(out, 5 + value.length * 3)
  const { view, bytes, at } = out
  bytes[at + 4] = 1
  const end = writeUtf8(bytes, at + 5, value)
  view.setInt32(at, end - at - 4)
  out.at = end
}

/** Dimensions, null flag, element type; length and lower bound; elements (array_recv). */
const writeTextArray: CopyWriter = (out, value) => {
  if (!Array.isArray(value)) throw wrongValue('text[]', value)
  const items = value as readonly (string | null)[]
  let room = 24
  for (const item of items) room += 4 + (item === null ? 0 : item.length * 3)
  makeRoom(out, room)
  const { view, bytes, at } = out
  view.setInt32(at + 4, items.length === 0 ? 0 : 1)
  view.setInt32(at + 12, textOid)
  let hasNull = 0
  let end = at + 16
  if (items.length > 0) {
    view.setInt32(end, items.length)
    view.setInt32(end + 4, 1)
    end += 8
  }
  for (const item of items) {
    if (item === null) {
      hasNull = 1
      view.setInt32(end, -1)
      end += 4
      continue
    }
    if (typeof item !== 'string') throw wrongValue('text[]', item)
    const stop = writeUtf8(bytes, end + 4, item)
    view.setInt32(end, stop - end - 4)
    end = stop
  }
  view.setInt32(at + 8, hasNull)
  view.setInt32(at, end - at - 4)
  out.at = end
}

const numericSpecial: Readonly<Record<string, number>> = {
  NaN: 0xc000,
  Infinity: 0xd000,
  '-Infinity': 0xf000,
}
const decimalPattern = /^([+-]?)(\d*)(?:\.(\d*))?$/

/** Digits of base 10000 around the point, weight of the first, sign, display scale (numeric_recv). */
const writeNumeric: CopyWriter = (out, value) => {
  if (typeof value !== 'string') throw wrongValue('numeric', value)
  const special = numericSpecial[value]
  makeRoom(out, 16 + value.length)
  const { view, at } = out
  if (special !== undefined) {
    view.setInt32(at, 8)
    view.setInt32(at + 4, 0)
    view.setUint16(at + 8, special)
    // what numeric_send makes of their headers, so that these bytes are its bytes
    view.setUint16(at + 10, value === 'NaN' ? 0 : 32)
    out.at = at + 12
    return
  }
  const match = decimalPattern.exec(value)
  if (match === null) throw wrongValue('numeric', value)
  const [, sign, whole = '', fraction = ''] = match
  if (whole === '' && fraction === '') throw wrongValue('numeric', value)
  const wholeGroups = Math.ceil(whole.length / 4)
  const fractionGroups = Math.ceil(fraction.length / 4)
  const padded = whole.padStart(wholeGroups * 4, '0') + fraction.padEnd(fractionGroups * 4, '0')
  const groups = wholeGroups + fractionGroups
  let first = 0
  while (first < groups && isZeroGroup(padded, first)) first += 1
  let last = groups
  while (last > first && isZeroGroup(padded, last - 1)) last -= 1
  const count = last - first
  view.setInt32(at, 8 + count * 2)
  view.setUint16(at + 4, count)
  view.setInt16(at + 6, count === 0 ? 0 : wholeGroups - 1 - first)
  view.setUint16(at + 8, sign === '-' && count > 0 ? 0x4000 : 0)
  view.setUint16(at + 10, fraction.length)
  for (let i = 0; i < count; i += 1) {
    const from = (first + i) * 4
    view.setUint16(at + 12 + i * 2, Number(padded.slice(from, from + 4)))
  }
  out.at = at + 12 + count * 2
}

function isZeroGroup(text: string, group: number): boolean {
  for (let i = group * 4; i < group * 4 + 4; i += 1) if (text.charCodeAt(i) !== 48) return false
  return true
}

const writeBytes: CopyWriter = (out, value) => {
  if (!(value instanceof Uint8Array)) throw wrongValue('bytea', value)
  makeRoom(out, 4 + value.length)
  const { view, bytes, at } = out
  view.setInt32(at, value.length)
  bytes.set(value, at + 4)
  out.at = at + 4 + value.length
}

/** Of each type, for a value that is not null. */
export const copyWriters: Readonly<Record<CopyType, CopyWriter>> = {
  timestamptz: writeTimestamp,
  date: writeDate,
  text: writeText,
  uuid: writeUuid,
  bool: writeBool,
  int2: writeInt2,
  int4: writeInt4,
  int8: writeInt8,
  float4: writeFloat4,
  float8: writeFloat8,
  numeric: writeNumeric,
  jsonb: writeJsonb,
  'text[]': writeTextArray,
  bytea: writeBytes,
}
