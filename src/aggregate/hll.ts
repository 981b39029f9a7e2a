import { join, raw, type Sql, sql } from '../util/sql.ts'
import { readState, writeState } from './bytes.ts'
import type { EngineState, InputType, InputValue, KeyedSource, StateDefinition } from './contract.ts'
import { duckdbType } from './duckdb-values.ts'
import { valueWhere } from './filtered.ts'
import { groupByCells, listCells } from './keyed.ts'
import { md5First64 } from './md5.ts'
import { valueType } from './values.ts'

/**
 * HyperLogLog over the first 64 bits of the MD5 of a value's canonical text. While at most 512 different hashes were
 * seen they are kept themselves and the answer is exact; from then on 4096 registers take the same room. Which of the
 * two it is depends on the values only, never on the order or on how they were split.
 */
const precision = 12
const registerCount = 1 << precision
/** Registers hold 1 … 53: leading zeros of the 52 bits behind the register's number, plus one. */
const maxRank = 64 - precision + 1
/** As many as fit into the room of the registers. */
export const exactUpTo = registerCount / 8
const tableSize = exactUpTo * 2

export interface DistinctSketch {
  readonly input: InputType
  /** Different hashes while there are few; meaningless once there are registers. */
  size: number
  /** Open addressing; each hash as two words, and a byte that says whether the slot is taken. */
  hashes: Uint32Array
  taken: Uint8Array
  registers: Uint8Array | null
}

function create(input: InputType): DistinctSketch {
  return { input, size: 0, hashes: new Uint32Array(0), taken: new Uint8Array(0), registers: null }
}

function grow(state: DistinctSketch): void {
  const { hashes, taken } = state
  const slots = Math.min(Math.max(taken.length * 4, 16), tableSize)
  state.hashes = new Uint32Array(slots * 2)
  state.taken = new Uint8Array(slots)
  state.size = 0
  for (let i = 0; i < taken.length; i += 1)
    if (taken[i] === 1) addHash(state, hashes[i * 2]!, hashes[i * 2 + 1]!)
}

function addHash(state: DistinctSketch, high: number, low: number): void {
  if (state.registers !== null) {
    addToRegisters(state.registers, high, low)
    return
  }
  if (state.size * 2 >= state.taken.length && state.taken.length < tableSize) grow(state)
  const mask = state.taken.length - 1
  let slot = low & mask
  while (state.taken[slot] === 1) {
    if (state.hashes[slot * 2] === high && state.hashes[slot * 2 + 1] === low) return
    slot = (slot + 1) & mask
  }
  if (state.size === exactUpTo) {
    addToRegisters(toRegisters(state), high, low)
    return
  }
  state.hashes[slot * 2] = high
  state.hashes[slot * 2 + 1] = low
  state.taken[slot] = 1
  state.size += 1
}

function toRegisters(state: DistinctSketch): Uint8Array {
  if (state.registers !== null) return state.registers
  const registers = new Uint8Array(registerCount)
  for (let i = 0; i < state.taken.length; i += 1)
    if (state.taken[i] === 1) addToRegisters(registers, state.hashes[i * 2]!, state.hashes[i * 2 + 1]!)
  state.registers = registers
  state.hashes = new Uint32Array(0)
  state.taken = new Uint8Array(0)
  state.size = 0
  return registers
}

function addToRegisters(registers: Uint8Array, high: number, low: number): void {
  const register = high >>> (32 - precision)
  const rest = high & ((1 << (32 - precision)) - 1)
  // 52 bits: 20 of the high word and the low word
  const zeros = rest === 0 ? 32 - precision + Math.clz32(low) : Math.clz32(rest) - precision
  if (registers[register]! < zeros + 1) registers[register] = zeros + 1
}

const hash = new Uint32Array(2)

function eachHash(state: DistinctSketch, use: (high: number, low: number) => void): void {
  for (let i = 0; i < state.taken.length; i += 1)
    if (state.taken[i] === 1) use(state.hashes[i * 2]!, state.hashes[i * 2 + 1]!)
}

