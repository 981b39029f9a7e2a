import type { BrowserContext } from 'playwright-core'
import { createClient } from '../../src/client/index.ts'
import { count } from '../../src/query/index.ts'
import { allTenants, defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { Worker } from '../../src/worker/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { makeKey, type OpenDashboard, openDashboard } from '../helpers/dashboard.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'

/** A server of two tenants with letters of each, a job that has failed, and whoever may look at what. */

export const visits = hypertable('app.visits', {
  columns: {
    time: t.timestamptz(),
    tenant: t.text(),
    page: t.text(),
    seconds: t.int4().nullable(),
    amount: t.numeric(12, 2).nullable().comment('What it was worth, in euro.'),
    props: t.jsonb().nullable(),
  },
  time: 'time',
  tenant: 'tenant',
  primaryKey: ['tenant', 'page', 'time'],
  chunk: '1 day',
  freeze: { after: '30 days' },
})
const config = defineConfig({
  datasets: [visits],
  lake: { dir: 'lake' },
  server: { auth: { keys: true }, slowQuery: '1 ms' },
})

export type Who = 'operator' | 'acme' | 'reader'

export interface OperationsWorld {
  readonly engine: TestEngine
  readonly dashboard: OpenDashboard
  /** Signed in: who runs the place, who runs the tenant acme, and who reads. */
  readonly operator: BrowserContext
  readonly acme: BrowserContext
  readonly reader: BrowserContext
  /** Letters that came as this tenant's. */
  send(tenant: 'acme' | 'globex', rows: readonly object[]): Promise<void>
  /** Rows of acme that do not fit, past the server. */
  refuse(rows: readonly object[]): Promise<void>
  /** What is stored of a page of acme. */
  secondsOf(page: string): Promise<unknown>
  /** A row of acme that is stored. */
  readonly known: { readonly time: string; readonly page: string; readonly seconds: number }
  /** Changes the row of the letter that has this text. */
  correct(text: string, set: Readonly<Record<string, unknown>>): Promise<void>
  letterOf(tenant: string): Promise<string>
  /** Its secret. */
  newKey(name: string): Promise<string>
  /** So many entries `test.noted` of the audit log. */
  note(entries: number): Promise<void>
  /** A worker looks for jobs that are due. */
  work(): Promise<void>
  saveReport(): Promise<void>
  reportRuns(): Promise<number>
}

const shell = {
  kind: 'cli',
  id: 'root',
  tenant: allTenants,
  datasets: null,
  requestId: null,
  address: null,
} as const

const at = (minute: number): string => new Date(Date.now() - minute * 60_000).toISOString()

export async function openOperationsWorld(): Promise<OperationsWorld> {
  const engine = await createTestEngine(config)
  afterFile(() => engine.close())
  const { tm } = engine
  const dashboard = await openDashboard(tm)
  const keys = {
    operator: await makeKey(tm, { name: 'operator' }),
    acme: await makeKey(tm, { name: 'acme admin', tenant: 'acme' }),
    reader: await makeKey(tm, { name: 'reader', scopes: ['query'] }),
    globex: await makeKey(tm, { name: 'marker of globex', tenant: 'globex' }),
  }
  const sign = async (key: string): Promise<BrowserContext> => {
    const context = await dashboard.newContext()
    await dashboard.signIn(context, key)
    return context
  }
  const send = async (tenant: 'acme' | 'globex', rows: readonly object[]): Promise<void> => {
    const client = createClient({ url: dashboard.url, apiKey: keys[tenant], onError: () => {} })
    await client.insert('app.visits', rows as never)
    await client.close()
  }
  const good = (page: string, minute: number) => ({ time: at(minute), page, seconds: 3 })
  const known = good('/known', 20)
  await send('acme', [
    known,
    ...Array.from({ length: 40 }, (_, i) => good(`/page-${i}`, i)),
    { ...good('/price', 1), amount: 'a lot' },
    { ...good('/price', 2), amount: 'more' },
    { ...good('/typo', 3), secnds: 12 },
    { ...good('/nothing', 4), page: null },
    { ...good('/props', 5), seconds: 'soon' },
  ])
  await send('globex', [good('/theirs', 6), { ...good('/marker-of-globex', 7), amount: 'marker-of-globex' }])
  for (let i = 0; i < 3; i++)
    await tm.query(visits, { from: '-1 day', bucket: '1 hour', by: ['page'], select: { n: count() } })
  await tm.createWorker().runOnce({ force: true })
  await new Worker(engine.test.db, [
    {
      name: 'freeze app.visits',
      everyMs: 3_600_000,
      leaseMs: 60_000,
      run: async () => {
        throw new Error('the folder of the lake is read-only; let the user that runs the worker write to it')
      },
    },
  ]).runOnce({ force: true })
  return {
    engine,
    dashboard,
    operator: await sign(keys.operator),
    acme: await sign(keys.acme),
    reader: await sign(keys.reader),
    send,
    async refuse(rows) {
      await tm.ingest(visits, rows.map((row) => ({ tenant: 'acme', ...row })) as never)
    },
    async secondsOf(path) {
      const { rows } = await tm.query(visits, { from: '-1 day', where: { page: path }, limit: 10 })
      return rows.length === 1 ? rows[0]?.seconds : rows
    },
    known,
    async correct(text, set) {
      const letters = await tm.deadLetters.list()
      const ids = letters.filter(({ raw }) => raw?.includes(text)).map(({ id }) => id)
      await tm.deadLetters.fix({ ids }, { set }, { apply: true })
    },
    async letterOf(tenant) {
      const letter = (await tm.deadLetters.list()).find((each) => each.tenant === tenant)
      return letter?.id ?? ''
    },
    newKey: (name) => makeKey(tm, { name, scopes: ['query'] }),
    async note(entries) {
      for (let i = 0; i < entries; i++)
        await tm.access.audit.record(shell, { act: 'test.noted', subject: `subject-${i}`, outcome: 'done' })
    },
    async work() {
      await tm.createWorker().runOnce()
    },
    async saveReport() {
      await tm.reports.save(
        'visits-by-day',
        {
          dataset: visits.name,
          query: { from: '-7 days', bucket: '1 day', select: { n: { fn: 'count' } } },
          title: 'Visits by day',
          schedule: { every: '1 day' },
        },
        'root',
      )
    },
    reportRuns: async () => (await tm.reports.runs('visits-by-day')).length,
  }
}
