import { TidemarkError } from '../util/errors.ts'
import { quoteIdentifier, quoteLiteral, type Sql } from '../util/sql.ts'

/** As text that psql takes: values are literals, each of them in one line. */
export function print(fragment: Sql): string {
  return fragment.parts
    .map((part) => {
      if (part.kind === 'text') return part.text
      if (part.kind === 'identifier') return part.names.map(quoteIdentifier).join('.')
      return literal(Array.isArray(part.value) ? arrayText(part.value) : part.value)
    })
    .join('')
}

function literal(value: unknown): string {
  // a cast binds closer than a sign
  if ((typeof value === 'number' || typeof value === 'bigint') && value < 0) return `'${value}'`
  if (typeof value !== 'string' || !/[\n\r]/.test(value)) return quoteLiteral(value)
  const escaped = value.replaceAll('\\', '\\\\').replaceAll("'", "''")
  return ` E'${escaped.replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`
}

function arrayText(items: readonly unknown[]): string {
  const texts = items.map((item) =>
    item === null ? 'NULL' : `"${String(item).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  )
  return `{${texts.join(',')}}`
}

export function noSql(what: string, todo: string): TidemarkError {
  return new TidemarkError('TM_NO_SQL', { what, todo })
}