export const hllState: StateDefinition<DistinctSketch> = {
  kind: 'hll',
  exactness: 'sketch',
  create: (spec) => create(spec.input as InputType),
  add(state, value) {
    const type = valueType(state.input)
    md5First64(type.text(type.canonical(value as InputValue)), hash)
    addHash(state, hash[0]!, hash[1]!)
    return state
  },
  merge(into, other) {
    if (other.registers === null) {
      eachHash(other, (high, low) => addHash(into, high, low))
      return into
    }
    const registers = toRegisters(into)
    for (let i = 0; i < registerCount; i += 1)
      if (registers[i]! < other.registers[i]!) registers[i] = other.registers[i]!
    return into
  },
  encode(state) {
    if (state.registers !== null) return writeState().byte(1).raw(state.registers).finish()
    const hashes: bigint[] = []
    eachHash(state, (high, low) => hashes.push((BigInt(high) << 32n) | BigInt(low)))
    hashes.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))
    const bytes = new Uint8Array(hashes.length * 8)
    const view = new DataView(bytes.buffer)
    hashes.forEach((value, i) => {
      view.setBigUint64(i * 8, value)
    })
    return writeState().byte(0).count(hashes.length).raw(bytes).finish()
  },
  decode(bytes, spec) {
    const reader = readState(bytes)
    const state = create(spec.input as InputType)
    if (reader.byte() === 1) state.registers = reader.raw(registerCount)
    else {
      const length = reader.count()
      const hashes = reader.raw(length * 8)
      const view = new DataView(hashes.buffer, hashes.byteOffset, hashes.byteLength)
      for (let i = 0; i < length; i += 1) addHash(state, view.getUint32(i * 8), view.getUint32(i * 8 + 4))
    }
    reader.end()
    return state
  },
  postgres(spec) {
    const input = spec.input as InputType
    const type = valueType(input)
    return {
      shape: 'keyed',
      // grouped by the value, so that each different one is hashed once and not each row
      key: ({ value, filter }) => valueWhere(type.ordered(value as Sql), filter),
      inner: () => [],
      width: 3,
      outer: (source) => outer(source, type.textSql(source.key)),
      read([total, registers, hashes]): DistinctSketch {
        const state = create(input)
        if (Number(total ?? 0) > exactUpTo) readRegisters(toRegisters(state), registers as Uint8Array)
        else readHashes(state, (hashes ?? new Uint8Array(0)) as Uint8Array)
        return state
      },
    }
  },
  duckdb: (spec) => duckdb(spec.input as InputType),
}

/** Each register as `number << 6 | rank` in four bytes. */
function readRegisters(registers: Uint8Array, packed: Uint8Array): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  for (let at = 0; at < packed.byteLength; at += 4) {
    const word = view.getUint32(at)
    registers[word >>> 6] = word & 63
  }
}

function readHashes(state: DistinctSketch, packed: Uint8Array): void {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength)
  for (let at = 0; at < packed.byteLength; at += 8) addHash(state, view.getUint32(at), view.getUint32(at + 4))
}

const powersOfTwo = raw(
  `'{${Array.from({ length: 64 - precision }, (_, i) => String(2 ** i)).join(',')}}'::float8[]`,
)

/**
 * Different values of a cell, hashed, become its registers; cells with few values give their hashes instead. Which of them a hash
 * belongs to is looked up by binary search (`width_bucket`) in sorted lists of cells: whatever PostgreSQL believes about the number of
 * cells, nothing is ever compared with each of them. A join and `in (select …)` can both become that, and did: 600,000 cells took
 * more than eight minutes.
 *
 * The lists have hashes of cells, taken as records because those, unlike `=`, take two nulls as equal. A cell that is in neither place
 * by right but hashes as one that is, is left out by `having`.
 */
