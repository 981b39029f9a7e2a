import { spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const exported = Object.keys(
  (JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { exports: Record<string, unknown> })
    .exports,
).filter((path) => path !== './package.json')

let folder: string
function run(command: string, args: readonly string[], cwd: string): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0)
    throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${stdout}\n${stderr}`)
  return stdout
}

/** The packed tarball in an empty folder, as a user has it. Built from a copy: the checkout's own dist stays as it is. */
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-package-'))
  const copy = join(folder, 'source')
  for (const name of [
    'src',
    'sql',
    'deploy',
    'scripts',
    'dashboard',
    'package.json',
    'README.md',
    'LICENSE',
    'tsconfig.json',
    'tsconfig.build.json',
  ]) {
    cpSync(join(root, name), join(copy, name), { recursive: true })
  }
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  // the build as it is, but for the types: test/code.test.ts checks them
  run('npm', ['run', '--silent', 'build', '--', '--noCheck'], copy)
  const [packed] = JSON.parse(
    run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], copy),
  ) as [{ filename: string }]
  const app = join(folder, 'app')
  mkdirSync(app)
  writeFileSync(join(app, 'package.json'), '{"name":"app","private":true,"type":"module"}')
  run(
    'npm',
    [
      'install',
      '--no-audit',
      '--no-fund',
      '--omit=optional',
      '--prefer-offline',
      join(folder, packed.filename),
    ],
    app,
  )
}, 240_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('the packed package', () => {
  it('resolves every export in an empty folder', () => {
    const app = join(folder, 'app')
    const script = exported
      .map(
        (path) =>
          `console.log(${JSON.stringify(path)}, Object.keys(await import('tidemark${path.slice(1)}')).length > 0)`,
      )
      .join('\n')
    writeFileSync(join(app, 'exports.mjs'), script)
    expect(run('node', ['exports.mjs'], app).trim().split('\n')).toEqual(
      exported.map((path) => `${path} true`),
    )
  })

  it('has a command that starts, with the migrations beside it', () => {
    const app = join(folder, 'app')
    expect(run('npx', ['tidemark', '--version'], app).trim()).toMatch(/^\d+\.\d+\.\d+$/)
    expect(run('ls', ['node_modules/tidemark/sql'], app)).toContain('000001_catalog.sql')
  })

  it('brings the board of Grafana and the alerts of Prometheus, as docs/guide/observing.md names them', () => {
    const app = join(folder, 'app')
    const guide = readFileSync(join(root, 'docs/guide/observing.md'), 'utf8')
    const named = [...guide.matchAll(/node_modules\/tidemark\/deploy\/[\w./-]*\w/g)].map(([path]) => path)
    expect(named).toHaveLength(2)
    for (const path of named)
      expect(readFileSync(join(app, path), 'utf8')).toBe(
        readFileSync(join(root, path.replace('node_modules/tidemark/', '')), 'utf8'),
      )
  })

  it('loads no module that only the sources have', () => {
    // every literal of import, export … from and import(): tsc leaves some of them as they are in the source
    const dist = join(folder, 'app/node_modules/tidemark/dist')
    const compiled = readdirSync(dist, { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.endsWith('.js'),
    )
    expect(compiled.length).toBeGreaterThan(50)
    const left = compiled.filter((name) =>
      /(?:\bfrom\s*|\bimport\s*\(?\s*)['"]\.{1,2}\/[^'"]*\.ts['"]/.test(
        readFileSync(join(dist, name), 'utf8'),
      ),
    )
    expect(left).toEqual([])
  })

  it('gives its types to a strict project', () => {
    const app = join(folder, 'app')
    writeFileSync(
      join(app, 'main.ts'),
      `import { count, createTidemark, percentile } from 'tidemark'
import { createClient } from 'tidemark/client'
import { defineConfig, hypertable, t } from 'tidemark/schema'
import { createTracker } from 'tidemark/tracker'
import { trackVitals } from 'tidemark/tracker/vitals'
const cpu = hypertable('cpu', { columns: { time: t.timestamptz(), usage: t.float8() }, time: 'time' })
const tm = await createTidemark(defineConfig({ datasets: [cpu] }), { connectionString: 'postgres://localhost/x' })
const { rows } = await tm.query(cpu, { bucket: '1 hour', select: { n: count(), p: percentile('usage', 0.5) } })
const n: number | undefined = rows[0]?.n
const p: number | null | undefined = rows[0]?.p
// @ts-expect-error there is no such column
await tm.query(cpu, { select: { p: percentile('usag', 0.5) } })
const config = defineConfig({ datasets: [cpu] })
const client = createClient<typeof config>({ url: 'http://localhost:4680' })
await client.insert('public.cpu', [{ time: new Date(), usage: 1 }])
// @ts-expect-error there is no such column
await client.insert('public.cpu', [{ time: new Date(), usag: 1 }])
trackVitals(createTracker({ url: '/api/v1/analytics' }))
console.log(n, p)
`,
    )
    writeFileSync(
      join(app, 'tsconfig.json'),
      JSON.stringify({
        compilerOptions: {
          strict: true,
          module: 'nodenext',
          target: 'es2022',
          types: [],
          skipLibCheck: true,
          noEmit: true,
        },
        files: ['main.ts'],
      }),
    )
    expect(
      run('node', [join(root, 'node_modules/typescript/bin/tsc'), '-p', '.', '--pretty', 'false'], app),
    ).toBe('')
  })
})
