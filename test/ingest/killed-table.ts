import { defineConfig, hypertable, t } from '../../src/schema/index.ts'

/** Without a key: nothing but the import itself keeps a row from coming in twice. */
export const killed = hypertable('import.killed', {
  columns: { time: t.timestamptz(), number: t.int4(), text: t.text() },
  time: 'time',
  chunk: '1 day',
})

export const killedConfig = defineConfig({ datasets: [killed], lake: { dir: 'lake', threads: 1 } })
