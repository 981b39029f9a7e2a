import type { DuckDBType } from '@duckdb/node-api'
import type { ColumnType, HypertableDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { identifier, join, raw, type Sql, sql } from '../util/sql.ts'
import type { ColumnLayout, FileLayout, ShreddedPath } from './contract.ts'
import { loadDuckDB } from './duckdb.ts'
import type { FeedBlock, FeedColumn } from './feed.ts'
import { JsonShredder, JsonSurvey } from './json-shred.ts'
import type { Block, ColumnFacts, DecodedColumn } from './row-decoder.ts'
import type { EncodedColumn } from './row-encoder.ts'
import { FixedColumn, type StagedColumn, TextColumn } from './stage.ts'

/** DuckDB adds it to the columns of a file that is read with places, and refuses one that has it already. */
const placeColumn = 'file_row_number'

/** The columns of a declaration as rows carry them. @throws TidemarkError TM_LAKE when a file cannot hold them. */
export function decodedColumns(definition: HypertableDefinition): DecodedColumn[] {
  const seen = new Map<string, string>()
  const taken = Object.keys(definition.columns).find((name) => name.toLowerCase() === placeColumn)
  if (taken !== undefined)
    throw new TidemarkError('TM_LAKE', {
      what: definition.name,
      problem: `the name of the column "${taken}" is what DuckDB calls the place of a row in a file`,
      todo: 'rename it, or leave freeze out of the declaration',
    })
  return Object.entries(definition.columns).map(([name, { type }]) => {
    // readers of Parquet, DuckDB among them, take such names for one
    const other = seen.get(name.toLowerCase())
    if (other !== undefined)
      throw new TidemarkError('TM_LAKE', {
        what: definition.name,
        problem: `columns "${other}" and "${name}" differ by case only, and a file cannot hold both`,
        todo: 'rename one of them, or leave freeze out of the declaration',
      })
    seen.set(name.toLowerCase(), name)
    return { name, type, isTime: name === definition.time }
  })
}

/** Documents that the choice of paths is made by. */
const surveyedDocuments = 20_000

/**
 * What goes into DuckDB for the columns of blocks: the column, then for text[] the bounds, and for jsonb a column for each path.
 * The paths are chosen by the first batch of blocks: a path that only comes later stays in the rest.
 */
export class FeedPlan {
  readonly columns: readonly FeedColumn[]
  readonly #decoded: readonly DecodedColumn[]
  readonly #paths: readonly (readonly ShreddedPath[])[]
  readonly #shredders: readonly JsonShredder[]

  constructor(decoded: readonly DecodedColumn[], sample: readonly Block[]) {
    this.#decoded = decoded
    const taken = new Set(decoded.map(({ name }) => name.toLowerCase()))
    this.#paths = decoded.map(({ name, type }, i) =>
      type === 'jsonb' ? surveyOf(sample, i).choose(name, taken) : [],
    )
    this.#shredders = this.#paths.map((paths) => new JsonShredder(paths))
    const types = stagedTypes()
    this.columns = decoded.flatMap(({ type, isTime }, i): FeedColumn[] => [
      { name: `c${i}`, type: isTime ? loadDuckDB().TIMESTAMPTZ : types[type] },
      ...(type === 'text[]' ? [{ name: `c${i}_shape`, type: types.text }] : []),
      ...this.#paths[i]!.map((path, p) => ({ name: `c${i}_${p}`, type: types[path.type] })),
    ])
  }

  paths(column: number): readonly ShreddedPath[] {
    return this.#paths[column]!
  }

  feed(block: Block): FeedBlock {
    const columns = this.#decoded.flatMap(({ type }, i): StagedColumn[] => {
      const column = block.columns[i]!
      if (type === 'text[]') return [column, shapeColumn(block, i)]
      if (this.#paths[i]!.length > 0)
        return shredColumn(column as TextColumn, block.rows, this.#paths[i]!, this.#shredders[i]!)
      return [column]
    })
    return { rows: block.rows, columns, release: block.release }
  }
}

