import type { FillInput } from '../query/index.ts'

/** How a panel shows its answer. */
export const panelCharts = ['line', 'bar', 'stacked', 'table', 'heatmap', 'number'] as const
export type PanelChart = (typeof panelCharts)[number]

/** In a grid of 12 columns; rows are as high as whoever draws it makes them. */
export interface PanelPlace {
  /** From 0. */
  readonly x: number
  readonly y: number
  /** In columns; `x + w` is 12 at most. */
  readonly w: number
  readonly h: number
}

/** A query as for POST /api/v1/query, without its range: that is the board's. */
export interface PanelQuery {
  /** `schema.table` */
  readonly dataset: string
  /** `'1 hour'`; `'auto'`: some 200 buckets, whatever the range is (`autoBucket` of tidemark/client says which). */
  readonly bucket?: string | null
  readonly by?: readonly string[]
  readonly where?: Readonly<Record<string, unknown>>
  /** Aggregates by output name, as JSON: `{ requests: { fn: 'count' } }`; of a continuous aggregate also names of its outputs. */
  readonly select?: Readonly<Record<string, unknown>>
  readonly having?: Readonly<Record<string, unknown>>
  readonly order?: readonly string[] | string
  readonly limit?: number
  readonly fill?: FillInput
  readonly zone?: string
  /** Without `select`: raw rows, or the newest row of each series. */
  readonly columns?: '*' | readonly string[]
  readonly direction?: 'asc' | 'desc'
  readonly latestBy?: readonly string[]
}

export interface Panel {
  /** Letters, digits, - and _; one of its kind on the board. */
  readonly id: string
  readonly title: string
  readonly chart: PanelChart
  readonly place: PanelPlace
  readonly query: PanelQuery
  /** Shown beside: the same for the period before, or for as much earlier (`'1 week'`). */
  readonly compare?: 'previous' | (string & {})
  /** Of the numbers: `'ms'`, `'s'`, `'bytes'`, `'percent'` (of a share: 0.5 is 50 %), `'perSecond'`, or any word (`'USD'`), which stands behind them. */
  readonly unit?: string
  /** For readers, plain text. */
  readonly note?: string
}

/** What is drawn. */
export interface BoardDocument {
  /** One for all panels; relative times (`'-7 days'`) move along. Without `to`: up to now. */
  readonly range: { readonly from: string; readonly to?: string }
  /** Default `'off'`. `'live'`: with every change; else between two looks: `'30s'`. */
  readonly refresh?: 'live' | 'off' | (string & {})
  readonly panels: readonly Panel[]
}

/** A board as it is written, over HTTP and as a file. */
export interface BoardInput {
  readonly name: string
  readonly description?: string | null
  readonly document: BoardDocument
}

/** A board without what is on it. */
export interface BoardSummary {
  readonly id: string
  readonly name: string
  readonly description: string | null
  /** Grows with each change; `If-Match: "<version>"` changes that version alone. */
  readonly version: number
  /** `file`: in the repository, read-only here. */
  readonly source: 'stored' | 'file'
  readonly updatedAt: string
  /** Key, subject or file. */
  readonly updatedBy: string
  readonly panels: number
}

export interface Board extends Omit<BoardSummary, 'panels'> {
  readonly document: BoardDocument
}

/** A link to a board for whoever has it, without a key. */
export interface Share {
  readonly id: string
  readonly createdAt: string
  /** Key or subject. */
  readonly createdBy: string
  readonly expiresAt: string
  /** Null: it is good. */
  readonly ended: 'expired' | 'revoked' | 'key ended' | null
  /** To the hour; null: never. */
  readonly lastOpenedAt: string | null
}

export interface IssuedShare extends Share {
  /** Told this once; stored as a hash only. */
  readonly token: string
  /** `/shared/<token>` */
  readonly path: string
}

/** What somebody with a link sees. */
export interface SharedBoard {
  readonly name: string
  readonly description: string | null
  readonly expiresAt: string
  readonly document: BoardDocument
}

/** Of one panel of a shared board. */
export interface SharedQuestion {
  /** Inside of the board's range; what lies outside is cut off. Default: all of it. */
  readonly from?: string
  readonly to?: string
  /** The range that the panel compares with, in place of that. Default false. */
  readonly compare?: boolean
}
