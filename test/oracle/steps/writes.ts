import fc from 'fast-check'
import type { StoredDefinition } from '../../../src/schema/index.ts'
import { TidemarkError } from '../../../src/util/errors.ts'
import type { Draft } from '../draft.ts'
import { selectionOf, selectRows } from '../queries.ts'
import { defineStep, type StepKind } from '../step.ts'
import { changeableNames, type InputRow, rowsArbitrary, setArbitrary, tableNames } from '../tables.ts'
import { changedRow, keyText, type StoredRow, storedRow, upsertedRow } from '../values.ts'
import { assertCode, endOf, isBusy, type World } from '../world.ts'

/** Inserts, upserts, updates and deletes through the engine. */

const anyTable = fc.constantFrom(...tableNames)
const keyedTables = ['oracle.keyed', 'oracle.usage', 'oracle.settings', 'oracle.ledger'] as const

/** Few rows go in one statement, more than 200 by COPY. */
const amount: fc.Arbitrary<{ minLength: number; maxLength: number }> = fc.oneof(
  { weight: 9, arbitrary: fc.constant({ minLength: 1, maxLength: 12 }) },
  { weight: 1, arbitrary: fc.constant({ minLength: 201, maxLength: 260 }) },
)

function rowsOf(names: fc.Arbitrary<string>) {
  return fc
    .tuple(names, amount)
    .chain(([name, length]) =>
      fc.record({ name: fc.constant(name), rows: rowsArbitrary(name, length), engine: fc.nat(1) }),
    )
}

async function* streamOf<T>(rows: readonly T[]): AsyncGenerator<T> {
  for (const [i, row] of rows.entries()) {
    if (i % 16 === 0) await Promise.resolve()
    yield row
  }
}

/** Without rows whose key comes a second time in the call. */
export function distinct(definition: StoredDefinition, rows: readonly InputRow[]): InputRow[] {
  if (definition.primaryKey === null) return [...rows]
  const keys = new Set<string | null>()
  return rows.filter((row) => {
    const key = keyText(definition, storedRow(definition, row))
    if (keys.has(key)) return false
    keys.add(key)
    return true
  })
}

/** Rows that collide with nothing that is there. */
export function fresh(world: World, definition: StoredDefinition, rows: readonly InputRow[]): InputRow[] {
  const there = new Set<string | null>()
  for (const row of world.rows(definition.name)) there.add(keyText(definition, row))
  return distinct(definition, rows).filter(
    (row) => definition.primaryKey === null || !there.has(keyText(definition, storedRow(definition, row))),
  )
}

const insertStep = defineStep({
  name: 'insert',
  weight: 14,
  args: fc.record({
    call: rowsOf(anyTable),
    // most inserts are meant to succeed; keys that are there make the others fail
    isFresh: fc.integer({ min: 0, max: 4 }).map((n) => n > 0),
    isStream: fc.boolean(),
  }),
  async run(world, { call: { name, rows: given, engine }, isFresh, isStream }) {
    const definition = world.engineDefinition(engine, name)
    const rows = world.complete(definition, isFresh ? fresh(world, definition, given) : given)
    const draft = world.draft(name)
    const fits = draft.add(rows.map((row) => storedRow(definition, row)))
    const signal = world.patience()
    const end = await endOf(world, () =>
      world.engine(engine).insertUnknown(name, isStream ? streamOf(rows) : rows, { signal }),
    )
    if (end.ok) {
      if (!fits) throw new Error(`rows of one key went into ${name}`)
      if (end.value !== rows.length) throw new Error(`${end.value} of ${rows.length} rows were inserted`)
      world.commit(name, draft)
      return rows.length > 200 ? 'copied' : 'done'
    }
    return refusal(world, end.code, fits, name)
  },
})