function stagedTypes(): Readonly<Record<ColumnType, DuckDBType>> {
  const d = loadDuckDB()
  return {
    timestamptz: d.BIGINT,
    date: d.DATE,
    text: d.VARCHAR,
    uuid: d.UUID,
    bool: d.BOOLEAN,
    int2: d.SMALLINT,
    int4: d.INTEGER,
    int8: d.BIGINT,
    float4: d.FLOAT,
    float8: d.DOUBLE,
    numeric: d.VARCHAR,
    jsonb: d.VARCHAR,
    'text[]': d.LIST(d.VARCHAR),
  }
}

function surveyOf(blocks: readonly Block[], column: number): JsonSurvey {
  const survey = new JsonSurvey()
  const rows = blocks.reduce((sum, block) => sum + block.rows, 0)
  const step = Math.max(1, Math.floor(rows / surveyedDocuments))
  for (const block of blocks) {
    const texts = block.columns[column] as TextColumn
    for (let row = 0; row < block.rows; row += step)
      if (!texts.validity.isNull(row)) survey.add(texts.text(row))
  }
  return survey
}

function shapeColumn(block: Block, i: number): TextColumn {
  const column = new TextColumn()
  const shapes = block.shapes[i]
  for (let row = 0; row < block.rows; row += 1) {
    const shape = shapes?.get(row)
    if (shape === undefined) column.setNull(row)
    else column.setText(row, shape)
  }
  return column
}

function shredColumn(
  documents: TextColumn,
  rows: number,
  paths: readonly ShreddedPath[],
  shredder: JsonShredder,
): StagedColumn[] {
  const rest = new TextColumn()
  const columns = paths.map(({ type }) =>
    type === 'text' ? new TextColumn() : new FixedColumn(type === 'bool' ? 1 : 8),
  )
  const { values } = shredder
  for (let row = 0; row < rows; row += 1) {
    if (documents.validity.isNull(row)) {
      rest.setNull(row)
      for (const column of columns) column.validity.setNull(row)
      continue
    }
    rest.setText(row, shredder.shred(documents.text(row)))
    for (let p = 0; p < columns.length; p += 1) {
      const column = columns[p]!
      const value = values[p]!
      if (value === null) column.validity.setNull(row)
      else if (column instanceof TextColumn) column.setText(row, value as string)
      else if (typeof value === 'number') column.view.setFloat64(row * 8, value, true)
      else column.bytes[row] = value === true ? 1 : 0
    }
  }
  return [rest, ...columns]
}

/** How the columns lie in the file, now that all rows were seen. */
export function layoutOfFile(
  definition: HypertableDefinition,
  decoded: readonly DecodedColumn[],
  facts: readonly ColumnFacts[],
  plan: FeedPlan,
): FileLayout {
  const taken = new Set(decoded.map(({ name }) => name.toLowerCase()))
  for (let i = 0; i < decoded.length; i += 1)
    for (const path of plan.paths(i)) taken.add(path.column.toLowerCase())
  const columns: Record<string, FileLayout['columns'][string]> = {}
  decoded.forEach(({ name, type }, i) => {
    columns[name] = { ...columnLayout(definition, name, type, facts[i]!, plan.paths(i), taken), type }
  })
  return {
    version: 1,
    columns,
    order: decoded.map(({ name }) => name),
    time: definition.time,
    sortedBy: sortColumns(definition).filter((name) => isSortable(columns[name]!)),
  }
}

function sortColumns(definition: HypertableDefinition): string[] {
  const { tenant, orderBy, time } = definition
  return [...new Set([...(tenant === null ? [] : [tenant]), ...orderBy, time])]
}

/** Text of numbers, and documents in parts, do not sort as their values do. */
function isSortable({ kind, type }: FileLayout['columns'][string]): boolean {
  return kind !== 'numericText' && type !== 'jsonb' && type !== 'text[]'
}

function columnLayout(
  definition: HypertableDefinition,
  name: string,
  type: ColumnType,
  facts: ColumnFacts,
  paths: readonly ShreddedPath[],
  taken: Set<string>,
): ColumnLayout {
  if (type === 'jsonb') return { kind: 'json', rest: name, shredded: paths }
  if (type === 'timestamptz' && facts.hasWideInstant) return { kind: 'wideInstant' }
  if (type === 'text[]' && facts.hasShape) {
    let shape = `${name}.bounds`
    for (let n = 2; taken.has(shape.toLowerCase()); n += 1) shape = `${name}.bounds~${n}`
    taken.add(shape.toLowerCase())
    return { kind: 'shapedTexts', shape }
  }
  if (type !== 'numeric') return { kind: 'native' }
  return numericLayout(definition.columns[name]!, facts.numeric)
}

