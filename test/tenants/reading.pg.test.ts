import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Answer, parseQuery } from '../../src/query/index.ts'
import { allTenants, type DatasetDefinition, noTenant, type TenantScope } from '../../src/schema/index.ts'
import { isTidemarkError } from '../../src/util/errors.ts'
import { toJsonText } from '../../src/util/json.ts'
import { compareAnswers } from '../helpers/compare-answers.ts'
import { naiveAnswer } from '../helpers/naive.ts'
import { queryArbitrary } from '../helpers/random-query.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import {
  clock,
  fillWorld,
  hourly,
  meters,
  type Party,
  planRows,
  plans,
  projects,
  type Row,
  visits,
  World,
  worldConfig,
} from './world.ts'

const seed = Math.floor(Math.random() * 2 ** 31)
const world = new World(seed)
let engine: TestEngine

beforeAll(async () => {
  engine = await createTestEngine(worldConfig, { clock })
  await fillWorld(engine.tm, world)
})
afterAll(() => engine.close())

/** The answer, or what was said instead; both as whoever asked gets to see them. */
async function ask(name: string, query: unknown, scope: TenantScope): Promise<Answer | null> {
  const party = world.parties.find((one) => one.scope === scope || one.ownerScope === scope) ?? null
  const told = fc.stringify({ seed, name, query, scope })
  try {
    const answer = await engine.tm.queryUnknown(name, query, { scope })
    const cursor = answer.cursor === null ? '' : Buffer.from(answer.cursor, 'base64url').toString()
    if (scope.kind !== 'all') expect(world.leaksIn(toJsonText(answer) + cursor, party), told).toEqual([])
    return answer
  } catch (error) {
    if (!isTidemarkError(error)) throw error
    // what was asked for is shown in what is wrong with it
    const asked = world.leaksIn(toJsonText(query), party)
    const said = world.leaksIn(error.message + toJsonText(error.params), party)
    expect(
      said.filter((mark) => !asked.includes(mark)),
      told,
    ).toEqual([])
    return null
  }
}

function rowsOf(party: Party | null, { name }: DatasetDefinition): readonly Row[] {
  if (name === plans.name) return planRows
  return party?.rows[name] ?? []
}

const scopeOf = (party: Party, dataset: DatasetDefinition): TenantScope =>
  dataset === meters ? party.ownerScope : party.scope

it(`whatever is asked of whichever tier, a tenant gets the answer of its own rows alone`, async () => {
  const sources = new Set<string>()
  let answered = 0
  for (const [dataset, runs] of [
    [visits, 20],
    [meters, 6],
    [projects, 6],
    [plans, 3],
  ] as const) {
    const everyRow = world.parties.flatMap((party) => rowsOf(party, dataset))
    const paths = dataset === visits ? ['props.plan', 'props.secret'] : []
    const arbitrary = queryArbitrary({ dataset, rows: everyRow, paths })
    for (const query of fc.sample(arbitrary, { seed, numRuns: runs })) {
      // what was kept for others, or for all, is of no use to one
      await ask(dataset.name, query, scopeOf(world.b, dataset))
      await ask(dataset.name, query, allTenants)
      for (const party of [world.a, world.a, world.c, null]) {
        const scope = party === null ? noTenant : scopeOf(party, dataset)
        const answer = await ask(dataset.name, query, scope)
        if (answer === null) continue
        answered += 1
        for (const { source } of answer.plan.parts) sources.add(source)
        const node = parseQuery(query, { dataset, clock })
        const naive = naiveAnswer(node, rowsOf(party, dataset))
        expect(compareAnswers(answer, naive, node), fc.stringify({ seed, query })).toEqual([])
      }
    }
  }
  expect(answered).toBeGreaterThan(60)
  expect([...sources]).toEqual(expect.arrayContaining(['hot', 'cold']))
})

const shapes: readonly Row[] = [
  {},
  { bucket: '1 hour', select: { n: 'n', amount: 'amount' } },
  { bucket: '1 day', by: ['name'], select: { n: 'n', secrets: 'secrets', latest: 'latest' } },
  { bucket: '1 day', by: ['tenant'], select: { n: 'n', big: 'big', users: 'users' } },
  { bucket: null, by: ['title'], select: { n: 'n' } },
  { bucket: '6 hours', by: ['title', 'name'], select: { amount: 'amount', latest: 'latest' } },
  { bucket: null, by: [], select: { n: 'n', amount: 'amount', big: 'big' }, fill: 'none' },
]
const ranges: readonly Row[] = [
  { from: '2026-03-01', to: '2026-03-03' },
  { from: '2026-03-02', to: '2026-03-05T12:00:00Z' },
  { from: '2026-03-04T06:00:00Z', to: '2026-03-06' },
]

