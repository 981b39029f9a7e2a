import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import type { StoredDefinition } from '../../../src/schema/index.ts'
import { isTidemarkError } from '../../../src/util/errors.ts'
import { raw } from '../../../src/util/sql.ts'
import { naiveIso } from '../../helpers/naive-time.ts'
import { underFire } from '../kill.ts'
import { defineStep, type StepKind } from '../step.ts'
import { type InputRow, rowArbitrary } from '../tables.ts'
import { csvLine, keyText, type StoredRow, storedRow, upsertedRow } from '../values.ts'
import { isBusy, type World } from '../world.ts'
import { fresh } from './writes.ts'

/** Files on their way into a table, cut off half-way and gone on with. */

const importStep = defineStep({
  name: 'a file is imported',
  weight: 3,
  args: fc.constantFrom('oracle.events', 'oracle.keyed', 'oracle.usage').chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name), { minLength: 20, maxLength: 160, size: 'max' }),
      format: fc.constantFrom('csv', 'ndjson'),
      onConflict:
        name === 'oracle.events'
          ? fc.constant('error' as const)
          : fc.constantFrom('error', 'ignore', 'update'),
      batchRows: fc.integer({ min: 5, max: 25 }),
      connections: fc.integer({ min: 1, max: 2 }),
      badAt: fc.uniqueArray(fc.nat(150), { maxLength: 3 }),
      cut: fc.constantFrom('no', 'kill', 'kill', 'abort'),
      afterMs: fc.integer({ min: 0, max: 60 }),
      engine: fc.nat(1),
    }),
  ),
  async run(world, args) {
    const { name, format, onConflict, batchRows, connections, cut, engine } = args
    const definition = world.engineDefinition(engine, name)
    const mark = world.nextMark()
    const given = args.rows.map((row) => importable(definition, row))
    // of rows with one key the first (ignore) or the last (update) of the file wins, whatever batch it is in
    const rows: readonly StoredRow[] = (onConflict === 'error' ? fresh(world, definition, given) : given).map(
      (row, i) => ({ ...storedRow(definition, row), mark: `${mark}-${i}` }),
    )
    const bad = args.badAt.filter((at) => at < rows.length)
    const dropped = (await world.chunkStates(name)).filter(({ state }) => state === 'dropped')
    /** Their rows are gone: later ones become dead letters. */
    const isExpired = (row: StoredRow): boolean =>
      dropped.some(({ from, to }) => (row['time'] as bigint) >= from && (row['time'] as bigint) < to)
    const dead = rows.flatMap((row, i) => (bad.includes(i) || isExpired(row) ? [i] : []))
    const dir = mkdtempSync(join(tmpdir(), 'tidemark-oracle-'))
    try {
      const file = join(dir, `rows.${format}`)
      writeFileSync(file, format === 'csv' ? csvText(definition, rows, bad) : ndjson(rows, bad))
      const options = {
        format,
        onConflict,
        batchRows,
        connections,
        timeFormat: 'iso',
        ...(format === 'csv' ? { header: true, separator: ',' } : {}),
      } as const
      const own = new Set<unknown>(rows.map((row) => row['mark']))
      let wasHalfIn = false
      let tries = 0
      for (;;) {
        tries += 1
        const isCut = tries === 1 && cut !== 'no'
        const abort = new AbortController()
        const signal = isCut && cut === 'abort' ? abort.signal : world.patience()
        let begin!: () => void
        const begins = new Promise<void>((resolve) => {
          begin = resolve
        })
        const onPlan = (): void => {
          begin()
          setTimeout(() => abort.abort(), args.afterMs)
        }
        const call = () => world.engine(engine).import(name, file, { ...options, signal, onPlan })
        const plan = { begins, afterMs: args.afterMs, times: isCut && cut === 'kill' ? 3 : 0 }
        const { ended } = await underFire(world, plan, call)
        // its last commit went through, only the word of it was lost
        const wasDone = tries > 1 && ended.status === 'rejected' && isDoneAlready(ended.reason)
        const isDone = wasDone || ended.status === 'fulfilled'
        if (ended.status === 'fulfilled' && ended.value.dead !== dead.length)
          throw new Error(
            `${ended.value.dead} dead letters in place of ${dead.length}: ${await deadLetters(world, ended.value.importId)}`,
          )
        await follow(world, definition, mark, rows, dead, onConflict, isDone)
        wasHalfIn ||= !isDone && [...world.rows(name)].some((row) => own.has(row['mark']))
        if (isDone)
          return `${format}, ${tries === 1 ? 'at once' : wasHalfIn ? 'half of it in before' : 'begun twice'}`
        const error = (ended as PromiseRejectedResult).reason as unknown
        if (!isTidemarkError(error)) throw error
        if (error.code === 'TM_CHUNK_CAP') return 'over the cap'
        if (!isCut && !(isBusy(error.code) && world.isContended)) throw error
        if (tries > 2) return 'given up'
      }
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
})