/** A refusal that has its reason; nothing was written then, as the queries after the step will see. */
function refusal(world: World, code: string, fits: boolean, name: string): string {
  if (code === 'TM_CHUNK_CAP' && world.definition(name).kind === 'hypertable') return 'over the cap'
  if (code === 'TM_EXPIRED' && world.definition(name).kind === 'hypertable') return 'past the retention'
  if (code === 'TM_DUPLICATE_KEY' && !fits) return 'duplicate'
  if (isBusy(code)) return 'busy'
  if (code === 'TM_MIGRATION' && world.isOutdated(name)) return 'old declaration refused'
  throw new Error(`a call over ${name} gave ${code}${fits ? '' : ', a duplicate key was expected'}`)
}

const batchesStep = defineStep({
  name: 'insert in batches',
  weight: 4,
  args: fc.record({
    call: rowsOf(anyTable),
    batchRows: fc.integer({ min: 3, max: 40 }),
    badAt: fc.option(fc.nat(60), { freq: 2, nil: null }),
  }),
  async run(world, { call: { name, rows: given, engine }, batchRows, badAt }) {
    const definition = world.engineDefinition(engine, name)
    const rows = world.complete(definition, fresh(world, definition, given))
    const isBad = badAt !== null && badAt < rows.length
    const sent = isBad ? rows.toSpliced(badAt, 0, { ...rows[badAt], num: 'no number' }) : rows
    const options = { batchRows, signal: world.patience() }
    let committed = rows.length
    try {
      await world.engine(engine).insertUnknown(name, streamOf(sent), options)
      if (isBad) throw new Error('a row with a text in place of a number was taken')
    } catch (error) {
      if (!(error instanceof TidemarkError)) throw error
      if (error.code === 'TM_PARTIAL_WRITE') committed = (error.params as { rows: number }).rows
      else if (['TM_ROW', 'TM_CHUNK_CAP', 'TM_EXPIRED'].includes(error.code) || isBusy(error.code))
        committed = 0
      else throw error
      if (isBad && error.code === 'TM_PARTIAL_WRITE' && committed % batchRows !== 0)
        throw new Error(`${committed} rows are no whole batches of ${batchRows}`)
      if (!isBad && !world.isContended && !hasNoPlace(error)) throw error
    }
    const draft = world.draft(name)
    draft.add(rows.slice(0, committed).map((row) => storedRow(definition, row)))
    world.commit(name, draft)
    return committed === rows.length ? 'done' : 'partly'
  },
})

function hasNoPlace(error: TidemarkError): boolean {
  const { code, cause } = error
  return (
    ['TM_CHUNK_CAP', 'TM_EXPIRED'].includes(code) || (cause instanceof TidemarkError && hasNoPlace(cause))
  )
}

const ignoreStep = defineStep({
  name: 'insert, ignoring duplicates',
  weight: 5,
  args: rowsOf(fc.constantFrom(...keyedTables)),
  async run(world, { name, rows: given, engine }) {
    const definition = world.engineDefinition(engine, name)
    // of rows of one key the first wins
    const rows = world.complete(definition, given)
    const draft = world.draft(name)
    let expected = 0
    for (const row of rows) if (draft.add([storedRow(definition, row)])) expected += 1
    const signal = world.patience()
    const end = await endOf(world, () =>
      world.engine(engine).insertUnknown(name, rows, { onConflict: 'ignore', signal }),
    )
    if (!end.ok) return refusal(world, end.code, true, name)
    if (end.value !== expected) throw new Error(`${end.value} rows were inserted, not ${expected}`)
    world.commit(name, draft)
    return 'done'
  },
})

function upsertInto(draft: Draft, definition: StoredDefinition, rows: readonly InputRow[]): void {
  // of rows of one key the last takes the place of the others before anything is written
  const byKey = new Map(rows.map((row) => [keyText(definition, storedRow(definition, row)), row]))
  const before = new Map(draft.visible().map((row) => [keyText(definition, row), row]))
  const after: StoredRow[] = []
  for (const [key, row] of byKey) {
    const existing = before.get(key)
    if (existing) draft.remove(existing)
    after.push(existing ? upsertedRow(definition, existing, row) : storedRow(definition, row))
  }
  draft.add(after)
}

