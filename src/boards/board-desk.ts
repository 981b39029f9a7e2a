import type { AuditLog } from '../access/index.ts'
import { newKeyId } from '../access/index.ts'
import type { Database } from '../postgres/index.ts'
import type { QueryableDefinition, TenantScope } from '../schema/index.ts'
import type { Clock } from '../time/index.ts'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { type FileBoard, filePrefix, readBoardFiles } from './board-files.ts'
import { checkPanels, type Declared, nameOf } from './check-panels.ts'
import type { Board, BoardInput, BoardSummary, IssuedShare, Share } from './contract.ts'
import { type OpenShare, openShare, type ShareRules } from './open-share.ts'
import { readBoard, tooMany } from './read-board.ts'
import { listShares, readExpiry, revokeShare, type Sharer, shareBoard, trimShares } from './shares.ts'
import {
  countBoards,
  deleteBoard,
  findBoard,
  insertBoard,
  listBoards,
  type Owner,
  updateBoard,
} from './store.ts'

export interface BoardDeskOptions extends Declared {
  readonly db: Database
  readonly clock: Clock
  readonly audit: AuditLog
  /** Patterns of files with boards. */
  readonly files: readonly string[]
  /** What they are relative to. */
  readonly root: string
}

/** As doctor's others are. */
export interface BoardFinding {
  readonly check: string
  readonly level: 'ok' | 'warn' | 'fail'
  readonly message: string
  readonly todo: string | null
}

const mostBoards = 1000
const id12 = /^[0-9A-Za-z]{12}$/

/** Boards: panels of queries that people keep, those of a tenant and those of the repository; docs/guide/boards.md. */
export class BoardDesk {
  readonly #options: BoardDeskOptions
  #files: Promise<readonly FileBoard[]> | null = null

  constructor(options: BoardDeskOptions) {
    this.#options = options
  }

