// What runs in browsers, each in one small file. dist/tracker/ holds the types of these files.
// node scripts/bundle.mjs [folder, by default dist/browser]
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'rolldown'

const root = fileURLToPath(new URL('..', import.meta.url))
const folder = process.argv[2] ?? join(root, 'dist/browser')
const builds = [
  { from: 'src/tracker/index.ts', to: 'tracker.js', format: 'esm' },
  { from: 'src/tracker/vitals/index.ts', to: 'vitals.js', format: 'esm' },
  { from: 'src/tracker/script.ts', to: 'tracker.script.js', format: 'iife' },
]

for (const { from, to, format } of builds) {
  await build({
    input: join(root, from),
    platform: 'browser',
    transform: { target: 'es2020' },
    logLevel: 'warn',
    output: { file: join(folder, to), format, minify: true },
  })
}
