// ClickHouse inside of a process (npm chdb), which reads the file of tab-separated rows by itself. 543 MB, so it is no dependency:
// BENCH_MODULES names a folder in which `npm install --ignore-scripts chdb` was run.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { usages } from '../tsbs.mjs'
import { obey, usedMs } from './children.mjs'

const { dir, file } = JSON.parse(process.argv[2])
const { Session } = createRequire(join(process.env.BENCH_MODULES, 'package.json'))('chdb')
const session = new Session(join(dir, 'chdb'))
const columns = `time DateTime64(3, 'UTC'), hostname String, ${usages.map((name) => `${name} Float64`).join(', ')}`
session.query('create database if not exists bench engine = Atomic')
session.query(`create table bench.cpu (${columns}) engine = MergeTree order by (hostname, time)`)

obey(
  { version: String(session.query('select version()', 'TabSeparated')).trim() },
  {
    clear: () => void session.query('truncate table bench.cpu'),
    load() {
      const [startedAt, usedBefore] = [performance.now(), usedMs()]
      session.query(`
        insert into bench.cpu select * from file('${file}', 'TabSeparated', '${columns.replaceAll("'", "\\'")}')
        settings date_time_input_format = 'best_effort'`)
      return { ms: performance.now() - startedAt, usedMs: usedMs() - usedBefore }
    },
    check() {
      const found = session.query(
        `select count(), toInt64(sum(${usages.join(' + ')})) from bench.cpu`,
        'TabSeparated',
      )
      const [rows, total] = String(found).trim().split('\t').map(Number)
      return { rows, total }
    },
    stop: () => session.close(),
  },
)
