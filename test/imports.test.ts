import { readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { describe, expect, it } from 'vitest'

const root = fileURLToPath(new URL('..', import.meta.url))
const src = join(root, 'src')

/**
 * Who may import whom: each folder of src and the folders below it. `util` and `time` are ground for all.
 * A new arrow is a decision: add it here together with its reason in docs/decisions/.
 */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  util: [],
  time: ['util'],
  schema: ['time', 'util'],
  aggregate: ['schema', 'time', 'util'],
  query: ['aggregate', 'schema', 'time', 'util'],
  postgres: ['time', 'util'],
  changelog: ['postgres', 'schema', 'time', 'util'],
  migrate: ['changelog', 'postgres', 'schema', 'time', 'util'],
  hot: ['aggregate', 'changelog', 'migrate', 'postgres', 'query', 'schema', 'time', 'util'],
  lake: ['aggregate', 'postgres', 'query', 'schema', 'time', 'util'],
  ingest: ['hot', 'lake', 'postgres', 'schema', 'time', 'util'],
  // moves rows between the two, so it knows both
  lifecycle: ['changelog', 'hot', 'lake', 'migrate', 'postgres', 'query', 'schema', 'time', 'util'],
  // cells of continuous aggregates: their table, refresh and tier
  continuous: ['aggregate', 'changelog', 'hot', 'migrate', 'postgres', 'query', 'schema', 'time', 'util'],
  // rows of many callers at once, on their way into the hot writer
  pipeline: ['hot', 'ingest', 'postgres', 'schema', 'time', 'util'],
  worker: [
    'access',
    'changelog',
    'continuous',
    'hot',
    'lifecycle',
    'migrate',
    'pipeline',
    'postgres',
    'reports',
    'schema',
    'time',
    'util',
  ],
  // rows by their key: read, written and compared one by one
  records: ['hot', 'postgres', 'query', 'schema', 'time', 'util'],
  // queries as SQL that people read: of the same parts as that of aggregates and of what is hot
  'query-text': ['aggregate', 'continuous', 'hot', 'query', 'schema', 'time', 'util'],
  // text of SQL in, text of SQL out
  gapfill: ['util'],
  // questions that need events one by one; it is handed the place where they are
  product: ['query', 'schema', 'time', 'util'],
  // bytes of other systems' protocols in, rows of declared datasets out
  protocols: ['schema', 'time', 'util'],
  // steps that add columns to rows
  enrich: ['schema', 'util'],
  // what the engine's calls take and give, and what they share
  engine: [
    'continuous',
    'enrich',
    'gapfill',
    'hot',
    'ingest',
    'lifecycle',
    'pipeline',
    'postgres',
    'product',
    'query',
    'query-text',
    'records',
    'schema',
    'time',
    'util',
  ],
  // the engine is the only file that knows every tier
  'engine.ts': [
    'access',
    'boards',
    'engine',
    'aggregate',
    'changelog',
    'continuous',
    'feed',
    'gapfill',
    'hot',
    'ingest',
    'lake',
    'lifecycle',
    'migrate',
    'ops',
    'pipeline',
    'postgres',
    'product',
    'query',
    'records',
    'reports',
    'schema',
    'time',
    'util',
    'worker',
  ],
  'index.ts': [
    'access',
    'engine',
    'engine.ts',
    'scoped.ts',
    'aggregate',
    'continuous',
    'lifecycle',
    'pipeline',
    'postgres',
    'product',
    'query',
    'records',
    'schema',
    'time',
    'util',
  ],
  // the engine as somebody may use it
  'scoped.ts': ['engine.ts', 'engine', 'schema', 'util'],
  // who asks, and what he may
  access: ['postgres', 'schema', 'time', 'util'],
  // metrics and logs, made of what the engine tells
  observe: ['access', 'client', 'engine', 'engine.ts', 'schema', 'util', 'worker'],
  // what has changed, told to this process
  feed: ['changelog', 'hot', 'postgres', 'schema', 'time', 'util'],
  // finished answers, and what makes them wrong
  cache: ['access', 'feed', 'query', 'schema', 'time', 'util'],
  // saved queries, asked on a schedule; they are handed the engine
  reports: ['postgres', 'query', 'schema', 'time', 'util'],
  // panels of queries that people keep, and links to them; they are handed what is declared
  boards: ['access', 'postgres', 'query', 'schema', 'time', 'util'],
  // keeps answers up to date; it is handed the engine as somebody may use it
  live: ['feed', 'query', 'schema', 'time', 'util'],
  // decodes protocols, as it parses JSON
  api: [
    'access',
    'boards',
    'cache',
    'client',
    'engine.ts',
    'live',
    'observe',
    'product',
    'protocols',
    'query',
    'records',
    'reports',
    'schema',
    'scoped.ts',
    'time',
    'util',
  ],
  // what runs in browsers: nothing of it may reach the server's code; of these the client knows only types, of util what is free of it
  client: ['boards', 'product', 'util', 'query', 'schema'],
  tracker: [],
  // what it tells travels as the client's types say
  ops: [
    'changelog',
    'client',
    'continuous',
    'hot',
    'lake',
    'lifecycle',
    'migrate',
    'postgres',
    'schema',
    'time',
    'util',
  ],
  cli: [
    'boards',
    'reports',
    'access',
    'continuous',
    'engine',
    'engine.ts',
    'api',
    'ingest',
    'lifecycle',
    'migrate',
    'observe',
    'ops',
    'pipeline',
    'postgres',
    'product',
    'query',
    'schema',
    'time',
    'util',
    'worker',
  ],
}

