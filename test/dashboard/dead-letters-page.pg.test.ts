import type { Locator, Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { chromiumAbsent } from '../helpers/chromium.ts'
import { axe, shot } from '../helpers/dashboard.ts'
import { type OperationsWorld, openOperationsWorld, type Who } from './operations-world.ts'

describe.skipIf(chromiumAbsent !== null)(
  `the page of dead letters${chromiumAbsent ? ` (${chromiumAbsent})` : ''}`,
  () => {
    let world: OperationsWorld
    beforeAll(async () => {
      world = await openOperationsWorld()
    })

    const open = async (search = '', who: Who = 'operator'): Promise<Page> => {
      const page = await world.dashboard.open(`/dead-letters${search}`, { context: world[who] })
      await expect.poll(() => lettersOf(page).count()).toBeGreaterThan(0)
      return page
    }
    const lettersOf = (page: Page): Locator =>
      page.getByRole('table', { name: /Dead letters/ }).locator('tbody tr')
    const lookAt = async (
      page: Page,
      name: string,
      themes: readonly ('light' | 'dark')[] = ['light', 'dark'],
    ): Promise<void> => {
      for (const theme of themes) {
        await page.emulateMedia({ colorScheme: theme })
        await expect.poll(() => page.locator('html').getAttribute('data-theme')).toBe(theme)
        expect(await axe(page), `${name}, ${theme}`).toEqual([])
        await shot(page, `${name}-${theme}`)
      }
      await page.setViewportSize({ width: 360, height: 740 })
      await expect
        .poll(() => page.locator('html').evaluate(({ scrollWidth }) => scrollWidth), {
          message: `${name} at 360 px`,
        })
        .toBeLessThanOrEqual(360)
      await shot(page, `${name}-phone`)
      await page.setViewportSize({ width: 1280, height: 800 })
    }

    it('lists letters by group, and narrows them by reason, column, state and text, which are in the URL', async () => {
      const page = await open()
      await expect.poll(() => lettersOf(page).count()).toBe(6)
      await page.getByRole('button', { name: /type · amount 3/ }).click()
      await expect.poll(() => lettersOf(page).count()).toBe(3)
      await page.getByLabel('Text').fill('A LOT')
      await expect.poll(() => lettersOf(page).count()).toBe(1)
      const { searchParams } = new URL(page.url())
      expect(Object.fromEntries(searchParams)).toEqual({
        dataset: 'app.visits',
        reason: 'type',
        column: 'amount',
        text: 'A LOT',
      })
      await page.reload()
      await expect.poll(() => lettersOf(page).count()).toBe(1)
      expect(await page.getByLabel('Text').inputValue()).toBe('A LOT')
      await page.getByLabel('State').selectOption('corrected')
      await expect.poll(() => page.getByText('No letter matches').count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await page.getByRole('button', { name: 'Show every letter' }).click()
      await expect.poll(() => lettersOf(page).count()).toBe(6)
      expect(new URL(page.url()).search).toBe('')
      await page.close()
    })

    it('explains the one that is chosen beside the list, from one to the next by keyboard', async () => {
      const page = await open('?text=/price')
      await page.keyboard.press('j')
      const detail = page.getByRole('region', { name: /^Letter \d+$/ })
      await expect.poll(() => detail.getByRole('heading', { name: 'What is allowed' }).count()).toBe(1)
      expect(await detail.textContent()).toContain('"amount" is numeric(12, 2)')
      const first = await detail.getAttribute('aria-label')
      await page.keyboard.press('j')
      await expect.poll(() => detail.getAttribute('aria-label')).not.toBe(first)
      await page.keyboard.press('k')
      await expect.poll(() => detail.getAttribute('aria-label')).toBe(first)
      expect(await page.locator('h2:focus').count()).toBe(1)
      await lookAt(page, 'dead-letters')
      await page.keyboard.press('Escape')
      await expect.poll(() => detail.count()).toBe(0)
      await page.close()
    })

    it('corrects a column, whose type and limits it shows, and replays the row, without a mouse', async () => {
      const page = await open('?text=soon')
      await lettersOf(page).first().focus()
      await page.keyboard.press('Enter')
      await page.getByRole('button', { name: 'Edit the row' }).press('Enter')
      const seconds = page.getByLabel('seconds', { exact: true })
      await expect.poll(() => seconds.inputValue()).toBe('soon')
      const hint = async (): Promise<string | null> =>
        page.locator(`[id="${await seconds.getAttribute('aria-describedby')}"]`).textContent()
      expect(await hint()).toMatch(/int4: a whole number from .* to .*; may be null/)
      await expect.poll(() => seconds.getAttribute('aria-invalid')).toBe('true')
      await lookAt(page, 'dead-letters-edit', ['dark'])
      // what does not fit either stays in the editor, and says why
      expect(await page.locator('input:focus').inputValue()).toBe('soon')
      await page.keyboard.press('Control+a')
      await page.keyboard.type('later')
      await page.keyboard.press('Enter')
      await expect.poll(() => page.getByText('Saved; one column does not fit yet.').count()).toBe(1)
      expect(await hint()).toContain('later')
      await seconds.fill('90')
      await page.getByRole('button', { name: 'Save and replay' }).press('Enter')
      await expect.poll(() => page.getByText('1 letter replayed').count()).toBe(1)
      await expect.poll(() => page.getByText('No letter matches').count()).toBe(1)
      // the letter is gone, and with it what was shown of it; the focus is where the outcome is told
      expect(await page.getByRole('region', { name: /^Letter \d+$/ }).count()).toBe(0)
      expect(await page.locator('section:focus').getAttribute('aria-label')).toBe('What the replay did')
      expect(await world.secondsOf('/props')).toBe(90)
      await page.close()
    })

    it('moves a field that is no column to the one that was meant, and gives the row as JSON', async () => {
      const page = await open('?reason=column')
      await lettersOf(page).first().click()
      await page.getByRole('button', { name: 'Edit the row' }).click()
      // it holds a value already in this row
      await page.getByRole('button', { name: 'More for seconds' }).click()
      await page.getByRole('menuitem', { name: 'Leave it out' }).click()
      await page.getByLabel('Move secnds to').selectOption('seconds')
      await expect.poll(() => page.getByLabel('seconds', { exact: true }).inputValue()).toBe('12')
      await page.getByRole('radio', { name: 'JSON' }).click()
      const row = JSON.parse(await page.getByLabel('Row', { exact: true }).inputValue()) as object
      expect(row).toMatchObject({ page: '/typo', seconds: 12 })
      expect(row).not.toHaveProperty('secnds')
      await page.getByLabel('Row', { exact: true }).fill('{ "page": ')
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await expect.poll(() => page.getByText('This is no JSON.').count()).toBe(1)
      await page.getByLabel('Row', { exact: true }).fill(JSON.stringify(row))
      await page.getByRole('button', { name: 'Save', exact: true }).click()
      await expect.poll(() => lettersOf(page).first().textContent()).toContain('corrected')
      await page.getByRole('button', { name: 'Replay', exact: true }).click()
      await expect.poll(() => page.getByText('1 letter replayed').count()).toBe(1)
      expect(await world.secondsOf('/typo')).toBe(12)
      await page.close()
    })

    it('replays all of a filter after it has counted them; what fails again stays and says why', async () => {
      await world.correct('more', { amount: '12.50' })
      const page = await open('?text=amount')
      await page.getByRole('button', { name: 'Replay all…' }).click()
      const dialog = page.getByRole('dialog')
      await expect.poll(() => dialog.getByRole('button', { name: 'Replay 3 letters' }).count()).toBe(1)
      await expect.poll(() => dialog.getByRole('row', { name: /app\.visits type amount/ }).count()).toBe(1)
      expect(await axe(page)).toEqual([])
      await shot(page, 'dead-letters-replay')
      await dialog.getByRole('button', { name: 'Replay 3 letters' }).click()
      const outcome = page.getByRole('region', { name: 'What the replay did' })
      await expect.poll(() => outcome.textContent()).toContain('1 letter replayed: 1 inserted. 2 stay.')
      expect(await outcome.getByRole('row').count()).toBe(3)
      await expect.poll(() => lettersOf(page).count()).toBe(2)
      await lookAt(page, 'dead-letters-outcome', ['light'])
      await outcome
        .getByRole('button', { name: /^Open \d+$/ })
        .first()
        .click()
      await expect.poll(() => page.getByRole('region', { name: /^Letter \d+$/ }).count()).toBe(1)
      await page.close()
    })

    it('replays a row whose key exists by the rule that is chosen', async () => {
      await world.send('acme', [{ ...world.known, seconds: 77 }])
      const page = await open('?reason=duplicate_key')
      await page.getByRole('checkbox', { name: /^Letter \d+$/ }).check()
      await page.getByRole('button', { name: 'Replay marked…' }).click()
      await page.getByLabel('A row whose key exists').selectOption('update')
      await page.getByRole('button', { name: 'Replay 1 letter' }).click()
      await expect.poll(() => page.getByText('1 updated').count()).toBe(1)
      expect(await world.secondsOf(world.known.page)).toBe(77)
      await page.close()
    })

    it('deletes those that are marked, once it is confirmed', async () => {
      const page = await open()
      const before = await lettersOf(page).count()
      await page
        .getByRole('checkbox', { name: /^Letter \d+$/ })
        .first()
        .check()
      // the box marks, and does not open
      expect(new URL(page.url()).searchParams.get('letter')).toBeNull()
      await page.getByRole('button', { name: 'Delete marked…' }).click()
      await page.getByRole('button', { name: 'Cancel' }).click()
      expect(await lettersOf(page).count()).toBe(before)
      await page.getByRole('button', { name: 'Delete marked…' }).click()
      await page.getByRole('button', { name: 'Delete 1 letter' }).click()
      await expect.poll(() => lettersOf(page).count()).toBe(before - 1)
      await page.close()
    })

    it('shows a tenant’s administrator his letters only', async () => {
      await world.send('globex', [{ page: '/marker-of-globex', time: new Date(), seconds: 'never' }])
      const page = await open('', 'acme')
      expect(await page.content()).not.toContain('globex')
      const theirs = await world.letterOf('globex')
      await page.goto(`${world.dashboard.url}/dead-letters?letter=${theirs}`)
      await expect.poll(() => page.getByText('There is no such thing').count()).toBe(1)
      expect(await page.content()).not.toContain('globex')
      await page.close()
      world.dashboard.complaints()
    })

    it('goes on page by page, and counts and marks all of them', async () => {
      await world.refuse(
        Array.from({ length: 120 }, (_, i) => ({
          page: `/many-${i}`,
          time: new Date().toISOString(),
          seconds: 'many',
        })),
      )
      const page = await open('?text=many')
      await expect.poll(() => page.getByText('120 letters with “many”').count()).toBe(1)
      await expect.poll(() => lettersOf(page).count()).toBe(100)
      await page.getByRole('button', { name: 'Load older' }).press('Enter')
      await expect.poll(() => lettersOf(page).count()).toBe(120)
      expect(await page.getByRole('button', { name: 'Load older' }).count()).toBe(0)
      await page.getByLabel('Mark all that are shown').check()
      await page.getByRole('button', { name: 'Delete marked…' }).click()
      await page.getByRole('button', { name: 'Delete 120 letters' }).click()
      await expect.poll(() => page.getByText('No letter matches').count()).toBe(1)
      await page.close()
    })

    it('says that the server is gone, and has what came meanwhile when it is back', async () => {
      const page = await open()
      expect(world.dashboard.complaints()).toEqual([])
      await world.dashboard.stop()
      await page.keyboard.press('r')
      await expect.poll(() => page.getByText('What you see may be old').count()).toBe(1)
      expect(await lettersOf(page).count()).toBeGreaterThan(0)
      expect(await axe(page)).toEqual([])
      await shot(page, 'dead-letters-gone')
      await world.refuse([{ page: '/while-away', time: new Date().toISOString(), seconds: 'x' }])
      await world.dashboard.start()
      await expect.poll(() => page.getByText('What you see may be old').count()).toBe(0)
      await expect.poll(() => page.getByRole('row', { name: /"x"/ }).count()).toBe(1)
      await page.close()
      world.dashboard.complaints()
    })
  },
)
