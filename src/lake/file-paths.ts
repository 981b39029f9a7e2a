import { createHash } from 'node:crypto'
import type { HypertableDefinition } from '../schema/index.ts'
import { formatInstant, type Instant } from '../time/index.ts'

/** File systems take 255 bytes for a name. */
const maxNameBytes = 200

/** Letters, digits, `_` and `-` as they are, every other byte as %XX. */
function encodeName(name: string): string {
  return Buffer.from(name)
    .toString('latin1')
    .replace(
      /[^a-zA-Z0-9_-]/g,
      (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
    )
}

/** Below which all files of a hypertable lie, with the slash: `metrics.cpu/`. */
export function datasetPrefix(definition: Pick<HypertableDefinition, 'schema' | 'table'>): string {
  const name = `${encodeName(definition.schema)}.${encodeName(definition.table)}`
  if (name.length <= maxNameBytes) return `${name}/`
  const digest = createHash('sha256').update(`${definition.schema}\0${definition.table}`).digest('hex')
  return `${name.slice(0, maxNameBytes - 17).replace(/%.?$/, '')}-${digest.slice(0, 16)}/`
}

/** `metrics.cpu/2026-01-01T000000Z/<id>.parquet`. */
export function newFilePath(
  definition: Pick<HypertableDefinition, 'schema' | 'table'>,
  from: Instant,
  id: string,
): string {
  const start = formatInstant(from).replace(/[^0-9A-Za-z.-]/g, '')
  return `${datasetPrefix(definition)}${start}/${id}.parquet`
}

/**
 * Beside the file, under a name that nothing which looks for data files takes for one: `*.parquet` does not match it, and
 * readers of folders pass over names with an underscore in front.
 */
export function summaryPathFor(dataPath: string, id: string): string {
  const cut = dataPath.lastIndexOf('/') + 1
  return `${dataPath.slice(0, cut)}_${dataPath.slice(cut).replace(/\.parquet$/, '')}.${id.slice(0, 8)}.summary`
}

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const ownPath = new RegExp(
  `^[a-zA-Z0-9_%.-]+/[0-9A-Za-z.-]+/(?:${uuid}\\.parquet|_${uuid}\\.[0-9a-f]{8}\\.summary)$`,
)

/** Whether a path has the form of a file or summary of a chunk. Whatever else somebody keeps in the folder is not ours. */
export function isFilePath(path: string): boolean {
  return ownPath.test(path)
}
