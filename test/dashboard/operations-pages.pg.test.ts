import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { chromiumAbsent } from '../helpers/chromium.ts'
import { axe, shot } from '../helpers/dashboard.ts'
import { type OperationsWorld, openOperationsWorld, type Who } from './operations-world.ts'

describe.skipIf(chromiumAbsent !== null)(
  `pages of those who run the place${chromiumAbsent ? ` (${chromiumAbsent})` : ''}`,
  () => {
    let world: OperationsWorld
    beforeAll(async () => {
      world = await openOperationsWorld()
    })

    const open = async (path: string, who: Who = 'operator'): Promise<Page> => {
      const page = await world.dashboard.open(path, { context: world[who] })
      await expect.poll(() => page.getByRole('heading', { level: 1 }).count()).toBe(1)
      return page
    }
    /** Nothing for axe to find in both themes, no sideways scroll on a phone, nothing that the browser complains about. */
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
      expect(world.dashboard.complaints(), name).toEqual([])
    }
    const meWith = async (secret: string): Promise<{ status: number; body: Record<string, unknown> }> => {
      const answer = await fetch(`${world.dashboard.url}/api/v1/me`, {
        headers: { authorization: `Bearer ${secret}` },
      })
      return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
    }
    const secretOf = async (page: Page): Promise<string> => {
      await expect.poll(() => page.getByLabel('Key', { exact: true }).count()).toBe(1)
      return (await page.getByLabel('Key', { exact: true }).textContent()) ?? ''
    }

    describe('keys', () => {
      it('are listed with whose they are and when they were used', async () => {
        const page = await open('/keys')
        const row = page.getByRole('row', { name: /acme admin/ })
        await expect.poll(() => row.count()).toBe(1)
        expect(await row.textContent()).toMatch(/good.*ingest, query, admin.*acme.*every one.*never/)
        await expect.poll(() => page.getByRole('row', { name: /operator.*you/ }).count()).toBe(1)
        await lookAt(page, 'keys')
        await page.close()
      })

      it('are made without a mouse; the secret is shown once, is not lost by Escape, and opens what was chosen', async () => {
        const page = await open('/keys')
        await expect.poll(() => page.getByRole('row').count()).toBeGreaterThan(3)
        await page.keyboard.press('n')
        const dialog = page.getByRole('dialog', { name: 'New key' })
        await expect.poll(() => dialog.isVisible()).toBe(true)
        // what is missing is told where it is missing
        await dialog.getByRole('button', { name: 'Make the key' }).press('Enter')
        await expect.poll(() => dialog.getByText('Choose what it may do.').count()).toBe(1)
        await lookAt(page, 'keys-new', ['dark'])
        await dialog.getByLabel('Name').focus()
        await page.keyboard.type('nightly import')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Space')
        await dialog.getByLabel('Whose rows').focus()
        await page.keyboard.type('Of one')
        await page.keyboard.press('Tab')
        await page.keyboard.type('acme')
        await page.keyboard.press('Tab')
        await page.keyboard.press('Enter')
        const option = page.getByRole('option', { name: /app\.visits/ })
        await expect.poll(() => option.count()).toBe(1)
        await page.keyboard.type('visits')
        await expect.poll(() => option.getAttribute('aria-selected')).toBe('true')
        await page.keyboard.press('Enter')
        await page.keyboard.press('Escape')
        await dialog.getByLabel('Name').press('Enter')
        const secret = await secretOf(page)
        expect(secret).toMatch(/^tm_/)
        await page.keyboard.press('Escape')
        expect(await secretOf(page)).toBe(secret)
        await expect.poll(() => page.getByText('It has not been copied yet.').count()).toBe(1)
        expect(await axe(page)).toEqual([])
        await shot(page, 'keys-secret')
        await page.getByRole('button', { name: 'Copy the key' }).press('Enter')
        await expect.poll(() => page.evaluate('navigator.clipboard.readText()')).toBe(secret)
        await page.getByRole('button', { name: 'Done' }).press('Enter')
        await expect.poll(() => page.getByRole('row', { name: /nightly import/ }).count()).toBe(1)
        expect(await page.content()).not.toContain(secret)
        expect(await meWith(secret)).toMatchObject({
          status: 200,
          body: { name: 'nightly import', scopes: ['ingest'], tenant: 'acme', datasets: ['app.visits'] },
        })
        await page.close()
      })

      it('are rotated with an overlap in which both secrets are good, or none', async () => {
        const before = await world.newKey('rotated')
        const page = await open('/keys')
        const rotate = async (overlap: string): Promise<string> => {
          await page.getByRole('button', { name: 'Acts on rotated' }).click()
          await page.getByRole('menuitem', { name: 'Rotate…' }).click()
          await page.getByLabel('The secret before goes on for').selectOption({ label: overlap })
          await page.getByRole('button', { name: 'Make a new secret' }).click()
          const secret = await secretOf(page)
          await page.getByRole('button', { name: 'I have kept it' }).click()
          return secret
        }
        const second = await rotate('A week')
        for (const secret of [before, second]) expect((await meWith(secret)).status).toBe(200)
        await expect.poll(() => page.getByRole('row', { name: /rotated.*two secrets/ }).count()).toBe(1)
        const third = await rotate('No time: it ends now')
        for (const secret of [before, second]) expect((await meWith(secret)).status).toBe(401)
        expect((await meWith(third)).status).toBe(200)
        await page.close()
      })

      it('are revoked only when it is confirmed, and can be looked at afterwards', async () => {
        const secret = await world.newKey('leaked')
        const page = await open('/keys')
        const revoke = async (answer: string): Promise<void> => {
          await page.getByRole('button', { name: 'Acts on leaked' }).press('Enter')
          await page.getByRole('menuitem', { name: 'Revoke…' }).press('Enter')
          await expect.poll(() => page.getByText('It was never used.').count()).toBe(1)
          expect(await axe(page)).toEqual([])
          await page.getByRole('button', { name: answer }).press('Enter')
        }
        await revoke('Cancel')
        expect((await meWith(secret)).status).toBe(200)
        await page.reload()
        await expect.poll(() => page.getByRole('row', { name: /leaked/ }).count()).toBe(1)
        // it has been used by the look above
        await page.getByRole('button', { name: 'Acts on leaked' }).press('Enter')
        await page.getByRole('menuitem', { name: 'Revoke…' }).press('Enter')
        await page.getByRole('button', { name: 'Revoke the key' }).press('Enter')
        await expect.poll(() => page.getByRole('row', { name: /leaked/ }).count()).toBe(0)
        expect((await meWith(secret)).status).toBe(401)
        await page.getByLabel('Show revoked keys').check()
        await expect.poll(() => page.getByRole('row', { name: /leaked.*revoked/ }).count()).toBe(1)
        expect(new URL(page.url()).search).toBe('?revoked=1')
        await page.close()
      })

      it('of others are not shown to a tenant’s administrator, who makes those of his tenant', async () => {
        const page = await open('/keys', 'acme')
        await expect.poll(() => page.getByRole('row', { name: /acme admin.*you/ }).count()).toBe(1)
        expect(await page.content()).not.toContain('globex')
        expect(await page.getByRole('columnheader', { name: 'Whose rows' }).count()).toBe(0)
        await page.getByRole('button', { name: 'New key' }).click()
        await page.getByLabel('Name').fill('of acme')
        await page.getByLabel(/^query:/).check()
        await page.getByRole('button', { name: 'Make the key' }).click()
        expect(await meWith(await secretOf(page))).toMatchObject({ body: { tenant: 'acme' } })
        await page.close()
      })
    })

    it('say to a reader, and to a tenant’s administrator, what they would need', async () => {
      const goTo = (page: Page, path: string): Promise<unknown> =>
        page.evaluate(`history.pushState({}, '', '${path}'); dispatchEvent(new PopStateEvent('popstate'))`)
      const reader = await open('/health', 'reader')
      for (const [path, what] of [
        ['/health', 'Health is'],
        ['/jobs', 'Jobs are'],
        ['/dead-letters', 'Dead letters are'],
        ['/keys', 'Keys are'],
        ['/audit', 'The audit log is'],
      ] as const) {
        await goTo(reader, path)
        await expect
          .poll(() => reader.getByText(`${what} for administrators`).count(), { message: path })
          .toBe(1)
      }
      expect(await reader.content()).toContain('You are signed in with the scope query.')
      expect(await axe(reader)).toEqual([])
      await reader.close()
      const acme = await open('/health', 'acme')
      for (const [path, what] of [
        ['/health', 'Health is'],
        ['/jobs', 'Jobs are'],
      ] as const) {
        await goTo(acme, path)
        await expect
          .poll(() => acme.getByText(`${what} of all tenants together`).count(), { message: path })
          .toBe(1)
        expect(await acme.content()).not.toContain('globex')
      }
      await acme.close()
      expect(world.dashboard.complaints()).toEqual([])
    })

    describe('audit', () => {
      it('shows what was done, narrowed by act, outcome, actor and subject, which are in the URL', async () => {
        const page = await open('/audit')
        const rows = page.getByRole('table').getByRole('row')
        await expect.poll(() => rows.count()).toBeGreaterThan(8)
        await page.getByLabel('Act', { exact: true }).selectOption('key.revoke')
        await expect.poll(() => rows.count()).toBe(2)
        expect(new URL(page.url()).searchParams.get('act')).toBe('key.revoke')
        await page.reload()
        await expect.poll(() => rows.count()).toBe(2)
        // one entry, and from there everything that was done to the same key
        await rows.nth(1).focus()
        await page.keyboard.press('Enter')
        const detail = page.getByRole('region', { name: 'key.revoke' })
        await expect.poll(() => detail.getByText('leaked').count()).toBe(1)
        await lookAt(page, 'audit')
        await page.getByLabel('Act', { exact: true }).selectOption('')
        await rows.nth(1).click()
        await page.getByRole('button', { name: 'All that was done to it' }).click()
        await expect.poll(() => new URL(page.url()).searchParams.get('subject')).toMatch(/^\w{12}$/)
        await page.getByRole('button', { name: 'Clear' }).click()
        await page.getByLabel('Outcome').selectOption('failed')
        await expect.poll(() => page.getByText('Nothing of that kind was done').count()).toBe(1)
        expect(await axe(page)).toEqual([])
        await page.close()
      })

      it('goes on page by page without a gap or a repetition', async () => {
        await world.note(230)
        const page = await open('/audit?act=test.noted')
        const rows = page.getByRole('table').getByRole('row')
        await expect.poll(() => page.getByText('100 shown', { exact: true }).count()).toBe(1)
        await page.getByRole('button', { name: 'Load older' }).click()
        await expect.poll(() => page.getByText('200 shown', { exact: true }).count()).toBe(1)
        await page.getByRole('button', { name: 'Load older' }).press('Enter')
        await expect.poll(() => page.getByText('230 shown, and that is all').count()).toBe(1)
        expect(await rows.nth(1).textContent()).toContain('subject-229')
        await page.getByRole('region', { name: /Audit log/ }).evaluate((list) => {
          list.scrollTop = list.scrollHeight
        })
        await expect.poll(() => page.getByText('subject-0', { exact: true }).count()).toBe(1)
        await page.close()
      })

      it('of a tenant’s administrator has what was done by his tenant’s own', async () => {
        const page = await open('/audit', 'acme')
        await expect
          .poll(() => page.getByRole('row', { name: /key\.create.*acme/ }).count())
          .toBeGreaterThan(0)
        expect(await page.getByRole('row', { name: /test\.noted|every tenant/ }).count()).toBe(0)
        expect(await page.content()).not.toContain('globex')
        await page.close()
      })
    })

    describe('health', () => {
      it('has figures of queries and writes, and says of each red thing what to do', async () => {
        const page = await open('/health')
        await expect.poll(() => page.getByRole('heading', { name: 'What needs you' }).count()).toBe(1)
        const jobs = page.getByRole('listitem').filter({ has: page.getByRole('heading', { name: /^jobs/ }) })
        expect(await jobs.textContent()).toContain('the folder of the lake is read-only')
        for (const red of await page.getByRole('listitem').filter({ hasText: 'wrong' }).all())
          expect(await red.locator('a, code, p:nth-of-type(2)').count()).toBeGreaterThan(0)
        for (const title of ['Queries', 'Writes']) {
          const figures = page.locator('section', {
            has: page.getByRole('heading', { name: title, exact: true }),
          })
          expect(await figures.locator('dl').textContent()).toMatch(/p50[\d.]+\s(m?s).*p95[\d.]+.*p99[\d.]+/)
        }
        expect(await page.getByRole('img', { name: /^p95: now/ }).count()).toBeGreaterThan(0)
        await lookAt(page, 'health')
        await jobs.getByRole('link', { name: 'Open jobs' }).press('Enter')
        await expect.poll(() => page.getByRole('heading', { level: 1 }).textContent()).toBe('Jobs')
        await page.close()
      })

      it('shows slow queries with their plans, by keyboard', async () => {
        const page = await open('/health')
        const rows = page.getByRole('table', { name: /Slow queries/ }).getByRole('row')
        await expect.poll(() => rows.count()).toBeGreaterThan(1)
        await rows.nth(1).focus()
        await page.keyboard.press('Enter')
        const plan = page.getByRole('region', { name: /^app\.visits, / })
        await expect.poll(() => plan.getByRole('heading', { name: 'Plan' }).count()).toBe(1)
        expect(await plan.textContent()).toMatch(/hot|cache/)
        expect(await plan.textContent()).toContain('"bucket": "1 hour"')
        await lookAt(page, 'health-plan', ['dark'])
        await page.keyboard.press('Escape')
        await expect.poll(() => plan.count()).toBe(0)
        // the row has the focus again
        await expect.poll(() => page.locator('tr:focus').count()).toBe(1)
        await page.close()
      })
    })

    describe('jobs', () => {
      it('are shown with when they ran and come again, those that fail first, with advice', async () => {
        const page = await open('/jobs')
        const rows = page.getByRole('table').getByRole('row')
        await expect.poll(() => rows.count()).toBeGreaterThan(5)
        expect(await rows.nth(1).textContent()).toMatch(/freezeapp\.visitsfailing.*read-only/)
        expect(await page.getByRole('row', { name: /create-chunks app\.visits fine 5 min/ }).count()).toBe(1)
        await rows.nth(1).focus()
        await page.keyboard.press('Enter')
        const job = page.getByRole('region', { name: 'freeze app.visits' })
        await expect.poll(() => job.getByRole('heading', { name: 'What to do' }).count()).toBe(1)
        expect(await job.getByRole('link', { name: 'Open storage' }).getAttribute('href')).toBe(
          '/storage?dataset=app.visits',
        )
        await lookAt(page, 'jobs')
        await page.getByRole('radio', { name: /Workers/ }).click()
        await world.work()
        await expect
          .poll(() => page.getByRole('row', { name: /process \d+ alive/ }).count())
          .toBeGreaterThan(0)
        await page.close()
      })

      it('have reports beside them, which are run from there', async () => {
        await world.saveReport()
        const page = await open('/jobs?tab=reports')
        await expect.poll(() => page.getByRole('row', { name: /Visits by day/ }).count()).toBe(1)
        await page.getByRole('button', { name: 'Run visits-by-day now' }).press('Enter')
        await expect.poll(() => page.getByText(/^visits-by-day: \d+ rows? in/).count()).toBe(1)
        await expect.poll(() => page.locator('button[aria-busy]').count()).toBe(0)
        expect(await axe(page)).toEqual([])
        await shot(page, 'jobs-reports')
        expect(await world.reportRuns()).toBe(1)
        await page.close()
      })
    })
  },
)