const upsertStep = defineStep({
  name: 'upsert',
  weight: 8,
  args: rowsOf(fc.constantFrom(...keyedTables)),
  async run(world, { name, rows: given, engine }) {
    const definition = world.engineDefinition(engine, name)
    const rows = world.complete(definition, given)
    const draft = world.draft(name)
    upsertInto(draft, definition, rows)
    const signal = world.patience()
    const end = await endOf(world, () => world.engine(engine).upsertUnknown(name, rows, { signal }))
    if (definition.appendOnly) {
      assertCode(end, ['TM_APPEND_ONLY'], `an upsert into ${name}`)
      return 'append-only'
    }
    if (!end.ok) return refusal(world, end.code, true, name)
    if (end.value !== rows.length) throw new Error(`${end.value} rows were upserted, not ${rows.length}`)
    world.commit(name, draft)
    return rows.length > 200 ? 'copied' : 'done'
  },
})

const updateStep = defineStep({
  name: 'update',
  weight: 7,
  args: anyTable.chain((name) =>
    fc.record({
      name: fc.constant(name),
      set: setArbitrary(name),
      seed: fc.nat(2 ** 30),
      engine: fc.nat(1),
    }),
  ),
  async run(world, { name, set, seed, engine }) {
    const definition = world.engineDefinition(engine, name)
    const selection = selectionOf(definition, seed)
    const draft = world.draft(name)
    const before = selectRows(world, definition, selection, world.rows(name))
    for (const row of before) draft.remove(row)
    const fits = draft.add(before.map((row) => changedRow(definition, row, set)))
    const signal = world.patience()
    const call = world.engine(engine) as unknown as {
      update(table: object, change: object, options: object): Promise<number>
    }
    const end = await endOf(world, () => call.update(definition, { ...selection, set }, { signal }))
    if (definition.appendOnly) {
      assertCode(end, ['TM_APPEND_ONLY'], `an update of ${name}`)
      return 'append-only'
    }
    if (!end.ok) return refusal(world, end.code, fits, name)
    if (!fits) throw new Error(`an update gave two rows of ${name} one key`)
    if (end.value !== before.length) throw new Error(`${end.value} rows were updated, not ${before.length}`)
    world.commit(name, draft)
    return before.length === 0 ? 'none' : 'time' in set ? 'moved' : 'done'
  },
})

const deleteStep = defineStep({
  name: 'delete',
  weight: 6,
  args: fc.record({ name: anyTable, seed: fc.nat(2 ** 30), engine: fc.nat(1) }),
  async run(world, { name, seed, engine }) {
    const definition = world.engineDefinition(engine, name)
    const selection = selectionOf(definition, seed)
    const draft = world.draft(name)
    const gone = selectRows(world, definition, selection, world.rows(name))
    for (const row of gone) draft.remove(row)
    const end = await deleteRows(world, name, engine, selection)
    if (definition.appendOnly) {
      assertCode(end, ['TM_APPEND_ONLY'], `a delete from ${name}`)
      return 'append-only'
    }
    if (!end.ok) return refusal(world, end.code, true, name)
    if (end.value !== gone.length) throw new Error(`${end.value} rows were deleted, not ${gone.length}`)
    world.commit(name, draft)
    return gone.length === 0 ? 'none' : 'done'
  },
})

function deleteRows(world: World, name: string, engine: number, selection: object) {
  const signal = world.patience()
  const call = world.engine(engine) as unknown as {
    delete(table: object, selection: object, options: object): Promise<number>
  }
  return endOf(world, () => call.delete(world.engineDefinition(engine, name), selection, { signal }))
}

const mostRows = 450

