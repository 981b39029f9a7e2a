import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const pages = ['README.md', 'CONTRIBUTING.md', 'CHANGELOG.md']
for (const folder of ['docs', 'examples']) {
  for (const name of readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.md') && !name.includes('.tidemark')) pages.push(join(folder, name))
  }
}

it('every link between pages leads to a file', () => {
  const broken = pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)]
      .map((match) => match[1] as string)
      .filter((target) => !existsSync(join(root, dirname(page), target)))
      .map((target) => `${page}: ${target}`),
  )
  expect(broken).toEqual([])
})

it('every page is reached from the README', () => {
  const reached = new Set<string>()
  const visit = (page: string): void => {
    if (reached.has(page) || !existsSync(join(root, page))) return
    reached.add(page)
    for (const [, target] of readFileSync(join(root, page), 'utf8').matchAll(
      /\]\((?!https?:|#)([^)#]+\.md)(?:#[^)]*)?\)/g,
    )) {
      visit(join(dirname(page), target as string))
    }
  }
  visit('README.md')
  expect(pages.filter((page) => !reached.has(page))).toEqual([])
})
