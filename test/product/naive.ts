import {
  bucketBorders,
  formatInstant,
  nextBucket,
  parseInterval,
  subtractInterval,
} from '../../src/time/index.ts'
import type { Visit } from './fixture.ts'

/** The answers again, one user after the other and with nothing but loops. */

type Match = (visit: Visit) => boolean

export function userOf(visit: Visit): string | null {
  return visit.who ?? visit.device
}

function byUser(visits: readonly Visit[]): Map<string, Visit[]> {
  return groupBy(
    visits.filter((visit) => userOf(visit) !== null),
    (visit) => userOf(visit)!,
  )
}

function groupBy<T, K>(values: readonly T[], keyOf: (value: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>()
  for (const value of values) {
    const key = keyOf(value)
    const group = groups.get(key)
    if (group) group.push(value)
    else groups.set(key, [value])
  }
  return groups
}

const compare = <T>(a: T, b: T): number => (a < b ? -1 : a > b ? 1 : 0)

/** Nulls last. */
const compareNames = (a: string | null, b: string | null): number =>
  a === b ? 0 : a === null ? 1 : b === null ? -1 : compare(a, b)

const share = (part: number, whole: number): number | null => (whole === 0 ? null : part / whole)

/** The smallest value that has at least this share of all values at or below it. */
export function quantile(values: readonly bigint[], q: number): number | null {
  const sorted = [...values].sort(compare)
  return sorted.length === 0 ? null : Number(sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)]) / 1e6
}

export interface NaiveFunnel {
  readonly from: bigint
  readonly to: bigint
  readonly within: bigint
  readonly steps: readonly Match[]
  readonly order: 'ordered' | 'strict'
  readonly segment: ((visit: Visit) => string | null) | null
}

export function naiveFunnel(
  visits: readonly Visit[],
  { from, to, within, steps, order, segment }: NaiveFunnel,
) {
  const segments = new Map<string | null, { times: bigint[] }[]>()
  if (!segment) segments.set(null, [])
  for (const own of byUser(visits).values()) {
    const matches = (visit: Visit) => steps.map((step) => step(visit))
    const keyOf = (visit: Visit) => {
      const bits = matches(visit).reduce((sum, is, i) => sum + (is ? 2 ** i : 0), 0)
      const first = matches(visit).indexOf(true)
      return { first: first < 0 ? 99 : first, bits }
    }
    const events = [...own].sort((a, b) => {
      const [x, y] = [keyOf(a), keyOf(b)]
      return (
        compare(a.at, b.at) ||
        x.first - y.first ||
        x.bits - y.bits ||
        (segment ? compareNames(segment(a), segment(b)) : 0)
      )
    })
    const best = new Map<string | null, { times: bigint[] }>()
    for (const [place, event] of events.entries()) {
      if (event.at < from || event.at >= to || !steps[0]!(event)) continue
      const times = [event.at]
      let at = place
      for (const step of steps.slice(1)) {
        at++
        if (order === 'ordered') while (at < events.length && !step(events[at]!)) at++
        const next = events[at]
        if (!next || !step(next) || next.at - event.at > within) break
        times.push(next.at)
      }
      const name = segment ? segment(event) : null
      const held = best.get(name)
      if (!held || times.length > held.times.length) best.set(name, { times })
    }
    for (const [name, one] of best) segments.set(name, [...(segments.get(name) ?? []), one])
  }
  return [...segments]
    .sort(([a, x], [b, y]) => y.length - x.length || compareNames(a, b))
    .flatMap(([name, users]) =>
      steps.map((_, i) => {
        const there = users.filter(({ times }) => times.length > i)
        const before = users.filter(({ times }) => times.length >= i)
        const took = i === 0 ? [] : there.map(({ times }) => times[i]! - times[0]!)
        return {
          ...(segment ? { segment: name } : {}),
          step: i + 1,
          users: there.length,
          ofFirst: share(there.length, users.length),
          ofPrevious: share(there.length, before.length),
          medianSeconds: quantile(took, 0.5),
          p95Seconds: quantile(took, 0.95),
        }
      }),
    )
}

export interface NaiveRetention {
  readonly from: bigint
  readonly to: bigint
  readonly now: bigint
  readonly period: string
  readonly zone: string | null
  readonly periods: number
  readonly kind: 'bounded' | 'unbounded'
  readonly cohort: Match
  readonly returning: Match
}

