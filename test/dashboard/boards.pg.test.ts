import { readFile } from 'node:fs/promises'
import type { BrowserContext } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Board, Client } from '../../src/client/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { chromiumAbsent } from '../helpers/chromium.ts'
import { axe, makeKey, type OpenDashboard, shot } from '../helpers/dashboard.ts'
import {
  box,
  drawn,
  figure,
  focused,
  heading,
  isWiderThanItsWindow,
  menu,
  openBoards,
  overview,
  painted,
  placesOf,
  probes,
  said,
  tabTo,
  titles,
} from './board-fixture.ts'

/** All of it is in sight. */
const isWhole = (element: { readonly scrollHeight: number; readonly clientHeight: number }): boolean =>
  element.scrollHeight <= element.clientHeight

describe.skipIf(chromiumAbsent !== null)(
  `boards in Chromium${chromiumAbsent ? ` (${chromiumAbsent})` : ''}`,
  () => {
    let tm: Tidemark
    let dashboard: OpenDashboard
    let acme: BrowserContext
    let board: Board
    let client: Client

    beforeAll(async () => {
      ;({ tm, dashboard, acme, board, client } = await openBoards())
    })

    it('teach the first step, and make a first board from a dataset in two clicks', async () => {
      const secret = await makeKey(tm, { tenant: 'fresh', name: 'Newcomer' })
      const context = await dashboard.newContext()
      await dashboard.signIn(context, secret)
      const page = await dashboard.open('/boards', { context })
      await heading(page, 'Boards')
      await page.getByRole('button', { name: 'New board' }).click()
      await expect.poll(() => page.getByLabel('Name').inputValue()).toBe('Overview of metrics.requests')
      expect(await axe(page)).toEqual([])
      await shot(page, 'boards-new')
      await page.getByRole('button', { name: 'Make board' }).click()
      await heading(page, 'Overview of metrics.requests')
      const offered =
        'Rows, Rows by model, p95 of latency_ms, latency_ms: p50 and p95, Most rows: model, Newest rows'
      expect((await titles(page)).join(', ')).toBe(offered)
      // blank, in edit mode at once: what comes next is said
      await page.goto(`${dashboard.url}/boards`)
      await heading(page, 'Boards')
      await page.keyboard.press('n')
      await page.getByLabel('Nothing').check()
      await page.getByLabel('Name').fill('From nothing')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.getByText('There is nothing on this board yet').count()).toBe(1)
      await shot(page, 'board-empty')
      await page.getByRole('button', { name: 'Add a panel' }).click()
      await page.getByRole('button', { name: 'Add Rows by model' }).click()
      await expect.poll(() => page.getByText('Rows by model was added').count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await page.getByRole('button', { name: 'Done' }).last().click()
      await page.keyboard.press('Control+s')
      await expect.poll(() => page.getByText('The board was saved').count()).toBe(1)
      await context.close()
    })

    it('show their panels over one range that is in the address, light and dark, without a finding of axe', async () => {
      const page = await dashboard.open(`/boards/${board.id}`, { context: acme })
      await heading(page, 'Requests')
      expect(await titles(page)).toEqual(['Rows', 'Rows by model', 'Latency', 'Newest rows'])
      await drawn(page)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-light')
      await page.keyboard.press('t')
      await drawn(page)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-dark')
      await page.keyboard.press('t')
      const before = await figure(page, 'Rows')
      // a chart is dragged over: the whole board follows, and Back leads out again
      const chart = await box(page.locator('[data-panel=p2] canvas').first())
      await page.mouse.move(chart.x + chart.width * 0.5, chart.y + 40)
      await page.mouse.down()
      await page.mouse.move(chart.x + chart.width * 0.7, chart.y + 44, { steps: 5 })
      await page.mouse.up()
      await expect.poll(() => new URL(page.url()).searchParams.get('from')).toMatch(/^20..-/)
      await expect.poll(() => figure(page, 'Rows')).not.toBe(before)
      await page.goBack()
      await expect.poll(() => new URL(page.url()).searchParams.get('from')).toBeNull()
      await expect.poll(() => figure(page, 'Rows')).toBe(before)
      expect(dashboard.complaints()).toEqual([])
      await page.close()
    })

    it('are arranged with the mouse, saved, and as they were left for the next reader', async () => {
      const own = await client.boards.create({ ...overview, name: 'By mouse' })
      const page = await dashboard.open(`/boards/${own.id}`, { context: acme })
      await heading(page, 'By mouse')
      await page.getByRole('button', { name: 'Edit', exact: true }).click()
      const grip = await box(page.getByRole('button', { name: 'Move or resize Latency' }))
      const target = await box(page.locator('[data-panel=p4]'))
      await page.mouse.move(grip.x + 8, grip.y + 8)
      await page.mouse.down()
      await page.mouse.move(grip.x + 200, grip.y + 8, { steps: 4 })
      await page.mouse.move(target.x + 16, grip.y + 8, { steps: 4 })
      await shot(page, 'board-dragged')
      await page.mouse.up()
      const corner = await box(page.locator('[data-panel=p1]'))
      await page.mouse.move(corner.x + corner.width - 6, corner.y + corner.height - 6)
      await page.mouse.down()
      await page.mouse.move(corner.x + corner.width - 6, corner.y + corner.height + 70, { steps: 4 })
      await page.mouse.up()
      // who can press but not drag has buttons
      await page.getByRole('button', { name: 'Move or resize Rows', exact: true }).click()
      await page.getByRole('button', { name: 'Higher' }).click()
      expect(await axe(page)).toEqual([])
      await page.getByRole('button', { name: 'Put down Rows' }).click()
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await expect.poll(() => page.getByText('The board was saved').count()).toBe(1)
      const { document, version } = await client.boards.get(own.id)
      expect(version).toBe(own.version + 1)
      expect(placesOf(document.panels)).toEqual({
        p1: [0, 0, 3, 4],
        p2: [3, 0, 9, 4],
        p3: [6, 4, 6, 4],
        p4: [0, 4, 6, 4],
      })
      await page.close()
    })

    it('are arranged, renamed, undone and saved by keyboard alone, which is announced; a reload loses nothing', async () => {
      const own = await client.boards.create({ ...overview, name: 'By keys' })
      const page = await dashboard.open(`/boards/${own.id}`, { context: acme })
      await heading(page, 'By keys')
      await expect.poll(() => page.locator('[data-panel]').count()).toBe(4)
      await page.keyboard.press('e')
      await tabTo(page, 'Move or resize Rows')
      await page.keyboard.press('Enter')
      await said(page, /Rows taken up: column 1 of 12, line 1, 3 wide, 2 high/)
      await page.keyboard.press('ArrowRight')
      await said(page, /Rows: column 10 of 12, line 1/)
      await page.keyboard.press('ArrowRight')
      await said(page, /Rows is at the right edge/)
      await page.keyboard.press('Shift+ArrowDown')
      await said(page, /3 wide, 3 high/)
      await shot(page, 'board-keys')
      await page.keyboard.press('Enter')
      await said(page, /Rows put down/)
      // what is taken back changes nothing
      await page.keyboard.press('Enter')
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('Escape')
      await said(page, /Rows is back at column 10/)
      await tabTo(page, 'Do something with Newest rows')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.locator('[role=menuitem]:focus').count()).toBe(1)
      await page.keyboard.press('r')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.getByLabel('Title').inputValue()).toBe('Newest rows')
      await page.getByLabel('Title').press('Control+a')
      await page.keyboard.type('What came last')
      await page.keyboard.press('Enter')
      await expect.poll(() => titles(page)).toContain('What came last')
      await page.keyboard.press('Control+z')
      await said(page, /Undone: renamed “Newest rows”/)
      await page.keyboard.press('Control+Shift+z')
      await expect.poll(() => titles(page)).toContain('What came last')
      await page.reload()
      await expect.poll(() => page.getByText('Not saved yet').count()).toBe(1)
      await page.keyboard.press('Control+s')
      await expect.poll(() => page.getByText('The board was saved').count()).toBe(1)
      const { document } = await client.boards.get(own.id)
      expect(placesOf(document.panels)).toMatchObject({ p1: [9, 0, 3, 3], p2: [0, 0, 9, 4] })
      expect(document.panels.map(({ title }) => title)).toContain('What came last')
      await page.close()
    })

    it('lose a panel only until it is brought back, and have copies of it', async () => {
      const own = await client.boards.create({ ...overview, name: 'Undone' })
      const page = await dashboard.open(`/boards/${own.id}?edit=1`, { context: acme })
      await menu(page, 'Latency', 'Remove')
      await expect.poll(() => titles(page)).toEqual(['Rows', 'Rows by model', 'Newest rows'])
      await expect.poll(() => focused(page)).toBe('Do something with Newest rows')
      await page.getByRole('button', { name: 'Undo' }).last().click()
      await expect.poll(() => titles(page)).toEqual(['Rows', 'Rows by model', 'Latency', 'Newest rows'])
      await menu(page, 'Latency', 'Duplicate')
      await expect.poll(() => titles(page)).toContain('Latency (copy)')
      // thrown away, and taken back
      await page.getByRole('button', { name: 'Discard' }).click()
      await expect.poll(() => titles(page)).toHaveLength(4)
      await page.getByRole('button', { name: 'Undo' }).click()
      await page.getByRole('button', { name: 'Go on editing' }).click()
      await expect.poll(() => titles(page)).toContain('Latency (copy)')
      // also when somebody removes the board meanwhile
      await client.boards.remove(own)
      await page.reload()
      await expect.poll(() => page.getByText('There is no such board').count()).toBe(1)
      await page.getByRole('button', { name: 'Save “Undone” as a new board' }).click()
      await expect.poll(() => titles(page)).toContain('Latency (copy)')
      expect(new URL(page.url()).pathname).not.toBe(`/boards/${own.id}`)
      expect(dashboard.complaints().filter((text) => !text.includes('404'))).toEqual([])
      await page.close()
    })

    it('take a panel to Explore and back, into the draft that was left', async () => {
      const own = await client.boards.create({ ...overview, name: 'Round trip' })
      const page = await dashboard.open(`/boards/${own.id}?edit=1`, { context: acme })
      await menu(page, 'Newest rows', 'Remove')
      await menu(page, 'Latency', 'Edit in Explore')
      await expect.poll(() => new URL(page.url()).pathname).toBe('/explore')
      await page.getByRole('button', { name: 'Put back on the board' }).click()
      await expect.poll(() => new URL(page.url()).pathname).toBe(`/boards/${own.id}`)
      await expect.poll(() => titles(page)).toEqual(['Rows', 'Rows by model', 'Latency'])
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await expect.poll(() => page.getByText('The board was saved').count()).toBe(1)
      const { panels } = (await client.boards.get(own.id)).document
      const [before, after] = [own.document, { panels }].map((one) =>
        one.panels.find(({ id }) => id === 'p3'),
      )
      expect(after).toEqual(before)
      await page.close()
    })

    it('are saved by two people at once: what each did is shown, both is kept, and the reader chooses where he has to', async () => {
      const own = await client.boards.create({ ...overview, name: 'Two at once' })
      const page = await dashboard.open(`/boards/${own.id}?edit=1`, { context: acme })
      await menu(page, 'Rows by model', 'Rename…')
      await page.getByLabel('Title').fill('Mine')
      await page.keyboard.press('Enter')
      await menu(page, 'Rows', 'Duplicate')
      const { panels } = own.document
      await client.boards.save(own, {
        name: 'Theirs',
        document: {
          ...own.document,
          panels: panels.map((one) => (one.id === 'p2' ? { ...one, title: 'Theirs' } : one)),
        },
      })
      await page.keyboard.press('Control+s')
      const dialog = page.getByRole('dialog', { name: 'This board was changed meanwhile' })
      await expect.poll(() => dialog.isVisible()).toBe(true)
      await expect.poll(() => dialog.getByText('One part was changed on both sides').count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-conflict')
      await dialog.getByLabel('Of the panel “Mine” keep').selectOption('theirs')
      await dialog.getByRole('button', { name: 'Save both together' }).click()
      await expect.poll(() => page.getByText('Both were saved together').count()).toBe(1)
      const saved = await client.boards.get(own.id)
      expect(saved.version).toBe(own.version + 2)
      expect(saved.name).toBe('Theirs')
      const all = saved.document.panels.map(({ title }) => title).sort()
      expect(all.join(', ')).toBe('Latency, Newest rows, Rows, Rows (copy), Theirs')
      // the browser's own note about the 409
      expect(dashboard.complaints().filter((text) => !/409|412/.test(text))).toEqual([])
      await page.close()
    })

    it('are shared by a link that needs no session, until it is revoked, which is said', async () => {
      const page = await dashboard.open(`/boards/${board.id}`, { context: acme })
      await heading(page, 'Requests')
      await page.getByRole('button', { name: 'Share' }).click()
      await page.getByLabel('The link is good for').selectOption('1 day')
      await page.getByRole('button', { name: 'Make a link' }).click()
      const link = page.getByLabel(/It is shown this once/)
      await expect.poll(() => link.inputValue()).toContain('/shared/')
      const url = await link.inputValue()
      await page.getByRole('button', { name: 'Copy link' }).click()
      await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe(url)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-share')

      const stranger = await dashboard.newContext()
      const shared = await stranger.newPage()
      await shared.goto(url)
      await heading(shared, 'Requests')
      expect(await titles(shared)).toEqual(['Rows', 'Rows by model', 'Latency', 'Newest rows'])
      await drawn(shared)
      expect(await figure(shared, 'Rows')).toMatch(/\d/)
      expect(await shared.getByRole('navigation').count()).toBe(0)
      expect(await axe(shared)).toEqual([])
      await shot(shared, 'board-shared')
      expect(dashboard.complaints()).toEqual([])

      await page.getByRole('button', { name: /^Revoke the link/ }).click()
      await expect.poll(() => page.getByText('revoked', { exact: true }).count()).toBe(1)
      await shared.reload()
      await heading(shared, 'This link does not work')
      expect(dashboard.complaints().filter((text) => !text.includes('404'))).toEqual([])
      await stranger.close()
      await page.close()
    })

    it('fill the screen, whole or one panel, with everything else out of reach, and give the focus back', async () => {
      const page = await dashboard.open(`/boards/${board.id}`, { context: acme })
      await heading(page, 'Requests')
      const inertNavigation = (): Promise<number> => page.locator('[inert] nav, nav[inert]').count()
      await page.keyboard.press('f')
      await expect.poll(inertNavigation).toBe(1)
      await expect.poll(() => page.locator('[data-full]').first().evaluate(isWhole)).toBe(true)
      expect(new URL(page.url()).searchParams.get('full')).toBe('board')
      await drawn(page)
      await shot(page, 'board-full')
      await page.keyboard.press('f')
      await expect.poll(inertNavigation).toBe(0)
      await menu(page, 'Latency', 'Full screen')
      const alone = page.getByRole('region', { name: 'Requests: one panel' })
      await expect.poll(() => alone.locator('canvas').count()).toBeGreaterThan(0)
      expect((await box(alone)).height).toBeGreaterThan(700)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-panel-full')
      await alone.getByRole('button', { name: 'Leave full screen' }).click()
      await expect.poll(() => alone.count()).toBe(0)
      await expect.poll(() => focused(page)).toBe('Do something with Latency')
      await page.close()
    })

    it('are up to date: a row that is written appears', async () => {
      const own = await client.boards.create(probes)
      const page = await dashboard.open(`/boards/${own.id}`, { context: acme })
      await expect.poll(() => figure(page, 'Probes')).toBe('0')
      const tookMs: number[] = []
      for (let n = 1; n <= 6; n++) {
        const seen = painted(page, String(n))
        const began = Date.now()
        await client.insertNow('metrics.requests', [
          { time: new Date(), tenant: 'acme', model: 'probe', latency_ms: 1 },
        ])
        tookMs.push((await seen) - began)
      }
      // the first one waits for the subscription
      const sorted = tookMs.slice(1).sort((a, b) => a - b)
      console.log(`from write to pixel: ${sorted.join(', ')} ms`)
      expect(sorted[2]).toBeLessThan(5000)
      await page.close()
    })

    it('stand one below the other on a phone, in reading order, without scrolling aside', async () => {
      const page = await dashboard.open('/boards', { context: acme })
      await page.setViewportSize({ width: 360, height: 740 })
      await heading(page, 'Boards')
      await expect.poll(() => page.getByRole('link', { name: 'Requests', exact: true }).count()).toBe(1)
      expect(await isWiderThanItsWindow(page)).toBe(false)
      await shot(page, 'boards-phone')
      await page.goto(`${dashboard.url}/boards/${board.id}`)
      await heading(page, 'Requests')
      await expect.poll(() => page.locator('[data-panel]').count()).toBe(4)
      await drawn(page)
      const boxes = await Promise.all((await page.locator('[data-panel]').all()).map(box))
      expect(new Set(boxes.map(({ x }) => x)).size).toBe(1)
      const ends = [0, ...boxes.map(({ y, height }) => y + height)]
      expect(boxes.every(({ y }, i) => y >= (ends[i] as number))).toBe(true)
      expect(await isWiderThanItsWindow(page)).toBe(false)
      expect(await axe(page)).toEqual([])
      await shot(page, 'board-phone')
      await page.goto(`${dashboard.url}/boards/${board.id}?edit=1`)
      await expect.poll(() => page.getByText('No changes').count()).toBe(1)
      expect(await isWiderThanItsWindow(page)).toBe(false)
      await page.close()
    })

    it('go out as files and come in again, also those of the repository; what is wrong with one is said with its path', async () => {
      const page = await dashboard.open('/boards', { context: acme })
      await page.getByRole('link', { name: 'Reviewed' }).click()
      await heading(page, 'Reviewed')
      expect(await page.getByRole('button', { name: 'Edit', exact: true }).count()).toBe(0)
      const download = page.waitForEvent('download')
      await page.getByRole('button', { name: 'Do something with this board' }).click()
      await page.getByRole('menuitem', { name: 'Export as JSON' }).click()
      expect((await download).suggestedFilename()).toBe('reviewed.json')
      const text = await readFile(await (await download).path(), 'utf8')
      await page.getByRole('button', { name: 'Save a copy' }).first().click()
      await heading(page, 'Reviewed (copy)')
      await page.goto(`${dashboard.url}/boards`)
      await page.getByRole('button', { name: 'Import' }).click()
      await page.getByLabel('Or paste it').fill(text.replace('"number"', '"pie"'))
      await page.getByRole('button', { name: 'Import board' }).click()
      await expect.poll(() => page.getByText(/document\.panels\[0\]\.chart/).count()).toBe(1)
      await shot(page, 'board-import')
      await page.getByLabel('Or paste it').fill(text.replace('Reviewed', 'From a file'))
      await page.getByRole('button', { name: 'Import board' }).click()
      await heading(page, 'From a file')
      expect(await titles(page)).toHaveLength(4)
      await page.goto(`${dashboard.url}/boards`)
      await expect.poll(() => page.getByRole('link', { name: 'From a file' }).count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await shot(page, 'boards')
      await page.close()
    })

    it('of one tenant are not there for another', async () => {
      const secret = await makeKey(tm, { tenant: 'other', name: 'Eve' })
      const context = await dashboard.newContext()
      await dashboard.signIn(context, secret)
      const page = await dashboard.open('/boards', { context })
      await expect.poll(() => page.getByRole('link', { name: 'Reviewed' }).count()).toBe(1)
      expect(await page.locator('tbody a').allTextContents()).toEqual(['Reviewed'])
      await page.goto(`${dashboard.url}/boards/${board.id}`)
      await expect.poll(() => page.getByText('There is no such board').count()).toBe(1)
      await context.close()
    })
  },
)