it('cells, what is computed in their place, and what is kept of both are of one tenant alone', async () => {
  const sources = new Set<string>()
  const filters = [
    undefined,
    { tenant: world.b.tenant },
    { title: `${world.b.mark} title 1` },
    { name: 'buy' },
  ]
  for (const [i, shape] of shapes.entries())
    for (const [j, range] of ranges.entries())
      for (const where of [undefined, filters[(i + j) % 3]]) {
        const query = { ...shape, ...range, ...(where === undefined ? {} : { where }) }
        await ask(hourly.name, query, world.b.scope)
        const first = await ask(hourly.name, query, world.a.scope)
        const again = await ask(hourly.name, query, world.a.scope)
        expect(again?.rows).toEqual(first?.rows)
        for (const { source } of again?.plan.parts ?? []) sources.add(source)
        // the same of all rows, of which the condition leaves his alone
        const own = { ...where, $and: [{ tenant: world.a.tenant }] }
        const all = await engine.tm.queryUnknown(hourly.name, { ...query, where: own })
        expect(first?.rows, fc.stringify({ seed, query })).toEqual(all.rows)
      }
  expect([...sources]).toEqual(expect.arrayContaining(['site.hourly', 'hot', 'cache']))
})

it('a question about events is about those of one tenant', async () => {
  const range = { from: '2026-03-01', to: '2026-03-06' }
  const questions = [
    ['funnel', { ...range, steps: ['visit', 'signup', 'buy'], within: '7 days', by: 'page' }],
    ['retention', { ...range, period: '1 day', periods: 4 }],
    ['sessions', { ...range, bucket: '1 day' }],
    ['topPages', range],
    ['paths', range],
    ['activeUsers', { ...range, bucket: '1 day' }],
    ['lifecycle', { ...range, period: '1 day' }],
  ] as const
  for (const [kind, input] of questions)
    for (const where of [undefined, { tenant: world.b.tenant }, { project: 1 }]) {
      const question = { ...input, ...(where === undefined ? {} : { where }) }
      const own = { ...input, where: { ...where, $and: [{ tenant: world.a.tenant }] } }
      const mine = await engine.tm.productUnknown(kind, visits.name, question, { scope: world.a.scope })
      const right = await engine.tm.productUnknown(kind, visits.name, own)
      expect(mine.rows, fc.stringify({ seed, kind, question })).toEqual(right.rows)
      expect(world.leaksIn(toJsonText(mine), world.a)).toEqual([])
      expect(mine.plan.parts).toEqual(right.plan.parts.map((part) => ({ ...part, files: null })))
      const nobodys = await engine.tm.productUnknown(kind, visits.name, question, { scope: noTenant })
      expect(nobodys.plan.parts.map(({ rows }) => rows)).toEqual([0, 0])
    }
})

it('whoever has no tenant, or one that a table cannot have, sees nothing of those that have one', async () => {
  const nobody: TenantScope[] = [noTenant, { kind: 'one', tenant: '' }, { kind: 'one', tenant: 'nobody' }]
  const odd = ['07', '+7', '7 ', 'acme', '1e2', '99999999999999999999', '7; select 1'].map(
    (tenant): TenantScope => ({ kind: 'one', tenant }),
  )
  for (const [dataset, scopes] of [
    [visits, nobody],
    [projects, nobody],
    [meters, [...nobody, ...odd]],
  ] as const)
    for (const scope of scopes) {
      const isTimed = dataset.kind === 'hypertable'
      expect((await ask(dataset.name, {}, scope))?.rows).toEqual([])
      expect((await ask(dataset.name, { select: { n: { fn: 'count' } } }, scope))?.rows).toEqual([{ n: 0 }])
      if (isTimed) expect((await ask(dataset.name, { latestBy: [] }, scope))?.rows).toEqual([])
      expect((await ask(plans.name, {}, scope))?.rows).toHaveLength(planRows.length)
    }
  expect((await ask(hourly.name, {}, noTenant))?.rows).toEqual([])
})

it("another tenant's place in its pages is no place in one's own", async () => {
  const query = { limit: 2, columns: ['time', 'secret'] }
  const theirs = await ask(visits.name, query, world.b.scope)
  await expect(
    engine.tm.queryUnknown(visits.name, { ...query, cursor: theirs?.cursor }, { scope: world.a.scope }),
  ).rejects.toMatchObject({ code: 'TM_QUERY', params: { path: 'cursor' } })
  const all = await ask(visits.name, query, allTenants)
  await expect(
    engine.tm.queryUnknown(visits.name, { ...query, cursor: all?.cursor }, { scope: world.a.scope }),
  ).rejects.toMatchObject({ code: 'TM_QUERY', params: { path: 'cursor' } })
})

it('a plan says what was read for the tenant, and nothing that counts rows of others', async () => {
  const query = { from: '2026-03-01', to: '2026-03-06', bucket: '1 hour', select: { n: { fn: 'count' } } }
  const { plan } = (await ask(visits.name, query, world.a.scope)) as Answer
  for (const part of plan.parts) {
    expect(Object.keys(part).sort()).toEqual(
      ['source', 'from', 'to', 'rows', 'bytes', 'cells', 'ms', 'why'].sort(),
    )
    expect(part).toMatchObject({ from: null, to: null, rows: null, bytes: null })
  }
  expect(new Set(plan.parts.map(({ source }) => source)).size).toBe(plan.parts.length)
  expect(plan.snapshot).toMatch(/^[\w-]{16}$/)
  for (const { why } of plan.aggregates ?? []) expect(why).not.toMatch(/\d/)
  // what belongs to nobody has nothing to hide
  const shared = (await ask(plans.name, {}, world.a.scope)) as Answer
  expect(shared.plan.parts[0]?.rows).toBe(planRows.length)
})
