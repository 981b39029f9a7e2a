import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import {
  type AggregateState,
  type InputType,
  type StateSpec,
  stateSelect,
  states,
} from '../../src/aggregate/index.ts'
import { createDuckDB, type DuckDB } from '../../src/lake/duckdb.ts'
import { identifier, join, quoteLiteral, raw, type Sql, sql } from '../../src/util/sql.ts'
import { statesOf, type ValueText } from './harness.ts'

/** Digits before and behind the point of the finite texts, or null when a file keeps such a column as text. */
export function decimalType(values: readonly ValueText[]): string | null {
  let whole = 1
  let scale = 0
  for (const text of values) {
    if (text === null) continue
    const match = /^-?(\d+)(?:\.(\d+))?$/.exec(text)
    if (!match) return null
    whole = Math.max(whole, match[1]!.replace(/^0+/, '').length)
    scale = Math.max(scale, match[2]?.length ?? 0)
  }
  return whole + scale <= 38 ? `decimal(${whole + scale}, ${scale})` : null
}

const columnTypes: Record<Exclude<InputType, 'numeric' | 'text[]'>, string> = {
  bool: 'boolean',
  int2: 'smallint',
  int4: 'integer',
  int8: 'bigint',
  float4: 'float',
  float8: 'double',
  'json-number': 'double',
  text: 'varchar',
  'json-text': 'varchar',
  uuid: 'uuid',
  date: 'date',
  timestamptz: 'timestamptz',
}

const instantSql = (micros: Sql): Sql => sql`case ${micros}
  when 9223372036854775807 then 'infinity'::timestamptz when -9223372036854775808 then '-infinity'::timestamptz
  else make_timestamptz(${micros}) end`

/** One engine, and the rows of a test as a table and as a Parquet file. */
export interface DuckDBLane {
  readonly duckdb: DuckDB
  /** What follows FROM, of each form; columns id, cell, value, time. Null: no Parquet column holds such values as numbers. */
  rows(
    input: InputType | null,
    values: readonly ValueText[],
    times: readonly string[] | null,
    cells?: readonly (number | null)[] | null,
  ): Promise<readonly [string, Sql][] | null>
  close(): Promise<void>
}

export function createDuckDBLane(threads: number): DuckDBLane {
  const duckdb = createDuckDB({ threads })
  const folder = mkdtempSync(joinPath(tmpdir(), 'tidemark-states-'))
  let made = 0
  return {
    duckdb,
    async rows(input, values, times, cells = null) {
      const type =
        input === null
          ? 'varchar'
          : input === 'numeric'
            ? decimalType(values)
            : columnTypes[input as keyof typeof columnTypes]
      if (type === null) return null
      made += 1
      const table = identifier(`rows${made}`)
      const text = identifier('raw', 'v')
      const value =
        input === 'timestamptz'
          ? instantSql(sql`${text}::bigint`)
          : input === 'date'
            ? sql`(case when ${text} like '% BC' then replace(${text}, ' BC', ' (BC)') else ${text} end)::date`
            : sql`${text}::${raw(type)}`
      const data = values.map((v, i) => ({
        id: i + 1,
        v,
        t: times?.[i] ?? String(i),
        c: cells === null ? 1 : cells[i],
      }))
      await duckdb.query(
        sql`create table ${table} as
          select raw.id, raw.c as cell, ${value} as value, ${instantSql(sql`raw.t::bigint`)} as time
          from (select unnest(from_json(${JSON.stringify(data)}::json,
            '[{"id": "bigint", "v": "varchar", "t": "varchar", "c": "integer"}]')) as raw) source`,
        null,
      )
      const file = joinPath(folder, `${made}.parquet`)
      // small row groups: several threads have something to merge
      await duckdb.query(
        sql`copy ${table} to ${raw(quoteLiteral(file))} (format parquet, compression zstd, row_group_size 2048)`,
        null,
      )
      return [
        ['table', table],
        ['parquet', sql`read_parquet(${raw(quoteLiteral(file))})`],
      ]
    },
    async close() {
      await duckdb.close()
      rmSync(folder, { recursive: true })
    },
  }
}

/** The state of each cell as DuckDB computes it; `quick` says which of two sets of columns is asked. */
export async function duckdbStates(
  duckdb: DuckDB,
  spec: StateSpec,
  from: Sql,
  options: { readonly cell?: Sql | null; readonly filter?: Sql | null; readonly quick?: boolean } = {},
): Promise<Map<unknown, AggregateState | null>> {
  const shape = states[spec.kind].duckdb(spec)
  if (shape === null) throw new Error(`${spec.kind} of ${spec.input} is not computed by DuckDB`)
  const cells = options.cell ? [options.cell] : []
  const input = {
    value: spec.input === null ? null : identifier('value'),
    time: identifier('time'),
    filter: options.filter ?? null,
    series: spec.series?.map(() => sql`nullif(epoch_us(time) % 3, 0)::integer`),
  }
  const columns = shape.shape !== 'columns' ? null : options.quick && shape.quick ? shape.quick : shape
  const statement =
    shape.shape !== 'columns'
      ? stateSelect(shape, input, { cells, from, where: null })
      : sql`select ${join([...cells, ...columns!.columns(input)], ', ')} from ${from}${cells.length ? sql` group by 1` : sql``}`
  const { rows } = await duckdb.query(statement, null)
  const read = columns?.read ?? shape.read
  const answered = rows.map((row) => [cells.length ? row[0] : null, read(row.slice(cells.length))] as const)
  if (shape.shape === 'ordered') return statesOf(spec, answered as [unknown, AggregateState][])
  return new Map(answered)
}
