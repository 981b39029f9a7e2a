import { LineSplitter } from './line-splitter.ts'
import type { RecordSink } from './record-sink.ts'

/** A number literal that a JavaScript number would change: `"properties.id": 9007199254740993`. */
export class ExactNumber {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  toJSON(): string {
    return exactMark + this.text
  }
}

const exactMark = '\ue0f0num:'
const exactMarked = new RegExp(`"${exactMark}([^"]*)"`, 'g')

/** JSON text of a value that may hold exact numbers. */
export function toJsonText(value: unknown): string {
  const text = JSON.stringify(value)
  return text.includes(exactMark) ? text.replace(exactMarked, '$1') : text
}

/**
 * JSON.parse, but a number of 16 digits and more, or with an exponent of three, stays what was written (1e400 would be
 * infinite, which JSON prints as null). Only lines that hold such a number pay: their literals are put into quotes first
 * and revived.
 */
export function parseExactJson(text: string): unknown {
  if (!/\d[\d.]{15}|\d[eE][+-]?\d{3}/.test(text)) return JSON.parse(text)
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d(?:[\d.]*[eE][+-]?\d{3,}|[\d.eE+-]{15,})/g, (token) => {
    if (token.charCodeAt(0) === 34) return token
    // what is no number must stay an error; what a number keeps as it is stays one
    return String(Number(token)) === token || !/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(token)
      ? token
      : `"${exactMark}${token}"`
  })
  return JSON.parse(marked, (_key, value) =>
    typeof value === 'string' && value.startsWith(exactMark)
      ? new ExactNumber(value.slice(exactMark.length))
      : value,
  )
}

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
