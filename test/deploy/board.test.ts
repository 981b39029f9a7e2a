import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { metricTable } from '../../src/observe/index.ts'

interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly datasource?: unknown
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[]
}

const file = fileURLToPath(new URL('../../deploy/grafana/tidemark.json', import.meta.url))
const board = JSON.parse(readFileSync(file, 'utf8')) as {
  readonly uid: string
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string }[] }
}
const expressions = board.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
)

it('the board has a row for each subject, and panels that do not lie on each other', () => {
  const rows = board.panels.filter(({ type }) => type === 'row').map(({ title }) => title)
  expect(rows).toEqual(['Traffic', 'Latency', 'Ingest', 'Storage', 'Continuous aggregates', 'Cache', 'Jobs'])
  expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length)
  const taken = new Set<string>()
  for (const { type, title, datasource, gridPos, targets = [] } of board.panels) {
    const { x, y, w, h } = gridPos
    expect(x + w, title).toBeLessThanOrEqual(24)
    for (let column = x; column < x + w; column += 1)
      for (let line = y; line < y + h; line += 1) {
        expect(taken.has(`${column} ${line}`), title).toBe(false)
        taken.add(`${column} ${line}`)
      }
    if (type === 'row') continue
    expect(datasource, title).toEqual({ type: 'prometheus', uid: `\${datasource}` })
    expect(targets.length, title).toBeGreaterThan(0)
    expect(new Set(targets.map(({ refId }) => refId)).size).toBe(targets.length)
  }
})

it('its expressions know every metric that they name, and every variable', () => {
  const metrics = Object.values(metricTable).flatMap((group) => Object.values(group))
  const names = metrics.flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_count`] : [name],
  )
  const used = new Set(expressions.flatMap(({ expr }) => expr.match(/\btidemark_\w+/g) ?? []))
  expect([...used].filter((name) => !names.includes(name))).toEqual([])
  // what is measured can be seen
  const shown = (name: string): boolean =>
    [...used].some((one) => one.replace(/_(bucket|count)$/, '') === name)
  expect(metrics.map(({ name }) => name).filter((name) => !shown(name))).toEqual([
    ...['tidemark_build_info', 'tidemark_collect_errors_total', 'tidemark_collect_duration_seconds'],
    ...['tidemark_query_read_bytes_total', 'tidemark_spool_max_bytes', 'tidemark_cache_entries'],
    ...['tidemark_lake_files', 'tidemark_lake_filesystem_size_bytes', 'tidemark_oldest_transaction_seconds'],
    ...['tidemark_change_log_entries', 'tidemark_job_runs_total', 'tidemark_job_last_run_timestamp_seconds'],
  ])
  const variables = new Set(expressions.flatMap(({ expr }) => expr.match(/\$\w+/g) ?? []))
  const declared = board.templating.list.map(({ name }) => `$${name}`)
  expect([...variables].sort()).toEqual(['$__rate_interval', '$dataset', '$instance'])
  expect(declared).toEqual(['$datasource', '$instance', '$dataset'])
})

const promtool = '/usr/bin/promtool'
if (!existsSync(promtool)) console.log(`skipped: ${promtool} is absent (apt-get install prometheus)`)

it.skipIf(!existsSync(promtool))('promtool takes each of its expressions', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-board-'))
  try {
    const rules = expressions.map(({ expr }, i) => ({
      record: `panel:${i}`,
      expr: expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$\w+/g, '.*'),
    }))
    const path = join(folder, 'board.yml')
    writeFileSync(path, JSON.stringify({ groups: [{ name: 'board', rules }] }))
    const { status, stdout, stderr } = spawnSync(promtool, ['check', 'rules', path], { encoding: 'utf8' })
    expect([stderr, status]).toEqual(['', 0])
    expect(stdout).toContain(`${rules.length} rules found`)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