function outer({ select, cells, key }: KeyedSource, text: Sql): Sql {
  const cellList = listCells(cells)
  const groupBy = groupByCells(cells)
  const few = raw(String(exactUpTo))
  const rest = raw(String((1n << BigInt(64 - precision)) - 1n))
  const hash = cells.length === 0 ? raw('0::int8') : sql`hash_record_extended(row(${join(cells, ', ')}), 0)`
  const isIn = (list: 'few' | 'many', other: 'few' | 'many'): Sql => {
    const [mine, others] = [sql`(select cells from ${raw(list)})`, sql`(select cells from ${raw(other)})`]
    return sql`${mine} is not null and (${others} is null or (${mine})[width_bucket(${hash}, ${mine})] = ${hash})`
  }
  const listed = (condition: string): Sql =>
    sql`select array_agg(${hash} order by ${hash}) as cells from totals where total ${raw(condition)} ${few}`
  return sql`
    with hashed as materialized (
      select ${cellList}('x' || substr(md5(convert_to(${text}, 'UTF8')), 1, 16))::bit(64)::int8 as hash
      from (${select}) keyed
      where ${key} is not null
    ),
    totals as materialized (
      select ${cellList}count(*) as total from hashed${groupBy}
    ),
    few as materialized (${listed('<=')}),
    many as materialized (${listed('>')})
    select ${cellList}sum(hashes)::int8 as total,
      string_agg(int4send(register << 6 | ${raw(String(maxRank))} - width_bucket(least::float8, ${powersOfTwo})), '') as registers,
      null::bytea as hashes
    from (
      select ${cellList}(hash >> ${raw(String(64 - precision))})::int4 & ${raw(String(registerCount - 1))} as register,
        min(hash & ${rest}) as least,
        count(*) as hashes
      from hashed
      where ${isIn('many', 'few')}
      group by ${cellList}register
    ) registers${groupBy}
    having sum(hashes) > ${few}
    union all
    select ${cellList}count(*), null, string_agg(int8send(hash), '')
    from hashed
    where ${isIn('few', 'many')}${groupBy}
    having count(*) between 1 and ${few}`
}

/** The least hash of a register has its greatest rank, so DuckDB has to know nothing about ranks. */
function duckdb(input: InputType): EngineState {
  return {
    shape: 'keyed',
    key: ({ value, filter }) => valueWhere(sql`(${value})`, filter),
    inner: () => [],
    width: 2,
    outer({ select, cells, key }) {
      const cellList = listCells(cells)
      const groupBy = groupByCells(cells)
      const isSameCell = cells.map((cell) => sql`hashed.${cell} is not distinct from cells.${cell} and `)
      const few = raw(String(exactUpTo))
      return sql`
        with hashed as materialized (
          select ${cellList}('0x' || left(md5(${duckdbType(input).text(key)}), 16))::ubigint as hash
          from (${select}) keyed
        ),
        registers as (
          select ${cellList}min(hash) as least, count(*) as hashes
          from hashed
          group by ${cellList}hash >> ${raw(String(64 - precision))}
        ),
        cells as materialized (
          select ${cellList}sum(hashes) as total, list(least) as hashes from registers${groupBy}
        ),
        few as (
          select ${join([...cells.map((cell) => sql`cells.${cell}`), raw('any_value(total) as total'), raw('list(hash) as hashes')], ', ')}
          from hashed join cells on ${join(isSameCell, '')}total <= ${few}
          group by ${
            cells.length === 0
              ? raw('total')
              : join(
                  cells.map((cell) => sql`cells.${cell}`),
                  ', ',
                )
          }
        )
        select ${cellList}total, hashes from cells where total > ${few}
        union all
        select ${cellList}total, hashes from few`
    },
    read([total, hashes]): DistinctSketch {
      const state = create(input)
      if (Number(total ?? 0) > exactUpTo) toRegisters(state)
      for (const value of (hashes ?? []) as readonly bigint[])
        addHash(state, Number(value >> 32n), Number(value & 0xffffffffn))
      return state
    },
  }
}

/** Exact up to 512; beyond, Ertl 2017, "New cardinality estimation algorithms for HyperLogLog sketches", algorithm 6. */
export function finishUniques(state: DistinctSketch): number {
  if (state.registers === null) return state.size
  const m = registerCount
  const q = maxRank - 1
  const counts = new Float64Array(q + 2)
  for (const rank of state.registers) counts[rank]! += 1
  let z = m * tau(1 - counts[q + 1]! / m)
  for (let k = q; k >= 1; k -= 1) z = 0.5 * (z + counts[k]!)
  z += m * sigma(counts[0]! / m)
  return Math.round((m * m) / (2 * Math.LN2 * z))
}

function sigma(start: number): number {
  if (start === 1) return Number.POSITIVE_INFINITY
  let x = start
  let y = 1
  let z = x
  for (;;) {
    const before = z
    x *= x
    z += x * y
    y += y
    if (z === before) return z
  }
}

function tau(start: number): number {
  if (start === 0 || start === 1) return 0
  let x = start
  let y = 1
  let z = 1 - x
  for (;;) {
    const before = z
    x = Math.sqrt(x)
    y *= 0.5
    z -= (1 - x) * (1 - x) * y
    if (z === before) return z / 3
  }
}

/** 1.04 / sqrt(4096). */
export const standardError = 1.04 / Math.sqrt(registerCount)
