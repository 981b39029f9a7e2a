import { expect, it } from 'vitest'
import { type MetricDefinition, metricTable } from '../../src/observe/index.ts'

const titles = {
  server: 'Server',
  traffic: 'Traffic',
  queries: 'Queries',
  ingest: 'Ingest',
  cache: 'Cache',
  storage: 'Storage',
  aggregates: 'Continuous aggregates',
  jobs: 'Jobs and alarms',
} satisfies Record<keyof typeof metricTable, string>

/** `npx vitest run --project unit test/docs -u` writes the page anew. */
it('docs/reference/metrics.md lists every metric as the server has it', async () => {
  const page = [
    '# Metrics',
    '',
    'What `GET /metrics` answers ([observing](../guide/observing.md)), beside the metrics of the process that `prom-client` has for every',
    'Node.js program (`process_…`, `nodejs_…`). Where a metric is read from: *process* is counted by this server; *catalog* is of the',
    'database, the same from every server, and absent while it cannot be read.',
    '',
    ...Object.entries(metricTable).flatMap(([group, metrics]) => [
      `## ${titles[group as keyof typeof metricTable]}`,
      '',
      '| metric | type | labels | of | |',
      '| --- | --- | --- | --- | --- |',
      ...Object.values<MetricDefinition>(metrics).map(
        ({ name, type, labels, of, help }) =>
          `| \`${name}\` | ${type} | ${labels.map((label) => `\`${label}\``).join(', ')} | ${of} | ${help} |`,
      ),
      '',
    ]),
  ].join('\n')
  await expect(page).toMatchFileSnapshot('../../docs/reference/metrics.md')
})
