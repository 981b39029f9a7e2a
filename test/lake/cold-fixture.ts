import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { statsToJson } from '../../src/lake/catalog.ts'
import {
  createDuckDB,
  createFolderStore,
  createLakeFiles,
  type DuckDB,
  type LakeFiles,
  type ObjectStore,
  type WrittenFile,
} from '../../src/lake/index.ts'
import type { LakeSnapshot } from '../../src/lake/lake-snapshot.ts'
import { createRowCodec, type HypertableDefinition } from '../../src/schema/index.ts'
import { floorDivide } from '../../src/time/index.ts'
import { printSql } from '../../src/util/sql.ts'
import { copyStream } from './lake-rows.ts'

type Row = Readonly<Record<string, unknown>>

/** A file of the fixture's catalog. */
export interface ListedFile {
  readonly id: bigint
  readonly chunk: { readonly from: bigint; readonly to: bigint }
  readonly written: WrittenFile
  /** Places of rows that no longer count, in any order. */
  deleted: number[]
}

export interface ColdFixture {
  readonly duckdb: DuckDB
  readonly store: ObjectStore
  readonly files: LakeFiles
  readonly listed: ListedFile[]
  /** One file for each chunk and call; rows in forms that insert takes. */
  add(definition: HypertableDefinition, rows: readonly Row[], options?: AddOptions): Promise<ListedFile[]>
  /** The same with values in canonical form, in declared order; jsonb as PostgreSQL's text. */
  addCanonical(
    definition: HypertableDefinition,
    rows: readonly (readonly unknown[])[],
    options?: AddOptions,
  ): Promise<ListedFile[]>
  /** A snapshot of a database whose catalog lists `listed`. */
  snapshot(): LakeSnapshot
  /** Statements that were sent to the database. */
  readonly asked: string[]
  close(): Promise<void>
}

export interface AddOptions {
  /** Width of a chunk in microseconds. Default: as declared. */
  readonly chunkMicros?: bigint
}

/** A lake in a folder of its own, and a database that knows nothing but its files. */
export async function createColdFixture(
  options: { readonly summaryShare?: number } = {},
): Promise<ColdFixture> {
  const dir = await mkdtemp(join(tmpdir(), 'tidemark-cold-'))
  const duckdb = createDuckDB({ threads: 1, memoryBytes: 512 * 1024 * 1024 })
  const store = createFolderStore({ dir })
  const files = createLakeFiles({ duckdb, store, ...options })
  const listed: ListedFile[] = []
  const asked: string[] = []
  const database = {}
  let lastId = 0n

  const fixture: ColdFixture = {
    duckdb,
    store,
    files,
    listed,
    asked,

    async add(definition, rows, options) {
      const codec = createRowCodec(definition)
      return fixture.addCanonical(
        definition,
        rows.map((row) => {
          const values = codec.encode(row)
          if (!values) throw new Error(JSON.stringify(codec.problems(row)))
          return values.map((value, i) =>
            definition.columns[codec.columns[i]!]!.type === 'jsonb' && value !== null
              ? jsonbText(JSON.parse(value as string))
              : value,
          )
        }),
        options,
      )
    },

    async addCanonical(definition, rows, { chunkMicros } = {}) {
      const width =
        chunkMicros ??
        (definition.chunk.kind === 'fixed'
          ? definition.chunk.micros
          : BigInt(definition.chunk.days) * 86_400_000_000n)
      const time = Object.keys(definition.columns).indexOf(definition.time)
      const chunks = new Map<bigint, (readonly unknown[])[]>()
      for (const values of rows) {
        const from = floorDivide(BigInt(values[time] as bigint), width) * width
        const chunk = chunks.get(from)
        if (chunk) chunk.push(values)
        else chunks.set(from, [values])
      }
      const made: ListedFile[] = []
      for (const [from, values] of [...chunks].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const chunk = { from, to: from + width }
        const written = await files.write({
          definition,
          range: chunk,
          rows: copyStream(definition, values),
          signal: null,
        })
        made.push({ id: ++lastId, chunk, written: written!, deleted: [] })
      }
      listed.push(...made)
      return made
    },

    snapshot: () => ({
      id: '1:1:',
      takenAt: 0n,
      database,
      // nothing is remembered
      catalogVersion: async () => null,
      isCatalog: () => null,
      async query(statement) {
        const { text, values } = printSql(statement)
        asked.push(text)
        if (text.includes('tidemark.lake_file')) return { rows: catalogRows(listed) }
        if (text.includes('from tidemark.lake_deletion')) {
          const file = listed.find(({ id }) => id === values[0])!
          return { rows: [[[...file.deleted].sort((a, b) => a - b).map(BigInt)]] }
        }
        throw new Error(`the fixture does not know ${text}`)
      },
    }),

    async close() {
      await duckdb.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
  return fixture
}

/** What PostgreSQL would answer to the statement of src/lake/catalog.ts. */
function catalogRows(listed: readonly ListedFile[]): (readonly unknown[])[] {
  const sorted = [...listed].sort((a, b) => (a.written.minTime < b.written.minTime ? -1 : 1))
  return sorted.map(({ id, chunk, written: w, deleted }) => [
    id,
    id,
    w.path,
    BigInt(w.rowCount),
    BigInt(w.bytes),
    w.minTime,
    w.maxTime,
    w.checksum,
    w.contentHash,
    JSON.stringify(w.layout),
    w.summary?.path ?? null,
    w.summary ? BigInt(w.summary.bytes) : null,
    w.summary?.checksum ?? null,
    w.summary ? JSON.parse(JSON.stringify(w.summary.layout)) : null,
    chunk.from,
    chunk.to,
    JSON.parse(JSON.stringify(statsToJson(w.stats))),
    BigInt(deleted.length),
  ])
}

/** jsonb as PostgreSQL writes it: spaces after colon and comma, shorter keys first. */
export function jsonbText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jsonbText).join(', ')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const keys = Object.keys(value).sort((a, b) => {
    const [x, y] = [Buffer.from(a), Buffer.from(b)]
    return x.length - y.length || Buffer.compare(x, y)
  })
  return `{${keys.map((key) => `${JSON.stringify(key)}: ${jsonbText((value as Row)[key])}`).join(', ')}}`
}