export function naiveRetention(visits: readonly Visit[], asked: NaiveRetention) {
  const spec = { every: parseInterval(asked.period), zone: asked.zone }
  const borders = bucketBorders(spec, asked, { max: 10_000 })
  const cohorts = borders.length - 1
  for (let i = 0; i < asked.periods; i++) borders.push(nextBucket(spec, borders.at(-1)!))
  const periodOf = (at: bigint) => borders.findLastIndex((border) => border <= at)
  const rows = Array.from({ length: cohorts }, () => ({
    users: 0,
    at: new Array<number>(asked.periods).fill(0),
  }))
  for (const own of byUser(visits).values()) {
    const starts = own
      .filter((v) => v.at >= asked.from && v.at < asked.to && asked.cohort(v))
      .map((v) => v.at)
    if (starts.length === 0) continue
    const first = starts.reduce((a, b) => (a < b ? a : b))
    const row = rows[periodOf(first)]!
    row.users++
    const offsets = own
      .filter((v) => v.at >= first && asked.returning(v))
      .map((v) => periodOf(v.at) - periodOf(first))
      .filter((offset) => offset < asked.periods)
    for (let o = 0; o < asked.periods; o++)
      if (asked.kind === 'bounded' ? offsets.includes(o) : offsets.some((offset) => offset >= o)) row.at[o]!++
  }
  return rows.map(({ users, at }, i) => {
    const returned = at.map((count, o) => (borders[i + o]! >= asked.now ? null : count))
    return {
      cohort: formatInstant(borders[i]!),
      users,
      returned,
      shares: returned.map((count) => (count === null ? null : share(count, users))),
    }
  })
}

/** Sessions of events in the range, each in order of time and then of `tie`. */
export function naiveSessions(
  visits: readonly Visit[],
  range: { readonly from: bigint; readonly to: bigint },
  by: { readonly timeout: bigint } | 'visit',
  tie: (visit: Visit) => string = () => '',
): Visit[][] {
  const inside = visits.filter((v) => v.at >= range.from && v.at < range.to && userOf(v) !== null)
  const inOrder = (a: Visit, b: Visit) =>
    compare(a.at, b.at) || compare(tie(a), tie(b)) || compare(userOf(a), userOf(b))
  if (by === 'visit')
    return [
      ...groupBy(
        inside.filter((v) => v.visit !== null),
        (v) => v.visit,
      ).values(),
    ].map((own) => own.sort(inOrder))
  const sessions: Visit[][] = []
  for (const own of byUser(inside).values()) {
    let last: Visit[] = []
    for (const visit of own.sort(inOrder)) {
      if (last.length > 0 && visit.at - last.at(-1)!.at <= by.timeout) last.push(visit)
      else {
        last = [visit]
        sessions.push(last)
      }
    }
  }
  return sessions
}

export function naiveSessionRow(sessions: readonly (readonly Visit[])[]) {
  const lengths = sessions.map((own) => own.at(-1)!.at - own[0]!.at)
  const total = Number(lengths.reduce((a, b) => a + b, 0n))
  return {
    sessions: sessions.length,
    users: new Set(sessions.map((own) => userOf(own[0]!))).size,
    meanSeconds: sessions.length === 0 ? null : total / 1e6 / sessions.length,
    medianSeconds: quantile(lengths, 0.5),
    eventsPerSession: share(
      sessions.reduce((sum, own) => sum + own.length, 0),
      sessions.length,
    ),
    bounceShare: share(sessions.filter((own) => own.length === 1).length, sessions.length),
  }
}

export function naiveTopPages(sessions: readonly (readonly Visit[])[], top: number) {
  const names = [...new Set(sessions.flat().map((v) => v.page!))]
  return names
    .map((page) => {
      const views = sessions.flat().filter((v) => v.page === page)
      const entered = sessions.filter((own) => own[0]!.page === page)
      const times = sessions.flatMap((own) =>
        own.flatMap((v, i) => (v.page === page && i + 1 < own.length ? [own[i + 1]!.at - v.at] : [])),
      )
      return {
        page,
        views: views.length,
        users: new Set(views.map(userOf)).size,
        entrances: entered.length,
        exits: sessions.filter((own) => own.at(-1)!.page === page).length,
        bounceShare: share(entered.filter((own) => own.length === 1).length, entered.length),
        meanSeconds:
          times.length === 0 ? null : Number(times.reduce((a, b) => a + b, 0n)) / 1e6 / times.length,
      }
    })
    .sort((a, b) => b.views - a.views || compare(a.page, b.page))
    .slice(0, top)
}

