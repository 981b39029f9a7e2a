import type { Database } from '../postgres/index.ts'
import { type ChangeView, type ChangeWatch, everything, joinRanges } from '../query/index.ts'
import type { HypertableDefinition } from '../schema/index.ts'
import type { Instant, TimeRange } from '../time/index.ts'
import { repeated, sql } from '../util/sql.ts'
import { type PostgresSnapshot, postgresSnapshot, seesAllRows } from './read-snapshot.ts'
import { readSnapshotPlace, type SnapshotPlace, seesAllOf } from './snapshot-order.ts'

/**
 * Follows the change log of each hypertable as the queries of this process see it: docs/design/results-cache.md. Nothing is
 * registered in the catalog, so nothing holds the log back; what was trimmed before it was seen counts as a change of everything.
 */
export function createChangeWatch(): ChangeWatch {
  const known = new WeakMap<Database, Map<string, Follower>>()
  return {
    async look(dataset, { snapshot, signal }) {
      const lent = postgresSnapshot(snapshot)
      const followers = known.get(lent.database) ?? new Map<string, Follower>()
      known.set(lent.database, followers)
      const follower = followers.get(dataset.name) ?? new Follower(dataset)
      followers.set(dataset.name, follower)
      return follower.look(lent, signal)
    },
  }
}

/**
 * Snapshots from `first` to `last` see the same rows; `changed` is where the moment before may differ. The oldest one that is
 * remembered stands for all before it: its `changed` is what has changed since the first.
 */
interface Moment {
  readonly number: number
  readonly changed: readonly TimeRange[]
  readonly first: SnapshotPlace
  last: SnapshotPlace
}

/** Moments that are told apart; of older ones is known only what has changed since, all together. */
const maxMoments = 128

/** Ranges of a moment; more are taken for one that holds them all. */
const maxRanges = 2048

let histories = 0

type Answer = readonly [
  snapshot: string,
  history: string | null,
  epoch: bigint,
  goneFrom: readonly Instant[] | null,
  goneTo: readonly Instant[] | null,
  isKnown: boolean,
  changedFrom: readonly Instant[] | null,
  changedTo: readonly Instant[] | null,
]

class Follower {
  readonly #dataset: HypertableDefinition
  /** Before the first look, a catalog without the function would fail the query. */
  #canAsk = false
  #history: string | null = null
  #historyNumber = 0
  #epoch: bigint | null = null
  #gone: readonly TimeRange[] = []
  /** Ascending; the newest is the present one. */
  #moments: Moment[] = []

  constructor(dataset: HypertableDefinition) {
    this.#dataset = dataset
  }

  async look(snapshot: PostgresSnapshot, signal: AbortSignal | null): Promise<ChangeView | null> {
    if (!this.#canAsk) {
      const { rows } = await snapshot.query(
        sql`select to_regprocedure('tidemark.changes_since(text, text, pg_snapshot, int8)') is not null`,
        signal,
      )
      this.#canAsk = rows[0]?.[0] === true
      if (!this.#canAsk) return null
    }
    const asked = { history: this.#history, moment: this.#moments.at(-1)?.last ?? null, epoch: this.#epoch }
    const [{ rows }, version] = await Promise.all([
      snapshot.query(
        repeated(sql`
          select snapshot, history, epoch, gone_from, gone_to, is_known, changed_from, changed_to
          from tidemark.changes_since(
            ${this.#dataset.schema}::text, ${this.#dataset.table}::text,
            ${asked.moment?.text ?? null}::pg_snapshot, ${asked.epoch}::int8
          )`),
        signal,
      ),
      snapshot.catalogVersion(this.#dataset),
    ])
    // whose rows a policy limits is not told of a change of the policy
    if (!seesAllRows(version)) return null
    return this.#take(asked, rows[0] as unknown as Answer)
  }

  #take(
    asked: { readonly history: string | null; readonly moment: SnapshotPlace | null },
    [text, history, epoch, goneFrom, goneTo, isKnown, changedFrom, changedTo]: Answer,
  ): ChangeView | null {
    if (history === null) return null
    const place = readSnapshotPlace(text)
    const gone = goneFrom && goneTo ? rangesOf(goneFrom, goneTo) : null
    if (history !== this.#history) {
      // asked of another history, so the answer holds nothing of this one; what was dropped is told where no epoch is known
      if (gone === null) {
        this.#epoch = null
        return null
      }
      this.#history = history
      this.#historyNumber = ++histories
      this.#moments = [{ number: 0, changed: [], first: place, last: place }]
      this.#epoch = epoch
      this.#gone = gone
      return this.#view(0, true)
    }
    const present = this.#moments.at(-1) as Moment
    if (!seesAllOf(place, present.last)) return this.#viewOfPast(place)
    // moments may have come since it was asked: then it tells too much
    const isTold = isKnown && asked.history === history
    const changed = isTold
      ? rangesOf(changedFrom ?? [], changedTo ?? [])
      : present.last.text === text
        ? []
        : [everything]
    if (gone !== null) {
      this.#epoch = epoch
      this.#gone = gone
    }
    if (changed.length === 0) {
      present.last = place
      return this.#view(present.number, true)
    }
    const number = present.number + 1
    this.#moments.push({ number, changed: bounded(changed), first: place, last: place })
    if (this.#moments.length > maxMoments) this.#forgetHalf()
    return this.#view(number, true)
  }

  /** The snapshot was taken before the present moment. */
  #viewOfPast(place: SnapshotPlace): ChangeView | null {
    for (let i = this.#moments.length - 1; i >= 0; i--) {
      const moment = this.#moments[i] as Moment
      if (seesAllOf(place, moment.first)) return this.#view(moment.number, seesAllOf(moment.last, place))
    }
    return null
  }

  #view(moment: number, isMoment: boolean): ChangeView {
    const known = new Map<number, readonly TimeRange[] | null>()
    const history = this.#historyNumber
    return {
      history,
      moment,
      isMoment,
      unwatched: this.#gone,
      changedSince: (since) => {
        let changed = known.get(since)
        if (changed === undefined) {
          changed = history === this.#historyNumber ? this.#between(since, moment, isMoment) : null
          known.set(since, changed)
        }
        return changed
      },
    }
  }

  #between(since: number, moment: number, isMoment: boolean): readonly TimeRange[] | null {
    const after = Math.min(since, moment)
    const upTo = Math.max(since, isMoment ? moment : moment + 1)
    if (upTo < (this.#moments[0] as Moment).number) return null
    const changed: TimeRange[] = []
    for (const { number, changed: ranges } of this.#moments)
      if (number > after && number <= upTo) changed.push(...ranges)
    return joinRanges(changed)
  }

  #forgetHalf(): void {
    const old = this.#moments.splice(0, maxMoments >> 1)
    const last = old.at(-1) as Moment
    this.#moments.unshift({ ...last, changed: bounded(old.flatMap(({ changed }) => changed)) })
  }
}

function rangesOf(from: readonly Instant[], to: readonly Instant[]): readonly TimeRange[] {
  return from.map((instant, i) => ({ from: instant, to: to[i] as Instant }))
}

function bounded(ranges: readonly TimeRange[]): readonly TimeRange[] {
  const joined = joinRanges(ranges)
  if (joined.length <= maxRanges) return joined
  return [{ from: (joined[0] as TimeRange).from, to: (joined.at(-1) as TimeRange).to }]
}
