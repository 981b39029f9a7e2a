import { parseExactJson } from './exact-json.ts'
import { LineSplitter } from './line-splitter.ts'
import type { RecordSink } from './record-sink.ts'

/** How one field is taken out of a line. */
export type JsonField =
  | { readonly kind: 'path'; readonly path: readonly string[] }
  /** What stands before the object: `1723161253937085768 {…}`. */
  | { readonly kind: 'prefix' }
  /** The whole object. */
  | { readonly kind: 'document' }
  | { readonly kind: 'unused' }

export interface NdjsonDialect {
  readonly fields: readonly JsonField[]
  /** Whether text may stand before the object of a line. */
  readonly hasPrefix: boolean
  readonly maxRecordBytes: number
}

/** One JSON object a line. */
export function ndjsonReader(dialect: NdjsonDialect, sink: RecordSink): LineSplitter {
  const { fields, hasPrefix, maxRecordBytes } = dialect
  return new LineSplitter(maxRecordBytes, sink, (source, line, text, from, to) => {
    let json = source
    let prefix: string | null = null
    if (hasPrefix) {
      const brace = json.indexOf('{')
      if (brace > 0) {
        prefix = json.slice(0, brace).trim()
        json = json.slice(brace)
      }
    }
    let value: unknown
    try {
      value = parseExactJson(json)
    } catch (error) {
      const message = `the line is not JSON: ${(error as Error).message.slice(0, 200)}`
      sink.bad('json', { message, field: null, value: null }, line, text, from, to)
      return
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      const found = value === null ? 'null' : Array.isArray(value) ? 'an array' : `a ${typeof value}`
      const message = `the line is ${found}, not an object`
      sink.bad('json', { message, field: null, value: null }, line, text, from, to)
      return
    }
    const values: unknown[] = new Array(fields.length)
    for (let i = 0; i < fields.length; i++) {
      const field = fields[i]!
      values[i] =
        field.kind === 'path'
          ? atPath(value, field.path)
          : field.kind === 'prefix'
            ? prefix
            : field.kind === 'document'
              ? value
              : undefined
    }
    sink.record(values, line, text, from, to)
  })
}

export function atPath(value: unknown, path: readonly string[]): unknown {
  let at: unknown = value
  for (const key of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, key)) return undefined
    at = (at as Record<string, unknown>)[key]
  }
  return at
}
