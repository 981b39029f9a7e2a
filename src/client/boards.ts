import type {
  Board,
  BoardInput,
  BoardSummary,
  IssuedShare,
  Share,
  SharedBoard,
  SharedQuestion,
} from '../boards/index.ts'
import type { Answer } from '../query/index.ts'
import type { Call } from './call.ts'
import type { CallOptions } from './types.ts'
import { decodeAnswer } from './values.ts'

/** Boards, and links to them; made by `client.boards`. docs/guide/boards.md */
export class BoardsClient {
  readonly #call: Call

  /** @internal */
  constructor(call: Call) {
    this.#call = call
  }

  /** Those of the tenant and those of files, by name, without what is on them. */
  async list(options: CallOptions = {}): Promise<readonly BoardSummary[]> {
    const body = await this.#call({ path: pathOf(), signal: options.signal })
    return (body as { boards: BoardSummary[] }).boards
  }

  /** @throws TidemarkClientError TM_UNKNOWN_BOARD */
  async get(id: string, { signal }: CallOptions = {}): Promise<Board> {
    return (await this.#call({ path: pathOf(id), signal })) as Board
  }

  /**
   * @example
   * await client.boards.create({ name: 'Latency', document: { range: { from: '-1 day' }, refresh: 'live', panels: [] } })
   *
   * @throws TidemarkClientError TM_QUERY with the path of what is wrong, TM_LIMIT
   */
  async create(board: BoardInput, { signal }: CallOptions = {}): Promise<Board> {
    return (await this.#call({ method: 'POST', path: pathOf(), body: board, signal })) as Board
  }

  /**
   * Changes it, while it is that version.
   *
   * @throws TidemarkClientError TM_VERSION when somebody was quicker; TM_FORBIDDEN for a board of a file
   */
  async save(
    { id, version }: Pick<Board, 'id' | 'version'>,
    board: BoardInput,
    { signal }: CallOptions = {},
  ): Promise<Board> {
    const spec = { method: 'PUT', path: pathOf(id), body: board, headers: ifMatch(version), signal } as const
    return (await this.#call(spec)) as Board
  }

  /** With its links. @throws TidemarkClientError TM_VERSION, TM_UNKNOWN_BOARD, TM_FORBIDDEN */
  async remove({ id, version }: Pick<Board, 'id' | 'version'>, { signal }: CallOptions = {}): Promise<void> {
    await this.#call({ method: 'DELETE', path: pathOf(id), headers: ifMatch(version), signal })
  }

  /** Links to a board, the newest first. */
  async shares(id: string, { signal }: CallOptions = {}): Promise<readonly Share[]> {
    const body = await this.#call({ path: pathOf(id, 'shares'), signal })
    return (body as { shares: Share[] }).shares
  }

  /** A new link; its token is told this once. `expires`: a time, or how long from now; default `'7 days'`, a year at most. */
  async share(
    id: string,
    { expires, signal }: CallOptions & { readonly expires?: string } = {},
  ): Promise<IssuedShare> {
    const body = expires === undefined ? {} : { expires }
    return (await this.#call({ method: 'POST', path: pathOf(id, 'shares'), body, signal })) as IssuedShare
  }

  /** Ends a link, everywhere at once. @throws TidemarkClientError TM_UNKNOWN_SHARE */
  async unshare(id: string, share: string, { signal }: CallOptions = {}): Promise<Share> {
    return (await this.#call({ method: 'DELETE', path: pathOf(id, 'shares', share), signal })) as Share
  }

  /** The board of a link. Needs no key. @throws TidemarkClientError TM_UNKNOWN_SHARE when there is none, or it has ended */
  async shared(token: string, { signal }: CallOptions = {}): Promise<SharedBoard> {
    return (await this.#call({ path: `/api/v1/shared/${encodeURIComponent(token)}`, signal })) as SharedBoard
  }

  /** The answer of a panel of it. @throws TidemarkClientError TM_UNKNOWN_SHARE, and those of a query */
  async sharedPanel(
    token: string,
    panel: string,
    question: SharedQuestion = {},
    { signal }: CallOptions = {},
  ): Promise<Answer> {
    const path = `/api/v1/shared/${encodeURIComponent(token)}/panels/${encodeURIComponent(panel)}`
    return decodeAnswer((await this.#call({ method: 'POST', path, body: question, signal })) as Answer)
  }
}

function pathOf(...parts: readonly string[]): string {
  return ['/api/v1/boards', ...parts.map(encodeURIComponent)].join('/')
}

function ifMatch(version: number): Readonly<Record<string, string>> {
  return { 'if-match': `"${version}"` }
}
