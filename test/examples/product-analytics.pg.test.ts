import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadPageViews, readPageViews, realLog, shiftTo } from '../../examples/product-analytics/load.ts'
import {
  createFunctions,
  getPopularAssetTypes,
  getSummary,
} from '../../examples/product-analytics/queries.ts'
import { createSite } from '../../examples/product-analytics/site.ts'
import config, {
  assetPopularity,
  daily,
  events,
  hourly,
} from '../../examples/product-analytics/tidemark.config.ts'
import { listen } from '../../src/api/index.ts'
import { count, countDistinct } from '../../src/index.ts'
import { raw } from '../../src/util/sql.ts'
import { chromiumAbsent, launchChromium } from '../helpers/chromium.ts'
import { isLane, sharedDataAbsent } from '../helpers/shared-data.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import { buildBrowserFiles } from '../tracker/site.ts'
import { askBoards } from './ask-boards.ts'

let engine: TestEngine<typeof config>
beforeAll(async () => {
  engine = await createTestEngine(config)
  await createFunctions(engine.tm)
})
afterAll(() => engine.close())

const rowsOf = async (text: string) => (await engine.test.db.query(raw(text))).rows
const page = fileURLToPath(new URL('../../examples/product-analytics/page.html', import.meta.url))

describe('product analytics of the document', () => {
  it('has its tables, indexes and policies', async () => {
    expect(
      await rowsOf(`select definition ->> 'chunk', definition #>> '{freeze,after}', definition ->> 'retain'
        from tidemark.hypertable where table_name = 'analytics_events_ts'`),
    ).toEqual([['1 day', '7 days', '90 days']])
    expect(
      (
        await rowsOf(
          `select indexname::text from pg_indexes where indexname like 'idx_analytics_ts%' order by 1`,
        )
      ).flat(),
    ).toEqual(['idx_analytics_ts_category', 'idx_analytics_ts_event', 'idx_analytics_ts_user'])
    expect([hourly.retain?.text, daily.retain?.text]).toEqual(['1 year', '5 years'])
    expect([hourly.refresh.every.text, daily.refresh.every.text]).toEqual(['30 minutes', '1 hour'])
    expect(
      (
        await rowsOf(`select table_name::text from information_schema.tables
          where table_name in ('analytics_hourly', 'analytics_daily', 'analytics_asset_popularity_ts') order by 1`)
      ).flat(),
    ).toEqual(['analytics_asset_popularity_ts', 'analytics_daily', 'analytics_hourly'])
  })

  it('takes events in a browser, and shows them on its page', { timeout: 120_000 }, async ({ skip }) => {
    skip(chromiumAbsent !== null, chromiumAbsent ?? '')
    const files = buildBrowserFiles()
    const site = await createSite(engine.tm, { page, tracker: join(files.folder, 'tracker.script.js') })
    const url = await listen(site, { host: '127.0.0.1', port: 0 })
    try {
      const browser = await launchChromium()
      const tab = await browser.newPage()
      await tab.goto(url)
      for (const asset of ['image', 'video', 'image']) await tab.click(`[data-asset=${asset}]`)
      await expect
        .poll(() => tab.locator('#assets tr').allInnerTexts(), { timeout: 30_000 })
        .toEqual([expect.stringMatching(/^image\s+2\s+1$/), expect.stringMatching(/^video\s+1\s+1$/)])
      await expect
        .poll(() => tab.locator('#events tr').allInnerTexts(), { timeout: 30_000 })
        .toEqual(
          expect.arrayContaining([
            expect.stringMatching(/^asset_generated\s+3\s+1$/),
            expect.stringMatching(/^page_view\s+1/),
          ]),
        )
    } finally {
      await site.close()
      files.remove()
    }
    expect(await getPopularAssetTypes(engine.tm)).toEqual([
      { asset_type: 'image', generation_count: 2, unique_creators: 1 },
      { asset_type: 'video', generation_count: 1, unique_creators: 1 },
    ])
  })

  it('counts creators of several days once, exactly, also over days that are refreshed', async () => {
    const now = Date.now()
    const made = (hoursAgo: number, user: string) => ({
      time: new Date(now - hoursAgo * 3_600_000),
      event_name: 'asset_generated',
      category: 'assets',
      user_id: user,
      properties: { asset_type: 'model' },
    })
    await engine.tm.insert(events, [made(1, 'a'), made(30, 'a'), made(54, 'a'), made(54, 'b')])
    const expected = { asset_type: 'model', generation_count: 4, unique_creators: 2 }
    expect(await getPopularAssetTypes(engine.tm)).toContainEqual(expected)
    for (const { name } of config.aggregates) await engine.tm.refresh(name)
    expect(await getPopularAssetTypes(engine.tm)).toContainEqual(expected)
    const { rows } = await engine.tm.query(assetPopularity, {
      bucket: null,
      by: ['properties.asset_type'],
      select: { unique_creators: 'unique_creators' },
    })
    const found = rows.find((row) => row['properties.asset_type'] === 'model')
    expect(Number(found?.unique_creators)).toBe(2)
    // nobody has come from anywhere, and without a browser there are no pages
    const { pages, referrers, ...shown } = await askBoards(engine.tm, 'product-analytics')
    expect(Object.entries(shown).filter(([, count]) => count === 0)).toEqual([])
    expect([pages, referrers]).not.toContain(undefined)
  })
})

