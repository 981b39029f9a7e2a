import type { Queryable } from '../postgres/index.ts'
import type { CanonicalValue, StoredDefinition } from '../schema/index.ts'
import { identifier, join, raw, sql } from '../util/sql.ts'
import { castList, keyOf, parameterText, relationOf, writableTable } from './writable-table.ts'

/** Keys of one statement. */
const pieceRows = 5000

/**
 * Places of the rows whose primary key is in the table, or belongs to a row before them: those that an insert is refused for.
 * Of the lake, and of keys that PostgreSQL makes, it knows nothing. Rows that others insert meanwhile may be missed.
 */
export async function findExistingKeys(
  db: Queryable,
  definition: StoredDefinition,
  rows: readonly (readonly CanonicalValue[])[],
): Promise<number[]> {
  const table = writableTable(definition)
  const { keyIndexes } = table
  const found = new Set<number>()
  if (keyIndexes.length === 0) return []
  const first = new Map<string, number>()
  rows.forEach((row, place) => {
    const key = keyOf(table, row)
    if (key === null) return
    if (first.has(key)) found.add(place)
    else first.set(key, place)
  })
  const places = [...first.values()]
  const names = join(
    keyIndexes.map((i) => raw(`c${i}`)),
    ', ',
  )
  const columns = join(
    keyIndexes.map((i) => identifier(table.columns[i]!)),
    ', ',
  )
  for (let from = 0; from < places.length; from += pieceRows) {
    const piece = places.slice(from, from + pieceRows)
    const arrays = keyIndexes.map((i) => {
      const texts = piece.map((place) => parameterText(table.types[i]!, rows[place]![i]))
      return sql`${texts}::text[]`
    })
    const { rows: known } = await db.query(sql`
      select u.n
      from unnest(${join(arrays, ', ')}) with ordinality as u (${names}, n)
      where (${castList(table, keyIndexes, 'u')}) in (select ${columns} from ${relationOf(table)})`)
    for (const [n] of known) found.add(piece[Number(n) - 1]!)
  }
  return [...found].sort((a, b) => a - b)
}