  /** For somebody: boards of his tenant, and those of files, over datasets that he may use. */
  of(scope: TenantScope, isOurs: (dataset: string) => boolean = () => true): Boards {
    return new Boards(this.#options, () => this.files(), scope, isOurs)
  }

  /** Boards of the repository; read once. @throws TidemarkError TM_CONFIG with the file and the path in it. */
  files(): Promise<readonly FileBoard[]> {
    const { root, files, clock } = this.#options
    this.#files ??= readBoardFiles(root, files, clock.now(), this.#options).catch((error: unknown) => {
      this.#files = null
      throw error
    })
    return this.#files
  }

  /** What doctor says of the files; nothing where none are named. */
  async findings(): Promise<readonly BoardFinding[]> {
    if (this.#options.files.length === 0) return []
    const check = 'boards'
    try {
      const { length } = await this.files()
      if (length === 0)
        return [
          {
            check,
            level: 'warn',
            message: `no file below ${this.#options.root} fits ${this.#options.files.join(', ')}`,
            todo: 'add boards, or take the pattern out of the configuration',
          },
        ]
      return [
        { check, level: 'ok', message: `boards of files: ${length}, and each can be asked`, todo: null },
      ]
    } catch (error) {
      if (!isTidemarkError(error)) throw error
      const todo = 'correct the file; the server does not start with it'
      return [{ check, level: 'fail', message: error.message, todo }]
    }
  }

  /** Deletes links that have ended a month ago. @returns how many. */
  trim(): Promise<number> {
    return trimShares(this.#options.db, this.#options.clock.now())
  }

  /** What somebody with a link may see. @throws TidemarkError TM_UNKNOWN_SHARE */
  open(token: string, rules: ShareRules): Promise<OpenShare> {
    const { db, clock, queryable } = this.#options
    return openShare({ db, clock, queryable, files: () => this.files() }, token, rules)
  }
}

/** Boards as somebody may use them. */
export class Boards {
  readonly #options: BoardDeskOptions
  readonly #files: () => Promise<readonly FileBoard[]>
  readonly #scope: TenantScope
  readonly #isOurs: (dataset: string) => boolean

  /** @internal */
  constructor(
    options: BoardDeskOptions,
    files: () => Promise<readonly FileBoard[]>,
    scope: TenantScope,
    isOurs: (dataset: string) => boolean,
  ) {
    this.#options = options
    this.#files = files
    this.#scope = scope
    this.#isOurs = isOurs
  }

  /** By name; those with a panel over a dataset that he may not use are left out. */
  async list(): Promise<BoardSummary[]> {
    const isMine = ({ datasets }: { readonly datasets: readonly string[] }): boolean =>
      datasets.every(this.#isOurs)
    const stored = this.#scope.kind === 'none' ? [] : await listBoards(this.#options.db, ownerOf(this.#scope))
    const files = (await this.#files()).filter(isMine).map(({ board: { document, ...board } }) => ({
      ...board,
      panels: document.panels.length,
    }))
    return [...stored.filter(isMine).map(({ board }) => board), ...files].sort(
      (a, b) => compare(a.name, b.name) || compare(a.id, b.id),
    )
  }

  /** @throws TidemarkError TM_UNKNOWN_BOARD */
  async find(id: string): Promise<Board> {
    return (await this.#find(id)).board
  }

  /**
   * @example
   * await tm.boards.create({ name: 'Latency', document: { range: { from: '-1 day' }, panels: [] } })
   *
   * @throws TidemarkError TM_QUERY with the path of what is wrong, TM_LIMIT, TM_FORBIDDEN.
   */
  async create(input: unknown, by = 'tm.boards'): Promise<Board> {
    const { db } = this.#options
    const owner = this.#owner()
    const change = this.#read(input, by)
    const boards = await countBoards(db, owner)
    if (boards >= mostBoards)
      throw tooMany(
        'the number of boards',
        String(boards + 1),
        String(mostBoards),
        'remove some that nobody opens',
      )
    return insertBoard(db, owner, newKeyId(), change)
  }

  /** @param version that it is made for; null: whichever. @throws TidemarkError TM_VERSION, TM_UNKNOWN_BOARD, … */
  async save(id: string, input: unknown, version: number | null, by = 'tm.boards'): Promise<Board> {
    await this.#stored(id, 'changed')
    const saved = await updateBoard(this.#options.db, this.#owner(), id, version, this.#read(input, by))
    return saved ?? this.#refuseVersion(id)
  }

  /** With its links. @throws TidemarkError TM_VERSION, TM_UNKNOWN_BOARD, TM_FORBIDDEN */
  async remove(id: string, version: number | null = null): Promise<void> {
    await this.#stored(id, 'removed')
    if (!(await deleteBoard(this.#options.db, this.#owner(), id, version))) await this.#refuseVersion(id)
  }

  /**
   * A link that shows the board to whoever has it, within the tenant and the datasets that are on it now.
   *
   * @param input `{ expires }`: a time, or how long from now; default 7 days.
   */
  async share(id: string, input: unknown, sharer: Sharer): Promise<IssuedShare> {
    const { db, clock, audit } = this.#options
    const { board, datasets } = await this.#find(id)
    this.#owner()
    const expiresAt = readExpiry(input, clock.now(), sharer)
    return shareBoard({ db, clock, audit }, { board, datasets, scope: this.#scope, expiresAt }, sharer)
  }

  /** Links to a board, the newest first. */
  async shares(id: string): Promise<Share[]> {
    const { db, clock } = this.#options
    await this.#find(id)
    return listShares(db, this.#owner(), id, clock.now())
  }

  /** Ends a link. @throws TidemarkError TM_UNKNOWN_SHARE */
  async unshare(id: string, share: string, sharer: Sharer): Promise<Share> {
    const { db, clock, audit } = this.#options
    await this.#find(id)
    return revokeShare({ db, clock, audit }, { owner: this.#owner(), board: id, share }, sharer)
  }

  async #find(id: string): Promise<{ readonly board: Board; readonly datasets: readonly string[] }> {
    if (id.startsWith(filePrefix)) {
      const found = (await this.#files()).find(({ board }) => board.id === id)
      if (found?.datasets.every(this.#isOurs)) return found
    } else if (this.#scope.kind !== 'none' && id12.test(id)) {
      const board = await findBoard(this.#options.db, ownerOf(this.#scope), id)
      const datasets = board === null ? [] : this.#namesOf(board)
      if (board !== null && datasets.every(this.#isOurs)) return { board, datasets }
    }
    throw new TidemarkError('TM_UNKNOWN_BOARD', { id })
  }

  /** As they are declared; what is so no more stays as it is written. */
  #namesOf({ document }: Board): string[] {
    return [...new Set(document.panels.map(({ query }) => nameOf(this.#options, query.dataset)))]
  }

  /** One that is a file is not changed here. */
  async #stored(id: string, what: string): Promise<void> {
    const { board } = await this.#find(id)
    if (board.source === 'stored') return
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `the board "${board.name}" is the file ${board.updatedBy}, which is not ${what} here`,
      todo: 'change the file, or save a copy under another name',
    })
  }

  #read(input: unknown, by: string): Parameters<typeof insertBoard>[3] {
    const { clock, queryable, check } = this.#options
    const at = clock.now()
    const board: BoardInput = readBoard(input, at)
    const datasets = checkPanels(board.document, at, {
      queryable: (name) => this.#ours(name, queryable),
      check,
    })
    return { board, datasets, by, at }
  }

  #ours(name: string, queryable: (name: string) => QueryableDefinition): QueryableDefinition {
    if (this.#isOurs(name)) return queryable(name)
    throw new TidemarkError('TM_FORBIDDEN', {
      what: `the dataset "${name}" is not among those of this key or token`,
      todo: 'use one of them, or a key without that restriction',
    })
  }

  #owner(): Owner {
    if (this.#scope.kind !== 'none') return ownerOf(this.#scope)
    throw new TidemarkError('TM_FORBIDDEN', {
      what: 'the caller has no tenant, so there is nobody whose board it would be',
      todo: 'use a key or token with a tenant',
    })
  }

  async #refuseVersion(id: string): Promise<never> {
    const board = await findBoard(this.#options.db, this.#owner(), id)
    throw new TidemarkError('TM_VERSION', {
      table: 'boards',
      key: id,
      current: board === null ? null : String(board.version),
    })
  }
}

function ownerOf(scope: TenantScope): Owner {
  return scope.kind === 'one' ? scope.tenant : null
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