export function naivePaths(
  sessions: readonly (readonly Visit[])[],
  { start, end, depth, top }: { start: string | null; end: string | null; depth: number; top: number },
) {
  const walks = sessions.flatMap((own) => {
    const places = own.filter((v, i) => i === 0 || own[i - 1]!.page !== v.page)
    if (end !== null) {
      const at = places.findIndex((v) => v.page === end)
      return at < 0
        ? []
        : [
            places
              .slice(0, at + 1)
              .reverse()
              .slice(0, depth),
          ]
    }
    const at = start === null ? 0 : places.findIndex((v) => v.page === start)
    return at < 0 ? [] : [places.slice(at, at + depth)]
  })
  const named = Array.from({ length: depth }, (_, step) => {
    const users = new Map<string, Set<string>>()
    for (const walk of walks) {
      const visit = walk[step]
      if (!visit) continue
      users.set(visit.page!, (users.get(visit.page!) ?? new Set()).add(userOf(visit)!))
    }
    return new Set(
      [...users]
        .sort(([a, x], [b, y]) => y.size - x.size || compare(a, b))
        .slice(0, top)
        .map(([page]) => page),
    )
  })
  const edges = new Map<
    string,
    { step: number; from: string | null; to: string | null; who: Set<string>; sessions: number }
  >()
  for (const walk of walks)
    for (let i = 0; i + 1 < walk.length; i++) {
      const label = (step: number) => (named[step]!.has(walk[step]!.page!) ? walk[step]!.page : null)
      const [near, far] = [label(i), label(i + 1)]
      const [from, to] = end === null ? [near, far] : [far, near]
      const key = JSON.stringify([i, from, to])
      const edge = edges.get(key) ?? { step: i + 1, from, to, who: new Set(), sessions: 0 }
      edge.who.add(userOf(walk[i]!)!)
      edge.sessions++
      edges.set(key, edge)
    }
  return [...edges.values()]
    .map(({ who, step, from, to, sessions }) => ({ step, from, to, users: who.size, sessions }))
    .sort(
      (a, b) =>
        a.step - b.step || b.users - a.users || compareNames(a.from, b.from) || compareNames(a.to, b.to),
    )
}

export function naiveActiveUsers(
  visits: readonly Visit[],
  asked: { from: bigint; to: bigint; bucket: string; zone: string | null; windows: readonly string[] },
) {
  const borders = bucketBorders({ every: parseInterval(asked.bucket), zone: asked.zone }, asked, {
    max: 10_000,
  })
  return borders.slice(1).map((end, i) => {
    const users = asked.windows.map((window) => {
      const from = subtractInterval(end, parseInterval(window), asked.zone)
      const inside = visits.filter((v) => v.at >= from && v.at < end && v.at < asked.to && userOf(v) !== null)
      return new Set(inside.map(userOf)).size
    })
    return { bucket: formatInstant(borders[i]!), users, stickiness: share(users[0]!, users.at(-1)!) }
  })
}

export function naiveLifecycle(
  visits: readonly Visit[],
  asked: { from: bigint; to: bigint; period: string; zone: string | null; since: bigint | null },
) {
  const spec = { every: parseInterval(asked.period), zone: asked.zone }
  const borders = bucketBorders(spec, asked, { max: 10_000 })
  // from long before the first event on, so that there is always a period before
  const all = bucketBorders(spec, { from: asked.from - 40n * 86_400_000_000n, to: asked.to }, { max: 10_000 })
  const seen = visits.filter((v) => v.at < asked.to && (asked.since === null || v.at >= asked.since))
  const active = all.slice(0, -1).map((from, i) => {
    const to = all[i + 1]!
    return new Set(byUser(seen.filter((v) => v.at >= from && v.at < to)).keys())
  })
  return borders.slice(0, -1).map((start) => {
    const at = all.indexOf(start)
    const now = [...active[at]!]
    const before = active[at - 1]!
    const known = new Set(active.slice(0, at).flatMap((users) => [...users]))
    return {
      period: formatInstant(start),
      new: now.filter((user) => !known.has(user)).length,
      returning: now.filter((user) => before.has(user)).length,
      resurrecting: now.filter((user) => known.has(user) && !before.has(user)).length,
      dormant: [...before].filter((user) => !active[at]!.has(user)).length,
    }
  })
}
