import { isWellFormed } from '../util/well-formed.ts'
import { type ConvertContext, refuse, type refused, refuseNul } from './convert-context.ts'
import { ExactNumber, parseExactJson, toJsonText } from './exact-json.ts'

export function toStoredJson(value: unknown, context: ConvertContext): string | typeof refused {
  const text = toJsonText(value)
  // JSON.stringify writes both as escapes, and a backslash before them is itself escaped
  if (text.includes('\\u') && /(?<!\\)(?:\\\\)*\\u(?:0000|d[89a-f])/.test(text))
    return text.includes('\\u0000')
      ? refuseNul(context)
      : refuse(context, 'encoding', 'it holds half of a surrogate pair')
  return text
}

export function convertArray(
  items: readonly unknown[],
  context: ConvertContext,
): readonly (string | null)[] | typeof refused {
  const out: (string | null)[] = []
  for (const item of items) {
    if (item === null) out.push(null)
    else if (typeof item === 'object' && !(item instanceof ExactNumber))
      return refuse(context, 'type', 'its elements are no texts')
    else {
      const text = item instanceof ExactNumber ? item.text : String(item)
      if (text.includes('\0')) return refuseNul(context)
      if (!isWellFormed(text)) return refuse(context, 'encoding', 'it holds half of a surrogate pair')
      out.push(text)
    }
  }
  return out
}

export function parseJsonArray(text: string): readonly unknown[] | null {
  try {
    const value: unknown = parseExactJson(text)
    return Array.isArray(value) ? value : null
  } catch {
    return null
  }
}

/** PostgreSQL's `{a,"b c",NULL}`, one dimension. */
export function parseArrayLiteral(text: string): readonly (string | null)[] | null {
  const body = /^\{([\s\S]*)\}$/.exec(text)?.[1]
  if (body === undefined) return null
  if (body.trim() === '') return []
  const items: (string | null)[] = []
  const item = /\s*(?:"((?:[^"\\]|\\[\s\S])*)"|([^",{}\\]+?))\s*(,|$)/y
  while (true) {
    const match = item.exec(body)
    if (!match) return null
    if (match[1] !== undefined) items.push(match[1].replace(/\\([\s\S])/g, '$1'))
    else items.push(match[2]!.toUpperCase() === 'NULL' ? null : match[2]!)
    if (match[3] === '') return items
  }
}
