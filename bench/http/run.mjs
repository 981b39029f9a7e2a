// Loads, starts both servers and the users, and lets them act: everything at once, the same beside imports, and reads alone in turn with the
// plain server.
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { processMs, processorTime } from '../harness.mjs'
import { startChild } from '../ingest/children.mjs'
import { assertSameSet, loadSet, removeTraces } from './load.mjs'
import { startPlain, startTidemark } from './servers.mjs'
import { agencyNames, keywordOf, keywordsEach, projectNames } from './set.mjs'
import { rankConfig } from './tables.mjs'

/** Of a hundred acts of users. */
const mix = {
  ...{ view: 30, dashboard: 30, history: 10 },
  ...{ add: 8, update: 8, remove: 8, settings: 3, ranking: 3 },
}
const reads = { view: 40, dashboard: 35, history: 25 }

/**
 * @param {object} options
 * @param {string} options.root URL of the folder of the build that is measured
 * @param {any} options.api its index.js
 * @param {any} options.db its createDatabase of `connectionString`
 * @param {string} options.dir of the lake, and of what is known of the set
 * @param {import('./set.mjs').RankSet} options.set
 * @param {{ users: number, thinkMs: number, warmUp: number, mix: number, imports: number, importEveryMs: number, importRows: number,
 *   rounds: number, reads: number }} options.plan seconds of each part, where not otherwise said
 * @param {(line: string) => void} options.note
 */
export async function runHttp({ root, api, db, connectionString, dir, set, plan, note }) {
  await mkdir(dir, { recursive: true })
  await assertSameSet(dir, set)
  const tm = await api.createTidemark(rankConfig(api), { connectionString, root: dir })
  const running = []
  const issued = []
  let loaded = null
  try {
    loaded = await loadSet({ tm, db, dir, set, note })
    const run = randomBytes(4).toString('hex')
    const users = []
    for (let i = 0; i < plan.users; i++) {
      const agency = agencyNames[i % agencyNames.length]
      const { key, secret } = await tm.access.keys.create(keyOf(run, i, agency), actor)
      issued.push(key.id)
      users.push({ agency, secret, place: Math.floor(i / agencyNames.length) })
    }
    const keys = users.map(({ secret, agency }) => ({ secret, agency }))
    const tidemark = await startTidemark({ root, connectionString, dir })
    running.push(tidemark)
    const plain = await startPlain({ connectionString, dir, keys })
    running.push(plain)
    const child = await startChild('../http/users-child.mjs', {
      ...{ run, users, seed: set.seed, thinkMs: plan.thinkMs },
      urls: { tidemark: tidemark.url, plain: plain.url },
      keywords: Array.from({ length: keywordsEach(set) }, (_, i) => keywordOf(i)),
      projects: projectNames,
    })
    running.push(child)
    const { compared, sources } = await child.ask('compare', { questions: 10 })
    const from = Object.entries(sources).map(([name, list]) => `${name} from ${[...list].join(' and ')}`)
    note(`${compared} answers are those of the plain table; ${from.join(', ')}`)
    await child.ask('open')
    const spent = await processorTime(db)
    const part = async (what, orders) => {
      const now = () => ({
        tidemark: processMs(tidemark.pid),
        plain: processMs(plain.pid),
        postgres: spent().server,
      })
      const before = now()
      const { usedMs, ...told } = await child.ask('phase', { imports: null, ...orders })
      const after = now()
      // null: the server's processes are not to be seen
      const used = Object.fromEntries(
        Object.entries(before).map(([name, ms]) => [name, ms === null ? null : after[name] - ms]),
      )
      note(`${what}: ${told.acts} acts in ${(told.ms / 1000).toFixed(1)} s`)
      return { ...told, target: orders.target, used: { ...used, users: usedMs } }
    }
    for (const [target, shares] of [
      ['tidemark', mix],
      ['plain', reads],
    ])
      await part(`warming up, ${target}`, { target, shares, seconds: plan.warmUp })
    const together = await part('everything', { target: 'tidemark', shares: mix, seconds: plan.mix })
    const imports = { everyMs: plan.importEveryMs, rows: plan.importRows }
    const beside = await part('beside imports', {
      target: 'tidemark',
      shares: mix,
      seconds: plan.imports,
      imports,
    })
    const turns = []
    for (let round = 0; round < plan.rounds; round++)
      for (const target of round % 2 === 0 ? ['tidemark', 'plain'] : ['plain', 'tidemark'])
        turns.push(await part(`reads, ${target}`, { target, shares: reads, seconds: plan.reads }))
    return { set, loaded, sources: from, plan, together, beside, turns }
  } finally {
    for (const one of running.reverse()) await one.stop()
    for (const id of issued) await tm.access.keys.revoke(id, actor)
    // what could not be loaded has no tables
    if (loaded !== null) await removeTraces(db)
    await tm.close()
  }
}

const actor = {
  ...{ kind: 'cli', id: 'bench', tenant: { kind: 'all' }, datasets: null },
  ...{ requestId: null, address: null },
}

function keyOf(run, i, agency) {
  return {
    name: `bench ${run}, user ${i}`,
    scopes: ['ingest', 'query'],
    tenant: { kind: 'one', tenant: agency },
    datasets: null,
    expiresAt: null,
  }
}
