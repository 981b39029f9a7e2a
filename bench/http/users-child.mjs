// The users: a process of its own. Each acts at times that are drawn before, a second apart in the mean, whatever becomes of what he has
// asked before; waits count from the time that was drawn, so nobody is left out who would have come while others waited (open loop,
// as in wrk2). Each holds a WebSocket open, as a page does.
import { Agent, request } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { obey, usedMs } from '../ingest/children.mjs'
import { createRandom } from '../tsbs.mjs'
import { LivePages } from './live-pages.mjs'
import { changes, importBody, questions } from './requests.mjs'

const { run, urls, users, keywords, projects, seed, thinkMs } = JSON.parse(process.argv[2])
const timeoutMs = 30_000
const spinMs = 1.5
const random = createRandom(seed)
const pick = (list) => list[Math.floor(random() * list.length)]
/** As many connections as a browser has. */
const agents = users.map(() => new Agent({ keepAlive: true, maxSockets: 6 }))
/** Keywords that a user has added and may remove. */
const own = users.map(() => [])
let n = 0
let pages = null

function send(user, url, { method, path, body, status }) {
  return new Promise((resolve, reject) => {
    const headers = { authorization: `Bearer ${users[user].secret}` }
    if (body !== undefined) {
      headers['content-type'] = 'application/json'
      headers['content-length'] = Buffer.byteLength(body)
    }
    const sent = request(
      new URL(path, url),
      { agent: agents[user], method, headers, timeout: timeoutMs },
      (answer) => {
        const parts = []
        answer.on('data', (data) => parts.push(data))
        answer.on('end', () => {
          const text = Buffer.concat(parts).toString()
          if (answer.statusCode === status) resolve({ text, headers: answer.headers })
          else reject(new Error(`answered ${answer.statusCode}: ${text.slice(0, 300)}`))
        })
        answer.on('error', reject)
      },
    )
    sent.on('timeout', () => sent.destroy(new Error(`no answer within ${timeoutMs} ms`)))
    sent.on('error', reject)
    sent.end(body)
  })
}

/** What a user is about to do, and where its time belongs. */
function plan(target, name, user) {
  const { agency } = users[user]
  const [keyword, project] = [keywords[Math.floor(random() * keywords.length)].id, pick(projects)]
  const url = urls[target]
  if (questions[name] !== undefined) {
    const asked = questions[name][target]({ keyword, project })
    if (name !== 'dashboard' || target !== 'tidemark') return { name, run: () => send(user, url, asked) }
    // an answer that has to be computed is another matter
    return {
      name,
      run: () => send(user, url, asked),
      nameOf: ({ headers }) =>
        /^(hit|stale)/.test(headers['x-tidemark-cache']) ? name : 'dashboardComputed',
    }
  }
  n += 1
  const number = n
  switch (name) {
    case 'update':
      return { name, run: () => send(user, url, changes.update({ agency, keyword, n: number })) }
    case 'settings':
      return {
        name,
        run: (due) => pages.changeSettings(user, number, due, (asked) => send(user, url, asked)),
      }
    case 'ranking':
      return { name, run: (due) => pages.addRanking(user, number, due, (asked) => send(user, url, asked)) }
    case 'remove': {
      const id = own[user].shift()
      // nothing of his is left: he adds
      if (id === undefined) return plan(target, 'add', user)
      return { name, run: () => send(user, url, changes.remove({ agency, id })) }
    }
    default: {
      const id = `own-${run}-${number}`
      return {
        name: 'add',
        run: async () => {
          await send(user, url, changes.add({ id, project }))
          own[user].push(id)
        },
      }
    }
  }
}

/** Acts of everybody in the order of time; `at` is ms from the beginning. */
function schedule({ target, shares, seconds, imports }) {
  const names = Object.keys(shares)
  const total = names.reduce((sum, name) => sum + shares[name], 0)
  const draw = () => {
    let left = random() * total
    return names.find((name) => {
      left -= shares[name]
      return left < 0
    })
  }
  const acts = []
  for (let user = 0; user < users.length; user++)
    for (let at = wait(); at < seconds * 1000; at += wait()) {
      const name = draw()
      // rankings come in for one agency, which is being checked
      acts.push({ at, target, name, user: name === 'ranking' ? pages.checker(user) : user })
    }
  if (imports !== null)
    for (let at = imports.everyMs / 2; at < seconds * 1000; at += imports.everyMs) {
      const project = `import-${run}-${n++}`
      acts.push({
        at,
        target,
        name: 'import',
        user: users.length - 1,
        body: importBody(project, imports.rows),
      })
    }
  return acts.sort((a, b) => a.at - b.at)
}