if (isLane('last'))
  describe('page views of a real log', () => {
    it('are loaded once, and every hour and day counts exactly what naive code counts', {
      timeout: 120_000,
    }, async ({ skip }) => {
      skip(!existsSync(realLog), sharedDataAbsent)
      const { tm } = engine
      const now = new Date()
      const hours = new Map<number, { events: number; users: Set<string> }>()
      const days = new Map<number, Set<string>>()
      let total = 0
      let first = Number.POSITIVE_INFINITY
      for await (const { time, user_id } of readPageViews(realLog, shiftTo(now))) {
        const ms = (time as Date).getTime()
        const hour = Math.floor(ms / 3_600_000) * 3_600_000
        const cell = hours.get(hour) ?? { events: 0, users: new Set<string>() }
        cell.events += 1
        cell.users.add(user_id as string)
        hours.set(hour, cell)
        const day = Math.floor(ms / 86_400_000) * 86_400_000
        days.set(day, (days.get(day) ?? new Set<string>()).add(user_id as string))
        total += 1
        first = Math.min(first, hour)
      }
      expect(total).toBeGreaterThan(1000)
      expect(await loadPageViews(tm, realLog, now)).toBe(total)
      expect(await loadPageViews(tm, realLog, now)).toBe(0)
      for (const { name } of config.aggregates) await tm.refresh(name)

      const end = new Date(shiftTo(now) + Date.UTC(2015, 4, 21) - 1)
      const summary = await getSummary(tm, new Date(first), end)
      const views = summary.filter(({ event_name }) => event_name === 'page_view')
      expect(views.map((row) => [Date.parse(row.bucket), row.event_count, row.unique_users])).toEqual(
        [...hours].sort((a, b) => b[0] - a[0]).map(([hour, cell]) => [hour, cell.events, cell.users.size]),
      )
      const { rows } = await tm.query(daily, {
        from: new Date(Math.min(...days.keys())),
        to: new Date(end.getTime() + 1),
        by: ['event_name'],
        where: { event_name: 'page_view' },
        select: { unique_users: 'unique_users' },
      })
      expect(rows.map((row) => [Date.parse(row.bucket), Number(row.unique_users)])).toEqual(
        [...days].sort((a, b) => a[0] - b[0]).map(([day, users]) => [day, users.size]),
      )
      // what the aggregate keeps is what the rows say
      const naive = await tm.query(events, {
        from: new Date(first),
        to: end,
        where: { event_name: 'page_view' },
        select: { n: count(), users: countDistinct('user_id') },
      })
      expect(Number(naive.rows[0]!.n)).toBe(total)
      expect(Number(naive.rows[0]!.users)).toBe(new Set([...days.values()].flatMap((s) => [...s])).size)
    })
  })