/** Few precisions, so that most files of a table have one layout and are read together: as declared, 18, 28 or 38 digits. */
function numericLayout(
  declared: { readonly precision: number | null; readonly scale: number | null },
  seen: ColumnFacts['numeric'],
): ColumnLayout {
  const isEmpty = seen.leastScale > seen.greatestScale
  const scale = isEmpty ? Math.max(0, declared.scale ?? 0) : seen.leastScale
  const digits = seen.wholeDigits + scale
  if (seen.hasSpecial || (!isEmpty && seen.leastScale !== seen.greatestScale) || digits > 38 || scale > 38)
    return { kind: 'numericText' }
  const fits = (precision: number) => precision >= digits && precision >= scale && precision <= 38
  if (declared.precision !== null && declared.scale === scale && fits(declared.precision))
    return { kind: 'decimal', precision: declared.precision, scale }
  return { kind: 'decimal', precision: [18, 28].find(fits) ?? 38, scale }
}

/** The columns of the file, from those of the feed. */
export function fileSelect(layout: FileLayout): Sql {
  const parts = layout.order.flatMap((name, i): Sql[] => {
    const column = layout.columns[name]!
    const staged = identifier(`c${i}`)
    const as = (value: Sql, as: string): Sql => sql`${value} as ${identifier(as)}`
    switch (column.kind) {
      case 'decimal':
        return [as(sql`${staged}::${raw(`decimal(${column.precision}, ${column.scale})`)}`, name)]
      case 'json':
        return [
          as(staged, name),
          ...column.shredded.map((path, p) => as(identifier(`c${i}_${p}`), path.column)),
        ]
      case 'shapedTexts':
        return [as(staged, name), as(identifier(`c${i}_shape`), column.shape)]
      case 'native':
        return [as(column.type === 'timestamptz' && name !== layout.time ? instant(staged) : staged, name)]
      default:
        return [as(staged, name)]
    }
  })
  return join(parts, ', ')
}

/** PostgreSQL's microseconds since 2000. */
function instant(micros: Sql): Sql {
  return sql`case
    when ${micros} = 9223372036854775807 then 'infinity'::timestamptz
    when ${micros} = (-9223372036854775808) then '-infinity'::timestamptz
    else make_timestamptz(${micros} + 946684800000000) end`
}

/** The columns of a file to read, and how rows are made of them. @throws TidemarkError TM_LAKE when a type was changed. */
export function readPlan(
  what: string,
  layout: FileLayout,
  columns: readonly { readonly name: string; readonly type: ColumnType }[],
): { readonly select: Sql; readonly encoded: readonly EncodedColumn[] } {
  const select: Sql[] = []
  const encoded = columns.map(({ name, type }): EncodedColumn => {
    const column = Object.hasOwn(layout.columns, name) ? layout.columns[name]! : null
    if (column === null) return { kind: 'absent' }
    if (column.type !== type)
      throw new TidemarkError('TM_LAKE', {
        what,
        problem: `its column "${name}" is ${column.type}, and is declared as ${type} now`,
        todo: `declare it as ${column.type}`,
      })
    switch (column.kind) {
      case 'decimal':
        select.push(sql`${identifier(name)}::varchar`)
        return { kind: 'value', type, isWide: false }
      case 'json':
        select.push(identifier(column.rest), ...column.shredded.map((path) => identifier(path.column)))
        return { kind: 'json', shredded: column.shredded }
      case 'shapedTexts':
        select.push(identifier(name), identifier(column.shape))
        return { kind: 'texts', hasShape: true }
      case 'native':
        select.push(identifier(name))
        return type === 'text[]' ? { kind: 'texts', hasShape: false } : { kind: 'value', type, isWide: false }
      default:
        select.push(identifier(name))
        return { kind: 'value', type, isWide: true }
    }
  })
  // a file of which no column is left has rows all the same
  return { select: select.length > 0 ? join(select, ', ') : raw('1'), encoded }
}
