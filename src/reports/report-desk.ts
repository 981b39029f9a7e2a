import type { Database } from '../postgres/index.ts'
import type { Answer } from '../query/index.ts'
import type { TenantScope } from '../schema/index.ts'
import { type Clock, formatInstant, type Instant, parsePoint, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { toJsonText } from '../util/json.ts'
import type { Report, ReportAnswer, ReportRun } from './contract.ts'
import { readReport, readReportName, toSchedule, wrong } from './read-report.ts'
import { lastDue, nextDue } from './schedule.ts'
import {
  addRun,
  countReports,
  findReport,
  findRun,
  listReports,
  listRuns,
  readAnswer,
  removeReport,
  type StoredReport,
  saveReport,
  settleDue,
  takeDue,
} from './store.ts'

export interface ReportDeskOptions {
  readonly db: Database
  readonly clock: Clock
  readonly ask: (
    dataset: string,
    query: unknown,
    call: { readonly scope: TenantScope; readonly signal: AbortSignal | null },
  ) => Promise<Answer>
  /** @throws TidemarkError TM_QUERY, TM_UNKNOWN_DATASET when it cannot be asked. */
  readonly check: (dataset: string, query: unknown, scope: TenantScope) => void
}

export interface ReportCall {
  readonly signal?: AbortSignal | null
}

/** How long one report may take before another worker asks it, too. */
export const reportLeaseMs = 10 * 60_000
/** After a failure, doubled with each one in a row up to an hour. */
const retryMicros = 60_000_000n
const mostRetryMicros = 3_600_000_000n

/** Queries that are saved and asked on a schedule: docs/guide/reports.md. Each belongs to a tenant, or to nobody. */
export class ReportDesk {
  readonly #options: ReportDeskOptions

  constructor(options: ReportDeskOptions) {
    this.#options = options
  }

  /** For somebody: the reports of his tenant; for `all` those that are of every tenant. */
  of(scope: TenantScope, isOurs: (dataset: string) => boolean = () => true): Reports {
    return new Reports(this.#options, scope, isOurs)
  }

  /**
   * Asks what is due, one after the other, until nothing is or the signal says so. Any number of processes may.
   *
   * @returns how many were answered, and how many were not.
   */
  async runDue(signal: AbortSignal): Promise<{ readonly answered: number; readonly failed: number }> {
    const { db, clock } = this.#options
    let [answered, failed] = [0, 0]
    while (!signal.aborted) {
      const now = clock.now()
      const report = await takeDue(db, now, reportLeaseMs)
      if (report === null) break
      const { schedule, period, tenant, failures } = report
      if (schedule === null || period === null) break
      const plan = toSchedule(schedule)
      // nobody was there for a while: the newest period that has ended is asked about, and no other
      const due = lastDue(plan, now)
      const asOf = due.period > period ? due.period : period
      try {
        const scope: TenantScope = tenant === null ? { kind: 'all' } : { kind: 'one', tenant }
        await askNow(this.#options, report, scope, asOf, signal)
        await settleDue(db, report, nextDue(plan, now), null)
        answered += 1
      } catch (error) {
        const next = nextDue(plan, now)
        const wait = retryMicros << BigInt(Math.min(failures, 6))
        const again = now + (wait < mostRetryMicros ? wait : mostRetryMicros)
        const problem = error instanceof TidemarkError ? `${error.code}: ${error.message}` : String(error)
        const due = again < next.at ? { period: asOf, at: again } : next
        await settleDue(db, report, due, problem.slice(0, 1000))
        failed += 1
      }
    }
    return { answered, failed }
  }
}

/** The reports of one tenant, or those of every tenant. */
export class Reports {
  readonly #options: ReportDeskOptions
  readonly #scope: TenantScope
  readonly #isOurs: (dataset: string) => boolean

  /** @internal */
  constructor(options: ReportDeskOptions, scope: TenantScope, isOurs: (dataset: string) => boolean) {
    this.#options = options
    this.#scope = scope
    this.#isOurs = isOurs
  }

  /**
   * Saves a report; one of the same name is changed, and keeps what it has given.
   *
   * @example
   * await tm.reports.save('positions', {
   *   dataset: 'seo.rankings', query: { from: '-7 days', bucket: '1 day', by: ['keyword'], select: { p: { fn: 'avg', column: 'position' } } },
   *   schedule: { every: '1 day', zone: 'Europe/Berlin', delay: '2 hours' },
   * })
   *
   * @throws TidemarkError TM_QUERY with the path of what is wrong, TM_UNKNOWN_DATASET, TM_FORBIDDEN.
   */
  async save(name: string, input: unknown, by = 'tm.reports'): Promise<Report> {
    const { db, clock, check } = this.#options
    const key = this.#key(name)
    const report = readReport(input)
    this.#assertOurs(report.dataset)
    check(report.dataset, resolved(report.query, clock.now()), this.#scope)
    if ((await findReport(db, key)) === null) assertFewer(await countReports(db, key.tenant))
    const due = report.schedule && nextDue(toSchedule(report.schedule), clock.now())
    return shown(await saveReport(db, key, report, due, by))
  }

  async list(): Promise<Report[]> {
    if (this.#scope.kind === 'none') return []
    const tenants = this.#scope.kind === 'all' ? 'all' : this.#scope.tenant
    const all = await listReports(this.#options.db, { tenants })
    return all.filter(({ dataset }) => this.#isOurs(dataset)).map(shown)
  }

  /** @throws TidemarkError TM_UNKNOWN_REPORT */
  async find(name: string): Promise<Report> {
    return shown(await this.#find(name))
  }

  /** With everything it has given. @throws TidemarkError TM_UNKNOWN_REPORT */
  async remove(name: string): Promise<void> {
    await this.#find(name)
    await removeReport(this.#options.db, this.#key(name))
  }

  /** Asks it now, and keeps the answer. Relative times are of this moment. */
  async run(name: string, { signal = null }: ReportCall = {}): Promise<ReportRun> {
    const report = await this.#find(name)
    return askNow(this.#options, report, this.#scope, this.#options.clock.now(), signal)
  }

  /** When it was asked, newest first. */
  async runs(name: string): Promise<ReportRun[]> {
    return listRuns(this.#options.db, (await this.#find(name)).id)
  }

  /** When it was asked last, or the run of an id. @throws TidemarkError TM_UNKNOWN_REPORT when it was not yet. */
  async latest(
    name: string,
    id: string | null = null,
  ): Promise<{ readonly report: Report; readonly run: ReportRun }> {
    const report = await this.#find(name)
    const run = await findRun(this.#options.db, report.id, id)
    if (run !== null) return { report: shown(report), run }
    throw new TidemarkError('TM_UNKNOWN_REPORT', {
      name: id === null ? name : `${name}, run ${id}`,
      todo: id === null ? 'it has not been asked yet: run it' : 'look at the list of its runs',
    })
  }

  /** What a run has given. @throws TidemarkError TM_UNKNOWN_REPORT when it was removed meanwhile. */
  async answer(name: string, run: ReportRun): Promise<ReportAnswer> {
    const answer = await readAnswer(this.#options.db, run.id)
    if (answer !== null) return answer
    throw new TidemarkError('TM_UNKNOWN_REPORT', {
      name: `${name}, run ${run.id}`,
      todo: 'newer ones have taken its place',
    })
  }

  async #find(name: string): Promise<StoredReport> {
    const key = this.#key(name)
    const report = this.#scope.kind === 'none' ? null : await findReport(this.#options.db, key)
    if (report === null)
      throw new TidemarkError('TM_UNKNOWN_REPORT', { name, todo: 'look at the list of reports' })
    this.#assertOurs(report.dataset)
    return report
  }

  #key(name: string): { readonly tenant: string | null; readonly name: string } {
    return { tenant: this.#scope.kind === 'one' ? this.#scope.tenant : null, name: readReportName(name) }
  }

  #assertOurs(dataset: string): void {
    if (this.#scope.kind === 'none')
      throw new TidemarkError('TM_FORBIDDEN', {
        what: 'the caller has no tenant, so there is nobody whose report it would be',
        todo: 'use a key or token with a tenant',
      })
    if (this.#isOurs(dataset)) return
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `the dataset "${dataset}" is not among those of this key or token`,
      todo: 'use one of them, or a key without that restriction',
    })
  }
}

async function askNow(
  { db, clock, ask }: ReportDeskOptions,
  { id, name, dataset, query }: Pick<StoredReport, 'id' | 'name' | 'dataset' | 'query'>,
  scope: TenantScope,
  asOf: Instant,
  signal: AbortSignal | null,
): Promise<ReportRun> {
  const started = clock.now()
  const { columns, rows, plan } = await ask(dataset, resolved(query, asOf), { scope, signal })
  const elapsedMs = Number((clock.now() - started) / 1000n)
  const json = toJsonText({ columns, rows, plan })
  const run = await addRun(db, id, { asOf, elapsedMs, rows: rows.length, json })
  if (run !== null) return run
  throw new TidemarkError('TM_UNKNOWN_REPORT', { name, todo: 'it was removed while it was asked' })
}

/** The query with its range as of a moment: `'-1 day'` of a report about a day is that day, whenever it is asked. */
function resolved(
  query: Readonly<Record<string, unknown>>,
  asOf: Instant,
): Readonly<Record<string, unknown>> {
  const { from, to, zone } = query
  if (from === undefined && to === undefined) return query
  const at = (path: string, value: unknown): unknown => {
    if (typeof value !== 'string') return value
    try {
      return formatInstant(parsePoint(value, asOf, typeof zone === 'string' ? zone : null))
    } catch (error) {
      if (error instanceof TimeProblem) return wrong(`query.${path}`, error.problem)
      throw error
    }
  }
  return {
    ...query,
    ...(from === undefined ? {} : { from: at('from', from) }),
    to: to === undefined ? formatInstant(asOf) : at('to', to),
  }
}

/** Each may be asked every minute. */
const mostReports = 1000

function assertFewer(reports: number): void {
  if (reports < mostReports) return
  throw new TidemarkError('TM_LIMIT', {
    what: 'the number of reports',
    value: String(reports + 1),
    limit: String(mostReports),
    todo: 'remove some that nobody reads',
  })
}

function shown({ id, period, ...report }: StoredReport): Report {
  return report
}