function isDoneAlready(error: unknown): boolean {
  return isTidemarkError(error) && error.code === 'TM_IMPORT' && error.message.includes('was imported into')
}

async function deadLetters(world: World, importId: unknown): Promise<string> {
  const { rows } = await world.real.db.query(
    raw(
      `select line, column_name, value, reason, message from tidemark.dead_letter where import_id = ${String(importId)}`,
    ),
  )
  return rows.map((row) => row.join(' ')).join('; ')
}

/** Files have no word for all that a row may hold. */
export function importable(definition: StoredDefinition, row: InputRow): InputRow {
  return Object.fromEntries(
    Object.entries(storedRow(definition, row)).map(([name, value]) => {
      const { type, default: given } = definition.columns[name]!
      // an empty field is no value: the column's default takes its place
      if (value === '' && given !== null) return [name, 'old']
      if (typeof value === 'number') return [name, Number.isFinite(value) ? value + 0 : null]
      if (type === 'numeric' && /[a-z]/i.test(String(value))) return [name, null]
      if ((type === 'date' || name === 'seen') && String(value).length > 0)
        return [name, isEndless(value) ? null : value]
      // a text in a jsonb column is read as JSON text, as CSV and most loggers write it
      if (type === 'jsonb' && typeof value === 'string') return [name, null]
      return [name, value]
    }),
  )
}

function isEndless(value: unknown): boolean {
  return typeof value === 'bigint'
    ? value > 10n ** 18n || value < -(10n ** 18n)
    : String(value).includes('infinity')
}

export function csvText(
  definition: StoredDefinition,
  rows: readonly StoredRow[],
  bad: readonly number[] = [],
): string {
  const columns = Object.keys(definition.columns)
  const lines = rows.map((row, i) =>
    csvLine(definition, columns, bad.includes(i) ? { ...row, num: 'bad' } : row),
  )
  return `${columns.join(',')}\n${lines.join('\n')}\n`
}

function ndjson(rows: readonly StoredRow[], bad: readonly number[]): string {
  return rows
    .map((row, i) => {
      const fields = bad.includes(i) ? { ...row, num: 'bad' } : row
      return `${JSON.stringify(fields, (key, value: unknown) =>
        typeof value !== 'bigint' ? value : key === 'big' ? String(value) : naiveIso(value),
      )}\n`
    })
    .join('')
}

/**
 * What an import has done so far: each row has a mark of its own, so the table says which are in. After a whole import it
 * must be exactly what the file says.
 */
async function follow(
  world: World,
  definition: StoredDefinition,
  mark: string,
  rows: readonly StoredRow[],
  bad: readonly number[],
  onConflict: string,
  isDone: boolean,
): Promise<void> {
  const { name } = definition
  const { rows: found } = await world.real.db.query(
    raw(`select mark from ${name} where mark like '${mark}-%'`),
  )
  const marks = new Set(found.map(([mark]) => mark as string))
  if (marks.size !== found.length) throw new Error(`an import into ${name} has doubled a row`)
  const draft = world.draft(name)
  const known = new Set([...world.rows(name)].map((row) => row['mark']))
  if (isDone) {
    const expected = expectedMarks(world, definition, rows, bad, onConflict)
    for (const mark of new Set([...expected, ...marks]))
      if (expected.has(mark) !== marks.has(mark))
        throw new Error(
          `after an import into ${name} (${onConflict}) the row ${mark} is ${marks.has(mark) ? '' : 'not '}there`,
        )
  }
  for (const row of rows) {
    if (!marks.has(row['mark'] as string) || known.has(row['mark'])) continue
    const existing = draft.byKey(keyText(definition, row))
    if (existing) draft.remove(existing)
    draft.add([existing ? upsertedRow(definition, existing, row) : row])
  }
  world.commit(name, draft)
}

/** Which rows of a file are in the table after all of it. */
function expectedMarks(
  world: World,
  definition: StoredDefinition,
  rows: readonly StoredRow[],
  bad: readonly number[],
  onConflict: string,
): Set<string> {
  const winners = new Map<string, string>()
  const own = new Set(rows.map((row) => row['mark']))
  const there = new Set(
    [...world.rows(definition.name)]
      .filter((row) => !own.has(row['mark']))
      .map((row) => keyText(definition, row)),
  )
  rows.forEach((row, i) => {
    if (bad.includes(i)) return
    const mark = row['mark'] as string
    const key = keyText(definition, row) ?? mark
    if (onConflict === 'update' || (!winners.has(key) && (onConflict === 'error' || !there.has(key))))
      winners.set(key, mark)
  })
  return new Set(winners.values())
}

