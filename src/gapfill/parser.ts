import { TidemarkError } from '../util/errors.ts'
import type { Node } from './tree.ts'

/** PostgreSQL's own parser (as WebAssembly) and a printer of its trees; 3 MB that are loaded when first asked for. */
export interface Parser {
  parse(text: string): Node
  print(tree: Node): string
}

let loaded: Promise<Parser> | null = null

export function loadParser(): Promise<Parser> {
  loaded ??= load()
  return loaded
}

async function load(): Promise<Parser> {
  const [{ loadModule, parseSync, SqlError }, { deparseSync }] = await Promise.all([
    import('libpg-query'),
    import('pgsql-deparser'),
  ])
  await loadModule()
  return {
    parse(text) {
      try {
        return parseSync(text) as unknown as Node
      } catch (error) {
        if (!(error instanceof SqlError)) throw error
        throw new TidemarkError(
          'TM_GAPFILL',
          { problem: `is not SQL: ${error.message}`, todo: 'correct it' },
          { cause: error },
        )
      }
    },
    print: (tree) => deparseSync(tree as Parameters<typeof deparseSync>[0]),
  }
}