/** Packages that one folder alone may know. */
const soleImporter: Readonly<Record<string, string>> = {
  'd3-scale': 'reports',
  'd3-shape': 'reports',
  pg: 'postgres',
  '@redis/client': 'cache',
  '@duckdb/node-api': 'lake',
  fastify: 'api',
  'prom-client': 'observe',
  pino: 'observe',
  '@fastify/swagger': 'api',
  'libpg-query': 'gapfill',
  'pgsql-deparser': 'gapfill',
  typebox: 'api',
  commander: 'cli',
  jose: 'access',
  picocolors: 'cli',
  bowser: 'enrich',
  'mmdb-lib': 'enrich',
}

interface Import {
  readonly from: string
  readonly specifier: string
  readonly target: string | null
}

const files = listFiles(src)
const imports = files.flatMap(importsOf)

describe('the import graph', () => {
  it('has no cycle', () => {
    const graph = new Map<string, string[]>()
    for (const file of files) graph.set(file, [])
    for (const entry of imports) if (entry.target) graph.get(entry.from)?.push(entry.target)
    expect(findCycle(graph)).toEqual([])
  })

  it('keeps the table of who may import whom', () => {
    const wrong = imports
      .filter((entry) => entry.target)
      .map((entry) => ({ from: folderOf(entry.from), to: folderOf(entry.target as string), entry }))
      .filter(({ from, to }) => from !== to && !(mayImport[from] ?? []).includes(to))
      .map(({ entry }) => `${name(entry.from)} imports ${name(entry.target as string)}`)
    expect(wrong).toEqual([])
  })

  it('enters a folder only through its index.ts', () => {
    const wrong = imports
      .filter((entry) => entry.target && folderOf(entry.from) !== folderOf(entry.target))
      .filter((entry) => {
        const target = name(entry.target as string)
        const folder = folderOf(entry.target as string)
        if (folder.endsWith('.ts') || folder === 'util') return false
        return !/^[^/]+(\/[^/]+)?\/index\.ts$/.test(target)
      })
      .map((entry) => `${name(entry.from)} imports ${name(entry.target as string)}`)
    expect(wrong).toEqual([])
  })

  it('lets one folder alone know each heavy package', () => {
    const wrong = imports
      .filter((entry) => !entry.target)
      .map((entry) => ({ entry, owner: soleImporter[packageOf(entry.specifier)] }))
      .filter(({ entry, owner }) => owner && folderOf(entry.from) !== owner)
      .map(({ entry }) => `${name(entry.from)} imports ${entry.specifier}`)
    expect(wrong).toEqual([])
  })

  it('reads the environment only in the command line', () => {
    const comment = /\/\*[\s\S]*?\*\/|\/\/.*/g
    const wrong = files
      .filter((file) => folderOf(file) !== 'cli')
      .filter((file) => /\bprocess\.env\b/.test(readFileSync(file, 'utf8').replace(comment, '')))
      .map(name)
    expect(wrong).toEqual([])
  })

  it('knows every folder', () => {
    expect([...new Set(files.map(folderOf))].filter((folder) => !(folder in mayImport))).toEqual([])
  })
})

function listFiles(folder: string): string[] {
  return readdirSync(folder).flatMap((entry) => {
    const path = join(folder, entry)
    if (statSync(path).isDirectory()) return listFiles(path)
    return path.endsWith('.ts') ? [path] : []
  })
}

function importsOf(file: string): Import[] {
  return ts.preProcessFile(readFileSync(file, 'utf8'), true, true).importedFiles.map(({ fileName }) => ({
    from: file,
    specifier: fileName,
    target: fileName.startsWith('.') ? resolve(dirname(file), fileName) : null,
  }))
}

function name(file: string): string {
  return relative(src, file)
}

function folderOf(file: string): string {
  return name(file).split('/')[0] as string
}

function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>()
  const path: string[] = []
  const visit = (node: string): string[] | null => {
    const at = path.indexOf(node)
    if (at >= 0) return [...path.slice(at), node].map(name)
    if (done.has(node)) return null
    path.push(node)
    for (const next of graph.get(node) ?? []) {
      const cycle = visit(next)
      if (cycle) return cycle
    }
    path.pop()
    done.add(node)
    return null
  }
  for (const node of graph.keys()) {
    const cycle = visit(node)
    if (cycle) return cycle
  }
  return []
}
