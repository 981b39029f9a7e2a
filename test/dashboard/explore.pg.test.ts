import { readFile } from 'node:fs/promises'
import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { count } from '../../src/query/index.ts'
import { afterFile } from '../helpers/after-file.ts'
import { chromiumAbsent } from '../helpers/chromium.ts'
import { axe, type OpenDashboard, openDashboard, shot } from '../helpers/dashboard.ts'
import { hasSharedData, sharedDataAbsent } from '../helpers/shared-data.ts'
import { createTestEngine, type TestEngine } from '../helpers/test-engine.ts'
import {
  celsius,
  chart,
  config,
  digits,
  drawn,
  events,
  live,
  loadExploreData,
  param,
  points,
  rows,
  search,
  sensor,
  sensorStart,
  status,
  wide,
  zoomFrames,
} from './explore-data.ts'

describe.skipIf(chromiumAbsent !== null)(
  `Explore in Chromium${chromiumAbsent ? ` (${chromiumAbsent})` : ''}${hasSharedData ? '' : ` (rows made up: ${sharedDataAbsent})`}`,
  () => {
    let engine: TestEngine<typeof config>
    let dashboard: OpenDashboard
    const open = async (path: string, width = 1280, theme: 'light' | 'dark' = 'light'): Promise<Page> => {
      const page = await dashboard.open(path, { width, theme, zone: 'UTC' })
      return page
    }

    beforeAll(async () => {
      engine = await createTestEngine(config)
      afterFile(() => engine.close())
      await loadExploreData(engine.tm)
      dashboard = await openDashboard(engine.tm)
    }, 120_000)

    it('shows a chart of the first hypertable, where its rows are, without a click', async () => {
      const page = await open('/explore')
      await drawn(page)
      expect(param(page, 'dataset')).toEqual([events.name])
      expect(param(page, 'select')).toEqual([JSON.stringify(rows)])
      expect(await page.getByText('No rows in this range').count()).toBe(0)
      await expect.poll(() => page.locator('[data-plan-strip] [data-tier]').count()).toBeGreaterThan(0)
      expect(await axe(page)).toEqual([])
      await shot(page, 'explore')
      await page.context().close()
    })

    it('puts a question together by clicks; the address holds it, and back and forward undo and redo', async () => {
      const page = await open(search({ ...wide, select: [rows] }))
      await drawn(page)
      await page.getByRole('button', { name: /^By / }).click()
      await page.getByRole('option', { name: 'event', exact: false }).first().click()
      await page.keyboard.press('Escape')
      await expect.poll(() => param(page, 'by')).toEqual(['event'])
      // a place in JSON that nobody declared, found in the rows
      await page.getByRole('button', { name: 'Add a condition' }).click()
      const form = page.getByRole('dialog', { name: 'New condition' })
      await form.getByRole('button', { name: /^Column/ }).click()
      const found = page.getByRole('option', { name: /properties.main_model/ })
      await expect.poll(() => found.count()).toBe(1)
      await page.keyboard.type('main_mod')
      await expect.poll(() => found.getAttribute('aria-selected')).toBe('true')
      await page.keyboard.press('Enter')
      await form.getByLabel('Condition').selectOption('notNull')
      await form.getByRole('button', { name: 'Add' }).click()
      const said = JSON.stringify(['properties.main_model', 'notNull'])
      await expect.poll(() => param(page, 'where')).toEqual([said])
      await page.getByRole('button', { name: 'Add', exact: true }).click()
      await page.getByRole('menuitem', { name: /^Most frequent values/ }).click()
      await expect.poll(() => param(page, 'select').length).toBe(2)
      const { rows: truth } = await engine.tm.query(events, {
        from: wide.from,
        to: wide.to,
        bucket: '1 month',
        by: ['event'],
        where: { 'properties.main_model': { not: null } },
        select: { n: count() },
      })
      await expect
        .poll(async () => digits((await status(page).textContent()) ?? ''))
        .toContain(`${truth.length}rowsofanswer`)
      const address = page.url()
      await page.goBack()
      await expect.poll(() => param(page, 'select').length).toBe(1)
      await page.goBack()
      await expect.poll(() => param(page, 'where')).toEqual([])
      await page.goForward()
      await page.goForward()
      await expect.poll(() => page.url()).toBe(address)
      await page.reload()
      await drawn(page)
      await expect
        .poll(() => page.getByRole('button', { name: 'properties.main_model is not empty' }).count())
        .toBe(1)
      expect(await axe(page)).toEqual([])
      await shot(page, 'explore-question')
      await page.context().close()
    })

    it('tells the exact values of the bucket that is pointed at, and zooms into what is drawn over', async () => {
      const page = await open(search({ ...wide, by: ['event'], select: [rows], chart: 'stacked' }))
      await drawn(page)
      const box = await page.locator('.u-over').boundingBox()
      if (box === null) throw new Error('there is no plot')
      await page.mouse.move(box.x + box.width * 0.4, box.y + box.height / 2)
      const tip = page.locator('[data-tooltip]')
      await expect.poll(() => tip.count()).toBe(1)
      const month = ((await tip.locator('strong').textContent()) ?? '').slice(0, 10)
      const { rows: truth } = await engine.tm.query(events, {
        from: wide.from,
        to: wide.to,
        bucket: '1 month',
        by: ['event'],
        select: { n: count() },
        order: ['-n'],
      })
      const there = truth.filter(({ bucket }) => bucket.startsWith(month))
      expect(there.length).toBeGreaterThan(0)
      const told = await tip.locator('dl > div').allTextContents()
      expect(told.map(digits).sort()).toEqual(
        there
          .slice(0, 12)
          .map(({ event, n }) => digits(`${event}${n}`))
          .sort(),
      )
      await page.mouse.move(box.x + box.width * 0.3, box.y + 50)
      await page.mouse.down()
      await page.mouse.move(box.x + box.width * 0.5, box.y + 60, { steps: 4 })
      await page.mouse.up()
      await expect.poll(() => param(page, 'from')[0]).not.toBe(wide.from)
      const [from, to] = [param(page, 'from'), param(page, 'to')].map(([text]) => Date.parse(text ?? ''))
      const whole = Date.parse(wide.to) - Date.parse(wide.from)
      expect(((to as number) - (from as number)) / whole).toBeCloseTo(0.2, 1)
      await page.goBack()
      await expect.poll(() => param(page, 'from')).toEqual([wide.from])
      await page.context().close()
    })

    it('leaves one series alone by a click on its name, and takes one away with shift', async () => {
      const page = await open(search({ ...wide, by: ['event'], select: [rows] }))
      await drawn(page)
      const names = page.getByRole('list', { name: 'Series' }).getByRole('button')
      const many = await names.count()
      const pressed = (): Promise<number> => page.locator('ul[aria-label=Series] [aria-pressed=true]').count()
      expect(await pressed()).toBe(many)
      await names.nth(1).click()
      await expect.poll(pressed).toBe(1)
      await names.nth(1).click()
      await expect.poll(pressed).toBe(many)
      await names.first().click({ modifiers: ['Shift'] })
      await expect.poll(pressed).toBe(many - 1)
      expect(param(page, 'without').length).toBe(1)
      await page.context().close()
    })

    it('offers the largest groups where there are too many to be answered', async () => {
      const page = await open('/boards')
      await page.route('**/api/v1/query', (route) => {
        const asked = (route.request().postData() ?? '').includes('"bucket"')
        const isMany = asked && !(route.request().postData() ?? '').includes('"in"')
        const detail = 'the number of cells is 300000, over the limit of 200000'
        const problem = { status: 413, code: 'TM_LIMIT', detail, retryable: false, params: {}, instance: 'r' }
        return isMany
          ? route.fulfill({
              status: 413,
              contentType: 'application/problem+json',
              body: JSON.stringify(problem),
            })
          : route.continue()
      })
      await page.goto(dashboard.url + search({ ...wide, by: ['event'], select: [rows] }))
      await page.getByRole('button', { name: 'Only the 20 of event' }).click()
      await drawn(page)
      const [, op, ...names] = JSON.parse(param(page, 'where')[0] ?? '[]') as string[]
      const { rows: most } = await engine.tm.query(events, {
        from: wide.from,
        to: wide.to,
        by: ['event'],
        select: { n: count() },
        order: ['-n'],
        limit: 20,
      })
      expect([op, ...names]).toEqual(['in', ...most.map(({ event }) => event)])
      dashboard.complaints()
      await page.context().close()
    })

    it('draws where the answer came from, and says why each aggregate was or was not used', async () => {
      const page = await open(search({ ...wide, bucket: '1 day', by: ['event'], select: [rows] }))
      await drawn(page)
      const tiers = (): Promise<string[]> =>
        page
          .locator('[data-plan-strip] > [data-tier]')
          .evaluateAll((all) =>
            all.map((one) => (one as unknown as { dataset: { tier: string } }).dataset.tier),
          )
      await expect.poll(tiers).toContain('aggregate')
      await page.getByText('Where it came from, and why').click()
      const considered = page.getByRole('table', { name: 'Continuous aggregates that were considered' })
      await expect.poll(() => considered.getByRole('row').nth(1).textContent()).toMatch(/daily_events.*used/)
      // below the header that stays, axe takes what has scrolled under it for covered
      await page.evaluate('scrollTo(0, 0)')
      expect(await axe(page)).toEqual([])
      await shot(page, 'explore-plan')
      // not a key of the aggregate: rows of both tiers
      await page.goto(dashboard.url + search({ ...wide, by: ['userId'], select: [rows] }))
      await drawn(page)
      await expect.poll(async () => (await tiers()).sort()).toEqual(['cold', 'hot'])
      await page.getByText('Where it came from, and why').click()
      await expect.poll(() => considered.getByRole('row').nth(1).textContent()).toMatch(/not used.*userId/)
      const parts = page.getByRole('table', { name: 'Parts of the answer' })
      await expect.poll(() => parts.textContent()).toMatch(/cold/)
      await page.context().close()
    })

    it('makes a heat map of any column of numbers, its borders by how the values lie', async () => {
      const page = await open(search({ dataset: live.name, from: '-1 hour', select: [rows] }), 1280, 'dark')
      await drawn(page)
      await page.getByRole('radio', { name: 'Heat map' }).click()
      await expect.poll(() => page.locator('[data-chart=heatmap]').count()).toBe(1)
      const chosen = JSON.parse(param(page, 'select').at(-1) ?? '{}') as { column: string; borders: number[] }
      expect(chosen.column).toBe('ms')
      expect(chosen.borders.length).toBeGreaterThan(5)
      await chart(page).focus()
      await page.keyboard.press('ArrowLeft')
      await expect.poll(() => chart(page).getAttribute('aria-valuetext')).toMatch(/: \d+ of \d+$/)
      expect(await axe(page)).toEqual([])
      await shot(page, 'explore-heat-dark')
      await page.context().close()
    })

    it('lays the period before over this one', async () => {
      const page = await open(
        search({
          ...wide,
          from: '2025-03-01',
          to: '2025-05-01',
          bucket: '1 day',
          select: [rows],
          compare: 'previous',
        }),
      )
      await drawn(page)
      await chart(page).focus()
      await page.keyboard.press('Home')
      const tip = page.locator('[data-tooltip]')
      await expect.poll(() => tip.textContent()).toMatch(/before/)
      await expect.poll(() => page.getByText('dashed:').count()).toBe(1)
      const day = ((await tip.locator('strong').textContent()) ?? '').slice(0, 10)
      const earlier = new Date(Date.parse(day) - 61 * 86_400_000)
      const of = async (from: Date): Promise<number> => {
        const { rows: found } = await engine.tm.query(events, {
          from,
          to: new Date(from.getTime() + 86_400_000),
          select: { n: count() },
        })
        return found[0]?.n ?? 0
      }
      // a day without rows has no line
      const [now, before] = [await of(new Date(day)), await of(earlier)]
      const told = (await tip.locator('dl > div').allTextContents()).map(digits)
      expect(told).toEqual([...(now ? [`count${now}`] : []), ...(before ? [`count,before${before}`] : [])])
      await page.context().close()
    })

    it('stays up to date when it is asked to', async () => {
      const page = await open(
        search({ dataset: live.name, from: '-1 hour', bucket: '1 hour', select: [rows], chart: 'number' }),
      )
      const figure = page.locator('dl dd').first()
      await expect.poll(() => figure.count()).toBe(1)
      await page.getByRole('button', { name: 'Live', exact: true }).click()
      await expect.poll(() => page.getByText('live', { exact: true }).count()).toBe(1)
      expect(param(page, 'live')).toEqual(['1'])
      const before = Number(digits((await figure.textContent()) ?? ''))
      await engine.tm.insert(
        live,
        Array.from({ length: 7 }, () => ({ time: new Date(), name: 'c', ms: 1 })),
      )
      // the hour may have begun anew, then the newest bucket has these alone
      await expect
        .poll(async () => [before + 7, 7].includes(Number(digits((await figure.textContent()) ?? ''))))
        .toBe(true)
      await page.context().close()
    })

    it('is taken along as TypeScript, curl, SQL and CSV', async () => {
      const page = await open(search({ ...wide, by: ['event'], select: [rows] }))
      await drawn(page)
      const copied = async (item: string, has: RegExp): Promise<string> => {
        await page.getByRole('button', { name: 'Copy', exact: true }).click()
        await page.getByRole('menuitem', { name: item }).click()
        // typed away: this file knows no DOM
        const read = (): Promise<string> => page.evaluate('navigator.clipboard.readText()') as Promise<string>
        await expect.poll(read).toMatch(has)
        return read()
      }
      expect(await copied('As TypeScript', /createClient/)).toContain(`client.query('shared.aider_events'`)
      const curl = await copied('As curl', /^curl/)
      const body = JSON.parse(/-d '([\s\S]*)'\n$/.exec(curl)?.[1] ?? '') as object
      const answer = await page.request.post(`${dashboard.url}/api/v1/query`, { data: body })
      expect(answer.ok()).toBe(true)
      const { rows: told } = (await answer.json()) as {
        rows: { bucket: string; event: string; count: number }[]
      }
      expect(await copied('As SQL', /select/i)).toMatch(/aider_events/)
      await page.getByRole('button', { name: 'Copy', exact: true }).click()
      const download = page.waitForEvent('download')
      await page.getByRole('menuitem', { name: /^Download CSV/ }).click()
      const file = await (await download).path()
      const lines = (await readFile(file, 'utf8')).trimEnd().split('\r\n')
      expect(lines).toEqual([
        'bucket,event,count',
        ...told.map(({ bucket, event, count: n }) => `${bucket},${event},${n}`),
      ])
      expect(dashboard.complaints()).toEqual([])
      await page.context().close()
    })

    it('goes to a new board, and the board asks the same', async () => {
      const page = await open(search({ ...wide, by: ['event'], select: [rows], chart: 'bar' }))
      await drawn(page)
      await page.getByRole('button', { name: 'Add to a board' }).click()
      const dialog = page.getByRole('dialog', { name: 'Add to a board' })
      await dialog.getByLabel('Title of the panel').fill('Events a month')
      await dialog.getByLabel('Name of the board').fill('From Explore')
      expect(await axe(page)).toEqual([])
      await dialog.getByRole('button', { name: 'Make the board' }).click()
      await expect.poll(() => new URL(page.url()).pathname).toMatch(/^\/boards\/./)
      await expect.poll(() => page.getByText('Events a month').count()).toBeGreaterThan(0)
      await page.context().close()
    })

    it('can be used by keyboard alone: choose, walk, zoom, go back', async () => {
      const page = await open(search({ ...wide, select: [rows] }))
      await drawn(page)
      const reach = async (name: RegExp): Promise<void> => {
        for (let i = 0; i < 80; i++) {
          await page.keyboard.press('Tab')
          const is = (await page.evaluate(
            `document.activeElement?.getAttribute('aria-label') ?? document.activeElement?.textContent ?? ''`,
          )) as string
          if (name.test(is)) return
        }
        throw new Error(`${name} cannot be reached by Tab`)
      }
      await page.evaluate(
        `document.querySelector('h1').setAttribute('tabindex', '-1'); document.querySelector('h1').focus()`,
      )
      await reach(/^Add$/)
      await page.keyboard.press('Enter')
      const role = `document.activeElement?.getAttribute('role')`
      await expect.poll(() => page.evaluate(role)).toBe('menuitem')
      await page.keyboard.type('u')
      await page.keyboard.press('Enter')
      await expect.poll(() => param(page, 'select').at(-1)).toMatch(/"uniques"/)
      await reach(/Arrow keys walk/)
      await page.keyboard.press('End')
      await expect.poll(() => chart(page).getAttribute('aria-valuetext')).toMatch(/^2026-04.*count \d+/)
      await page.keyboard.press('Home')
      await page.keyboard.press('ArrowRight')
      await page.keyboard.press('Shift+ArrowRight')
      await page.keyboard.press('Shift+ArrowRight')
      await page.keyboard.press('Enter')
      await expect.poll(() => param(page, 'from')[0]).not.toBe(wide.from)
      const zoomed = param(page, 'from')
      await page.keyboard.press('z')
      await expect.poll(() => param(page, 'from')).not.toEqual(zoomed)
      await page.goBack()
      await expect.poll(() => param(page, 'from')).toEqual(zoomed)
      await page.context().close()
    })

    it('fits a phone', async () => {
      const page = await open(search({ ...wide, by: ['event'], select: [rows] }), 360)
      await drawn(page)
      const wideness = (): Promise<number> =>
        page.evaluate('document.documentElement.scrollWidth') as Promise<number>
      expect(await wideness()).toBeLessThanOrEqual(360)
      expect(await axe(page)).toEqual([])
      await shot(page, 'explore-phone')
      await page.getByRole('button', { name: /^Time range: / }).click()
      await shot(page, 'explore-phone-range')
      await page.getByRole('button', { name: 'Last 7 days' }).click()
      await expect.poll(() => page.getByText('The newest row is of').count()).toBe(1)
      await page.getByRole('button', { name: 'Show the last day that has rows' }).click()
      await drawn(page)
      expect(await wideness()).toBeLessThanOrEqual(360)
      await page.context().close()
    })

    it('draws 100,000 points, zooms over them smoothly, and tells each exactly', async () => {
      const to = new Date(sensorStart + points * 60_000).toISOString()
      const from = new Date(sensorStart).toISOString()
      const page = await open(
        search({
          dataset: sensor.name,
          from,
          to,
          bucket: '1 minute',
          select: [{ fn: 'max', column: 'celsius', name: 'warmest' }],
        }),
      )
      await expect
        .poll(async () => digits((await status(page).textContent()) ?? ''), { timeout: 50_000 })
        .toContain(`${points}rowsofanswer`)
      await drawn(page)
      const box = await page.locator('.u-over').boundingBox()
      if (box === null) throw new Error('there is no plot')
      await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2)
      const frames = await zoomFrames(page)
      const at = (share: number): string =>
        (frames[Math.floor(share * (frames.length - 1))] as number).toFixed(1)
      console.log(
        `zooming over ${points} points: 60 frames, p50 ${at(0.5)} ms, p95 ${at(0.95)} ms, longest ${at(1)} ms`,
      )
      expect(frames.length).toBe(60)
      await chart(page).focus()
      await page.keyboard.press('Home')
      const tip = page.locator('[data-tooltip]')
      await expect.poll(() => tip.count()).toBe(1)
      const instant = Date.parse(`${(await tip.locator('strong').textContent())?.replace(' ', 'T')}:00Z`)
      const place = Math.round((instant - sensorStart) / 60_000)
      expect(digits((await tip.locator('dd').textContent()) ?? '')).toBe(String(celsius(place)))
      await shot(page, 'explore-100k')
      expect(dashboard.complaints()).toEqual([])
      await page.context().close()
    })
  },
)