/** Tables that grow too large for a naive answer are cut down to their newest rows. */
const pruneStep = defineStep({
  name: 'prune',
  weight: 3,
  args: fc.record({ engine: fc.nat(1) }),
  async run(world, { engine }) {
    const name = changeableNames.find((table) => world.rows(table).size > mostRows)
    if (name === undefined) return 'none'
    const definition = world.engineDefinition(engine, name)
    const rows = [...world.rows(name)]
    const selection =
      definition.kind === 'hypertable'
        ? { to: (rows[Math.floor(rows.length * 0.7)]!['time'] as bigint) + 1n }
        : { where: { num: { lt: 5 } } }
    const draft = world.draft(name)
    for (const row of selectRows(world, definition, selection, rows)) draft.remove(row)
    const end = await deleteRows(world, name, engine, selection)
    if (!end.ok) return refusal(world, end.code, true, name)
    world.commit(name, draft)
    return 'done'
  },
})

/** What makes a row one that does not fit. */
const flaws: readonly ((row: InputRow) => InputRow)[] = [
  (row) => ({ ...row, num: 'seven' }),
  (row) => ({ ...row, num: 2 ** 31 }),
  (row) => ({ ...row, num: null }),
  (row) => ({ ...row, num: 1.5 }),
  (row) => ({ ...row, tag: 'a\0' }),
  (row) => ({ ...row, tag: '\ud800' }),
  (row) => ({ ...row, tag: 7 }),
  (row) => ({ ...row, nosuch: 1 }),
  ({ tag: _, ...row }) => row,
  (row) => ('time' in row ? { ...row, time: 'infinity' } : { ...row, num: undefined }),
  (row) => ('time' in row ? { ...row, time: '2026-03-28 10:00' } : { ...row, value: 'x' }),
]

const badRowStep = defineStep({
  name: 'a bad row in the middle',
  weight: 4,
  args: fc.record({
    call: rowsOf(anyTable),
    at: fc.nat(300),
    flaw: fc.nat(flaws.length - 1),
    verb: fc.constantFrom('insert', 'ignore', 'upsert'),
  }),
  async run(world, { call: { name, rows: given, engine }, at, flaw, verb }) {
    const definition = world.engineDefinition(engine, name)
    const rows = world.complete(definition, fresh(world, definition, given))
    if (rows.length === 0) return 'none'
    const place = at % rows.length
    const sent = rows.toSpliced(place, 0, flaws[flaw]!(rows[place]!))
    const tm = world.engine(engine)
    const signal = world.patience()
    let caught: unknown = null
    try {
      if (verb === 'upsert' && definition.primaryKey !== null && !definition.appendOnly)
        await tm.upsertUnknown(name, sent, { signal })
      else if (verb === 'ignore') await tm.insertUnknown(name, sent, { onConflict: 'ignore', signal })
      else await tm.insertUnknown(name, sent, { signal })
    } catch (error) {
      caught = error
    }
    if (caught instanceof TidemarkError) {
      if (isBusy(caught.code) && world.isContended) return 'busy'
      // The list may also need more chunks than there may be: the cap is looked at first where rows are routed.
      if (caught.code === 'TM_CHUNK_CAP') return 'over the cap'
      if (caught.code === 'TM_EXPIRED') return 'past the retention'
      if (caught.code === 'TM_MIGRATION' && world.isOutdated(name)) return 'old declaration refused'
      if (caught.code === 'TM_ROW' && (caught.params as { row: number }).row === place) return 'refused'
    }
    throw new Error(`row ${place} of ${name} is bad (flaw ${flaw}), but the call gave ${String(caught)}`)
  },
})

export const writeSteps: readonly StepKind<never>[] = [
  insertStep,
  batchesStep,
  ignoreStep,
  upsertStep,
  updateStep,
  deleteStep,
  pruneStep,
  badRowStep,
] as readonly unknown[] as readonly StepKind<never>[]
