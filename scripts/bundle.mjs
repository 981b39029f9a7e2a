// What runs in browsers, each in one small file. dist/tracker/ holds the types of these files.
// node scripts/bundle.mjs [folder, by default dist/browser]
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = process.argv[2] ?? join(root, 'dist/browser')
const builds = [
  { from: 'src/tracker/index.ts', to: 'tracker.js', format: 'esm' },
  { from: 'src/tracker/vitals/index.ts', to: 'vitals.js', format: 'esm' },
  { from: 'src/tracker/script.ts', to: 'tracker.script.js', format: 'iife' },
]

for (const { from, to, format } of builds) {
  await build({
    entryPoints: [join(root, from)],
    outfile: join(folder, to),
    bundle: true,
    minify: true,
    format,
    platform: 'browser',
    target: 'es2020',
  })
}