/** Rows that never were in PostgreSQL: all of them come at the end, in one transaction. */
const coldImportStep = defineStep({
  name: 'a file is imported into the lake',
  weight: 4,
  args: fc.constantFrom('oracle.events', 'oracle.keyed', 'oracle.ledger', 'oracle.usage').chain((name) =>
    fc.record({
      name: fc.constant(name),
      rows: fc.array(rowArbitrary(name), { minLength: 5, maxLength: 60, size: 'max' }),
      format: fc.constantFrom('csv', 'ndjson'),
      batchRows: fc.integer({ min: 5, max: 40 }),
      badAt: fc.uniqueArray(fc.nat(50), { maxLength: 2 }),
      hasTwice: fc.integer({ min: 0, max: 3 }).map((n) => n === 0),
      cut: fc.constantFrom('no', 'no', 'kill', 'abort'),
      afterMs: fc.integer({ min: 0, max: 150 }),
      engine: fc.nat(1),
    }),
  ),
  async run(world, args) {
    const { name, format, batchRows, cut, engine } = args
    const definition = world.engineDefinition(engine, name)
    const mark = world.nextMark()
    // what was dropped may come back by it, which the shadow of consumers does not follow
    const dropped = (await world.chunkStates(name)).filter(({ state }) => state === 'dropped')
    const given = args.rows
      .map((row) => importable(definition, row))
      .filter(
        (row) =>
          !dropped.some(({ from, to }) => (row['time'] as bigint) >= from && (row['time'] as bigint) < to),
      )
    const news = fresh(world, definition, given)
    const isTwice = args.hasTwice && definition.primaryKey !== null && news.length < given.length
    const rows: readonly StoredRow[] = (isTwice ? given : news).map((row, i) => ({
      ...storedRow(definition, row),
      mark: `${mark}-${i}`,
    }))
    const bad = args.badAt.filter((at) => at < rows.length && !isTwice)
    if (rows.length === 0) return 'none'
    const dir = mkdtempSync(join(tmpdir(), 'tidemark-oracle-'))
    try {
      const file = join(dir, `rows.${format}`)
      writeFileSync(file, format === 'csv' ? csvText(definition, rows, bad) : ndjson(rows, bad))
      const text = { header: true, separator: ',' }
      const options = {
        format,
        batchRows,
        timeFormat: 'iso',
        cold: true,
        ...(format === 'csv' ? text : {}),
      } as const
      const expected = rows.filter((_, i) => !bad.includes(i))
      for (let tries = 1; ; tries += 1) {
        const isCut = tries === 1 && cut !== 'no'
        world.real.lake.mayHaveStrays ||= isCut
        const abort = new AbortController()
        const signal = isCut && cut === 'abort' ? abort.signal : world.patience()
        let begin!: () => void
        const begins = new Promise<void>((resolve) => {
          begin = resolve
        })
        const onPlan = (): void => {
          begin()
          setTimeout(() => abort.abort(), args.afterMs)
        }
        const call = () => world.engine(engine).import(name, file, { ...options, signal, onPlan } as never)
        const plan = { begins, afterMs: args.afterMs, times: isCut && cut === 'kill' ? 3 : 0 }
        const { ended } = await underFire(world, plan, call)
        world.moved(name)
        const answer = await world.engine(0).queryUnknown(name, {
          where: { mark: { like: `${mark}-%` } },
          select: { n: { fn: 'count' } },
        })
        const found = answer.rows[0]!['n'] as number
        if (found !== 0 && (found !== expected.length || isTwice))
          throw new Error(
            `an import into the lake of ${name} has brought ${found} of ${expected.length} rows`,
          )
        if (found > 0 || (ended.status === 'fulfilled' && expected.length === 0)) {
          const draft = world.draft(name)
          draft.add(expected)
          world.commit(name, draft)
          return `${format}, ${tries === 1 ? 'at once' : 'begun twice'}`
        }
        if (ended.status === 'fulfilled')
          throw new Error(`an import into the lake of ${name} is done, and no row is there`)
        const error = ended.reason as unknown
        if (!isTidemarkError(error)) throw error
        if (isTwice && error.code === 'TM_DUPLICATE_KEY') return 'a key twice'
        if (error.code === 'TM_MIGRATION' && world.isPublished(name)) return 'refused: published'
        const isExpected = isCut || (isBusy(error.code) && world.isContended)
        if (!isExpected) {
          const isOld =
            Object.keys(world.definition(name).columns).length !== Object.keys(definition.columns).length
          if (isOld && error.code === 'TM_MIGRATION') return 'old declaration refused'
          throw error
        }
        if (tries > 2) return 'given up'
      }
    } finally {
      rmSync(dir, { recursive: true })
    }
  },
})

export const importSteps: readonly StepKind<never>[] = [
  importStep,
  coldImportStep,
] as readonly unknown[] as readonly StepKind<never>[]
