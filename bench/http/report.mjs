// What was measured, as tables: beside what the document wants and what we aim at, and against the plain server.
import { markdownTable, ms } from '../harness.mjs'

/** ms: what the document of the rank tracker names as its target, and our aim for the 99th percentile. */
const goals = {
  add: { what: 'a keyword added', document: 50, aim: 15 },
  update: { what: 'a keyword changed', document: 50, aim: 15 },
  remove: { what: 'a keyword deleted', document: 50, aim: 15 },
  view: { what: 'rankings of a keyword, 30 days', document: 100, aim: 20 },
  dashboard: { what: 'dashboard, kept', document: 50, aim: 5 },
  dashboardComputed: { what: 'dashboard, computed after a write' },
  import: { what: 'import of keywords', document: 1000, aim: 300 },
  history: { what: 'a keyword, 2 years by week', document: 2000, aim: 100 },
  settings: { what: 'settings of a project, written' },
  ranking: { what: 'a ranking, written' },
  settingsPush: { what: 'settings: write to push', document: 60_000, aim: 500 },
  rankingPush: { what: 'ranking: write to push', document: 60_000, aim: 500 },
}

/** @param {Iterable<number>} list */
export function percentiles(list) {
  const sorted = Float64Array.from(list).sort()
  const at = (share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
  return { count: sorted.length, p50: at(0.5), p95: at(0.95), p99: at(0.99), most: sorted.at(-1) }
}

/** Figures of one part, by what was done. */
export function figuresOf({ waits, errors, ...rest }) {
  const done = Object.keys(goals).filter((name) => waits[name] !== undefined || errors[name] !== undefined)
  const others = Object.keys(errors).filter((name) => !done.includes(name))
  return {
    ...rest,
    operations: Object.fromEntries(
      [...done, ...others].map((name) => [
        name,
        { ...(waits[name] ? percentiles(waits[name]) : { count: 0 }), errors: errors[name]?.count ?? 0 },
      ]),
    ),
    firstErrors: Object.fromEntries(Object.entries(errors).map(([name, { first }]) => [name, first])),
  }
}

const verdict = (goal, p99) =>
  goal === undefined ? '' : `${limit(goal)} ${p99 < goal ? 'met' : '**missed**'}`
const limit = (value) => (value >= 1000 ? `${value / 1000} s:` : `${value} ms:`)

/** Of everything at once, or beside imports: p99 against what is wanted. */
export function goalTable(title, { operations }) {
  return markdownTable(
    [title, 'answers', 'errors', 'p50, ms', 'p95, ms', 'p99, ms', 'longest, ms', 'document', 'aim'],
    Object.entries(operations).map(([name, { count, errors, p50, p95, p99, most }]) => {
      const { what = name, document, aim } = goals[name] ?? {}
      const figures = count === 0 ? ['', '', '', ''] : [p50, p95, p99, most].map(ms)
      const verdicts = count === 0 ? ['', ''] : [verdict(document, p99), verdict(aim, p99)]
      return [what, count, errors, ...figures, ...verdicts]
    }),
  )
}

/** Reads alone, in turn with the plain server. */
export function ratioTable(turns) {
  const waitsOf = (target, name) =>
    turns.filter((turn) => turn.target === target).flatMap(({ waits }) => [...(waits[name] ?? [])])
  const errorsOf = (target) =>
    turns
      .filter((turn) => turn.target === target)
      .reduce((sum, { errors }) => sum + Object.values(errors).reduce((all, { count }) => all + count, 0), 0)
  const names = ['view', 'dashboard', 'history'].filter(
    (name) => waitsOf('tidemark', name).length > 0 && waitsOf('plain', name).length > 0,
  )
  const rows = names.map((name) => [
    name,
    percentiles(waitsOf('tidemark', name)),
    percentiles(waitsOf('plain', name)),
  ])
  return {
    errors: { tidemark: errorsOf('tidemark'), plain: errorsOf('plain') },
    figures: Object.fromEntries(rows.map(([name, tidemark, plain]) => [name, { tidemark, plain }])),
    text: markdownTable(
      [
        ...['reads alone', 'answers', 'Tidemark p50, ms', 'p95', 'p99', 'longest'],
        ...['plain p50, ms', 'p95', 'p99', 'longest', 'p50, to plain', 'p99, to plain'],
      ],
      rows.map(([name, ours, plain]) => [
        ...[goals[name].what, `${ours.count}, ${plain.count}`],
        ...[ours.p50, ours.p95, ours.p99, ours.most, plain.p50, plain.p95, plain.p99, plain.most].map(ms),
        ...[`${(ours.p50 / plain.p50).toFixed(2)}x`, `${(ours.p99 / plain.p99).toFixed(2)}x`],
      ]),
    ),
  }
}

/** Who has used how much of one core meanwhile. */
export function processorTable(parts) {
  const share = (used, total) => (Number.isFinite(used) ? `${((100 * used) / total).toFixed(0)} %` : '')
  return markdownTable(
    [
      'of one core',
      'acts/s',
      'Tidemark',
      'plain server',
      'PostgreSQL',
      'users (load generator)',
      'sent late, p99 ms',
    ],
    parts.map(([what, { ms: total, acts, used, lateP99 }]) => [
      ...[what, ((acts * 1000) / total).toFixed(0)],
      ...[used.tidemark, used.plain, used.postgres, used.users].map((value) =>
        share(value ?? Number.NaN, total),
      ),
      lateP99.toFixed(2),
    ]),
  )
}

/** Turns of one server as one part. */
export function together(turns) {
  const sum = (value) => turns.reduce((total, turn) => total + value(turn), 0)
  return {
    ...{ ms: sum((turn) => turn.ms), acts: sum((turn) => turn.acts) },
    used: Object.fromEntries(
      ['tidemark', 'plain', 'postgres', 'users'].map((name) => [
        name,
        sum(({ used }) => used[name] ?? Number.NaN),
      ]),
    ),
    lateP99: Math.max(...turns.map(({ lateP99 }) => lateP99)),
  }
}
