import type { ColumnDefinition, ColumnType, StoredDefinition } from '../schema/index.ts'
import type { DeadLetter } from './dead-letter-store.ts'

/** Why no row can be read from a letter, and what to do instead. */
export function unreadableBecause({ isImported, isWhole, raw, source }: DeadLetter): string {
  if (raw === null) return 'nothing of what came is kept; give the row whole (fix --row), or drop the letter'
  if (isImported)
    return (
      'it is a line of an imported file, of which at most 2,000 characters are kept and which only its import can read; ' +
      'put the corrected lines into a file and import that, or give the row whole (fix --row)'
    )
  if (!isWhole)
    return 'only the first 100,000 characters of what came are kept; send it again, or give the row whole (fix --row)'
  return `it came by ${source} and is no row of the dataset; correct its sender, or give the row whole (fix --row)`
}

/** What to do with a row; `isRefused`: the declaration says something against it now. */
export function todoOf({ id, reason, message }: DeadLetter, isRefused: boolean): string {
  if (isRefused)
    return `correct it (tidemark dead-letters fix ${id} --set column=value, --rename a=b, --drop column), then replay it`
  const todo =
    Object.hasOwn(todoByReason, reason) && !message.startsWith('corrected') ? todoByReason[reason] : undefined
  return todo ?? `replay it: tidemark dead-letters replay ${id}`
}

/** Of rows that fit the declaration. */
const todoByReason: Readonly<Record<string, string>> = {
  duplicate_key:
    'a row with its key exists: drop the letter, or replay it with --on-conflict ignore or update',
  constraint:
    'a constraint of the table refuses it: correct the value, or change the constraint, then replay it',
  expired:
    "retention has dropped the rows of its time: drop the letter, or declare retain longer, or late: 'merge', then replay it",
  refused: 'PostgreSQL refuses it for what the message says: see to that, then replay it',
  tenant:
    'its row is of another tenant than the one it came from: correct the tenant (fix --drop of the column: it is filled in), or drop the letter',
  time: 'its time was refused, though a row may have it: correct it, or replay it as it is',
}

const forms: Readonly<Partial<Record<ColumnType, string>>> = {
  timestamptz: 'a time with zone such as "2026-01-31T12:00:00Z"',
  date: 'a date, "YYYY-MM-DD"',
  uuid: 'a UUID such as "123e4567-e89b-12d3-a456-426614174000"',
  bool: 'true or false',
  int2: 'a whole number from -32768 to 32767',
  int4: 'a whole number from -2147483648 to 2147483647',
  int8: 'a whole number of 64 bits, as text beyond 2^53',
  float4: 'a number',
  float8: 'a number',
  numeric: 'a decimal number, as text where its digits count',
  jsonb: 'JSON',
  'text[]': 'a list of texts',
  text: 'a text without NUL',
}

/** What the columns to blame take. */
export function allowedIn(
  definition: StoredDefinition,
  letter: DeadLetter,
  problems: readonly { readonly column: string | null }[],
): string[] {
  const names = new Set(
    [letter.column, ...problems.map(({ column }) => column)].filter((name) => name !== null),
  )
  return [...names].map((name) => {
    const column = Object.hasOwn(definition.columns, name) ? definition.columns[name] : undefined
    return column === undefined
      ? `"${name}" is no column; ${definition.name} has ${Object.keys(definition.columns).join(', ')}`
      : `"${name}" is ${describe(column)}`
  })
}

function describe(column: ColumnDefinition): string {
  const digits = column.precision === null ? '' : `(${column.precision}, ${column.scale ?? 0})`
  const empty = column.nullable
    ? ', or null'
    : column.default === null
      ? ', never null'
      : ', never null; left out, it has its default'
  return `${column.type}${digits}: ${forms[column.type] ?? 'a value'}${empty}`
}
