import { existsSync, readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, it } from 'vitest'
import { formatInstant } from '../../src/time/index.ts'
import { sharedDataAbsent, sharedDataFolder } from '../helpers/shared-data.ts'
import { createColdFixture } from '../lake/cold-fixture.ts'
import { askSplit, day, minute, type Visit, visits } from './fixture.ts'
import {
  naiveFunnel,
  naivePaths,
  naiveRetention,
  naiveSessionRow,
  naiveSessions,
  naiveTopPages,
} from './naive.ts'

const file = `${sharedDataFolder}web/apache_access_2015.log.gz`
if (!existsSync(file)) console.info(`skipped: ${sharedDataAbsent}`)

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Seconds are the finest that the log has, so many visits of one client are of one moment. */
function readLog(): Visit[] {
  const line = /^(\S+) \S+ \S+ \[(\d+)\/(\w+)\/(\d+):([\d:]+) \+0000\] "(\w+) ([^ ?"]*)/
  return gunzipSync(readFileSync(file))
    .toString('latin1')
    .split('\n')
    .flatMap((text): Visit[] => {
      const match = line.exec(text)
      if (!match) return []
      const [, who, dayOf, month, year, time, what, page] = match as unknown as readonly string[]
      const at =
        BigInt(
          Date.parse(`${year}-${String(months.indexOf(month!) + 1).padStart(2, '0')}-${dayOf}T${time}Z`),
        ) * 1000n
      return [{ at, who: who!, what: what!, page: page!, device: null, visit: null, plan: null, props: null }]
    })
}

it.runIf(existsSync(file))(
  'a real log of a web server, half of it in files, is answered as loops over it are',
  async () => {
    const all = readLog()
    expect(all.length).toBeGreaterThan(9_000)
    const fixture = await createColdFixture()
    try {
      const least = all.reduce((a, v) => (v.at < a ? v.at : a), all[0]!.at)
      const from = least - (least % day)
      const border = from + 2n * day
      await fixture.add(visits, all.filter((v) => v.at < border) as never)
      const hot = all.filter((v) => v.at >= border)
      const range = { from, to: from + 4n * day }
      const asked = { from: formatInstant(range.from), to: formatInstant(range.to) }
      const sessions = naiveSessions(all, range, { timeout: 30n * minute }, (v) => v.page!)

      const found = await askSplit('sessions', asked, fixture, hot)
      expect(found.rows).toEqual([naiveSessionRow(sessions)])
      expect(found.plan.parts.every(({ rows }) => rows! > 1_000)).toBe(true)
      const pages = await askSplit('topPages', { ...asked, top: 50 }, fixture, hot)
      expect(pages.rows).toEqual(naiveTopPages(sessions, 50))
      const paths = await askSplit('paths', { ...asked, top: 20 }, fixture, hot)
      expect(paths.rows).toEqual(naivePaths(sessions, { start: null, end: null, depth: 5, top: 20 }))

      const at = (page: string) => (v: Visit) => v.page === page
      const walk = ['/', '/favicon.ico', '/reset.css']
      const steps = walk.map((page) => ({ where: { page } }))
      const funnel = await askSplit('funnel', { ...asked, steps, within: '1 day' }, fixture, hot)
      const naive = { ...range, within: day, steps: walk.map(at), order: 'ordered' as const, segment: null }
      expect(funnel.rows).toEqual(naiveFunnel(all, naive))
      expect(funnel.rows.every(({ users }) => users > 0)).toBe(true)
      const retention = await askSplit('retention', { ...asked, period: '1 day', periods: 3 }, fixture, hot)
      const any = { cohort: () => true, returning: () => true }
      const now = from + 5000n * day
      expect(retention.rows).toEqual(
        naiveRetention(all, {
          ...range,
          ...any,
          now,
          period: '1 day',
          zone: null,
          periods: 3,
          kind: 'bounded',
        }),
      )
    } finally {
      await fixture.close()
    }
  },
  60_000,
)