/** Between two acts of a user: exponential, so that together they come as a Poisson process does. */
function wait() {
  return -Math.log(1 - random()) * thinkMs
}

/** To a tenth of a millisecond: timers alone are late by one. */
async function until(due) {
  const left = due - performance.now()
  if (left > spinMs + 1) await sleep(Math.floor(left - spinMs))
  while (performance.now() < due) await new Promise(setImmediate)
}

/** One way of acting for some seconds. */
async function phase(orders) {
  const acts = schedule(orders)
  const waits = {}
  const errors = {}
  const late = []
  const failed = (name, error) => {
    const said = `${error.message}`.slice(0, 300)
    errors[name] ??= { count: 0, first: said }
    errors[name].count += 1
  }
  const took = (name, ms) => {
    waits[name] ??= []
    waits[name].push(ms)
  }
  pages?.begin({ pushed: took, failed })
  const [usedBefore, startedAt] = [usedMs(), performance.now() + 20]
  const all = []
  for (const { at, target, name, user, body } of acts) {
    const due = startedAt + at
    await until(due)
    const act =
      name === 'import'
        ? { name, run: () => send(user, urls[target], changes.import({ body })).then(assertImported) }
        : plan(target, name, user)
    late.push(performance.now() - due)
    all.push(
      act.run(due).then(
        (answer) => took(act.nameOf?.(answer) ?? act.name, performance.now() - due),
        (error) => failed(act.name, error),
      ),
    )
  }
  await Promise.all(all)
  const ms = performance.now() - startedAt
  await pages?.drained()
  late.sort((a, b) => a - b)
  return {
    ms,
    usedMs: usedMs() - usedBefore,
    acts: acts.length,
    lateP99: late[Math.floor(late.length * 0.99)] ?? 0,
    errors,
    waits: Object.fromEntries(Object.entries(waits).map(([name, list]) => [name, Float64Array.from(list)])),
  }
}

function assertImported({ text }) {
  const { failed } = JSON.parse(text)
  if (failed.length > 0)
    throw new Error(`${failed.length} keywords were not imported: ${JSON.stringify(failed[0])}`)
}

/** Opens the pages, and adds keywords that can be removed. */
async function open() {
  pages = await LivePages.open({ url: urls.tidemark, users, projects, run })
  await Promise.all(
    users.map(async (_, user) => {
      for (let i = 0; i < 5; i++) await plan('tidemark', 'add', user).run(performance.now())
    }),
  )
}

/** Answers of both servers have the same rows; and where ours come from. */
async function compare({ questions: amount }) {
  const sources = Object.fromEntries(Object.keys(questions).map((name) => [name, new Set()]))
  for (let i = 0; i < amount; i++) {
    const user = Math.floor(random() * users.length)
    const about = { keyword: pick(keywords).id, project: pick(projects) }
    for (const [name, question] of Object.entries(questions)) {
      const [ours, theirs] = await Promise.all(
        ['tidemark', 'plain'].map(async (target) =>
          JSON.parse((await send(user, urls[target], question[target](about))).text),
        ),
      )
      for (const { source } of ours.plan.parts) sources[name].add(source)
      assertSame(
        `${name} of ${JSON.stringify({ ...about, agency: users[user].agency })}`,
        ours.rows,
        theirs.rows,
      )
    }
  }
  return { compared: amount * Object.keys(questions).length, sources }
}

function assertSame(what, ...answers) {
  const [ours, theirs] = answers.map((rows) => rows.map((row) => JSON.stringify(comparable(row))))
  const alone = ours.find((row, i) => row !== theirs[i])
  if (ours.length > 0 && ours.length === theirs.length && alone === undefined) return
  throw new Error(
    `${what}: ${ours.length} rows of Tidemark, ${theirs.length} of the plain server; of Tidemark alone: ${alone}`,
  )
}

/** Columns in one order, times in one form, numbers to nine digits: sums depend on the order of what is added. */
function comparable(row) {
  const shown = (value) =>
    typeof value === 'number'
      ? Number(value.toPrecision(9))
      : typeof value === 'string' && /^\d{4}-\d\d-\d\dT/.test(value)
        ? Date.parse(value)
        : value
  return Object.entries(row)
    .map(([name, value]) => [name, shown(value)])
    .sort(([a], [b]) => (a < b ? -1 : 1))
}

obey(
  {},
  {
    open: () => open(),
    phase,
    compare,
    async stop() {
      pages?.close()
      for (const agent of agents) agent.destroy()
    },
  },
)
