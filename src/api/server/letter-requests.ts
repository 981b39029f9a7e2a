import type { ScopedTidemark } from '../../scoped.ts'
import { TidemarkError } from '../../util/errors.ts'

type Choice = Parameters<ScopedTidemark['deadLetters']['drop']>[0]
type OnConflict = 'error' | 'ignore' | 'update'

const filters = ['dataset', 'reason', 'column', 'text', 'state'] as const
const rules: readonly OnConflict[] = ['error', 'ignore', 'update']
const maxIds = 10_000

/** @throws TidemarkError TM_QUERY with the path. */
export function readLetterFilter(
  input: Readonly<Record<string, unknown>>,
  within: string,
): Pick<Choice, (typeof filters)[number]> {
  const found: Record<string, string> = {}
  for (const [key, value] of Object.entries(input)) {
    if (value === undefined) continue
    if (!(filters as readonly string[]).includes(key))
      refuse(`${within}${key}`, `is not known here; known: ${filters.join(', ')}`)
    if (typeof value !== 'string' || value === '' || value.includes('\0'))
      refuse(`${within}${key}`, 'must be text')
    found[key] = value as string
  }
  return found
}

/** Which letters a body means. @throws TidemarkError TM_QUERY with the path. */
export function readLetterChoice(
  body: unknown,
  hasRule: boolean,
): { readonly choice: Choice; readonly onConflict: OnConflict | null } {
  const known = ['ids', 'filter', ...(hasRule ? ['onConflict'] : [])]
  const given = objectOf(body, 'body', `with ${known.join(', ')}`)
  const unknown = Object.keys(given).find((key) => !known.includes(key))
  if (unknown !== undefined) refuse(unknown, `is not known here; known: ${known.join(', ')}`)
  const { ids, filter, onConflict = null } = given
  if ((ids === undefined) === (filter === undefined)) refuse('ids', 'or filter has to be there, and not both')
  if (onConflict !== null && !rules.includes(onConflict as OnConflict))
    refuse('onConflict', `must be one of ${rules.join(', ')}`)
  return {
    choice: ids === undefined ? readChosen(filter) : { ids: readIds(ids) },
    onConflict: onConflict as OnConflict,
  }
}

/** @throws TidemarkError TM_QUERY with the path. */
export function readLetterChange(body: unknown): Record<string, unknown> {
  const { row, ...more } = objectOf(body, 'body', 'with row')
  const [unknown] = Object.keys(more)
  if (unknown !== undefined) refuse(unknown, 'is not known here; known: row')
  return objectOf(row, 'row', 'with a value for each column')
}

function readChosen(filter: unknown): Choice {
  const { all, ...rest } = objectOf(filter, 'filter', `with ${filters.join(', ')} or all`)
  if (all !== undefined && typeof all !== 'boolean') refuse('filter.all', 'must be true or false')
  return { ...readLetterFilter(rest, 'filter.'), ...(all === true ? { all } : {}) }
}

function readIds(ids: unknown): string[] {
  const areIds =
    Array.isArray(ids) &&
    ids.length > 0 &&
    ids.length <= maxIds &&
    ids.every((id) => typeof id === 'string' && /^\d{1,18}$/.test(id))
  return areIds ? (ids as string[]) : refuse('ids', `must be a list of 1 to ${maxIds} ids of letters`)
}

function objectOf(value: unknown, path: string, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  return refuse(path, `must be an object ${what}`)
}

function refuse(path: string, problem: string): never {
  throw new TidemarkError('TM_QUERY', { path, problem })
}
