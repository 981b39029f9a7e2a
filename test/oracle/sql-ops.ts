import fc from 'fast-check'
import type { Connection } from '../../src/postgres/index.ts'
import type { StoredDefinition } from '../../src/schema/index.ts'
import { identifier, printSqlInline, raw } from '../../src/util/sql.ts'
import { naiveIso } from '../helpers/naive-time.ts'
import type { Draft } from './draft.ts'
import { hypertableNames, type InputRow, rowsArbitrary, setArbitrary, timeArbitrary } from './tables.ts'
import { changedRow, csvLine, keyText, literal, type StoredRow, storedRow, upsertedRow } from './values.ts'

/**
 * Statements as psql, an ORM or Grafana would send them: each as SQL and as what it does to a draft of the shadow. All
 * families of direct SQL (statements, transactions, prepared transactions, stale snapshots, partitions) share them.
 */
export type SqlOp =
  | {
      readonly op: 'insert' | 'copy' | 'insert-ignore' | 'insert-update' | 'merge'
      readonly rows: readonly InputRow[]
    }
  | { readonly op: 'update'; readonly where: Where; readonly set: InputRow }
  | { readonly op: 'shift'; readonly where: Where; readonly micros: bigint }
  | { readonly op: 'delete'; readonly where: Where }

/** A condition that is as easy in SQL as here. */
export interface Where {
  readonly tag?: string | undefined
  readonly nModulo?: readonly [number, number] | undefined
  readonly from?: bigint | undefined
  readonly to?: bigint | undefined
}

function whereArbitrary(name: string): fc.Arbitrary<Where> {
  const parts = {
    tag: fc.constantFrom('', 'a', 'A', 'a%b', 'é'),
    nModulo: fc.tuple(fc.integer({ min: 2, max: 9 }), fc.nat(2)),
  }
  const isTimed = hypertableNames.includes(name)
  const record = isTimed
    ? fc.record({ ...parts, from: timeArbitrary(name), to: timeArbitrary(name) }, { requiredKeys: [] })
    : fc.record(parts, { requiredKeys: [] })
  return record.map((where): Where => {
    // never everything: the table would be empty most of the time
    const some: Where = Object.keys(where).length === 0 ? { nModulo: [3, 1] } : where
    const { from, to } = some
    return from !== undefined && to !== undefined && from > to ? { ...some, from: to, to: from } : some
  })
}

/** `rows` at most in a statement. */
export function opArbitrary(name: string, hasKey: boolean, rows = 12): fc.Arbitrary<SqlOp> {
  const given = rowsArbitrary(name, { maxLength: rows })
  const where = whereArbitrary(name)
  const inserts = hasKey
    ? (['insert', 'insert', 'copy', 'insert-ignore', 'insert-update', 'merge'] as const)
    : (['insert', 'copy'] as const)
  const changes: fc.WeightedArbitrary<SqlOp>[] = [
    {
      weight: 3,
      arbitrary: fc.record({ op: fc.constant('update' as const), where, set: setArbitrary(name) }),
    },
    { weight: 2, arbitrary: fc.record({ op: fc.constant('delete' as const), where }) },
  ]
  if (hypertableNames.includes(name))
    changes.push({
      weight: 2,
      arbitrary: fc.record({
        op: fc.constant('shift' as const),
        where,
        micros: fc.constantFrom(1n, -1n, 3_600_000_000n, -86_400_000_000n, 6n * 3_600_000_000n),
      }),
    })
  return fc.oneof(
    { weight: 5, arbitrary: fc.record({ op: fc.constantFrom(...inserts), rows: given }) },
    ...changes,
  )
}

export function matches(where: Where, definition: StoredDefinition, row: StoredRow): boolean {
  if (where.tag !== undefined && row['tag'] !== where.tag) return false
  if (where.nModulo && Math.abs(row['num'] as number) % where.nModulo[0] !== where.nModulo[1]) return false
  if (definition.kind === 'table') return true
  const time = row[definition.time] as bigint
  return (where.from === undefined || time >= where.from) && (where.to === undefined || time < where.to)
}

function whereText(where: Where, definition: StoredDefinition): string {
  const parts = ['true']
  if (where.tag !== undefined) parts.push(`tag = ${literal('text', where.tag)}`)
  if (where.nModulo) parts.push(`abs(num::int8) % ${where.nModulo[0]} = ${where.nModulo[1]}`)
  if (definition.kind === 'hypertable') {
    const time = quoted(definition.time)
    if (where.from !== undefined) parts.push(`${time} >= '${naiveIso(where.from)}'`)
    if (where.to !== undefined) parts.push(`${time} < '${naiveIso(where.to)}'`)
  }
  return parts.join(' and ')
}

const quoted = (...names: string[]): string => printSqlInline(identifier(...names))
const list = (names: readonly string[]): string => names.map((name) => quoted(name)).join(', ')

/** Rows of one statement that upserts: PostgreSQL refuses to touch a row twice, so of one key the last counts. */
function distinctRows(definition: StoredDefinition, rows: readonly InputRow[]): readonly InputRow[] {
  const byKey = new Map(rows.map((row) => [keyText(definition, storedRow(definition, row)), row]))
  return [...byKey.values()]
}

