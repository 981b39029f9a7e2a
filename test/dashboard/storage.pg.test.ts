import type { BrowserContext, Locator, Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Tidemark } from '../../src/engine.ts'
import { quoteIdentifier, sql } from '../../src/util/sql.ts'
import { chromiumAbsent } from '../helpers/chromium.ts'
import { axe, makeKey, type OpenDashboard, openDashboard, shot } from '../helpers/dashboard.ts'
import type { TestDatabase } from '../helpers/database.ts'
import { askByTheDay, day, dayText, openStore, today } from './storage-fixture.ts'

describe.skipIf(chromiumAbsent !== null)(
  `the pages of storage and aggregates${chromiumAbsent ? ` (${chromiumAbsent})` : ''}`,
  () => {
    let tm: Tidemark
    let test: TestDatabase
    let dashboard: OpenDashboard
    let operator: BrowserContext

    beforeAll(async () => {
      const store = await openStore()
      tm = store.tm
      test = store.test
      dashboard = await openDashboard(tm)
      await askByTheDay(tm)
      operator = await dashboard.newContext({ zone: 'UTC' })
      await dashboard.signIn(operator, await makeKey(tm, { name: 'operator' }))
    })

    const stateOf = async (days: number, table = 'requests'): Promise<string | undefined> => {
      const { datasets } = await tm.operations.storage()
      return datasets
        .find(({ name }) => name === `metrics.${table}`)
        ?.chunks.find(({ from }) => from.startsWith(dayText(days)))?.state
    }
    const lane = (page: Page, table = 'requests'): Locator =>
      page.getByRole('slider', { name: `Chunks of metrics.${table}` })
    const saidBy = (slider: Locator): Promise<string | null> => slider.getAttribute('aria-valuetext')
    const open = async (path: string): Promise<Page> => {
      const page = await dashboard.open(path, { context: operator })
      await expect
        .poll(
          async () => (await page.getByRole('slider').count()) + (await page.getByText('buckets of').count()),
        )
        .toBeGreaterThan(0)
      return page
    }
    const heading = (page: Page, name: string): Locator => page.getByRole('heading', { name })

    it('shows every chunk with its state, its size, and what happens to it next', async () => {
      const page = await open('/storage')
      const { datasets } = await tm.operations.storage()
      expect(await page.getByRole('table', { name: 'Plain tables' }).textContent()).toContain(
        'metrics.vendors',
      )
      for (const { name, chunks } of datasets.filter(({ kind }) => kind === 'hypertable'))
        expect(
          await page.getByRole('slider', { name: `Chunks of ${name}` }).getAttribute('aria-valuemax'),
        ).toBe(String(chunks.length))
      const row = (days: number): Locator => page.getByRole('row').filter({ hasText: dayText(days) })
      await expect.poll(() => row(25).textContent()).toContain('cold')
      expect(await row(20).textContent()).toContain('delta')
      expect(await row(3).textContent()).toMatch(/hot[\s\S]*144[\s\S]*freezes in/)
      expect(await row(9).textContent()).toContain('until nobody has written to it for 10 minutes')
      expect(await page.getByText(/^\d due to be frozen: .*; next freeze in/).count()).toBe(1)
      await expect.poll(() => page.getByText('Nothing has been measured yet').count()).toBe(1)
      expect(await page.getByText('none runs: start "tidemark worker"').count()).toBe(1)
      await page.close()
    })

    it('freezes, verifies and thaws what was chosen, by keyboard alone', async () => {
      const page = await open('/storage')
      const slider = lane(page)
      await expect
        .poll(async () => {
          await page.keyboard.press('Tab')
          return page.evaluate("document.activeElement?.getAttribute('aria-label')")
        })
        .toBe('Chunks of metrics.requests')
      await page.keyboard.press('Home')
      expect(await saidBy(slider)).toContain(`${dayText(30)}, cold`)
      // from the newest chunk back to the one of five days ago
      await page.keyboard.press('End')
      while (!(await saidBy(slider))?.startsWith(dayText(5))) await page.keyboard.press('ArrowLeft')
      expect(await saidBy(slider)).toContain('hot, 144 rows')
      await expect.poll(() => new URL(page.url()).searchParams.get('dataset')).toBe('metrics.requests')

      await page.keyboard.press('f')
      const dialog = page.getByRole('dialog', { name: 'Freeze 1 chunk of metrics.requests?' })
      await expect.poll(() => dialog.textContent()).toContain('144 rows')
      expect(await dialog.textContent()).toContain('Plain SQL sees them no longer')
      expect(await axe(page)).toEqual([])
      await shot(page, 'storage-confirm')
      await dialog.getByRole('button', { name: 'Freeze 1 chunk' }).press('Enter')
      const operations = page.getByRole('list', { name: 'Operations' })
      await expect.poll(() => operations.textContent()).toContain('1 chunk moved, 144 rows')
      expect(await operations.textContent()).toContain('in PostgreSQL became')
      await expect.poll(() => saidBy(slider)).toContain(`${dayText(5)}, cold`)
      expect(await stateOf(5)).toBe('cold')

      // with its neighbour: one of the two is in the lake
      await slider.focus()
      await page.keyboard.press('Shift+ArrowRight')
      expect(await saidBy(slider)).toContain('2 chunks chosen')
      await page.keyboard.press('v')
      await page.getByRole('dialog').getByRole('button', { name: 'Verify 1 chunk' }).press('Enter')
      await expect.poll(() => operations.textContent()).toContain('1 file, 144 rows: each as it was written')
      await slider.focus()
      await page.keyboard.press('w')
      expect(await page.getByRole('dialog').textContent()).toContain(
        '1 chunk of what you chose is not in the lake',
      )
      await page.getByRole('dialog').getByRole('button', { name: 'Thaw 1 chunk' }).press('Enter')
      await expect.poll(() => stateOf(5)).toBe('hot')
      await expect
        .poll(() =>
          page
            .getByRole('row')
            .filter({ hasText: dayText(5) })
            .textContent(),
        )
        .toContain('hot')
      expect(dashboard.complaints()).toEqual([])
      await page.close()
    })

    it('chooses by dragging and by a range of days, and a reload keeps what is chosen', async () => {
      const page = await open('/storage')
      const box = (await lane(page).boundingBox())!
      await page.mouse.move(box.x + box.width * 0.2, box.y + 20)
      await page.mouse.down()
      await page.mouse.move(box.x + box.width * 0.4, box.y + 20, { steps: 5 })
      await page.mouse.up()
      await expect.poll(() => heading(page, 'chunks chosen').textContent()).toMatch(/^\d+ chunks chosen$/)
      const chosen = await heading(page, 'chunks chosen').textContent()
      const { datasets } = await tm.operations.storage()
      const placeOf = (name: string): number =>
        datasets[0]!.chunks.findIndex(({ id }) => id === new URL(page.url()).searchParams.get(name))
      // the address follows when the choice has settled
      await expect.poll(() => `${placeOf('last') - placeOf('chunk') + 1} chunks chosen`).toBe(chosen)
      await page.reload()
      await expect.poll(() => heading(page, 'chunks chosen').textContent()).toBe(chosen)
      await page.getByLabel('From (UTC)').fill(dayText(15))
      await page.getByLabel('Until (UTC)').fill(dayText(5))
      await page.getByRole('button', { name: 'Choose 10 chunks' }).click()
      await expect.poll(() => heading(page, '10 chunks chosen').count()).toBe(1)
      await page.getByRole('button', { name: 'Compact' }).click()
      const dialog = page.getByRole('dialog', { name: 'Compact 5 chunks of metrics.requests?' })
      await expect
        .poll(() => dialog.textContent())
        .toContain('5 chunks of what you chose are not in the lake')
      await page.keyboard.press('Escape')
      await expect.poll(() => dialog.count()).toBe(0)
      await page.close()
    })

    it('tells why a chunk could not be frozen and what to do, and does it when that is done', async () => {
      await test.db.execute('create publication all_of_ticks for table metrics.ticks')
      const page = await open('/storage')
      await lane(page, 'ticks').focus()
      await page.keyboard.press('Home')
      await page.keyboard.press('f')
      await page.getByRole('dialog').getByRole('button', { name: 'Freeze 1 chunk' }).press('Enter')
      const failed = page.getByRole('list', { name: 'Operations' }).getByRole('listitem').first()
      await expect.poll(() => failed.textContent()).toContain('failed')
      expect(await failed.textContent()).toContain("set (publish = 'insert, update')")
      await shot(page, 'storage-failed')
      expect(await axe(page)).toEqual([])
      await test.db.execute("alter publication all_of_ticks set (publish = 'insert, update')")
      await failed.getByRole('button', { name: 'Try again' }).click()
      await expect
        .poll(() => page.getByRole('list', { name: 'Operations' }).textContent())
        .toContain('1 chunk moved')
      await expect.poll(() => saidBy(lane(page, 'ticks'))).toContain('cold')
      dashboard.complaints()
      await page.close()
    })

    it('shows how far a move is, and stops it', async () => {
      const { datasets } = await tm.operations.storage()
      const chunk = datasets[0]!.chunks.find(({ from }) => from.startsWith(dayText(4)))!
      const { rows } = await test.db.query(sql`
        select relation_name from tidemark.chunk where id = ${chunk.id}::int8`)
      const connection = await test.connect()
      // whoever moves its rows has to wait for it
      await connection.execute('begin')
      await connection.execute(
        `lock table tidemark_chunks.${quoteIdentifier(rows[0]![0] as string)} in share row exclusive mode`,
      )
      const page = await open(`/storage?dataset=metrics.requests&chunk=${chunk.id}`)
      await page.getByRole('button', { name: 'Freeze', exact: true }).click()
      await page.getByRole('button', { name: 'Freeze 1 chunk' }).click()
      const operation = page.getByRole('list', { name: 'Operations' }).getByRole('listitem').first()
      await expect.poll(() => operation.getByRole('progressbar').count()).toBe(1)
      expect(await operation.textContent()).toContain('running')
      await operation.getByRole('button', { name: 'Cancel' }).click()
      await connection.execute('rollback')
      await connection.close()
      await expect.poll(() => operation.textContent()).toContain('cancelled')
      expect(await stateOf(4)).toBe('hot')
      expect(await operation.getByRole('button', { name: 'Go on' }).count()).toBe(1)
      await page.close()
    })

    it('draws how storage has grown as soon as two samples are there', async () => {
      await tm.operations.sample()
      await test.db.execute(`
        insert into tidemark.storage_sample (dataset, at, hot_rows, hot_bytes, cold_rows, cold_bytes)
        select d, now() - i * interval '6 hours', 1000, (30 + 40 * abs(sin(i / 9.0))) * 100000, 1000, (100 - i) * 30000
        from generate_series(1, 100) as i, unnest(array['metrics.requests', 'metrics.ticks']) as d`)
      const page = await open('/storage')
      const chart = page.getByRole('img', { name: /^Bytes of all tables from/ })
      await expect.poll(() => chart.locator('canvas').count()).toBe(1)
      await page.getByText('As a table').click()
      expect(
        await page.getByRole('table', { name: 'Samples of bytes' }).getByRole('row').count(),
      ).toBeGreaterThan(20)
      await page.getByText('As a table').click()
      await page.close()
    })

    it('walks ten thousand chunks without a stutter', async () => {
      const page = await dashboard.open('/', { context: operator })
      await page.route('**/api/v1/storage', async (route) => {
        const answer = await (await route.fetch()).json()
        const [first] = answer.datasets
        const like = first.chunks[0]
        first.chunks = Array.from({ length: 10_000 }, (_, i) => ({
          ...like,
          id: String(i + 1),
          from: new Date(today - (10_000 - i) * day).toISOString(),
          to: new Date(today - (9_999 - i) * day).toISOString(),
        }))
        await route.fulfill({ json: answer })
      })
      await page.goto(`${dashboard.url}/storage`)
      const slider = lane(page)
      await expect.poll(() => slider.getAttribute('aria-valuemax')).toBe('10000')
      expect(await slider.locator('svg *').count()).toBeLessThan(25)
      await slider.focus()
      await page.evaluate(`
        window.longest = []
        new PerformanceObserver((list) => {
          for (const { duration } of list.getEntries()) longest.push(duration)
        }).observe({ type: 'longtask' })`)
      await page.keyboard.press('Home')
      for (let i = 0; i < 40; i += 1) await page.keyboard.press('ArrowRight')
      expect(await slider.getAttribute('aria-valuenow')).toBe('41')
      await page.keyboard.press('+')
      await page.keyboard.press('+')
      await page.keyboard.press('Shift+End')
      await expect.poll(() => heading(page, '9 960 chunks chosen').count()).toBe(1)
      const long = (await page.evaluate('longest')) as number[]
      process.stdout.write(
        `storage: long tasks while walking 10,000 chunks: ${long.map(Math.round).join(', ') || 'none'} ms\n`,
      )
      expect(await page.getByRole('row').count()).toBeLessThan(100)
      await page.close()
    })

    it('shows of aggregates how far they are, what is open, what is built and what they were used for', async () => {
      const page = await open('/aggregates')
      await expect.poll(() => page.getByRole('img', { name: /^Materialized until/ }).count()).toBe(1)
      const text = await page.getByRole('main').textContent()
      expect(text).toContain('1 hour buckets of metrics.requests')
      expect(text).toMatch(/Version \d+ answers\. Version \d+ is built beside it/)
      expect(text).toContain('Answered 1 query since this process began')
      await page.getByText(/^\d+ open ranges?$/).click()
      await expect
        .poll(() =>
          page.getByRole('table', { name: 'Open ranges of aggregates.hourly_requests' }).textContent(),
        )
        .toContain(dayText(20))
      expect(await axe(page)).toEqual([])
      await page.close()
    })

    it('is looked at in both themes and at the width of a phone, without a finding of axe or a sideways scroll', async () => {
      await test.db.execute(`
        update tidemark.chunk set state = 'freezing', lease_owner = gen_random_uuid(), lease_until = now() + interval '1 hour'
        where range_from = '${dayText(8)}'`)
      await test.db.execute(`
        update tidemark.chunk set move_error = 'TM_BUSY: its rows are changed all the time', move_failures = 3, move_failed_at = now()
        where range_from = '${dayText(9)}'`)
      const { datasets } = await tm.operations.storage()
      const failing = datasets[0]!.chunks.find(({ from }) => from.startsWith(dayText(9)))!
      for (const path of [`/storage?dataset=metrics.requests&chunk=${failing.id}`, '/aggregates'])
        for (const [theme, width] of [
          ['light', 1280],
          ['dark', 1280],
          ['light', 360],
        ] as const) {
          const context = await dashboard.newContext({ theme, width })
          await dashboard.signIn(context, await makeKey(tm, { name: 'operator' }))
          const page = await dashboard.open(path, { context })
          await expect.poll(() => page.getByRole('heading', { level: 2 }).count()).toBeGreaterThan(0)
          if (path.startsWith('/storage')) {
            await expect.poll(() => page.getByText('3 times in a row').count()).toBe(1)
            await expect.poll(() => page.locator('canvas').count()).toBe(1)
          }
          // what is told of the chunk at the edge stays inside, too
          if (path.startsWith('/storage'))
            await page
              .getByRole('slider')
              .first()
              .hover({ position: { x: width === 360 ? 280 : 900, y: 20 } })
          expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width)
          expect(await axe(page), `${path} ${theme} ${width}`).toEqual([])
          await shot(page, `${path.slice(1).split('?')[0]}-${theme}-${width}`)
          await context.close()
        }
      expect(dashboard.complaints()).toEqual([])
      await test.db.execute(`
        update tidemark.chunk
        set state = 'hot', lease_owner = null, lease_until = null, move_error = null, move_failures = 0, move_failed_at = null
        where range_from in ('${dayText(8)}', '${dayText(9)}')`)
    })

    it('refreshes an aggregate with its progress, and the new version takes the place of the old one', async () => {
      const page = await open('/aggregates')
      await page.getByRole('button', { name: 'Refresh now aggregates.hourly_requests' }).press('Enter')
      await expect.poll(() => page.getByRole('list', { name: 'Operations' }).textContent()).toContain('done')
      await expect.poll(() => page.getByText('is built beside it').count()).toBe(0)
      await expect.poll(() => page.getByText('no range to compute').count()).toBe(1)
      await page.getByRole('button', { name: 'Recompute… aggregates.hourly_requests' }).click()
      await page.getByLabel('From (UTC)').fill(dayText(3))
      await page.getByLabel('Until (UTC)').fill(dayText(2))
      await page.getByRole('button', { name: 'Compute it anew' }).click()
      await expect
        .poll(() => page.getByRole('list', { name: 'Operations' }).textContent())
        .toContain('144 rows')
      await shot(page, 'aggregates-refreshed')
      const [aggregate] = await tm.operations.aggregates()
      expect(aggregate!.versions.map(({ state }) => state)).toEqual(['current'])
      await page.close()
    })

    it('teaches a declaration of the tables that are there where no aggregate is declared', async () => {
      const page = await dashboard.open('/', { context: operator })
      await page.route('**/api/v1/aggregates', (route) => route.fulfill({ json: { aggregates: [] } }))
      await page.goto(`${dashboard.url}/aggregates`)
      await expect
        .poll(() => page.getByLabel('A declaration to copy').textContent())
        .toContain("continuousAggregate('aggregates.hourly_requests'")
      await page.getByRole('button', { name: 'Copy' }).click()
      expect(await page.evaluate('navigator.clipboard.readText()')).toContain("by: ['model']")
      expect(await axe(page)).toEqual([])
      await shot(page, 'aggregates-empty')
      await page.close()
    })

    it('says to whoever is no administrator why he sees nothing, and what he would need', async () => {
      const context = await dashboard.newContext()
      await dashboard.signIn(context, await makeKey(tm, { scopes: ['query'], name: 'reader' }))
      for (const path of ['/storage', '/aggregates']) {
        const page = await dashboard.open(path, { context })
        await expect.poll(() => page.getByText('for administrators').count()).toBe(1)
        expect(await page.getByRole('main').textContent()).toContain('tidemark keys create')
        expect(await axe(page)).toEqual([])
        await page.close()
      }
      // nothing was asked that would have been refused
      expect(dashboard.complaints()).toEqual([])
      await context.close()
    })
  },
)
