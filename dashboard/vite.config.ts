import { fileURLToPath } from 'node:url'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

const from = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** `TIDEMARK_URL` is the server that `npm run dev -w dashboard` speaks to. */
const server = process.env['TIDEMARK_URL'] ?? 'http://127.0.0.1:4680'

export default defineConfig({
  root: from('.'),
  plugins: [react()],
  // the one door of the package that pages may use: ../docs/decisions/0022-dashboard.md
  resolve: { alias: { 'tidemark/client': from('../src/client/index.ts') } },
  build: {
    outDir: from('../dist/dashboard'),
    emptyOutDir: true,
    target: 'es2022',
    // a data: URL in CSS or script is what the Content-Security-Policy forbids
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: {
    host: '127.0.0.1',
    proxy: { '/api': { target: server, ws: true }, '/openapi.json': server, '/metrics': server },
  },
})
