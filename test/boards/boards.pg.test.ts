import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { BoardInput } from '../../src/boards/index.ts'
import { createTidemark } from '../../src/engine.ts'
import { sql } from '../../src/util/sql.ts'
import {
  boardOf,
  clientOf,
  closeWorld,
  codeOf,
  configWith,
  count,
  engine,
  keyFor,
  opened,
  openWorld,
  panel,
  perModel,
  place,
  serverWith,
} from './fixture.ts'

beforeAll(openWorld, 60_000)
afterAll(closeWorld)

describe('boards', () => {
  it('are kept, changed while they are the version that was read, and removed', async () => {
    const { boards } = clientOf((await keyFor('acme')).secret)
    const made = await boards.create({ ...boardOf('Latency', perModel), description: 'Of every model' })
    expect(made).toMatchObject({
      name: 'Latency',
      version: 1,
      source: 'stored',
      description: 'Of every model',
    })
    expect(made.document.panels).toEqual([perModel])
    expect(await boards.get(made.id)).toEqual(made)
    const saved = await boards.save(made, boardOf('Latency, by model', perModel))
    expect(saved).toMatchObject({ name: 'Latency, by model', version: 2, description: null })
    expect(await codeOf(boards.save(made, boardOf('too late', perModel)))).toBe('TM_VERSION')
    expect(await codeOf(boards.remove(made))).toBe('TM_VERSION')
    expect(await boards.list()).toMatchObject([
      { id: 'file-overview', name: 'From the repository', panels: 1, source: 'file' },
      { id: made.id, name: 'Latency, by model', panels: 1, version: 2 },
    ])
    await boards.remove(saved)
    expect(await codeOf(boards.get(made.id))).toBe('TM_UNKNOWN_BOARD')
    expect(await codeOf(boards.save(saved, boardOf('gone', perModel)))).toBe('TM_UNKNOWN_BOARD')
  })

  it('of a tenant are nobody else’s, and those over other datasets are not shown', async () => {
    const acme = clientOf((await keyFor('acme')).secret).boards
    const made = await acme.create(
      boardOf('Costs', panel('usd', { dataset: 'billing.costs', select: count })),
    )
    const others = [
      clientOf((await keyFor('globex')).secret).boards,
      clientOf((await keyFor('acme', { datasets: ['metrics.requests'] })).secret).boards,
      clientOf((await keyFor(null)).secret).boards,
    ]
    for (const other of others) {
      expect((await other.list()).map(({ id }) => id)).toEqual(['file-overview'])
      expect(await codeOf(other.get(made.id))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.save(made, boardOf('mine', perModel)))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.remove(made))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.share(made.id))).toBe('TM_UNKNOWN_BOARD')
      expect(await codeOf(other.shares(made.id))).toBe('TM_UNKNOWN_BOARD')
    }
    const [, restricted] = others
    expect(await codeOf(restricted!.create(made))).toBe('TM_QUERY')
    const { name, document } = made
    expect(await codeOf(restricted!.create({ name, document }))).toBe('TM_FORBIDDEN')
    await acme.remove(made)
  })

  it('are checked whole, and what is wrong is told with its place', async () => {
    const { boards } = clientOf((await keyFor('acme')).secret)
    const wrongs: [unknown, string][] = [
      [boardOf('', perModel), 'name'],
      [{ ...boardOf('a', perModel), owner: 'me' }, 'owner'],
      [boardOf('a', perModel, perModel), 'document.panels[1].id'],
      [boardOf('a', { ...perModel, chart: 'pie' as never }), 'document.panels[0].chart'],
      [boardOf('a', { ...perModel, place: { ...place, x: 8 } }), 'document.panels[0].place'],
      [boardOf('a', { ...perModel, compare: 'yesterday' }), 'document.panels[0].compare'],
      [
        boardOf('a', panel('p', { dataset: 'metrics.requests', select: { n: { fn: 'median' } } })),
        'document.panels[0].query.select.n.fn',
      ],
      [boardOf('a', panel('p', { dataset: 'metrics.nothing' })), 'document.panels[0].query.dataset'],
      [
        boardOf('a', panel('p', { ...perModel.query, from: '-9 days' } as never)),
        'document.panels[0].query.from',
      ],
      [
        boardOf('a', panel('p', { dataset: 'public.models' }, { compare: 'previous' })),
        'document.panels[0].query.dataset',
      ],
      [{ name: 'a', document: { range: { from: 'tomorrow' }, panels: [] } }, 'document.range.from'],
      [{ name: 'a', document: { range: { from: '+1 day' }, panels: [] } }, 'document.range'],
      [
        { name: 'a', document: { range: { from: '-1 day' }, refresh: '5ms', panels: [] } },
        'document.refresh',
      ],
    ]
    for (const [input, path] of wrongs) {
      const error = await boards.create(input as BoardInput).catch((caught) => caught)
      expect([path, error.code, error.params?.path]).toEqual([path, 'TM_QUERY', path])
    }
    const many = Array.from({ length: 61 }, (_, i) => ({ ...perModel, id: `p${i}` }))
    expect(await codeOf(boards.create(boardOf('a', ...many)))).toBe('TM_LIMIT')
    const long = panel('p', { ...perModel.query, where: { model: { in: Array(30_000).fill('long text') } } })
    expect(await codeOf(boards.create(boardOf('a', long)))).toBe('TM_LIMIT')
  })

  it('are a thousand for a tenant at most, with a hundred links each', async () => {
    const { boards } = clientOf((await keyFor('crowded')).secret)
    const made = await boards.create(boardOf('First', perModel))
    const many = (count: number) => sql`
      insert into tidemark.board (
        id, tenant, name, document, datasets, panel_count, created_at, created_by, updated_at, updated_by
      )
      select lpad(n::text, 12, '0'), tenant, name, document, datasets, panel_count, created_at, created_by, updated_at, updated_by
      from tidemark.board, generate_series(1, ${count}::int4) as n
      where id = ${made.id}::text`
    await engine.test.db.query(many(999))
    expect(await codeOf(boards.create(boardOf('One more', perModel)))).toBe('TM_LIMIT')
    expect(await boards.list()).toHaveLength(1001)
    for (let i = 0; i < 100; i++) await boards.share(made.id)
    expect(await codeOf(boards.share(made.id))).toBe('TM_LIMIT')
    expect(await codeOf(boards.share('000000000001'))).toBe('done')
  })

  it('of files are read at start, for everybody, and are changed nowhere else', async () => {
    const { boards } = clientOf((await keyFor('globex')).secret)
    const board = await boards.get('file-overview')
    expect(board).toMatchObject({
      description: 'Reviewed',
      source: 'file',
      updatedBy: 'boards/overview.json',
    })
    expect(await codeOf(boards.save(board, boardOf('mine', perModel)))).toBe('TM_FORBIDDEN')
    expect(await codeOf(boards.remove(board))).toBe('TM_FORBIDDEN')
    const findings = async () => {
      const { tm } = await serverWith({})
      return (await tm.doctor()).filter(({ check }) => check === 'boards')
    }
    expect(await findings()).toMatchObject([
      { level: 'ok', message: 'boards of files: 1, and each can be asked' },
    ])
    const broken = join(engine.root, 'boards', 'broken.json')
    const input = boardOf('x', panel('p', { dataset: 'metrics.requests', select: { n: { fn: 'median' } } }))
    await writeFile(broken, JSON.stringify(input))
    await expect(serverWith({})).rejects.toThrow(
      /boards: boards\/broken\.json: document\.panels\[0\]\.query\.select\.n\.fn/,
    )
    const tm = await createTidemark(configWith({}), {
      connectionString: engine.test.connectionString,
      root: engine.root,
    })
    opened.push(() => tm.close())
    const [finding] = (await tm.doctor()).filter(({ check }) => check === 'boards')
    expect(finding).toMatchObject({ level: 'fail', message: expect.stringContaining('boards/broken.json') })
    await writeFile(broken, '{')
    await expect(serverWith({})).rejects.toThrow(/boards\/broken\.json: .*JSON/)
    await writeFile(broken, JSON.stringify(boardOf('Good again', perModel)))
  })
})