/** Runs the statement. `target` is the table itself unless it is one of its partitions. */
export async function runOp(
  connection: Connection,
  definition: StoredDefinition,
  op: SqlOp,
  target = quoted(definition.schema, definition.table),
): Promise<number> {
  const run = async (text: string): Promise<number> => (await connection.query(raw(text))).rowCount
  const where = 'where' in op ? whereText(op.where, definition) : ''
  if (op.op === 'delete') return run(`delete from ${target} where ${where}`)
  if (op.op === 'shift' && definition.kind === 'hypertable') {
    const time = quoted(definition.time)
    return run(`update ${target} set ${time} = ${time} + interval '${op.micros} microseconds' where ${where}`)
  }
  if (op.op === 'update') {
    const stored = changedRow(definition, {}, op.set)
    const set = Object.entries(stored).map(
      ([name, value]) => `${quoted(name)} = ${literal(definition.columns[name]!.type, value)}`,
    )
    return run(`update ${target} set ${set.join(', ')} where ${where}`)
  }
  if (!('rows' in op)) throw new Error(`${op.op} of a plain table`)
  const columns = Object.keys(definition.columns)
  const isPlain = op.op === 'insert' || op.op === 'copy' || op.op === 'insert-ignore'
  const given = isPlain ? op.rows : distinctRows(definition, op.rows)
  const rows = given.map((row) => storedRow(definition, row))
  if (op.op === 'copy') {
    const text = rows.map((row) => `${csvLine(definition, columns, row)}\n`).join('')
    return connection.copyFrom(raw(`copy ${target} (${list(columns)}) from stdin (format csv)`), [
      Buffer.from(text),
    ])
  }
  const values = rows
    .map((row) => `(${columns.map((name) => literal(definition.columns[name]!.type, row[name])).join(', ')})`)
    .join(',\n')
  const key = definition.primaryKey ?? []
  const rest = columns.filter((name) => !key.includes(name))
  if (op.op === 'merge') {
    const on = key.map((name) => `t.${quoted(name)} = s.${quoted(name)}`).join(' and ')
    const set = rest.map((name) => `${quoted(name)} = s.${quoted(name)}`).join(', ')
    const all = columns.map((name) => `s.${quoted(name)}`).join(', ')
    return run(`merge into ${target} as t using (values ${values}) as s (${list(columns)}) on ${on}
      when matched then update set ${set}
      when not matched then insert (${list(columns)}) values (${all})`)
  }
  const update = rest.map((name) => `${quoted(name)} = excluded.${quoted(name)}`).join(', ')
  const conflict = {
    insert: '',
    'insert-ignore': 'on conflict do nothing',
    'insert-update': `on conflict (${list(key)}) do update set ${update}`,
  }[op.op]
  return run(`insert into ${target} (${list(columns)}) values ${values} ${conflict}`)
}

/** What a statement must do: go through, fail, or (unique keys that collide only on the way) either. */
export type Expected = 'ok' | 'fails' | 'either'

/** Does to the draft what the statement does to the table; a draft of a statement that fails is not to be used. */
export function applyOp(
  draft: Draft,
  definition: StoredDefinition,
  op: SqlOp,
  isIn: (row: StoredRow) => boolean = () => true,
): Expected {
  if (definition.appendOnly && !['insert', 'copy', 'insert-ignore'].includes(op.op)) return 'fails'
  if ('where' in op) {
    const matching = draft.visible().filter((row) => isIn(row) && matches(op.where, definition, row))
    if (op.op === 'delete') {
      for (const row of matching) draft.remove(row)
      return 'ok'
    }
    const change = (row: StoredRow): StoredRow =>
      op.op === 'update'
        ? changedRow(definition, row, op.set)
        : { ...row, time: (row['time'] as bigint) + op.micros }
    const before = new Set(matching.map((row) => keyText(definition, row)))
    const after = matching.map(change)
    if (after.some((row) => !isIn(row))) return 'fails'
    for (const row of matching) draft.remove(row)
    // A unique index is looked at row by row: a key that a row is only about to leave is still taken.
    const collides =
      op.op === 'shift' && after.some((row) => before.has(keyText(definition, row)) && before.size > 1)
    return draft.add(after) ? (collides && definition.primaryKey ? 'either' : 'ok') : 'fails'
  }
  if (op.op === 'insert' || op.op === 'copy') {
    const rows = op.rows.map((row) => storedRow(definition, row))
    return rows.every((row) => isIn(row)) && draft.add(rows) ? 'ok' : 'fails'
  }
  if (!op.rows.every((row) => isIn(storedRow(definition, row)))) return 'fails'
  if (op.op === 'insert-ignore') {
    for (const row of op.rows) draft.add([storedRow(definition, row)])
    return 'ok'
  }
  for (const input of distinctRows(definition, op.rows)) {
    const existing = draft.byKey(keyText(definition, storedRow(definition, input)))
    if (existing) draft.remove(existing)
    // Direct SQL names every column, so that nothing is left to a default of PostgreSQL.
    const full = storedRow(definition, input)
    draft.add([existing ? upsertedRow(definition, existing, full) : full])
  }
  return 'ok'
}
