import type { OnConflict } from '../hot/index.ts'
import type { Database } from '../postgres/index.ts'
import { allTenants, createRowCodec, type StoredDefinition, type TenantScope } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import type { IngestReport, Pipeline } from './contract.ts'
import { allowedIn, todoOf } from './dead-letter-advice.ts'
import { checkChange, patchRow, type RowChange } from './dead-letter-patch.ts'
import type {
  DeadLetterGroup,
  ExplainedLetter,
  FixOptions,
  FixReport,
  LetterPage,
  RejectedLetter,
  ReplayOptions,
  ReplayReport,
} from './dead-letter-reports.ts'
import { firstProblem, guardOf, rowOf, scopeOf } from './dead-letter-rows.ts'
import { type Replayed, settle } from './dead-letter-settle.ts'
import {
  type Choice,
  correctedMark,
  countLetters,
  countLettersByColumn,
  type DeadLetter,
  type DeadLetterChoice,
  deleteLetters,
  LettersChanged,
  type LetterUpdate,
  lettersOf,
  lockLetters,
  type ReadLetter,
  readChoice,
  readLetters,
  readNewestLetters,
  stateOfLetter,
  updateLetters,
} from './dead-letter-store.ts'
import { maxDeadRaw, rawOfRow } from './dead-letters.ts'

/** Letters of one transaction: as many rows as the database may refuse one by one. */
const pageLetters = 100
const maxListed = 100
const maxSamples = 5
const maxGroups = 200
/** Readings of letters that others change meanwhile. */
const maxTries = 10

/**
 * Rows that were not taken: what is wrong with them, corrections, and their way back into the pipeline. Of one tenant those that came on
 * its behalf. Whoever replays a letter, its row is written on behalf of whom it came.
 */
export class DeadLetters {
  readonly #db: Database
  readonly #pipeline: Pipeline
  readonly #definitionOf: (name: string) => StoredDefinition | null
  /** Whose letters; null: everybody's. */
  readonly #tenant: string | null
  /** Null: every one. */
  readonly #only: readonly string[] | null

  constructor(
    db: Database,
    pipeline: Pipeline,
    definitionOf: (name: string) => StoredDefinition | null,
    scope: TenantScope = allTenants,
    only: readonly string[] | null = null,
  ) {
    this.#db = db
    this.#pipeline = pipeline
    this.#definitionOf = definitionOf
    this.#only = only
    // no letter has '' for a tenant
    this.#tenant = scope.kind === 'all' ? null : scope.kind === 'one' ? scope.tenant : ''
  }

