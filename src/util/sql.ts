/**
 * SQL as data: pieces of text and the values between them. Nothing in here knows a connection, so the aggregate
 * algebra and every engine can build statements; each engine prints the fragment with its own placeholders.
 */
export interface Sql {
  readonly kind: 'sql'
  readonly parts: readonly SqlPart[]
  /** See `repeated`. */
  readonly isRepeated?: true
}

export type SqlPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'identifier'; readonly names: readonly string[] }
  | { readonly kind: 'value'; readonly value: unknown }

function isSql(value: unknown): value is Sql {
  return typeof value === 'object' && value !== null && (value as { kind?: unknown }).kind === 'sql'
}

/**
 * A statement or a piece of one. Interpolated fragments are spliced in, everything else becomes a parameter; cast
 * it in the text (`${from}::timestamptz`).
 *
 * @example
 * sql`select count(*) from ${identifier('metrics', 'cpu')} where time >= ${from}::timestamptz`
 */
export function sql(strings: TemplateStringsArray, ...values: readonly unknown[]): Sql {
  const parts: SqlPart[] = []
  strings.forEach((text, i) => {
    if (text !== '') parts.push({ kind: 'text', text })
    if (i < values.length) {
      const value = values[i]
      if (isSql(value)) append(parts, value.parts)
      else parts.push({ kind: 'value', value })
    }
  })
  return { kind: 'sql', parts }
}

/** Not push(...more): an argument list of some 100,000 parts overflows the stack. */
function append(parts: SqlPart[], more: readonly SqlPart[]): void {
  for (const part of more) parts.push(part)
}

/**
 * A statement that is asked again and again with the same text, and whose best plan does not hang on its parameters: a connection
 * that may do so keeps it parsed and planned. Said of the whole statement, it is lost where one becomes a part of another.
 */
export function repeated(statement: Sql): Sql {
  return { ...statement, isRepeated: true }
}

/** A possibly qualified name, quoted by the engine that prints it. */
export function identifier(...names: readonly string[]): Sql {
  return { kind: 'sql', parts: [{ kind: 'identifier', names }] }
}

/** Text that is put in as it is. Only for text that this code base wrote itself: never for input. */
export function raw(text: string): Sql {
  return { kind: 'sql', parts: [{ kind: 'text', text }] }
}

const comparisonSigns = { eq: '=', ne: '<>', lt: '<', lte: '<=', gt: '>', gte: '>=' } as const

/** How every engine writes a comparison. */
export function comparisonSign(operator: keyof typeof comparisonSigns): Sql {
  return raw(comparisonSigns[operator])
}

export const empty: Sql = { kind: 'sql', parts: [] }

export function join(fragments: readonly Sql[], separator: string): Sql {
  const parts: SqlPart[] = []
  fragments.forEach((fragment, i) => {
    if (i > 0) parts.push({ kind: 'text', text: separator })
    append(parts, fragment.parts)
  })
  return { kind: 'sql', parts }
}

/** The one place where an identifier is quoted. PostgreSQL, DuckDB and ClickHouse take the same form. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** Prints with `$1`, `$2`, … as PostgreSQL and DuckDB take them. */
export function printSql(fragment: Sql): { text: string; values: unknown[] } {
  let text = ''
  const values: unknown[] = []
  for (const part of fragment.parts) {
    if (part.kind === 'text') text += part.text
    else if (part.kind === 'identifier') text += part.names.map(quoteIdentifier).join('.')
    else text += `$${values.push(part.value)}`
  }
  return { text, values }
}

/** Prints without parameters: a literal for each value. For DDL, which takes no parameters. */
export function printSqlInline(fragment: Sql): string {
  let text = ''
  for (const part of fragment.parts) {
    if (part.kind === 'text') text += part.text
    else if (part.kind === 'identifier') text += part.names.map(quoteIdentifier).join('.')
    else text += quoteLiteral(part.value)
  }
  return text
}

export function quoteLiteral(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'boolean') return value ? 'true' : 'false'
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number' && Number.isFinite(value))
    return Object.is(value, -0) ? "'-0'" : String(value)
  const text = String(value)
  const escaped = text.replaceAll("'", "''")
  return text.includes('\\') ? ` E'${escaped.replaceAll('\\', '\\\\')}'` : `'${escaped}'`
}
