import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { boardText, fileName, readBoardText } from '../../dashboard/src/pages/boards/board-file.ts'
import {
  copyName,
  type Draft,
  draftOf,
  freshId,
  withDuplicate,
  withoutPanel,
  withPanel,
  withPanels,
  withWords,
} from '../../dashboard/src/pages/boards/document.ts'
import { began, did, redone, undone } from '../../dashboard/src/pages/boards/history.ts'
import { arrange, overlaps } from '../../dashboard/src/pages/boards/layout.ts'
import { differences, merged } from '../../dashboard/src/pages/boards/merge.ts'
import type { Panel } from '../../src/client/index.ts'

const panel = (id: string, x: number, y: number, more: Partial<Panel> = {}): Panel => ({
  id,
  title: id.toUpperCase(),
  chart: 'line',
  place: { x, y, w: 6, h: 4 },
  query: { dataset: 'metrics.requests', bucket: '1 hour', select: { n: { fn: 'count' } } },
  ...more,
})
const base: Draft = {
  name: 'Latency',
  description: null,
  document: {
    range: { from: '-1 day' },
    refresh: 'live',
    panels: [panel('a', 0, 0), panel('b', 6, 0), panel('c', 0, 4)],
  },
}
const byId = (draft: Draft): ReadonlyMap<string, Panel> =>
  new Map(draft.document.panels.map((one) => [one.id, one]))

const edit = fc.oneof(
  fc.record({ kind: fc.constant('rename' as const), title: fc.string({ minLength: 1, maxLength: 9 }) }),
  fc.record({ kind: fc.constant('remove' as const), id: fc.constantFrom('a', 'b', 'c') }),
  fc.record({
    kind: fc.constant('retitle' as const),
    id: fc.constantFrom('a', 'b', 'c'),
    title: fc.string(),
  }),
  fc.record({ kind: fc.constant('copy' as const), id: fc.constantFrom('a', 'b', 'c') }),
  fc.record({
    kind: fc.constant('move' as const),
    id: fc.constantFrom('a', 'b', 'c'),
    x: fc.nat(12),
    y: fc.nat(9),
  }),
)
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never
const edited = (prefix: string): fc.Arbitrary<Draft> =>
  fc.array(edit, { maxLength: 5 }).map((edits) => {
    let draft = base
    for (const [i, act] of edits.entries()) draft = applied(draft, act, `${prefix}${i}`)
    return draft
  })

function applied(draft: Draft, act: Edit, newId: string): Draft {
  if (act.kind === 'rename') return { ...draft, name: act.title }
  const { panels } = draft.document
  const one = panels.find(({ id }) => id === act.id)
  if (!one) return draft
  if (act.kind === 'remove') return withoutPanel(draft, act.id)
  if (act.kind === 'retitle') return withWords(draft, act.id, { title: act.title, note: '', unit: '' })
  if (act.kind === 'copy') return withPanel(draft, { ...one, id: newId })
  return withPanels(draft, arrange(panels, act.id, { ...one.place, x: act.x, y: act.y }))
}