  /**
   * Counted by dataset and reason, with the first of each.
   *
   * @example
   * for (const { dataset, reason, count, samples } of await tm.deadLetters.groups()) console.log(dataset, reason, count)
   */
  async groups(
    choice: DeadLetterChoice = {},
    options: { readonly samples?: number } = {},
  ): Promise<DeadLetterGroup[]> {
    const chosen = this.#choice(choice, false)
    const groups: DeadLetterGroup[] = []
    for (const group of await countLetters(this.#db, chosen)) {
      const { dataset, reason } = group
      const page = { afterId: '0', limit: options.samples ?? 3 }
      const samples = await readLetters(this.#db, { ...chosen, dataset, reason }, page)
      groups.push({ ...group, samples: samples.map(withoutVersion) })
    }
    return groups
  }

  /** In the order of coming, after `afterId`; 1,000 at most where no `limit` is said. */
  async list(
    choice: DeadLetterChoice = {},
    page: { readonly afterId?: string; readonly limit?: number } = {},
  ): Promise<DeadLetter[]> {
    const { afterId = '0', limit = 1000 } = page
    return (await readLetters(this.#db, this.#choice(choice, false), { afterId, limit })).map(withoutVersion)
  }

  /** The newest first, before the letter of that id; 100 at most where no `limit` is said. */
  async newest(
    choice: DeadLetterChoice = {},
    page: {
      readonly before?: string | null
      readonly limit?: number
      readonly signal?: AbortSignal | null
    } = {},
  ): Promise<LetterPage> {
    const { before = null, limit = 100, signal = null } = page
    const chosen = this.#choice(choice, false)
    const found = await readNewestLetters(this.#db, chosen, { beforeId: before, limit: limit + 1 }, signal)
    const letters = found.slice(0, limit)
    return {
      letters: letters.map((letter) => ({ ...withoutVersion(letter), state: stateOfLetter(letter) })),
      groups: before === null ? await countLettersByColumn(this.#db, chosen, maxGroups, signal) : [],
      next: found.length > limit ? (letters.at(-1)?.id ?? null) : null,
    }
  }

  /**
   * The row, what is wrong with it, what is allowed, and what to do.
   *
   * @throws TidemarkError TM_QUERY when there is no such letter.
   */
  async explain(id: string | number | bigint): Promise<ExplainedLetter> {
    const chosen = this.#choice({ ids: [id] }, true)
    const [letter] = await readLetters(this.#db, chosen, { afterId: '0', limit: 1 })
    if (letter === undefined)
      throw new TidemarkError('TM_QUERY', {
        path: 'ids',
        problem: `there is no dead letter ${id}; it was replayed or dropped, or never there`,
      })
    const definition = this.#definitionOf(letter.dataset)
    const row = rowOf(letter, definition)
    const problems =
      typeof row === 'string' || definition === null
        ? []
        : createRowCodec(definition).problems(guardOf(letter, definition)?.fill(row) ?? row)
    return {
      ...withoutVersion(letter),
      state: stateOfLetter(letter),
      row: typeof row === 'string' ? null : row,
      problems,
      allowed: definition === null ? [] : allowedIn(definition, letter, problems),
      todo: typeof row === 'string' ? row : todoOf(letter, problems.length > 0),
      canReplay: typeof row !== 'string',
    }
  }

  /**
   * Corrects stored rows; without `apply` it only tells what would be done. What was corrected is replayed by `replay`.
   *
   * @example
   * await tm.deadLetters.fix({ dataset: 'events', reason: 'column' }, { rename: { userid: 'user_id' } }, { apply: true })
   *
   * @throws TidemarkError TM_QUERY where nothing is chosen or changed; TM_BUSY when others change the letters all the time.
   */
  async fix(choice: DeadLetterChoice, change: RowChange, options: FixOptions = {}): Promise<FixReport> {
    checkChange(change)
    const isApplied = options.apply ?? false
    const failed = new Counts()
    const samples: FixReport['samples'][number][] = []
    let [changed, fits, unchanged] = [0, 0, 0]
    await this.#eachPage(choice, options.signal ?? null, async (letters) => {
      const found: { letter: ReadLetter; update: LetterUpdate; sample: FixReport['samples'][number] }[] = []
      const page = { failed: new Counts(), unchanged: 0, fits: 0 }
      for (const letter of letters) {
        const definition = this.#definitionOf(letter.dataset)
        const row = rowOf(letter, definition)
        const given = typeof row === 'string' ? null : row
        if (definition === null || (given === null && change.row === undefined)) {
          page.failed.add(row as string)
          continue
        }
        const patched = patchRow(given, change)
        const raw = typeof patched === 'string' ? null : rawOfRow(definition, patched.row)
        if (typeof patched === 'string') page.failed.add(patched)
        else if (patched.patch.length === 0) page.unchanged += 1
        else if (raw === null || raw.length > maxDeadRaw)
          page.failed.add(`the row would have more than ${maxDeadRaw} characters of JSON`)
        else {
          const dead = await firstProblem(definition, JSON.parse(raw), guardOf(letter, definition))
          if (dead === null) page.fits += 1
          found.push({
            letter,
            update: { id: letter.id, raw, problem: dead ?? corrected(letter) },
            sample: { id: letter.id, ...patched, problem: dead?.message ?? null },
          })
        }
      }
      if (isApplied && found.length > 0)
        await this.#db.transaction({ mode: 'read committed' }, async (connection) => {
          await lockLetters(
            connection,
            found.map(({ letter }) => letter),
          )
          await updateLetters(
            connection,
            found.map(({ update }) => update),
          )
        })
      changed += found.length
      fits += page.fits
      unchanged += page.unchanged
      failed.addAll(page.failed)
      samples.push(...found.slice(0, maxSamples - samples.length).map(({ sample }) => sample))
    })
    return { isApplied, changed, fits, unchanged, failed: failed.toObject(), samples }
  }

  /**
   * Gives rows to the pipeline once more. A letter is gone in the transaction that writes its row: however often this is stopped
   * and begun again, also by several at once, each row is written once. Those that are refused again stay and say why.
   *
   * @example
   * const { replayed, rejected } = await tm.deadLetters.replay({ dataset: 'events' })
   *
   * @throws TidemarkError TM_QUERY where nothing is chosen; those of `ingest`: what was replayed by then stays so.
   */
  async replay(choice: DeadLetterChoice, options: ReplayOptions = {}): Promise<ReplayReport> {
    const sums: ReplaySums = {
      counts: { replayed: 0, inserted: 0, updated: 0, ignored: 0, merged: 0, duplicates: 0 },
      rejectedCount: 0,
      rejected: [],
      unreadable: new Counts(),
    }
    await this.#eachPage(choice, options.signal ?? null, (letters) => this.#replay(letters, options, sums, 1))
    const { counts, rejectedCount, rejected, unreadable } = sums
    return {
      ...counts,
      rejected: { count: rejectedCount, letters: rejected },
      unreadable: unreadable.toObject(),
    }
  }

  async #replay(
    letters: readonly ReadLetter[],
    options: ReplayOptions,
    sums: ReplaySums,
    tries: number,
  ): Promise<void> {
    for (const { definition, tenant, onConflict, batch } of this.#batches(
      letters,
      options.onConflict,
      sums.unreadable,
    )) {
      let report: IngestReport
      try {
        report = await this.#pipeline.ingest({
          definition,
          scope: scopeOf({ tenant }),
          rows: batch.map(({ row }) => row),
          onConflict,
          acknowledge: 'durable',
          isAtomic: false,
          idempotencyKey: null,
          source: 'dead-letters',
          signal: options.signal ?? null,
          inTransaction: (connection, refused) => settle(connection, batch, refused),
        })
      } catch (error) {
        if (!(error instanceof LettersChanged)) throw error
        if (tries === maxTries) throw busy(error)
        const ids = batch.map(({ letter }) => letter.id)
        const left = await readLetters(this.#db, lettersOf(ids, this.#tenant), {
          afterId: '0',
          limit: ids.length,
        })
        await this.#replay(left, options, sums, tries + 1)
        continue
      }
      const { rejected, ...counts } = report
      sums.counts.replayed += batch.length - rejected.count
      for (const name of ['inserted', 'updated', 'ignored', 'merged', 'duplicates'] as const)
        sums.counts[name] += counts[name]
      sums.rejectedCount += rejected.count
      for (const { index, ...problem } of rejected.rows)
        if (sums.rejected.length < maxListed) sums.rejected.push({ id: batch[index]!.letter.id, ...problem })
    }
  }

  /** How many were taken away for good. @throws TidemarkError TM_QUERY where nothing is chosen. */
  async drop(choice: DeadLetterChoice): Promise<number> {
    return deleteLetters(this.#db, this.#choice(choice, true))
  }

  #choice(choice: DeadLetterChoice, mustChoose: boolean): Choice {
    const chosen = { ...readChoice(choice, mustChoose), tenant: this.#tenant, only: this.#only }
    const { dataset } = chosen
    // as it is declared: `events` is `public.events`
    return dataset === null ? chosen : { ...chosen, dataset: this.#definitionOf(dataset)?.name ?? dataset }
  }

  /** Page by page, once more where somebody else has changed one of a page meanwhile. */
  async #eachPage(
    choice: DeadLetterChoice,
    signal: AbortSignal | null,
    use: (letters: readonly ReadLetter[]) => Promise<void>,
  ): Promise<void> {
    const chosen = this.#choice(choice, true)
    let afterId = '0'
    for (let tries = 1; ; ) {
      if (signal?.aborted) throw new TidemarkError('TM_CANCELLED', { what: 'going through dead letters' })
      const letters = await readLetters(this.#db, chosen, { afterId, limit: pageLetters })
      const last = letters.at(-1)
      if (last === undefined) return
      try {
        await use(letters)
      } catch (error) {
        if (!(error instanceof LettersChanged)) throw error
        if (tries === maxTries) throw busy(error)
        tries += 1
        continue
      }
      tries = 1
      afterId = last.id
    }
  }

  /** Rows that go together: of one dataset, one tenant and one rule. */
  #batches(
    letters: readonly ReadLetter[],
    rule: OnConflict | undefined,
    unreadable: Counts,
  ): readonly Replayed[] {
    const byKey = new Map<string, Replayed>()
    for (const letter of letters) {
      const definition = this.#definitionOf(letter.dataset)
      const row = rowOf(letter, definition)
      if (typeof row === 'string' || definition === null) {
        unreadable.add(row as string)
        continue
      }
      const onConflict = rule ?? letter.onConflict ?? 'error'
      const { tenant } = letter
      const key = JSON.stringify([definition.name, onConflict, tenant])
      const batch = byKey.get(key) ?? { definition, tenant, onConflict, batch: [] }
      byKey.set(key, batch)
      batch.batch.push({ letter, row })
    }
    return [...byKey.values()]
  }
}

function busy(cause: LettersChanged): TidemarkError {
  const lastProblem = 'somebody else changes the same ones'
  return new TidemarkError('TM_BUSY', { what: 'dead letters', tries: maxTries, lastProblem }, { cause })
}

interface ReplaySums {
  readonly counts: Record<'replayed' | 'inserted' | 'updated' | 'ignored' | 'merged' | 'duplicates', number>
  rejectedCount: number
  readonly rejected: RejectedLetter[]
  readonly unreadable: Counts
}

function corrected({ reason }: DeadLetter): LetterUpdate['problem'] {
  return {
    column: null,
    value: null,
    reason,
    message: `${correctedMark} the row fits the declaration; replay it`,
  }
}

function withoutVersion({ version: _, ...letter }: ReadLetter): DeadLetter {
  return letter
}

class Counts {
  readonly #counts = new Map<string, number>()

  add(key: string, count = 1): void {
    this.#counts.set(key, (this.#counts.get(key) ?? 0) + count)
  }

  addAll(other: Counts): void {
    for (const [key, count] of other.#counts) this.add(key, count)
  }

  toObject(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }
}
