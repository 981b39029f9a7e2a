import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createJiti } from 'jiti'
import { describe, expect, test } from 'vitest'
import { continuousAggregate } from '../../src/continuous/index.ts'
import {
  columnTypes,
  configDefaults,
  defineConfig,
  hypertable,
  type TidemarkConfig,
  table,
} from '../../src/schema/index.ts'

const page = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
const reference = page('reference/declaring.md')

/** An option that is like none makes the error list all of them. */
function optionsOf(declare: (options: never) => unknown): string[] {
  try {
    declare({ qqqqqqqqqqqqqqqqqqqqqqqq: 1 } as never)
  } catch (error) {
    return (/known: (.*)/.exec((error as Error).message)?.[1] ?? '').split(', ')
  }
  return []
}

describe('docs/reference/declaring.md names', () => {
  test('every option', () => {
    const options = [
      ...optionsOf((o) => hypertable('x', o)),
      ...optionsOf((o) => table('x', o)),
      ...optionsOf((o) => continuousAggregate('x', o)),
      ...optionsOf((o) => defineConfig(o)),
    ]
    expect(options.length).toBeGreaterThan(20)
    const sections = [
      'database',
      'lake',
      'cache',
      'shadow',
      'ingest',
      'records',
      'server',
      'worker',
      'limits',
    ]
    for (const option of options) {
      const isNamed = sections.includes(option)
        ? reference.includes(`| \`${option}.`)
        : new RegExp(`\`${option}(: \\{[^\`]*)?\``).test(reference)
      expect(isNamed, option).toBe(true)
    }
    for (const section of sections) {
      for (const option of optionsOf((o) => defineConfig({ datasets: [], [section]: o } as never))) {
        expect(reference, `${section}.${option}`).toContain(`\`${section}.${option}\``)
      }
    }
  })

  test('every column type', () => {
    for (const type of columnTypes) {
      expect(reference).toContain(`t.${type === 'text[]' ? 'textArray' : type}`)
      expect(reference).toContain(` ${type}`)
    }
  })

  test('the defaults that hold', () => {
    const row = (option: string): string =>
      reference.split('\n').find((line) => line.includes(`\`${option}\``)) ?? ''
    const { limits } = configDefaults
    expect(row('limits.maxRows')).toContain(limits.maxRows.toLocaleString('en-US'))
    expect(row('limits.maxCells')).toContain(limits.maxCells.toLocaleString('en-US'))
    expect(row('limits.maxBuckets')).toContain(limits.maxBuckets.toLocaleString('en-US'))
    expect(row('limits.maxAnswerBytes')).toContain(`${limits.maxAnswerBytes / 2 ** 20} MiB`)
    expect(row('limits.maxBodyBytes')).toContain(`${limits.maxBodyBytes / 2 ** 20} MiB`)
    expect(row('limits.queryTimeout')).toContain(`'${limits.queryTimeoutMs / 1000}s'`)
    expect(row('worker.every')).toContain(`'${configDefaults.worker.everyMs / 1000}s'`)
    const days = (ms: number): string => `'${ms / 86_400_000} days'`
    expect(row('lake.keepDropped')).toContain(days(configDefaults.lake.keepDroppedMs))
    expect(row('lake.keepStray')).toContain(`'${configDefaults.lake.keepStrayMs / 3_600_000} hours'`)
    expect(row('lake.summaryShare')).toContain(`${configDefaults.lake.summaryShare}`)
    expect(row('lake.summaryMemory')).toContain(`${configDefaults.lake.summaryMemoryBytes / 2 ** 20} MiB`)
    expect(row('cache.memory')).toContain(`${configDefaults.cache.memoryBytes / 2 ** 20} MiB`)
    expect(row('shadow.timeout')).toContain(`'${configDefaults.shadow.timeoutMs / 1000}s'`)
    expect(row('database.maxConnections')).toContain(`| ${configDefaults.database.maxConnections} |`)
    expect(row('server.slowQuery')).toContain(`'${configDefaults.server.slowQueryMs}ms'`)
    expect(row('server.metrics')).toContain(`'${configDefaults.server.metrics}'`)
    expect(row('server.logLevel')).toContain(`'${configDefaults.server.logLevel}'`)
    expect(row('server.host')).toContain(`'${configDefaults.server.host}'\`, ${configDefaults.server.port}`)
  })
})

test('the configuration of docs/guide/declaring.md loads as it stands there', async () => {
  const source = /```ts\n([\s\S]*?)```/.exec(page('guide/declaring.md'))?.[1] as string
  const jiti = createJiti(import.meta.url, {
    alias: { 'tidemark/schema': fileURLToPath(new URL('../../src/schema/index.ts', import.meta.url)) },
    fsCache: false,
  })
  const loaded = (await jiti.evalModule(source, {
    async: true,
    filename: fileURLToPath(new URL('./tidemark.config.ts', import.meta.url)),
    ext: '.ts',
  })) as {
    default: TidemarkConfig
  }
  expect(loaded.default.datasets.map((d) => d.name)).toEqual(['metrics.llm_requests', 'metadata.models'])
  expect(loaded.default.views.map((v) => v.name)).toEqual(['analytics.recent'])
})
