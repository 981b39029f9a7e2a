import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createGunzip } from 'node:zlib'
import type { InsertRow, Tidemark } from 'tidemark'
import type config from './tidemark.config.ts'
import { events } from './tidemark.config.ts'

/** 10,000 requests of a real site in May 2015, where somebody has put them beside the project. */
export const realLog = fileURLToPath(
  new URL('../../../shared/data/web/apache_access_2015.log.gz', import.meta.url),
)

type Event = InsertRow<typeof events>

const dayMs = 86_400_000
/** The day after the last one of the log. */
const logEndMs = Date.UTC(2015, 4, 21)
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const lineForm =
  /^(\S+) \S+ \S+ \[(\d\d)\/(\w{3})\/(\d{4}):(\d\d):(\d\d):(\d\d) \+0000\] "GET (\S+) [^"]*" (\d{3}) \S+ "([^"]*)" "([^"]*)"$/
const asset = /\.(?:png|jpe?g|gif|ico|svg|css|js|woff2?|ttf|eot|txt|xml|zip|gz|tar|pdf|mp4|ogv)(?:\?|$)/i

/** The page view of a line; null when it is none: another method, an error, a file. An address becomes a pseudonym and is kept nowhere. */
export function pageViewOf(line: string, lineNumber: number, shiftMs: number): Event | null {
  const match = lineForm.exec(line)
  if (match === null) return null
  const [, ip, day, month, year, hour, minute, second, path, status, referrer, agent] = match as string[]
  if (!(status === '200' || status === '304') || asset.test(path as string)) return null
  const at = Date.UTC(
    Number(year),
    months.indexOf(month as string),
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  )
  const visitor = `visitor-${createHash('sha256').update(`${ip} ${agent}`).digest('hex').slice(0, 12)}`
  const id = createHash('sha256').update(`${lineNumber} ${line}`).digest('hex')
  return {
    time: new Date(at + shiftMs),
    event_name: 'page_view',
    category: 'page',
    user_id: visitor,
    session_id: `${visitor} ${day}`,
    properties: { status: Number(status) },
    device_info: { user_agent: agent as string },
    page_url: path,
    referrer: referrer === '-' ? null : referrer,
    event_id: `${id.slice(0, 8)}-${id.slice(8, 12)}-8${id.slice(13, 16)}-8${id.slice(17, 20)}-${id.slice(20, 32)}`,
  }
}

/** Times are moved by whole days, so that the log ends yesterday: its rows are then younger than the 90 days that events stay. */
export function shiftTo(now: Date): number {
  return Math.floor(now.getTime() / dayMs) * dayMs - logEndMs
}

export async function* readPageViews(file: string, shiftMs: number): AsyncGenerator<Event> {
  let lineNumber = 0
  for await (const line of createInterface({ input: createReadStream(file).pipe(createGunzip()) })) {
    lineNumber += 1
    const view = pageViewOf(line, lineNumber, shiftMs)
    if (view !== null) yield view
  }
}

/** How many page views are new. They have ids, so a load that was killed is simply begun again. */
export async function loadPageViews(tm: Tidemark<typeof config>, file: string, now: Date): Promise<number> {
  let inserted = 0
  let batch: Event[] = []
  const give = async (): Promise<void> => {
    const report = await tm.ingest(events, batch, { source: 'access log' })
    inserted += report.inserted
    batch = []
  }
  for await (const view of readPageViews(file, shiftTo(now))) if (batch.push(view) === 1000) await give()
  if (batch.length > 0) await give()
  return inserted
}
