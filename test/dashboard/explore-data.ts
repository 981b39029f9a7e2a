import { join } from 'node:path'
import type { Locator, Page } from 'playwright-core'
import { expect } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import type { Tidemark } from '../../src/engine.ts'
import { count, uniques } from '../../src/query/index.ts'
import { defineConfig, hypertable, t } from '../../src/schema/index.ts'
import { hasSharedData, sharedDataFolder } from '../helpers/shared-data.ts'

/** What the tests of Explore look at: a real log in both tiers and in an aggregate, 100,000 readings, and rows of now. */

export const events = hypertable('shared.aider_events', {
  columns: { time: t.timestamptz(), event: t.text(), userId: t.text().nullable(), properties: t.jsonb() },
  time: 'time',
  chunk: '1 year',
})
export const daily = continuousAggregate('shared.daily_events', {
  from: events,
  bucket: '1 day',
  by: ['event'],
  select: { events: count(), users: uniques('userId') },
})
export const sensor = hypertable('demo.sensor', {
  columns: { time: t.timestamptz(), celsius: t.float8() },
  time: 'time',
  chunk: '1 year',
})
export const live = hypertable('demo.live', {
  columns: { time: t.timestamptz(), name: t.text(), ms: t.float8() },
  time: 'time',
})
export const config = defineConfig({ datasets: [events, daily, sensor, live] })

export const points = 100_000
export const sensorStart = Date.parse('2026-01-01T00:00:00Z')
export const celsius = (i: number): number => 12 + 8 * Math.sin(i / 230) + Math.sin(i * 12.9898)

/** Where the data sets are absent: as many rows of the same form, so that every promise is looked at all the same. */
function madeUp() {
  const start = Date.parse('2024-08-13T14:40:31Z')
  const names = ['message_send', 'command_add', 'exit', 'launched']
  return Array.from({ length: 20_000 }, (_, i) => {
    const properties: Record<string, string | number> =
      i % 4 === 0 ? { main_model: i % 3 ? 'a' : 'b', total_tokens: (i * 37) % 5000 } : {}
    const time = new Date(start + i * 2_680_000).toISOString()
    return { time, event: names[(i * 7) % 4] as string, userId: `u${i % 15}`, properties }
  })
}

export const search = (params: Record<string, string | readonly string[] | object>): string => {
  const all = new URLSearchParams()
  for (const [name, value] of Object.entries(params))
    for (const one of Array.isArray(value) ? value : [value])
      all.append(name, typeof one === 'string' ? one : JSON.stringify(one))
  return `/explore?${all}`
}

export async function loadExploreData(tm: Tidemark<typeof config>): Promise<void> {
  if (hasSharedData)
    await tm.import('shared.aider_events', join(sharedDataFolder, 'web/aider_events.jsonl.gz'))
  else await tm.insert(events, madeUp())
  await tm.freeze('shared.aider_events', { to: '2025-01-01T00:00:00Z' })
  await tm.refresh('shared.daily_events')
  for (let at = 0; at < points; at += 20_000)
    await tm.insert(
      sensor,
      Array.from({ length: 20_000 }, (_, i) => ({
        time: new Date(sensorStart + (at + i) * 60_000),
        celsius: celsius(at + i),
      })),
    )
  const now = Date.now()
  await tm.insert(
    live,
    Array.from({ length: 100 }, (_, i) => ({
      time: new Date(now - i * 20_000),
      name: i % 2 ? 'a' : 'b',
      ms: i,
    })),
  )
}

export const rows = { fn: 'count' }
export const wide = { dataset: events.name, from: '2024-08-01', to: '2026-05-01', bucket: '1 month' }
export const param = (page: Page, name: string): string[] => new URL(page.url()).searchParams.getAll(name)
export const chart = (page: Page): Locator => page.getByRole('slider')
export const status = (page: Page): Locator => page.getByRole('status').filter({ hasText: 'rows of answer' })
export const digits = (text: string): string => text.replace(/[\s\u202f\u00a0]/g, '')
export const drawn = async (page: Page): Promise<void> => {
  await expect.poll(() => chart(page).count()).toBe(1)
  await expect.poll(() => status(page).count()).toBe(1)
}

/** The wheel zooms in and out over the chart, once a frame: how long each frame took in ms, ascending. */
export async function zoomFrames(page: Page): Promise<number[]> {
  return (await page.evaluate(`(async () => {
    const over = document.querySelector('.u-over')
    const { left, top, width, height } = over.getBoundingClientRect()
    const times = []
    let last = performance.now()
    for (let i = 0; i < 60; i++) {
      over.dispatchEvent(new WheelEvent('wheel', { bubbles: true, cancelable: true, ctrlKey: true,
        deltaY: i < 30 ? -1 : 1, clientX: left + width / 2, clientY: top + height / 2 }))
      await new Promise(requestAnimationFrame)
      const now = performance.now()
      times.push(now - last)
      last = now
    }
    return times.sort((a, b) => a - b)
  })()`)) as number[]
}
