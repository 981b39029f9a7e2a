import type { Sql } from '../util/sql.ts'

/** DDL takes no parameters: lists become the text of PostgreSQL's arrays. */
export function withInlineLists(fragment: Sql): Sql {
  return {
    kind: 'sql',
    parts: fragment.parts.map((part) =>
      part.kind === 'value' && Array.isArray(part.value)
        ? { kind: 'value', value: arrayText(part.value) }
        : part,
    ),
  }
}

function arrayText(items: readonly unknown[]): string {
  const texts = items.map((item) =>
    item === null ? 'NULL' : `"${String(item).replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`,
  )
  return `{${texts.join(',')}}`
}
