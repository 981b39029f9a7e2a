import { startEmbedded } from '../../src/postgres/embedded/index.ts'

/** Run as a process of its own: `embedded-child '<options as JSON>' [handle-sigterm]`. */
const [, , options, mode] = process.argv
if (mode === 'handle-sigterm')
  process.on('SIGTERM', () => {
    process.stdout.write('handled\n')
    process.exit(7)
  })
try {
  const server = await startEmbedded(JSON.parse(options!))
  process.stdout.write(`${JSON.stringify({ ...server, user: process.getuid?.() })}\n`)
  setInterval(() => {}, 60_000)
} catch (error) {
  const { code, message } = error as { code?: string; message: string }
  process.stdout.write(`${JSON.stringify({ code, message })}\n`)
  process.exit(1)
}
