import type { EnrichStep } from '../schema/index.ts'
import { makeStep, textOf, withValues } from './make-step.ts'

export interface UrlPartsOptions {
  /** Key of the row that holds a URL, or a path with its query. */
  readonly from: string
  /** Columns (text) for its parts. */
  readonly into: {
    /** In lower case, with its port where it is not the usual one. */
    readonly host?: string
    readonly path?: string
    /** utm_source, and so on. */
    readonly source?: string
    readonly medium?: string
    readonly campaign?: string
    readonly term?: string
    readonly content?: string
  }
  /** Columns (text) by the name of a query parameter. */
  readonly params?: Readonly<Record<string, string>>
}

const utm = ['source', 'medium', 'campaign', 'term', 'content'] as const

/**
 * Host, path and parameters of a URL. What is no URL writes nothing. User names and passwords in it are never written.
 *
 * @example
 * urlParts({ from: 'url', into: { host: 'host', path: 'path', source: 'utm_source' }, params: { ref: 'ref' } })
 */
export function urlParts({ from, into, params = {} }: UrlPartsOptions): EnrichStep {
  const byParam = Object.entries(params)
  const { host, path } = into
  const columns: Record<string, string | undefined> = { host, path }
  for (const name of utm) columns[name] = into[name]
  for (const [name, column] of byParam) columns[`?${name}`] = column
  return makeStep('urlParts', from, columns, 'text', async () => (row) => {
    const text = textOf(row, from)
    const url = text === null ? null : parse(text)
    if (url === null) return row
    return withValues(row, [
      [host, url.isRelative ? null : url.url.host],
      [path, url.url.pathname],
      ...utm.map((name) => [into[name], url.url.searchParams.get(`utm_${name}`)] as const),
      ...byParam.map(([name, column]) => [column, url.url.searchParams.get(name)] as const),
    ])
  })
}

function parse(text: string): { readonly url: URL; readonly isRelative: boolean } | null {
  const isRelative = /^\/(?!\/)/.test(text)
  const base = text.startsWith('/') ? 'http://relative.invalid' : undefined
  return URL.canParse(text, base) ? { url: new URL(text, base), isRelative } : null
}
