import { showValue } from '../../time/index.ts'
import {
  type Budget,
  type Field,
  type Message,
  MessageFault,
  maxDepth,
  type Read,
  type ScalarKind,
} from './message.ts'

/**
 * OTLP's JSON, which is protobuf's but for ids in hexadecimal: lowerCamelCase names, 64-bit integers as texts or numbers,
 * enums as numbers, bytes in base64, NaN and infinities as texts, null as absent.
 *
 * @throws MessageFault, TidemarkError TM_LIMIT
 */
export function readJson(bytes: Buffer, kind: Message, budget: Budget): Read {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new MessageFault(error instanceof SyntaxError ? error.message : 'the text is not UTF-8')
  }
  return readMessage(value, kind, budget, 0, '')
}

function readMessage(value: unknown, kind: Message, budget: Budget, depth: number, path: string): Read {
  if (depth > maxDepth) throw new MessageFault(`messages nest deeper than ${maxDepth}`)
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new MessageFault(`${path === '' ? 'the body' : path} is ${showValue(value)}, not an object`)
  budget.take()
  const out: Record<string, unknown> = {}
  for (const field of kind.fields) {
    const given = Object.hasOwn(value, field.name) ? (value as Record<string, unknown>)[field.name] : null
    if (given === null || given === undefined) continue
    const at = path === '' ? field.name : `${path}.${field.name}`
    if (!field.isRepeated) out[field.name] = readValue(given, field, budget, depth, at)
    else if (Array.isArray(given))
      out[field.name] = given.map((element, i) => readValue(element, field, budget, depth, `${at}[${i}]`))
    else throw new MessageFault(`${at} is ${showValue(given)}, not a list`)
  }
  return out
}

function readValue(value: unknown, field: Field, budget: Budget, depth: number, path: string): unknown {
  const { kind } = field
  if (typeof kind !== 'string') return readMessage(value, kind, budget, depth + 1, path)
  const read = scalars[kind](value)
  if (read === undefined) throw new MessageFault(`${path} is ${showValue(value)}, not ${words[kind]}`)
  return read
}

const words: Readonly<Record<ScalarKind, string>> = {
  string: 'a text',
  bool: 'true or false',
  int64: 'a 64-bit integer',
  fixed64: 'an unsigned 64-bit integer',
  sfixed64: 'a 64-bit integer',
  double: 'a number',
  uint32: 'a whole number (enums are numbers in OTLP)',
  sint32: 'a whole number',
  id: 'an id in hexadecimal',
  bytes: 'bytes in base64',
}

/** Each gives undefined for what it does not read. */
const scalars: Readonly<Record<ScalarKind, (value: unknown) => unknown>> = {
  string: (value) => (typeof value === 'string' ? value : undefined),
  bool: (value) => (typeof value === 'boolean' ? value : undefined),
  int64: (value) => integer(value, -(2n ** 63n), 2n ** 64n - 1n),
  fixed64: (value) => integer(value, 0n, 2n ** 64n - 1n),
  sfixed64: (value) => integer(value, -(2n ** 63n), 2n ** 63n - 1n),
  double: (value) => {
    if (typeof value === 'number') return value
    if (typeof value !== 'string' || value.trim() === '') return undefined
    const number = Number(value)
    return Number.isNaN(number) && value !== 'NaN' ? undefined : number
  },
  uint32: (value) => small(value, 0, 0xffff_ffff),
  sint32: (value) => small(value, -0x8000_0000, 0x7fff_ffff),
  id: (value) =>
    typeof value === 'string' && /^(?:[0-9a-f]{2})*$/i.test(value) ? value.toLowerCase() : undefined,
  bytes: (value) => (typeof value === 'string' && /^[\w+/-]*={0,2}$/.test(value) ? value : undefined),
}

function integer(value: unknown, least: bigint, most: bigint): bigint | undefined {
  if (
    typeof value === 'number'
      ? !Number.isInteger(value)
      : typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)
  )
    return undefined
  const exact = BigInt(value as number | string)
  return exact >= least && exact <= most ? exact : undefined
}

function small(value: unknown, least: number, most: number): number | undefined {
  const exact = integer(value, BigInt(least), BigInt(most))
  return exact === undefined ? undefined : Number(exact)
}
