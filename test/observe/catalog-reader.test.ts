import { expect, it } from 'vitest'
import { CatalogReader } from '../../src/observe/catalog-reader.ts'

const found = { server: null, storage: null, aggregates: null, work: null, lakeFolder: null, errors: [] }

it('whoever asks within some seconds shares one reading, also while it goes on', async () => {
  let readings = 0
  const gauges = async () => {
    readings += 1
    return found
  }
  const patient = new CatalogReader({ tm: { gauges } })
  const [first, second] = await Promise.all([patient.read(), patient.read()])
  expect(await patient.read()).toBe(first)
  expect([second, readings]).toEqual([first, 1])
  const eager = new CatalogReader({ tm: { gauges }, maxAgeMs: 0 })
  await eager.read()
  await expect.poll(async () => (await eager.read()) && readings).toBeGreaterThan(2)
})

it('a reading that hangs is given up, and told to stop', async () => {
  let isTold = false
  const gauges = ({ signal }: { signal?: AbortSignal | null } = {}) =>
    new Promise<never>(() => signal?.addEventListener('abort', () => (isTold = true)))
  const reader = new CatalogReader({ tm: { gauges }, timeoutMs: 20 })
  expect(await reader.read()).toMatchObject({ gauges: null })
  expect(isTold).toBe(true)
})
