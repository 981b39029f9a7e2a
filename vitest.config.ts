import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'
import { SummaryReporter } from './test/helpers/reporter.ts'

/**
 * Lanes: `unit` is everything without a database. `*.pg.test.ts` run once on the embedded PostgreSQL 18 and once on
 * Debian's 15; with DATABASE_URL they run on that server instead.
 */
const skipped: string[] = []
const lanes: string[] = []
if (process.env['DATABASE_URL']) lanes.push('pg-url')
else {
  lanes.push('pg18')
  if (existsSync('/usr/lib/postgresql/15/bin/postgres')) lanes.push('pg15')
  else
    skipped.push(
      'skipped lane pg15: /usr/lib/postgresql/15/bin/postgres is absent (apt-get install postgresql-15)',
    )
}

/** The package's own doors, as the examples import them: the sources, never what was built last. */
const alias = [
  ['tidemark', 'src/index.ts'],
  ['tidemark/schema', 'src/schema/index.ts'],
  ['tidemark/server', 'src/api/index.ts'],
  ['tidemark/embedded', 'src/postgres/embedded/index.ts'],
  ['tidemark/client', 'src/client/index.ts'],
  ['tidemark/tracker', 'src/tracker/index.ts'],
  ['tidemark/tracker/vitals', 'src/tracker/vitals/index.ts'],
  ['tidemark/terminal', 'src/cli/terminal.ts'],
  ['tidemark/enrich', 'src/enrich/index.ts'],
].map(([door, file]) => ({
  find: new RegExp(`^${door}$`),
  replacement: fileURLToPath(new URL(file as string, import.meta.url)),
}))

/**
 * What stands on the engine and knows no SQL of its own, or drives other programs for long: on one server only, where there are two.
 * Whatever speaks with PostgreSQL runs on each.
 */
const onOneServer = [
  'test/cli/**',
  'test/cache/**',
  'test/bench/**',
  'test/dashboard/**',
  'test/api/ingest-in-trouble.pg.test.ts',
  'test/api/prometheus.pg.test.ts',
]

const shared = {
  exclude: ['**/node_modules/**', '**/dist/**'],
  // for a machine with much else to do; a test that hangs is found, too
  testTimeout: 60_000,
  hookTimeout: 60_000,
  // conditions are waited for as long as a busy machine needs, and looked at often
  expect: { poll: { timeout: 20_000, interval: 20 } },
  // A process runs many files and loads each module once; one for each file took an eighth of the whole run. What a file
  // leaves open is put away by its hooks and by setup.ts; nothing in src/ is kept at the level of a module but tables.
  isolate: false,
  setupFiles: ['test/helpers/setup.ts'],
}

export default defineConfig({
  test: {
    reporters: ['default', new SummaryReporter(skipped)],
    // The machine's cores are shared with the PostgreSQL servers that the tests drive.
    maxWorkers: 2,
    projects: [
      {
        resolve: { alias },
        test: {
          ...shared,
          name: 'unit',
          include: ['test/**/*.test.ts', 'src/**/*.test.ts'],
          exclude: [...shared.exclude, '**/*.pg.test.ts'],
        },
      },
      ...lanes.map((name, i) => ({
        resolve: { alias },
        test: {
          ...shared,
          name,
          include: ['test/**/*.pg.test.ts'],
          exclude: [...shared.exclude, ...(i === 0 ? [] : onOneServer)],
          globalSetup: ['test/helpers/global-setup.ts'],
        },
      })),
    ],
  },
})
