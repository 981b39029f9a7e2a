// Open pages: every user's shows the projects of his agency, those of the agency that is being checked also today's rankings of a project.
// A write counts from when it was due until a page that shows it has been told, once for each page.
import { setTimeout as sleep } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { changes } from './requests.mjs'

const drainMs = 30_000

export class LivePages {
  #users
  #projects
  #run
  #checked
  #pages = []
  /** Of each row that is watched: its writes in their order, `{ n, due }`. */
  #written = new Map()
  /** Whoever writes a row does not overtake himself. */
  #lines = new Map()
  #hear = { pushed: () => {}, failed: () => {} }

  /** Resolves when every page has its first answers. */
  static async open({ url, ...options }) {
    const pages = new LivePages(options)
    pages.#pages = await Promise.all(options.users.map((user) => pages.#openPage(url, user)))
    return pages
  }

  constructor({ users, projects, run }) {
    this.#users = users
    this.#projects = projects
    this.#run = run
    this.#checked = users[0].agency
  }

  /** Somebody of the agency whose rankings come in. */
  checker(user) {
    const candidates = this.#users.flatMap(({ agency }, i) => (agency === this.#checked ? [i] : []))
    return candidates[user % candidates.length]
  }

  begin(hear) {
    this.#hear = hear
  }

  /** The settings of a project that this user alone changes. */
  changeSettings(user, n, due, send) {
    const { agency, place } = this.#users[user]
    const project = this.#projects[place % this.#projects.length]
    return this.#write(`settings ${agency} ${project}`, { n, due }, () =>
      send(changes.settings({ agency, project, run: this.#run, n })),
    )
  }

  /** A ranking of a keyword that this user alone writes. */
  addRanking(user, n, due, send) {
    const keyword = `live-${this.#run}-${user}`
    const project = this.#projects[0]
    return this.#write(`ranking ${keyword}`, { n, due }, () =>
      send(changes.ranking({ project, keyword, n, nowMs: Date.now() })),
    )
  }

  /** Waits until every write has been pushed to every page that shows its row. */
  async drained() {
    for (const end = performance.now() + drainMs; this.#missing() > 0; await sleep(20)) {
      if (performance.now() < end) continue
      for (let i = this.#missing(); i > 0; i--)
        this.#hear.failed('push', new Error(`not pushed within ${drainMs} ms`))
      for (const { seen } of this.#pages)
        for (const row of seen.keys()) seen.set(row, this.#written.get(row).length)
    }
  }

  close() {
    for (const { socket } of this.#pages) socket.terminate()
  }

  #missing() {
    let missing = 0
    for (const { seen } of this.#pages)
      for (const [row, count] of seen) missing += Math.max(0, this.#written.get(row).length - count)
    return missing
  }

  async #write(row, entry, send) {
    const before = this.#lines.get(row) ?? Promise.resolve()
    const mine = before.then(async () => {
      if (!this.#written.has(row)) this.#watch(row)
      const list = this.#written.get(row)
      list.push(entry)
      try {
        return await send()
      } catch (error) {
        // nothing is due of it; it is the last one
        list.pop()
        throw error
      }
    })
    this.#lines.set(
      row,
      mine.catch(() => {}),
    )
    return mine
  }

  /** From now on pages that show the row are expected to be told. */
  #watch(row) {
    this.#written.set(row, [])
    const agency = row.startsWith('settings') ? row.split(' ')[1] : this.#checked
    for (const page of this.#pages) if (page.agency === agency) page.seen.set(row, 0)
  }

  async #openPage(url, { agency, secret }) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/api/v1/live`, {
      headers: { authorization: `Bearer ${secret}` },
    })
    const page = { socket, agency, seen: new Map() }
    const answered = new Set()
    /** Rankings of each keyword and hour. */
    const counts = new Map()
    let [resolve, reject] = [null, null]
    const ready = new Promise((done, failed) => {
      resolve = done
      reject = failed
    })
    socket.on('error', reject)
    await new Promise((done) => socket.once('open', done))
    const queries = {
      projects: { dataset: 'projects', order: ['name', 'id'] },
      ...(agency === this.#checked && {
        rankings: {
          ...{ dataset: 'rankings', from: '-24 hours', bucket: '1 hour', by: ['keyword'] },
          ...{
            where: { project: this.#projects[0] },
            select: { n: { fn: 'count' }, latest: { fn: 'last', column: 'position' } },
          },
        },
      }),
    }
    socket.on('message', (data) => {
      const at = performance.now()
      const message = JSON.parse(data.toString())
      if (message.type === 'error') {
        reject(new Error(`a page was refused: ${JSON.stringify(message.error)}`))
        return this.#hear.failed('push', new Error(JSON.stringify(message.error).slice(0, 300)))
      }
      if (message.type !== 'answer' && message.type !== 'change') return
      const rows = message.type === 'answer' ? message.rows : message.set.map(([, key, row]) => [key, row])
      if (message.id === 'projects') {
        for (const [, { agency: whose, id, settings }] of rows)
          if (settings.run === this.#run)
            this.#told(
              page,
              `settings ${whose} ${id}`,
              at,
              (list) => list.filter((one) => one.n <= settings.seen).length,
            )
      } else {
        for (const [key, { keyword, n }] of rows) {
          if (!keyword.startsWith(`live-${this.#run}-`)) continue
          const hours = counts.get(keyword) ?? new Map()
          counts.set(keyword, hours.set(key, n))
          const total = [...hours.values()].reduce((sum, one) => sum + one, 0)
          this.#told(page, `ranking ${keyword}`, at, () => total)
        }
      }
      socket.send(JSON.stringify({ type: 'ack', id: message.id, resume: message.resume }))
      answered.add(message.id)
      if (answered.size === Object.keys(queries).length) resolve()
    })
    for (const [id, query] of Object.entries(queries))
      socket.send(JSON.stringify({ type: 'subscribe', id, query, ack: true }))
    await ready
    return page
  }

  #told({ seen }, row, at, shown) {
    const list = this.#written.get(row)
    if (list === undefined) return
    const until = Math.min(list.length, shown(list))
    const name = row.startsWith('settings') ? 'settingsPush' : 'rankingPush'
    for (let i = seen.get(row) ?? 0; i < until; i++) this.#hear.pushed(name, at - list[i].due)
    seen.set(row, Math.max(seen.get(row) ?? 0, until))
  }
}