describe('two people who change a board', () => {
  it('keep what each did, where they did not touch the same', () => {
    const mine = withWords(base, 'a', { title: 'Mine', note: 'why', unit: 'ms' })
    const theirs = withPanel({ ...base, name: 'Theirs' }, panel('d', 0, 0))
    const both = merged(base, mine, theirs)
    expect(differences(base, mine, theirs).filter((one) => one.isConflict)).toEqual([])
    expect(both.name).toBe('Theirs')
    expect(byId(both).get('a')).toMatchObject({ title: 'Mine', note: 'why', unit: 'ms' })
    expect([...byId(both).keys()]).toEqual(['a', 'b', 'c', 'd'])
  })

  it('are asked about what both changed, and either answer is taken', () => {
    const mine = withWords(base, 'b', { title: 'Mine', note: '', unit: '' })
    const theirs = withWords(base, 'b', { title: 'Theirs', note: 'n', unit: '' })
    const [difference] = differences(base, mine, theirs)
    expect(difference).toMatchObject({
      key: 'panel:b',
      isConflict: true,
      parts: { mine: ['title'], theirs: ['title', 'note'] },
    })
    expect(byId(merged(base, mine, theirs)).get('b')?.title).toBe('Mine')
    expect(byId(merged(base, mine, theirs, new Map([['panel:b', 'theirs']]))).get('b')?.title).toBe('Theirs')
  })

  it('are asked when one removed what the other changed', () => {
    const mine = withoutPanel(base, 'c')
    const theirs = withWords(base, 'c', { title: 'Still needed', note: '', unit: '' })
    const [difference] = differences(base, mine, theirs)
    expect(difference).toMatchObject({
      key: 'panel:c',
      mine: 'removed',
      theirs: 'changed',
      isConflict: true,
    })
    expect(byId(merged(base, mine, theirs)).has('c')).toBe(false)
    const kept = merged(base, mine, theirs, new Map([['panel:c', 'theirs']]))
    expect(byId(kept).get('c')?.title).toBe('Still needed')
  })

  it('see no rearrangement in what only moved up after a panel was removed, nor in a panel that was added', () => {
    const keys = (mine: Draft): string[] => differences(base, mine, base).map(({ key }) => key)
    expect(keys(withoutPanel(base, 'a'))).toEqual(['panel:a'])
    expect(keys(withPanel(base, panel('d', 0, 0)))).toEqual(['panel:d'])
    expect(keys(withPanels(base, arrange(base.document.panels, 'a', { x: 6, y: 0, w: 6, h: 4 })))).toEqual([
      'arrangement',
    ])
  })

  it('lose nothing: one side alone is taken whole, and no panel goes that nobody removed', () => {
    fc.assert(
      fc.property(edited('m'), edited('t'), (mine, theirs) => {
        expect(byId(merged(base, mine, base))).toEqual(byId(draftOf(mine)))
        expect(byId(merged(base, base, theirs))).toEqual(byId(draftOf(theirs)))
        const both = merged(base, mine, theirs)
        const ids = byId(both)
        for (const id of new Set([...byId(mine).keys(), ...byId(theirs).keys()])) {
          const isRemoved = byId(base).has(id) && !(byId(mine).has(id) && byId(theirs).has(id))
          if (!isRemoved) expect(ids.has(id)).toBe(true)
        }
        const { panels } = both.document
        for (const [i, one] of panels.entries())
          for (const other of panels.slice(i + 1)) expect(overlaps(one.place, other.place)).toBe(false)
      }),
    )
  })
})

describe('a draft', () => {
  it('goes back and forth through what was done, and forgets what was taken back when something else is done', () => {
    const start = began(base)
    const renamed = did(start, 'renamed the board', { ...base, name: 'B' })
    const removed = did(renamed, 'removed “A”', withoutPanel(renamed.now, 'a'))
    const back = undone(removed)
    expect(back?.act).toBe('removed “A”')
    expect(back?.history.now).toEqual(renamed.now)
    expect(redone(back?.history ?? start)?.history).toEqual(removed)
    expect(undone(undone(back?.history ?? start)?.history ?? renamed)).toBeNull()
    const other = did(back?.history ?? start, 'renamed the board', { ...base, name: 'C' })
    expect(redone(other)).toBeNull()
    expect(did(start, 'nothing', { ...base, document: { ...base.document } })).toBe(start)
  })

  it('names and numbers copies anew', () => {
    const { draft, id } = withDuplicate(base, 'a')
    expect(byId(draft).get(id)).toMatchObject({ title: 'A (copy)', place: { x: 6, y: 4 } })
    expect(copyName('A (copy)')).toBe('A (copy 2)')
    expect(copyName('A (copy 2)')).toBe('A (copy 3)')
    expect(freshId([{ id: 'p2' }])).toBe('p3')
    expect(freshId([{ id: 'p2' }, { id: 'p3' }])).toBe('p4')
  })

  it('keeps its place when its panel comes back changed, and has no empty note', () => {
    const next = withPanel(base, panel('b', 0, 99, { title: 'New', place: { x: 0, y: 50, w: 2, h: 2 } }))
    expect(byId(next).get('b')).toMatchObject({ title: 'New', place: { x: 6, y: 0, w: 6, h: 4 } })
    const noted = withWords(base, 'a', { title: 'A', note: 'x', unit: '' })
    expect('note' in (byId(withWords(noted, 'a', { title: 'A', note: '', unit: '' })).get('a') ?? {})).toBe(
      false,
    )
  })
})

describe('a board as a file', () => {
  it('is read back as it was written, also from what a server answers', () => {
    expect(readBoardText(boardText(base))).toEqual({ board: base })
    const answered = JSON.stringify({ id: 'x', version: 3, source: 'stored', ...base })
    expect(readBoardText(answered)).toEqual({ board: base })
  })

  it('says what is wrong with text that is none', () => {
    for (const [text, problem] of [
      ['', /empty/],
      ['{"name": ', /not JSON/],
      ['[]', /list/],
      ['{"name": "x"}', /name and a document/],
      ['null', /name and a document/],
    ] as const) {
      expect(readBoardText(text)).toEqual({ problem: expect.stringMatching(problem) })
    }
  })

  it('has a name that every file system takes', () => {
    expect(fileName('Latency by model: p95 / p99')).toBe('latency-by-model-p95-p99.json')
    expect(fileName('Übersicht')).toBe('ubersicht.json')
    expect(fileName('數據')).toBe('board.json')
  })
})
